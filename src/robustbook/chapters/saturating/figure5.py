"""The page of Figure 5: L-BFGS from the least confident image of each class."""

from robustbook.ledger import Record

from .lbfgs_pairs import count


def finding(record: Record) -> str:
    """How many pairs the search fools each sigmoid network on."""
    return (
        "Of 90 pairs of classes the search fools the vanilla network in "
        f"{count(record, 'found', 'vanilla')} and the saturated one in {count(record, 'found')}; "
        f"of its other searches {count(record, 'stalled')} stall and {count(record, 'limit')} use "
        "up their iterations."
    )


def stalled(record: Record) -> str:
    """How many searches stall, and how many more find their target without tolerances."""
    tight, wide = (
        count(record, "found", search=f"{precision}, no tolerances")
        for precision in ("float32", "float64")
    )
    return (
        f"**The searches stall.** In the main reading {count(record, 'stalled')} of them end early "
        f"on the saturated network and {count(record, 'limit')} at the limit; those that find "
        f"nothing give up after {count(record, 'iterations, failed')} iterations in the median. "
        f"Without tolerances {tight} find their target, in float64 {wide}. So arithmetic is a part "
        "of it, but not all. A descent ends in the first valley it comes to, and the loss of a "
        "network whose units are all but switches has many."
    )
