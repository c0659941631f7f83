"""Compare the time of a training step of Deep Defense with two others: a step of plain training,
and a step of a straightforward version of Deep Defense.

    python -m benchmarks.deep_defense                # digits, which need no download
    python -m benchmarks.deep_defense --data mnist   # the paper's images

A step computes the loss, the gradient and the update of LeNet on a batch. The straightforward
version follows the paper literally. Each of up to five DeepFool iterations uses every image of the
batch, and a loop over all classes with `create_graph=True`. The network is first trained for a
minute, because for a random network DeepFool needs different numbers of iterations than for a
trained one. All versions are timed alternately. The medians of the times are printed, and how far
the gradients of the two versions of Deep Defense differ. Seconds are processor seconds of one
thread, so that other work on the machine has little effect.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.attacks import ROOT, WORK, processor
from benchmarks.data import load
from robustbook.data import as_float
from robustbook.defenses import deep_defense
from robustbook.networks import GreyLevels, Prepared, lenet, mean_image
from robustbook.randomness import generator

RESULT = ROOT / "benchmarks" / "results" / "deep_defense.json"


@click.command(help="Time a training step of Deep Defense. Example: --data mnist --rounds 9")
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits")
@click.option("--batch-size", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(data: str, batch_size: int, rounds: int, output: Path) -> None:
    torch.set_num_threads(1)
    net, images, labels = trained(data)
    jobs: dict[str, Callable[[Tensor, Tensor], dict[str, Tensor]]] = {
        "plain": lambda x, y: {"cross_entropy": F.cross_entropy(net(x), y)},
        "deep defense": lambda x, y: deep_defense(net, x, y),
        "deep defense, all classes": lambda x, y: deep_defense(net, x, y, slack=float("inf")),
        "straightforward": lambda x, y: straightforward(net, x, y),
    }
    batches = torch.randperm(len(images), generator=generator(1)).split(batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    gradients: dict[str, Tensor] = {}
    for round_ in range(-1, rounds):
        rows = batches[round_ % (len(batches) - 1)]
        for name, objective in jobs.items():
            second, gradient = step(net, objective, images[rows], labels[rows])
            if round_ >= 0:
                seconds[name].append(second)
            else:
                gradients[name] = gradient
    reference = gradients["straightforward"]
    rows_: list[dict[str, Any]] = []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds["plain"], strict=True)]
        rows_.append(
            {
                "step": name,
                "seconds": statistics.median(times),
                "times_plain": statistics.median(ratios),
                "gradient_difference": float((gradients[name] - reference).norm())
                / float(reference.norm()),
            }
        )
        row = rows_[-1]
        click.echo(
            f"{name:28}{1000 * row['seconds']:8.1f} ms{row['times_plain']:8.2f} x plain"
            f"   gradient differs by {row['gradient_difference']:.1e}"
        )
    report = {"data": data, "batch_size": batch_size, "rounds": rounds, "rows": rows_}
    report |= {"processor": processor(), "threads": torch.get_num_threads()}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")


def step(
    net: nn.Module, objective: Callable[..., dict[str, Tensor]], x: Tensor, y: Tensor
) -> tuple[float, Tensor]:
    """Return two things: the processor seconds of a step (loss, gradient, and an update with
    learning rate 0), and the gradient.
    """
    weights = list(net.parameters())
    update = torch.optim.SGD(weights, 0.0, momentum=0.9, fused=True)
    began = time.process_time()
    gradients = torch.autograd.grad(torch.stack(list(objective(x, y).values())).sum(), weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    update.step()
    taken = time.process_time() - began
    for weight in weights:
        weight.grad = None
    return taken, torch.cat([gradient.flatten() for gradient in gradients])


def straightforward(
    net: Prepared, images: Tensor, labels: Tensor, lam: float = 15, c: float = 25, d: float = 5
) -> dict[str, Tensor]:
    """Return the loss as Section 3 of the paper and the released code state it, without any
    shortcut.
    """
    x = net.preprocess(images)
    logits = net.body(x)
    cross_entropy = F.cross_entropy(logits, labels)
    source = logits.argmax(1)
    right = source == labels
    done = torch.zeros_like(right)
    r = torch.zeros_like(x)
    every = torch.arange(len(x))
    for _ in range(5):
        point = x + r if r.requires_grad else x.clone().requires_grad_()
        logits = net.body(point)
        source = torch.where(right, labels, logits.argmax(1))
        gradients = torch.stack(
            [
                torch.autograd.grad(logits[:, k].sum(), point, create_graph=True)[0]
                for k in range(logits.shape[1])
            ],
            1,
        ).flatten(2)
        w = gradients - gradients[every, source][:, None]
        f = logits - logits[every, source][:, None]
        sizes = (w + 5e-6).norm(dim=2)
        allowed = F.one_hot(source, logits.shape[1]) == 0
        allowed[~right] = F.one_hot(labels[~right], logits.shape[1]) == 1
        k = (f.abs() / sizes).masked_fill(~allowed, float("inf")).argmin(1)
        move = f[every, k].abs() / sizes[every, k] ** 2 * ~done
        r = r + (move[:, None] * w[every, k]).view_as(r)
        answers = net.body(x + 1.02 * r).argmax(1)
        done = done | torch.where(right, answers != labels, answers == labels)
        if bool(done.all()):
            break
    rho = 1.02 * r.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    return {
        "cross_entropy": cross_entropy,
        "correct": lam * (-c * rho[right]).exp().sum() / len(x),
        "wrong": lam * (d * rho[~right]).exp().sum() / len(x),
    }


def trained(data: str) -> tuple[Prepared, Tensor, Tensor]:
    """Return two things: LeNet after 600 steps of the paper's reference training, and the images.
    The weights of LeNet are stored for later calls.
    """
    train = load(data, "train")
    net = lenet(GreyLevels(mean_image(train.images)), generator(0, "benchmark"))
    kept = WORK / f"lenet-{data}.safetensors"
    if kept.exists():
        net.load_state_dict(load_file(kept))
    else:
        click.echo(f"training LeNet on {data} (once; a minute)", err=True)
        update = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)
        order = generator(0, "batches")
        for _ in range(600):
            rows = torch.randint(len(train), (100,), generator=order)
            loss = F.cross_entropy(net(as_float(train.images[rows])), train.labels[rows])
            update.zero_grad()
            loss.backward()
            update.step()
        WORK.mkdir(parents=True, exist_ok=True)
        save_file(net.state_dict(), kept)
    few = train.subset(min(len(train), 6000))
    return net, as_float(few.images), few.labels


if __name__ == "__main__":
    main()
