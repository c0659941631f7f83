"""The noise of an image: the same everywhere, uniform, and independent of the batch."""

import math

import pytest
import torch

from robustbook.attacks import noise
from robustbook.attacks.noise import in_ball, normal, seed_from, uniform

_WORD = 2**64


def splitmix64(state: int) -> int:
    """Return one output of the published algorithm, in Python's integers."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % _WORD
    state = (state ^ state >> 27) * 0x94D049BB133111EB % _WORD
    return state ^ state >> 31


def test_is_splitmix64_to_the_bit() -> None:
    """A stored result must mean the same start on any machine and in any version of torch."""
    gamma = 0x9E3779B97F4A7C15
    seed, stream, keys = 12345678901234567, 3, [0, 1, -5, 2**40]
    expected = []
    for key in keys:
        start = splitmix64((splitmix64(seed) + stream * gamma) % _WORD)
        start = splitmix64((start + key * gamma) % _WORD)
        expected.append([splitmix64((start + j * gamma) % _WORD) for j in range(1, 6)])
    for dtype, digits in ((torch.float64, 53), (torch.float32, 24)):
        draw = uniform(seed, torch.tensor(keys), stream, 5, dtype)
        assert draw.tolist() == [[(x >> 64 - digits) / 2**digits for x in row] for row in expected]


def test_first_outputs_of_the_published_generator() -> None:
    """The reference values of splitmix64 from state 0 check the test's own copy."""
    gamma = 0x9E3779B97F4A7C15
    first = [splitmix64(j * gamma % _WORD) for j in (1, 2, 3)]
    assert first == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize(
    "neighbours, n", [("pixels", 40_000), ("keys", 40_000), ("streams", 1_000), ("seeds", 1_000)]
)
def test_is_uniform_and_uncorrelated_among(neighbours: str, n: int) -> None:
    """Neighbouring counters, the worst case for a hash, give numbers like independent ones.

    In 20 bins, chi-square with 19 degrees of freedom exceeds 50 with probability 1.3e-4. A
    correlation of n independent pairs has standard deviation 1/sqrt(n); the bound is 4 of them.
    """
    one, many = torch.zeros(1, dtype=torch.int64), torch.arange(n)
    draws = {
        "pixels": lambda: [uniform(0, one, 0, n, torch.float64)],
        "keys": lambda: [uniform(0, many, 0, 1, torch.float64)],
        "streams": lambda: [uniform(0, one, i, 1, torch.float64) for i in range(n)],
        "seeds": lambda: [uniform(i, one, 0, 1, torch.float64) for i in range(n)],
    }
    numbers = torch.cat(draws[neighbours]()).flatten()
    bins = torch.histc(numbers, 20, 0, 1)
    assert float(((bins - n / 20) ** 2 / (n / 20)).sum()) < 50
    for lag in (1, 2, 28):
        pair = torch.stack([numbers[:-lag], numbers[lag:]])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 4 / math.sqrt(n)


def test_the_dtypes_share_a_draw() -> None:
    """Float32 and float64 attacks of one image start at the same point, up to rounding."""
    keys = torch.arange(50)
    exact = uniform(1, keys, 0, 100, torch.float64)
    for dtype, digits in ((torch.float32, 24), (torch.float16, 10)):
        draw = uniform(1, keys, 0, 100, dtype)
        assert draw.dtype == dtype
        assert float((draw.double() - exact).abs().max()) <= 2.0**-digits


def test_the_l2_ball_is_filled_evenly() -> None:
    """In d dimensions the radius to the power d is uniform, and all directions are equally
    likely.
    """
    keys = torch.arange(4000)
    draw = in_ball(0, keys, 0, torch.zeros(4000, 3, dtype=torch.float64), 2.0)
    volume = draw.norm(dim=1) ** 3
    bins = torch.histc(volume, 20, 0, 1)
    assert float(volume.max()) <= 1 + 1e-12
    assert float(((bins - 200) ** 2 / 200).sum()) < 50  # chi-square as above
    # A coordinate has variance 1/5, so means of 4000 have sd 0.0071, and those of squares 0.0027.
    assert float(draw.mean(0).abs().max()) < 4 * 0.0071
    assert float((draw.square().mean(0) - 0.2).abs().max()) < 4 * 0.0027
    cube = in_ball(0, keys, 0, torch.zeros(4000, 3), math.inf)
    assert -1 <= float(cube.min()) < -0.99 and 0.99 < float(cube.max()) < 1


def test_the_seed_is_one_draw_from_the_generator() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = seed_from(generator), seed_from(generator)
    assert first != second
    assert seed_from(torch.Generator().manual_seed(3)) == first
    assert seed_from(None) == 0


