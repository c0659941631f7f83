"""Compute the sentences for the page of Figure 8. On this page L-BFGS attacks, in each class, the
image that the network classifies with the highest confidence.
"""

from robustbook.chapters.published import of_target, printed, record_of
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances

SUCCESSES = "saturating/{}/saturated/successes"
"""The id under which the book stores the number of pairs for which L-BFGS succeeds in the paper.
The braces stand for the name of the figure.
"""


def answer(record: Record) -> str:
    """Return sentences that compare how often L-BFGS succeeds on two sets of source images: with
    the highest confidence, and with the lowest confidence.
    """
    least = of_target(record_of("saturating/figure-5"), SUCCESSES.format("figure-5"))
    return (
        "Starting from the images with the highest confidence, L-BFGS succeeds for "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of source and target class on the "
        f"vanilla sigmoid network, and for {count(record, 'found')} pairs on the saturated network "
        f"(in the paper: {printed(SUCCESSES.format('figure-8')):g}). Starting from the images with "
        f"the lowest confidence, L-BFGS succeeds for {spread(least, 0)} pairs on the saturated "
        "network."
    )


def stopped(record: Record) -> str:
    """Return sentences that state how many runs of L-BFGS take no step, and how many runs succeed
    if L-BFGS has no stopping tolerances.
    """
    single, double = without_tolerances(record)
    return (
        f"On the saturated network {count(record, 'stalled at once')} of the {PAIRS} runs of "
        "L-BFGS end without a step, because no component of the gradient exceeds the tolerance. "
        f"Without stopping tolerances L-BFGS succeeds in float32 for {single} pairs instead of "
        f"{count(record, 'found')}, and for {double} pairs in float64."
    )
