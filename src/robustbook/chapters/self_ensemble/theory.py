"""Compute the content of the page on the theory: which steps of section 3.1 of the Random
Self-Ensemble paper hold.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    array,
    mean,
    of_target,
    settings,
    tolerance,
    values,
)
from robustbook.chapters.wording import from_to, listed, minus, ranges, spread
from robustbook.figures import LOOKS, Points, Scatter, Table
from robustbook.ledger import Record

from .names import counted, in_text, networks, title

JENSEN = "self-ensemble/claim-jensen"
TRACE = "self-ensemble/claim-taylor-trace"
SMALL = 0.01
"""The standard deviation of the noise at which we test the Taylor expansion."""
DEFENSES = {"none": "no defense", "rse": "RSE"}


HOLDS, FAILS, OPEN = "holds", "fails", "cannot be judged"


def answer(record: Record) -> str:
    """Return a sentence that answers which steps of the proof hold: Jensen's bound, the Taylor
    expansion, and the last step to a Lipschitz constant. On RSE the outcome of the expansion
    depends on the size of the noise.
    """
    bound = HOLDS if min(of_target(record, JENSEN)) > -1e-6 else FAILS
    on_rse = _on_rse(record)
    weakest = ""
    if FAILS in on_rse:
        least = min(on_rse[FAILS])
        ratio, error = _ratio(record, networks(record)[0], least)
        weakest = f" (at {least:g} by {abs(ratio - 1) / error:.1f} standard errors)"
    found = {word: from_to(scales, "g") for word, scales in on_rse.items()}
    imprecise = found.pop(OPEN, "")
    judged = listed(
        f"it {word} at {scales} times the noise in training{weakest * (word == FAILS)}"
        for word, scales in found.items()
    )
    told = [
        f"Jensen's bound {bound}.",
        f"The Taylor expansion {outcome(record, 'digits', SMALL)} on a small smooth network.",
        f"On RSE ({_bent(record)} images) {judged}." if judged else "",
        f"At {imprecise} times the noise in training, our test is too imprecise."
        if imprecise
        else "",
        "The step to a Lipschitz constant does not follow.",
    ]
    return " ".join(filter(None, told))


def outcome(record: Record, network: str, scale: float, name: str = "trace") -> str:
    """Return in a word whether the measured change of the loss agrees with the change that the
    trace (or the norm) of the Hessian predicts, at one size of the noise.

    It fails if the ratio of the two differs from 1 by more than two standard errors and by more
    than the target's tolerance. It holds if the ratio with two standard errors is within the
    tolerance.
    """
    ratio, error = _ratio(record, network, scale, name)
    off, accepted = abs(ratio - 1), tolerance(TRACE)
    if off > max(2 * error, accepted):
        return FAILS
    return HOLDS if off + 2 * error <= accepted else OPEN


def _on_rse(record: Record) -> dict[str, list[float]]:
    """Return for each outcome of the Taylor expansion on RSE the sizes of the noise with this
    outcome. An outcome that does not occur is left out.
    """
    network = networks(record)[0]
    found: dict[str, list[float]] = {FAILS: [], HOLDS: [], OPEN: []}
    for s in _scales(record, network):
        found[outcome(record, network, s)].append(s)
    return {word: scales for word, scales in found.items() if scales}


def _scales(record: Record, network: str) -> list[float]:
    return [float(s) for s in settings(record, "gap over trace", "scale", network=network)]


def _ratio(record: Record, network: str, scale: float, name: str = "trace") -> tuple[float, float]:
    """Return the measured change of the loss divided by the predicted change, as the mean over the
    seeds, and its standard error.
    """
    of = {"network": network, "scale": scale}
    errors = values(record, f"error over {name}", **of)
    return mean(record, f"gap over {name}", **of), math.hypot(*errors) / len(errors)


def _with_error(record: Record, network: str, scale: float, name: str = "trace") -> str:
    ratio, error = _ratio(record, network, scale, name)
    return f"{ratio:.2f} (standard error {error:.2f})"


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


def smooth_in_words(record: Record) -> str:
    """Return sentences that state whether the Taylor expansion holds on the smooth network, with
    the trace of the Hessian and with its norm.
    """
    trace, norm = (_with_error(record, "digits", SMALL, name) for name in ("trace", "norm"))
    words = [outcome(record, "digits", SMALL, name) for name in ("trace", "norm")]
    return minus(
        f"On the smooth network ({_smooth(record)} images; noise of standard deviation {SMALL:g}), "
        f"the change of the mean loss is {trace} times the prediction from the trace, and {norm} "
        f"times that from the norm. So the expansion {words[0]} with the trace, and {words[1]} "
        "with the norm."
    )


def taylor_in_words(record: Record) -> str:
    """Return sentences that state whether the Taylor expansion holds on RSE: the measured change of
    the loss divided by the predicted change, for each size of the noise.
    """
    network = networks(record)[0]
    told = [
        f"We test the expansion on {in_text(record, network)} with RSE ({_bent(record)} images)."
    ]
    for word, found in _on_rse(record).items():
        ratios, errors = zip(*(_ratio(record, network, s) for s in found), strict=True)
        told.append(
            f"It {word} with {listed([f'{s:g}' for s in found])} times the noise of the "
            f"training: the measured change is {_numbers(ratios)} times the predicted one "
            f"(standard error{'s' * (len(found) > 1)} {_numbers(errors)})."
        )
    return " ".join(told)


def _numbers(numbers: Sequence[float]) -> str:
    return minus(listed([f"{number:.2f}" for number in numbers]))


def fall_in_words(record: Record) -> str:
    """Return sentences that compare RSE without noise and with the noise of the training: its mean
    loss, and its accuracy. They say if the loss falls with the noise.
    """
    network = networks(record)[0]
    quiet, right = (_column(record, network, "rse", "steep", name) for name in ("loss", "right"))
    noisy, more = (_column(record, network, "rse", "averaged", name) for name in ("mean", "right"))
    change = [a - b for a, b in zip(noisy[-1], quiet, strict=True)]
    error = stdev(change) / math.sqrt(len(change))
    difference = minus(f"{fmean(change):.2f} (standard error {error:.2f})")
    negative = mean(record, "negative trace", network=network)
    falls = fmean(change) + 2 * error < 0
    return (
        f"The trace is negative on {f'{negative:.0f} %' if negative else 'none'} of the "
        f"{_bent(record)} images. On "
        f"{in_text(record, network)} ({len(change)} images), the mean loss is {fmean(quiet):.2f} "
        f"without noise and {fmean(noisy[-1]):.2f} with the noise of the training; the difference "
        f"is {difference}.{' So the loss falls, although the trace predicts a rise.' * falls} The "
        f"accuracy is {100 * fmean(right):.1f} % without noise and {100 * fmean(more):.1f} % for "
        "the ensemble with noise."
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


def jensen(record: Record) -> Figure:
    """Draw step 1 of the theory, Jensen's bound: for each image two losses over many noise draws,
    the mean of the losses and the loss of the mean probability.
    """
    return figures.scatters([_bound(record, networks(record)[0])], height=3.2)


def taylor(record: Record) -> Figure:
    """Draw step 2 of the theory, the Taylor expansion: the measured increase of the loss divided by
    the predicted increase, against the scale of the noise, with bars of two standard errors.
    """
    return figures.scatters([_taylor(record, networks(record)[0])], height=3.2)


def lipschitz(record: Record) -> Figure:
    """Draw step 3 of the theory: for each image the trace of the Hessian divided by the squared
    gradient norm, against the probability of the true class.
    """
    return figures.scatters([_slopes(record, networks(record)[0])], height=3.2)


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
    return (
        f"On {in_text(record, network)}, the mean loss over {most} draws exceeds the loss of the "
        f"mean probability by {gap:.3f} on average over the images.{confidence}"
    )


def slopes(version: Version) -> Table:
    """Return a table of three medians over the images: the trace of the Hessian, the norm of the
    gradient, and the ratio of the trace to the squared norm. There is one row for each combination
    of network, defense and kind of image.
    """
    return version.table(
        ". Medians over the test images of the first seed: trace of the Hessian, norm of the "
        "gradient, and the trace divided by the squared norm.",
        "rse-theory-slopes",
        ["Network, images", "Trace", "Gradient norm", "Trace / squared norm"],
        [
            [f"{words}, {images}", f"{trace:.3g}", f"{slope:.3g}", f"{ratio:.2g}"]
            for words, images, trace, slope, ratio in _slopes_of(version.record)
        ],
    )


def slopes_in_words(record: Record) -> str:
    """Return sentences that compare misclassified with correctly classified images: by the trace
    divided by the squared gradient norm, and by the trace itself.
    """
    ratios: dict[str, dict[str, float]] = {}
    traces: dict[str, dict[str, float]] = {}
    for words, images, trace, _, ratio in _slopes_of(record):
        ratios.setdefault(words, {})[images] = ratio
        traces.setdefault(words, {})[images] = trace
    told: list[str] = []
    first = next(iter(ratios.values()))
    for words, of in ratios.items():
        short = bool(told) and of.keys() == first.keys()  # in the order of the first
        each = [f"{r:.2g}{'' if short else f' on {images} images'}" for images, r in of.items()]
        told.append(f"{listed(each)} ({words})")
    lead = "The median of the trace divided by the squared gradient norm is"
    if all(of.get("misclassified", 0.0) < of["correctly classified"] for of in ratios.values()):
        times = [of["correctly classified"] / of["misclassified"] for of in ratios.values()]
        text = (
            "Relative to the squared gradient norm, the trace is "
            f"{from_to(times, '.0f')} times smaller on misclassified images than on correctly "
            "classified images (medians in the table below). So on misclassified images, the same "
            "trace belongs to a much steeper loss."
        )
        larger = [of["misclassified"] / of["correctly classified"] for of in traces.values()]
        if min(larger) > 1:
            text += (
                f" The median trace itself is {from_to(larger, '.0f')} times larger on "
                "misclassified images. So a penalty on the trace acts on them more strongly, but "
                "less than in proportion to the squared gradient norm."
            )
        return text
    return f"{lead} {'; '.join(told)}."


def _slopes_of(record: Record) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield for each network, defense and kind of image the two names, and the medians over the
    images of the trace, of the gradient norm, and of the trace divided by its square. An image
    whose gradient is 0 has no ratio.
    """
    for network in networks(record):
        for defense, words in DEFENSES.items():
            if f"{network}/{defense}/steep/trace" not in record.arrays:
                continue
            trace, slope, right = (
                np.array(_column(record, network, defense, "steep", name))
                for name in ("trace", "slope", "right")
            )
            for kind, name in ((0, "misclassified"), (1, "correctly classified")):
                of = (right == kind) & (slope > 0)
                if of.any():
                    found = trace[of], slope[of], trace[of] / slope[of] ** 2
                    first, second, ratio = (float(np.median(each)) for each in found)
                    yield f"{title(record, network)}, {words}", name, first, second, ratio


