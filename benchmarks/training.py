"""Compare the seconds of training by `fit` with those of a bare PyTorch loop over the same steps.

    python -m benchmarks.training

`fit` and the loop train the same network on the same number of batches with the same optimiser,
from images in memory. The bare loop cannot resume, has no checks and keeps no history. `fit` and
the loop are timed alternately, on one thread. The ratio of their times is the median over the
rounds. The module prints a table and writes `benchmarks/results/training.json`.
"""

import datetime
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.networks import lenet, vgg16
from robustbook.randomness import generator
from robustbook.training import Recipe, fit

from .attacks import ROOT, processor

RESULT = ROOT / "benchmarks" / "results" / "training.json"


def objective(net: Any, images: Any, labels: Any, coefficient: Any) -> dict[str, Any]:
    return {"loss": F.cross_entropy(net(images), labels)}


def networks() -> dict[str, tuple[nn.Module, str]]:
    """Return each network, and the name of the image set on which it is trained."""
    start = generator(0, "benchmark")
    found: dict[str, tuple[nn.Module, str]] = {
        "lenet": (lenet(nn.Identity(), start), "digits"),
        "vgg16, 1/8": (vgg16(start, 8), "scenes"),
    }
    return found


def through_fit(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    recipe = Recipe(steps, 50, 0.01, "sgd", channels_last=True)
    fit(net, images, labels, objective, recipe, seed=0)


def bare(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """Make the same training steps as `fit` in a bare loop, which stores no checkpoint and no
    history.
    """
    net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    for step in range(steps):
        if step % (len(images) // 50) == 0:
            order = torch.randperm(len(images))
        at = order[step % (len(images) // 50) * 50 :][:50]
        x = as_float(images[at]).to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels[at]).backward()
        optimizer.step()


@click.command(help="Time training through fit beside a bare loop. Example: --rounds 9")
@click.option("--steps", type=click.IntRange(1), default=40, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(steps: int, rounds: int, output: Path) -> None:
    load_before = round(os.getloadavg()[0], 1)
    torch.set_num_threads(1)
    rows = []
    for name, (net, data) in networks().items():
        found = load(data, "train")
        seconds: dict[str, list[float]] = {"fit": [], "bare": []}
        for round_ in range(-1, rounds):  # the first round is not kept
            for way, job in (("fit", through_fit), ("bare", bare)):
                began = time.perf_counter()
                job(net, found.images, found.labels, steps)
                if round_ >= 0:
                    seconds[way].append((time.perf_counter() - began) / steps)
        ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
        medians = {way: float(f"{statistics.median(each):.4g}") for way, each in seconds.items()}
        rows.append({"network": name, **medians, "ratio": float(f"{ratio:.4g}")})
        click.echo(
            f"{name:12} fit {medians['fit']:.4f} s, bare {medians['bare']:.4f} s: {ratio:.3f}"
        )
    report = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "torch": torch.__version__.split("+")[0],
        "load_before": load_before,
        "steps": steps,
        "rounds": rounds,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()
