"""Square compared with its schedule, a plain loop for one image, and a linear model."""

import importlib
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook.attacks import margin, pgd, square
from robustbook.attacks.noise import uniform
from robustbook.attacks.square import side

Make = Callable[..., Any]
# `robustbook.attacks.square` is the function, so the module is imported by its name.
module = importlib.import_module("robustbook.attacks.square")


@pytest.mark.parametrize(
    "size, sides",
    [
        (28, [25, 18, 13, 9, 6, 4, 3, 2, 2, 1]),
        (32, [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]),
        (96, [86, 61, 43, 30, 21, 15, 11, 8, 5, 4]),
    ],
)
def test_the_schedule_of_the_released_code(size: int, sides: list[int]) -> None:
    """With another schedule, windows at the end would be too large to find small changes."""
    first = [0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001]
    last = [*(i - 1 for i in first[1:]), 9999]
    for iterations in (first, last):
        assert [side(i, size, size) for i in iterations] == sides


def test_a_window_never_exceeds_a_narrow_image() -> None:
    assert side(0, 3, 40) == 3 and side(0, 40, 3) == 3 and side(9000, 2, 2) == 1


@pytest.mark.parametrize("p_init", [1.0, 0.8, 0.3, 0.05])
def test_side_lengths_by_hand(p_init: float) -> None:
    """The side is round(sqrt(p h w)), and p is halved at each of the nine iterations."""
    halvings = {0: 0, 10: 0, 11: 1, 50: 1, 51: 2, 1000: 4, 1001: 5, 8000: 8, 8001: 9, 99_999: 9}
    for iteration, times in halvings.items():
        exact = math.sqrt(p_init / 2**times * 24 * 40)
        assert side(iteration, 24, 40, p_init) == min(max(round(exact), 1), 24)


