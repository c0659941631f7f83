"""Schedules, optimisers and augmentation compared with values by hand, and invalid recipes."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks.noise import uniform
from robustbook.randomness import generator
from robustbook.runs import step
from robustbook.training import Augmentation, Recipe, fit

BASE = Recipe(10, 4, 0.6, "sgd")


@step(version=1)
def train(recipe: Recipe) -> dict[str, object]:
    return {}


def test_the_key_of_a_recipe_of_before_is_what_it_was() -> None:
    """A later field is part of the key only if it differs from its default."""
    content = train(BASE).content["arguments"]["recipe"]["Recipe"]
    assert set(content) == {
        "steps", "batch_size", "lr", "optimizer", "schedule", "momentum", "weight_decay"
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"precision": "bfloat16"},
        {"channels_last": True},
        {"nesterov": True},
        {"warmup": 0.2},
        {"decay": "weights"},
        {"augmentation": Augmentation(mirror=True)},
        {"augmentation": Augmentation(padding=4)},
    ]
    keys = {train(replace(BASE, **change)).key for change in changes}
    assert len(keys | {train(BASE).key}) == 8


# Learning rates, in units of the recipe's 0.6.


@pytest.mark.parametrize(
    ("change", "factors"),
    [
        ({}, [1] * 10),
        ({"schedule": "linear"}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        # The rate rises in five equal steps to its full value, then falls in sixths.
        (
            {"schedule": "linear", "warmup": 0.4},
            [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
        ),
        ({"warmup": 0.2}, [1 / 3, 2 / 3] + [1] * 8),
        (
            {"schedule": ((1, 0.5), (6, 0.1)), "warmup": 0.3},
            [1 / 4, 1 / 4, 3 / 8, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1],
        ),
        ({"schedule": "linear", "warmup": 0.9}, [k / 10 for k in range(1, 11)]),
        ({"schedule": "linear", "warmup": 0.99}, [k / 11 for k in range(1, 11)]),
    ],
)
def test_the_rate_of_each_step(change: dict[str, Any], factors: list[float]) -> None:
    recipe = replace(BASE, **change)
    assert [recipe.lr_at(k) for k in range(10)] == pytest.approx([0.6 * f for f in factors])


# The optimiser, on the loss (w + 1)^2 / 2, whose gradient is known.


class Weights(nn.Module):
    """A matrix and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[1.0, -2.0]]))
        self.bias = nn.Parameter(torch.tensor([4.0]))


def halves(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"halves": sum((p + 1).square().sum() / 2 for p in net.parameters()) + 0 * x.sum()}


def trained(recipe: Recipe) -> Weights:
    fit(
        net := Weights(),
        torch.zeros(4, 1, 1, 1),
        torch.zeros(4).long(),
        halves,
        recipe,
        seed=0,
    )
    return net


@pytest.mark.parametrize("nesterov", [False, True])
def test_nesterov_is_its_recursion(nesterov: bool) -> None:
    """v = mu v + g; then w -= lr (g + mu v) with Nesterov, and w -= lr v without."""
    w, v = 4.0, 0.0
    for _ in range(3):
        g = w + 1
        v = 0.9 * v + g
        w -= 0.1 * (g + 0.9 * v if nesterov else v)
    assert trained(Recipe(3, 4, 0.1, "sgd", nesterov=nesterov)).bias.item() == pytest.approx(w)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_decay_spares_what_has_one_axis(optimizer: Any) -> None:
    """It equals training with decay for the matrix and without decay for the bias."""
    recipe = Recipe(3, 4, 0.1, optimizer, weight_decay=0.5)
    everywhere, nowhere = trained(recipe), trained(replace(recipe, weight_decay=0.0))
    weights = trained(replace(recipe, decay="weights"))
    assert torch.equal(weights.matrix, everywhere.matrix)
    assert torch.equal(weights.bias, nowhere.bias)
    assert not torch.equal(everywhere.bias, nowhere.bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "float16"}, "precision must be float32, tf32, bfloat16, got 'float16'"),
        ({"channels_last": 1}, "channels_last must be True or False, got 1"),
        ({"nesterov": "yes"}, "nesterov must be True or False, got 'yes'"),
        ({"nesterov": True}, "nesterov must be False except for sgd .*, got adam"),
        (
            {"nesterov": True, "optimizer": "sgd", "momentum": 0.0},
            "nesterov must be False .*, got sgd with momentum 0",
        ),
        ({"warmup": 1.0}, r"warmup must be a fraction of the steps in \[0, 1\), got 1"),
        ({"warmup": -0.1}, "warmup must be .*, got -0.1"),
        ({"warmup": float("nan")}, "warmup must be .*, got nan"),
        ({"steps": 2.5}, "steps must be a whole number, 1 or more, got 2.5"),
        ({"batch_size": 1.5}, "batch_size must be a whole number, 1 or more, got 1.5"),
        ({"schedule": (100, 0.1)}, r"schedule must be .* pairs .*, got \(100, 0.1\)"),
        ({"schedule": ((6, 0.1), (1, 0.5))}, "schedule must be .* increasing steps, got"),
        ({"schedule": ((1, 0.5), (1, 0.1))}, "schedule must be .* increasing steps, got"),
        ({"schedule": ((1, float("nan")),)}, "schedule must be .*, got"),
        ({"schedule": ((1.5, 0.1),)}, "schedule must be .*, got"),
        ({"schedule": [(1, 0.5)]}, "schedule must be .*, got"),
        ({"schedule": ((-1, 0.5),)}, "schedule must be .*, got"),
        ({"schedule": ()}, r"schedule must be .*, got \(\)"),
        ({"warmup": None}, "warmup must be a finite number, 0 or above, got None"),
        *(({"momentum": m, "optimizer": "sgd"}, "momentum must be") for m in (-0.1, 1.0, "0.9")),
        *(
            ({"weight_decay": w}, "weight_decay must be a finite number")
            for w in (-1, "1", math.inf)
        ),
        ({"decay": "none"}, "decay must be all or weights, got 'none'"),
        ({"augmentation": "mirror"}, "augmentation must be an Augmentation or None, got 'mirror'"),
    ],
)
def test_a_bad_recipe_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Recipe.__init__)(
            object.__new__(Recipe), **{"steps": 1, "batch_size": 1, "lr": 0.1, **change}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mirror": 1}, "mirror must be True or False, got 1"),
        ({"padding": -1}, "padding must be a whole number, 0 or more, got -1"),
        ({"padding": 1.5}, "padding must be a whole number, 0 or more, got 1.5"),
        ({"padding": True}, "padding must be a whole number, 0 or more, got True"),
    ],
)
def test_a_bad_augmentation_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Augmentation.__init__)(object.__new__(Augmentation), **change)


