"""Compute the content of the page on Figure 2, which compares four uses of noise: in training, at
test time, in both, and in neither.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import Version, rows_of
from robustbook.chapters.wording import listed, minus, ranges
from robustbook.figures import Table
from robustbook.ledger import Record, Row

from . import names, sweeps

REGIMES: Mapping[str, str] = {
    "rse": "RSE, noise in both",
    "train only": "noise in training only",
    "test only": "noise at test time only",
    "none": "no noise",
}
ONE = "accuracy of one draw"
SMALL = 0.1
"""The largest value of c that we count as one of the paper's "smaller attacks"."""
NEEDED = (("at test time", "train only"), ("in training", "test only"))
"""Where RSE has noise, and the use of noise that leaves it out there."""
LAST = 0.4
"""The largest value of c in the claim that RSE is more accurate than the network without noise."""


def answer(records: Sequence[Record]) -> str:
    """Return a sentence for each network that states whether RSE needs noise in training and at
    test time, with accuracies under a weak attack.
    """
    return " ".join(_told(record, network) for record, network in names.best(records))


def _told(record: Record, network: str) -> str:
    under = {r: names.at(record, network, r, SMALL) for r in REGIMES}
    rse, train, late = (under[r] or 0.0 for r in ("rse", "train only", "test only"))
    needed = [words for words, other in NEEDED if _above(record, network, other)]
    lead = {
        2: "Noise in training and at test time both help",
        1: f"Noise {''.join(needed)} helps",
        0: "These results cannot tell",
    }
    kept = alone(record, network).removeprefix("; noise in training alone ")
    return (
        f"{lead[len(needed)]}: at $c = {SMALL:g}$ the accuracy is {rse:.1f} % with RSE, and "
        f"{late:.1f} % with noise at test time only ({names.full_title(record, network)}; "
        f"{names.size(record, network)}). With noise in training only it is {train:.1f} %"
        f"{f', which {kept}' * bool(kept)}."
    )


def exceptions(records: Sequence[Record]) -> str:
    """Return sentences that state how much accuracy RSE loses on clean images, and at which values
    of the attack's constant c another use of noise is more accurate.
    """
    return " ".join(
        f"{_clean(record, network)}{_behind(record, network)}".strip()
        for record, network in names.best(records)
    )


def needs_both(record: Record, network: str) -> bool:
    """Return whether RSE is clearly more accurate under a weak attack than with noise in
    training only, and than with noise at test time only.
    """
    return all(_above(record, network, other) is True for _, other in NEEDED)


def _above(record: Record, network: str, other: str, c: float = SMALL) -> bool | None:
    """Return whether RSE is clearly more (True) or less accurate than another use of noise."""
    rse, rest = (
        rows_of(record, "accuracy", network=network, defense=r, c=c) for r in ("rse", other)
    )
    return pairs.ordered(rse, rest)


def alone(record: Record, network: str) -> str:
    """Return a clause on the share of RSE's gain under the weak attack that noise in training alone
    keeps, or "" if RSE has no gain.
    """
    rse, train, none = (
        names.at(record, network, r, SMALL) or 0.0 for r in ("rse", "train only", "none")
    )
    if rse <= none:
        return ""
    return (
        f"; noise in training alone keeps {100 * (train - none) / (rse - none):.0f} % of the gain"
    )


def _clean(record: Record, network: str) -> str:
    rse, none = (names.at(record, network, r, 0.0) for r in ("rse", "none"))
    if rse is None or none is None:
        return ""
    return f" On clean images the accuracy is {rse:.1f} % with RSE and {none:.1f} % without noise."


def _behind(record: Record, network: str) -> str:
    """Return a sentence for each c at which RSE is less accurate than another use of noise."""
    told = ""
    for c in names.strengths(record, network, "rse"):
        found = {r: names.at(record, network, r, c) or 0.0 for r in REGIMES}
        rse = found.pop("rse")
        higher = {r: value for r, value in found.items() if value > rse}
        if higher:
            which = listed(
                [f"the network with {REGIMES[r]} ({value:.1f} %)" for r, value in higher.items()]
            )
            many = "The differences" if len(higher) > 1 else "The difference"
            verb = "are" if len(higher) > 1 else "is"
            sure = any(_above(record, network, r, c) is False for r in higher)
            told += (
                f" At $c = {c:g}$ RSE ({rse:.1f} %) is less accurate than {which}."
                f"{'' if sure else f' {many} at this $c$ {verb} within two standard errors.'}"
            )
    return told


def ran(records: Sequence[Record]) -> str:
    """Return sentences that state which networks, images and attacks the shown results are from."""
    return " ".join(names.ran(record, network) for record, network in names.best(records))


def tested(records: Sequence[Record]) -> str:
    """Return a sentence that states at which values of c the order of the curves at every c up to
    0.4 was tested. Return an empty text if the network of the order was not run.
    """
    record = names.with_network(records, "vgg16")
    if record is None:
        return ""
    cs = [f"{c:g}" for c in names.strengths(record, "vgg16", "rse") if c <= LAST]
    return f"The order at every $c$ up to {LAST:g} was tested at $c$ = {listed(cs)} only."


