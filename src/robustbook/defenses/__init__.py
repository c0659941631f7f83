"""What protects a network: objectives (a network and a batch to named loss terms)."""

from .adversarial import adversarial_training
from .saturation import (
    Layered,
    Penalty,
    linear_penalty,
    relu_penalty,
    saturation,
    sigmoid_penalty,
)

__all__ = [
    "Layered",
    "Penalty",
    "adversarial_training",
    "linear_penalty",
    "relu_penalty",
    "saturation",
    "sigmoid_penalty",
]
