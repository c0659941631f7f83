"""Define a set of labelled images. The images are stored as bytes, and are converted to floats when
they are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from robustbook.pixels import refuse_other_than_bytes

Rows = SupportsIndex | Sequence[Any] | NDArray[Any] | Tensor
"""A selection of n images: indices in 0..n-1 or a mask of n bools, as a list, array or tensor."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split of a data set.

    The `images` are grey values or colours in 0..255, and the `labels` are in 0..classes-1. Raises
    ValueError if the images are not bytes, if a label is outside its range, or if the numbers of
    labels and images differ. On a GPU the range of the labels is not checked, because the check
    would make the CPU wait for the GPU.
    """

    name: str
    split: str
    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    classes: int

    def __post_init__(self) -> None:
        refuse_other_than_bytes(self.images)
        if len(self.labels) != len(self.images):
            raise ValueError(
                f"labels must be one per image, got {len(self.labels)} for {len(self.images)}"
            )
        if self.labels.device.type == "cpu" and len(self.labels):
            low, high = (int(end) for end in self.labels.aminmax())
            if not 0 <= low <= high < self.classes:
                raise ValueError(
                    f"labels must be in 0..{self.classes - 1}, got {low if low < 0 else high}"
                )

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, which: Rows | None) -> "ImageSet":
        """Return a subset of the n images.

        If `which` is a whole number k in 1..n, the subset contains the first k images. If `which`
        is a list, array or tensor, it selects images by indices in 0..n-1, in the given order, or
        by a mask of n bools. If `which` is None, return the whole set.

        Raises ValueError for any other value of `which`, and if no image is selected.
        """
        if which is None:
            return self
        n = len(self)
        array = _array(which, "which")
        if array.ndim == 0 and array.dtype.kind != "b":
            first = int(array)
            if not 1 <= first <= n:
                raise ValueError(f"which must be in 1..{n} ({self.name} {self.split}), got {first}")
            return replace(self, images=self.images[:first], labels=self.labels[:first])
        rows = indices(array, n).to(self.images.device)
        if len(rows) == 0:
            raise ValueError("which must select at least one image, got none")
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def to(self, device: torch.device | str) -> "ImageSet":
        """Return the image set on `device`, still as bytes."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def as_float(
    images: UInt8[Tensor, "n c h w"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n c h w"]:
    """Return the images scaled to [0, 1], as networks and attacks need them. The byte 255 becomes
    exactly 1.

    Raises ValueError for images that are not bytes, because their values may already be in [0, 1].
    """
    refuse_other_than_bytes(images)
    return images.to(dtype) / 255


def indices(which: Rows, n: int, name: str = "which") -> Int64[Tensor, " m"]:
    """Return the indices of the images that `which` selects among n images. The selection `which`
    consists of indices, or of one bool for each image.

    A single whole number selects one image. Raises ValueError for numbers that are not whole or not
    in 0..n-1, a mask whose length is not n, or an array with more than one axis. In the error
    message, the argument has the name `name`.
    """
    array = np.atleast_1d(_array(which, name))
    if array.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {array.shape}")
    if array.dtype.kind == "b":
        if len(array) != n:
            raise ValueError(f"{name} must be a mask of {n} images, got one of {len(array)}")
        array = np.flatnonzero(array)
    if (bad := array[(array < 0) | (array >= n)]).size:
        raise ValueError(f"{name} must hold indices in 0..{n - 1}, got {bad[0]}")
    return torch.from_numpy(array.astype(np.int64))


def _array(which: Rows, name: str) -> NDArray[Any]:
    """Return the selection `which` as a numpy array of whole numbers or bools. Raise ValueError for
    other types.
    """
    try:
        array = np.asarray(which.cpu() if isinstance(which, Tensor) else which)
    # This happens for lists of unequal lengths, and for float types that numpy lacks.
    except (TypeError, ValueError, RuntimeError):
        array = np.empty(1, dtype=object)
    if array.size and array.dtype.kind not in "biu":
        raise ValueError(f"{name} must hold whole numbers or be a mask of bools, got {which!r:.80}")
    return array
