"""Compute the content of the page on Figure 3: accuracy with one noise draw against the attack's
constant c, for several noise levels.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import Version, rows_of
from robustbook.chapters.wording import from_to, listed, ranges
from robustbook.figures import LOOKS, Look, Table
from robustbook.ledger import Record

from . import names, sweeps

ONE, FIFTY = "accuracy of one draw", "accuracy"
LEVELS: Mapping[str, str] = {
    "none": "no noise",
    "rse code 0.1/0.05": "0.1/0.05",
    "rse paper 0.12/0.1": "0.12/0.1",
    "rse paper 0.12/0.2": "0.12/0.2",
    "rse paper 0.18/0.2": "0.18/0.2",
    "rse": "0.4/0.1, as released",
}
"""For each noise level, the standard deviations of the initial noise and of the inner noise. The
levels are ordered from low to high. All have the initial noise on the image, except the levels
with ``code`` and, on VGG16, ``rse``: these have it where the released code adds it.
"""
LOOK: Mapping[str, Look] = {
    "none": LOOKS["none"],
    "rse code 0.1/0.05": LOOKS["train only"],
    "rse paper 0.12/0.1": LOOKS["train only"],
    "rse paper 0.12/0.2": LOOKS["distill"],
    "rse paper 0.18/0.2": LOOKS["adv"],
    "rse": LOOKS["rse"],
}
UNITS = "initial / inner standard deviation"
"""How a noise level is written."""
STRONG = 0.1
"""The value of c at which we test the claim that noise raises robustness. The paper names none."""
CHANGES = {True: "raises", False: "lowers", None: "does not clearly change"}


def levels(record: Record) -> dict[str, str]:
    """Return the label of each noise level. For profile ``quick`` (a short run on small images),
    the noise level of Table 1 is halved.
    """
    own = {"rse": "0.2/0.05"} if record.profile == "quick" else {}
    return {**LEVELS, **own}


def answer(record: Record) -> str:
    """Return a sentence that answers whether noise, and then more noise, makes RSE more robust at
    c = 0.1, and how much accuracy the noise costs on clean images.
    """
    return " ".join(_told(record, network) for network in names.networks(record))


def ends(record: Record, network: str) -> tuple[str, str]:
    """Return the lowest and the highest of the noise levels that can be ordered. These are the
    levels of the authors' script, which put the initial noise on the image. If the record has fewer
    than two of these levels, return the lowest and the highest of all levels with noise.
    """
    shown = [d for d in names.defenses(record, network, list(LEVELS)) if d != "none"]
    script = [d for d in shown if d.startswith("rse paper")]
    ordered = script if len(script) > 1 else shown
    return ordered[0], ordered[-1]


def _told(record: Record, network: str) -> str:
    low, high = ends(record, network)
    under = _accuracies(record, network, STRONG)
    none, less, more = (under[d] for d in ("none", low, high))
    some = "raises" if _ordered(record, network, low, "none") else "does not clearly raise"
    where = f"({names.title(record, network)}, {names.size(record, network)})"
    change = CHANGES[_ordered(record, network, high, low)]
    words = levels(record)
    further = "" if low == high else f" More noise, {words[high]}, {change} it ({more:.1f} %)."
    return (
        f"Noise {some} the accuracy at $c={STRONG:g}$: {none:.1f} % without noise, {less:.1f} % "
        f"with one draw of {words[low]} ({UNITS}).{further} On clean images noise costs "
        f"{_lost(record, network)} points, with 50 draws {_lost(record, network, FIFTY)} {where}."
    )


def _ordered(
    record: Record, network: str, first: str, second: str, c: float = STRONG, name: str = ONE
) -> bool | None:
    """Return whether the accuracy is clearly higher with the first noise level (True) or with the
    second (False), or None if the difference is not clear.
    """
    return pairs.ordered(
        *(rows_of(record, name, network=network, defense=d, c=c) for d in (first, second))
    )


def levels_in_words(record: Record) -> str:
    """Return sentences that compare the noise levels with no noise at c = 0.1, and the
    highest with the lowest noise level at each c. The last sentence states the accuracy on clean
    images.
    """
    return " ".join(
        " ".join(filter(None, (of(record, network) for of in (_noise, _more, _fifty, _cost))))
        for network in names.networks(record)
    )


def _noise(record: Record, network: str) -> str:
    """Return a sentence that compares the noise levels with no noise under the attack."""
    under, words = _accuracies(record, network, STRONG), levels(record)
    none = under.pop("none")
    which = f"the {len(under)} noise levels"
    if len(under) == 1:
        which = f"noise {words[next(iter(under))]} ({UNITS})"
    return (
        f"At $c = {STRONG:g}$ the accuracy of one draw is {none:.1f} % without noise, and "
        f"{from_to(list(under.values()), '.1f')} % with {which}."
    )


def _more(record: Record, network: str, name: str = ONE) -> str:
    """Return sentences that compare the highest with the lowest noise level at each c. Return "" if
    there is only one level. The accuracy is that of one draw, or with ``name`` `FIFTY` that of 50.
    """
    low, high = ends(record, network)
    if low == high:
        return ""
    words, cs = levels(record), names.strengths(record, network, high)
    told = []
    for c in cs:
        less, more = (names.at(record, network, d, c, name) or 0.0 for d in (low, high))
        sure = _ordered(record, network, high, low, c, name)
        if sure is not None:
            told.append(
                f"{CHANGES[sure]} the accuracy at $c = {c:g}$ from {less:.1f} to {more:.1f} %"
            )
    text = f"More noise ({words[high]} instead of {words[low]}, {UNITS}) "
    if name == FIFTY:
        text = "With 50 draws, more noise "
    if not told:
        return f"{text}does not change the accuracy by more than two standard errors at any $c$."
    rest = len(cs) - len(told)
    other = f"; at the other {rest} values of $c$ the change is within two standard errors"
    if rest == 1:
        other = "; at the other $c$ the change is within two standard errors"
    return f"{text}{listed(told)}{other if rest else ''}."


def _fifty(record: Record, network: str) -> str:
    return _more(record, network, FIFTY)


def _cost(record: Record, network: str) -> str:
    none = _accuracies(record, network, 0.0)["none"]
    return (
        f"On clean images the accuracy of one draw is {none:.1f} % without noise, and noise lowers "
        f"it by {_lost(record, network)} percentage points. With 50 draws, as RSE predicts, it "
        f"lowers it by {_lost(record, network, FIFTY)} points."
    )


def _lost(record: Record, network: str, name: str = ONE) -> str:
    """Return as text how many points of clean accuracy the noise levels cost. The accuracy is that
    of one draw, or with ``name`` `FIFTY` that of 50 draws.
    """
    clean = _accuracies(record, network, 0.0, name)
    none = clean.pop("none")
    return from_to([none - value for value in clean.values()], ".1f")


def _accuracies(record: Record, network: str, c: float, name: str = ONE) -> dict[str, float]:
    """Return for each noise level the accuracy of predictions from one noise draw."""
    shown = names.defenses(record, network, list(LEVELS))
    return {d: names.at(record, network, d, c, name) or 0.0 for d in shown}


def ran(records: Sequence[Record]) -> str:
    """Return sentences that state which noise levels, networks and images the shown results are
    from.
    """
    return " ".join(
        f"{names.ran(record, network)} The noise levels are "
        + listed([levels(record)[d] for d in names.defenses(record, network, list(LEVELS))])
        + "."
        for record, network in names.best(records)
    )


def moved(records: Sequence[Record]) -> str:
    """Return sentences that compare the distortions with and without noise: the values of c at
    which each noise level has a smaller one, and all distortions at c = 0.1.
    """
    told = []
    for record, network in names.best(records):
        words = levels(record)
        far = {
            c: {
                d: names.at(record, network, d, c, "distortion") or 0.0
                for d in names.defenses(record, network, list(LEVELS))
            }
            for c in names.strengths(record, network, "none")
        }
        less = [
            f"{c:g}"
            for c, of in far.items()
            if of["none"] > max(v for d, v in of.items() if d != "none")
        ]
        if less:
            told.append(
                f"At $c$ = {listed(less)} the distortion is smaller with each noise level than "
                "without noise, so the gain in accuracy may partly come from smaller perturbations."
            )
        at = dict(far[STRONG])
        none = at.pop("none")
        each = listed([f"{value:.2f} ({words[d]})" for d, value in at.items()])
        told.append(
            f"At $c = {STRONG:g}$ the distortion is {none:.2f} without noise, and {each} with "
            f"noise ({names.title(record, network)})."
        )
    return " ".join(told)


def curves(records: Sequence[Record]) -> Figure:
    """Draw the accuracy with one noise draw against the attack's constant c, with a curve per noise
    level. The legend goes from low to high noise.
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
    figure = figures.lines(panels, columns=len(panels), height=3.4)
    for legend in figure.legends:
        legend.set_title("noise: initial / inside")
        legend.get_title().set_fontsize(9)
    return figure


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
    return version.table(
        f": accuracy of {words} in per cent on {names.in_text(record, network)}, for each level "
        f"of initial and inner noise{ranges(record)}.",
        f"rse-figure-3-{label}",
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
    won: dict[tuple[str, ...], list[str]] = {}
    clear = []
    for c in (0.0, *names.strengths(record, network, "rse")):
        found = {d: names.at(record, network, d, c, ONE) or 0.0 for d in shown}
        highest = max(found.values())
        winners = tuple(d for d, value in found.items() if highest - value < 1e-9)
        rest = [d for d in shown if d not in winners]
        where = "clean images" if c == 0 else f"$c = {c:g}$"
        won.setdefault(winners, []).append(where)
        second = max(rest, key=lambda d: found[d], default="")
        if second and _ordered(record, network, winners[0], second, c):
            clear.append(where)
    always = [words[d] for d in shown if all(d in winners for winners in won)]
    lead = "*The best noise level depends on the attack.*"
    if always:
        lead = f"*Best or tied everywhere: {listed(always)}.*"
    parts = [
        f"{listed([words[d] for d in winners])} ({listed(wheres)})"
        for winners, wheres in won.items()
    ]
    sure = (
        f"exceeds two standard errors only for {listed(clear)}"
        if clear
        else "never exceeds two standard errors"
    )
    return (
        f"{lead} The accuracy of one draw is highest with these levels: {'; '.join(parts)}. "
        f"The lead over the second-best level {sure} ({names.full_title(record, network)}; "
        f"{names.size(record, network)})."
    )
