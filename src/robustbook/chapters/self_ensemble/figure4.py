"""Compute the content of the page on Figure 4: predictions from one noise draw, compared with an
ensemble of 50 draws.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, values
from robustbook.chapters.wording import bullets, from_to, listed, minus, ranges, spread
from robustbook.figures import LOOKS, Panel, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_differ

from . import names, sweeps

DRAWS: Mapping[str, str] = {"accuracy": "50 draws", "accuracy of one draw": "one draw"}
LOOK = {"accuracy": LOOKS["rse"], "accuracy of one draw": LOOKS["adv"]}
TURN = 0.4
"""The value of c from which, according to the paper, 50 draws are worse than one draw."""


def answer(records: Sequence[Record]) -> str:
    """Return how many of the differences between 50 noise draws and one draw exceed two standard
    errors, and whether their signs under weak and strong attacks are those of the paper's claim.
    """
    best = names.best(records)
    weak, strong = zip(*(_as_claimed(*each) for each in best), strict=True)
    clear = [
        f"{names.full_title(*each)} at $c = {c:g}$, {minus(f'{fmean(gain(*each)[c]):+.1f}')} points"
        for each in best
        for c in _clear(*each)
    ]
    count = sum(len(gain(*each)) for each in best)
    lead = (
        f"None of the {count} differences between 50 draws and one draw exceeds two standard "
        "errors."
    )
    if clear:
        lead = (
            f"{'Only ' if 2 * len(clear) < count else ''}{len(clear)} of {count} differences "
            f"between 50 draws and one draw exceed{'s' * (len(clear) == 1)} two standard errors "
            f"({'; '.join(clear)})."
        )
    if not all(weak):
        return f"{lead} The signs of the differences do not agree with the paper's claim."
    larger = "they are never more accurate, also as in the paper"
    return (
        f"{lead} Below $c = {TURN:g}$, 50 draws are never less accurate, as in the paper; at "
        f"larger $c$ {larger if all(strong) else 'the sign depends on the network and on $c$'}."
    )


def gains_in_words(records: Sequence[Record]) -> str:
    """Return a list that states for each network at which values of c 50 noise draws gain and lose
    accuracy.
    """
    return bullets([_told(*each) for each in names.best(records)])


def _as_claimed(record: Record, network: str) -> tuple[bool, bool]:
    """Return whether the signs of the differences are those of the paper's claim: 50 draws are
    not worse at any c below 0.4, and not better at any c from 0.4 on.
    """
    gains = {c: fmean(each) for c, each in gain(record, network).items() if c}
    return (
        all(gained >= 0 for c, gained in gains.items() if c < TURN),
        all(gained <= 0 for c, gained in gains.items() if c >= TURN),
    )


def _told(record: Record, network: str) -> str:
    """Return sentences that state at which values of c 50 noise draws gain and lose accuracy."""
    gains = {c: fmean(each) for c, each in gain(record, network).items() if c}
    up, down = ({c: s * gained for c, gained in gains.items() if s * gained > 0} for s in (1, -1))
    parts = [
        f"{from_to(list(found.values()), '.1f')} points {word} at $c$ = "
        f"{listed([f'{c:g}' for c in found])}"
        for word, found in (
            ("more accurate than one draw", up),
            (f"less accurate{'' if up else ' than one draw'}", down),
        )
        if found
    ]
    same = [f"{c:g}" for c, gained in gains.items() if not gained]
    if same:
        parts.append(f"equally accurate at $c$ = {listed(same)}")
    text = (
        f"On {names.in_text(record, network)} ({names.size(record, network)}), 50 draws are "
        f"{', and '.join(parts) or 'as accurate as one draw'}."
    )
    against = [f"{c:g}" for c in up if c >= TURN]
    if against:
        clear = any(c in _clear(record, network) for c in gains if f"{c:g}" in against)
        text += (
            f" At $c$ = {listed(against)} the sign is not the one that the paper reports for VGG16"
            f"{'' if clear else ', but no difference there is clear'}."
        )
    return text


def _clear(record: Record, network: str) -> list[float]:
    """Return the values of c at which the accuracies with 50 noise draws and with one draw differ
    by more than two standard errors.
    """
    images = names.counted(record, network)
    found = []
    for c in gain(record, network):
        many, one = (names.at(record, network, "rse", c, name) or 0.0 for name in DRAWS)
        if clearly_differ(many, one, images):
            found.append(c)
    return found


def gain(record: Record, network: str) -> dict[float, list[float]]:
    """Return, for each value of the attack's constant c, the accuracy with 50 noise draws minus the
    accuracy with one noise draw. The dict has a list for each c, with one difference per seed.
    """
    found = {}
    for c in (0.0, *names.strengths(record, network, "rse")):
        many, one = (values(record, n, network=network, defense="rse", c=c) for n in DRAWS)
        if many and one:
            found[c] = [a - b for a, b in zip(many, one, strict=True)]
    return found


def curves(records: Sequence[Record]) -> Figure:
    """Draw the accuracies with one and with 50 noise draws against c, with a panel per network."""
    panels = []
    for record, network in names.best(records):
        drawn = {
            words: sweeps.curve(record, network, "rse", LOOK[name], name)
            for name, words in DRAWS.items()
        }
        found = {words: each for words, each in drawn.items() if each is not None}
        title = names.title(record, network)
        at = sweeps.ticks(list(found.values()))
        panels.append(Panel(title, sweeps.C, sweeps.ACCURACY, found, {}, log=True, ticks=at))
    return figures.lines(panels, columns=len(panels), height=3.4)


def gains(version: Version) -> Table:
    """Return a table with one row for each network and each value of the attack's constant c. The
    columns are the accuracy with one noise draw, the accuracy with 50 draws, their difference, and
    the distortion.
    """
    record = version.record
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * 4])
        for c, differences in gain(record, network).items():
            of = {"network": network, "defense": "rse", "c": c}
            moved = values(record, "distortion", **of)
            rows.append(
                [
                    "clean" if c == 0 else f"c = {c:g}",
                    spread(values(record, "accuracy of one draw", **of)),
                    spread(values(record, "accuracy", **of)),
                    minus(spread(differences)),
                    spread(moved, 3) if moved else "0",
                ]
            )
    return version.table(
        ": accuracy of RSE in per cent with one draw and with 50 draws, the difference in "
        f"percentage points, and the distortion{ranges(record)}.",
        "rse-figure-4",
        ["Attack", "one draw", "50 draws", "difference", "distortion"],
        rows,
    )


def turning(records: Sequence[Record]) -> str:
    """Return sentences that state for which c 50 noise draws are not more accurate than one draw.
    They also state the accuracy of one draw at these c, and at all other c.
    """
    return " ".join(_turning(*each) for each in names.best(records))


def _turning(record: Record, network: str) -> str:
    gains = {c: fmean(each) for c, each in gain(record, network).items()}
    above, below = (
        [c for c, gained in gains.items() if (gained > 0) is better] for better in (True, False)
    )
    where = names.in_text(record, network)
    if not above or not below:
        word = "more accurate" if above else "no more accurate"
        return f"On {where}, 50 draws are {word} than one draw at every $c$."
    one = {c: names.at(record, network, "rse", c, "accuracy of one draw") or 0.0 for c in gains}
    lead = f"at $c$ = {listed([f'{c:g}' for c in below])}"
    if max(above) < min(below):
        lead = f"from $c = {min(below):g}$ on (the next smaller $c$ that we ran is {max(above):g})"
    return (
        f"On {where}, 50 draws are no more accurate {lead}. There the accuracy of one draw is "
        f"{from_to([one[c] for c in below], '.1f')} %; at the other $c$ it is "
        f"{from_to([one[c] for c in above], '.1f')} %."
    )