def gaps(version: Version) -> Table:
    """Return a table that tests the Taylor expansion: the measured increase of the loss divided by
    the predicted increase. There is one row for each scale of the noise.
    """
    return version.table(
        ". The increase of the mean loss by noise, divided by its prediction. The prediction is "
        "half the squared size of the noise, times the trace of the Hessian or its Frobenius "
        f"norm. We sum over the images, and average over the seeds{ranges(version.record)}. "
        "*Error*: the standard error of the ratio before it, from the differences between the "
        "images. For the small smooth network the size is the standard deviation of the noise in "
        "each layer. For RSE it is the factor by which the standard deviations used in training "
        "are multiplied.",
        "rse-theory-gaps",
        ["Network, size of the noise", "Over trace", "Error", "Over norm", "Error"],
        list(_gap_rows(version.record)),
    )


def bounds(version: Version) -> Table:
    """Return a table of the gaps in the two inequalities of Jensen's bound: the mean difference
    between the two sides of each inequality. There is one row for each number of noise draws.
    """
    return version.table(
        ". The differences in both steps of the bound, mean over the test images and "
        f"seeds{ranges(version.record)}. *First step*: mean loss over the draws minus the loss of "
        "the mean probability. *Second step*: loss of the mean probability minus the negative "
        "logarithm of the largest mean probability.",
        "rse-theory-bounds",
        ["Network, draws", "First step", "Second step"],
        list(_bound_rows(version.record)),
    )


