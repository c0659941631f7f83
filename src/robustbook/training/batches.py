"""Check the data of a training run, and choose the batch of a training step, which depends only on
the seed and the step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from robustbook.randomness import generator

from .recipe import Recipe


@runtime_checkable
class Images(Protocol):
    """An image set that is too large for memory; only the images of the current batch are read."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Int[Tensor, "..."]) -> Tensor: ...


def check_data(images: Any, labels: Any) -> None:
    """Raise ValueError unless there is one label per image, and the labels are class numbers from 0
    up or rows of probabilities. If the labels are on a GPU, the CPU waits for the GPU once.
    """
    if not isinstance(images, Images) or isinstance(images, np.ndarray | Sequence):
        raise ValueError(
            "images must be a tensor or a set of images that is read by rows, "
            f"got {type(images).__name__}"
        )
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels must be a tensor, got {type(labels).__name__}")
    if len(images) != len(labels):
        raise ValueError(f"labels must be one per image, got {len(labels)} for {len(images)}")
    whole = labels.dtype == torch.int64
    if not whole and not labels.is_floating_point():
        raise ValueError(f"labels must be int64 numbers or float probabilities, got {labels.dtype}")
    if labels.ndim != (1 if whole else 2):
        raise ValueError(
            "labels must be int64 numbers of shape (n,) or float probabilities of shape (n, k), "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if whole and len(labels) and (lowest := int(labels.min())) < 0:
        raise ValueError(f"labels must be class numbers from 0 up, got {lowest}")
    if not whole:
        sums = torch.where((labels >= 0).all(1), labels.sum(1), -math.inf)
        wrong = ~((sums - 1).abs() < 0.01)  # true for NaN too
        if bool(wrong.any()):
            row = int(wrong.int().argmax())
            raise ValueError(
                "labels must be probabilities, 0 or above, with the sum 1 for each image, "
                f"got {labels[row].tolist()} in row {row}"
            )


@dataclass
class Batches:
    """The batches of a training run. At the start of each epoch, the order of the images and their
    augmentation are drawn.
    """

    images: Tensor | Images
    labels: Tensor
    recipe: Recipe
    seed: int
    shuffle: bool
    epoch: int = -1

    @property
    def per_epoch(self) -> int:
        return len(self.labels) // self.recipe.batch_size

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images and labels of a training step."""
        epoch, batch = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self._begin(epoch)
        first = batch * self.recipe.batch_size
        rows = self.order[first : first + self.recipe.batch_size]
        images = self.images[rows].to(self.labels.device)
        if self.recipe.augmentation is not None:
            images = self.recipe.augmentation.applied(images, self.drawn[rows])
        if images.dtype == torch.uint8:
            images = images.float() / 255
        elif not images.is_floating_point():
            raise ValueError(f"images must be uint8 or float, got {images.dtype}")
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, self.labels[rows]

    def _begin(self, epoch: int) -> None:
        self.epoch, device = epoch, self.labels.device
        order = self._order(epoch)
        # With pinned memory, the CPU need not wait until the device has copied the data.
        order = order.pin_memory() if device.type == "cuda" else order
        self.order = order.to(device, non_blocking=True)
        if (augmentation := self.recipe.augmentation) is not None:
            self.drawn = augmentation.drawn(self.seed, epoch, len(self.labels), device)

    def _order(self, epoch: int) -> Int[Tensor, " n"]:
        if not self.shuffle:
            return torch.arange(len(self.labels))
        return torch.randperm(len(self.labels), generator=generator(self.seed, "batches", epoch))
