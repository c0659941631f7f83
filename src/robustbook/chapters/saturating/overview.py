"""Compute the tables and sentences for the overview of Nayebi & Ganguli 2017: the claims, what we
find, and the pages that test the claims.
"""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook.chapters.claims import Finding, claims_table, undecided
from robustbook.chapters.published import of_target, printed, record_of, values
from robustbook.chapters.wording import from_to
from robustbook.figures import Table
from robustbook.ledger import Entry, Record
from robustbook.ledger.verdicts import JUDGED

from . import table1, today
from .claims import long_runs
from .figure1 import tails
from .figure2 import explained_by_length
from .figure4 import relu_values
from .figure6 import GAIN, OWN_GAIN, heavy_without_gain
from .names import fgsm_target, verdicts_of_table_1
from .table1 import in_two_groups

NEAR = 4.0
"""A distance in percentage points, of which a finding says how many networks are within it."""
CLIPPED = "float32, clipped"
"""The name of FGSM with images clipped to [0, 1] in the record."""
SOFTENED = "pgd softened"
"""The name of PGD with softened slopes in the record."""
DRAWN = {
    "float32": "FGSM, ours",
    "float64": "FGSM, float64",
    "signs": "random signs",
    SOFTENED: "PGD, softened slopes",
}
"""The attacks of the figure, with their labels."""


def answer(record: Record) -> str:
    """Return a sentence that compares the accuracies of the saturated sigmoid networks under FGSM
    and under a stronger attack. The first word is "No" if the stronger attack leaves less than half
    of the images that FGSM leaves, with every seed. The verdicts on the FGSM accuracies of Table 1
    follow.
    """
    # Both attacks are clipped to [0, 1], and both are run on the images of the controls.
    single, repaired = min(_accuracies(record, CLIPPED)), max(_accuracies(record, SOFTENED))
    return (
        f"{'No' if repaired < single / 2 else 'Partly'}: every saturated sigmoid network "
        f"classifies at least {single:.1f} % of the images correctly after clipped FGSM, but at "
        f"most {repaired:.1f} % after many steps with flatter slopes in the backward pass. "
        f"Table 1: {verdicts_of_table_1(main=True)}"
    )


def gradients_compared(record: Record) -> str:
    """Return sentences that state the accuracies of the saturated sigmoid networks under attacks
    that compute the gradient in different ways. First come the attacks whose images may leave
    [0, 1], then those whose images are clipped, so that like is compared with like.
    """
    high, low = in_two_groups(_after_fgsm(record))
    wide, clipped, repaired = (
        _accuracies(record, attack) for attack in ("float64", CLIPPED, SOFTENED)
    )
    there = printed(fgsm_target("sigmoid-mlp", "saturated"))
    images, eps = (record.parameters[name] for name in ("controls", "eps"))
    return (
        f"All these attacks have eps {eps:g}, and each seed gives one network. "
        "Under FGSM in float32, whose images may leave [0, 1], "
        f"{len(high)} of the {len(high) + len(low)} "
        f"saturated sigmoid networks classify {from_to(high, '.1f')} % of all test images "
        f"correctly. The other {len(low)} classify {from_to(low, '.1f')} % (the paper: "
        f"{there:.1f} %). "
        f"The other attacks are run on {images:,} test images. "
        "Under FGSM with gradients in float64, whose images may also leave [0, 1], all these "
        f"networks classify {from_to(wide, '.1f')} % correctly. If images are clipped to [0, 1], "
        f"they classify {from_to(clipped, '.1f')} % correctly after FGSM in float32, and "
        f"{from_to(repaired, '.1f')} % after 20 PGD steps with softened slopes."
    )


def _after_fgsm(record: Record) -> list[float]:
    """Return the accuracies of the saturated sigmoid networks under FGSM in float32 on all test
    images, one per seed.
    """
    return of_target(record, fgsm_target("sigmoid-mlp", "saturated"))


def _accuracies(record: Record, attack: str) -> list[float]:
    """Return the accuracies of the saturated sigmoid networks under an attack, one per seed."""
    of = {"network": "sigmoid-mlp", "method": "saturated"}
    return values(record, "accuracy", reading=attack, **of)


def attacks_figure(record: Record) -> Figure:
    """Draw the accuracy of each network under a few attacks, with one dot per seed."""
    return table1.attacks_figure(record, DRAWN)


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
    """Return how many settings and how many measured numbers agree with the paper. Settings that
    the paper states and numbers that we derived from a formula are counted separately.
    """
    settings = [line for line in rest if line.target.tally == "setting" and line.verdict in JUDGED]
    stated, derived, measured = (
        [line.verdict == "reproduced" for line in lines]
        for lines in (
            [line for line in settings if line.target.kind != "derived"],
            [line for line in settings if line.target.kind == "derived"],
            [line for line in rest if line.target.tally == "measured number"],
        )
    )
    return (
        f"{sum(stated)} of {len(stated)} settings that the paper states agree, and "
        f"{sum(measured)} of {len(measured)} measured numbers. {sum(derived)} of {len(derived)} "
        "checks of formulas that we derived ourselves hold"
    )


