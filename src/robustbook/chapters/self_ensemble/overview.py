"""Compute what the overview of Random Self-Ensemble shows: the claims with our findings."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from matplotlib.figure import Figure

from robustbook import figures, ledger
from robustbook.chapters.published import entries, record_of, records_of
from robustbook.chapters.wording import page_link
from robustbook.figures import Table, table
from robustbook.ledger import Record

from . import figure2, figure3, figure4, figure5, figure6, names, sweeps, table1, table2, table3
from .names import DEFENSES, NETWORKS

PAPER = "self_ensemble"


@dataclass(frozen=True)
class Claim:
    """A row of the overview: a claim of the paper, the page that tests the claim, and the items
    (tables, figures) whose target numbers decide the claim. A function writes our finding in a
    sentence.

    ``find``: the function that writes the sentence; None if the page itself states the finding.
    """

    words: str
    page: str
    items: tuple[str, ...]
    find: Callable[[], str] | None = None


def answer(record: Record) -> str:
    """Return the accuracies of Table 2 at c = 0.03, and the accuracies at equal distortion.

    ``record`` is the record of Table 2; the distortions come from the record of Figure 6.
    """
    return f"{table2.answer(record)} {figure6.crossings(records_of(f'{PAPER}/figure-6'))}"


def accuracies() -> Figure:
    """Draw the upper row of Figure 6: accuracy against c, with a panel per network."""
    records = records_of(f"{PAPER}/figure-6")
    panels = []
    for network, plain in NETWORKS.items():
        record = names.with_network(records, network)
        title = f"{plain}, not run" if record is None else names.title(record, network)
        theirs = sweeps.printed_curves(network, 0)
        panels.append(sweeps.panel(record, network, DEFENSES, title=title, theirs=theirs))
    return figures.lines(panels, columns=3, height=2.8)


def claims() -> Table:
    """Return the claims, our finding on each in a sentence, and the counts of verdicts."""
    lines = entries(PAPER)

    def counted(items: Collection[str]) -> str:
        return ledger.counts(line for line in lines if line.item in items)

    return table(
        "What the paper claims, the page that tests it, what we find, and counts of the verdicts.",
        "tab-rse-overview",
        ["Claim", "Page", "We find", "Verdicts"],
        [
            [
                claim.words,
                page_link(claim.page),
                claim.find() if claim.find else "see the page",
                counted(claim.items),
            ]
            for claim in CLAIMS
        ],
        align="llll",
    )


def found(sentence: Callable[[Record], str], item: str) -> Callable[[], str]:
    """Return a function that writes a page's sentence from the best published record of the
    page.
    """
    return lambda: sentence(record_of(f"{PAPER}/{item}"))


def found_in_all(sentence: Callable[[list[Record]], str], item: str) -> Callable[[], str]:
    """Return a function that writes a page's sentence from all published records of the page."""
    return lambda: sentence(records_of(f"{PAPER}/{item}"))


CLAIMS = (
    Claim(
        "The settings, with noise in front of every convolution",
        "table1",
        ("table-1", "setup", "figure-1"),
        found(table1.answer, "table-1"),
    ),
    Claim(
        "On VGG16, RSE is far ahead of the other defenses under the Carlini-Wagner attack",
        "table2",
        ("table-2", "abstract"),
        found(table2.answer, "table-2"),
    ),
    Claim(
        "Noise is needed in training and at test",
        "figure2",
        ("figure-2",),
        found_in_all(figure2.shares, "figure-2"),
    ),
    Claim(
        "More noise gives more robustness and less clean accuracy",
        "figure3",
        ("figure-3",),
        found(figure3.answer, "figure-3"),
    ),
    Claim(
        "An ensemble is better under weak attacks, and worse under strong ones",
        "figure4",
        ("figure-4",),
        found_in_all(figure4.answer, "figure-4"),
    ),
    Claim(
        "Ten draws are enough", "figure5", ("figure-5",), found_in_all(figure5.answer, "figure-5")
    ),
    Claim(
        "RSE is ahead on three networks, in accuracy and in distortion",
        "figure6",
        ("figure-6", "text-3", "text-4.3"),
        found_in_all(figure6.crossings, "figure-6"),
    ),
    Claim(
        "A targeted attack on one image needs a larger distortion for RSE",
        "table3",
        ("table-3",),
        found(table3.orders, "table-3"),
    ),
    Claim(
        "Training with noise minimises a bound of the ensemble's loss and a Lipschitz constant",
        "theory",
        ("claim-jensen", "claim-jensen-b", "claim-taylor-trace"),
    ),
    Claim("A black-box attack by finite differences does not converge", "zoo", ("text-3.3",)),
    Claim("The robustness stands under attacks of today", "today", ("later",)),
)
