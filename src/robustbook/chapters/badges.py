"""Write all verdicts of a page beside its answer, as counts with coloured words."""

import re
from collections import Counter
from collections.abc import Mapping

from robustbook import ledger
from robustbook.chapters.published import compared

from .wording import badge


def of_page(item: str, kinds: Mapping[str, str]) -> str:
    """Return how often each verdict occurs on the page of ``item``, for each kind of what it
    compares. Like the page's table of verdicts, a comparison that is repeated counts once.

    ``kinds``: for the words that describe each kind, a regular expression that finds the ids of its
        numbers and statements. An id belongs to the first kind whose expression it contains, and
        ValueError is raised if there is none. A kind without words is left out.
    """
    found: dict[str, Counter[str]] = {words: Counter() for words in kinds}
    for line in compared(item):
        found[_kind(line.id, kinds)][line.verdict] += 1
    told: list[str] = []
    found.pop("", None)
    for words, counts in found.items():
        total = sum(counts.values())
        badges = [
            f"{counts[verdict]} {badge(verdict)}" if total > 1 else badge(verdict)
            for verdict in ledger.VERDICTS
            if counts[verdict]
        ]
        if badges:
            first = words if told else words[0].upper() + words[1:]
            told.append(f"*{first}*: {', '.join(badges)}")
    return "; ".join(told)


def _kind(id_: str, kinds: Mapping[str, str]) -> str:
    for words, pattern in kinds.items():
        if re.search(pattern, id_):
            return words
    raise ValueError(f"no kind of {', '.join(kinds)} contains {id_}")
