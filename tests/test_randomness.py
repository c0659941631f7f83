"""Every draw of the package hangs on these streams: they must be the same for good."""

import torch

from robustbook.randomness import generator


def test_a_stream_depends_on_its_arguments_alone() -> None:
    """Else a run could not be repeated, or two purposes would share their numbers."""
    torch.rand(3)
    names = [(0, "weights"), (1, "weights"), (0, "batches", 0), (0, "batches", 1), (0,)]
    draws = {name: torch.rand(8, generator=generator(*name)) for name in names}
    for name, draw in draws.items():
        assert torch.equal(draw, torch.rand(8, generator=generator(*name)))
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == len(names)


def test_the_first_numbers_stay_as_they_are() -> None:
    """A change here would change every published number without a word."""
    order = torch.randperm(10, generator=generator(0, "batches", 0))
    assert order.tolist() == [4, 3, 7, 2, 6, 5, 9, 0, 1, 8]


def test_the_global_stream_is_neither_read_nor_moved() -> None:
    """A library that moves its caller's stream makes the caller's results depend on it."""
    before = torch.get_rng_state()
    generator(7, "weights")
    assert torch.equal(before, torch.get_rng_state())
