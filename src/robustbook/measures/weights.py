"""The weights of a network as a distribution: range, tails, histogram.

Nayebi & Ganguli 2017 (arXiv 1703.09202), Section 5 and Figure 1. A layer's weights are those
without its biases, which the paper does not mention.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Histogram:
    """``density`` over equal bins from ``low`` to ``high``; it integrates to 1."""

    low: float
    high: float
    density: Float[Tensor, " bins"]


def layer_weights(net: nn.Module) -> list[Float[Tensor, "units ..."]]:
    """The weights of each layer from input to output, without biases."""
    return [p.detach() for p in net.parameters() if p.ndim > 1]


def excess_kurtosis(values: Float[Tensor, "..."]) -> float:
    """m4 / m2^2 - 3 with central moments over all values: 0 for a Gaussian, at least -2.

    Raises ``ValueError`` where all values are the same, which have no shape.
    """
    _ends(values)
    wide = values.double()
    square = (wide - wide.mean()).square()
    return float(square.square().mean() / square.mean().square() - 3)


def histogram(values: Float[Tensor, "..."], bins: int) -> Histogram:
    """``bins`` equal bins from the smallest to the largest value, as a density.

    Raises ``ValueError`` where all values are the same.
    """
    low, high = _ends(values)
    counts = torch.histc(values.double(), bins, low, high)
    return Histogram(low, high, counts * bins / ((high - low) * values.numel()))


def _ends(values: Tensor) -> tuple[float, float]:
    low, high = (end.item() for end in torch.aminmax(values))
    if low == high:
        raise ValueError(f"values must not all be the same, got {values.numel()} times {low:g}")
    return low, high
