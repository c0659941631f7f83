"""Certified radii: closed forms of the limits, and a classifier whose true radius is known."""

import inspect
import math
from typing import Any

import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor

from robustbook.attacks.noise import normal
from robustbook.measures import certified, lower_limit, votes
from robustbook.measures.certificate import ABSTAIN


def test_the_limit_has_closed_forms_at_its_ends() -> None:
    """n of n successes: alpha^(1/n). One: 1 - (1 - alpha)^(1/n). None: 0."""
    n, alpha = 20, 0.01
    found = lower_limit(torch.tensor([0, 1, n]), n, alpha)
    assert found.tolist() == pytest.approx([0, 1 - (1 - alpha) ** (1 / n), alpha ** (1 / n)])


def test_the_limit_is_that_of_scipy() -> None:
    ks = range(0, 101, 7)
    expected = [
        binomtest(k, 100, alternative="greater").proportion_ci(confidence_level=0.95).low
        for k in ks
    ]
    found = lower_limit(torch.tensor(list(ks)), 100, 0.05)
    assert found.tolist() == pytest.approx(expected)


def test_the_limit_is_rarely_too_high() -> None:
    """The probability of a limit above p, summed over all counts, is at most alpha."""
    n, alpha = 50, 0.05
    limits = lower_limit(torch.arange(n + 1), n, alpha)
    for p in (0.02, 0.3, 0.5, 0.77, 0.98):
        chances = torch.tensor([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
        assert chances[limits > p].sum() <= alpha


class HalfSpace:
    """A classifier with noise on the point: class 1 if the first coordinate is above 0."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def at(self, keys: Tensor, draw: Tensor) -> "HalfSpace":
        self.noise = normal(0, keys, draw, (2,), torch.float64)
        return self

    def __call__(self, points: Tensor) -> Tensor:
        first = (points + self.sigma * self.noise)[:, 0]
        return torch.stack([torch.zeros_like(first), first], 1)


def test_the_radius_of_a_half_space_is_the_distance_to_it() -> None:
    """Cohen et al., theorem 2 is tight there. The estimate is below, by as much as p's limit."""
    sigma, draws = 0.4, 4000
    points = torch.tensor([[0.1, 5.0], [0.5, 0.0], [-0.3, 1.0], [0.0, 0.0]], dtype=torch.float64)
    keys = torch.arange(4)
    net = HalfSpace(sigma)
    choice = votes(net, points, keys, draws=100, box=False)
    counts = votes(net, points, keys, draws=draws, start=100, box=False)
    answer, radius = certified(choice, counts, sigma=sigma, alpha=0.001)
    assert answer[:3].tolist() == [1, 1, 0] and answer[3] == ABSTAIN and radius[3] == 0
    distance = points[:3, 0].abs()
    assert bool((radius[:3] < distance).all())
    p = torch.from_numpy(norm.cdf(distance / sigma))
    expected = lower_limit((p * draws).round().long(), draws, 0.001)
    assert radius[:3].tolist() == pytest.approx((sigma * norm.ppf(expected)).tolist(), abs=0.03)


def test_votes_do_not_depend_on_the_batch() -> None:
    points, keys = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None].expand(6, 2), None
    keys = torch.tensor([5, 3, 9, 0, 1, 2])
    net = HalfSpace(1.0)
    whole = votes(net, points, keys, draws=30, box=False)
    parts = [
        votes(net, points[i : i + 1], keys[i : i + 1], draws=10, start=s, box=False)
        for i in range(6)
        for s in (0, 10, 20)
    ]
    assert torch.equal(whole, torch.cat(parts).view(6, 3, 2).sum(1))
    assert bool((whole.sum(1) == 30).all())


def test_bad_input_is_refused() -> None:
    counts = torch.tensor([[3, 7]])
    with pytest.raises(ValueError, match="alpha must be a probability between 0 and 1, got 0.0"):
        lower_limit(counts[0], 10, 0.0)
    with pytest.raises(ValueError, match=r"successes must be in 0\.\.6, got 3 to 7"):
        lower_limit(counts[0], 6)
    with pytest.raises(ValueError, match="sigma must be a finite number above 0, got 0.0"):
        certified(counts, counts, sigma=0.0)
    with pytest.raises(ValueError, match="counts must have equally many votes per image"):
        certified(counts.expand(2, 2), torch.tensor([[3, 7], [3, 6]]), sigma=1.0)
    with pytest.raises(ValueError, match="draws must be a whole number, 1 or more, got 0"):
        votes(HalfSpace(1.0), torch.zeros(1, 2), torch.tensor([0]), draws=0)
    with pytest.raises(ValueError, match="images must be one or more, got none"):
        votes(HalfSpace(1.0), torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), draws=1)
    unchecked = inspect.unwrap(votes)  # without the tests' type checks
    with pytest.raises(ValueError, match="model must be a randomised model"):
        unchecked(lambda x: x, torch.zeros(1, 2), torch.tensor([0]), draws=1)


