"""The page of Figure 5: L-BFGS from the least confident image of each class."""

from robustbook.ledger import Record

from .lbfgs_pairs import PAIRS, count, without_tolerances


def answer(record: Record) -> str:
    """Return in how many pairs the search succeeds, on the sigmoid networks and the ReLU one."""
    return (
        "Starting from the least confident images, the search succeeds in "
        f"{count(record, 'found', 'vanilla')} of {PAIRS} pairs of classes on the vanilla sigmoid "
        f"network, and in {count(record, 'found')} on the saturated one. On the saturated ReLU "
        f"network, for which the paper reports a similar trend, it succeeds in "
        f"{count(record, 'found', network='relu-mlp')}."
    )


def relu(record: Record) -> str:
    """Return how often the search succeeds on both ReLU networks, and after how many steps."""
    plain, saturated = (
        [count(record, name, method, network="relu-mlp") for name in ("found", "iterations, found")]
        for method in ("vanilla", "saturated")
    )
    return (
        f"On the vanilla ReLU network the search succeeds in {plain[0]} of {PAIRS} pairs, and on "
        f"the saturated one in {saturated[0]}. The median number of iterations is {plain[1]} and "
        f"{saturated[1]}."
    )


def stalled(record: Record) -> str:
    """Return how many searches stall, and how many more succeed without tolerances."""
    single, double = without_tolerances(record)
    return (
        f"Of the searches behind the verdicts {count(record, 'stalled')} stall on the saturated "
        f"network, and {count(record, 'limit')} use up their iterations. Those that fail end after "
        f"{count(record, 'iterations, failed')} iterations in the median. Without tolerances "
        f"{single} of the {PAIRS} searches succeed, and in float64 {double}."
    )
