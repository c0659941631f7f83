"""Define maxout networks and softmax regression, which Goodfellow, Shlens and Szegedy 2015 attack.

A maxout unit returns the largest of several linear functions of its inputs (Goodfellow et al. 2013,
arXiv 1302.4389). Dropout is applied to the input of the network and to the hidden units.
Goodfellow, Shlens and Szegedy 2015 state only the number of units of their maxout networks. The
remaining choices follow the maxout paper for MNIST: two layers, five linear functions (called
pieces) per unit, and the dropout rates.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .first_weights import check_narrow, draw_first_weights


class Maxout(nn.Module):
    """A layer of ``units`` units; each returns the maximum of ``pieces`` linear functions."""

    def __init__(self, inputs: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.utils.skip_init(nn.Linear, inputs, units * pieces)  # type: ignore[no-untyped-call]

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n units"]:
        all_pieces: Tensor = self.linear(x)
        return all_pieces.view(len(x), all_pieces.shape[1] // self.pieces, self.pieces).amax(2)


def maxout(generator: torch.Generator, narrow: int = 1, units: int = 240) -> nn.Sequential:
    """Return a network from 28 x 28 images to 10 logits with two maxout layers.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1, 2, 4 or 8; the number of units in each layer is divided by this number.
    ``units``: number of units in each layer: 240, or 1600 for the paper's large network.
    """
    check_narrow(narrow)
    wide = units // narrow
    net = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.2),
        Maxout(784, wide),
        nn.Dropout(0.5),
        Maxout(wide, wide),
        nn.Dropout(0.5),
        nn.utils.skip_init(nn.Linear, wide, 10),  # type: ignore[no-untyped-call]
    )
    draw_first_weights(net, generator, "torch")
    return net


def maxout_large(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return `maxout` with 1600 units."""
    return maxout(generator, narrow, 1600)


def softmax_regression(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return a linear network from 28 x 28 images to 10 logits; ``narrow`` must be 1."""
    if narrow != 1:
        raise ValueError(f"narrow must be 1, as a linear network has no width, got {narrow}")
    net = nn.Sequential(nn.Flatten(), nn.utils.skip_init(nn.Linear, 784, 10))  # type: ignore[no-untyped-call]
    draw_first_weights(net, generator, "torch")
    return net
