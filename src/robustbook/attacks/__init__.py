"""Attack image classifiers. An attack is a function from a model, images and labels to the attack's
result, an `Adversarial`.

This package imports only torch and jaxtyping, so it can be used without the rest of `robustbook`.
Each attack has its own module. The attacks share helper modules, such as these: `checks` validates
arguments, `losses` contains the loss functions, and `goal` contains the success criterion.
`propagation` makes forward and backward passes, and `result` contains the class `Adversarial`.
`drawing` defines the interface of randomised models, `noise` draws random numbers, and `norms`
computes norms and projections.
"""

from .adam import adam
from .apgd import apgd
from .autoattack import autoattack
from .carlini_wagner import carlini_wagner
from .ddn import ddn
from .deepfool import deepfool
from .drawing import Drawing
from .fab import fab
from .fgsm import fgsm
from .lbfgs import lbfgs
from .losses import (
    clipped_probabilities,
    cross_entropy,
    dlr,
    hinge,
    margin,
    squared_error,
    targeted_dlr,
)
from .penalised_lbfgs import penalised_lbfgs
from .pgd import pgd
from .propagation import FRESH
from .random_signs import random_signs
from .result import Adversarial
from .square import square
from .zoo import zoo

__all__ = [
    "FRESH",
    "Adversarial",
    "Drawing",
    "adam",
    "apgd",
    "autoattack",
    "carlini_wagner",
    "clipped_probabilities",
    "cross_entropy",
    "ddn",
    "deepfool",
    "dlr",
    "fab",
    "fgsm",
    "hinge",
    "lbfgs",
    "margin",
    "penalised_lbfgs",
    "pgd",
    "random_signs",
    "square",
    "squared_error",
    "targeted_dlr",
    "zoo",
]
