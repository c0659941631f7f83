"""Store which test images count in a share, such as an accuracy, and compare two shares of the same
images.
"""

import math
from base64 import b64decode, b64encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import quantile


def packed(each: ArrayLike) -> str:
    """Return a text in base64 with one bit per image: whether the image counts in the share."""
    return b64encode(np.packbits(np.asarray(each, dtype=bool)).tobytes()).decode()


def unpacked(text: str, images: int) -> NDArray[np.bool_]:
    """Return for each of ``images`` images whether it counts; ``text`` is the result of `packed`.

    Raises ValueError if ``text`` is no base64 or has another length.
    """
    bits = np.unpackbits(np.frombuffer(b64decode(text, validate=True), dtype=np.uint8))
    if len(bits) != images + -images % 8:
        raise ValueError(f"outcomes must have one bit for each of {images} images, got {len(bits)}")
    return bits[:images].astype(bool)


def paired_error(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> float:
    """Return the half-width, in percentage points, of the 95 % interval for the difference of two
    mean shares, if only the choice of the test images is random.

    ``first``, ``second``: for each run, which of the same test images count. The mean over the runs
        is taken for each image.

    For single runs, the interval is from Agresti and Min 2005. It adds half an image to each of the
    four combinations of two outcomes, so its width is not 0 if all outcomes agree.
    """
    change = np.mean(np.asarray(first, float), 0) - np.mean(np.asarray(second, float), 0)
    n = len(change) + 2
    variance = (np.square(change).sum() + 1) / n - (change.sum() / n) ** 2
    return float(100 * quantile(math.inf) * math.sqrt(variance / n))
