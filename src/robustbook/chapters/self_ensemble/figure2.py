"""Compute the content of the page on Figure 2, which compares four uses of noise: in training, at
test time, in both, and in neither.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version
from robustbook.figures import Table, table
from robustbook.ledger import Record

from . import names, sweeps

REGIMES: Mapping[str, str] = {
    "rse": "training and test (RSE)",
    "train only": "training only",
    "test only": "test only",
    "none": "no noise",
}
SMALL = 0.1
"""The largest value of c that we count as one of the paper's "smaller attacks"."""


def answer(records: Sequence[Record]) -> str:
    """Return sentences that state whether RSE needs noise in training and at test time, with
    accuracies under a weak attack.
    """
    return " ".join(_told(record, network) for record, network in names.best(records))


def _told(record: Record, network: str) -> str:
    under = {r: names.at(record, network, r, SMALL) for r in REGIMES}
    rse, alone, late = (under[r] or 0.0 for r in ("rse", "train only", "test only"))
    images = names.counted(record, network)
    needed = [
        words
        for words, other in (("at test time", alone), ("in training", late))
        if names.clearly(rse, other, images)
    ]
    lead = {2: "Both", 1: f"It needs noise {''.join(needed)}", 0: "These results cannot tell"}
    return (
        f"{lead[len(needed)]}: under the attack at $c = {SMALL:g}$, RSE classifies {rse:.1f} % of "
        f"the images correctly. With noise only in training it is {alone:.1f} %, and with noise "
        f"only at test time {late:.1f} % ({names.full_title(record, network)}; "
        f"{names.size(record, network)})."
    )


def ran(records: Sequence[Record]) -> str:
    """Return sentences that state which networks, images and attacks the shown results are from."""
    return " ".join(names.ran(record, network) for record, network in names.best(records))


def curves(records: Sequence[Record]) -> Figure:
    """Draw accuracy against the attack's constant c, with a panel per network. Each panel has four
    curves: for noise in training, at test time, in both, and in neither.
    """
    panels = [
        sweeps.panel(record, network, REGIMES, title=names.title(record, network))
        for record, network in names.best(records)
    ]
    return figures.lines(panels, columns=len(panels), height=3.4)


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return curves([record])


def accuracies(version: Version) -> Table:
    """Return a table of the accuracies on clean images and under attacks, with one row for each use
    of noise.
    """
    record = version.record
    cs = (0.0, *names.strengths(record, names.networks(record)[0], "rse"))
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * len(cs)])
        rows += sweeps.rows(record, network, REGIMES, cs)
    return table(
        f"{version.heading}: accuracy in per cent by where noise is used (range over the seeds).",
        f"tab-rse-figure-2-{version.tag}",
        ["Network, noise", *("clean" if c == 0 else f"c = {c:g}" for c in cs)],
        rows,
    )


def shares(records: Sequence[Record]) -> str:
    """Return sentences that state how much more accurate RSE is under a weak attack than the
    network without noise. The sentences also state which share of RSE's advantage remains if the
    noise is switched off at test time.
    """
    parts = []
    for record, network in names.best(records):
        rse, alone, none = (
            names.at(record, network, r, SMALL) for r in ("rse", "train only", "none")
        )
        if rse is None or alone is None or none is None or rse <= none:
            continue
        parts.append(
            f"{alone - none:.1f} of {rse - none:.1f} points ({names.full_title(record, network)})"
        )
    if not parts:
        return (
            f"At $c = {SMALL:g}$ RSE does not have a higher accuracy under attack than the network "
            "without noise."
        )
    return (
        f"At $c = {SMALL:g}$ RSE has a higher accuracy under attack than the network without "
        "noise. If the noise is switched off at test time, a part of this difference remains: "
        f"{' and '.join(parts)}."
    )
