"""Make the table of an overview page: the claims of a paper, with our findings and the verdicts."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from robustbook import ledger
from robustbook.chapters.published import entries, record_of, records_of
from robustbook.chapters.wording import page_link
from robustbook.figures import Table, table
from robustbook.ledger import Record

LEDGER = "[Ledger](../../book/ledger.md)"
COLUMNS = {"words": "Claim", "links": "Page", "found": "We find", "verdicts": "Verdicts"}
"""The columns of a table of claims, in their order, with their headers."""


@dataclass(frozen=True)
class Finding:
    """A claim of a paper or a question of our own, and what we find.

    ``words``: the claim or question.
    ``pages``: the pages that test it.
    ``deciding``: a regular expression. The claim is decided by those of the paper's numbers and
        statements whose ids match it, without the paper's name.
    ``find``: our finding in words, or a function that returns it.
    ``against``: a regular expression for those of them that speak against the claim if they hold.
    ``title``: the text of the link to the page, by default the page's short name, such as Table 1.
    """

    words: str
    pages: tuple[str, ...]
    deciding: str
    find: str | Callable[[], str]
    title: str = ""
    against: str = ""

    def refuted_by(self, id_: str) -> bool:
        """Return whether the number or statement with this id speaks against the claim if it holds,
        so that a reproduction refutes the claim.
        """
        return re.fullmatch(self.against, id_.partition("/")[2]) is not None

    def decides(self, id_: str) -> bool:
        """Return whether the number or statement with this id helps to decide the claim."""
        return re.fullmatch(self.deciding, id_.partition("/")[2]) is not None

    @property
    def links(self) -> str:
        """Return links to the pages, or to the ledger if there are none."""
        if self.title:
            return f"[{self.title}](./{self.pages[0]}.ipynb)"
        return ", ".join(map(page_link, self.pages)) or LEDGER


REST = Finding("Numbers that belong to no claim above", (), "", "")
"""The last row of a table, for the numbers that decide none of the claims."""


def by_kind(lines: Iterable[ledger.Entry]) -> str:
    """Return how many lines of the ledger have each verdict, for each kind of comparison."""
    kinds = ledger.tallies(lines)
    return "; ".join(f"{kind}: {ledger.counts(own)}" for kind, own in kinds.items())


def claims_table(
    paper: str,
    caption: str,
    name: str,
    findings: Sequence[Finding],
    *,
    rest: Finding = REST,
    columns: Mapping[str, str] = COLUMNS,
    count: Callable[[Sequence[ledger.Entry]], str] = by_kind,
) -> Table:
    """Return a table with one row for each claim: the claim, links to the pages that test it, our
    finding, and the counts of the verdicts. The row ``rest`` counts the paper's other numbers, so
    that all rows together count as many verdicts as the ledger; it is left out if there are none.
    """
    decided = {each: [e for e in entries(paper) if each.decides(e.id)] for each in findings}
    left = undecided(paper, findings)
    if count(left):
        decided[rest] = left
    rows = [
        {
            "words": each.words,
            "links": each.links,
            "found": each.find if isinstance(each.find, str) else each.find(),
            "verdicts": _for_and_against(each, own, count),
        }
        for each, own in decided.items()
    ]
    cells = [[row[column] for column in columns] for row in rows]
    return table(caption, name, list(columns.values()), cells, align="llll")


def _for_and_against(
    claim: Finding,
    lines: Sequence[ledger.Entry],
    count: Callable[[Sequence[ledger.Entry]], str],
) -> str:
    """Return the counts of the verdicts. Statements that refute the claim if they hold are counted
    apart, because each *reproduced* among them speaks against the claim.
    """
    refuting = [entry for entry in lines if claim.refuted_by(entry.id)]
    told = [count([entry for entry in lines if not claim.refuted_by(entry.id)])]
    if refuting:
        told.append(f"statement against the claim: {ledger.counts(refuting)}")
    return "; ".join(filter(None, told))


def undecided(paper: str, findings: Sequence[Finding]) -> list[ledger.Entry]:
    """Return the lines of a paper's ledger that decide none of the claims."""
    return [e for e in entries(paper) if not any(each.decides(e.id) for each in findings)]


def of_best(sentence: Callable[[Record], str], item: str) -> Callable[[], str]:
    """Return a function without arguments that states our finding. The returned function calls
    ``sentence`` with the stored results of the largest experiment for the table or figure ``item``.
    """
    return lambda: sentence(record_of(item))


def of_all(sentence: Callable[[list[Record]], str], item: str) -> Callable[[], str]:
    """Return a function without arguments that states our finding. The returned function calls
    ``sentence`` with all stored results of the table or figure ``item``.
    """
    return lambda: sentence(records_of(item))
