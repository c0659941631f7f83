"""Compute the content of the page on certified accuracy. The page shows the table of Cohen et al.
(2019) with our numbers, and how the number of votes limits the certified radius.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import NormalDist

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, array, printed, settings, values
from robustbook.chapters.published import compared as lines_of
from robustbook.chapters.verdicts import reasons_of
from robustbook.chapters.wording import beside, listed, ranges, spread
from robustbook.figures import BRIGHT, Curve, Look, Panel, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_differ

START = "survey/cohen-cifar10"
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
LAST: Mapping[float, float] = {0.12: 0.25, 0.25: 0.75, 0.5: 1.75, 1.0: 2.0}
"""For each standard deviation sigma of the noise, the largest radius for which we list the authors'
accuracy, computed from their released data.
"""
LOOKS: Mapping[float, Look] = {
    0.12: Look(BRIGHT["blue"], "", "-"),
    0.25: Look(BRIGHT["green"], "", "-."),
    0.5: Look(BRIGHT["red"], "", "--"),
    1.0: Look(BRIGHT["purple"], "", ":"),
}
AT = 0.25
"""The standard deviation of the noise in the page's answer, which is also its l2 radius."""


def target(sigma: float, radius: float) -> str:
    """Return the id under which the book stores one number of the authors: the certified accuracy
    by their released data for a sigma and a radius.
    """
    return f"{START}/sigma-{sigma}/certified-accuracy-r-{radius or 0}"


def measured(records: Sequence[Record]) -> Record:
    """Return the first of the ``records`` (files of stored results) that contains certified
    accuracies. Some records contain only the largest radii that can be certified, and no
    accuracies.
    """
    return next(r for r in records if any(row.name == "certified accuracy" for row in r.rows))


def answer(records: Sequence[Record]) -> str:
    """Return a sentence that states the certified accuracy at the l2 radius `AT`, for noise whose
    standard deviation is `AT` too. The verdicts of the page follow.
    """
    record = measured(records)
    badges = of_page(
        "survey/certified",
        {
            "certified accuracies, abstentions and mean radii": "/cohen-cifar10/",
            "largest radius, our code against the formula": "/cohen-theory/",
        },
    )
    small = "small " * (record.profile != "paper")
    short = " (under one epoch)" * (record.profile == "reduced")
    return (
        f"With noise of standard deviation {AT:g}, our {small}network{short} has a certified "
        f"accuracy of {_with_printed(record, AT)} at an $\\ell_2$ radius of this size. {badges}"
    )


def what_is_reproduced() -> str:
    """Return sentences that say how many comparisons with a formula are reproduced, and how many
    numbers that need a trained network were measured in another setting. If any comparison has
    another verdict, return the reasons for the verdicts.
    """
    found = {entry.id: entry.verdict for entry in lines_of("survey/certified")}
    formula = [verdict for id_, verdict in found.items() if "/cohen-theory/" in id_]
    others = [verdict for id_, verdict in found.items() if "/cohen-theory/" not in id_]
    if {*formula} != {"reproduced"} or {*others} != {"other setting"}:
        return reasons_of("survey/certified")
    return (
        f"The {len(formula)} reproduced rows compare our code with a formula. All {len(others)} "
        "numbers that need a trained network have the verdict *other setting*, because our "
        "experiment is smaller than the paper's."
    )


def compared(records: Sequence[Record]) -> str:
    """Return sentences that state the certified accuracy at two radii, for noise of standard
    deviation `AT`. For each radius, our number is followed by that of the authors' released data.
    """
    record = measured(records)
    near, far = (
        f"{_with_printed(record, radius)} at $\\ell_2$ radius {radius:g}" for radius in (AT, 2 * AT)
    )
    return (
        f"With noise of standard deviation {AT:g}, the certified accuracy is {near}, and {far}. "
        f"Our numbers are for {_network(record)}, the authors' for ResNet-110 on CIFAR-10."
    )


def _with_printed(record: Record, radius: float) -> str:
    """Return as text our certified accuracy at a radius, followed by that of the authors' data, for
    noise of standard deviation `AT`.
    """
    there = 100 * float(printed(target(AT, radius)) or 0)
    return f"{100 * certified(record, AT, radius):.0f} % ({there:.0f} % in the paper's data)"


