"""The architectures of the papers: modules from images in [0, 1] to logits."""

from .build import Name, Start, build, initialise
from .cnn import CNN
from .mlp import MLP, relu_mlp, sigmoid_mlp

__all__ = ["CNN", "MLP", "Name", "Start", "build", "initialise", "relu_mlp", "sigmoid_mlp"]
