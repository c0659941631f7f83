"""Normal numbers by key: their distribution, and that only seed, key and draw matter."""

import math

import pytest
import torch

from robustbook.defenses.normals import Stream, fresh, on_gpu, streams, values
from robustbook.randomness import generator


def splitmix64(number: int) -> int:
    """Compute the published function by hand (Steele, Lea and Flood 2014; Vigna's mix 13)."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) % 2**64
    return number ^ (number >> 31)


@pytest.mark.parametrize(("seed", "key", "draw"), [(0, 0, 0), (3, 17, 5), (2**63, -4, 1)])
def test_the_integers_are_splitmix64s(seed: int, key: int, draw: int) -> None:
    gamma = 0x9E3779B97F4A7C15
    start = splitmix64(
        (splitmix64((splitmix64(seed % 2**64) + draw * gamma) % 2**64) + key * gamma) % 2**64
    )
    keys = torch.tensor([key])
    for drawn in (draw, torch.tensor([draw])):
        assert int(streams(seed, keys, drawn).starts) % 2**64 == start
    words = [splitmix64((start + (i + 1) * gamma) % 2**64) for i in range(3)]
    places = [(word >> shift) & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    expected = values(torch.float32, "cpu")[torch.tensor(places)]
    assert torch.equal(streams(seed, keys, draw).normal(12, torch.float32)[0], expected)


def test_a_row_depends_on_its_key_and_draw_alone() -> None:
    """The order, other rows, and reading in pieces do not matter."""
    keys, draws = torch.arange(40) * 7, torch.arange(40) % 3
    together = streams(1, keys, draws).normal(3001, torch.float32)
    order = torch.randperm(40, generator=generator(0))
    assert torch.equal(
        streams(1, keys[order], draws[order]).normal(3001, torch.float32), together[order]
    )
    for i in (0, 7, 39):
        alone = streams(1, keys[i : i + 1], int(draws[i])).normal(3001, torch.float32)
        assert torch.equal(alone, together[i : i + 1])
    stream = streams(1, keys, draws)
    pieces = [stream.normal(count, torch.float32) for count in (1000, 4, 2000)]
    assert torch.equal(torch.cat(pieces, 1)[:, :3001], together)
    others = [streams(2, keys, draws), streams(1, keys + 1, draws), streams(1, keys, draws + 1)]
    assert all(not torch.equal(o.normal(3001, torch.float32), together) for o in others)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_torch_draws_what_numpy_draws(dtype: torch.dtype) -> None:
    """A GPU uses torch's form of the same integers; here it runs on the CPU."""
    stream = streams(5, torch.arange(3), 2)
    for position, count in ((0, 4000), (1000, 64)):
        assert stream.position == position
        ours = stream.normal(count, dtype)
        assert torch.equal(on_gpu(stream.starts, position, count // 4, dtype), ours)


def test_the_values_are_normal_to_the_stated_accuracy() -> None:
    """The table itself is tested, so it is exact: distribution function, moments, largest value."""
    table = values(torch.float64, "cpu")
    assert torch.equal(table, -table.flip(0))
    assert (table.diff() > 0).all()
    below = torch.special.ndtr(table)
    ranks = torch.arange(65536, dtype=torch.float64) / 65536
    off = torch.maximum((below - ranks).abs(), (below - ranks - 1 / 65536).abs())
    assert float(off.max()) < 1.6e-5
    for power, moment in ((2, 1.0), (4, 3.0), (6, 15.0)):
        assert table.pow(power).mean().item() == pytest.approx(
            moment, rel={2: 1e-12}.get(power, 1e-2)
        )
    assert table.pow(4).mean().item() == pytest.approx(3, rel=1e-3)
    assert table.max().item() < 4.4


def test_samples_are_normal_and_independent() -> None:
    """Bounds are five standard deviations for 4e5 numbers, across rows, draws and neighbours."""
    n = 20_000
    drawn = torch.cat(
        [streams(0, torch.arange(10), draw).normal(n, torch.float64) for draw in (0, 1)]
    )
    count = drawn.numel()
    assert abs(drawn.mean()) < 5 / math.sqrt(count)
    assert abs(drawn.square().mean() - 1) < 5 * math.sqrt(2 / count)
    assert abs(drawn.pow(4).mean() - 3) < 5 * math.sqrt(96 / count)
    products = drawn @ drawn.T / n  # between rows and draws
    assert float((products - torch.eye(20)).abs().max()) < 5 * math.sqrt(2 / n)
    for lag in (1, 2, 3, 4, 8, 1000):
        assert abs((drawn[:, lag:] * drawn[:, :-lag]).mean()) < 5 / math.sqrt(count - 20 * lag)
    counts = torch.bincount((torch.special.ndtr(drawn).flatten() * 100).long(), minlength=100)
    chi = float((counts - count / 100).square().sum() / (count / 100))
    assert chi < 99 + 5 * math.sqrt(2 * 99)


def test_fresh_numbers_are_torchs_own_generators() -> None:
    """The training loop seeds this generator for each step, so a resumed run draws the same
    noise.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, second = (fresh(4).normal(9, torch.float32) for _ in range(2))
        torch.manual_seed(3)
        again = fresh(4).normal(9, torch.float32)
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_no_rows_and_no_numbers_are_accepted() -> None:
    assert Stream(torch.zeros(0, dtype=torch.int64)).normal(5, torch.float32).shape == (0, 5)
    assert streams(0, torch.arange(2), 0).normal(0, torch.float32).shape == (2, 0)
    assert on_gpu(torch.zeros(0, dtype=torch.int64), 0, 2, torch.float32).shape == (0, 8)