def curves(records: Sequence[Record]) -> Figure:
    """Draw the certified accuracy against the l2 radius, with a curve for each standard deviation
    of the noise. Pale curves show the accuracies from the authors' released data.
    """
    record = measured(records)
    radii = array(record, "radii")
    ours, theirs = {}, {}
    for sigma in sigmas(record):
        look, name = LOOKS.get(sigma, Look(BRIGHT["grey"], "", "-")), f"sigma {sigma:g}"
        y = [[100 * v for v in seed] for seed in array(record, f"sigma-{sigma:g}")]
        ours[name] = Curve(radii, y, look)
        if sigma in LAST and record.profile != "quick":  # no CIFAR-10 numbers beside ours on digits
            shown = [r for r in RADII if r <= LAST[sigma]]
            points = [100 * float(printed(target(sigma, r)) or 0) for r in shown]
            theirs[name] = Curve(shown, [points], look)
    panel = Panel(_network(record), "l2 radius", "certified accuracy (%)", ours, {}, theirs)
    return figures.lines([panel], columns=1, height=3.6)


def printed_beside(version: Version) -> Table:
    """Return a table with a row for each radius. In every cell of the table, the number
    from the authors' released data stands before our number.
    """
    record = version.record
    votes, most = _draws(record), largest(_draws(record))
    return version.table(
        f": {_network(record)}, {_images(record)}. Certified accuracy in per cent, the authors' / "
        f"**ours**{ranges(record)}. The authors' numbers are computed from their released "
        "certification data. From radius 0.25 to 1.5, they agree with the two digits of the table "
        "in their released code; we could not read the table of the paper. A number alone is ours. "
        f"Our accuracy is 0 at each radius above {most:.2f} sigma, because our {votes:,} votes "
        "cannot certify it.",
        "survey-certified",
        ["l2 radius", *(f"sigma {sigma:g}" for sigma in sigmas(record))],
        [[f"{r:g}", *(_cell(record, sigma, r) for sigma in sigmas(record))] for r in RADII],
    )


def votes(version: Version) -> Table:
    """Return a table with a row for each standard deviation of the noise. The columns state how
    often CERTIFY abstains, the mean certified radius, and the accuracy of the most frequent class.
    Two further columns state how often all votes agree, and the largest radius that can be
    certified.
    """
    record = version.record
    rows = []
    for sigma in sigmas(record):
        cells = [f"{sigma:g}"]
        for name, factor, digits in (
            ("abstained", 100, 1),
            ("mean radius", 1, 3),
            ("accuracy of votes", 100, 1),
            ("all votes agree", 100, 1),
        ):
            found = values(record, name, sigma=sigma)
            cells.append(spread([factor * value for value in found], digits))
        cells.append(f"{sigma * largest(_draws(record)):.3f}")
        rows.append(cells)
    return version.table(
        f": {_network(record)}. *Abstained*: share of images on which CERTIFY abstains, in per "
        "cent. *Mean radius*: mean certified l2 radius (0 for a wrong class). *Right votes*: "
        "accuracy of the most frequent class, in per cent. *All agree*: share of images whose "
        f"{_draws(record):,} votes all agree, in per cent. *Largest radius*: the largest radius "
        f"that {_draws(record):,} votes can certify.",
        "survey-certified-votes",
        ["sigma", "abstained", "mean radius", "right votes", "all agree", "largest radius"],
        rows,
    )


def limit_in_words(records: Sequence[Record]) -> str:
    """Return sentences that state the largest radius that our number of votes can certify, and for
    which share of the images this radius is reached.
    """
    record = measured(records)
    n = _draws(record)
    reached = [
        f"{100 * _mean(record, 'all votes agree', sigma):.0f} % (sigma {sigma:g})"
        for sigma in sigmas(record)
    ]
    return (
        f"With {n:,} votes, no radius above {largest(n):.2f} sigma can be certified, and with the "
        f"paper's 100,000 votes none above {largest(100_000):.2f} sigma. The share of images for "
        f"which all our votes agree, and which therefore have the largest certified radius, is "
        f"{listed(reached)}."
    )


