"""The page of Figure 8: L-BFGS from the most confident image of each class."""

from robustbook.chapters.published import of_target, printed, record_of
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances

SUCCESSES = "saturating/{}/saturated/successes"
"""The target of the pairs in which the search succeeds, by figure."""


def answer(record: Record) -> str:
    """Return in how many pairs the search succeeds, also from the least confident images."""
    least = of_target(record_of("saturating/figure-5"), SUCCESSES.format("figure-5"))
    return (
        "Starting from the most confident images, the search succeeds in "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of classes on the vanilla sigmoid "
        f"network, and in {count(record, 'found')} on the saturated one (printed: "
        f"{printed(SUCCESSES.format('figure-8')):g}). From the least confident images of the "
        f"saturated network it succeeds in {spread(least, 0)}."
    )


def stopped(record: Record) -> str:
    """Return how many searches take no step, and how many succeed without tolerances."""
    single, double = without_tolerances(record)
    return (
        f"On the saturated network {count(record, 'stalled at once')} of the {PAIRS} searches end "
        "where they begin, because no component of the gradient exceeds the tolerance. Without "
        f"tolerances {single} searches succeed in place of {count(record, 'found')}, and in "
        f"float64 {double}."
    )
