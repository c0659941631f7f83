"""Defenses: training objectives, Parseval's update of the weights, noise layers with an ensemble
over noise draws, and transformations of the image. A training objective is a function from a
network and a batch to named loss terms.
"""

from .adversarial import adversarial_training
from .bounded import BoundedReLU, bounded
from .deep_defense import deep_defense
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
from .smoothing import Smoothed, smoothed
from .transformations import (
    Compressed,
    ResizedPadded,
    compressed,
    jpeg,
    resize_and_pad,
    resized_padded,
)

__all__ = [
    "BoundedReLU",
    "Compressed",
    "Frozen",
    "Layered",
    "Noise",
    "Noisy",
    "Penalty",
    "ResizedPadded",
    "Smoothed",
    "adversarial_training",
    "bounded",
    "compressed",
    "deep_defense",
    "distillation",
    "ensemble",
    "jpeg",
    "linear_penalty",
    "noisy",
    "parseval",
    "prototype",
    "relu_penalty",
    "resize_and_pad",
    "resized_padded",
    "saturation",
    "sigmoid_penalty",
    "smoothed",
    "soft_targets",
]
