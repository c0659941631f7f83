"""Compute the content of the page on Figure 3: accuracy with one noise draw against the attack's
constant c, for several noise levels.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version
from robustbook.figures import LOOKS, Look, Table, table
from robustbook.ledger import Record

from . import names, sweeps

ONE = "accuracy of one draw"
LEVELS: Mapping[str, str] = {
    "none": "no noise",
    "rse code 0.1/0.05": "0.1/0.05",
    "rse paper 0.12/0.1": "0.12/0.1",
    "rse paper 0.12/0.2": "0.12/0.2",
    "rse paper 0.18/0.2": "0.18/0.2",
    "rse": "0.4/0.1 (Table 1)",
}
"""For each noise level, the standard deviations of the initial noise and of the inner noise. The
levels are ordered from low to high.
"""
LOOK: Mapping[str, Look] = {
    "none": LOOKS["none"],
    "rse code 0.1/0.05": LOOKS["train only"],
    "rse paper 0.12/0.1": LOOKS["train only"],
    "rse paper 0.12/0.2": LOOKS["distill"],
    "rse paper 0.18/0.2": LOOKS["adv"],
    "rse": LOOKS["rse"],
}
STRONG = 0.1
"""The value of c in the paper's claim about robustness."""


def levels(record: Record) -> dict[str, str]:
    """Return the label of each noise level. For profile ``quick`` (a short run on small images),
    the noise level of Table 1 is halved.
    """
    own = {"rse": "0.2/0.05"} if record.profile == "quick" else {}
    return {**LEVELS, **own}


def answer(record: Record) -> str:
    """Return sentences that state whether noise raises the accuracy under attack, and whether more
    noise raises it further. The sentences state the accuracies for all noise levels, on clean
    images and under attack.
    """
    return " ".join(_told(record, network) for network in names.networks(record))


def lead(record: Record, network: str) -> str:
    """Return a statement that says whether noise raises the accuracy under attack, and whether more
    noise raises it further.
    """
    under = _accuracies(record, network, STRONG)
    noisy, images = [d for d in under if d != "none"], names.counted(record, network)
    some = any(names.clearly(under[d], under["none"], images) for d in noisy)
    low, high = under[noisy[0]], under[noisy[-1]]
    more = "lowers it again" if names.clearly(low, high, images) else "does not clearly raise it"
    if names.clearly(high, low, images):
        more = "raises it further"
    text = "Some noise raises the accuracy under attack" if some else "No noise level clearly helps"
    return f"{text}, and more noise {more}" if len(noisy) > 1 else text


def _accuracies(record: Record, network: str, c: float) -> dict[str, float]:
    """Return for each noise level the accuracy of predictions from one noise draw."""
    shown = names.defenses(record, network, list(LEVELS))
    return {d: names.at(record, network, d, c, ONE) or 0.0 for d in shown}


def _told(record: Record, network: str) -> str:
    found = [_accuracies(record, network, c) for c in (STRONG, 0.0)]
    words = names.listed([levels(record)[d] for d in found[0]])
    first, second = (names.listed([f"{x:.1f}" for x in of.values()]) + " %" for of in found)
    return (
        f"{lead(record, network)}. At $c = {STRONG:g}$ one draw classifies {first} of the "
        f"images correctly, with {words}; without an attack it is {second} "
        f"({names.full_title(record, network)}; {names.size(record, network)})."
    )


def ran(records: Sequence[Record]) -> str:
    """Return sentences that state which noise levels, networks and images the shown results are
    from.
    """
    return " ".join(
        f"{names.ran(record, network)} The noise levels are "
        + names.listed([levels(record)[d] for d in names.defenses(record, network, list(LEVELS))])
        + "."
        for record, network in names.best(records)
    )


def curves(records: Sequence[Record]) -> Figure:
    """Draw the accuracy with one noise draw against the attack's constant c, with a curve per noise
    level.
    """
    panels = [
        sweeps.panel(
            record,
            network,
            levels(record),
            title=names.title(record, network),
            name=ONE,
            label="accuracy of one draw (%)",
            looks=LOOK,
        )
        for record, network in names.best(records)
    ]
    return figures.lines(panels, columns=len(panels), height=3.4)


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return curves([record])


def accuracies(version: Version) -> Table:
    """Return a table of accuracies with one noise draw. The columns are the accuracies on clean
    images and under attacks with different values of the constant c.
    """
    return _table(version, ONE, "one draw", "one")


def of_fifty(version: Version) -> Table:
    """Return a table of accuracies if each prediction averages 50 noise draws. The paper's figure
    does not show these accuracies.
    """
    return _table(version, "accuracy", "50 draws", "fifty")


def _table(version: Version, name: str, words: str, label: str) -> Table:
    record = version.record
    (network,) = names.networks(record)
    cs = (0.0, *names.strengths(record, network, "rse"))
    return table(
        f"{version.heading}: accuracy of {words} in per cent with "
        f"{names.full_title(record, network)}, by initial and inner noise (range over the seeds).",
        f"tab-rse-figure-3-{label}-{version.tag}",
        ["Noise", *("clean" if c == 0 else f"c = {c:g}" for c in cs)],
        sweeps.rows(record, network, levels(record), cs, name),
    )


def best_level(records: Sequence[Record]) -> str:
    """Return sentences that state which noise levels have the highest accuracy, on clean images and
    under the attack with each value of c. Levels with the same accuracy are all named.
    """
    return " ".join(_best(record, network) for record, network in names.best(records))


def _best(record: Record, network: str) -> str:
    words, shown = levels(record), names.defenses(record, network, list(LEVELS))
    images = names.counted(record, network)
    winners: list[list[str]] = []
    parts, clear = [], 0
    for c in (0.0, *names.strengths(record, network, "rse")):
        found = {d: names.at(record, network, d, c, ONE) or 0.0 for d in shown}
        highest = max(found.values())
        winners.append([d for d, value in found.items() if highest - value < 1e-9])
        rest = [value for d, value in found.items() if d not in winners[-1]]
        clear += bool(rest) and names.clearly(highest, max(rest), images)
        where = "on clean images" if c == 0 else f"at $c = {c:g}$"
        parts.append(f"{names.listed([words[d] for d in winners[-1]])} {where}")
    always = [words[d] for d in shown if all(d in won for won in winners)]
    lead = "*The best noise level depends on the attack.*"
    if always:
        lead = f"*Best or tied everywhere: {names.listed(always)}.*"
    return (
        f"{lead} The highest accuracy of one draw has {'; '.join(parts)} "
        f"({names.full_title(record, network)}; {names.size(record, network)}). The lead over the "
        f"next level exceeds two standard errors at {clear} of these {len(parts)} points."
    )
