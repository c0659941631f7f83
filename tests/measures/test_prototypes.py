"""The two-prototype classifier: closed forms, the attack itself, and the distributions."""

import inspect
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from robustbook.measures import (
    epsilon_min,
    expected_ratio,
    pearson_vii,
    resampled,
    scaled_ratio,
    unit,
)
from robustbook.randomness import generator


def test_eps_min_is_where_the_nearest_prototype_changes() -> None:
    """Equation 14 agrees with the attack: just below it w1 keeps its class, just above it does
    not.
    """
    w = torch.randn(2, 50, generator=generator(0, "test"), dtype=torch.float64)
    w1 = w[0]
    w2 = unit(w[1] - (w[1] @ w1) / (w1 @ w1) * w1) * w1.norm()  # orthogonal, equally long
    eps = epsilon_min(w1, w2)
    for factor, nearest in ((0.999, 0), (1.001, 1)):
        x = w1 + factor * eps * (w2 - w1).sign()
        distances = torch.stack([(x - w1).norm(), (x - w2).norm()])
        assert int(distances.argmin()) == nearest


@pytest.mark.parametrize("intensity", ["mean", "median"])
def test_the_ratio_has_no_scale(intensity: str) -> None:
    """A brighter image needs a proportionally larger perturbation."""
    w = torch.randn(2, 3, 40, generator=generator(0, "test"), dtype=torch.float64)
    ratio = scaled_ratio(w[0], w[1], intensity)
    assert ratio.shape == (3,)
    torch.testing.assert_close(scaled_ratio(7 * w[0], 7 * w[1], intensity), ratio)


def test_zero_components_do_not_count_as_intensity() -> None:
    """Section 8: the average absolute value of a nonzero component."""
    w1 = torch.tensor([0.0, 3.0, 0.0, -5.0, 4.0])
    w2 = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    eps = 50 / 13
    assert scaled_ratio(w1, w2).item() == pytest.approx(eps / 4)
    w1[4] = 40.0
    assert scaled_ratio(w1, w2, "median").item() == pytest.approx((34 + 1600) / 49 / 5)


@pytest.mark.parametrize("kurtosis", [0.0, 0.5, 5.0, 100.0, 1e9])
def test_pearson_vii_is_the_scaled_student(kurtosis: float) -> None:
    """Another distribution would shift the whole curve."""
    x = pearson_vii(kurtosis, (50_000,), generator(0, "test")).numpy()
    if kurtosis:
        nu = 4 + 6 / kurtosis
        law = stats.t(nu, scale=math.sqrt((nu - 2) / nu))
    else:
        law = stats.norm()
    assert stats.kstest(x, law.cdf).pvalue > 0.01  # the seed is fixed, so no failure by chance
    assert law.std() == pytest.approx(1)


def test_pearson_vii_is_the_papers_density() -> None:
    """c [1 + x^2 / (2 + 6/g)]^(-5/2 - 3/g) with the paper's c is that Student's density."""
    x = np.linspace(-6, 6, 25)
    for g in (0.5, 5.0, 100.0):
        c = 1 / (math.sqrt(2 + 6 / g) * special.beta(2 + 3 / g, 0.5))
        nu = 4 + 6 / g
        density = c * (1 + x**2 / (2 + 6 / g)) ** (-2.5 - 3 / g)
        assert density == pytest.approx(stats.t(nu, scale=math.sqrt((nu - 2) / nu)).pdf(x))
        assert stats.t(nu).stats("k") == pytest.approx(g)


def test_the_same_draw_at_every_kurtosis() -> None:
    """Draws at two kurtoses differ only in the distribution, and approach the Gaussian
    continuously.
    """
    near, gaussian = (pearson_vii(k, (1000,), generator(3, "test")) for k in (1e-9, 0.0))
    torch.testing.assert_close(near, gaussian, rtol=1e-6, atol=1e-9)


