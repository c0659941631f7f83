"""Choose the batch of each network at a training step; it depends only on the seed and the step."""

from collections.abc import Sequence
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
    seeds: Sequence[int]
    shuffle: bool
    epoch: int = -1

    @property
    def per_epoch(self) -> int:
        return len(self.labels) // self.recipe.batch_size

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images and labels of a training step. If several networks are trained, the
        first axis of the images and of the labels is the index of the network.
        """
        epoch, batch = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self._begin(epoch)
        first = batch * self.recipe.batch_size
        rows = self.orders[:, first : first + self.recipe.batch_size]
        images = self.images[rows.flatten()].to(self.labels.device)
        if self.recipe.augmentation is not None:
            drawn = torch.cat([d[r] for d, r in zip(self.drawn, rows, strict=True)])
            images = self.recipe.augmentation.applied(images, drawn)
        if not images.is_floating_point():
            images = images.float() / 255
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if len(self.seeds) == 1:
            return images, self.labels[rows[0]]
        return images.reshape(*rows.shape, *images.shape[1:]), self.labels[rows]

    def _begin(self, epoch: int) -> None:
        self.epoch, device = epoch, self.labels.device
        orders = torch.stack([self._order(seed, epoch) for seed in self.seeds])
        # With pinned memory, the CPU need not wait until the device has copied the data.
        orders = orders.pin_memory() if device.type == "cuda" else orders
        self.orders = orders.to(device, non_blocking=True)
        if (augmentation := self.recipe.augmentation) is not None:
            count = len(self.labels)
            self.drawn = [augmentation.drawn(seed, epoch, count, device) for seed in self.seeds]

    def _order(self, seed: int, epoch: int) -> Int[Tensor, " n"]:
        if not self.shuffle:
            return torch.arange(len(self.labels))
        return torch.randperm(len(self.labels), generator=generator(seed, "batches", epoch))
