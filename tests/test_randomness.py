"""Every draw of the package depends on these streams, so they must never change."""

import pytest
import torch

from robustbook.randomness import generator


def test_a_stream_depends_on_its_arguments_alone() -> None:
    """Otherwise a run could not be repeated, or two purposes would share numbers."""
    torch.rand(3)
    names = [(0, "weights"), (1, "weights"), (0, "batches", 0), (0, "batches", 1), (0,)]
    draws = {name: torch.rand(8, generator=generator(*name)) for name in names}
    for name, draw in draws.items():
        assert torch.equal(draw, torch.rand(8, generator=generator(*name)))
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == len(names)


def test_a_word_with_a_slash_is_refused() -> None:
    """The purposes "a/b" and ("a", "b") would share numbers."""
    with pytest.raises(ValueError, match="purpose must be words without a slash, got 'a/b'"):
        generator(0, "a/b")


def test_the_first_numbers_stay_as_they_are() -> None:
    """A change here would silently change every published number."""
    order = torch.randperm(10, generator=generator(0, "batches", 0))
    assert order.tolist() == [4, 3, 7, 2, 6, 5, 9, 0, 1, 8]


def test_the_global_stream_is_neither_read_nor_moved() -> None:
    """Otherwise the caller's results would depend on calls of this library."""
    before = torch.get_rng_state()
    generator(7, "weights")
    assert torch.equal(before, torch.get_rng_state())