def test_padding_may_be_a_number_of_numpy() -> None:
    """It becomes Python's, as the key of a recipe needs."""
    made = object.__new__(Augmentation)
    inspect.unwrap(Augmentation.__init__)(made, True, np.int64(4))
    assert made == Augmentation(True, 4) and type(made.padding) is int


# Augmentation.

N, SIZE = 12, 5


def pictures() -> Tensor:
    return torch.randint(1, 256, (N, 2, SIZE, SIZE), generator=generator(1), dtype=torch.uint8)


def seen(augmentation: Augmentation, *, batch: int, seed: int = 0, epochs: int = 2) -> Tensor:
    """Return the images that a network gets, by epoch and image; an image's label is its number."""
    found = torch.zeros(epochs, N, 2, SIZE, SIZE)
    counts = iter(range(1000))

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        found[next(counts) * batch // N, y] = x
        return halves(net, x, y, c)

    recipe = Recipe(epochs * N // batch, batch, 0.1, augmentation=augmentation)
    fit(Weights(), pictures(), torch.arange(N), note, recipe, seed=seed)
    return found * 255


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_an_image_is_cropped_and_mirrored_as_its_numbers_say(mirror: bool, padding: int) -> None:
    """Row, column and mirroring come from the hash of (seed, epoch, image), one image at a time."""
    found = seen(Augmentation(mirror, padding), batch=4, seed=7)
    stream = generator(7, "augmentation").initial_seed()
    padded = F.pad(pictures(), (padding,) * 4)
    for epoch in range(2):
        for i in range(N):
            (draw,) = uniform(stream, torch.tensor([i]), epoch, 3, torch.float32).tolist()
            top, left = (int(u * (2 * padding + 1)) for u in draw[1:])
            expected = padded[i, :, top : top + SIZE, left : left + SIZE]
            expected = expected.flip(2) if mirror and draw[0] >= 0.5 else expected
            assert torch.equal(found[epoch, i].round(), expected.float()), (epoch, i)


def test_augmentation_depends_on_seed_epoch_and_image_and_on_nothing_else() -> None:
    """It does not depend on the batch."""
    both = Augmentation(True, 1)
    usual = seen(both, batch=4)
    assert torch.equal(usual, seen(both, batch=6)) and torch.equal(usual, seen(both, batch=1))
    assert not torch.equal(usual[0], usual[1])
    assert not torch.equal(usual, seen(both, batch=4, seed=1))


def test_each_side_and_place_is_as_frequent_as_it_should_be() -> None:
    """Of 40,000 images half are mirrored, and each of nine crops occurs in a ninth.

    The bound is five standard deviations of the binomial.
    """
    drawn = Augmentation(True, 1).drawn(0, 0, 40_000, torch.device("cpu"))
    turned, top, left = drawn.unbind(1)
    assert abs(turned.double().mean().item() - 1 / 2) < 5 * (1 / 4 / 40_000) ** 0.5
    shares = torch.bincount(3 * top + left, minlength=9) / 40_000
    assert len(shares) == 9
    assert (shares - 1 / 9).abs().max().item() < 5 * (8 / 81 / 40_000) ** 0.5
