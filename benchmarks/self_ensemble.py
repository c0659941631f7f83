"""Measure the seconds that Random Self-Ensemble takes for a prediction with 50 noise draws, and for
a training step.

    python -m benchmarks.self_ensemble

For a prediction, our code passes the noise draws through the network in batches. A plain loop makes
one pass per draw, with noise from `torch.randn_like`. Both are timed alternately on all cores. The
ratio of their times is computed within each round; the median over the rounds counts. The module
prints a table and writes `benchmarks/results/self_ensemble.json`.
"""

import datetime
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.defenses import Noisy, ensemble, noisy
from robustbook.networks import model_a, resnext29, vgg16
from robustbook.randomness import generator

from .attacks import ROOT, processor

RESULT = ROOT / "benchmarks" / "results" / "self_ensemble.json"
NETWORKS = {"vgg16": (vgg16, 32), "resnext": (resnext29, 32), "model-a": (model_a, 96)}
DRAWS = 50


@click.command(help="Time 50 draws and a training step with noise. Example: --networks vgg16")
@click.option("--networks", type=click.Choice([*NETWORKS]), multiple=True, default=[*NETWORKS])
@click.option("--narrow", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(networks: tuple[str, ...], narrow: int, rounds: int, output: Path) -> None:
    load_before = round(os.getloadavg()[0], 1)
    if load_before > 0.5:
        click.echo(f"other work is running (load {load_before}): expect noise", err=True)
    rows = [row for name in networks for row in measured(name, narrow, rounds)]
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "load_before": load_before,
        "draws": DRAWS,
        "narrow": narrow,
        "rounds": rounds,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    for row in rows:
        click.echo(f"{row['network']:10}{row['what']:34}{row['seconds']:9.4f} s{row['ratio']:8.2f}")
    click.echo(f"written to {output}")


def measured(name: str, narrow: int, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of one network: first those of predictions, for two batch sizes, then those
    of a training step.
    """
    build, size = NETWORKS[name]
    plain = build(generator(0, "weights"), narrow).eval()
    net = noisy(plain, init=0.1, inner=0.1).eval()
    rows = []
    for batch in (1, 16):
        images = torch.rand(batch, 3, size, size, generator=generator(0, "images"))
        ways = {"draws as a batch": ensemble_of, "draws in a loop": loop}
        jobs = {
            f"{what}, {batch} image{'s'[: batch > 1]}": partial(way, net, images)
            for what, way in ways.items()
        }
        rows += compared(name, jobs, rounds)
    images = torch.rand(32, 3, size, size, generator=generator(0, "images"))
    labels = torch.arange(32) % 10
    jobs = {
        "training step without noise": partial(train_step, plain.train(), images, labels),
        "training step with noise": partial(train_step, net.train(), images, labels),
    }
    return rows + compared(name, jobs, rounds)


def ensemble_of(net: Noisy, images: Tensor) -> Tensor:
    return ensemble(net, images, draws=DRAWS)


@torch.no_grad()
def loop(net: Noisy, images: Tensor) -> Tensor:
    """Return the mean of the softmax outputs over the noise draws, computed by one pass per
    draw.
    """
    return torch.stack([net(images).softmax(1) for _ in range(DRAWS)]).mean(0)


def train_step(net: nn.Module, images: Tensor, labels: Tensor) -> None:
    F.cross_entropy(net(images), labels).backward()


def compared(name: str, jobs: dict[str, Callable[[], Any]], rounds: int) -> list[dict[str, Any]]:
    """Return one row per job. The ratio in a row compares the job's time with that of the first
    job.
    """
    seconds: dict[str, list[float]] = {what: [] for what in jobs}
    for round_ in range(-1, rounds):  # the first round is not kept
        for what, job in jobs.items():
            began = time.perf_counter()
            job()
            if round_ >= 0:
                seconds[what].append(time.perf_counter() - began)
    first = seconds[next(iter(jobs))]
    return [
        {
            "network": name,
            "what": what,
            "seconds": float(f"{statistics.median(times):.4g}"),
            "ratio": float(
                f"{statistics.median(a / b for a, b in zip(times, first, strict=True)):.4g}"
            ),
        }
        for what, times in seconds.items()
    ]


if __name__ == "__main__":
    main()