@pytest.mark.parametrize(
    "row, column, signs, box",
    [
        (0.0, 0.0, (0.0, 0.0), (0, 5, 0, 5)),
        (1 - 1e-16, 1 - 1e-16, (1 - 1e-16, 0.0), (1, 6, 2, 7)),
        (0.5, 0.34, (0.5, 0.49), (1, 6, 1, 6)),
        (0.499, 0.33, (0.49, 0.5), (0, 5, 0, 5)),
        (0.0, 0.67, (0.51, 0.51), (0, 5, 2, 7)),
    ],
)
def test_windows_and_signs_of_given_numbers(
    row: float,
    column: float,
    signs: tuple[float, float],
    box: tuple[int, int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows of 5 x 5 in images of 6 x 7 have two places vertically and three horizontally.

    A number below one half means minus, for stripes and windows.
    """
    stripes = torch.arange(14) / 14  # columns of the first channel move down, of the second up
    given = torch.tensor([row, column, *signs], dtype=torch.float64)
    draws = {0: stripes.double()[None], 1: given[None]}
    monkeypatch.setattr(module, "uniform", lambda seed, keys, stream, *rest: draws[stream])
    assert side(0, 6, 7, 0.6) == 5
    images, labels = torch.full((1, 2, 6, 7), 0.5).double(), torch.zeros(1, dtype=torch.int64)
    asked: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        asked.append(x.clone())
        return torch.eye(2, dtype=x.dtype)[:1]

    square(model, images, labels, eps=0.1, queries=2, p_init=0.6)
    expected = torch.cat([images[:, :1] - 0.1, images[:, 1:] + 0.1], 1)
    torch.testing.assert_close(asked[0], expected)
    top, bottom, left, right = box
    for channel, sign in enumerate(signs):
        value = 0.4 if sign < 0.5 else 0.6
        expected[0, channel, top:bottom, left:right] = value
    torch.testing.assert_close(asked[1], expected)


def test_is_the_loop_of_the_paper(make_curved: Make, make_images: Make) -> None:
    """A loop over one image, pixel by pixel, gives the same windows, decisions and queries."""
    images, _ = make_images(8)
    model, eps, queries = make_curved(), 0.05, 40
    labels = model(images).argmax(1)
    result = square(model, images, labels, eps=eps, queries=queries)
    for key in range(8):
        x, label = images[key], labels[key : key + 1]
        pixels = x.tolist()

        def ask(image: Tensor, label: Tensor = label) -> tuple[float, bool]:
            logits = model(image[None]).detach()
            return float(margin(logits, label)), bool(logits.argmax(1) != label)

        coins = iter(uniform(0, torch.tensor([key]), 0, 12, torch.float64)[0].tolist())
        best = x.clone()
        for c in range(2):
            for column in range(6):
                best[c, :, column] += -eps if next(coins) < 0.5 else eps
        best = best.clamp(0, 1)
        (gain, won), spent = ask(best), 1
        while not won and spent < queries:
            s = side(spent - 1, 6, 6)
            row, column, *signs = uniform(0, torch.tensor([key]), spent, 4, torch.float64)[
                0
            ].tolist()
            row, column = math.floor(row * (7 - s)), math.floor(column * (7 - s))
            proposal = best.clone()
            for c in range(2):
                for i in range(row, row + s):
                    for j in range(column, column + s):
                        moved = pixels[c][i][j] + (-eps if signs[c] < 0.5 else eps)
                        proposal[c, i, j] = min(max(moved, 0), 1)
            new_gain, won = ask(proposal)
            spent += 1
            if won or new_gain > gain:
                best, gain = proposal, new_gain
        torch.testing.assert_close(result.images[key], best, rtol=0, atol=1e-12)
        assert int(result.steps[key]) == spent and bool(result.found[key]) == won
    assert 0 < int(result.found.sum()) < 8, "the example must have both"
    assert bool((result.steps[result.found] > 1).any())


def test_never_finds_less_than_a_linear_model_needs_and_finds_it_with_little_more(
    make_linear: Make,
) -> None:
    """On a linear model the answer changes at eps = |margin| / ||w||_1, at one corner of the
    ball.
    """
    draw = torch.rand(12, 2, 6, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    images, model = 0.35 + 0.3 * draw, make_linear(classes=2)
    logits = model(images).detach()
    labels = logits.argmax(1)
    way = (model[1].weight[1] - model[1].weight[0]).detach()
    need = (logits[:, 0] - logits[:, 1]).abs() / way.abs().sum()
    nearer, farther = need < 0.99 * need.median(), need > 1.01 * need.median()
    eps = float(need.median())
    # Windows have one pixel from the start: 36 places times 4 pairs of signs, in 1200 draws.
    result = square(model, images, labels, eps=eps, queries=1200, p_init=0.01)
    assert torch.equal(result.found[nearer | farther], nearer[nearer | farther])
    assert nearer.any() and farther.any()
    # Where the attack fails, it has reached the same corner as PGD.
    best = pgd(model, images, labels, eps=eps, steps=20, step_size=eps, loss="margin").images
    torch.testing.assert_close(result.images[farther], best[farther], rtol=0, atol=1e-12)


def test_more_queries_go_on_where_fewer_stopped(make_curved: Make, make_images: Make) -> None:
    """The margin only rises, a finished image does not change, and gets no more queries."""
    images, labels = make_images(40)
    model = make_curved()
    runs = [square(model, images, labels, eps=0.05, queries=n) for n in (1, 2, 10, 60, 200)]
    gains = [margin(model(run.images).detach(), labels) for run in runs]
    for less, more, before, after in zip(runs, runs[1:], gains, gains[1:], strict=False):
        assert bool((after >= before - 1e-12)[~less.found].all())
        assert torch.equal(less.images[less.found], more.images[less.found])
        assert torch.equal(less.steps[less.found], more.steps[less.found])
    for queries, run in zip((1, 2, 10, 60, 200), runs, strict=True):
        assert bool((run.steps[~run.found] == queries).all())
        assert int(run.steps.sum()) + 40 <= run.forwards <= int(run.steps.sum()) + 40 + 40 * 9
    assert runs[0].found.sum() < runs[-1].found.sum() < 40


def test_when_solved_images_leave_changes_nothing(
    make_curved: Make, make_images: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = make_images(40)
    usual = square(make_curved(), images, labels, eps=0.05, queries=60)
    for every in (1, 7, 1000):
        monkeypatch.setattr(module, "_LEAVE_EVERY", every)
        other = square(make_curved(), images, labels, eps=0.05, queries=60)
        torch.testing.assert_close(other.images, usual.images, rtol=0, atol=1e-12)
        assert torch.equal(other.steps, usual.steps)


def test_asks_for_nothing_but_answers(make_curved: Make, make_images: Make) -> None:
    """A model without autograd is attacked in the same way."""
    images, labels = make_images(10)
    model = make_curved()

    def outside(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not x.requires_grad
        return torch.from_numpy(model(torch.from_numpy(x.numpy())).numpy())

    result = square(outside, images, labels, eps=0.05, queries=30)
    assert torch.equal(result.images, square(model, images, labels, eps=0.05, queries=30).images)
    assert result.backwards == 0


def test_finds_what_a_vanished_gradient_hides() -> None:
    """A staircase has zero gradients almost everywhere: PGD does not move, but Square succeeds."""
    images, labels = torch.full((20, 1, 5, 5), 0.5), torch.zeros(20, dtype=torch.int64)

    def staircase(x: Tensor) -> Tensor:
        height = x.sum((1, 2, 3)) - 12.5  # 60 % of the pixels must rise by 0.2 and none may fall
        level = (10 * height).round() / 10 + 0 * height
        return torch.stack([torch.full_like(level, 2.95), level], 1)

    blind = pgd(staircase, images, labels, eps=0.2, steps=50, step_size=0.05, loss="margin")
    assert not bool(blind.found.any())
    seeing = square(staircase, images, labels, eps=0.2, queries=500)
    assert bool(seeing.found.all())


@pytest.mark.parametrize(
    "given, message",
    [
        ({"eps": 8}, "eps must be in (0, 1]"),
        ({"queries": 0}, "queries must be a whole number, 1 or more, got 0"),
        ({"p_init": 0.0}, "p_init must be a finite number above 0, got 0.0"),
        ({"p_init": 1.5}, "p_init must be in (0, 1], got 1.5"),
        ({"generator": 3}, "generator must be a torch.Generator or None, got 3"),
        ({"images": torch.zeros(2, 72)}, "images must have shape (n, c, h, w), got (2, 72)"),
    ],
)
def test_refuses(given: dict[str, Any], message: str, make_linear: Make) -> None:
    usual = {"images": torch.zeros(2, 1, 8, 9), "labels": torch.zeros(2, dtype=torch.int64)}
    attack = inspect.unwrap(square)  # the tests' type checker would reject some calls first
    with pytest.raises(ValueError, match=re.escape(message)):
        attack(make_linear(), **(usual | {"eps": 0.1} | given))
