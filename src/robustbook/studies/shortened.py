"""Decide whether a training that is shorter than the paper's counts as the paper's."""

POINTS, TIMES = 5.0, 2.0
"""A training that is shorter than the paper's counts as the paper's if the two accuracies on clean
images differ by at most `POINTS` percentage points, and our error on clean images is at most
`TIMES` the paper's error.
"""
REACHED = (
    f"its accuracy on clean images is within {POINTS:g} points of the paper's, and its error on "
    f"clean images is at most {TIMES:g} times the paper's"
)
"""The rule of `reaches` in words, for pages; it follows the words "a training counts as the paper's
if".
"""


def reaches(clean: float | int, printed: float | int) -> bool:
    """Return whether a training that is shorter than the paper's counts as the paper's.

    ``clean``, ``printed``: our accuracy on clean images and the paper's, both in percent.
    """
    return abs(clean - printed) <= POINTS and 100 - clean <= TIMES * (100 - printed)
