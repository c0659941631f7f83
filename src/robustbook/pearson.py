"""Compute the expected robustness of a linear classifier with two random weight vectors.

The robustness is the ratio of eps_min, the smallest eps of a successful l-infinity attack, to the
intensity of the input. `measures.prototypes` measures this ratio for random weight vectors; the
closed form here holds in the limit of many dimensions. The closed form is in a module without
torch, so that a page that only shows stored results need not import torch, which takes seconds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from scipy import special

Intensity = Literal["mean", "median"]


def degrees(kurtosis: float) -> float:
    """Return the degrees of freedom for which Student's t distribution has this excess kurtosis.

    Raises ValueError for a negative excess kurtosis.
    """
    if not kurtosis >= 0:
        raise ValueError(f"kurtosis must be an excess kurtosis of 0 or more, got {kurtosis}")
    return 4 + 6 / kurtosis if kurtosis else math.inf


def check_intensity(intensity: str) -> None:
    """Raise ValueError unless ``intensity`` is the name of an average: "mean" or "median"."""
    if intensity not in get_args(Intensity):
        raise ValueError(f"intensity must be one of mean, median, got {intensity!r}")


def expected_ratio(kurtosis: float, intensity: Intensity = "mean") -> float:
    """Return the ratio eps_min / intensity in the limit of many dimensions, for weights from a
    Pearson VII distribution.

    ``intensity``: "mean" if eps_min is divided by the mean of |w1|, as in the paper, or "median"
        for the median of |w1|. For independent weights x, x1 and x2, the limit is E[x^2] / (E|x1 -
        x2| E|x|). For "median", the median of |x| replaces E|x|.

    Raises ValueError for a negative excess kurtosis, and for an unknown ``intensity``.
    """
    return student_ratio(degrees(kurtosis), intensity)


def student_ratio(nu: float, intensity: Intensity = "mean") -> float:
    """Return the ratio of `expected_ratio` for weights from Student's t distribution with ``nu``
    degrees of freedom, more than 2. Up to 4 degrees of freedom, the kurtosis is infinite.
    """
    check_intensity(intensity)
    if not nu > 2:
        raise ValueError(f"nu must be above 2, got {nu}")
    if math.isinf(nu):
        difference, mean = 2 / math.sqrt(math.pi), math.sqrt(2 / math.pi)
        median = special.ndtri(0.75)
    else:
        scale, root = math.sqrt((nu - 2) / nu), math.sqrt(nu) / (nu - 1)
        log_beta = special.betaln(nu / 2, 0.5)
        mean = 2 * scale * root * math.exp(-log_beta)
        difference = 4 * scale * root * math.exp(special.betaln(0.5, nu - 0.5) - 2 * log_beta)
        median = scale * special.stdtrit(nu, 0.75)
    return float(1 / (difference * (mean if intensity == "mean" else median)))


def exact_gains(
    vanilla: Mapping[str, Sequence[float]], saturated: Mapping[str, Sequence[float]]
) -> list[float]:
    """Return for each layer by how many per cent the scaled ratio of the saturated network is
    larger than that of the vanilla network, with the exact smallest eps. Each argument maps "mean"
    (scaled ratios with the mean as intensity) and "cosine" to one number per layer.

    Equation 14 assumes orthogonal prototypes. For prototypes of equal length, the exact smallest
    eps is 1 minus their cosine times the formula.
    """
    plain, other = (
        [ratio * (1 - cosine) for ratio, cosine in zip(of["mean"], of["cosine"], strict=True)]
        for of in (vanilla, saturated)
    )
    return [100 * (a / b - 1) for a, b in zip(other, plain, strict=True)]
