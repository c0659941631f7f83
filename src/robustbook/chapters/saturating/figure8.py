"""Compute the sentences for the page of Figure 8. On this page L-BFGS attacks, in each class, the
image that the network classifies with the highest confidence.
"""

from statistics import fmean

from robustbook.chapters.published import of_target, printed, record_of
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, unbroken, without_tolerances
from .names import labelled

SUCCESSES = "saturating/{}/saturated/successes"
"""The id under which the book stores the number of pairs for which L-BFGS succeeds in the paper.
The braces stand for the name of the figure.
"""


def answer(record: Record) -> str:
    """Return sentences that compare how often L-BFGS succeeds on two sets of source images: with
    the highest confidence, and with the lowest confidence. The verdicts follow.
    """
    least, most = (
        of_target(shown, SUCCESSES.format(shown.item))
        for shown in (record_of("saturating/figure-5"), record)
    )
    badges = labelled(
        {
            "number of successes": SUCCESSES.format(record.item),
            "fewer than from the least confident images": (
                "saturating/figure-8/saturated/fewer-than-least-confident"
            ),
        }
    )
    return unbroken(
        f"{'Yes' if fmean(most) < fmean(least) else 'No'}. From the most confident images, L-BFGS "
        f"succeeds on the saturated sigmoid network for {spread(most, 0)} of {PAIRS} pairs of a "
        "source image and a target class (in the paper: "
        f"{printed(SUCCESSES.format('figure-8')):g}), and from the least confident images for "
        f"{spread(least, 0)}. On the vanilla sigmoid network it succeeds from "
        f"the most confident images for {count(record, 'found', 'vanilla')} of {PAIRS} pairs. "
        f"{badges}"
    )


def stopped(record: Record) -> str:
    """Return sentences that state how many runs of L-BFGS take no step, and how many runs succeed
    if L-BFGS has no stopping tolerances.
    """
    single, double = without_tolerances(record)
    return unbroken(
        f"On the saturated network {count(record, 'stalled at once')} of the {PAIRS} runs of "
        "L-BFGS end without a step, because no component of the gradient exceeds the tolerance. "
        f"Without stopping tolerances L-BFGS succeeds for {single} pairs in float32, instead of "
        f"{count(record, 'found')}, and for {double} pairs in float64."
    )