def test_closed_forms() -> None:
    """The Gaussian gives pi / (2 sqrt 2); the gain is 40 % only with the median, 22 % with the
    mean.
    """
    gaussian = expected_ratio(0.0)
    assert gaussian == pytest.approx(math.pi / (2 * math.sqrt(2)))
    assert expected_ratio(1e-7) == pytest.approx(gaussian, rel=1e-6)
    assert expected_ratio(10.0) == pytest.approx(1.2959, abs=1e-4)
    assert expected_ratio(math.inf) == pytest.approx(1.3581, abs=1e-4)
    assert expected_ratio(math.inf) / gaussian - 1 == pytest.approx(0.223, abs=1e-3)
    median = expected_ratio(math.inf, "median") / expected_ratio(0.0, "median") - 1
    assert median == pytest.approx(0.395, abs=1e-3)


@pytest.mark.parametrize("kurtosis", [1.0, 20.0])
def test_closed_forms_are_the_integrals(kurtosis: float) -> None:
    """E|x| and E|x1 - x2| by quadrature; the second is 2 times the integral of F (1 - F)."""
    nu = 4 + 6 / kurtosis
    law = stats.t(nu, scale=math.sqrt((nu - 2) / nu))
    mean = 2 * integrate.quad(lambda x: x * law.pdf(x), 0, np.inf)[0]
    difference = 4 * integrate.quad(lambda x: law.cdf(x) * law.sf(x), 0, np.inf)[0]
    assert expected_ratio(kurtosis) == pytest.approx(1 / (difference * mean), rel=1e-6)
    assert expected_ratio(kurtosis, "median") == pytest.approx(1 / (difference * law.ppf(0.75)))


def test_many_components_come_to_the_closed_form() -> None:
    """One draw of 20,000 Gaussian components has a standard deviation of 0.005 (ten: 0.0016)."""
    w = unit(pearson_vii(0.0, (2, 10, 20_000), generator(0, "test")))
    for intensity in ("mean", "median"):
        mean = scaled_ratio(w[0], w[1], intensity).mean().item()
        assert mean == pytest.approx(expected_ratio(0.0, intensity), abs=0.006)


def test_resampling_draws_from_the_weights_with_replacement() -> None:
    """Every weight is equally likely, and the ratio approaches that of the empirical
    distribution.
    """
    weights = torch.tensor([[1.0, -2.0], [3.0, -2.0]], dtype=torch.float64)
    drawn = resampled(weights, (2, 40_000), generator(0, "test"))
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [-2.0, 1.0, 3.0]
    assert (counts / drawn.numel()).tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.01)


def test_a_negative_kurtosis_is_refused() -> None:
    for wrong in (-0.1, math.nan):
        with pytest.raises(ValueError, match="kurtosis must be an excess kurtosis of 0 or more"):
            expected_ratio(wrong)
    with pytest.raises(ValueError, match="kurtosis must be"):
        pearson_vii(-1.0, (2,), generator(0))


def test_an_unknown_intensity_is_refused() -> None:
    """It would silently mean the median."""
    unchecked = inspect.unwrap(scaled_ratio)  # without the tests' type checks
    for ask in (
        lambda: expected_ratio(1.0, "Mean"),
        lambda: unchecked(torch.ones(2), -torch.ones(2), "Mean"),
    ):
        with pytest.raises(ValueError, match="intensity must be one of mean, median, got 'Mean'"):
            ask()


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e20])
def test_no_square_is_rounded_to_zero_or_infinity(scale: float) -> None:
    """In float32 the square of 1e-23 is 0, and that of 1e20 infinite."""
    w1 = torch.tensor([3.0, 1.0, 2.0, 0.0])
    w2 = torch.tensor([1.0, -1.0, 0.0, 2.0])
    assert epsilon_min(w1 * scale, w2 * scale).item() / scale == pytest.approx(14 / 8, rel=1e-5)
    assert scaled_ratio(w1 * scale, w2 * scale).item() == pytest.approx(14 / 8 / 2, rel=1e-5)
    torch.testing.assert_close(unit(w1 * scale), w1 / 14**0.5)
