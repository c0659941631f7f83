"""Compute the content of the page on Figure 4: predictions from one noise draw, compared with an
ensemble of 50 draws.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import Version, rows_of, values
from robustbook.chapters.wording import (
    bullets,
    from_to,
    listed,
    minus,
    ranges,
    seeds_in_words,
    spread,
)
from robustbook.figures import LOOKS, Panel, Table
from robustbook.ledger import Record, Row
from robustbook.ledger.outcomes import paired_error

from . import fifty, names, sweeps, table2

DRAWS: Mapping[str, str] = {"accuracy": "50 draws", "accuracy of one draw": "one draw"}
LOOK = {"accuracy": LOOKS["rse"], "accuracy of one draw": LOOKS["adv"]}
STRONG = 1.0
"""The value of c of a strong attack."""
NETWORK = "vgg16"
PLACES: Mapping[str, str] = {
    "rse paper 0.4": "with the strongest noise on the image",
    "rse": "as released",
}
LEADS = {True: "Yes", False: "No", None: "Not clearly"}
"""Whether 50 draws are more accurate, as the first word of a sentence."""


def answer(records: Sequence[Record]) -> str:
    """Return whether 50 noise draws are more accurate than one draw, and by how many points: under
    weak attacks, for each placement of the strongest noise on the network of Table 2, and under a
    strong attack, for each network.
    """
    record = table2.placed()
    weak = []
    for defense, where in PLACES.items():
        gains = _attacked(record, defense)
        found = [fifty.ordered(record, NETWORK, defense, c) for c in gains]
        lead = LEADS[found[0] if len({*found}) == 1 else None]
        points = minus(from_to([gained for each in gains.values() for gained in each], "+.1f"))
        other = fifty.again(records, max(gains)) if defense == "rse" else None
        if other and other[0] and lead != LEADS[True]:
            lead = "Partly"
            points = f"{found.count(True)} of {len(found)} gains clear; retrained networks: "
            points += f"{other[0]} of {other[1]}"
        cost = f"{fifty.lowered(record, NETWORK, defense):.1f}"
        weak.append((lead, where, points, max(gains), cost))
    (lead, where, points, largest, cost), *others = weak
    rest = "".join(f" {word} {place} ({gained})." for word, place, gained, *_ in others)
    return (
        f"{lead} for $c\\le{largest:g}$ {where} ({names.title(record, NETWORK)}): 50 draws gain "
        f"{points} points; the attack costs at most {cost}."
        f"{rest}{_under_strong(records)}"
    )


def _under_strong(records: Sequence[Record]) -> str:
    """Return a sentence that states on which networks 50 draws are more or less accurate than one
    draw under a strong attack, or "" if no network was attacked so strongly.
    """
    found: dict[bool | None, list[tuple[str, float]]] = {True: [], False: [], None: []}
    for each in fifty.shown(records):
        if STRONG in (gains := gain(*each)):
            order = pairs.ordered(*_rows(*each, "rse", STRONG))
            found[order].append((names.title(*each), fmean(gains[STRONG])))
    told = listed(
        f"{minus(f'{gained:+.1f}')} ({title})"
        for order in (True, False)
        for title, gained in found[order]
    )
    unclear = listed(f"{title} ({minus(f'{gained:+.1f}')})" for title, gained in found[None])
    if not told:
        return f" Not clearly at $c={STRONG:g}$, on {unclear}." if unclear else ""
    if unclear:
        told += f"; unclear on {unclear}"
    lead = "Partly" if found[True] and found[False] else LEADS[bool(found[True])]
    return f" {lead} at $c={STRONG:g}$: {told}."


def _attacked(record: Record, defense: str) -> dict[float, list[float]]:
    """Return the gains under the attack on the network of Table 2 (see `gain`)."""
    return {c: each for c, each in gain(record, NETWORK, defense).items() if c}


def by_place() -> str:
    """Return a list that states how many points 50 draws gain under the attack of Table 2, and how
    many points this attack costs, with one entry for each placement of RSE's strongest noise. The
    test is paired where the record says which images are classified correctly.
    """
    record = table2.placed()
    return bullets([_placed(record, defense) for defense in PLACES])


def _placed(record: Record, defense: str) -> str:
    gains = _attacked(record, defense)
    rows = {c: _rows(record, NETWORK, defense, c) for c in gains}
    tested = [
        (many, one)
        for both in rows.values()
        for many, one in zip(*both, strict=True)
        if pairs.paired([many], [one])
    ]
    rest = [
        float(many.value) - float(one.value)
        for both in rows.values()
        for many, one in zip(*both, strict=True)
        if not pairs.paired([many], [one])
    ]
    text = (
        f"*Strongest noise {names.PLACES[defense]}*: 50 draws gain "
        f"{minus(from_to([g for each in gains.values() for g in each], '+.1f'))} points "
        f"({len(gains)} values of $c$ up to {max(gains):g}, {seeds_in_words(len(record.seeds))}). "
        "There the attack lowers the accuracy of 50 draws by at most "
        f"{fifty.lowered(record, NETWORK, defense):.1f} points."
    )
    if not tested:
        return text
    clear = sum(fifty.ordered(record, NETWORK, defense, c) is not None for c in gains)
    seeds = len({many.seed for many, _ in tested})
    others = len(record.seeds) - seeds
    mean, low, high = _mean_gain(tested)
    return (
        f"{text} A paired test is possible for {seeds} of {len(record.seeds)} seeds. In their "
        f"mean, {clear or 'none'} of {len(gains)} gains exceed{'s' * (clear < 2)} two standard "
        "errors. "
        f"The mean of these gains is {minus(f'{mean:+.1f}')} points (95 % interval from the choice "
        f"of images {minus(f'{low:+.1f}')} to {minus(f'{high:+.1f}')})."
        + (
            f" The other {'seed gains' if others == 1 else f'{others} seeds gain'} "
            f"{minus(f'{fmean(rest):+.1f}')} points on average."
            if rest
            else ""
        )
    )


def _mean_gain(tested: Sequence[tuple[Row, Row]]) -> tuple[float, float, float]:
    """Return the mean of several gains on the same images, and the ends of its 95 % interval. The
    gains are averaged for each image first, because they are not independent.
    """
    many, one = ([row.each for row in rows] for rows in zip(*tested, strict=True))
    mean = fmean(float(a.value) - float(b.value) for a, b in tested)
    error = paired_error(many, one)
    return mean, mean - error, mean + error


def clear(records: Sequence[Record]) -> str:
    """Return a sentence that counts the differences between 50 noise draws and one draw which
    exceed two standard errors, and says whether the comparison is paired.
    """
    best = fifty.shown(records)
    found = [
        f"{names.full_title(*each)} {f'at $c = {c:g}$' if c else 'on clean images'}, from "
        f"{one:.1f} % with one draw to {many:.1f} %"
        for each in best
        for c in _clear(*each)
        for many, one in [[names.at(*each, "rse", c, n) or 0.0 for n in DRAWS]]
    ]
    told = "; ".join(found)
    count = sum(len(gain(*each)) for each in best)
    text = (
        f"{len(found) or 'None'} of {count} differences "
        f"exceed{'s' * (len(found) < 2)} two standard errors{f' ({told})' if found else ''}."
    )
    bare = [names.title(*each) for each in best if 0.0 not in gain(*each)]
    if bare:
        text += f" The accuracy of one draw on clean images was not measured on {listed(bare)}."
    apart = [
        names.title(*each)
        for each in best
        if not all(pairs.paired(*_rows(*each, "rse", c)) for c in gain(*each) if c)
    ]
    if apart:
        text += (
            f" On {listed(apart)} the test is not paired, because the record does not say which "
            "images are classified correctly. So it misses some real differences."
        )
    return text


def strength(records: Sequence[Record]) -> str:
    """Return a sentence on how much the strong attack lowers the accuracy of 50 draws, for each
    network, or "" if no network was attacked so strongly.
    """
    told = [
        f"{clean - under:.1f} points on {names.title(*each)}"
        for each in fifty.shown(records)
        for clean, under in [[names.at(*each, "rse", c) for c in (0.0, STRONG)]]
        if clean is not None and under is not None
    ]
    if not told:
        return ""
    return (
        f"With $c = {STRONG:g}$ the attack lowers the accuracy of 50 draws by {listed(told)}. So "
        "it is not equally strong on all networks."
    )


def _clear(record: Record, network: str) -> list[float]:
    """Return the values of c at which the accuracies with 50 noise draws and with one draw differ
    by more than two standard errors.
    """
    return [
        c
        for c in gain(record, network)
        if pairs.ordered(*_rows(record, network, "rse", c)) is not None
    ]


def _rows(record: Record, network: str, defense: str, c: float) -> tuple[list[Row], list[Row]]:
    """Return the rows of the accuracies with 50 noise draws and with one draw."""
    many, one = (rows_of(record, n, network=network, defense=defense, c=c) for n in DRAWS)
    return many, one


def gain(record: Record, network: str, defense: str = "rse") -> dict[float, list[float]]:
    """Return, for each value of the attack's constant c, the accuracy with 50 noise draws minus the
    accuracy with one noise draw. The dict has a list for each c, with one difference per seed.
    """
    found = {}
    for c in (0.0, *names.strengths(record, network, defense)):
        many, one = _rows(record, network, defense, c)
        if many and one:
            found[c] = [float(a.value) - float(b.value) for a, b in zip(many, one, strict=True)]
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