def curves(records: Sequence[Record]) -> Figure:
    """Draw accuracy against the attack's constant c, with a panel per network. Each panel has four
    curves: for noise in training, at test time, in both, and in neither.
    """
    panels = [
        sweeps.panel(record, network, REGIMES, title=names.title(record, network))
        for record, network in names.best(records)
    ]
    return figures.lines(panels, columns=len(panels), height=3.4)


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
    return version.table(
        f": accuracy in per cent for each use of noise{ranges(record)}.",
        "rse-figure-2",
        ["Network, noise", *("clean" if c == 0 else f"c = {c:g}" for c in cs)],
        rows,
    )


def distortions(version: Version) -> Table:
    """Return a table of the distortion of the attacked images, with one row for each use of noise
    and one column for each c.
    """
    record = version.record
    cs = names.strengths(record, names.networks(record)[0], "rse")
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * len(cs)])
        rows += sweeps.rows(record, network, REGIMES, cs, "distortion", 3)
    return version.table(
        ": distortion, the root of the mean squared l2 distance over all "
        f"images{ranges(record)}. Pixels are in [0, 1].",
        "rse-figure-2-distortion",
        ["Network, noise", *(f"c = {c:g}" for c in cs)],
        rows,
    )


def moved(records: Sequence[Record]) -> str:
    """Return sentences that state how far the weak attack moves the images, for each use of
    noise.
    """
    return " ".join(
        f"On {names.in_text(record, network)} at $c = {SMALL:g}$, the distortion is "
        + listed(
            [
                f"{names.at(record, network, r, SMALL, 'distortion') or 0.0:.2f} ({words})"
                for r, words in REGIMES.items()
            ]
        )
        + "."
        for record, network in names.best(records)
    )


def remaining(records: Sequence[Record]) -> str:
    """Return for each network a sentence that states which share of RSE's lead under the weak
    attack remains without noise at test time, with a link to the page on Figure 2.
    """
    return " ".join(
        f"Under the paper's attack with $c = {SMALL:g}$, "
        f"{100 * (alone - none) / (rse - none):.0f} % of the gain remains without noise at test "
        f"time ({names.title(record, network)}; [Figure 2](./figure2.ipynb))."
        for record, network in names.best(records)
        for rse, alone, none in [
            [names.at(record, network, r, SMALL) or 0.0 for r in ("rse", "train only", "none")]
        ]
        if rse > none
    )


def shares(records: Sequence[Record]) -> str:
    """Return sentences that state how much more accurate RSE is under a weak attack than the
    network without noise. They also state how much of this advantage remains without noise at test
    time. The last sentence states how much accuracy is lost on clean images if the noise is
    switched off.
    """
    parts = []
    for record, network in names.best(records):
        rse, alone, none = (
            names.at(record, network, r, SMALL) for r in ("rse", "train only", "none")
        )
        if rse is None or alone is None or none is None or rse <= none:
            continue
        parts.append(
            f"On {names.in_text(record, network)} at $c = {SMALL:g}$, the accuracy of RSE is "
            f"{rse - none:.1f} points higher than that of the network without noise. Without noise "
            f"at test time, {alone - none:.1f} of these points "
            f"({100 * (alone - none) / (rse - none):.0f} %) remain.{_lost(record, network)}"
        )
    if not parts:
        return (
            f"At $c = {SMALL:g}$ RSE does not have a higher accuracy under attack than the network "
            "without noise."
        )
    return " ".join(parts)


def _lost(record: Record, network: str) -> str:
    """Return a sentence that states how much accuracy is lost if the noise is switched off: under
    the weak attack, and on clean images.
    """
    under, clean = (
        [names.at(record, network, r, c) or 0.0 for r in ("rse", "train only")]
        for c in (SMALL, 0.0)
    )
    if under[0] <= under[1] or clean[0] <= clean[1]:
        return ""
    return (
        f" So switching the noise off costs {under[0] - under[1]:.1f} points under the attack. "
        f"Without an attack it costs {clean[0] - clean[1]:.1f} points: the accuracy falls from "
        f"{clean[0]:.1f} to {clean[1]:.1f} %."
    )


def ensemble_alone(records: Sequence[Record]) -> str:
    """Return sentences that divide RSE's lead over noise in training only, under the weak attack,
    into two parts: that of one draw of the noise at test time, and that of the ensemble.
    """
    return " ".join(filter(None, (_divided(*each) for each in names.best(records))))


def _divided(record: Record, network: str) -> str:
    rse, one, alone = (
        rows_of(record, name, network=network, defense=r, c=SMALL)
        for name, r in (("accuracy", "rse"), (ONE, "rse"), ("accuracy", "train only"))
    )
    if not (rse and one and alone):
        return ""
    noise, ensemble = pairs.ordered(one, alone), pairs.ordered(rse, one)
    text = (
        f"On {names.in_text(record, network)} at $c = {SMALL:g}$, the accuracy of RSE with one "
        f"draw is {_mean(one):.1f} %. So one draw of the noise at test time changes the accuracy "
        f"by {_change(one, alone)}. The ensemble changes it by another {_change(rse, one)}."
    )
    if ensemble:
        return f"{text} Thus the ensemble itself raises the accuracy, as the paper says."
    if noise:
        return (
            f"{text} Thus these results show that the noise helps, but not that the ensemble does."
        )
    return text


def _change(after: Sequence[Row], before: Sequence[Row]) -> str:
    clear = "" if pairs.ordered(after, before) is not None else "not "
    points = minus(f"{_mean(after) - _mean(before):+.1f}")
    return f"{points} points ({clear}a clear difference)"


def _mean(rows: Sequence[Row]) -> float:
    return fmean(float(row.value) for row in rows)
