"""Compute the content of the page on ZOO, a black-box attack that section 3.3 of the Random
Self-Ensemble paper discusses.
"""

import math
from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    array,
    as_printed,
    mean,
    of_target,
    settings,
    values,
)
from robustbook.chapters.wording import SPACE, from_to, listed, minus, ranges, spread
from robustbook.figures import LOOKS, Look, Points, Scatter, Table
from robustbook.ledger import Record

from . import today
from .names import counted, in_text, networks, size, title

UNBIASED = "self-ensemble/text-3.3/zoo-unbiased"
NES = "self-ensemble/later/nes100-eps-0.2"
DEFENSES_OF_NES = ("rse", "none")
NES_RADII = (0.05, 0.1)
NES_LOGS = {"rse": (17.5, 16.6), "none": (4.3, 13.3)}
"""The shares of changed predictions in per cent, at the radii `NES_RADII`. They are from the same
logs as the ledger's number at the largest radius.
"""
MODERATE = 0.1
"""The step h at which the mean of the estimate is compared with the derivative."""
COUNT_LOOKS: tuple[Look, ...] = (
    LOOKS["reference"],
    LOOKS["adv-training-i"],
    LOOKS["deep-defense"],
)
DEFENSES = {"none": "no defense", "rse": "RSE"}


def answer(record: Record) -> str:
    """Return a sentence that answers whether ZOO's gradient estimate is unbiased, and how often ZOO
    succeeds with RSE and without a defense.
    """
    network = networks(record)[0]
    ratio = fmean(of_target(record, UNBIASED))
    rse, none = (max(success(record, network, d).values()) for d in ("rse", "none"))
    by_noise = mean(record, "errors without attack", network=network, defense="rse")
    return (
        f"In the mean the estimate is right ({ratio:.2f} times the derivative at "
        f"$h = {MODERATE:g}$), but a single estimate is imprecise. ZOO succeeds on {none:.1f} % of "
        f"the images without a defense and on {rse:.1f} % with RSE; without an attack, new noise "
        f"makes RSE misclassify {by_noise:.1f} % ({title(record, network)}; "
        f"{size(record, network)})."
    )


def needed_in_words(record: Record) -> str:
    """Return sentences that state how many noise draws the estimate needs along one pixel, at two
    steps h. A sentence is added if ZOO left most images unchanged on which it succeeds with RSE.
    """
    network = networks(record)[0]
    error = mean(record, "standard error", network=network, h=MODERATE)
    needed = mean(record, "draws along a pixel", network=network, h=MODERATE)
    text = (
        f"On {in_text(record, network)}, the mean estimate at $h = {MODERATE:g}$ has the standard "
        f"error {error:.2f}. But for the derivative along one pixel, each output must average "
        f"about {_power(needed)} draws"
    )
    larger = widest(record, network)
    if larger > MODERATE:
        fewer = mean(record, "draws along a pixel", network=network, h=larger)
        near = mean(record, "mean over derivative", network=network, h=larger)
        text += (
            f", and about {_power(fewer)} at $h = {larger:g}$, where the mean estimate is "
            f"{near:.2f} times the derivative"
        )
    most, _ = averaged(record, network)
    if most < needed:
        text += f". Our attack averages over at most {most}, so its failure was to be expected"
    if _unmoved(record, network):
        text += (
            ". Most of the images on which ZOO succeeds with RSE are unchanged: new noise alone "
            "makes RSE misclassify them"
        )
    return f"{text}. {_without_attack(record, network)}"


def averaged(record: Record, network: str) -> tuple[int, float]:
    """Return over how many noise draws per output ZOO averages at most, and how many the estimate
    along one pixel needs.
    """
    most = max(n for _, n in success(record, network, "rse"))
    return most, mean(record, "draws along a pixel", network=network, h=MODERATE)


def _without_attack(record: Record, network: str) -> str:
    """Return a sentence that compares the successes of ZOO on RSE with the errors of RSE on the
    same images without an attack.
    """
    by_noise = mean(record, "errors without attack", network=network, defense="rse")
    found = success(record, network, "rse").values()
    return (
        f"Without an attack, new noise makes RSE misclassify {by_noise:.1f} % of the same images; "
        f"the three variants of ZOO succeed on {from_to([*found], '.1f')} %."
    )


def _unmoved(record: Record, network: str) -> bool:
    """Return whether at least half of the successes with RSE are images that ZOO did not change."""
    moved = values(record, "distance", network=network, defense="rse")
    return bool(moved) and max(moved) == 0


