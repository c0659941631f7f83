"""What protects a network: objectives (a network and a batch to named loss terms), and a
retraction of its weights."""

from .adversarial import adversarial_training
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

__all__ = [
    "Frozen",
    "Layered",
    "Penalty",
    "adversarial_training",
    "deep_defense",
    "distillation",
    "linear_penalty",
    "parseval",
    "relu_penalty",
    "saturation",
    "sigmoid_penalty",
    "soft_targets",
]
