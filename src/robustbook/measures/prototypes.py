"""The smallest perturbation of a linear classifier of two prototypes, for weights of any kurtosis.

Nayebi & Ganguli 2017, Section 8. An input belongs to the nearer of two orthogonal unit vectors, w1
and w2. An attack that changes every pixel by the same size moves x = w1 to the other class if that
size is above

    eps_min = ||w1||_2^2 / ||w2 - w1||_1.                                            (equation 14)

The paper divides by the intensity of the input, "the average absolute value of a nonzero component
of w1". With the median in place of the mean the same weights give larger ratios.

Weights of excess kurtosis g are drawn from the Pearson type VII distribution of variance 1. The
paper's density is c [1 + x^2 / (2 + 6/g)]^(-5/2 - 3/g). (We reconstructed it from the printed c:
the formula is lost in the copies that we could read.) This is a Student t with nu = 4 + 6/g degrees
of freedom, times sqrt((nu - 2) / nu). For g = 0 it is the Gaussian.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Intensity = Literal["mean", "median"]


def epsilon_min(w1: Float[Tensor, "*s n"], w2: Float[Tensor, "*s n"]) -> Float[Tensor, "*s"]:
    """Equation 14 for each pair of prototypes."""
    return (w1**2).sum(-1) / (w2 - w1).abs().sum(-1)


def scaled_ratio(
    w1: Float[Tensor, "*s n"], w2: Float[Tensor, "*s n"], intensity: Intensity = "mean"
) -> Float[Tensor, "*s"]:
    """eps_min divided by the mean (as printed) or median of |w1|, over its components other than 0.

    The ratio does not change if both prototypes are multiplied by one number. Of an even number of
    components the median is the smaller of the two middle ones. Raises ValueError where w1 is 0.
    """
    _refuse_zero("w1", w1)
    sizes = torch.where(w1 != 0, w1.abs(), torch.nan)
    typical = sizes.nanmean(-1) if intensity == "mean" else sizes.nanmedian(-1).values
    return epsilon_min(w1, w2) / typical


def pearson_vii(
    kurtosis: float, shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Draws of mean 0, variance 1 and excess kurtosis ``kurtosis``, in float64.

    Bailey's polar method (Mathematics of Computation 62, 1994); for the Gaussian it is that of Box
    and Muller. A generator in the same state gives the same uniform draws for every kurtosis.
    """
    nu = _degrees(kurtosis)
    spread, angle = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    exponential = -torch.log1p(-spread)
    if math.isinf(nu):
        return (2 * exponential).sqrt() * torch.cos(2 * math.pi * angle)
    radius = ((nu - 2) * torch.expm1(2 / nu * exponential)).sqrt()
    return radius * torch.cos(2 * math.pi * angle)


def resampled(
    weights: Float[Tensor, "..."], shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Draws with replacement from a network's own weights, which are not centred.

    The paper's inverse transform sampling from their distribution amounts to this.
    """
    values = weights.flatten()
    return values[torch.randint(len(values), shape, generator=generator)]


def unit(w: Float[Tensor, "*s n"]) -> Float[Tensor, "*s n"]:
    """Each vector divided by its l2 norm. Raises ValueError for a vector of zeros."""
    _refuse_zero("w", w)
    return w / (w**2).sum(-1, keepdim=True).sqrt()


def _degrees(kurtosis: float) -> float:
    """Degrees of freedom of Student's t."""
    if not kurtosis >= 0:
        raise ValueError(f"kurtosis must be an excess kurtosis of 0 or more, got {kurtosis}")
    return 4 + 6 / kurtosis if kurtosis else math.inf


def _refuse_zero(name: str, vectors: Tensor) -> None:
    if bool((vectors == 0).all(-1).any()):
        raise ValueError(f"{name} must have a component other than 0 in each vector, got zeros")
