"""Measure the distribution of a network's weights: range, kurtosis, histogram.

The measurements follow Section 5 and Figure 1 of Nayebi & Ganguli 2017 (arXiv 1703.09202). Biases
are excluded; the paper does not mention them.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustbook.attacks.checks import check_count


@dataclass(frozen=True)
class Histogram:
    """A histogram over bins of equal width from ``low`` to ``high``; ``density`` has integral 1."""

    low: float
    high: float
    density: Float[Tensor, " bins"]


def layer_weights(net: nn.Module) -> list[Float[Tensor, "units ..."]]:
    """Return the weights of each layer from input to output, without biases."""
    return [p.detach() for p in net.parameters() if p.ndim > 1]


def excess_kurtosis(values: Float[Tensor, "..."]) -> float:
    """Return the excess kurtosis m4 / m2^2 - 3, computed from the central moments of all values.

    The excess kurtosis is 0 for a Gaussian, and it is at least -2. Raises ValueError if all values
    are equal, because the kurtosis is then 0 / 0, and for NaN or infinity.
    """
    _ends(values)
    wide = values.double()
    square = (wide - wide.mean()).square()
    return float(square.square().mean() / square.mean().square() - 3)


def histogram(values: Float[Tensor, "..."], bins: int) -> Histogram:
    """Return the histogram of the values as a density: ``bins`` bins of equal width reach from the
    smallest to the largest value.

    Raises ValueError if all values are equal, and for NaN or infinity.
    """
    bins = check_count("bins", bins)
    low, high = _ends(values)
    counts = torch.histc(values.double(), bins, low, high)
    return Histogram(low, high, counts * bins / ((high - low) * values.numel()))


def _ends(values: Tensor) -> tuple[float, float]:
    if not values.numel():
        raise ValueError("values must be one or more, got none")
    low, high = (end.item() for end in torch.aminmax(values))
    if not math.isfinite(high - low):
        raise ValueError(f"values must be finite, got values from {low:g} to {high:g}")
    if low == high:
        raise ValueError(f"values must not all be equal, got {values.numel()} times {low:g}")
    return low, high
