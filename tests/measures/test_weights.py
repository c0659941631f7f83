"""Tails and histograms of weights, compared with closed forms and scipy."""

import pytest
import torch
from scipy import stats

from robustbook.measures import excess_kurtosis, histogram, layer_weights
from robustbook.networks import CNN, initialise, sigmoid_mlp
from robustbook.randomness import generator


def weights(n: int = 30_000) -> torch.Tensor:
    return 0.3 + torch.randn(n, generator=generator(0)) ** 3


def test_kurtosis_is_scipys() -> None:
    """It is the central fourth moment over the squared second, minus 3, without a size
    correction.
    """
    values = weights()
    expected = stats.kurtosis(values.double().numpy(), fisher=True, bias=True)
    assert excess_kurtosis(values) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("p", [0.5, 0.1, 0.01])
def test_kurtosis_of_two_points_is_the_closed_form(p: float) -> None:
    """(1 - 6 p (1 - p)) / (p (1 - p)) is -2, the smallest possible value, for a fair coin."""
    n = 1000
    values = torch.zeros(n)
    values[: round(p * n)] = 7.0
    assert excess_kurtosis(values) == pytest.approx((1 - 6 * p * (1 - p)) / (p * (1 - p)))


def test_kurtosis_does_not_see_scale_shift_or_order() -> None:
    """A larger range of weights alone does not change it; powers of 2 keep every digit."""
    values = weights(1000).double()
    same = excess_kurtosis(values)
    assert excess_kurtosis(1024 * values) == same
    assert excess_kurtosis(-values) == pytest.approx(same, rel=1e-12)
    assert excess_kurtosis(values + 100) == pytest.approx(same, rel=1e-9)
    assert excess_kurtosis(values.flip(0).reshape(10, 100)) == pytest.approx(same, rel=1e-12)


def test_kurtosis_of_a_large_offset_in_float32_is_not_lost() -> None:
    """In float32 the moments would be only rounding errors."""
    values = 1000 + weights()
    expected = stats.kurtosis(values.double().numpy())
    assert excess_kurtosis(values) == pytest.approx(expected, rel=1e-6)


def test_histogram_is_a_density_over_the_range() -> None:
    """Its integral is 1, its ends are the extremes, and its mean is the sample's to half a bin."""
    values = weights()
    found = histogram(values, 50)
    assert (found.low, found.high) == (values.min().item(), values.max().item())
    width = (found.high - found.low) / 50
    assert found.density.sum().item() * width == pytest.approx(1)
    middles = found.low + width * (torch.arange(50) + 0.5)
    mean = (found.density * middles).sum().item() * width
    assert mean == pytest.approx(values.mean().item(), abs=width / 2)


def test_histogram_counts_by_hand() -> None:
    """There are four bins of width 1 from 0 to 4; the largest value belongs to the last."""
    values = torch.tensor([[0.0, 0.5, 1.0], [2.5, 3.5, 4.0]])
    assert (6 * histogram(values, 4).density).tolist() == pytest.approx([2, 1, 1, 2])


@pytest.mark.parametrize("measure", [excess_kurtosis, lambda values: histogram(values, 5)])
def test_values_that_are_all_the_same_are_refused(measure) -> None:  # type: ignore[no-untyped-def]
    """0.1 is not exact in binary, so the kurtosis would be a ratio of rounding errors."""
    with pytest.raises(ValueError, match="values must not all be equal, got 10 times 0.1"):
        measure(torch.full((10,), 0.1))


@pytest.mark.parametrize("measure", [excess_kurtosis, lambda values: histogram(values, 5)])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(measure, wrong: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"values must be finite, got values from .* to {wrong}"):
        measure(torch.tensor([0.0, 1.0, wrong]))


def test_layer_weights_are_in_order_and_without_biases() -> None:
    """A bias among the weights would change the tails."""
    net = sigmoid_mlp(7)
    initialise(net, "normal", generator(0))
    found = layer_weights(net)
    assert [tuple(w.shape) for w in found] == [(7, 784), (7, 7), (10, 7)]
    assert all(torch.equal(w, layer.weight) for w, layer in zip(found, net.layers, strict=True))
    assert not any(w.requires_grad for w in found)
    assert [w.shape[0] for w in layer_weights(CNN())] == [32, 64, 1024, 10]
