"""The overview of Nayebi & Ganguli 2017: each claim, what we find, and the pages that test it."""

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
    """A claim of the paper, what we find, the pages that test it, and the items of its targets."""

    words: str
    found: str
    pages: tuple[str, ...]
    items: tuple[str, ...]


CLAIMS = (
    Claim(
        "Saturated networks keep FGSM errors at a few per cent, at little cost in clean accuracy, "
        "and beat adversarial training",
        "Of the sigmoid network with some seeds, of the others not; in float32",
        ("table1", "table2", "claims"),
        ("table-1", "table-2", "text-1"),
    ),
    Claim(
        "The penalty works best on all layers, with its weight raised slowly",
        "Raised slowly: yes. All layers: within the spread of the seeds",
        ("claims",),
        ("text-4",),
    ),
    Claim(
        "Their weights have heavy tails",
        "Yes, and clearly so in the sigmoid network",
        ("figure1",),
        ("figure-1",),
    ),
    Claim("Their units sit at the extremes", "Yes", ("figure2",), ("figure-2",)),
    Claim(
        "Images of one class look alike inside, those of different classes lie far apart",
        "Not in the sigmoid network; in the ReLU network only as a matter of scale",
        ("figure3", "figure7"),
        ("figure-3", "figure-7"),
    ),
    Claim(
        "Between two images the representation is flat, but for a sharp peak along one direction",
        "Yes",
        ("figure4",),
        ("figure-4",),
    ),
    Claim(
        "Targeted, iterated attacks fool the vanilla network at once and the saturated one rarely",
        "Yes; such failures say little about the network",
        ("figure5", "figure8", "claims"),
        ("figure-5", "figure-8", "text-7"),
    ),
    Claim(
        "Heavy-tailed weights by themselves protect a linear classifier",
        "Yes, but by about half of what is printed",
        ("figure6",),
        ("figure-6", "text-8"),
    ),
    Claim(
        "*Our question, after the comment*: is it robustness?",
        "Mostly not",
        ("today",),
        ("critique",),
    ),
)
ATTACKS = {
    "float32": "the paper's: one step, gradient in float32",
    "float64": "the same step, gradient in float64",
    "rescaled": "the same step, logits divided by a constant",
    "probabilities": "the same step, loss from clipped probabilities",
    "signs": "a step of the same size with random signs",
    "float32, clipped": "the first step, clipped to [0, 1]",
    "transfer": "one step computed on the vanilla network, clipped to [0, 1]",
    "pgd softened": "20 steps with a slope that cannot vanish, clipped to [0, 1]",
}


def answer(record: Record) -> str:
    """Return what the saturated sigmoid network keeps, by how the attack gets its gradient."""
    single, wide, repaired = (
        mean(record, "accuracy", network="sigmoid-mlp", method="saturated", reading=attack)
        for attack in ("float32", "float64", "pgd softened")
    )
    return (
        "Largely not. Under FGSM computed in float32, as the paper computes it, the saturated "
        f"sigmoid network classifies {single:.0f} % of the test images correctly. With gradients "
        f"in float64 it is {wide:.0f} %, and with 20 steps along a gradient that cannot vanish "
        f"{repaired:.0f} %."
    )


def claims() -> Table:
    """Return the claims in the paper's order, with the verdicts counted and links to the pages."""
    lines = entries("saturating")

    def counted(items: Collection[str]) -> str:
        return ledger.counts(line for line in lines if line.item in items)

    return table(
        "The claims of the paper in its own order, what we find, the verdicts on their target "
        "numbers, and the pages that test them.",
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
    """Return the accuracy of the sigmoid networks under attacks of one size."""
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
