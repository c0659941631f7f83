"""Compare the seconds of a step of adversarial training with those of plain training steps.

    python -m benchmarks.adversarial_training

A step of PGD-k training is compared with k + 1 plain training steps, because both need the same
number of passes through the network. Both use `fit`, with the same network, batches and optimiser.
Adversarial and plain steps are timed alternately, on one thread. A ratio is the time of the
adversarial step divided by the time of the plain steps, as the median over rounds. The module
prints a table and writes `benchmarks/results/adversarial_training.json`.
"""

import datetime
import json
import os
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from robustbook.data import load
from robustbook.defenses import (
    MOSBACH,
    goodfellow,
    inner_fgsm,
    inner_fgsm_rs,
    inner_n_fgsm,
    inner_pgd,
    inner_trades,
    trades,
    weighted_training,
)
from robustbook.networks import lenet, vgg16
from robustbook.randomness import generator
from robustbook.training import Recipe, fit

from .attacks import ROOT, processor

RESULT = ROOT / "benchmarks" / "results" / "adversarial_training.json"


def _weighted(name: str, k: int = 0) -> Any:
    """Return a training objective of Mosbach et al. 2018, with an inner attack of k PGD steps."""
    attack = inner_pgd(0.3, k, 0.1) if k else None
    return partial(weighted_training, weights=MOSBACH[name], attack=attack)


CASES: dict[str, tuple[int, Any]] = {
    "clean logit pairing": (1, _weighted("CLP")),
    "logit squeezing": (1, _weighted("LSQ")),
    "Goodfellow": (3, partial(weighted_training, weights=goodfellow(), attack=inner_fgsm(0.3))),
    "FGSM-RS": (
        2,
        partial(weighted_training, weights=MOSBACH["100% AT"], attack=inner_fgsm_rs(0.3)),
    ),
    "N-FGSM": (
        2,
        partial(weighted_training, weights=MOSBACH["100% AT"], attack=inner_n_fgsm(0.3)),
    ),
    **{f"PGD-{k}": (k + 1, _weighted("100% AT", k)) for k in (1, 7, 10)},
    "50% AT + ALP, PGD-10": (12, _weighted("50% AT + ALP", 10)),
    "TRADES, 10 steps": (12, partial(trades, attack=inner_trades(0.3, 10, 0.1))),
}
"""For each training objective, two values: the number of plain steps that need the same number of
passes through the network, and the objective itself.
"""


def networks() -> dict[str, tuple[nn.Module, str]]:
    start = generator(0, "benchmark")
    return {
        "lenet": (lenet(nn.Identity(), start), "digits"),
        "vgg16, 1/8": (vgg16(start, 8), "scenes"),
    }


def seconds(net: nn.Module, data: str, objective: Any, steps: int, batch: int) -> float:
    """Return the seconds of one training step."""
    found = load(data, "train")

    def terms(net: Any, images: Any, labels: Any, coefficient: Any) -> Any:
        return objective(net, images, labels)

    # The learning rate is so small that no objective diverges; it does not change the time.
    recipe = Recipe(steps, batch, 1e-5, "sgd", channels_last=True)
    fitted = fit(net, found.images, found.labels, terms, recipe, seed=0)
    return float(fitted.seconds / steps)


@click.command(help="Time adversarial training beside plain training. Example: --rounds 9")
@click.option("--steps", type=click.IntRange(1), default=20, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(steps: int, batch: int, rounds: int, output: Path) -> None:
    load_before = round(os.getloadavg()[0], 1)
    torch.set_num_threads(1)
    plain = partial(weighted_training, weights=MOSBACH["Plain"])
    rows = []
    for name, (net, data) in networks().items():
        for case, (count, objective) in CASES.items():
            ratios = []
            for round_ in range(-1, rounds):  # the first round is not kept
                usual = seconds(net, data, plain, steps * count, batch)
                ours = seconds(net, data, objective, steps, batch)
                if round_ >= 0:
                    ratios.append(ours / (count * usual))
            ratio = float(f"{statistics.median(ratios):.4g}")
            rows.append({"network": name, "objective": case, "plain_steps": count, "ratio": ratio})
            click.echo(f"{name:12} {case:12} {ratio:.3f} of {count} plain steps")
    report = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "torch": torch.__version__.split("+")[0],
        "load_before": load_before,
        "steps": steps,
        "batch": batch,
        "rounds": rounds,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()
