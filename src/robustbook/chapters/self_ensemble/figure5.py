"""Compute the content of the page on Figure 5: accuracy on clean images against the number of noise
draws.
"""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, mean, settings, values
from robustbook.chapters.wording import minus, spread
from robustbook.figures import Curve, Panel, Table, table
from robustbook.ledger import Record

from . import names
from .figure3 import LEVELS, LOOK, levels

MOST, ENOUGH = 50, 10
LEADS = {
    True: "About ten draws.",
    False: "More than ten draws.",
    None: "These runs cannot tell, because the gains are within two standard errors.",
}


def answer(records: Sequence[Record]) -> str:
    """Return sentences with the accuracies on clean images for 1, 10 and 50 noise draws. If too few
    images were classified to tell these accuracies apart, the sentences say so.
    """
    text = []
    leads = [LEADS[enough(record, network)] for record, network in names.best(records)]
    for record, network in names.best(records):
        one, ten, fifty = (_at(record, network, "rse", n) for n in (1, ENOUGH, MOST))
        text.append(
            f"One draw classifies {one:.1f} % of the images correctly, {ENOUGH} draws {ten:.1f} %, "
            f"and {MOST} draws {fifty:.1f} % "
            f"({names.full_title(record, network)}; {names.size(record, network)})."
        )
    if len(set(leads)) == 1:
        return " ".join([leads[0], *text])
    return " ".join(f"{lead} {each}" for lead, each in zip(leads, text, strict=True))


def enough(record: Record, network: str) -> bool | None:
    """Return whether ten noise draws are enough. The result is False if 50 draws are clearly more
    accurate than ten. Otherwise it is True if ten draws are clearly more accurate than one, and
    None if not.
    """
    one, ten, fifty = (_at(record, network, "rse", n) for n in (1, ENOUGH, MOST))
    images = names.counted(record, network)
    if names.clearly(fifty, ten, images):
        return False
    return True if names.clearly(ten, one, images) else None


def curves(records: Sequence[Record]) -> Figure:
    """Draw accuracy on clean images against the number of noise draws, with a curve per noise
    level.
    """
    panels = []
    for record, network in names.best(records):
        found = {}
        for noise in names.defenses(record, network, list(LEVELS)):
            of = {"network": network, "defense": noise}
            numbers = [int(n) for n in settings(record, "accuracy", "draws", **of)]
            each = [values(record, "accuracy", draws=n, **of) for n in numbers]
            seeds = [list(seed) for seed in zip(*each, strict=True)]
            words = f"noise {levels(record)[noise]}"
            found[words] = Curve([float(n) for n in numbers], seeds, LOOK[noise])
        title = names.title(record, network)
        panels.append(Panel(title, "number of draws", "accuracy, clean images (%)", found, {}))
    return figures.lines(panels, columns=len(panels), height=3.4)


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return curves([record])


def accuracies(version: Version) -> Table:
    """Return a table of the accuracies for several numbers of noise draws. The last column is the
    accuracy with 50 draws minus the accuracy with one draw.
    """
    record = version.record
    numbers = (1, 4, ENOUGH, 20, MOST)
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * (len(numbers) + 1)])
        for noise in names.defenses(record, network, list(LEVELS)):
            of = {"network": network, "defense": noise}
            each = [values(record, "accuracy", draws=n, **of) for n in numbers]
            gained = [b - a for a, b in zip(each[0], each[-1], strict=True)]
            rows.append([levels(record)[noise], *map(spread, each), minus(spread(gained))])
    return table(
        f"{version.heading}: accuracy on clean images in per cent by the number of draws, and the "
        f"gain from 1 draw to {MOST} in percentage points (range over the seeds).",
        f"tab-rse-figure-5-{version.tag}",
        ["Network, noise", *(f"n = {n}" for n in numbers), "gain"],
        rows,
    )


def gained(records: Sequence[Record]) -> str:
    """Return a sentence that states two gains in accuracy for each noise level: from 1 to 10 noise
    draws, and from 10 to 50 draws.
    """
    parts = [
        f"{minus(f'{early:+.1f}')} and {minus(f'{late:+.1f}')} points with noise "
        f"{levels(record)[noise]} ({names.full_title(record, network)})"
        for record, network in names.best(records)
        for noise in names.defenses(record, network, list(LEVELS))
        for early, late in [_gains(record, network, noise)]
    ]
    return (
        f"The first number is the change in accuracy from 1 to {ENOUGH} draws, the second number "
        f"the change from {ENOUGH} to {MOST} draws: {'; '.join(parts)}."
    )


def _gains(record: Record, network: str, noise: str) -> tuple[float, float]:
    one, ten, fifty = (_at(record, network, noise, n) for n in (1, ENOUGH, MOST))
    return ten - one, fifty - ten


def _at(record: Record, network: str, noise: str, draws: int) -> float:
    return mean(record, "accuracy", network=network, defense=noise, draws=draws)


def largest_error(record: Record, images: int | None = None) -> str:
    """Return a sentence that states the standard error of an accuracy, which depends on the number
    of test images.
    """
    of = images or min(row.images for row in record.rows if row.images)
    share = fmean(values(record, "accuracy", draws=MOST)) / 100
    error = 100 * (share * (1 - share) / of) ** 0.5
    return (
        f"The standard error of an accuracy measured on {of:,} images is {error:.1f} points, so "
        "smaller changes may be due to chance."
    )
