"""Reproduce Figure 6 of Random Self-Ensemble: how accuracy and distortion depend on c, for three
networks and five defenses.

The study also compares the accuracies of the defenses at equal distortion, which the paper does not
do. The distortion is the root mean square of the l2 distance between clean and attacked image, as
in the released code over all images, including those that are misclassified without any attack.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import share_row

from . import printed, settings
from .attack import Swept
from .settings import DEFENSES, PAPER, TARGETS
from .sweep import cell, interpolated, points, swept

ITEM = "figure-6"
JUDGES = ("figure-6", "text-3", "text-4.3")
ACCURACY_AT = (0.0, 0.01, 0.1, 1.0)
DISTORTION_AT = (0.1, 1.0, 100.0)
EQUAL = (0.1, 0.21, 0.3)
"""The distortions at which the accuracies are compared with those that we read from the paper's
figure.
"""
UNDERTRAINED = {
    ("paper", "model-a", "adv"): (
        "our adversarial retraining has 24 epochs, the authors' 300, and does not reach the "
        "paper's accuracy on clean images"
    )
}
"""By profile, network and defense: in what a training that is too short differs from the paper's.
"""
Parameters = settings.OfImages
Curve = list[tuple[float, float]]
"""A curve: pairs (distortion, accuracy), in increasing order of distortion."""


def calls(p: settings.OfImages) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, c, index of the job's first test image).
    """
    return {
        (network, defense, seed, c, first): call
        for network, own in p.chosen().items()
        for defense in own.defenses
        for seed in p.seeds
        for (c, first), call in points(own, defense, seed, own.cs).items()
    }


def condense(p: settings.OfImages, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: accuracy and distortion at each point of the figure, and the
    results that test the paper's comparisons.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        found = swept(results, seed)
        for (network, defense, c), at in found.items():
            own = cell(network, defense, c, seed, at, _targets(network, defense, c))
            differs = UNDERTRAINED.get((p.profile, network, defense), "")
            rows += (replace(row, differs=differs) for row in own)
        for network in dict.fromkeys(network for network, _, _ in found):
            of = {(d, c): at for (net, d, c), at in found.items() if net == network}
            rows += _compared(network, of, seed)
            curves = {
                d: sorted((at.distortion, at.accuracy) for (e, _), at in of.items() if e == d)
                for d, _ in of
            }
            images = {d: len(at.right) for (d, _), at in of.items()}
            rows += _equal(network, curves, images, seed)
        rows += _size(found, seed)
        rows += _whole(found, seed)
    return p.record(PAPER, ITEM, rows)


def _targets(network: str, defense: str, c: float) -> dict[str, str]:
    start = f"{TARGETS}/{ITEM}/{network}/{defense}"
    found = {"accuracy": f"{start}/accuracy-c-{c:g}"} if c in ACCURACY_AT else {}
    if c in DISTORTION_AT:
        found["distortion"] = f"{start}/distortion-c-{c:g}"
    return found if defense in DEFENSES else {}


def _compared(network: str, of: Mapping[tuple[str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield the results that test the paper's comparisons between two accuracies or two
    distortions.

    Most of them contain only the first of the two numbers; the book's ledger looks up the second.
    """
    start = f"{TARGETS}/{ITEM}/{network}"
    for other in DEFENSES:
        if other != "rse" and ("rse", 0.1) in of:
            target = f"{start}/rse-above-{other}/c-0.1"
            yield share_row(of["rse", 0.1].right, target, seed=seed)
        if other != "rse" and ("rse", 100.0) in of:
            target = f"{start}/rse-distortion-above-{other}/c-100"
            yield Row(of["rse", 100.0].distortion, "l2", target, seed=seed)
    side = {"model-a": "below", "resnext": "above"}.get(network)
    if side and ("brelu", 0.1) in of:
        target = f"{start}/brelu-{side}-none"
        yield share_row(of["brelu", 0.1].right, target, seed=seed)
    if ("none", 0.0) in of and ("rse", 0.0) in of:
        name = "clean-cost" if network == "vgg16" else f"clean-cost-{network}"
        cost = of["none", 0.0].accuracy - of["rse", 0.0].accuracy
        yield Row(cost, "percent", f"{TARGETS}/text-3/{name}", seed=seed)


def _size(found: Mapping[tuple[str, str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield two settings of VGG16, the network of Table 2: the numbers of test images and of values
    of c including 0. Both are counted in the run, because small runs use fewer.
    """
    of = {c: len(at.right) for (network, _, c), at in found.items() if network == "vgg16"}
    if of:
        setup = f"{TARGETS}/setup"
        yield Row(min(of.values()), "count", f"{setup}/test-images", seed=seed)
        yield Row(len(of), "count", f"{setup}/c-values", seed=seed)


def _equal(
    network: str, curves: Mapping[str, Curve], images: Mapping[str, int], seed: int
) -> Iterator[Row]:
    """Yield the accuracies of the defenses at equal distortion, and also the distortion at which
    the curves of two defenses cross.

    ``images``: the number of test images of each curve.
    """
    start = f"{TARGETS}/{ITEM}/equal-distortion/{network}"
    for defense, curve in curves.items():
        of: dict[str, str | float | int | bool] = {"network": network, "defense": defense}
        for d in EQUAL:
            value = interpolated(curve, d)
            if value is None:
                continue
            target = f"{start}/{defense}/d-{d:g}" if defense in ("none", "brelu", "rse") else None
            name, labels = "accuracy at distortion", {**of, "distortion": d}
            n = images[defense]
            yield Row(value, "percent", target, name, seed, n, setting=labels)
            if network == "vgg16" and d == 0.21 and defense in ("none", "rse"):
                target = f"{TARGETS}/text-4.3/{defense}-success-at-0.21"
                yield Row(100 - value, "percent", target, seed=seed, images=n)
    leader = {"model-a": "none", "resnext": "brelu"}.get(network, "")
    if leader in curves and "rse" in curves:
        crossing = crossover(curves[leader], curves["rse"])
        if crossing is not None:
            yield Row(crossing, "l2", f"{start}/crossover", seed=seed)


def _whole(found: Mapping[tuple[str, str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield for each curve the mean over c of the absolute difference between our accuracy and the
    authors', and the mean over all 15 curves.
    """
    theirs = printed.points()
    means = []
    for (network, defense), curve in theirs.items():
        if all((network, defense, c) in found for c in curve):
            mean = fmean(
                abs(found[network, defense, c].accuracy - accuracy)
                for c, (accuracy, _) in curve.items()
            )
            means.append(mean)
            of: dict[str, str | float | int | bool] = {"network": network, "defense": defense}
            yield Row(mean, "percent", None, "mean difference of accuracy", seed, setting=of)
    if len(means) == len(theirs):
        yield Row(fmean(means), "percent", f"{TARGETS}/{ITEM}/whole-curve", seed=seed)


def crossover(first: Curve, second: Curve, grid: int = 1000) -> float | None:
    """Return the smallest distortion beyond which the second curve is nowhere below the first,
    compared at ``grid`` + 1 equally spaced distortions.
    """
    end = min(first[-1][0], second[-1][0])
    last = None
    for i in range(grid, -1, -1):
        d = end * i / grid
        one, two = interpolated(first, d), interpolated(second, d)
        if one is None or two is None or two < one:
            break
        last = d
    return last
