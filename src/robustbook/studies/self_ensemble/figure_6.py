"""Reproduce Figure 6 of Random Self-Ensemble: how accuracy and distortion depend on c, for three
networks and five defenses.

The study also compares the accuracies of the defenses at equal distortion, which the paper does
only for VGG16, with RSE and without a defense. The distortion is the root mean square of the l2
distance between clean and attacked image. As in the released code, it is computed over all images,
including those that are misclassified without any attack.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import share_row

from . import printed, settings
from .attack import Swept
from .curves import Curve, crossover, interpolated
from .settings import DEFENSES, PAPER, TARGETS
from .sweep import cell, clean_cost, points, swept

ITEM = "figure-6"
JUDGES = ("figure-6", "text-3", "text-4.3")
ACCURACY_AT = (0.0, 0.01, 0.1, 1.0)
DISTORTION_AT = (0.1, 1.0, 100.0)
NEAR = 0.21
EQUAL = (0.1, NEAR, 0.3)
"""The distortions at which the accuracies are compared with those that we read from the paper's
figure.
"""
Parameters = settings.OfImages


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
        found = swept(results, seed, paper=p.profile == "paper")
        for (network, defense, c), at in found.items():
            rows += cell(network, defense, c, seed, at, _targets(network, defense, c))
        for network in dict.fromkeys(network for network, _, _ in found):
            of = {(d, c): at for (net, d, c), at in found.items() if net == network}
            rows += _compared(network, of, seed)
            curves = {
                d: sorted((at.distortion, at.accuracy) for (e, _), at in of.items() if e == d)
                for d, _ in of
            }
            rows += _equal(network, curves, {d: at for (d, _), at in of.items()}, seed)
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

    Most results contain only the first of the two numbers; the book's ledger looks up the second.
    """
    start = f"{TARGETS}/{ITEM}/{network}"
    for other in DEFENSES:
        if other != "rse" and (at := of.get(("rse", 0.1))):
            target = f"{start}/rse-above-{other}/c-0.1"
            yield share_row(at.right, target, seed=seed, differs=at.differs)
        if other != "rse" and (at := of.get(("rse", 100.0))):
            target = f"{start}/rse-distortion-above-{other}/c-100"
            far, error = at.distortion, at.distortion_error
            yield Row(far, "l2", target, seed=seed, differs=at.differs, error=error)
    side = {"model-a": "below", "resnext": "above"}.get(network)
    if side and (at := of.get(("brelu", 0.1))):
        target = f"{start}/brelu-{side}-none"
        yield share_row(at.right, target, seed=seed, differs=at.differs)
    name = "clean-cost" if network == "vgg16" else f"clean-cost-{network}"
    yield from clean_cost(name, of, seed)


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
    network: str, curves: Mapping[str, Curve], of: Mapping[str, Swept], seed: int
) -> Iterator[Row]:
    """Yield the accuracies of the defenses at equal distortion, and also the distortion at which
    the curves of two defenses cross. On Model A the book's ledger orders no defense and RSE at the
    distortion `NEAR`, where the authors' network without a defense is more accurate.

    ``of``: for each curve, the results at any of its points.
    """
    start = f"{TARGETS}/{ITEM}/equal-distortion/{network}"
    for defense, curve in curves.items():
        own: dict[str, Any] = {"images": len(of[defense].right), "differs": of[defense].differs}
        labels: dict[str, Any] = {"network": network, "defense": defense}
        for d in EQUAL:
            value = interpolated(curve, d)
            if value is None:
                continue
            target = f"{start}/{defense}/d-{d:g}" if defense in ("none", "brelu", "rse") else None
            name, where = "accuracy at distortion", {**labels, "distortion": d}
            yield Row(value, "percent", target, name, seed, setting=where, **own)
            if (network, d, defense) == ("model-a", NEAR, "none"):
                yield Row(value, "percent", f"{start}/none-above-rse/d-{d:g}", seed=seed, **own)
            if network == "vgg16" and d == NEAR and defense in ("none", "rse"):
                target = f"{TARGETS}/text-4.3/{defense}-success-at-0.21"
                yield Row(100 - value, "percent", target, seed=seed, **own)
    leader = {"model-a": "none", "resnext": "brelu"}.get(network, "")
    if leader in curves and "rse" in curves:
        crossing = crossover(curves[leader], curves["rse"])
        if crossing is not None:
            labels = {"network": network, "defense": leader}
            yield Row(crossing, "l2", None, "crossing with RSE", seed, setting=labels)


def _whole(found: Mapping[tuple[str, str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield for each curve the absolute difference between our accuracy and the authors', averaged
    over c. Yield also the mean of these averages over all 15 curves.
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
