"""Attacks on image classifiers: plain functions from a model and images to `Adversarial`.

It imports torch and itself, nothing else, and can be used alone. There is one file per algorithm.
Beside them are the parts they share: `checks` (what is refused), `goal` and `losses` (what is
raised, and when an attack has succeeded), `propagation` (the model, counted), `drawing` (randomised
models), `norms`, `noise`, `result`.
"""

from .adam import adam
from .carlini_wagner import carlini_wagner
from .ddn import ddn
from .deepfool import deepfool
from .drawing import Drawing
from .fgsm import fgsm
from .lbfgs import lbfgs
from .losses import clipped_probabilities, cross_entropy, margin, squared_error
from .pgd import pgd
from .random_signs import random_signs
from .result import Adversarial
from .square import square
from .zoo import zoo

__all__ = [
    "Adversarial",
    "Drawing",
    "adam",
    "carlini_wagner",
    "clipped_probabilities",
    "cross_entropy",
    "ddn",
    "deepfool",
    "fgsm",
    "lbfgs",
    "margin",
    "pgd",
    "random_signs",
    "square",
    "squared_error",
    "zoo",
]
