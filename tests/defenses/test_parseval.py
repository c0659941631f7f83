"""Parseval's retraction compared with its mathematics."""

import pytest
import torch
from torch import Tensor

from robustbook.defenses import parseval
from robustbook.randomness import generator

SHAPES = {"matrix": (5, 9), "kernels": (4, 2, 3, 3)}


def drawn(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=generator(0, *shape), dtype=torch.float64) / 4


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rows_approach_orthonormality(shape: tuple[int, ...]) -> None:
    """This also holds if only a share of the rows moves at a time."""
    with torch.random.fork_rng():
        weights = {"layer": drawn(shape)}
        for _ in range(3000):
            parseval(weights, beta=0.02, share=1.0)
        w = weights["layer"].flatten(1)
        torch.testing.assert_close(w @ w.T, torch.eye(len(w), dtype=w.dtype), atol=1e-6, rtol=0)
        some = {"layer": drawn(shape)}
        for _ in range(3000):
            parseval(some, beta=0.1, share=0.5)
        w = some["layer"].flatten(1)
        assert (w @ w.T - torch.eye(len(w))).abs().max() < 1e-3


def test_singular_values_follow_their_recursion() -> None:
    """s becomes (1 + beta) s - beta s^3 and the singular vectors stay, a closed form."""
    w = drawn((5, 9))
    before = torch.linalg.svdvals(w)
    parseval({"layer": w}, beta=0.1, share=1.0)
    expected = 1.1 * before - 0.1 * before**3
    torch.testing.assert_close(torch.linalg.svdvals(w), expected.sort(descending=True).values)


def test_it_is_a_step_down_the_distance_from_orthonormality() -> None:
    """It tests sign and factor: beta/4 ||W W^T - I||^2."""
    w = drawn((3, 4)).requires_grad_()
    distance = (w @ w.T - torch.eye(3, dtype=w.dtype)).square().sum() / 4
    (gradient,) = torch.autograd.grad(distance, w)
    moved = w.detach().clone()
    parseval({"layer": moved}, beta=0.05, share=1.0)
    torch.testing.assert_close(moved, w.detach() - 0.05 * gradient)


def test_only_a_share_of_the_rows_of_matrices_moves() -> None:
    """Biases do not move; 30 per cent of ten rows are three."""
    with torch.random.fork_rng():
        weights = {"weight": drawn((10, 4)), "bias": drawn((10,))}
        before = {name: value.clone() for name, value in weights.items()}
        parseval(weights, beta=0.1)
    moved = (weights["weight"] != before["weight"]).any(1)
    assert moved.sum() == 3 and torch.equal(weights["bias"], before["bias"])


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="beta must be above 0, got 0.0"):
        parseval({}, beta=0.0)
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, got 1.5"):
        parseval({}, beta=0.1, share=1.5)
