"""Compute the content of the page on the theory: which steps of section 3.1 of the Random
Self-Ensemble paper hold.
"""

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, of_target, settings, values
from robustbook.chapters.wording import from_to, listed, minus, spread, whole_percent
from robustbook.figures import LOOKS, Points, Scatter, Table, table
from robustbook.ledger import Record

from .names import counted, in_text, networks, ranges, title

JENSEN = "self-ensemble/claim-jensen"
TRACE = "self-ensemble/claim-taylor-trace"
SMALL = 0.01
"""The standard deviation of the noise at which we test the Taylor expansion."""
DEFENSES = {"none": "no defense", "rse": "RSE"}


def answer(record: Record) -> str:
    """Return sentences that answer which steps of the proof hold: Jensen's bound, the Taylor
    expansion, and the last step to a Lipschitz constant.
    """
    least, ratio = min(of_target(record, JENSEN)), fmean(of_target(record, TRACE))
    bound = "holds for every image" if least > -1e-6 else "fails for some images"
    norm = mean(record, "gap over norm", network="digits", scale=SMALL)
    return minus(
        f"Jensen's bound {bound}. On a small smooth network ({_smooth(record)} images), the Taylor "
        "expansion holds with the trace of the Hessian, but not with its norm: the change of the "
        f"mean loss is {ratio:.2f} times the prediction from the trace, and {norm:.2f} times that "
        "from the norm. On RSE itself we cannot decide whether it holds: the change is "
        f"{from_to(_on_rse(record), '.2f')} times the prediction from the trace "
        f"({_bent(record)} images). The step to a Lipschitz "
        "constant does not follow, because neither the trace nor the norm is such a constant."
    )


def _on_rse(record: Record) -> list[float]:
    """Return the measured change of RSE's loss divided by the change predicted from the trace, one
    number for each size of the noise.
    """
    network = networks(record)[0]
    scales = settings(record, "gap over trace", "scale", network=network)
    return [mean(record, "gap over trace", network=network, scale=s) for s in scales]


def _bent(record: Record) -> int:
    return len(record.arrays[f"{networks(record)[0]}/rse/bent/trace"])


def _smooth(record: Record) -> int:
    return len(record.arrays["digits/smooth/smooth/trace"])


def ran(record: Record) -> str:
    """Return sentences that state on which networks and how many images the steps were tested."""
    seeds = max(len(record.seeds), 1)
    parts = [
        f"{in_text(record, network)} (bound and gradients: {counted(record, network)} images; "
        f"Taylor expansion: {len(record.arrays[f'{network}/rse/bent/trace'])} images)"
        for network in networks(record)
    ]
    return (
        f"In the stored results, the steps are tested on {listed(parts)}, and on the smooth "
        f"network ({_smooth(record)} images), with "
        f"{'one seed' if seeds == 1 else f'{seeds} seeds'}."
    )


def taylor_in_words(record: Record) -> str:
    """Return sentences that state the measured change of RSE's loss divided by the predicted
    change, for all sizes of the noise.
    """
    network = networks(record)[0]
    scales = settings(record, "gap over trace", "scale", network=network)
    return minus(
        f"On RSE itself, we cannot decide whether the expansion holds. With {scales[0]:g} to "
        f"{scales[-1]:g} times the noise of the training, the ratio of measured to predicted "
        f"change is {from_to(_on_rse(record), '.2f')} instead of 1 ({title(record, network)}). "
        f"But these ratios come from {_bent(record)} images and few draws, and the loss of RSE has "
        "kinks."
    )


def correlations_in_words(record: Record) -> str:
    """Return a sentence that states the rank correlation of the Hessian's trace and the gradient
    norm over the images.
    """
    parts = [
        f"{mean(record, 'rank correlation', network=network, defense=defense):.2f} "
        f"({title(record, network)}, {words})"
        for network in networks(record)
        for defense, words in DEFENSES.items()
    ]
    counts = {counted(record, network) for network in networks(record)}
    return minus(
        f"Over {listed(sorted(map(str, counts)))} images the rank correlation of the trace "
        f"and the gradient norm is {listed(parts)}."
    )


def steps(record: Record) -> Figure:
    """Draw a panel for each of three steps of the theory: Jensen's bound, the Taylor expansion, and
    the Lipschitz step. The Lipschitz step compares the trace of the Hessian with the gradient.
    """
    network = networks(record)[0]
    panels = [_bound(record, network), _taylor(record, network), _slopes(record, network)]
    return figures.scatters(panels, columns=3, height=2.7)


