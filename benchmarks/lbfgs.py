"""Compare the seconds of the 90 attacks of Figure 5: by our code, which runs them as one batch, and
by two other libraries, which run them one after the other.

    python -m benchmarks.lbfgs                    # digits, which need no download
    python -m benchmarks.lbfgs --profile paper    # the networks of the book, from the store

The other two programs are scipy's L-BFGS-B and `torch.optim.LBFGS` (with its strong Wolfe line
search). All three have the same start, history, tolerances and limit of iterations. Each attack
ends at the first evaluated image that is classified as the target class. All are timed alternately
on one thread, as in the book's experiments. A ratio of two times is computed within each round; the
median over the rounds counts. The table also has the numbers of successful attacks and of evaluated
images, because different implementations take different paths. Two rows of the table give a lower
limit of the time: forward and backward passes of the network alone, for the number of images that
our attack evaluates. One row passes the images one by one, the other 90 at a time. The module
prints a table and writes `benchmarks/results/lbfgs.json`.
"""

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import scipy
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustbook.attacks import lbfgs
from robustbook.runs import Store, run
from robustbook.studies.saturating.networks import test_images, train, trained
from robustbook.studies.saturating.table_1 import TEST, mlps
from robustbook.studies.saturating.targeted import pairs, sources

from .attacks import ROOT, processor

RESULT = ROOT / "benchmarks" / "results" / "lbfgs.json"
STEPS, HISTORY, GTOL, FTOL = 1000, 10, 1e-5, 2.220446049250313e-09
Way = Callable[[nn.Module, Tensor, Tensor, Tensor], tuple[int, int]]


class Reached(Exception):
    """The exception that ends a search as soon as the network predicts the target class."""


@click.command(help="Time L-BFGS beside loops. Example: --profile paper --rounds 5")
@click.option("--profile", type=click.Choice(["quick", "paper"]), default="quick")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(profile: str, rounds: int, output: Path) -> None:
    load_before = round(os.getloadavg()[0], 1)
    if load_before > 0.5:
        click.echo(f"other work is running (load {load_before}): expect noise", err=True)
    threadpool_limits(1)  # limits the threads of numpy and scipy too
    torch.set_num_threads(1)
    rows = []
    for method in ("vanilla", "saturated"):
        training = mlps(profile)["sigmoid-mlp", method]  # type: ignore[index]
        (done,) = run([train(training, 0)], store=Store(), workers=0)
        net = trained(done, "cpu").requires_grad_(False)
        x, y = test_images(training.data, TEST[profile], "cpu")
        at, source, target = pairs(sources(net, x, y, "least"))
        rows += compare(net, x[at], source, target, method, rounds)
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "scipy": scipy.__version__,
        "load_before": load_before,
        "network": "784-200-200-10 sigmoid MLP, float32",
        "data": training.data,
        "pairs": len(at),
        "rounds": rounds,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    for row in rows:
        click.echo(
            f"{row['method']:10}{row['way']:28}{row['seconds']:9.3f} s"
            f"{row['ratio_to_ours']:8.1f} x ours{row['found']:5d} found"
            f"{row['evaluations']:7d} evaluations"
        )
    click.echo(f"written to {output}")


def compare(
    net: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, method: str, rounds: int
) -> list[dict[str, Any]]:
    """Return one row per implementation, timed alternately after a first round that is not kept."""
    ways: dict[str, Way] = {"ours": ours, "scipy, loop": by_scipy, "torch.optim, loop": by_torch}
    counts = {name: way(net, images, labels, targets) for name, way in ways.items()}
    for name, size in (("network alone, one by one", 1), ("network alone, 90 at a time", 90)):
        ways[name] = partial(alone, times=counts["ours"][1], size=size)
        counts[name] = (0, counts["ours"][1])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way(net, images, labels, targets)
            seconds[name].append(time.perf_counter() - began)
    return [
        {
            "method": method,
            "way": name,
            "found": counts[name][0],
            "evaluations": counts[name][1],
            "seconds": statistics.median(times),
            "seconds_range": [min(times), max(times)],
            "ratio_to_ours": statistics.median(
                a / b for a, b in zip(times, seconds["ours"], strict=True)
            ),
        }
        for name, times in seconds.items()
    ]


def ours(net: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[int, int]:
    """Attack all pairs as one batch. Return two numbers: of successful attacks, and of evaluated
    images.
    """
    given = {"steps": STEPS, "history": HISTORY, "gtol": GTOL, "ftol": FTOL}
    result = lbfgs(net, images, labels, targets=targets, clip=False, **given)  # type: ignore[arg-type]
    return int(result.found.sum()), result.backwards


def alone(
    net: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, *, times: int, size: int
) -> tuple[int, int]:
    """Compute only the network's loss and its gradient for `times` images, without any search."""
    for _ in range(times // size):
        leaf = images[:size].clone().requires_grad_()
        torch.autograd.grad(cross_entropy(net(leaf), targets[:size], reduction="sum"), leaf)
    return 0, times


def by_scipy(net: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[int, int]:
    """Attack pair by pair with scipy. Return two numbers: of successful attacks, and of evaluated
    images.
    """
    found = evaluations = 0
    for image, target in zip(images, targets[:, None], strict=True):

        def both(x: Any, shape: torch.Size = image.shape, target: Tensor = target) -> Any:
            nonlocal evaluations
            evaluations += 1
            leaf = torch.from_numpy(x).float().view(1, *shape).requires_grad_()
            logits = net(leaf)
            loss = cross_entropy(logits, target)
            if int(logits.argmax()) == int(target):
                raise Reached
            (gradient,) = torch.autograd.grad(loss, leaf)
            return loss.item(), gradient.flatten().double().numpy()

        options = {"maxiter": STEPS, "maxfun": 10**6, "maxcor": HISTORY, "gtol": GTOL, "ftol": FTOL}
        start = image.flatten().double().numpy()
        try:
            minimize(both, start, jac=True, method="L-BFGS-B", options=options)
        except Reached:
            found += 1
    return found, evaluations


def by_torch(net: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[int, int]:
    """Attack pair by pair with torch. Return two numbers: of successful attacks, and of evaluated
    images. Unlike scipy, torch has an absolute tolerance on the loss, and limits evaluations to 5/4
    of the iterations.
    """
    found = evaluations = 0
    for image, target in zip(images, targets[:, None], strict=True):
        leaf = image[None].clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [leaf],
            max_iter=STEPS,
            tolerance_grad=GTOL,
            tolerance_change=FTOL,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )

        def closure(
            leaf: Tensor = leaf, target: Tensor = target, optimiser: Any = optimiser
        ) -> Tensor:
            nonlocal evaluations
            evaluations += 1
            logits = net(leaf)
            loss = cross_entropy(logits, target)
            if int(logits.argmax()) == int(target):
                raise Reached
            (leaf.grad,) = torch.autograd.grad(loss, leaf)
            return loss.detach()

        try:
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        except Reached:
            found += 1
    return found, evaluations


if __name__ == "__main__":
    main()
