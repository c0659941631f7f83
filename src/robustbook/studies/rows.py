"""Make the rows of a record from the outcomes for single test images."""

from collections.abc import Mapping

from torch import Tensor

from robustbook.ledger import WHOLE, Row
from robustbook.ledger.outcomes import packed


def percent(each: Tensor) -> float:
    """Return the share of images that count, in percent; for correct answers, the accuracy."""
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
    """Return the row of a share of test images in percent, with the outcomes of its images.

    ``each``: for each image, whether it counts.

    All other arguments are those of `Row`. A whole test set needs no outcomes, because its images
    were not chosen.
    """
    count = len(each)
    outcomes = packed(each.tolist()) if count < WHOLE else ""
    labels = dict(setting or {})
    return Row(
        percent(each), "percent", target, name, seed, count, holds, labels, differs, outcomes
    )
