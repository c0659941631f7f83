"""The page of Figure 8: L-BFGS from the most confident image of each class."""

from robustbook.chapters.published import values
from robustbook.chapters.wording import spread
from robustbook.ledger import Record

from .lbfgs_pairs import STRAIGHT, count


def finding(record: Record) -> str:
    """How many pairs the search fools each sigmoid network on."""
    return (
        "Of 90 pairs of classes the search fools the vanilla network in "
        f"{count(record, 'found', 'vanilla')} and the saturated one in {count(record, 'found')}. "
        f"Of the others {count(record, 'stalled at once')} do not take a single step: every "
        "component of the gradient is within the tolerance."
    )


def straight(record: Record) -> str:
    """How far a straight line goes until the answer is the target class."""
    vanilla, saturated = (
        spread(
            values(
                record, "distance, found", network="sigmoid-mlp", method=method, reading=STRAIGHT
            )
        )
        for method in ("vanilla", "saturated")
    )
    return (
        "And as before a walk without any gradient, straight to the nearest image of the target "
        f"class, reaches its border in all pairs, at a median distance of {vanilla} for the "
        f"vanilla and {saturated} for the saturated network. The certainty of a network about an "
        "image says how flat the ground is there, not how far away its edge is."
    )
