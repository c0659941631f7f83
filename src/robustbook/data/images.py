"""A set of labelled images, kept as bytes until a batch of them is used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split of a data set.

    `images` are grey values or colours in 0..255, `labels` are in 0..classes-1.
    """

    name: str
    split: str
    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    classes: int

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, which: int | Sequence[int] | Int[Tensor, " m"]) -> "ImageSet":
        """The first `which` images, or those with the indices `which`, in that order.

        A number must be in 1..n and an index in 0..n-1, else ValueError.
        """
        n = len(self)
        if isinstance(which, int):
            if not 1 <= which <= n:
                raise ValueError(f"which must be in 1..{n} ({self.name} {self.split}), got {which}")
            return replace(self, images=self.images[:which], labels=self.labels[:which])
        indices = torch.as_tensor(which, dtype=torch.int64, device=self.images.device)
        if len(indices) == 0:
            raise ValueError("which must name at least one image, got none")
        if bad := [int(i) for i in indices[(indices < 0) | (indices >= n)]]:
            raise ValueError(f"which must hold indices in 0..{n - 1}, got {bad[0]}")
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same set on `device`, still as bytes."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def as_float(
    images: UInt8[Tensor, "n c h w"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n c h w"]:
    """The images as networks and attacks take them: in [0, 1], the byte 255 being exactly 1."""
    return images.to(dtype) / 255
