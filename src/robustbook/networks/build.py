"""Build a network from its name and draw its initial weights."""

from typing import Literal, get_args

import torch
from torch import nn

from .cnn import CNN
from .mlp import relu_mlp, sigmoid_mlp

Name = Literal["sigmoid-mlp", "relu-mlp", "cnn"]
Start = Literal["xavier", "normal", "truncated"]


def build(name: Name, width: int = 0) -> CNN | nn.Module:
    """Return the network called ``name``, whose weights must still be drawn (see `initialise`).

    ``width`` is the number of units in each hidden layer of an MLP, or in the last hidden layer of
    the CNN. With 0, the CNN has the paper's width, 1024, and an MLP has the width 200, the smallest
    that the paper states.
    """
    if name == "sigmoid-mlp":
        return sigmoid_mlp(width or 200)
    if name == "relu-mlp":
        return relu_mlp(width or 200)
    if name == "cnn":
        return CNN(width or 1024)
    raise ValueError(f"network must be one of {', '.join(get_args(Name))}, got {name!r}")


@torch.no_grad()
def initialise(net: nn.Module, start: Start, generator: torch.Generator) -> None:
    """Draw the initial weights of the network in place.

    ``xavier``: weights are uniform with Glorot & Bengio's variance, and biases are 0.
    ``normal``: weights are drawn from N(0, 1), the default of TensorFlow's ``random_normal`` in
        2017, and biases are 0.
    ``truncated``: weights are normal with standard deviation 0.1, truncated at two standard
        deviations, and biases are 0.1, as in the convolutional network of TensorFlow's tutorial of
        2017.
    """
    if start not in get_args(Start):
        raise ValueError(f"start must be one of {', '.join(get_args(Start))}, got {start!r}")
    for name, values in net.named_parameters():
        if name.endswith("bias"):
            values.fill_(0.1 if start == "truncated" else 0.0)
        elif start == "xavier":
            nn.init.xavier_uniform_(values, generator=generator)
        elif start == "normal":
            nn.init.normal_(values, generator=generator)
        else:
            nn.init.trunc_normal_(values, std=0.1, a=-0.2, b=0.2, generator=generator)