def bound_in_words(record: Record) -> str:
    """Return sentences that state how tight Jensen's bound is, and what its second inequality says
    about misclassified images.
    """
    network = networks(record)[0]
    most = max(map(int, settings(record, "mean claim-jensen", "draws", network=network)))
    gap = mean(record, "mean claim-jensen", network=network, draws=most)
    wrong = mean(record, "misclassified", network=network)
    found = values(record, "confidence wrong", network=network)
    confidence = (
        f" On the misclassified images ({wrong:.0f} % of {counted(record, network)}), the right "
        f"side of the second inequality is {fmean(found):.2f} on average, although the prediction "
        "is wrong."
        if found
        else ""
    )
    return whole_percent(
        f"On {in_text(record, network)}, the mean loss over {most} draws exceeds the loss of the "
        f"mean probability by {gap:.3f} on average over the images.{confidence}"
    )


def slopes(version: Version) -> Table:
    """Return a table of the median trace of the Hessian and the median norm of the gradient, and
    the ratio of the trace to the squared norm. There is one row for each combination of network,
    defense and kind of image.
    """
    return table(
        f"{version.heading}. Medians over the test images: trace of the Hessian and norm of the "
        "gradient. The last column is the first median divided by the square of the second.",
        f"tab-rse-theory-slopes-{version.tag}",
        ["Network, images", "Trace", "Gradient norm", "Trace / squared norm"],
        [
            [f"{words}, {images}", f"{trace:.3g}", f"{slope:.3g}", f"{trace / slope**2:.2g}"]
            for words, images, trace, slope in _slopes_of(version.record)
        ],
    )


def slopes_in_words(record: Record) -> str:
    """Return a sentence that compares the trace with the squared gradient norm: on misclassified
    and on correctly classified images.
    """
    ratios: dict[str, dict[str, float]] = {}
    for words, images, trace, slope in _slopes_of(record):
        ratios.setdefault(words, {})[images] = trace / slope**2
    told: list[str] = []
    first = next(iter(ratios.values()))
    for words, of in ratios.items():
        short = bool(told) and of.keys() == first.keys()  # in the order of the first
        each = [f"{r:.2g}{'' if short else f' on {images} images'}" for images, r in of.items()]
        told.append(f"{listed(each)} ({words})")
    lead = "The median trace divided by the square of the median gradient norm is"
    if all(of.get("misclassified", 0.0) < of["correctly classified"] for of in ratios.values()):
        times = [of["correctly classified"] / of["misclassified"] for of in ratios.values()]
        return (
            "So the trace hardly shows how steep the loss is on misclassified images: relative to "
            f"the squared gradient norm it is {from_to(times, '.0f')} times smaller there than on "
            "correctly classified images (medians in the table below)."
        )
    return f"{lead} {'; '.join(told)}."


def _slopes_of(record: Record) -> Iterator[tuple[str, str, float, float]]:
    """Yield for each network, defense and kind of image the two names, and the medians of the trace
    and of the gradient norm.
    """
    for network in networks(record):
        for defense, words in DEFENSES.items():
            of = {"network": network, "defense": defense}
            for kind, name in (("wrong", "misclassified"), ("right", "correctly classified")):
                trace, slope = (values(record, n, images=kind, **of) for n in ("trace", "slope"))
                if trace:
                    yield f"{title(record, network)}, {words}", name, fmean(trace), fmean(slope)


def gaps(version: Version) -> Table:
    """Return a table that tests the Taylor expansion: the measured increase of the loss divided by
    the predicted increase. There is one row for each scale of the noise.
    """
    return table(
        f"{version.heading}. The increase of the mean loss by noise, divided by its prediction. "
        "The prediction is half the squared size of the noise, times the trace of the Hessian or "
        "its Frobenius norm. We sum over the images, and average over the seeds"
        f"{ranges(version.record)}. For the small smooth network the "
        "size is the standard deviation of the noise in each layer. For RSE it is the factor by "
        "which the standard deviations used in training are multiplied.",
        f"tab-rse-theory-gaps-{version.tag}",
        ["Network, size of the noise", "Over trace", "Over norm"],
        list(_gap_rows(version.record)),
    )


