"""Compute the content of the page on Figure 5: accuracy on clean images against the number of noise
draws.
"""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import Version, mean, records_of, rows_of, settings, values
from robustbook.chapters.wording import listed, minus, ranges, spread
from robustbook.figures import Curve, Panel, Table
from robustbook.ledger import Record, Row

from . import names
from .figure3 import LEVELS, LOOK, levels

MOST, ENOUGH = 50, 10
LEADS = {
    True: "About ten draws",
    False: "More than ten draws",
    None: "Our runs cannot tell",
}
UNCLEAR = ", because no gain is clear"


def answer(records: Sequence[Record]) -> str:
    """Return a sentence for each possible answer (ten draws are enough, more are needed, or our
    runs cannot tell), with the changes of the accuracy from 1 to 10 and from 10 to 50 noise draws.
    Each sentence names its networks if there are several answers.
    """
    found: dict[bool | None, list[tuple[Record, str]]] = {}
    for each in names.best(records):
        found.setdefault(enough(*each), []).append(each)
    if len(found) == 1:
        ((which, best),) = found.items()
        return f"{LEADS[which]}{UNCLEAR * (which is None)}. {_gained(best)}"
    told: list[str] = []
    for which in (True, False, None):
        best = found.get(which, [])
        changes: list[str] = []
        for each in best:
            early, late = (minus(f"{gain:+.1f}") for gain in _gains(*each, "rse"))
            whole = not (told or changes)
            change = (
                f"the clean accuracy changes by {early} points from 1 to {ENOUGH} draws, and by "
                f"{late} from {ENOUGH} to {MOST}"
            )
            changes.append(f"{change if whole else f'{early} and {late}'} ({names.size(*each)})")
        if best:
            where = listed(names.title(*each) for each in best)
            why = UNCLEAR * (which is None)
            told.append(f"{LEADS[which]} on {where}{why}: {'; '.join(changes)}.")
    return " ".join(told)


def _gained(best: Sequence[tuple[Record, str]]) -> str:
    sizes = [names.size(*each) for each in best]
    same = len(set(sizes)) == 1
    told: list[str] = []
    for each, size in zip(best, sizes, strict=True):
        early, late = (minus(f"{gain:+.1f}") for gain in _gains(*each, "rse"))
        where = f"On {names.in_text(*each)}{'' if same else f' ({size})'}, "
        told.append(
            f"{where}it changes by {early} and {late}"
            if told
            else f"{where}the clean accuracy changes by {early} points from 1 to {ENOUGH} draws, "
            f"and by {late} from {ENOUGH} to {MOST}"
        )
    end = f" ({'each ' * (len(best) > 1)}{sizes[0]})" * same
    return f"{'. '.join(told)}{end}."


def accuracies_in_words(records: Sequence[Record]) -> str:
    """Return a sentence for each network with the accuracies on clean images for 1, 10 and 50 noise
    draws.
    """
    text = []
    for record, network in names.best(records):
        one, ten, fifty = (_at(record, network, "rse", n) for n in (1, ENOUGH, MOST))
        text.append(
            f"On {names.in_text(record, network)}, the accuracy is {one:.1f} % with one draw, "
            f"{ten:.1f} % with {ENOUGH}, and {fifty:.1f} % with {MOST}."
        )
    return " ".join(text)


def enough(record: Record, network: str) -> bool | None:
    """Return whether ten noise draws are enough. The result is False if 50 draws are clearly more
    accurate than ten. Otherwise it is True if ten draws are clearly more accurate than one, and
    None if not.
    """
    if _ordered(record, network, "rse", MOST, ENOUGH):
        return False
    return True if _ordered(record, network, "rse", ENOUGH, 1) else None


def _ordered(record: Record, network: str, noise: str, first: int, second: int) -> bool | None:
    """Return whether the accuracy is clearly higher with the first number of draws (True) or with
    the second (False), or None if the difference is not clear.
    """
    return pairs.ordered(*(_rows(record, network, noise, n) for n in (first, second)))


