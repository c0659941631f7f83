"""Compute the content of the page on Figure 4: predictions from one noise draw, compared with an
ensemble of 50 draws.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, values
from robustbook.chapters.wording import from_to, minus, spread
from robustbook.figures import LOOKS, Panel, Table, table
from robustbook.ledger import Record

from . import names, sweeps

DRAWS: Mapping[str, str] = {"accuracy": "50 draws", "accuracy of one draw": "one draw"}
LOOK = {"accuracy": LOOKS["rse"], "accuracy of one draw": LOOKS["adv"]}
TURN = 0.4
"""The value of c from which, according to the paper, 50 draws are worse than one draw."""


def answer(records: Sequence[Record]) -> str:
    """Return sentences that state whether 50 noise draws are more accurate than one draw: under
    weak attacks, and under strong attacks.
    """
    best = names.best(records)
    ends = [_ends(record, network) for record, network in best]
    weak = all(gained > 0 for gained, _ in ends)
    strong = all(gained < 0 for _, gained in ends)
    told = " ".join(_told(record, network) for record, network in best)
    clear = [c for each in best for c in _clear(*each)]
    lead = (
        "By sign, 50 draws are better under weak attacks and worse under the strongest, as the "
        "paper claims"
        if weak and strong
        else "Not all signs agree with the paper's claim"
    )
    return (
        f"{lead}; only {len(clear)} of "
        f"{sum(len(gain(*each)) for each in best)} differences "
        f"exceed{'s' * (len(clear) == 1)} two standard errors. {told}"
    )


def _ends(record: Record, network: str) -> tuple[float, float]:
    """Return two differences between the accuracy with 50 noise draws and the accuracy with one:
    the mean under weak attacks, and the difference at the largest c.
    """
    gains = {c: fmean(each) for c, each in gain(record, network).items()}
    return fmean(g for c, g in gains.items() if 0 < c < TURN), gains[max(gains)]


def _told(record: Record, network: str) -> str:
    higher, _ = _ends(record, network)
    worse = [c for c, each in gain(record, network).items() if c and fmean(each) < 0]
    lower = f"lose from $c = {min(worse):g}$ on" if worse else "lose at no $c$"
    if worse and worse != [c for c in gain(record, network) if c >= min(worse)]:
        lower = f"lose at $c$ = {', '.join(f'{c:g}' for c in worse)}"
    return (
        f"{names.first_title(record, network)} ({names.size(record, network)}): 50 draws "
        f"{'gain' if higher > 0 else 'lose'} {abs(higher):.1f} points on average for $c$ below "
        f"{TURN:g}, and {lower}."
    )


def _clear(record: Record, network: str) -> list[float]:
    """Return the values of c at which the accuracies with 50 noise draws and with one draw differ
    by more than two standard errors.
    """
    images = names.counted(record, network)
    found = []
    for c in gain(record, network):
        many, one = (names.at(record, network, "rse", c, name) or 0.0 for name in DRAWS)
        if names.clearly(many, one, images) or names.clearly(one, many, images):
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
        panels.append(Panel(title, sweeps.C, sweeps.ACCURACY, found, {}, log=True))
    return figures.lines(panels, columns=len(panels), height=3.4)


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return curves([record])


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
    return table(
        f"{version.heading}: accuracy of RSE in per cent with one draw and with 50 draws, the "
        "difference in percentage points, and the distortion (range over the seeds).",
        f"tab-rse-figure-4-{version.tag}",
        ["Attack", "one draw", "50 draws", "difference", "distortion"],
        rows,
    )


def turning(records: Sequence[Record]) -> str:
    """Split the attacks into those under which 50 noise draws are more accurate than one draw, and
    the others. Return text that states, for both groups of attacks, the range of the accuracies
    with one draw.
    """
    parts = []
    for record, network in names.best(records):
        above: list[float] = []
        below: list[float] = []
        for c, differences in gain(record, network).items():
            right = names.at(record, network, "rse", c, "accuracy of one draw")
            assert right is not None
            (above if sum(differences) > 0 else below).append(right)
        where = names.full_title(record, network)
        if above and below:
            parts.append(
                f"with {where}, 50 draws are better at those $c$ at which one draw classifies "
                f"{from_to(above, '.0f')} % correctly. At those $c$ at which one draw classifies "
                f"{from_to(below, '.0f')} % correctly, 50 draws are not better"
            )
        else:
            side = "better" if above else "not better"
            parts.append(f"with {where}, 50 draws are {side} at every $c$")
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in parts)
