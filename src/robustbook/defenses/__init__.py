"""Defenses: training objectives, Parseval's update of the weights, denoising blocks, and noise
layers with an ensemble over noise draws. A training objective is a function from a network and a
batch to named loss terms.
"""

from .adversarial import adversarial_training
from .bounded import BoundedReLU, bounded
from .deep_defense import deep_defense
from .denoising import Denoising, denoised
from .distillation import distillation, soft_targets
from .freezing import Frozen
from .parseval import parseval
from .saturation import (
    Layered,
    Penalty,
    linear_penalty,
    relu_penalty,
    saturation,
    sigmoid_penalty,
)
from .self_ensemble import Noise, Noisy, ensemble, noisy, prototype

__all__ = [
    "BoundedReLU",
    "Denoising",
    "Frozen",
    "Layered",
    "Noise",
    "Noisy",
    "Penalty",
    "adversarial_training",
    "bounded",
    "deep_defense",
    "denoised",
    "distillation",
    "ensemble",
    "linear_penalty",
    "noisy",
    "parseval",
    "prototype",
    "relu_penalty",
    "saturation",
    "sigmoid_penalty",
    "soft_targets",
]
