"""Write verdicts and numbers as text, such as a mean with its range. Some functions prevent a line
break between a number and its sign or its percent sign.
"""

import re
from collections.abc import Iterable, Sequence

from robustbook.figures import MISSING
from robustbook.ledger import Record

SPACE = "\N{NO-BREAK SPACE}"
PAGES = {"today": "Stronger attacks", "anchors": "The DeepFool paper", "deepfool": "DeepFool"}
"""The short names of pages that do not follow from the names of their notebooks."""


def badge(words: str) -> str:
    """Return a verdict, or the status of a claim, as a coloured word in HTML."""
    return f'<span class="verdict-badge {words.replace(" ", "-")}">{words}</span>'


def spread(numbers: Sequence[float], digits: int = 1) -> str:
    """Return the mean as text, followed by the smallest and the largest number if these differ."""
    mean = f"{sum(numbers) / len(numbers):.{digits}f}"
    low, high = (f"{end:.{digits}f}" for end in (min(numbers), max(numbers)))
    dash = " to " if min(numbers) < 0 else "\u2013\u2060"  # the second forbids a line break
    return mean if low == high else f"{mean} ({low}{dash}{high})"


def spread_or(numbers: Sequence[float], digits: int = 1, *, missing: str = "") -> str:
    """Return the mean and the range of the numbers as text, or ``missing`` if the list is empty."""
    return spread(numbers, digits) if numbers else missing


def from_to(numbers: Sequence[float], form: str) -> str:
    """Return the smallest and the largest number as text, such as "2.5 to 4.0"; ``form`` formats a
    number. If both are the same text, return it once.
    """
    low, high = format(min(numbers), form), format(max(numbers), form)
    return low if low == high else f"{low} to {high}"


ON_OUR_IMAGES = "In the table of verdicts, *holds* means that it holds for our test images."
"""The sentence for a pattern that holds on so few images that chance could decide."""


def listed(parts: Iterable[object]) -> str:
    """Return the parts as an enumeration, such as "a, b and c", or "" if there are none."""
    *first, last = [*map(str, parts)] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def seeds_in_words(count: int) -> str:
    """Return a number of seeds as text, such as "one seed" or "3 seeds"."""
    return "one seed" if count == 1 else f"{count} seeds"


def ranges(record: Record) -> str:
    """Return the words with which a caption explains a range, or "" if the record has one seed and
    so no range.
    """
    return " (range over the seeds)" if len(record.seeds) > 1 else ""


def with_images(words: str, images: int) -> str:
    """Return the heading of a column or the name of a curve, with the number of test images."""
    return f"{words} ({images:,} images)"


def beside(ours: Sequence[float], theirs: float | str | None, digits: int = 1) -> str:
    """Return the text of a table cell: first the paper's number, then our mean in bold, then the
    range over the seeds. Without a number of the paper, the cell has only ours; a dash stands for
    our missing number.
    """
    there = "" if theirs is None else f"{_shown(theirs)}{SPACE}/{SPACE}"
    if not ours:
        return f"{there}{MISSING}"
    mean, _, ends = spread(ours, digits).partition(" ")
    return f"{there}**{mean}** {ends}".rstrip()


def _shown(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:g}"


def bullets(texts: Sequence[str]) -> str:
    """Return texts as a Markdown list; a single text stays a paragraph."""
    return texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts)


def minus(text: str) -> str:
    """Return the text with a minus sign instead of each hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(value: float) -> str:
    """Return the number as text with one digit and a power of ten, such as 3·10⁻⁵."""
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}·10{str(int(exponent)).translate(_RAISED)}"


def whole_percent(text: str) -> str:
    """Return the text without a line break between a number and its percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def page_name(page: str) -> str:
    """Return the short name of a page, such as Table 1, Figure 2, Claims or Stronger attacks."""
    return PAGES.get(page) or re.sub(r"(?=[0-9])", " ", page, count=1).capitalize()


def page_link(page: str) -> str:
    """Return a Markdown link to a page of the same paper. Its text is the page's short name."""
    return f"[{re.sub(' (?=[0-9])', SPACE, page_name(page))}](./{page}.ipynb)"
