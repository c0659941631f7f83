"""Write as text what a line of the ledger compares, what the paper states, and what we measured."""

from .build import Entry
from .numerals import measured, runs_in_words
from .targets import Target

BOUNDS = {"at_most": "at most\N{NO-BREAK SPACE}", "at_least": "at least\N{NO-BREAK SPACE}"}


def quantity(target: Target) -> str:
    """Return in words what a row of a table compares: the name of the target, and "(%)" if it is a
    number in per cent. The name of an ordering or a pattern states the whole claim, so it has no
    unit.
    """
    number = target.partner is None and target.compare != "shape"
    if number and target.unit == "fraction" and "accuracy" in target.metric:
        return f"{target.name}, as a fraction"
    if number and target.metric == "accuracy_drop":
        return f"{target.name} (points)"
    if not number or target.unit != "percent":
        return target.name
    return f"{target.name}, in %" if target.name.endswith(")") else f"{target.name} (%)"


def stated(entry: Entry) -> str:
    """Return what the paper states: a number, a bound, "order" or "pattern"; "" if it states
    nothing.
    """
    target = entry.target
    if target.printed is not None:
        return BOUNDS.get(target.compare, "") + target.as_printed
    if entry.verdict == "no printed number":
        return ""
    return "pattern" if target.compare == "shape" else "order"


def ours(entry: Entry) -> str:
    """Return as text our mean or, for an ordering, the difference of our two means. Return "" if we
    have no measurement.
    """
    runs = entry.judgement.seeds
    if _yes_or_no(entry.target) and entry.ours is not None and runs:
        return f"yes in {round(entry.ours * runs)} of {runs} runs"
    if entry.judgement.difference is None:
        return measured(entry.ours, entry.tolerance)
    return f"difference {measured(entry.judgement.difference[0], entry.tolerance)}"


def interval(entry: Entry, form: str = "{} to {}") -> str:
    """Return the interval of a ledger line (`Judgement.span`) as text, with its two ends inserted
    into ``form``; return "" if the line has no interval, or states a yes/no outcome, for which a
    prediction interval has no meaning.
    """
    span = None if _yes_or_no(entry.target) else entry.judgement.span
    return form.format(*(measured(end, entry.tolerance) for end in span)) if span else ""


def _yes_or_no(target: Target) -> bool:
    """Return whether the number of a run is 1 for yes and 0 for no."""
    return target.unit == "count" and target.metric == "success"


def outcome(entry: Entry) -> tuple[str, str]:
    """Return two texts: our result that decides the verdict, and its interval. If the verdict
    depends on how many runs agree with the paper, the result states this number and the interval is
    "".
    """
    if entry.judgement.held is None:
        return ours(entry), interval(entry)
    number = "" if entry.target.printed is None else ours(entry)
    return "; ".join(filter(None, (number, runs_in_words(*entry.judgement.held)))), ""
