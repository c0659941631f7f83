"""FAB: its projection compared with linear programs and bisection, and its distances on a linear
model.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from robustbook.attacks import deepfool, fab
from robustbook.attacks.fab import displacement

Make = Callable[..., Any]


def problems(count: int = 40, pixels: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Return points with pixels at 0 and 1, gradients with zeros, and values of both signs. For
    some problems there is no solution in [0, 1].
    """
    generator = torch.Generator().manual_seed(1)
    points = (1.5 * torch.rand(count, pixels, generator=generator).double() - 0.25).clamp(0, 1)
    w = torch.randn(count, pixels, generator=generator).double()
    w[:, 0] = 0
    f = 3 * torch.randn(count, generator=generator).double()
    return points, w, f


def most(points: Tensor, w: Tensor, f: Tensor) -> Tensor:
    """Return by how much <w, d> can change towards -f within [0, 1]."""
    down = -w * f.sign()[:, None]
    return torch.where(down > 0, down * (1 - points), -down * points).sum(1)


def test_the_l_infinity_displacement_is_that_of_a_linear_program() -> None:
    points, w, f = problems()
    d = displacement(points, w, f, math.inf)
    solvable = most(points, w, f) >= f.abs()
    assert 5 < int(solvable.sum()) < 38
    for i in solvable.nonzero().squeeze(1).tolist():
        n = points.shape[1]
        above = np.block([[np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))]])
        bounds = [(-float(p), 1 - float(p)) for p in points[i]] + [(0, None)]
        best = linprog(
            np.r_[np.zeros(n), 1],
            above,
            np.zeros(2 * n),
            np.r_[w[i].numpy(), 0][None],
            [-float(f[i])],
            bounds,
        )
        assert float(d[i].abs().max()) == pytest.approx(best.fun, abs=1e-9)
        assert float(w[i] @ d[i]) == pytest.approx(-float(f[i]), abs=1e-9)


def test_the_l2_displacement_solves_the_equation_of_its_multiplier() -> None:
    """The nearest point has the form clip(t - lambda w), and lambda is found by bisection."""
    points, w, f = problems()
    d = displacement(points, w, f, 2.0)
    solvable = most(points, w, f) >= f.abs()
    for i in solvable.nonzero().squeeze(1).tolist():
        low, high, sign = 0.0, 1e4, float(f[i].sign())
        for _ in range(200):
            middle = (low + high) / 2
            moved = (points[i] - sign * middle * w[i]).clamp(0, 1) - points[i]
            if abs(float(w[i] @ moved)) < abs(float(f[i])):
                low = middle
            else:
                high = middle
        torch.testing.assert_close(d[i], moved, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", [math.inf, 2.0])
def test_where_there_is_no_solution_it_goes_as_far_as_it_can(norm: float) -> None:
    points, w, f = problems()
    d = displacement(points, w, f, norm)
    moved = points + d
    torch.testing.assert_close(moved, moved.clamp(0, 1), rtol=0, atol=1e-15)
    change = (w * d).sum(1).abs()
    torch.testing.assert_close(change, torch.minimum(most(points, w, f), f.abs()))


@pytest.mark.parametrize("norm", [math.inf, 2.0])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_unit_of_the_gradient_does_not_matter(norm: float, scale: float) -> None:
    """In float32, squares of small gradients round to 0, and squares of large ones overflow."""
    points, w, f = (t.float() for t in problems())
    usual = displacement(points, w, f, norm)
    scaled = displacement(points, scale * w, scale * f, norm)
    torch.testing.assert_close(scaled, usual, rtol=1e-4, atol=1e-5)
    assert not displacement(points, 0 * w, f, norm).any()


@pytest.mark.parametrize("norm", [math.inf, 2.0])
def test_on_a_linear_model_the_distance_is_the_nearest_boundary(
    norm: float, make_linear: Make
) -> None:
    """The images lie so far inside [0, 1] that clipping plays no role."""
    model = make_linear()
    generator = torch.Generator().manual_seed(5)
    images = 0.5 + 0.02 * torch.randn(30, 72, generator=generator, dtype=torch.float64)
    logits, weight = model(images).detach(), model[1].weight.detach()
    labels = logits.argmax(1)
    result = fab(model, images, labels, norm=norm, steps=30)
    gaps = logits.gather(1, labels[:, None]) - logits
    steep = torch.linalg.vector_norm(weight[labels][:, None] - weight, 2 if norm == 2 else 1, dim=2)
    exact = (gaps / steep).masked_fill(gaps == 0, math.inf).amin(1)
    assert bool(result.found.all())
    assert float((result.distance / exact).min()) >= 1
    torch.testing.assert_close(result.distance, exact, rtol=1e-2, atol=0)


def test_each_rank_has_its_class(make_linear: Make) -> None:
    """On a linear model FAB ends at the boundary of the class of the rank, unless another class is
    in between; the nearest of all ranks is the nearest boundary.
    """
    model = make_linear()
    images = 0.5 + 0.02 * torch.randn(20, 72, dtype=torch.float64)
    labels = model(images).argmax(1)
    every = torch.stack(
        [fab(model, images, labels, steps=30, rank=rank).distance for rank in range(1, 5)]
    )
    whole = fab(model, images, labels, steps=30).distance
    torch.testing.assert_close(every.amin(0), whole, rtol=1e-2, atol=0)


@pytest.mark.parametrize("norm", [math.inf, 2.0])
def test_it_finds_nearer_images_than_deepfool(
    norm: float, make_curved: Make, make_images: Make
) -> None:
    images, _ = make_images(40)
    model = make_curved()
    labels = model(images).argmax(1)
    ours = fab(model, images, labels, norm=norm, steps=50)
    theirs = deepfool(model, images, labels, norm=norm)
    assert bool(ours.found.all())
    assert float((ours.distance / theirs.distance).median()) < 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha_max": 2.0}, r"alpha_max must be in \(0, 1\], got 2.0"),
        ({"backward": 1.5}, r"backward must be in \(0, 1\], got 1.5"),
        ({"overshoot": 0.0}, "overshoot must be a finite number above 0, got 0.0"),
        ({"rank": 5}, "rank must be at most 4, the number of wrong classes, got 5"),
        ({"rank": 1, "targets": torch.tensor([1, 2])}, "rank must be None with targets, got 1"),
        ({"rank": 0}, "rank must be a whole number, 1 or more, got 0"),
        ({"norm": 1}, "norm must be one of 2, inf, got 1"),
        ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
    ],
)
def test_refuses(given: dict[str, Any], message: str, make_linear: Make) -> None:
    images, labels = torch.full((2, 72), 0.5, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=message):
        fab(make_linear(), images, labels, **given)


@pytest.mark.parametrize("norm", [2, math.inf])
def test_a_tie_is_left(norm: float) -> None:
    """On a black image all logits of a network without biases are 0; any step is enough."""
    weight = torch.eye(3, 4)
    images = torch.zeros(1, 1, 2, 2)
    result = fab(lambda x: x.flatten(1) @ weight.T, images, torch.tensor([0]), steps=10, norm=norm)
    assert bool(result.found) and 0 < float(result.distance) < 1e-3
