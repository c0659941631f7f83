"""Choose the batch of a training step; it depends only on the seed and the step."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
        if not images.is_floating_point():
            images = images.float() / 255
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
