"""Compute the smallest adversarial perturbation of a two-prototype linear classifier, for weights
of any kurtosis.

The classifier is from Nayebi & Ganguli 2017, Section 8. An input is assigned to the nearer of two
orthogonal unit vectors, w1 and w2. An attack that adds plus or minus eps to every pixel of x = w1
succeeds if eps exceeds eps_min:

    eps_min = ||w1||_2^2 / ||w2 - w1||_1.                               (equation 14 of the paper)

The paper divides eps_min by the intensity of the input, which is "the average absolute value of a
nonzero component of w1". For the same weights, the ratio eps_min / intensity is larger if the
intensity is the median of |w1| instead of the mean.

Weights of excess kurtosis g are drawn from the Pearson type VII distribution of variance 1. The
paper's density is c [1 + x^2 / (2 + 6/g)]^(-5/2 - 3/g). The formula of the density is missing in
the copies of the paper that we could read, so we reconstructed it from the constant c that the
paper prints. The distribution is Student's t with nu = 4 + 6/g degrees of freedom, scaled by
sqrt((nu - 2) / nu); for g = 0 it is the Gaussian.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from robustbook.pearson import Intensity, check_intensity, degrees


def epsilon_min(w1: Float[Tensor, "*s n"], w2: Float[Tensor, "*s n"]) -> Float[Tensor, "*s"]:
    """Return eps_min (equation 14 of Nayebi & Ganguli 2017) for each pair of prototypes."""
    largest = _largest(w1)  # avoids squares that round to 0 or infinity
    relative = ((w1 / largest) ** 2).sum(-1) / ((w2 - w1) / largest).abs().sum(-1)
    return relative * largest.squeeze(-1)


def scaled_ratio(
    w1: Float[Tensor, "*s n"], w2: Float[Tensor, "*s n"], intensity: Intensity = "mean"
) -> Float[Tensor, "*s"]:
    """Return eps_min divided by the intensity of w1: the mean of |w1| over the nonzero components
    of w1, as in the paper, or their median if ``intensity`` is "median".

    The ratio does not change if both prototypes are multiplied by the same number. For an even
    number of components, the median is the smaller of the two middle components. Raises ValueError
    if all components of w1 are 0, or for an unknown ``intensity``.
    """
    check_intensity(intensity)
    _refuse_zero("w1", w1)
    sizes = torch.where(w1 != 0, w1.abs(), torch.nan)
    typical = sizes.nanmean(-1) if intensity == "mean" else sizes.nanmedian(-1).values
    return epsilon_min(w1, w2) / typical


def pearson_vii(
    kurtosis: float, shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Return random numbers with mean 0, variance 1 and excess kurtosis ``kurtosis``, in float64.

    The numbers are drawn by Bailey's polar method (Mathematics of Computation 62, 1994). If
    ``kurtosis`` is 0 (Gaussian), they are drawn by the Box-Muller method. From the same state of
    the generator, both methods use the same uniform random numbers for every kurtosis.
    """
    nu = degrees(kurtosis)
    spread, angle = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    exponential = -torch.log1p(-spread)
    if math.isinf(nu):
        return (2 * exponential).sqrt() * torch.cos(2 * math.pi * angle)
    radius = ((nu - 2) * torch.expm1(2 / nu * exponential)).sqrt()
    return radius * torch.cos(2 * math.pi * angle)


def resampled(
    weights: Float[Tensor, "..."], shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Return random samples of a network's weights, drawn with replacement, without subtracting
    their mean.

    Drawing with replacement gives the same distribution as the paper's inverse transform sampling
    from the weight distribution.
    """
    values = weights.flatten()
    return values[torch.randint(len(values), shape, generator=generator)]


def unit(w: Float[Tensor, "*s n"]) -> Float[Tensor, "*s n"]:
    """Return each vector divided by its l2 norm. Raises ValueError for a vector of zeros."""
    _refuse_zero("w", w)
    w = w / _largest(w)
    return w / (w**2).sum(-1, keepdim=True).sqrt()


def _largest(w: Tensor) -> Tensor:
    """Return the largest absolute component of each vector, and 1 for a vector of zeros."""
    found = w.abs().amax(-1, keepdim=True)
    return torch.where(found > 0, found, 1)


def _refuse_zero(name: str, vectors: Tensor) -> None:
    if bool((vectors == 0).all(-1).any()):
        raise ValueError(f"{name} must have a nonzero component in each vector, got zeros")
