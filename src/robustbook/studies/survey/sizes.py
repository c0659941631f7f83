"""Define sizes of the experiments, by profile.

The book's pages state these numbers too, so this module does not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Denoising:
    """The size of the networks for feature denoising and of their training.

    ``narrow``: the number by which the channel counts of ResNet-18 are divided.
    ``images``: the number of training images, or None for all images.
    ``steps``, ``batch``: the number of training steps, and the number of images in a step.
    ``inner``: the number of attack steps in a step of adversarial training.
    """

    narrow: int
    images: int | None
    steps: int
    batch: int
    inner: int


DENOISING: Mapping[str, Denoising] = {
    "quick": Denoising(8, None, 16, 32, 1),
    "reduced": Denoising(8, 10_000, 312, 64, 1),
    "paper": Denoising(1, None, 30 * 390, 128, 10),
}
FOLLOWED: Mapping[tuple[str, str], int] = {
    ("quick", "mnist"): 50,
    ("reduced", "mnist"): 200,
    ("reduced", "cifar10"): 200,
    ("paper", "mnist"): 500,
    ("paper", "cifar10"): 200,
}
"""For fast training, the number of test images that are attacked after each epoch, by profile and
data set.
"""
INNER: Mapping[tuple[str, str], int] = {
    ("quick", "mnist"): 3,
    ("reduced", "mnist"): 5,
    ("reduced", "cifar10"): 7,
    ("paper", "mnist"): 10,
    ("paper", "cifar10"): 7,
}
"""For fast training, the number of PGD steps in a training step, by profile and data set."""
RESTARTS: Mapping[tuple[str, str], int] = {
    ("quick", "mnist"): 2,
    ("reduced", "mnist"): 5,
    ("reduced", "cifar10"): 5,
    ("paper", "mnist"): 10,
    ("paper", "cifar10"): 10,
}
"""For fast training, the number of random starts of PGD with restarts, by profile and data set."""
SURFACES = {"quick": 4, "reduced": 20, "paper": 20}
"""For logit pairing, the number of test images for which a loss surface is computed."""
DEEP_EPOCHS, POOLED_EPOCHS = {"quick": 8, "paper": 30}, {"quick": 8, "paper": 15}
"""For Szegedy et al., the number of training epochs of networks with hidden layers, without and
with a pool of adversarial images.
"""
RADIUS = 8
"""For input transformations, the l-infinity radius of FGSM and PGD, in units of 1/255."""
PRINTED_HALVES: Mapping[str, str] = {
    "fc100-100-10 other half": "fc100-100-10-other-half",
    "fc123-456-10 first half": "fc123-456-10",
}
"""For Szegedy et al., the networks with a printed error on adversarial images of FC100-100-10, and
their names in the ids of these numbers. FC123-456-10 and FC100-100-10 share their training half.
"""
