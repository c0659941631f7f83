"""Read curves of accuracy against distortion: values between their points, and where two cross.

The book's pages use this too, so this module does not import torch.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Curve = Sequence[tuple[float, float]]
"""A curve: pairs (distortion, accuracy), in increasing order of distortion."""


def interpolated(curve: Curve, d: float) -> float | None:
    """Return the accuracy at distortion ``d`` by linear interpolation between the points of the
    curve, or None if ``d`` is outside their range.
    """
    value = float(between(curve, d))
    return None if math.isnan(value) else value


def between(curve: Curve, d: Any) -> Any:
    """Return the accuracies at the distortions ``d`` as in `interpolated`, with NaN outside the
    range of the curve.
    """
    at, accuracy = zip(*curve, strict=True)
    return np.interp(d, at, accuracy, left=math.nan, right=math.nan)


def crossover(first: Curve, second: Curve, grid: int = 1000) -> float | None:
    """Return the smallest distortion beyond which the second curve is nowhere below the first,
    compared at ``grid`` + 1 equally spaced distortions.
    """
    ds = np.linspace(0.0, min(first[-1][0], second[-1][0]), grid + 1)
    below = np.flatnonzero(~(between(second, ds) >= between(first, ds)))
    start = below[-1] + 1 if below.size else 0
    return float(ds[start]) if start < len(ds) else None
