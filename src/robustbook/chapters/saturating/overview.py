"""Compute the tables and sentences for the overview of Nayebi & Ganguli 2017: the claims, what we
find, and the pages that test the claims.
"""

from collections.abc import Sequence
from statistics import fmean

from robustbook.chapters.claims import Finding, claims_table, undecided
from robustbook.chapters.published import mean, of_target, printed, record_of, values
from robustbook.chapters.wording import spread_or
from robustbook.figures import Table, table
from robustbook.ledger import Entry, Record

from .figure6 import GAIN, OWN_GAIN
from .names import METHODS, fgsm_target, verdicts_of_table_1

ATTACKS = {
    "float32": "the paper's attack: one step, gradient in float32",
    "float64": "the same step, gradient in float64",
    "rescaled": "the same step, logits divided by a constant",
    "probabilities": "the same step, loss from clipped probabilities",
    "signs": "a step with the same eps and random signs",
    "float32, clipped": "the paper's attack, clipped to [0, 1]",
    "transfer": "one step computed on the vanilla network, clipped to [0, 1]",
    "pgd softened": "20 steps with softened slopes, clipped to [0, 1]",
}


def answer(record: Record) -> str:
    """Return a sentence that compares the accuracy of the saturated sigmoid network under FGSM and
    under a stronger attack. The verdicts on Table 1 follow.
    """
    single, repaired = (_accuracy(record, attack) for attack in ("float32", "pgd softened"))
    return (
        f"No: the saturated sigmoid network classifies {single:.0f} % of the test images correctly "
        f"after FGSM, but {repaired:.0f} % after attack steps with softened slopes. Table 1: "
        f"{verdicts_of_table_1()}"
    )


def gradients_compared(record: Record) -> str:
    """Return sentences that state the accuracy of the saturated sigmoid network under attacks that
    compute the gradient in different ways.
    """
    single, wide, repaired = (
        _accuracy(record, attack) for attack in ("float32", "float64", "pgd softened")
    )
    there = printed(fgsm_target("sigmoid-mlp", "saturated"))
    images = record.parameters["controls"]
    return (
        f"The saturated sigmoid network classifies {single:.0f} % of {images:,} test images "
        f"correctly under the paper's attack, FGSM, in float32 (the paper: {there:.0f} %). Under "
        f"FGSM with gradients in float64 the same network classifies {wide:.0f} % correctly. After "
        "20 attack steps with softened slopes, the network classifies "
        f"{repaired:.0f} % correctly."
    )


def _accuracy(record: Record, attack: str) -> float:
    """Return the mean accuracy of the saturated sigmoid network under an attack."""
    return mean(record, "accuracy", network="sigmoid-mlp", method="saturated", reading=attack)


def claims() -> Table:
    """Return a table of the paper's claims. For each claim the table counts the verdicts by the
    kind of comparison, and links to the pages that test the claim. The last row counts the verdicts
    that belong to no claim.
    """
    return claims_table(
        "saturating",
        "The claims in the order of the paper, what we find, and the pages that test each claim. "
        "*Verdicts*: how often each verdict occurs among the numbers and statements that decide "
        "the claim, for each kind of comparison.",
        "tab-saturating-claims",
        CLAIMS,
        rest=REST,
        columns=COLUMNS,
    )


def _rest_found(rest: Sequence[Entry]) -> str:
    """Return how many settings and how many measured numbers agree with the paper."""
    same, measured = (
        [line.verdict == "reproduced" for line in rest if line.target.tally == kind]
        for kind in ("setting", "measured number")
    )
    return (
        f"{'All' if all(same) else f'{sum(same)} of {len(same)}'} settings agree with the paper, "
        f"and {sum(measured)} of {len(measured)} measured numbers"
    )


def _heavy_tails() -> str:
    """Return our finding on heavy-tailed weights, with the increases of Figure 6."""
    record = record_of("saturating/figure-6")
    ours, own = (f"{fmean(of_target(record, target)):.0f}" for target in (GAIN, OWN_GAIN))
    theirs, their_own = (f"{printed(target):.0f}" for target in (GAIN, OWN_GAIN))
    return (
        f"Yes, but less than the paper says: with random weights by at most {ours} % (the paper: "
        f"{theirs} %), and with trained weights by at most {own} % (the paper: {their_own} %)"
    )


CLAIMS = (
    Finding(
        "Saturated networks have FGSM errors of a few per cent, lose little clean accuracy, and "
        "are more accurate under FGSM than adversarially trained networks",
        ("table1", "claims"),
        r"table-1/(.*-saturated/(fgsm.*|clean-loss)|order/.*)|text-1/.*",
        "Nearly true for the sigmoid network with some seeds, and only in float32. Not true for "
        "the ReLU network and the CNN, which only keep their clean accuracy",
    ),
    Finding(
        "The penalty works best if it covers all layers and its weight rises slowly; adversarial "
        "training works best with alpha = 0.5",
        ("claims",),
        r"text-4/claim/.*",
        "A slow rise matters. Penalising the last layer too changes the accuracy less than "
        "training with another seed. For our sigmoid network a smaller alpha gives a higher FGSM "
        "accuracy",
    ),
    Finding(
        "The weights of saturated networks have heavy tails",
        ("figure1",),
        r"figure-1/.*",
        "Yes, most clearly in the sigmoid network",
    ),
    Finding(
        "The pre-activations of saturated networks are extreme",
        ("figure2",),
        r"figure-2/.*extreme.*",
        "Yes",
    ),
    Finding(
        "Saturated networks represent images of one class alike, and images of different classes "
        "far apart",
        ("figure3", "figure7"),
        r"figure-[37]/.*",
        "Not in the sigmoid network. In the ReLU network classes lie further apart, probably "
        "mostly because the weights are larger",
    ),
    Finding(
        "On a path between two images the outputs are constant, except for a sharp change in one "
        "direction",
        ("figure4",),
        r"figure-4/.*",
        "The outputs are nearly constant on most of the path. One singular value dominates by "
        "size, but more singular values grow",
    ),
    Finding(
        "Targeted attacks with many steps fool the vanilla network quickly and the saturated "
        "network rarely",
        ("figure5", "figure8", "claims"),
        r"(figure-[58]|text-7)/.*",
        "Yes for the sigmoid networks, but not for the ReLU network; and a failed attack does not "
        "show that the network is robust",
    ),
    Finding(
        "Heavy-tailed weights alone make a linear classifier more robust",
        ("figure6",),
        r"figure-6/pearson/(shape|y-example)|text-8/(pearson/gain|own-weights/.*)",
        _heavy_tails,
    ),
    Finding(
        "*Our question, after the comment by Brendel and Bethge*: are saturated networks robust?",
        ("today",),
        r"critique/.*",
        "No. The verdicts are on our own predictions of how attacks succeed",
    ),
)
REST = Finding(
    "*No claim of this table*: settings, layer sizes, formulas, networks without the penalty, and "
    "clean accuracies",
    ("table1", "table2", "figure2", "figure6", "claims"),
    "",
    lambda: _rest_found(undecided("saturating", CLAIMS)),
)
"""The last row, which counts the comparisons that decide none of the claims."""
COLUMNS = {
    "words": "The paper claims",
    "found": "We find",
    "verdicts": "Verdicts",
    "links": "Pages",
}


def attacks() -> Table:
    """Return a table of the accuracy of the sigmoid networks under attacks with the same eps."""
    record = record_of("saturating/table-1")
    return table(
        f"Accuracy of the sigmoid network in per cent on {record.parameters['controls']:,} test "
        "images under attacks with eps = 0.25; mean (range over the seeds).",
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