def queries(record: Record, network: str) -> str:
    """Return as text how many queries ZOO makes for each image on RSE."""
    return _power(mean(record, "queries", draws=1, h=MODERATE, network=network, defense="rse"))


def nes_in_words() -> str:
    """Return sentences that state the results of another black-box attack in the logs of one of
    the paper's authors.
    """
    largest = {d: as_printed(f"{NES}/{d}") for d in DEFENSES_OF_NES}
    rse, none = (listed([*NES_LOGS[d], largest[d]]) for d in DEFENSES_OF_NES)
    radii = listed([*NES_RADII, NES.rpartition("-")[2]])
    return (
        "One of the paper's authors published logs of another black-box attack, NES with 100 "
        f"steps. Within the l-infinity radii {radii}, it changes {rse} % of the predictions of "
        f"RSE, and {none} % of those of a network without a defense. There RSE has less noise on "
        "the image, and predicts from a single draw. With RSE, the share hardly depends on the "
        "radius, so new noise probably causes most of the changes. The logs have no run without an "
        "attack."
    )


def square(record: Record) -> str:
    """Return a sentence that states the accuracies under the Square attack with RSE and without a
    defense. ``record`` contains the stored results of the page on stronger attacks.
    """
    network = networks(record)[0]
    of = {"network": network, "attack": "square"}
    (eps,) = settings(record, "accuracy", "eps", **of)
    rse, none = (mean(record, "accuracy", defense=d, **of) for d in ("rse", "none"))
    return (
        f"On {in_text(record, network)}, within the l-infinity radius {255 * float(eps):.0f}/255 "
        f"and with only {today.queries(record)} queries, the accuracy under this attack is "
        f"{rse:.1f} % with RSE and {none:.1f} % without a defense."
    )


def widest(record: Record, network: str) -> float:
    """Return the largest step h at which ZOO's mean gradient estimate agrees with the estimate at
    the step ``MODERATE``. The two may differ by up to two standard errors of their difference.
    """

    def at(h: float) -> tuple[float, float]:
        return (
            mean(record, "mean over derivative", network=network, h=h),
            mean(record, "standard error", network=network, h=h),
        )

    ratio, error = at(MODERATE)
    steps = [float(h) for h in settings(record, "mean over derivative", "h", network=network)]
    return max(
        h
        for h in steps
        if h >= MODERATE and abs(at(h)[0] - ratio) <= 2 * math.hypot(at(h)[1], error)
    )


def ran(record: Record) -> str:
    """Return a sentence that states how many images ZOO attacks, and with how many queries."""
    parts = []
    for network in networks(record):
        draws = max(n for _, n in success(record, network, "rse"))
        parts.append(
            f"ZOO attacks {counted(record, network)} images on {in_text(record, network)}, with "
            f"about {queries(record, network)} queries for each image, and its third variant "
            f"averages over {draws} draws. The gradient is estimated on "
            f"{len(record.arrays[f'{network}/rse/slope'])} images."
        )
    return " ".join(parts)


def estimates(record: Record) -> Figure:
    """Draw two quantities against ZOO's step h: the variance of ZOO's gradient estimate, and the
    mean estimate divided by the true derivative.
    """
    network = networks(record)[0]
    h = [float(x) for x in record.arrays["h"]]
    pieces: list[list[list[float]]] = array(record, f"{network}/rse/variance")
    of_margin: list[float] = array(record, f"{network}/rse/of margin")
    counts = [int(n) for n in record.arrays["counts"]][: len(pieces)]
    shown, expected = {}, []
    for n, variance, look in zip(counts, pieces, COUNT_LOOKS, strict=False):
        means = [fmean(column) for column in zip(*variance, strict=True)]
        shown[f"n = {n}"] = Points(h, means, look)
        expected.append((h, [fmean(of_margin) / (2 * x**2 * n) for x in h]))
    variance_panel = Scatter(
        f"Variance, {title(record, network)}",
        "h",
        "variance of the estimate",
        shown,
        expected,
        log="xy",
    )
    ratio = [mean(record, "mean over derivative", network=network, h=x) for x in h]
    error = [mean(record, "standard error", network=network, h=x) for x in h]
    kept = [i for i, e in enumerate(error) if e < 1]
    points = Points(
        [h[i] for i in kept], [ratio[i] for i in kept], LOOKS["clean"], [2 * error[i] for i in kept]
    )
    mean_panel = Scatter(
        "Mean over the derivative",
        "h",
        "mean over derivative",
        {"all pairs": points},
        [([h[0], h[-1]], [1.0, 1.0])],
        log="x",
    )
    return figures.scatters([variance_panel, mean_panel], columns=2, height=3.0)


