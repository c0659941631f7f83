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
    """Return sentences that compare two networks: without noise, and with the highest noise level.
    The sentences state the accuracies of both networks on clean images and under attack.
    """
    text = []
    for network in names.networks(record):
        shown = names.defenses(record, network, list(LEVELS))
        low, high = "none", [d for d in shown if d != "none"][_highest(shown)]
        clean, under = (
            [names.at(record, network, d, c, ONE) for d in (low, high)] for c in (0.0, STRONG)
        )
        text.append(
            f"With {names.full_title(record, network)}, adding noise of the level "
            f"{levels(record)[high]} changes the accuracy of one draw from {clean[0]:.1f} to "
            f"{clean[1]:.1f} % on clean images. Under the attack at $c = {STRONG:g}$ the same "
            f"noise changes the accuracy of one draw from {under[0]:.1f} to {under[1]:.1f} %."
        )
    return " ".join(text)


def _highest(shown: Sequence[str]) -> int:
    """Return the position of one noise level in the list of those ``shown`` defenses that have
    noise. The noise level is the highest one in the authors' script. If the highest noise level was
    not run, the last position of the list is returned.
    """
    noisy = [d for d in shown if d != "none"]
    wanted = "rse paper 0.18/0.2"
    return noisy.index(wanted) if wanted in noisy else len(noisy) - 1


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
    """Return a sentence that states which noise level has the highest accuracy, on clean images and
    under the attack with each value of c.
    """
    parts = []
    for record, network in names.best(records):
        words = levels(record)
        shown = names.defenses(record, network, list(LEVELS))
        for c in (0.0, *names.strengths(record, network, "rse")):
            found = {d: names.at(record, network, d, c, ONE) for d in shown}
            highest = max(value for value in found.values() if value is not None)
            best = next(d for d, value in found.items() if value == highest)
            where = "on clean images" if c == 0 else f"at $c = {c:g}$"
            parts.append(f"{words[best]} {where}")
    return f"These noise levels give the highest accuracy of one draw: {'; '.join(parts)}."
