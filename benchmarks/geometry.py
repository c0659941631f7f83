"""Compare the seconds in which our code and a plain loop compute the geometry of Figure 4, on four
paths of 400 points.

    python -m benchmarks.geometry

At each point, the plain loop computes the Jacobian with `torch.autograd.functional.jacobian`, its
singular values and the length element. First the results of our code and of the loop are compared.
Then both are timed alternately on all cores. The ratio of their times is computed within each
round; the median over the rounds counts. The module prints a table and writes
`benchmarks/results/geometry.json`.
"""

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.measures import Walk, length_element, straight_path, walk
from robustbook.networks import initialise, sigmoid_mlp
from robustbook.randomness import generator

from .attacks import ROOT, processor

RESULT = ROOT / "benchmarks" / "results" / "geometry.json"
PAIRS = ((1, 7), (3, 7), (6, 9), (0, 6))
Way = Callable[[nn.Module, Tensor, Tensor, Tensor], Walk]


@click.command(help="Time the geometry of Figure 4 beside a loop. Example: --rounds 9")
@click.option("--points", type=click.IntRange(2), default=400, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(points: int, rounds: int, output: Path) -> None:
    load_before = round(os.getloadavg()[0], 1)
    if load_before > 0.5:
        click.echo(f"other work is running (load {load_before}): expect noise", err=True)
    net = sigmoid_mlp(200)
    initialise(net, "normal", generator(0, "benchmark"))
    net = net.double().eval()
    test = load("digits", "test")
    firsts = [int((test.labels == digit).nonzero()[0]) for digit in range(10)]
    images = as_float(test.images[firsts]).double()
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    ways: dict[str, Way] = {"ours": walk, "ours, any network": general, "loop": loop}
    for source, target in PAIRS:
        ours, *others = (way(net, images[source], images[target], t) for way in ways.values())
        for other in others:
            for name, values in vars(ours).items():
                torch.testing.assert_close(values, getattr(other, name), rtol=1e-6, atol=1e-6)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            for source, target in PAIRS:
                way(net, images[source], images[target], t)
            seconds[name].append(time.perf_counter() - began)
    rows = [
        {
            "way": name,
            "seconds": _digits(statistics.median(times)),
            "seconds_range": [_digits(min(times)), digits(max(times))],
            "ratio_to_ours": _digits(
                statistics.median(a / b for a, b in zip(times, seconds["ours"], strict=True))
            ),
        }
        for name, times in seconds.items()
    ]
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "load_before": load_before,
        "network": "784-200-200-10 sigmoid MLP, N(0, 1) weights, float64",
        "paths": len(PAIRS),
        "points": points,
        "rounds": rounds,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    for row in rows:
        click.echo(f"{row['way']:20}{row['seconds']:8.3f} s{row['ratio_to_ours']:8.1f} x ours")
    click.echo(f"written to {output}")


def _digits(number: float) -> float:
    return float(f"{number:.4g}")


def general(net: nn.Module, source: Tensor, target: Tensor, t: Tensor) -> Walk:
    """Return the same quantities by our code for general networks, which computes full Jacobians in
    one batch.
    """
    return walk(lambda images: net(images), source, target, t)


def loop(net: nn.Module, source: Tensor, target: Tensor, t: Tensor) -> Walk:
    """Return the same quantities by a plain loop over the points."""
    step = (target - source).flatten()
    found = []
    for image in straight_path(source, target, t):
        logits = net(image[None])[0].detach()
        jacobian = torch.autograd.functional.jacobian(lambda x: net(x[None])[0], image).flatten(1)
        p, v = logits.softmax(0), jacobian @ step
        change = (p * (v - p @ v)).abs().sum() / 2
        found.append((p, length_element(p, v), change, torch.linalg.svdvals(jacobian)))
    p, length, change, values = map(torch.stack, zip(*found, strict=True))
    return Walk(p, length, change, values)


if __name__ == "__main__":
    main()
