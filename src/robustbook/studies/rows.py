"""Make the rows of a record from the outcomes for single test images."""

from collections.abc import Mapping

from torch import Tensor

from robustbook.ledger import WHOLE, Row
from robustbook.ledger.outcomes import packed


def percent(each: Tensor) -> float:
    """Return the percentage of images that count. If the correctly classified images count, this is
    the accuracy.
    """
    return 100 * each.double().mean().item()


def share_row(
    each: Tensor,
    target: str | None = None,
    name: str = "",
    seed: int | None = None,
    *,
    holds: bool | None = None,
    setting: Mapping[str, str | float | int | bool] | None = None,
    differs: str = "",
    whole: bool = False,
) -> Row:
    """Return a row with the percentage of test images that count, and with the outcome of each
    image.

    ``each``: for each image, whether it counts.
    ``whole``: whether these are all images of the paper's test set, so that their choice causes no
        error.

    All other arguments are those of `Row`. The outcomes of `WHOLE` images or more are not stored,
    because these are a whole test set too.
    """
    count = len(each)
    outcomes = packed(each.tolist()) if count < WHOLE else ""
    labels = dict(setting or {})
    error = 0.0 if whole else None
    return Row(
        percent(each), "percent", target, name, seed, count, holds, labels, differs, outcomes, error
    )
