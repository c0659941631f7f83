"""Numbers in words: means with their range, signs and units that no line break separates."""

import re
from collections.abc import Sequence


def spread(numbers: Sequence[float], digits: int = 1) -> str:
    """The mean, and behind it the smallest and largest where there are several and they differ."""
    mean = f"{sum(numbers) / len(numbers):.{digits}f}"
    low, high = (f"{end:.{digits}f}" for end in (min(numbers), max(numbers)))
    dash = " to " if min(numbers) < 0 else "\u2013\u2060"  # the second forbids a break there
    return mean if low == high else f"{mean} ({low}{dash}{high})"


def spread_or(numbers: Sequence[float], digits: int = 1, *, missing: str = "") -> str:
    """`spread`, or ``missing`` where there is no number."""
    return spread(numbers, digits) if numbers else missing


def minus(text: str) -> str:
    """With the minus sign in place of the hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def power(value: float) -> str:
    """One digit and a power of ten, as 3e-05, whose hyphen does not break."""
    return f"{value:.0e}".replace("-", "\N{NON-BREAKING HYPHEN}")


def whole_percent(text: str) -> str:
    """With no line break between a number and its percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def page_link(name: str) -> str:
    """A link to a page of the same paper by its short name: Table 1, Figure 2, Claims."""
    return f"[{re.sub(r'(?=[0-9])', ' ', name).capitalize()}](./{name}.ipynb)"
