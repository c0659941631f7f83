"""Write measured numbers, and in how many runs a claim holds, as text."""

import math
from decimal import ROUND_HALF_UP, Decimal


def runs_in_words(agree: int, runs: int) -> str:
    """Return a text such as "holds in 4 of 5 runs", for a claim that holds in ``agree`` runs."""
    if runs == 1:
        return "holds in our only run" if agree else "does not hold in our only run"
    return f"holds in {agree} of {runs} runs"


def measured(value: float | int | None, tolerance: float | None) -> str:
    """Return a measured number as text, or "" for None.

    With a tolerance, the text has one decimal more than the tolerance, but at most four significant
    digits; below 1,000, a number that is not whole has at least one decimal. Without a tolerance,
    or with the tolerance 0, the text has three significant digits; a whole number, and any number
    from 1,000 on, has no decimals. From 10,000 on, no number has decimals.
    """
    if value is None:
        return ""
    if abs(value) >= 10_000 or not tolerance and (value == int(value) or abs(value) >= 1000):
        text = f"{value:,.0f}"
    elif not tolerance:
        text = f"{value:#.3g}".rstrip(".")
    else:
        decimals = max(0 if value == int(value) else 1, 1 - math.floor(math.log10(tolerance)))
        most = 3 - math.floor(math.log10(abs(value))) if value else min(decimals, 3)
        # The decimal form is rounded, because 86.35 in binary is a little below 86.35.
        last = Decimal(1).scaleb(-max(0, min(decimals, most)))
        text = format(Decimal(str(value)).quantize(last, ROUND_HALF_UP), "f")
    return text.replace("-", "\N{MINUS SIGN}")
