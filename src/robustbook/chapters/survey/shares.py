"""Say whether two shares of test images differ by more than the choice of the images explains."""

import math
from typing import Any

from robustbook.ledger import Record


def apart(one: float, other: float, images: int, of_other: int | None = None) -> bool:
    """Return whether two shares in per cent differ by more than the 95 % binomial error of their
    difference.

    ``images``: the number of test images of the first share.
    ``of_other``: the number of test images of the second share; by default equal to ``images``.

    The two sets of images count as independent. If both shares come from the same images, the
    binomial error is usually too large, so some real differences are missed.
    """
    p, q = one / 100, other / 100
    variance = p * (1 - p) / images + q * (1 - q) / (of_other or images)
    return abs(p - q) > 1.96 * math.sqrt(variance)


def images_of(record: Record, name: str, /, **setting: Any) -> int:
    """Return the number of test images from which a share was computed. If the rows of the record
    with the given ``name`` and labels have different numbers, the smallest one is returned.
    """
    return min(
        row.images
        for row in record.rows
        if row.name == name
        and row.images
        and all(row.setting.get(k) == v for k, v in setting.items())
    )
