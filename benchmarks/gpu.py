"""Measure three run times on a GPU: of a training step of Deep Defense, of the attacks FGSM and
PGD, and of training VGG16 in bfloat16.

    python -m benchmarks.gpu --out results                       # all parts, minutes
    python -m benchmarks.gpu --out results --part deep-defense   # one of them
    python -m benchmarks.gpu --out results --tiny                # tries the script, on a CPU too

Each part writes `<part>.json` into the folder as soon as it is done. If a part fails, its file has
the error, and the next part runs. CIFAR-10 and MNIST are used if `ROBUSTBOOK_DATA` names a folder
with their files; otherwise the image sets of the package are used.
"""

import copy
import json
import platform
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contest import SETTINGS, contest
from robustbook.arithmetic import arithmetic
from robustbook.data import ImageSet, as_float, data_root, load
from robustbook.defenses import deep_defense
from robustbook.networks import CNN, convnet, initialise, nin
from robustbook.randomness import generator
from robustbook.training import Recipe, fit

Report = dict[str, Any]
PARTS = ("deep-defense", "fgsm", "vgg16")


@click.command(help="Measure on a GPU. Example: --out results --part deep-defense")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder for the JSON")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="default: all")
@click.option("--tiny", is_flag=True, help="few images and narrow networks; a CPU will do")
@click.option("--precision", type=click.Choice(["float32", "tf32"]), default="float32")
def main(out: Path, parts: Sequence[str], tiny: bool, precision: Any) -> None:
    out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        raise click.ClickException("no GPU is found; --tiny tries the script on a CPU")
    measures = dict(zip(PARTS, (steps_of_deep_defense, attacks, vgg16), strict=True))
    for part in parts or PARTS:
        began = time.perf_counter()
        try:
            report = measures[part](device, tiny, precision)
        except Exception as error:  # earlier results are kept, and the other parts still run
            report = {"error": f"{type(error).__name__}: {error}"}
        report |= {
            "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
            "torch": torch.__version__,
            "precision": precision,
            "tiny": tiny,
            "seconds": round(time.perf_counter() - began, 2),
        }
        (out / f"{part}.json").write_text(json.dumps(report, indent=1) + "\n")
        click.echo(f"{part}: {json.dumps(report)}")


def held(name: str, embedded: str, part: str = "train") -> tuple[ImageSet, str]:
    """Return an image set and its name: a downloaded set if it is on this machine, else one that
    needs no download.
    """
    name = name if (data_root() / name).exists() else embedded
    return load(name, part), name


def steps_of_deep_defense(device: str, tiny: bool, precision: Any) -> Report:
    """Return the seconds of a training step with each form of Deep Defense (a way to batch its
    computation, such as "rows" or "padded"), and the ratios to the seconds of a plain step.

    The networks are first trained for a few hundred steps, because for a random network DeepFool
    needs different numbers of iterations than for a trained one. ``gradient_difference`` is the
    distance of a form's gradient from the gradient that the form "rows" gives on the CPU, divided
    by the norm of the latter.
    """
    found, data = held("cifar10", "scenes")
    found = found.subset(80 if tiny else min(len(found), 10_000))
    images, labels = as_float(found.images), found.labels
    images = (images - images.mean(0)) / images.std()
    size, first, counts = (8, 5, (1, 2)) if tiny else (100, 400, (20, 60))
    x, y = images[:size], labels[:size]
    jobs: dict[str, tuple[Any, bool]] = {
        "plain": (plain, False),
        "plain, recorded": (plain, True),
        "padded": (partial(defended, "padded"), False),
        "fixed": (partial(defended, "fixed"), False),
        "fixed, recorded": (partial(defended, "fixed"), True),
        "rows": (partial(defended, "rows"), False),
    }
    rows: list[Report] = []
    for make, lr in ((convnet, 3e-3), (nin, 2e-3)):
        net = make(nn.Identity(), generator(0, "weights"), 8 if tiny else 1).body
        timed = partial(seconds_of, net, images, labels, device=device)
        timed(plain, Recipe(first, size, lr), static=True)
        kept = copy.deepcopy(net.state_dict())
        seconds = {}
        for name, (objective, static) in jobs.items():
            # The difference of two run times excludes what happens once per run, such as recording.
            short, long = (
                timed(objective, Recipe(n, size, 1e-9, "sgd", precision=precision), static=static)
                for n in counts
            )
            seconds[name] = (long - short) / (counts[1] - counts[0])
        net.load_state_dict(kept)
        expected = gradient(net, x, y, "rows", "cpu")
        for name, second in seconds.items():
            row = {"network": make.__name__, "step": name, "seconds": second}
            row["times_plain"] = second / seconds["plain"]
            row["times_recorded_plain"] = second / seconds["plain, recorded"]
            if name in ("rows", "padded", "fixed"):
                with arithmetic(device, precision):
                    slope = gradient(net, x, y, name, device)
                row["gradient_difference"] = float((slope - expected).norm() / expected.norm())
            rows.append(row)
    return {"data": data, "batch_size": size, "rows": rows}


