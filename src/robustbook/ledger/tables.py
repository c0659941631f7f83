"""Show the ledger as text for a terminal, and count its verdicts."""

import textwrap
from collections import Counter
from collections.abc import Iterable

from .build import Entry, Ledger
from .records import rounded
from .targets import TALLIES
from .verdicts import VERDICTS

WIDTH = 100
NAME, NUMBER, SPREAD = 36, 8, 17  # characters in a name, a number and an interval
TITLES = {
    "saturating": "Saturating networks",
    "deep_defense": "Deep Defense",
    "self_ensemble": "Random Self-Ensemble",
    "survey": "Survey",
}


def number(value: float | int | None, digits: int = 6) -> str:
    """Return a number as text, and a dash for None. A whole number is written with all its digits,
    any other number with at most `digits` significant digits and at most NUMBER characters.
    """
    if value is None:
        return "-"
    if isinstance(rounded(value), int):
        return f"{value:.0f}"
    return _fitting([f"{value:.{n}g}" for n in range(digits, 1, -1)], NUMBER)


def _spread(entry: Entry) -> str:
    """Return the interval of a ledger line (`Judgement.span`) as text, or "" if it has none.

    The ends have 4 digits, or fewer if the text would be longer than SPREAD characters.
    """
    found = entry.judgement
    if found.span is None:
        return ""
    low, high = found.span
    sign = "" if found.difference is None else "+"
    return _fitting([f"[{low:{sign}.{n}g}, {high:{sign}.{n}g}]" for n in (4, 3, 2)], SPREAD)


def counts(entries: Iterable[Entry]) -> str:
    """Return as text how many ledger lines have each verdict, such as "3 reproduced, 1
    inconclusive". Lines that repeat an earlier comparison are not counted.
    """
    found = Counter(entry.verdict for entry in entries if not entry.same_as)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])


def tallies(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Return the ledger lines that do not repeat an earlier comparison, by the kind of comparison
    (see TALLIES); kinds without lines are left out.
    """
    counted = [entry for entry in entries if not entry.same_as]
    found = {kind: tuple(e for e in counted if e.target.tally == kind) for kind in TALLIES}
    return {kind: own for kind, own in found.items() if own}


def _fitting(texts: list[str], width: int) -> str:
    return next((text for text in texts if len(text) <= width), texts[-1])


def text_table(ledger: Ledger) -> str:
    """Return the ledger as text: one line per number under a heading for each table or figure, and
    at the end the counts of verdicts. Lines have at most 100 characters.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in ledger.entries:
        groups.setdefault(f"{entry.paper}/{entry.item}", []).append(entry)
    lines, heads = [], _columns("printed", "ours", "95 % interval", "n", "profile", "verdict")
    for title, members in groups.items():
        lines.append(f"{title:<{NAME}}{heads}")
        previous = ""
        for entry in members:
            lines += _lines(entry, previous)
            previous = entry.explanation
        unrun = [entry for entry in members if entry.verdict == "not run"]
        commands = sorted({entry.command for entry in unrun} - {""})
        reasons = sorted({entry.explanation for entry in unrun if entry.ours is None} - {""})
        lines += [line for command in commands for line in _continued(f"  to run: {command}")]
        lines += [line for reason in reasons for line in _wrapped(reason)] + [""]
    if ledger.context:
        lines.append("Quoted for context, not run and not counted:")
        for target in ledger.context:
            shown = f"  {target.id}  {number(target.printed)} {target.unit}"
            lines += textwrap.wrap(shown, WIDTH, subsequent_indent="    ")
        lines.append("")
    repeated = len(ledger.entries) - len(ledger.counted)
    lines.append(
        f"{len(ledger.entries)} target numbers; {repeated} of them repeat a comparison. The others:"
    )
    for tally, own in tallies(ledger.entries).items():
        told = f"  {tally}: {len(own)} ({counts(own)})"
        lines += textwrap.wrap(told, WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def _columns(printed: str, ours: str, spread: str, n: str, profile: str, verdict: str) -> str:
    return f"{printed:>{NUMBER}} {ours:>{NUMBER}} {spread:<{SPREAD}} {n:>2} {profile:<7} {verdict}"


def _lines(entry: Entry, previous: str) -> list[str]:
    """Return the lines of text for one number. If our setting differs from the paper's, the
    explanation may begin with this difference. The difference is left out if ``previous``, the
    explanation of the number above, begins with it too.
    """
    name = "  " + entry.id.split("/", 1)[1].removeprefix(entry.item + "/")
    values = _columns(
        number(entry.target.printed),
        number(entry.ours, 5),
        _spread(entry),
        str(entry.judgement.seeds or "-"),
        entry.profile or "-",
        entry.verdict,
    )
    # Put a long name on its own line, so that ids are not cut and can be copied.
    lines = [f"{name:<{NAME}}{values}"] if len(name) < NAME else [name, " " * NAME + values]
    if entry.verdict == "not run" and entry.ours is None:
        return lines  # what a run needs is printed once, below all lines
    differs, _, rest = entry.explanation.partition("; at this setting")
    repeated = rest and previous.startswith(f"{differs};")
    return lines + _wrapped(f"at this setting{rest}" if repeated else entry.explanation)


def _continued(command: str) -> list[str]:
    """Return a shell command, split into lines of at most WIDTH characters; all but the last end
    with a backslash.
    """
    lines = textwrap.wrap(
        command,
        WIDTH - 2,
        subsequent_indent=" " * 4,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _wrapped(reason: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(reason, WIDTH, initial_indent=indent, subsequent_indent=indent)