def _heavy_tails() -> str:
    """Return our finding on heavy-tailed weights, with the increases of Figure 6."""
    record = record_of("saturating/figure-6")
    ours, own = (f"{fmean(of_target(record, target)):.0f}" for target in (GAIN, OWN_GAIN))
    theirs, their_own = (f"{printed(target):.0f}" for target in (GAIN, OWN_GAIN))
    return (
        "Yes, by the paper's ratio R, but less than the paper says: with random weights of its "
        f"family (Pearson VII) by at most {ours} % (the paper: almost {theirs} %), and with "
        f"trained weights by {own} % in the best layer of each seed (the paper: as much as "
        f"{their_own} %). Not always: {heavy_without_gain(record)} (with the exact "
        "smallest eps)"
    )


def _near_the_paper() -> str:
    """Return our finding on the FGSM accuracies of Table 1: with how many seeds the sigmoid network
    comes near the paper's number in float32, and which accuracies it has in float64.
    """
    record = record_of("saturating/table-1")
    found, there = _after_fgsm(record), printed(fgsm_target("sigmoid-mlp", "saturated"))
    assert there is not None
    near = sum(abs(each - there) < NEAR for each in found)
    return (
        f"The sigmoid network comes within {NEAR:g} points of the paper's accuracy with {near} of "
        f"{len(found)} seeds in float32. In float64 its accuracy is "
        f"{from_to(_accuracies(record, 'float64'), '.0f')} %. Not true for the ReLU network and "
        "the CNN, which only keep their clean accuracy"
    )


def _targeted() -> str:
    """Return our finding on targeted attacks, with the conditions of the long runs of Adam."""
    runs, reached = long_runs(record_of("saturating/long-descent"))
    done = "all succeeded" if len(reached) == runs else f"succeeded {len(reached)} times"
    return (
        "Yes for the sigmoid networks, but not for the ReLU network. "
        f"{runs} longer runs of Adam (one network, 3 to 7) {done}; a failed attack does not show "
        "robustness"
    )


CLAIMS = (
    Finding(
        "Saturated networks have FGSM errors of a few per cent, lose little clean accuracy, and "
        "are more accurate under FGSM than adversarially trained networks",
        ("table1", "claims"),
        r"table-1/(.*-saturated/(fgsm.*|clean-loss)|order/.*)|text-1/.*",
        _near_the_paper,
    ),
    Finding(
        "The penalty works best if it covers all layers, and its weight must be annealed (raised "
        "in steps); adversarial training works best with alpha = 0.5",
        ("claims",),
        r"text-4/claim/.*",
        "With the full penalty from the first step the network loses much accuracy; if it starts "
        "after some epochs without penalty, less (one seed). Penalising the last layer too changes "
        "the accuracy less than training with another seed. For our sigmoid network a smaller "
        "alpha gives a higher FGSM accuracy",
    ),
    Finding(
        "In every layer, the weights of saturated networks have heavier tails than those of "
        "vanilla networks",
        ("figure1",),
        r"figure-1/.*",
        tails,
    ),
    Finding(
        "The pre-activations of saturated networks tend to extreme values",
        ("figure2",),
        r"figure-2/.*extreme.*",
        lambda: (
            "Yes, by the median and compared with vanilla networks. For ReLU units longer training "
            f"alone explains a part: {from_to(explained_by_length(), '.0f')} % of the change of "
            "the median, by layer (one seed)"
        ),
    ),
    Finding(
        "Vanilla and saturated networks represent images of one class nearly alike, and saturated "
        "networks represent images of different classes much further apart",
        ("figure3", "figure7"),
        r"figure-3/.*",
        "In the first hidden layer images of one class are not alike, in any of these networks. In "
        "the saturated sigmoid network, of the two hidden layers, classes lie further apart in the "
        "first; in the last layer this depends on the function (sigmoid or softmax). The paper "
        "does not say it of the ReLU network, where they do in every layer; its weights are "
        "larger too",
    ),
    Finding(
        "On a path between two images the outputs are constant, except for a sharp change in one "
        "direction",
        ("figure4",),
        r"figure-4/.*",
        lambda: (
            "Mostly yes: the outputs are nearly constant on most of the path, and where they "
            "change fastest mostly one singular value is large. But singular values are also "
            f"large where no output changes. {relu_values()}"
        ),
    ),
    Finding(
        "Targeted attacks with many steps fool the vanilla network quickly and the saturated "
        "network rarely",
        ("figure5", "figure8", "claims"),
        r"(figure-[58]|text-7)/.*",
        _targeted,
    ),
    Finding(
        "Heavy-tailed weights alone can make a linear classifier more robust",
        ("figure6",),
        r"figure-6/pearson/(shape|y-example)|text-8/(pearson/gain|own-weights/.*)",
        _heavy_tails,
    ),
    Finding(
        "*Our question, after the comment by Brendel and Bethge*: are saturated networks robust?",
        ("today",),
        r"critique/.*",
        lambda: f"No. {today.held()}",
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
