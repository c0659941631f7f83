"""Compute the sentences for the page of Figure 5. On this page L-BFGS attacks, in each class, the
image that the network classifies with the lowest confidence.
"""

from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances


def answer(record: Record) -> str:
    """Return sentences that state for how many of the 90 pairs (a source image and a target class)
    L-BFGS succeeds. The sentences state one number for each of three networks: vanilla sigmoid,
    saturated sigmoid and saturated ReLU.
    """
    return (
        "Starting from the images with the lowest confidence, L-BFGS succeeds for "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of source and target class on the "
        f"vanilla sigmoid network, and for {count(record, 'found')} pairs on the saturated network."
        " The paper reports a similar trend for ReLU networks. But on our saturated ReLU network "
        f"L-BFGS succeeds for {count(record, 'found', network='relu-mlp')} pairs."
    )


def relu(record: Record) -> str:
    """Return sentences that state, for each of the two ReLU networks, on how many pairs L-BFGS
    succeeds, and the median number of iterations.
    """
    plain, saturated = (
        [count(record, name, method, network="relu-mlp") for name in ("found", "iterations, found")]
        for method in ("vanilla", "saturated")
    )
    return (
        f"On the vanilla ReLU network L-BFGS succeeds for {plain[0]} of {PAIRS} pairs, and on the "
        f"saturated ReLU network for {saturated[0]}. The median number of iterations is {plain[1]} "
        f"on the vanilla and {saturated[1]} on the saturated network."
    )


def stalled(record: Record) -> str:
    """Return sentences that state how many runs of L-BFGS stall, which means that they stop early
    without success. The sentences also state how many runs succeed if L-BFGS has no stopping
    tolerances.
    """
    single, double = without_tolerances(record)
    return (
        f"On the saturated sigmoid network {count(record, 'stalled')} of the {PAIRS} runs of "
        "L-BFGS stall (stop early without success), and "
        f"{count(record, 'limit')} reach the largest number of iterations. The failed runs end "
        f"after {count(record, 'iterations, failed')} iterations (median). Without stopping "
        f"tolerances L-BFGS succeeds for {single} pairs in float32, and for {double} pairs in "
        "float64."
    )