def seconds_of(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    objective: Any,
    recipe: Recipe,
    *,
    device: str,
    static: bool,
) -> float:
    """Return the seconds that a whole call of `fit` takes."""
    wait()
    began = time.perf_counter()
    fit(net, images, labels, objective, recipe, seed=0, static=static, device=device)
    wait()
    return time.perf_counter() - began


def plain(net: nn.Module, images: Tensor, labels: Tensor, _: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(images), labels)}


def defended(
    form: Any, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    """Return the loss of Deep Defense in training mode, where dropout masks are drawn on the device
    of the images.
    """
    own = None if images.is_cuda else torch.default_generator
    return deep_defense(net, images, labels, c=70.0, offset=1e-5, form=form, generator=own)


def gradient(net: nn.Module, x: Tensor, y: Tensor, form: Any, device: str) -> Tensor:
    """Return the gradient of the loss without dropout, whose masks would differ between devices."""
    net = net.to(device).eval()
    terms = deep_defense(net, x.to(device), y.to(device), c=70.0, offset=1e-5, form=form)
    found = torch.autograd.grad(torch.stack(list(terms.values())).sum(), list(net.parameters()))
    return torch.cat([g.flatten() for g in found]).cpu()


def attacks(device: str, tiny: bool, precision: Any) -> Report:
    """Time FGSM and PGD-40 on the CNN of Table 2: ours, those of all installed libraries, and the
    network alone.
    """
    images, data = held("mnist", "digits", "test")
    train, _ = held("mnist", "digits")
    net = CNN()
    initialise(net, "truncated", generator(0, "benchmark"))
    recipe = Recipe(20 if tiny else 300, 50, 1e-3)
    fit(net, train.images, train.labels, plain, recipe, seed=0, device=device)
    rows: list[Report] = []
    with arithmetic(device, precision):
        for count in (50,) if tiny else (1000, min(10_000, len(images))):
            some = images.subset(count)
            x, y = as_float(some.images).to(device), some.labels.to(device)
            for given in SETTINGS:
                found = contest(net, x, y, given, 2 if tiny else 9)
                rows += [{**row, "images": count} for row in found]
    return {"data": data, "rows": rows}


def vgg16(device: str, tiny: bool, precision: Any) -> Report:
    """Return two results of training VGG16 for 24 epochs in bfloat16 with batches of 500: the
    seconds, and the test accuracy.
    """
    from robustbook.networks import vgg16 as build
    from robustbook.training import Augmentation

    train, data = held("cifar10", "scenes")
    test, _ = held("cifar10", "scenes", "test")
    if tiny:
        train, test = train.subset(100), test.subset(50)
    size, epochs = (50, 1) if tiny else (500, 24)
    recipe = Recipe(
        epochs * (len(train) // size),
        size,
        0.3,
        "sgd",
        "linear",
        weight_decay=5e-4,
        precision="bfloat16",
        channels_last=True,
        nesterov=True,
        warmup=0.2,
        decay="weights",
        augmentation=Augmentation(mirror=True, padding=4),
    )
    runs = []
    for seed in range(1 if tiny else 2):  # the first run includes cuDNN's planning
        net = build(generator(seed, "weights"), 8 if tiny else 1)
        seconds = seconds_of(
            net, train.images, train.labels, plain, recipe, device=device, static=True
        )
        with torch.no_grad(), arithmetic(device):
            answers = [net(as_float(part.to(device))).argmax(1) for part in test.images.split(500)]
        right = (torch.cat(answers).cpu() == test.labels).double().mean()
        runs.append({"seconds": seconds, "accuracy": 100 * float(right)})
    return {"data": data, "epochs": epochs, "batch_size": size, "runs": runs}


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