def _rows(record: Record, network: str, noise: str, draws: int) -> list[Row]:
    return rows_of(record, "accuracy", network=network, defense=noise, draws=draws)


def curves(records: Sequence[Record]) -> Figure:
    """Draw accuracy on clean images against the number of noise draws, with a curve per noise
    level. All panels have the same y axis. Bars of two standard errors on either side are drawn for
    the noise level of Table 1.
    """
    best = names.best(records)
    found = {network: _curves(record, network) for record, network in best}
    margin = max(2 * standard_error(record, network) for record, network in best)
    shown = [y for each in found.values() for curve in each.values() for ys in curve.y for y in ys]
    limits = (max(0.0, min(shown) - margin - 1), min(100.0, max(shown) + margin + 1))
    panels = [
        Panel(
            names.title(record, network),
            "number of draws",
            "accuracy, clean images (%)",
            found[network],
            {},
            limits=limits,
        )
        for record, network in best
    ]
    figure = figures.lines(panels, columns=len(panels), height=3.4)
    for axis, (record, network) in zip(figure.axes, best, strict=True):
        curve = found[network].get(f"noise {levels(record)['rse']}")
        if curve is not None:
            y = [fmean(column) for column in zip(*curve.y, strict=True)]
            error = 2 * standard_error(record, network)
            axis.errorbar(curve.x, y, error, fmt="none", ecolor=curve.look.color, alpha=0.5)
    return figure


def _curves(record: Record, network: str) -> dict[str, Curve]:
    found = {}
    for noise in names.defenses(record, network, list(LEVELS)):
        of = {"network": network, "defense": noise}
        numbers = [int(n) for n in settings(record, "accuracy", "draws", **of)]
        each = [values(record, "accuracy", draws=n, **of) for n in numbers]
        seeds = [list(seed) for seed in zip(*each, strict=True)]
        words = f"noise {levels(record)[noise]}"
        found[words] = Curve([float(n) for n in numbers], seeds, LOOK[noise])
    return found


def standard_error(record: Record, network: str) -> float:
    """Return the standard error of an accuracy with 50 draws, in percentage points. It follows from
    the number of test images.
    """
    share = fmean(values(record, "accuracy", network=network, draws=MOST)) / 100
    return float(100 * (share * (1 - share) / names.counted(record, network)) ** 0.5)


def accuracies(version: Version) -> Table:
    """Return a table of the accuracies for several numbers of noise draws. The last two columns are
    the changes of the accuracy from one draw to ten, and from ten to 50.
    """
    record = version.record
    numbers = (1, 4, ENOUGH, 20, MOST)
    rows: list[list[str]] = []
    for network in names.networks(record):
        rows.append([f"**{names.full_title(record, network)}**", *[""] * (len(numbers) + 2)])
        for noise in names.defenses(record, network, list(LEVELS)):
            of = {"network": network, "defense": noise}
            each = [values(record, "accuracy", draws=n, **of) for n in numbers]
            ten = each[numbers.index(ENOUGH)]
            changes = [
                minus(spread([b - a for a, b in zip(first, second, strict=True)]))
                for first, second in ((each[0], ten), (ten, each[-1]))
            ]
            rows.append([levels(record)[noise], *map(spread, each), *changes])
    return version.table(
        ": accuracy on clean images in per cent for each number of draws, and its changes in "
        f"percentage points{ranges(record)}.",
        "rse-figure-5",
        [
            "Network, noise",
            *(f"n = {n}" for n in numbers),
            f"1 to {ENOUGH}",
            f"{ENOUGH} to {MOST}",
        ],
        rows,
    )


