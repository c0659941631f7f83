"""Compute what the page of Figure 8 shows: L-BFGS from the most confident image of each class."""

from robustbook.chapters.published import of_target, printed, record_of
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances

SUCCESSES = "saturating/{}/saturated/successes"
"""The target with the number of pairs for which L-BFGS succeeds, by figure."""


def answer(record: Record) -> str:
    """Return for how many pairs of source image and target class L-BFGS succeeds, from the most and
    from the least confident images.
    """
    least = of_target(record_of("saturating/figure-5"), SUCCESSES.format("figure-5"))
    return (
        "Starting from the most confident images, L-BFGS succeeds for "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of source and target class on the "
        f"vanilla sigmoid network, and for {count(record, 'found')} on the saturated one (in the "
        f"paper: {printed(SUCCESSES.format('figure-8')):g}). Starting from the least confident "
        f"images, L-BFGS succeeds for {spread(least, 0)} pairs on the saturated network."
    )


def stopped(record: Record) -> str:
    """Return how many runs of L-BFGS take no step, and how many succeed without stopping
    tolerances.
    """
    single, double = without_tolerances(record)
    return (
        f"On the saturated network {count(record, 'stalled at once')} of the {PAIRS} runs of "
        "L-BFGS end without a step, because no component of the gradient exceeds the tolerance. "
        f"Without stopping tolerances L-BFGS succeeds for {single} pairs in float32 instead of "
        f"{count(record, 'found')}, and for {double} pairs in float64."
    )
