"""Compare two accuracies of a record (stored results of a run), image by image if the record says
which images are classified correctly.
"""

from collections.abc import Sequence
from statistics import fmean

from robustbook.ledger import Row
from robustbook.ledger.intervals import share_difference
from robustbook.ledger.outcomes import paired_error


def difference(first: Sequence[Row], second: Sequence[Row]) -> tuple[float, float, float]:
    """Return the first of two accuracies minus the second, in percentage points, and the ends of
    its 95 % interval, which contains the error from the choice of the test images only.

    ``first``, ``second``: the rows of the two accuracies, one row per seed.

    Only the seeds that both have are used, if there are any. If all their rows say which images
    are classified correctly, the comparison is paired, on the images that both have: the first
    images of the test set. Otherwise the two accuracies count as independent.
    """
    both = {row.seed for row in first} & {row.seed for row in second}
    a, b = ([row for row in rows if not both or row.seed in both] for rows in (first, second))
    if both and all(row.outcomes for row in (*a, *b)):
        images = min(len(row.each) for row in (*a, *b))
        each = [[row.each[:images] for row in rows] for rows in (a, b)]
        mean = 100 * float(fmean(x.mean() for x in each[0]) - fmean(x.mean() for x in each[1]))
        error = paired_error(*each)
        return mean, mean - error, mean + error
    p, q = (fmean(float(row.value) for row in rows) for rows in (a, b))
    counts = [min(row.images or 0 for row in rows) for rows in (a, b)]
    return p - q, *share_difference(p, q, *counts)


def ordered(first: Sequence[Row], second: Sequence[Row]) -> bool | None:
    """Return whether the first of two accuracies is the higher one, or None if the interval of
    their `difference` contains 0.
    """
    mean, low, high = difference(first, second)
    return mean > 0 if low > 0 or high < 0 else None


def paired(first: Sequence[Row], second: Sequence[Row]) -> bool:
    """Return whether all rows say which images are classified correctly."""
    return all(row.outcomes for row in (*first, *second))