def gained(records: Sequence[Record]) -> str:
    """Return sentences that answer whether the first ten noise draws give most of the gain. They
    count the noise levels for which the accuracy rises more from 1 to 10 draws than from 10 to 50,
    and the changes that exceed two standard errors.
    """
    found = [
        (early, late, _clear(record, network, noise))
        for record, network in names.best(records)
        for noise in names.defenses(record, network, list(LEVELS))
        for early, late in [_gains(record, network, noise)]
    ]
    most = sum(early > max(late, 0) for early, late, _ in found)
    clear = sum(sure for *_, sure in found)
    few = clear <= len(found)
    ignored = ", if one ignores the standard errors" * few
    count = (f"But only {clear}" if clear else "But none") if few else f"{clear}"
    return (
        f"{'Yes' if 2 * most > len(found) else 'No'}{ignored}: for "
        f"{most} of {len(found)} combinations of network and noise level, the accuracy rises more "
        f"from 1 to {ENOUGH} draws than from {ENOUGH} to {MOST} (the last two columns above). "
        f"{count} of these {2 * len(found)} changes exceed{'s' * (clear < 2)} two standard errors."
    )


def _clear(record: Record, network: str, noise: str) -> int:
    """Return how many of the two changes exceed two standard errors."""
    steps = (ENOUGH, 1), (MOST, ENOUGH)
    return sum(_ordered(record, network, noise, *step) is not None for step in steps)


def _gains(record: Record, network: str, noise: str) -> tuple[float, float]:
    one, ten, fifty = (_at(record, network, noise, n) for n in (1, ENOUGH, MOST))
    return ten - one, fifty - ten


def _at(record: Record, network: str, noise: str, draws: int) -> float:
    return mean(record, "accuracy", network=network, defense=noise, draws=draws)


def largest_error(record: Record) -> str:
    """Return sentences that state the standard error of an accuracy, and by how much two
    accuracies must differ to be more than two standard errors apart.
    """
    network = names.networks(record)[0]
    error = standard_error(record, network)
    return (
        f"An accuracy measured on {names.counted(record, network):,} images has a standard error "
        f"of {error:.1f} points, so two of them must differ by {2 * 2**0.5 * error:.1f} points to "
        "be two standard errors apart. Smaller changes may be due to chance."
    )


def pairing(records: Sequence[Record]) -> str:
    """Return sentences that say on which networks the tests on this page are paired."""
    text = (
        "This threshold is for accuracies on different images. Here all numbers of draws classify "
        "the same images, so a paired test, as in the second exercise below, "
    )
    found: dict[bool, list[str]] = {True: [], False: []}
    for each in names.best(records):
        found[pairs.paired(*(_rows(*each, "rse", n) for n in (ENOUGH, MOST)))].append(
            names.title(*each)
        )
    if not found[False]:
        return f"{text}finds smaller differences. All tests on this page are paired."
    if found[True]:
        return (
            f"{text}finds smaller differences. The tests on {listed(found[True])} are paired. "
            f"Those on {listed(found[False])} are not, because these stored results do not say "
            "which images each number of draws classifies correctly."
        )
    return (
        f"{text}could find smaller differences. It needs another run, because the stored results "
        "do not say which images each number of draws classifies correctly."
    )


def redrawn(records: Sequence[Record]) -> str:
    """Return sentences that compare the accuracy with 50 draws to that of the same network with 50
    other draws, in the record of Figure 6. Only a network of the paper's size is the same in both.
    """
    there = {
        network: record for record, network in names.best(records_of("self_ensemble/figure-6"))
    }
    told = []
    for record, network in names.best(records):
        other = there.get(network)
        if record.profile != "paper" or other is None or other.profile != "paper":
            continue
        ours, again = _at(record, network, "rse", MOST), names.at(other, network, "rse", 0.0) or 0.0
        _, late = _gains(record, network, "rse")
        away = abs(ours - again)
        told.append(
            f"The accuracy of {names.NETWORKS[network]} with {MOST} draws is {ours:.1f} % here and "
            f"{again:.1f} % on the page on Figure 6: network and images are the same, but not the "
            f"draws of the noise. This difference of {away:.1f} points is "
            f"{'larger' if away > abs(late) else 'not larger'} than the change from {ENOUGH} to "
            f"{MOST} draws ({minus(f'{late:+.1f}')})."
        )
    return " ".join(told)
