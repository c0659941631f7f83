"""Attacks on image classifiers: plain functions from a model and images to `Adversarial`.

The room imports torch and itself, nothing else, and can be used alone. One file per algorithm;
beside them the parts they share: `checks` (what is refused), `goal` and `losses` (what is climbed,
and when an image is turned), `propagation` (the model, counted), `norms`, `noise`, `result`.
"""

from .fgsm import fgsm
from .losses import clipped_probabilities, cross_entropy, margin, squared_error
from .pgd import pgd
from .random_signs import random_signs
from .result import Adversarial

__all__ = [
    "Adversarial",
    "clipped_probabilities",
    "cross_entropy",
    "fgsm",
    "margin",
    "pgd",
    "random_signs",
    "squared_error",
]