def hashed(seed: int, key: int, draw: int, j: int) -> tuple[float, float]:
    """Return the pair of normal numbers j as described in `normal`, in Python's integers."""
    gamma, word = 0x9E3779B97F4A7C15, 2**32
    start = splitmix64((splitmix64(seed) + draw * gamma) % _WORD)
    start = splitmix64((start + key * gamma) % _WORD)
    h = (start + j) % word
    h = (h ^ h >> 16) * 0x85EBCA6B % word
    h = ((h ^ h >> 13) + (start >> 32)) % word * 0xC2B2AE35 % word
    radius = math.sqrt(-2 * math.log((h % 2**31 + 0.5) / 2**31))
    angle = 2 * math.pi * (h * 0x9E3779B1 % word) / word
    return radius * math.cos(angle), radius * math.sin(angle)


def test_normal_numbers_are_those_of_the_description() -> None:
    keys, draws = [0, 1, -5, 2**40], [0, 7, 2**62, 3]
    for dtype, close in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        drawn = normal(12345678901234567, torch.tensor(keys), torch.tensor(draws), (3, 3), dtype)
        assert drawn.dtype == dtype and drawn.shape == (4, 3, 3)
        for row, key, draw in zip(drawn.flatten(1).tolist(), keys, draws, strict=True):
            pairs = [hashed(12345678901234567, key, draw, j) for j in range(5)]
            expected = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
            assert row == pytest.approx(expected[:9], abs=close)  # nine of ten: 3 x 3


def test_normal_numbers_belong_to_key_and_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one draw number for all rows or one for each; order and splitting do not matter."""
    keys, order = torch.arange(30), torch.randperm(30, generator=torch.Generator().manual_seed(0))
    whole = normal(1, keys, 4, (5, 7, 3))
    assert torch.equal(normal(1, keys[order], torch.full((30,), 4), (5, 7, 3)), whole[order])
    alone = [normal(1, keys[i : i + 1], 4, (5, 7, 3)) for i in range(30)]
    assert torch.equal(torch.cat(alone), whole)
    monkeypatch.setattr(noise, "_PAIRS_AT_ONCE", 100)
    assert torch.equal(normal(1, keys, 4, (5, 7, 3)), whole)
    others = [normal(1, keys, 5, (5, 7, 3)), normal(2, keys, 4, (5, 7, 3)), whole.roll(1, 0)]
    assert all(float((other - whole).abs().min()) > 0 for other in others)
    assert normal(1, keys, 4, (2,), torch.bfloat16).dtype == torch.bfloat16
    assert normal(1, keys[:0], 4, (2, 2)).shape == (0, 2, 2) and normal(1, keys, 4, ()).ndim == 1


@pytest.mark.parametrize("neighbours", ["places", "keys", "draws", "halves"])
def test_normal_numbers_are_normal_and_uncorrelated_among(neighbours: str) -> None:
    """Test cumulative probabilities in 20 bins by chi-square as above, and correlations of n pairs.

    The correlations are of values and of squares; their standard deviation is 1/sqrt(n).
    """
    one, many, n = torch.zeros(1, dtype=torch.int64), torch.arange(40_000), 40_000
    numbers = {
        "places": lambda: normal(0, one, 0, (n,), torch.float64)[0],
        "keys": lambda: normal(0, many, 0, (1,), torch.float64)[:, 0],
        "draws": lambda: normal(0, one.expand(n), many, (1,), torch.float64)[:, 0],
        "halves": lambda: normal(0, many[: n // 2], 0, (2,), torch.float64).flatten(),
    }[neighbours]()
    bins = torch.histc(torch.special.ndtr(numbers), 20, 0, 1)
    assert float(((bins - n / 20) ** 2 / (n / 20)).sum()) < 50
    for power in (1, 2):
        for lag in (1, 2, 32):
            pair = torch.stack([numbers[:-lag], numbers[lag:]]) ** power
            assert abs(float(torch.corrcoef(pair)[0, 1])) < 4 / math.sqrt(n)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_bits() -> None:
    keys = torch.arange(100)
    for dtype, close in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        same = [
            normal(5, keys.to(place), keys.to(place), (7, 5), dtype) for place in ("cpu", "cuda")
        ]
        torch.testing.assert_close(same[0], same[1].cpu(), rtol=0, atol=close)
    here, there = (uniform(5, keys.to(place), 2, 784, torch.float64) for place in ("cpu", "cuda"))
    assert torch.equal(here, there.cpu())