def attacks(version: Version) -> Table:
    """Return a table of how often ZOO succeeds. There is one row for each combination of a step h
    and a number of noise draws per query.
    """
    return version.table(
        ". ZOO on images that the network classifies correctly. *Success*: the share of images on "
        "which ZOO succeeds, in per cent, as the mean over several classifications with new noise "
        f"and over the seeds{ranges(version.record)}. *Distance*: the median l2 norm of the "
        "successful perturbations; the record does not have that of the other images. *Queries*: "
        "how often the network is called for each image.",
        "rse-zoo-attacks",
        ["Network, h", "Draws", "Images", "Success", "Distance", "Queries"],
        list(_attack_rows(version.record)),
        align="lrrrrr",
    )


def numbers(version: Version) -> Table:
    """Return a table with one row for each step h. The columns are the variance and the mean of
    ZOO's gradient estimate, and the number of noise draws that the estimate needs.
    """
    counts = sorted({int(n) for n in settings(version.record, "variance over prediction", "draws")})
    return version.table(
        ". *Variance*: variance of the estimate divided by Var(g) / (2 h² n), if each value of "
        f"the loss is a mean over n draws{ranges(version.record)}. *Mean*, *Error*: mean of the "
        "estimates divided by the derivative, and the standard error of this mean. *Gradient*, "
        "*Pixel*: the number of draws at which the standard error of one estimate equals the "
        "derivative, in the direction of the gradient and of a single pixel.",
        "rse-zoo-numbers",
        ["h", *(f"Variance, n = {n}" for n in counts), "Mean", "Error", "Gradient", "Pixel"],
        list(_number_rows(version.record, counts)),
    )


def success(record: Record, network: str, defense: str) -> dict[tuple[float, int], float]:
    """Return the success rate of ZOO in percent for each combination of a step h and a number of
    noise draws.
    """
    of = {"network": network, "defense": defense}
    return {
        (float(h), int(n)): mean(record, "success", h=h, draws=n, **of)
        for h in settings(record, "success", "h", **of)
        for n in settings(record, "success", "draws", h=h, **of)
    }


def _attack_rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        for defense, words in DEFENSES.items():
            yield [f"**{title(record, network)}, {words}**", *[""] * 5]
            for h, n in success(record, network, defense):
                of = {"network": network, "defense": defense, "h": h, "draws": n}
                images = {
                    row.images
                    for row in record.rows
                    if row.name == "success" and of.items() <= row.setting.items()
                }
                distance = values(record, "distance", **of)
                yield [
                    f"{h:g}",
                    str(n) if defense == "rse" else "",
                    ", ".join(map(str, images)),
                    spread(values(record, "success", **of), 0),
                    spread(distance, 2) if distance else "",
                    f"{mean(record, 'queries', **of):,.0f}",
                ]


def _number_rows(record: Record, counts: list[int]) -> Iterator[list[str]]:
    for network in networks(record):
        yield [f"**{title(record, network)}**", *[""] * (len(counts) + 4)]
        for h in settings(record, "mean over derivative", "h", network=network):
            of = {"network": network, "h": h}
            variances = [values(record, "variance over prediction", draws=n, **of) for n in counts]
            needed = [
                _power(mean(record, f"draws along {name}", **of))
                for name in ("the gradient", "a pixel")
            ]
            ratio, error = (
                mean(record, name, **of) for name in ("mean over derivative", "standard error")
            )
            digits = 2 if error < 1 else 0
            yield [
                f"{h:g}",
                *(spread(found, 2) if found else "" for found in variances),
                minus(f"{round(ratio, digits) + 0.0:.{digits}f}"),  # -0.0 becomes 0.0
                f"{error:.{digits}f}",
                *needed,
            ]


def _power(value: float) -> str:
    """Return a number of noise draws or queries as text, rounded to two significant digits. A
    number below 1 becomes 1, and a number from a million on is written in millions or billions.
    """
    if value < 1:
        return "1"
    rounded = round(value, min(0, 2 - len(str(int(value)))))
    for unit, words in ((1e9, "billion"), (1e6, "million")):
        if rounded >= unit:
            return f"{rounded / unit:g}{SPACE}{words}"
    return f"{rounded:,.0f}"
