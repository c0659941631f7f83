"""Compute what the page of Figure 5 shows: L-BFGS from the least confident image of each class."""

from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances


def answer(record: Record) -> str:
    """Return for how many pairs of source image and target class L-BFGS succeeds on the two sigmoid
    networks and the saturated ReLU network.
    """
    return (
        "Starting from the least confident images, L-BFGS succeeds for "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of source and target class on the "
        f"vanilla sigmoid network, and for {count(record, 'found')} on the saturated one. On the "
        "saturated ReLU network, for which the paper reports a similar trend, L-BFGS succeeds for "
        f"{count(record, 'found', network='relu-mlp')}."
    )


def relu(record: Record) -> str:
    """Return for how many pairs of source image and target class L-BFGS succeeds on the two ReLU
    networks, and after how many iterations.
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
    """Return how many runs of L-BFGS stall, and how many succeed without stopping tolerances."""
    single, double = without_tolerances(record)
    return (
        f"On the saturated sigmoid network {count(record, 'stalled')} of the {PAIRS} runs of "
        f"L-BFGS stall, and {count(record, 'limit')} reach the largest number of iterations. The "
        f"median failed run ends after {count(record, 'iterations, failed')} iterations. Without "
        f"stopping tolerances L-BFGS succeeds for {single} pairs in float32, and for {double} "
        "pairs in float64."
    )
