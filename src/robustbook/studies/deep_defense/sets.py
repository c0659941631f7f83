"""The images of Deep Defense as its networks see them: after MatConvNet's preprocessing.

As in the released code, everything in the chapter takes place behind the preprocessing: grey levels
minus the mean image for the gray sets, whitened colours for the others. Perturbations, norms and
eps are in these numbers. Only the page on today's attacks works with pixels in [0, 1].
"""

import copy
from functools import cache

import torch
from torch import Tensor, nn

from robustbook.data import load
from robustbook.networks import GreyLevels, mean_image, preprocessed, whitening

COLOURED = ("scenes", "cifar10")


def preprocess(data: str) -> nn.Module:
    """From images in [0, 1] to the networks' numbers, with constants of the training set.

    Each caller gets a module of its own, as moving a module to a device changes it in place.
    """
    return copy.deepcopy(_preprocess(data))


@cache
def _preprocess(data: str) -> nn.Module:
    images = load(data, "train").images
    if data == "scenes":  # each digit once is enough, and three times as quick
        images = images[: len(images) // 2]
    return whitening(images) if data in COLOURED else GreyLevels(mean_image(images))


@cache
def numbers(data: str, split: str, images: int | None = None) -> tuple[Tensor, Tensor]:
    """What the networks see of a split, and its labels; ``images``: so many, evenly spaced.

    All callers share these tensors, so they must not be changed in place.
    """
    found = load(data, split)
    if images is not None:
        found = found.subset(torch.arange(images) * len(found.images) // images)
    return preprocessed(_preprocess(data), found.images), found.labels


def box(data: str, device: str) -> tuple[Tensor, Tensor] | None:
    """The least and the greatest number of each pixel; None for coloured sets, where whitening
    mixes pixels."""
    if data in COLOURED:
        return None
    shape = load(data, "train").images.shape[1:]
    low, high = (_preprocess(data)(torch.full((1, *shape), end)).to(device) for end in (0.0, 1.0))
    return low, high
