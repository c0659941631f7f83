"""Mirror and shift training images at random before the loss is computed.

A hash of (seed, epoch, index of the image) from `robustbook.attacks.noise` determines the
augmentation of an image. So the augmentation depends neither on the device nor on the batch that
contains the image, and a run that resumes after an interruption repeats it exactly.
"""

import operator
from dataclasses import dataclass
from typing import SupportsIndex

import torch
import torch.nn.functional as F
from jaxtyping import Int, Shaped
from torch import Tensor

from robustbook.attacks.noise import uniform
from robustbook.randomness import generator


@dataclass(frozen=True)
class Augmentation:
    """``mirror``: whether images are mirrored left to right with probability 1/2.
    ``padding``: the number of rows or columns of zeros that are added on each side of an image. The
        padded image is then cropped to the original size at a random position. Images are mirrored
        after cropping.
    """

    mirror: bool = False
    padding: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.mirror, bool):
            raise ValueError(f"mirror must be True or False, got {self.mirror!r}")
        whole = isinstance(self.padding, SupportsIndex) and not isinstance(self.padding, bool)
        if not whole or self.padding < 0:
            raise ValueError(f"padding must be a whole number, 0 or more, got {self.padding!r}")
        object.__setattr__(
            self, "padding", operator.index(self.padding)
        )  # an int, also for a whole number of numpy

    def drawn(
        self, seed: int, epoch: int, count: int, device: torch.device
    ) -> Int[Tensor, "{count} 3"]:
        """Return three numbers for each of ``count`` images. The first is 1 if the image is
        mirrored and 0 otherwise. The others are the first row and the first column of the crop in
        the padded image.
        """
        stream = generator(seed, "augmentation").initial_seed()
        keys = torch.arange(count, device=device)
        shares = uniform(stream, keys, epoch, 3, torch.float32)
        shares[:, 0] *= 2
        shares[:, 1:] *= 2 * self.padding + 1
        return shares.long()

    def applied(
        self, images: Shaped[Tensor, "n c h w"], drawn: Int[Tensor, "n 3"]
    ) -> Shaped[Tensor, "n c h w"]:
        """Crop and mirror the images as ``drawn`` says, and return them in the same dtype."""
        turned, top, left = drawn.unbind(1)
        if self.padding:
            height, width = images.shape[2:]
            padded = F.pad(images, (self.padding,) * 4)
            crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view of all crops
            images = crops[torch.arange(len(images), device=images.device), :, top, left]
        if self.mirror:
            images = torch.where(turned.bool()[:, None, None, None], images.flip(3), images)
        return images