def bounds(version: Version) -> Table:
    """Return a table of the gaps in the two inequalities of Jensen's bound: the mean difference
    between the two sides of each inequality. There is one row for each number of noise draws.
    """
    return table(
        f"{version.heading}. The differences in both steps of the bound, mean over the test images "
        f"and seeds{ranges(version.record)}. *First step*: mean loss over the draws minus the loss "
        "of the mean probability. *Second step*: loss of the mean probability minus the negative "
        "logarithm of the largest mean probability.",
        f"tab-rse-theory-bounds-{version.tag}",
        ["Network, draws", "First step", "Second step"],
        list(_bound_rows(version.record)),
    )


def _column(record: Record, network: str, defense: str, what: str, name: str) -> list[Any]:
    return array(record, f"{network}/{defense}/{what}/{name}")


def _bound(record: Record, network: str) -> Scatter:
    """Return the panel of Jensen's bound. For each image the panel shows two losses over many noise
    draws: the mean of the losses, and the loss of the mean probability.
    """
    alone, together = (
        _column(record, network, "rse", "averaged", name)[-1] for name in ("mean", "together")
    )
    ends = [0.0, max(alone)]
    return Scatter(
        f"Jensen, {title(record, network)}",
        "loss of the mean probability",
        "mean loss over the draws",
        {"RSE": Points(together, alone, LOOKS["rse"])},
        [(ends, ends)],
    )


def _taylor(record: Record, network: str) -> Scatter:
    """Return the panel of the Taylor expansion: the measured increase of the loss divided by the
    predicted increase, against the scale of the noise.
    """
    shown = {}
    for name, of, look in (
        ("smooth network", "digits", LOOKS["adv"]),
        ("RSE", network, LOOKS["rse"]),
    ):
        scales = settings(record, "gap over trace", "scale", network=of)
        y = [mean(record, "gap over trace", network=of, scale=s) for s in scales]
        shown[name] = Points([float(s) for s in scales], y, look)
    scales = settings(record, "gap over norm", "scale")
    y = [mean(record, "gap over norm", scale=s) for s in scales]
    shown["smooth network, norm"] = Points([float(s) for s in scales], y, LOOKS["brelu"])
    ends = [min(map(float, scales)), 1.0]
    return Scatter(
        "Taylor step",
        "size of the noise",
        "loss gap over prediction",
        shown,
        [(ends, [1.0, 1.0])],
        log="x",
    )


def _slopes(record: Record, network: str) -> Scatter:
    """Return the panel of the Lipschitz step: the trace of the Hessian divided by the squared
    gradient norm, against the probability of the true class.
    """
    shown = {}
    for defense, look in (("none", LOOKS["none"]), ("rse", LOOKS["rse"])):
        loss, trace, slope = (
            _column(record, network, defense, "steep", name) for name in ("loss", "trace", "slope")
        )
        kept = [(math.exp(-a), b / c**2) for a, b, c in zip(loss, trace, slope, strict=True) if c]
        kept = [(p, ratio) for p, ratio in kept if 0 < p < 1]
        shown[DEFENSES[defense]] = Points([p for p, _ in kept], [ratio for _, ratio in kept], look)
    grid = [i / 100 for i in range(1, 100)]
    line = (grid, [p / (1 - p) for p in grid])
    return Scatter(
        "Trace and gradient",
        "true class: probability",
        "trace / squared gradient",
        shown,
        [line],
        log="y",
    )


def _gap_rows(record: Record) -> Iterator[list[str]]:
    for network in ("digits", *networks(record)):
        name = "Smooth network on digits" if network == "digits" else title(record, network)
        yield [f"**{name}**", "", ""]
        for s in settings(record, "gap over trace", "scale", network=network):
            norm = values(record, "gap over norm", network=network, scale=s)
            ratio = spread(values(record, "gap over trace", network=network, scale=s), 2)
            yield [f"{s:g}", minus(ratio), minus(spread(norm, 2)) if norm else ""]


def _bound_rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        yield [f"**{title(record, network)}**", "", ""]
        for n in settings(record, "mean claim-jensen", "draws", network=network):
            of = {"network": network, "draws": n}
            first, second = (
                spread(values(record, f"mean claim-{name}", **of), 4)
                for name in ("jensen", "jensen-b")
            )
            yield [str(n), first, second]