SIX = torch.zeros(2, 6, dtype=torch.int64)


@pytest.mark.parametrize(
    "choice, counts, sigma, message",
    [
        (SIX[:, :2], SIX, 0.25, r"counts must have the shape of choice, \(2, 2\), got \(2, 6\)"),
        (SIX[:1], SIX, 0.25, r"counts must have the shape of choice, \(1, 6\), got \(2, 6\)"),
        (SIX, SIX[:1], 0.25, r"counts must have the shape of choice, \(2, 6\), got \(1, 6\)"),
        (SIX[0], SIX[0], 0.25, "choice must be an int64 tensor of shape"),
        (SIX, SIX.float(), 0.25, "counts must be an int64 tensor of shape"),
        (SIX, SIX, math.inf, "sigma must be a finite number above 0, got inf"),
        (SIX, SIX, math.nan, "sigma must be a finite number above 0, got nan"),
    ],
)
def test_votes_that_do_not_belong_together_are_refused(
    choice: Tensor, counts: Tensor, sigma: float, message: str
) -> None:
    """A certificate of another image, or an infinite one, would be wrong."""
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(certified)(choice, counts, sigma=sigma)


POINTS, KEYS = torch.full((3, 2), 0.5), torch.arange(3)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"images": (POINTS * 255).byte()}, "images must be a float tensor of shape"),
        ({"images": POINTS * 255}, r"images must lie in \[0, 1\], got values from 127.5 to 127.5"),
        ({"images": POINTS * math.nan, "box": False}, "images must be finite, got NaN"),
        ({"keys": KEYS[:2]}, r"keys must be an int64 tensor of shape \(3,\)"),
        ({"keys": torch.arange(4)}, r"keys must be an int64 tensor of shape \(3,\)"),
        ({"keys": KEYS.float()}, r"keys must be an int64 tensor of shape \(3,\)"),
        ({"draws": 10.0}, "draws must be a whole number, 1 or more, got 10.0"),
        ({"start": -1}, "start must be a whole number, 0 or more, got -1"),
    ],
)
def test_votes_of_wrong_images_keys_or_numbers_are_refused(
    wrong: dict[str, Any], message: str
) -> None:
    given = {"images": POINTS, "keys": KEYS, "draws": 4} | wrong
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(votes)(HalfSpace(1.0), **given)


def test_votes_halve_the_rows_if_the_memory_does_not_suffice() -> None:
    """As the ensemble does; the votes stay the same."""

    class Small(HalfSpace):
        def at(self, keys: Tensor, draw: Any) -> Any:
            if len(keys) > 10:
                raise torch.cuda.OutOfMemoryError
            return super().at(keys, draw)

    x, keys = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    found = votes(Small(0.5), x, keys, draws=30)
    assert torch.equal(found, votes(HalfSpace(0.5), x, keys, draws=30))


@pytest.mark.gpu
def test_results_stay_on_the_device_of_the_votes() -> None:
    counts = torch.tensor([[9, 91], [50, 50]]).cuda()
    answer, radius = certified(counts, counts, sigma=0.5)
    assert answer.is_cuda and radius.is_cuda and lower_limit(counts[:, 0], 100).is_cuda
