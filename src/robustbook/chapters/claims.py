"""Make the table of an overview page: the claims of a paper, with our findings and the verdicts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from robustbook import ledger
from robustbook.chapters.published import entries, record_of, records_of
from robustbook.chapters.wording import page_link
from robustbook.figures import Table, table
from robustbook.ledger import Record

LEDGER = "[Ledger](../../book/ledger.md)"


@dataclass(frozen=True)
class Claim:
    """A claim of a paper.

    ``words``: the claim.
    ``page``: the page that tests the claim.
    ``items``: the tables and figures of the paper whose numbers, compared with ours, decide the
        claim.
    ``find``: a function that returns our finding in sentences, or None if only the page itself
        states the finding.
    ``title``: the text of the link to the page. If ``title`` is empty, the text is the page's short
        name, such as Table 1.
    """

    words: str
    page: str
    items: tuple[str, ...]
    find: Callable[[], str] | None = None
    title: str = ""

    @property
    def link(self) -> str:
        """Return a link to the page that tests the claim."""
        return f"[{self.title}](./{self.page}.ipynb)" if self.title else page_link(self.page)


def claims_table(paper: str, caption: str, name: str, claims: Sequence[Claim]) -> Table:
    """Return a table with one row for each claim: the claim, a link to the page that tests it, our
    finding, and the counts of the verdicts. The last row counts the paper's other numbers, so that
    all rows together count as many verdicts as the ledger.
    """
    lines = entries(paper)
    rows = [
        [
            claim.words,
            claim.link,
            claim.find() if claim.find else "see the page",
            by_kind(line for line in lines if line.item in claim.items),
        ]
        for claim in claims
    ]
    named = {item for claim in claims for item in claim.items}
    rest = by_kind(line for line in lines if line.item not in named)
    if rest:
        rows.append(["Numbers that belong to no claim above", LEDGER, "", rest])
    return table(caption, name, ["Claim", "Page", "We find", "Verdicts"], rows, align="llll")


def by_kind(lines: Iterable[ledger.Entry]) -> str:
    """Return how many lines of the ledger have each verdict, for each kind of comparison."""
    kinds = ledger.tallies(lines)
    return "; ".join(f"{kind}: {ledger.counts(own)}" for kind, own in kinds.items())


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
