"""Compute prediction intervals for a further run of an experiment, and confidence intervals for
differences of means.

A paper reports a single run, so its number is compared with a *prediction* interval. This interval
is computed from our runs, and is likely to contain the result of another run. A confidence interval
for our mean would not show whether the paper's number agrees with ours. With more and more seeds,
it would become arbitrarily narrow, but the result of a single run would vary as much as with few
seeds.
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance

# scipy.stats has these functions too, but is slow to import.
from scipy.special import bdtrc, stdtrit

FULL = {"percent": 100.0, "fraction": 1.0}
WHOLE = 10_000
"""The number of test images of MNIST and CIFAR-10. A run on a whole test set has no error from the
choice of images.
"""


def quantile(df: float | int) -> float:
    """Return t(0.975, df), the factor of a two-sided 95 % interval."""
    return float(stdtrit(df, 0.975))


def prediction_interval(
    values: Sequence[float | int], *, unit: str = "none", images: int | None = None
) -> tuple[float, float]:
    """Return the 95 % prediction interval for the result of another run, computed from the values
    of n >= 1 independent runs:

        mean +- sqrt(t(0.975, n - 1)^2 s^2 (1 + 1/n) + 1.96^2 b)

    If `images` is k, the values are shares of k test images, in percent or as fractions (see
    `unit`). If k is less than `WHOLE`, b = p (1 - p) / k, where p is the mean share, because our k
    test images are a sample; otherwise b = 0. The factor of b is 1.96 instead of t, because b is
    not estimated from the n runs.

    If the paper used the same test images as we did, the interval is wider than necessary. If the
    paper used other images, and few of them, the interval is too narrow, because the choice of
    those images adds its own error.

    The interval of a share is clipped to the range of shares, and the interval of a count or an
    l-infinity norm is clipped to 0 and above. With a single run, both ends are the value itself,
    because one run does not show how much runs vary.
    """
    if not values:
        raise ValueError("values must hold at least one run, got none")
    if images is not None and (unit not in FULL or images < 1):
        raise ValueError(
            f"images needs unit percent or fraction and 1 or more, got {unit!r}, {images}"
        )
    n, mean = len(values), fmean(values)
    if n == 1:
        return mean, mean
    spread = variance(values) * (1 + 1 / n)
    if images is None:
        half = quantile(n - 1) * math.sqrt(spread)
        return max(mean - half, 0.0) if unit in ("count", "linf") else mean - half, mean + half
    error = binomial_error(mean, n, unit, images)
    half = math.hypot(quantile(n - 1) * math.sqrt(spread), error)
    return max(mean - half, 0.0), min(mean + half, FULL[unit])


def mean_error(values: Sequence[float | int]) -> float:
    """Return half the width of the 95 % confidence interval of the mean of two or more runs."""
    return quantile(len(values) - 1) * math.sqrt(variance(values) / len(values))


def binomial_error(mean: float, n: int, unit: str, images: int | None) -> float:
    """Return how much the choice of test images contributes to the half-width of the 95 %
    prediction interval of n runs. Return 0 for a single run, for a whole test set, and for values
    that are not shares of test images.
    """
    if images is None or images >= WHOLE or n < 2:
        return 0.0
    share = mean / FULL[unit]
    return FULL[unit] * quantile(math.inf) * math.sqrt(share * (1 - share) / images)


def sampling_error(value: float, unit: str, images: int | None) -> float:
    """Return the half-width of the 95 % interval of a single run, if only the choice of test images
    is random. Return 0 for a value that is not a share of test images.

    The interval is from Agresti and Coull 1998. It adds two successes and two failures to the
    counts, so that the half-width is not 0 for a share of 0 or 1.
    """
    if images is None:
        return 0.0
    share = (value / FULL[unit] * images + 2) / (images + 4)
    return FULL[unit] * quantile(math.inf) * math.sqrt(share * (1 - share) / (images + 4))


def binomial_tail(k: int, n: int, probability: float) -> float:
    """Return the probability of k or more successes in n trials; k is 1 or more."""
    return float(bdtrc(k - 1, n, probability))


def mostly(ahead: int, pairs: int) -> bool:
    """Return whether so many of ``pairs`` comparisons are improbable (below 2.5 %) if both outcomes
    of a comparison are equally probable: a one-sided sign test.
    """
    return bool(ahead) and binomial_tail(ahead, pairs, 0.5) < 0.025


def difference_interval(
    ours: Sequence[float | int], partners: Sequence[float | int], *, paired: bool
) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of ``ours`` minus the mean of ``partners``.

    If `paired`, the i-th values of both come from the same seed, and Student's t is applied to
    their differences. Otherwise the interval is Welch's, which does not assume equal variances. If
    ``ours`` or ``partners`` has only one value, both ends are the difference of the means.
    """
    difference = fmean(ours) - fmean(partners)
    if min(len(ours), len(partners)) < 2:
        return difference, difference
    if paired:
        half = mean_error([a - b for a, b in zip(ours, partners, strict=True)])
        return difference - half, difference + half
    a, b = variance(ours) / len(ours), variance(partners) / len(partners)
    if a + b == 0:
        return difference, difference
    df = (a + b) ** 2 / (a**2 / (len(ours) - 1) + b**2 / (len(partners) - 1))
    half = quantile(df) * math.sqrt(a + b)
    return difference - half, difference + half


def share_difference(
    first: float, second: float, images: int, of_second: int | None = None
) -> tuple[float, float]:
    """Return the 95 % confidence interval of the first of two shares minus the second, in per cent.

    ``images``: the number of test images of the first share.
    ``of_second``: the number of test images of the second share; by default equal to ``images``.

    The interval is from Agresti and Caffo 2000. It adds one success and one failure to each count,
    so that its width is not 0 for shares of 0 or 100 %. The two sets of images count as
    independent. If both shares come from the same images, the interval is usually too wide, so some
    real differences are missed.
    """
    counts = images, of_second or images
    p, q = ((x / 100 * n + 1) / (n + 2) for x, n in zip((first, second), counts, strict=True))
    half = quantile(math.inf) * math.hypot(
        *(math.sqrt(x * (1 - x) / (n + 2)) for x, n in zip((p, q), counts, strict=True))
    )
    return 100 * (p - q - half), 100 * (p - q + half)


def clearly_above(first: float, second: float, images: int, of_second: int | None = None) -> bool:
    """Return whether the interval of `share_difference` is above 0."""
    return share_difference(first, second, images, of_second)[0] > 0


def clearly_differ(first: float, second: float, images: int, of_second: int | None = None) -> bool:
    """Return whether the interval of `share_difference` does not contain 0."""
    low, high = share_difference(first, second, images, of_second)
    return low > 0 or high < 0


def clearly_ordered(first: float, second: float, images: int) -> bool | None:
    """Return whether the first of two shares is the larger one, or None if the interval of
    `share_difference` contains 0.
    """
    return first > second if clearly_differ(first, second, images) else None