def _column(record: Record, network: str, defense: str, what: str, name: str) -> list[Any]:
    return array(record, f"{network}/{defense}/{what}/{name}")


def _bound(record: Record, network: str) -> Scatter:
    """Return the panel of Jensen's bound."""
    alone, together = (
        _column(record, network, "rse", "averaged", name)[-1] for name in ("mean", "together")
    )
    ends = [0.0, max(alone)]
    return Scatter(
        f"Step 1, {title(record, network)}",
        "loss of the mean probability",
        "mean loss over the draws",
        {"RSE": Points(together, alone, LOOKS["rse"])},
        [(ends, ends)],
    )


def _taylor(record: Record, network: str) -> Scatter:
    """Return the panel of the Taylor expansion."""
    shown = {}
    for words, of, name, look in (
        ("smooth network", "digits", "trace", LOOKS["adv"]),
        ("RSE", network, "trace", LOOKS["rse"]),
        ("smooth network, norm", "digits", "norm", LOOKS["brelu"]),
    ):
        scales = _scales(record, of)
        y, errors = zip(*(_ratio(record, of, s, name) for s in scales), strict=True)
        shown[words] = Points(scales, list(y), look, [2 * error for error in errors])
    ends = [min(_scales(record, "digits")), 1.0]
    return Scatter(
        f"Step 2, smooth network and {title(record, network)}",
        "size of the noise",
        "increase: measured / predicted",
        shown,
        [(ends, [1.0, 1.0])],
        log="x",
    )


def _slopes(record: Record, network: str) -> Scatter:
    """Return the panel of the Lipschitz step."""
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
        f"Step 3, {title(record, network)}",
        "probability of the true class",
        "trace / squared gradient norm",
        shown,
        [line],
        log="y",
    )


def _gap_rows(record: Record) -> Iterator[list[str]]:
    for network in ("digits", *networks(record)):
        name = "Smooth network on digits" if network == "digits" else title(record, network)
        yield [f"**{name}**", *[""] * 4]
        for s in _scales(record, network):
            cells = [f"{s:g}"]
            for over in ("trace", "norm"):
                found = values(record, f"gap over {over}", network=network, scale=s)
                error = _ratio(record, network, s, over)[1]
                cells += [minus(spread(found, 2)), f"{error:.2f}"]
            yield cells


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