def best_in_words(records: Sequence[Record]) -> str:
    """Return sentences that state, for each radius, which standard deviation of the noise gives the
    highest certified accuracy in our runs and in the authors' data. They also state at
    which radii we have too few test images to tell.
    """
    record = measured(records)
    images = min(row.images for row in record.rows if row.images)
    best: list[tuple[float | None, float]] = []
    for r in RADII:
        found = {sigma: 100 * certified(record, sigma, r) for sigma in sigmas(record)}
        top = max(found, key=lambda sigma: found[sigma])
        rivals = [v for sigma, v in found.items() if sigma != top]
        if found[top] > 0:
            clear = all(clearly_differ(found[top], value, images) for value in rivals)
            best.append((top if clear else None, r))
    told = []
    because = (
        f", because with our {_draws(record):,} votes no smaller sigma can certify these radii"
    )
    for sigma, group in groupby(best, key=lambda pair: pair[0]):
        radii = [r for _, r in group]
        if sigma is None:
            told.append(f"At {_radii(radii)}, no sigma is clearly the best on {images} images.")
            continue
        smaller = max((s for s in sigmas(record) if s < sigma), default=0.0)
        alone = radii[0] > largest(_draws(record)) * smaller
        told.append(
            f"At {_radii(radii)}, the certified accuracy is clearly the highest with sigma "
            f"{sigma:g}{because * alone}."
        )
    there = [(_best_printed(r), r) for r in RADII]
    paper = [
        f"sigma {sigma:g} at {_radii([r for _, r in group])}"
        for sigma, group in groupby(there, key=lambda pair: pair[0])
    ]
    return (
        "We call a sigma clearly the best if its accuracy exceeds all others by more than the "
        f"sampling error. {' '.join(told)} In the authors' "
        f"released data, the highest accuracy is that of {listed(paper)}."
    )


def _radii(radii: Sequence[float]) -> str:
    first, last = f"{radii[0]:g}", f"{radii[-1]:g}"
    return f"radius {first}" if first == last else f"radii {first} to {last}"


def _best_printed(radius: float) -> float:
    """Return the standard deviation of the noise with the highest certified accuracy at a radius by
    the authors' released data.
    """
    there = {s: float(printed(target(s, radius)) or 0) for s in LAST if radius <= LAST[s]}
    return max(there, key=lambda sigma: there[sigma])


def origin(records: Sequence[Record]) -> str:
    """Return a sentence that states from which experiment the accuracies of the page come. This
    need not be the largest experiment, because its record may contain no accuracies.
    """
    record = measured(records)
    seeds = len(record.seeds)
    runs = "one network" if seeds == 1 else f"{seeds} networks"
    lead = "The accuracies"
    if records[0] is not record:
        lead = (
            f"With profile `{records[0].profile}` we computed only the largest radii that can be "
            "certified. All accuracies"
        )
    return (
        f"{lead} on this page come from the profile `{record.profile}`: "
        f"{_network(record)}, {_images(record)}, and {runs} for each sigma."
    )


def certified(record: Record, sigma: float, radius: float) -> float:
    """Return the certified accuracy as a fraction between 0 and 1, as the mean over the seeds."""
    found = values(record, "certified accuracy", sigma=sigma, radius=radius)
    return sum(found) / len(found)


def sigmas(record: Record) -> list[float]:
    """Return the standard deviations of the noise for which a record (a file of stored results)
    contains results, in ascending order.
    """
    return sorted(map(float, settings(record, "abstained", "sigma")))


def largest(draws: int) -> float:
    """Return the largest radius that ``draws`` votes can certify, divided by sigma (the standard
    deviation of the noise), by a closed form. The probability of a wrong certificate is 0.001.
    """
    return NormalDist().inv_cdf(0.001 ** (1 / draws))


def _cell(record: Record, sigma: float, radius: float) -> str:
    found = [100 * v for v in values(record, "certified accuracy", sigma=sigma, radius=radius)]
    if sigma not in LAST or radius > LAST[sigma]:
        return beside(found, None)
    return beside(found, round(100 * float(printed(target(sigma, radius)) or 0), 1))


def _draws(record: Record) -> int:
    (found,) = set(values(record, "draws"))
    return int(found)


def _mean(record: Record, name: str, sigma: float) -> float:
    found = values(record, name, sigma=sigma)
    return sum(found) / len(found)


def _images(record: Record) -> str:
    return f"{min(row.images for row in record.rows if row.images):,} test images"


def _network(record: Record) -> str:
    return {
        "paper": "ResNet-110 on CIFAR-10",
        "reduced": "a narrow ResNet-18 on CIFAR-10",
        "quick": "a small network on digits",
    }[record.profile]


def networks_first(
    best: Record | None, others: Sequence[Record]
) -> tuple[Record | None, tuple[Record, ...]]:
    """Return the record that contains certified accuracies, and all other records of the page.

    ``best``: the record of the book's largest experiment, or None if there is none. It may contain
        only the largest radii that can be certified.
    """
    if best is None:
        return None, ()
    main = measured([best, *others])
    return main, tuple(record for record in (best, *others) if record is not main)


def with_networks(versions: Sequence[Version]) -> list[Version]:
    """Return those of the page's results (``versions``) that contain certified accuracies."""
    return [v for v in versions if any(row.name == "certified accuracy" for row in v.record.rows)]
