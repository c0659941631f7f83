"""Compute the sentences for the page of Figure 8. On this page L-BFGS attacks, in each class, the
image that the network classifies with the highest confidence.
"""

from statistics import fmean

from robustbook.chapters.badges import of_page
from robustbook.chapters.published import of_target, printed, record_of
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, straight_distances, unbroken, without_tolerances
from .names import COMPARED

SUCCESSES = "saturating/{}/saturated/successes"
"""The id under which the book stores the number of pairs for which L-BFGS succeeds in the paper.
The braces stand for the name of the figure.
"""


def answer(record: Record) -> str:
    """Return a sentence that compares on which share of the 90 pairs L-BFGS succeeds for two sets
    of source images: with the highest confidence, and with the lowest confidence. It ends with the
    page's verdicts.
    """
    least, most = (100 * fmean(each) / PAIRS for each in _successes(record))
    badges = of_page(
        "saturating/figure-8",
        {
            "successes on the saturated sigmoid MLP": "/saturated/successes",
            "fewer than from the least confident images": "fewer-than",
            "succeeds fast on the vanilla sigmoid MLP": "/vanilla/",
        },
    )
    return unbroken(
        f"{'Yes' if most < least else 'No'}: on the saturated sigmoid network L-BFGS succeeds for "
        f"{most:.0f} % of the pairs of image and target class from the most confident images, and "
        f"for {least:.0f} % from the least confident. {badges}"
    )


def successes(record: Record) -> str:
    """Return sentences that state on how many of the 90 pairs L-BFGS succeeds, in the paper and in
    our runs, on the saturated and on the vanilla sigmoid network.
    """
    least, most = _successes(record)
    return unbroken(
        "From the most confident images, L-BFGS succeeds on the saturated sigmoid network for "
        f"{spread(most, 0)} of {PAIRS} pairs (in the paper: "
        f"{printed(SUCCESSES.format('figure-8')):g}). From the least confident images it succeeds "
        f"for {spread(least, 0)}. On the vanilla sigmoid network it succeeds from "
        f"the most confident images for {count(record, 'found', 'vanilla')} of {PAIRS} pairs."
    )


def _successes(record: Record) -> list[list[float]]:
    """Return on how many pairs L-BFGS succeeds on the saturated sigmoid network, one number per
    seed: from the least confident images, and from the most confident ones.
    """
    shown = (record_of("saturating/figure-5"), record)
    return [of_target(each, SUCCESSES.format(each.item)) for each in shown]


def nearer(record: Record) -> str:
    """Return sentences that compare the distances at which bisection finds the target class from
    the most confident images, on the saturated and on the vanilla network.
    """
    vanilla, saturated = (straight_distances(record, method) for method in COMPARED)
    change = 100 * (fmean(saturated) / fmean(vanilla) - 1)
    where = sum(a < b for a, b in zip(saturated, vanilla, strict=True))
    return (
        "From the most confident images, bisection finds the target class at a distance of "
        f"{spread(saturated)} on the saturated network and of {spread(vanilla)} on the vanilla "
        f"network. This is {abs(change):.0f} % {'nearer' if change < 0 else 'further away'} "
        f"(nearer with {where} of {len(vanilla)} seeds). But each network has its own most "
        "confident images."
    )


def stopped(record: Record) -> str:
    """Return sentences that state how many runs of L-BFGS take no step, with and without stopping
    tolerances, and how many runs succeed if L-BFGS has no stopping tolerances.
    """
    single, double = without_tolerances(record)
    idle = count(record, "stalled at once", search="float32, no tolerances")
    return unbroken(
        f"On the saturated network {count(record, 'stalled at once')} of the {PAIRS} runs of "
        f"L-BFGS end without a step. Without stopping tolerances, {idle} do so in float32, and "
        f"L-BFGS succeeds for {single} pairs instead of {count(record, 'found')}. In float64 "
        f"without stopping tolerances it succeeds for {double} pairs."
    )
