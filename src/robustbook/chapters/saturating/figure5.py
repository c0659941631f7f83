"""Compute the sentences for the page of Figure 5. On this page L-BFGS attacks, in each class, the
image that the network classifies with the lowest confidence.
"""

from statistics import fmean

from robustbook.chapters.badges import of_page
from robustbook.chapters.published import mean
from robustbook.ledger import Record

from .lbfgs_pairs import MAIN, PAIRS, count, found, unbroken, without_tolerances


def answer(record: Record) -> str:
    """Return a sentence that states for how many of the 90 pairs (a source image and a target
    class) L-BFGS succeeds on the saturated sigmoid network, and whether it fails for most pairs on
    the saturated ReLU network too. It ends with the page's verdicts.
    """
    sigmoid = fmean(found(record))
    relu_found = mean(record, "found", network="relu-mlp", method="saturated", reading=MAIN)
    also = relu_found < PAIRS / 2
    where = "every pair" if relu_found == PAIRS else f"{relu_found:.0f} pairs"
    badges = of_page(
        "saturating/figure-5",
        {
            "fails for most pairs, saturated ReLU MLP": "relu-saturated/",
            "fails for most pairs, saturated sigmoid MLP": "/saturated/",
            "succeeds fast on the vanilla sigmoid MLP": "/vanilla/",
        },
    )
    return unbroken(
        f"{'Yes' if sigmoid < PAIRS / 2 else 'No'}, on the saturated sigmoid network, where it "
        f"succeeds for {sigmoid:.0f} of {PAIRS} pairs, {'and' if also else 'but not'} on the "
        f"saturated ReLU network, where it succeeds for {where}. {badges}"
    )


def networks(record: Record) -> str:
    """Return sentences that compare on how many of the 90 pairs L-BFGS succeeds on the two sigmoid
    networks.
    """
    return unbroken(
        f"On the saturated sigmoid network L-BFGS succeeds for {count(record, 'found')} of {PAIRS} "
        f"pairs, and on the vanilla sigmoid network for {count(record, 'found', 'vanilla')}. The "
        "source images are those that the network classifies with the lowest confidence."
    )


def relu(record: Record) -> str:
    """Return sentences that state, for each of the two ReLU networks, on how many pairs L-BFGS
    succeeds, and the median number of iterations.
    """
    plain, saturated = (
        [count(record, name, method, network="relu-mlp") for name in ("found", "iterations, found")]
        for method in ("vanilla", "saturated")
    )
    return unbroken(
        f"*On the saturated ReLU network L-BFGS succeeds for {saturated[0]} of {PAIRS} pairs*, "
        f"and on the vanilla one for {plain[0]}. For its ReLU networks the paper reports a "
        "trend similar to that of the sigmoid networks. The median number of iterations "
        f"is {saturated[1]} on the saturated and {plain[1]} on the vanilla network."
    )


def stalled(record: Record) -> str:
    """Return sentences that state how many runs of L-BFGS stall, which means that they stop early
    without success. The sentences also state how many runs succeed if L-BFGS has no stopping
    tolerances.
    """
    single, double = without_tolerances(record)
    return unbroken(
        f"On the saturated sigmoid network {count(record, 'stalled')} of the {PAIRS} runs of "
        "L-BFGS stall (stop early without success), and "
        f"{count(record, 'limit')} reach the largest number of iterations. The median number "
        f"of iterations of the failed runs is {count(record, 'iterations, failed')}. Without "
        f"stopping tolerances L-BFGS succeeds for {single} pairs in float32, and for {double} "
        "in float64."
    )
