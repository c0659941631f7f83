"""Measure how three training choices of Nayebi & Ganguli 2017 (Section 4) change the accuracy.

The paper found that the saturation penalty worked best if it included the last layer, and that it
was essential to anneal its weight lambda, that is, to raise it from 0 in steps. For adversarial
training, the weight alpha = 0.5 for the loss on clean images performed best. This study changes one
of these three choices at a time, with the same seed. Lambda rises faster than for Table 1, because
with the slow rise there, training the ten networks of this study would take a day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from robustbook.ledger import Row
from robustbook.measures import Attack
from robustbook.runs import Call, Done

from .networks import Anneal, Training, evaluate, train
from .settings import MAIN, TEST, mlps, readings, saturated_sigmoid

PENALTY, LAMBDA = "penalty", "lambda"
ALPHA = {"sigmoid-mlp": "alpha, sigmoid", "relu-mlp": "alpha, ReLU"}
ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
READINGS = ("clean", MAIN, f"{MAIN}, clipped")
BESIDE = {(LAMBDA, "one jump"), *((ALPHA["relu-mlp"], str(alpha)) for alpha in ALPHAS)}
"""Variants of training that are not compared with the paper: profile ``paper`` runs them with the
first seed only, profile ``quick`` not at all.
"""


def variants(profile: str, every: int) -> dict[tuple[str, str], Training]:
    """Return the training settings of all networks, as a dict with one entry per pair (changed
    choice, its new value).

    ``every``: the number of optimiser steps between two increases of lambda.
    """
    base = saturated_sigmoid(profile, every)
    assert base.anneal is not None
    plain, top = base.anneal.plain, base.anneal.rise * base.anneal.rises
    whole, rest = base.recipe.steps, base.recipe.steps - plain
    found = {
        (PENALTY, "all layers"): base,
        (PENALTY, "hidden layers only"): replace(base, layers="hidden"),
        # "constant": lambda has its maximum from the first step on; "one jump": after `plain`. Both
        # trainings have as many steps as the one with a slow rise.
        (LAMBDA, "constant"): replace(base, anneal=Anneal(0, top, 1, whole)),
        (LAMBDA, "one jump"): replace(base, anneal=Anneal(plain, top, 1, rest)),
    }
    for network, varied in ALPHA.items():
        goodfellow = mlps(profile)[network, "adversarial"]
        for alpha in ALPHAS:
            found[varied, str(alpha)] = replace(goodfellow, alpha=alpha)
    return found


def calls(profile: str, seeds: tuple[int, ...], every: int) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key ("ablation",
    changed choice, its new value, seed).
    """
    attacks = (Attack("none"), *(readings(0.25)[name] for name in READINGS[1:]))
    beside = seeds[:1] if profile == "paper" else ()
    return {
        ("ablation", *variant, seed): evaluate(train(training, seed), attacks, TEST[profile])
        for variant, training in variants(profile, every).items()
        for seed in (beside if variant in BESIDE else seeds)
    }


def rows(
    results: Mapping[tuple[Any, ...], Done],
    profile: str,
    seeds: tuple[int, ...],
    every: int,
    points: float,
) -> Iterator[Row]:
    """Yield for each seed the tests of the paper's claims about the three training choices, and the
    accuracies of all networks.

    ``points``: a difference between two accuracies counts only if it is above this number of
        percentage points.
    """
    target, size = "saturating/text-4/claim", TEST[profile]
    for seed in seeds:
        found = {
            variant: dict(
                zip(READINGS, results["ablation", *variant, seed].values["accuracy"], strict=True)
            )
            for variant in variants(profile, every)
            if ("ablation", *variant, seed) in results
        }
        ours, hidden = found[PENALTY, "all layers"], found[PENALTY, "hidden layers only"]
        yield Row(ours[MAIN], "percent", f"{target}/readout-penalised", seed=seed, images=size)
        yield Row(hidden[MAIN], "percent", f"{target}/hidden-only", seed=seed, images=size)
        lost = lost_without_anneal(ours, found[LAMBDA, "constant"])
        essential = f"{target}/annealing-essential"
        yield Row(lost, "percent", essential, seed=seed, holds=lost > points)
        alphas = {alpha: found[ALPHA["sigmoid-mlp"], str(alpha)][MAIN] for alpha in ALPHAS}
        behind = max(alphas.values()) - alphas[0.5]
        best = f"{target}/alpha-half-best"
        yield Row(behind, "percent", best, seed=seed, holds=behind <= points)
        for (varied, how), accuracies in found.items():
            for reading, value in accuracies.items():
                labels: dict[str, str | float | int | bool]
                labels = {"varied": varied, "how": how, "reading": reading}
                yield Row(value, "percent", None, "accuracy", seed, setting=labels)


def lost_without_anneal(annealed: Mapping[str, float], constant: Mapping[str, float]) -> float:
    """Return by how many percentage points a constant lambda lowers the accuracy, compared with a
    rising lambda. The result is for the accuracy that falls more, of the clean accuracy and that
    under FGSM.
    """
    return max(annealed[reading] - constant[reading] for reading in ("clean", MAIN))
