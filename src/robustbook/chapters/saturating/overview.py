"""Compute the tables and sentences for the overview of Nayebi & Ganguli 2017: the claims, what we
find, and the pages that test the claims.
"""

from collections.abc import Collection
from dataclasses import dataclass

from robustbook import ledger
from robustbook.chapters.published import entries, mean, record_of, values
from robustbook.chapters.wording import page_link, spread_or
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import METHODS


@dataclass(frozen=True)
class Claim:
    """One row of the overview's table: a claim of the paper, our finding, and the pages that test
    the claim.

    The field ``items`` names the paper's tables, figures and sections whose numbers decide the
    claim.
    """

    words: str
    found: str
    pages: tuple[str, ...]
    items: tuple[str, ...]


CLAIMS = (
    Claim(
        "Saturated networks have FGSM errors of a few per cent, lose little clean accuracy, and "
        "are more accurate under FGSM than adversarially trained networks",
        "True for the sigmoid network, but only with some seeds and in float32. Not true for the "
        "ReLU network and the CNN",
        ("table1", "table2", "claims"),
        ("table-1", "table-2", "text-1"),
    ),
    Claim(
        "The penalty works best if it covers all layers and its weight rises slowly",
        "A slow rise matters. Including the last layer changes the accuracy less than another seed "
        "does",
        ("claims",),
        ("text-4",),
    ),
    Claim(
        "The weights of saturated networks have heavy tails",
        "Yes, most clearly in the sigmoid network",
        ("figure1",),
        ("figure-1",),
    ),
    Claim(
        "The pre-activations of saturated networks are extreme", "Yes", ("figure2",), ("figure-2",)
    ),
    Claim(
        "Saturated networks represent images of one class alike, and images of different classes "
        "far apart",
        "Not in the sigmoid network; in the ReLU network only because the weights are larger",
        ("figure3", "figure7"),
        ("figure-3", "figure-7"),
    ),
    Claim(
        "On a path between two images the outputs are constant, except for a sharp change in one "
        "direction",
        "Yes",
        ("figure4",),
        ("figure-4",),
    ),
    Claim(
        "Targeted attacks with many steps fool the vanilla network quickly and the saturated "
        "network rarely",
        "Yes, but a failed attack does not show that the network is robust",
        ("figure5", "figure8", "claims"),
        ("figure-5", "figure-8", "text-7"),
    ),
    Claim(
        "Heavy-tailed weights alone make a linear classifier more robust",
        "Yes, but by about half as much as the paper says",
        ("figure6",),
        ("figure-6", "text-8"),
    ),
    Claim(
        "*Our question, after the comment by Brendel and Bethge*: are saturated networks robust?",
        "Mostly not",
        ("today",),
        ("critique",),
    ),
)
ATTACKS = {
    "float32": "the paper's attack: one step, gradient in float32",
    "float64": "the same step, gradient in float64",
    "rescaled": "the same step, logits divided by a constant",
    "probabilities": "the same step, loss from clipped probabilities",
    "signs": "a step with the same eps and random signs",
    "float32, clipped": "the paper's attack, clipped to [0, 1]",
    "transfer": "one step computed on the vanilla network, clipped to [0, 1]",
    "pgd softened": "20 steps with slopes that cannot vanish, clipped to [0, 1]",
}


def answer(record: Record) -> str:
    """Return sentences that state the accuracy of the saturated sigmoid network under attacks that
    compute the gradient in different ways.
    """
    single, wide, repaired = (
        mean(record, "accuracy", network="sigmoid-mlp", method="saturated", reading=attack)
        for attack in ("float32", "float64", "pgd softened")
    )
    return (
        f"Largely not. The saturated sigmoid network classifies {single:.0f} % of the test images "
        "correctly under FGSM with gradients in float32, as in the paper. Under FGSM with "
        f"gradients in float64 the same network classifies {wide:.0f} % correctly. After 20 attack "
        f"steps along a gradient that cannot vanish, the network classifies {repaired:.0f} % "
        "correctly."
    )


def claims() -> Table:
    """Return a table of the paper's claims, with counts of the verdicts on each claim and links to
    the pages that test it.
    """
    lines = entries("saturating")

    def counted(items: Collection[str]) -> str:
        return ledger.counts(line for line in lines if line.item in items)

    return table(
        "The claims of the paper in its own order, what we find, the verdicts on the numbers that "
        "decide each claim, and the pages that test it.",
        "tab-saturating-claims",
        ["The paper claims", "We find", "Verdicts", "Pages"],
        [
            [
                claim.words,
                claim.found,
                counted(claim.items),
                ", ".join(map(page_link, claim.pages)),
            ]
            for claim in CLAIMS
        ],
        align="llll",
    )


def attacks() -> Table:
    """Return a table of the accuracy of the sigmoid networks under attacks with the same eps."""
    record = record_of("saturating/table-1")
    return table(
        "Accuracy of the sigmoid network in per cent under attacks with eps = 0.25; mean (range "
        "over the seeds).",
        "tab-saturating-asked",
        ["Attack", "Vanilla", "Adversarial", "Saturated"],
        [
            [
                words,
                *(
                    spread_or(
                        values(
                            record,
                            "accuracy",
                            network="sigmoid-mlp",
                            method=method,
                            reading=attack,
                        )
                    )
                    for method in METHODS
                ),
            ]
            for attack, words in ATTACKS.items()
        ],
    )
