"""Load the images of Deep Defense after MatConvNet's preprocessing, in the form that the networks
receive.

The preprocessing subtracts the mean image from the grey levels (0 to 255) of gray images, and
whitens colour images. As in the released code, most attacks and measurements of the chapter work on
preprocessed images, in whose units perturbations, norms and eps are measured. Only the studies
`today`, `presets` and `replication`, and one measurement of `claims`, work on images with pixels in
[0, 1].
"""

import copy
from functools import cache

import torch
from torch import Tensor, nn

from robustbook.data import load
from robustbook.networks import GreyLevels, mean_image, preprocessed, whitening

COLOURED = ("scenes", "cifar10")


def preprocess(data: str) -> nn.Module:
    """Return the preprocessing as a module for images in [0, 1]; its constants are computed from
    the training set.

    Each call returns a new module, because moving a module to a device changes it in place.
    """
    return copy.deepcopy(_preprocess(data))


@cache
def _preprocess(data: str) -> nn.Module:
    images = load(data, "train").images
    if data == "scenes":  # each digit occurs twice, and one half of the set is enough
        images = images[: len(images) // 2]
    return whitening(images) if data in COLOURED else GreyLevels(mean_image(images))


@cache
def numbers(data: str, split: str, images: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the preprocessed images of a split and their labels.

    ``images``: the number of images, evenly spaced over the split; with None, all.

    All callers share the returned tensors, so do not change them in place.
    """
    found = load(data, split)
    if images is not None:
        found = found.subset(torch.arange(images) * len(found.images) // images)
    return preprocessed(_preprocess(data), found.images), found.labels


def box(data: str, device: str) -> tuple[Tensor, Tensor] | None:
    """Return the smallest and the largest value that each preprocessed pixel can have.

    For colour images return None, because whitening mixes the pixels of an image.
    """
    if data in COLOURED:
        return None
    shape = load(data, "train").images.shape[1:]
    low, high = (_preprocess(data)(torch.full((1, *shape), end)).to(device) for end in (0.0, 1.0))
    return low, high
