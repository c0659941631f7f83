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
) -> Row:
    """Return a row with the percentage of test images that count, and with the outcome of each
    image.

    ``each``: for each image, whether it counts.

    All other arguments are those of `Row`. The outcomes of a whole test set (`WHOLE` images) are
    not stored, because the choice of these images causes no error.
    """
    count = len(each)
    outcomes = packed(each.tolist()) if count < WHOLE else ""
    labels = dict(setting or {})
    return Row(
        percent(each), "percent", target, name, seed, count, holds, labels, differs, outcomes
    )
