"""FGSM compared with its formula on models with a known solution."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from robustbook.attacks import clipped_probabilities, fgsm, random_signs

Make = Callable[..., Any]


@pytest.fixture
def inner() -> torch.Tensor:
    """Return images whose pixels stay inside [0, 1] after a step of 0.2."""
    draw = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return 0.3 + 0.4 * draw


def test_is_exact_on_a_linear_model(make_linear: Make, inner: torch.Tensor) -> None:
    """With two classes and weights w the margin grows by eps times the l1 norm of w_1 - w_0."""
    model = make_linear(classes=2)
    labels = model(inner).argmax(1)
    way = (model[1].weight[1] - model[1].weight[0]).detach()
    towards = torch.where(labels == 0, 1.0, -1.0).double()[:, None] * way  # to the other class
    for eps in (0.001, 0.01, 0.2):
        result = fgsm(model, inner, labels, eps=eps)
        expected = inner + eps * towards.sign().view_as(inner)
        assert torch.equal(result.images, expected)
        logits = model(inner)
        margin = (logits[:, 0] - logits[:, 1]).abs()
        assert torch.equal(result.found, margin < eps * way.abs().sum())
    assert (result.forwards, result.backwards) == (80, 40)


def test_every_loss_points_the_same_way_with_two_classes(
    make_linear: Make, inner: torch.Tensor
) -> None:
    """All losses rise as the label's probability falls, so all gradients have the same sign."""
    model = make_linear(classes=2)
    labels = torch.arange(40) % 2
    by_name = [
        fgsm(model, inner, labels, eps=0.1, loss=name).images
        for name in ("cross_entropy", "squared_error", "margin")
    ]
    assert torch.equal(by_name[0], by_name[1]) and torch.equal(by_name[0], by_name[2])
    targeted = fgsm(model, inner, labels, eps=0.1, targets=1 - labels).images
    assert torch.equal(by_name[0], targeted)


def test_clipping_is_the_only_difference_of_clip(make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(20)
    model = make_curved()
    clipped = fgsm(model, images, labels, eps=0.25).images
    free = fgsm(model, images, labels, eps=0.25, clip=False).images
    assert not torch.equal(clipped, free)
    assert torch.equal(clipped, free.clamp(0, 1))


def test_clipped_probabilities_stop_at_the_clip_given(
    make_linear: Make, inner: torch.Tensor
) -> None:
    """An image whose label has probability 1 - 1e-9 does not move at clip 1e-7, but at 1e-12."""
    model = make_linear(classes=2)
    logits = model(inner)
    labels = logits.argmax(1)
    scale = torch.log(torch.tensor(1e9)) / (logits[:, 0] - logits[:, 1]).abs().detach()

    def confident(images: torch.Tensor) -> torch.Tensor:
        return scale[:, None] * model(images)

    still = fgsm(confident, inner, labels, eps=0.2, loss="clipped_probabilities")
    assert torch.equal(still.images, inner) and not bool(still.found.any())
    finer = partial(clipped_probabilities, clip=1e-12)
    moved = fgsm(confident, inner, labels, eps=0.2, loss=finer)
    torch.testing.assert_close(moved.distance, torch.full((40,), 0.2, dtype=torch.float64))


def test_gradients_too_small_for_an_average_are_followed(make_linear: Make) -> None:
    """The loss is summed, so 1000 images do not make a float32 gradient of 1e-43 zero."""
    images = torch.full((1000, 72), 0.5)
    labels = torch.zeros(1000, dtype=torch.int64)
    weight = torch.stack([torch.full((72,), 1e-43), torch.zeros(72)], 1)
    result = fgsm(lambda x: x @ weight, images, labels, eps=0.1, loss="margin")
    assert torch.equal(result.images, torch.full_like(images, 0.5) - 0.1)


def test_random_signs_move_each_pixel_by_eps_and_by_nothing_else(
    make_linear: Make, inner: torch.Tensor
) -> None:
    labels = torch.zeros(40, dtype=torch.int64)
    result = random_signs(make_linear(), inner, labels, eps=0.2)
    steps = (result.images - inner) / 0.2
    torch.testing.assert_close(steps.abs(), torch.ones_like(steps))
    # These are 2880 coin tosses: the mean has standard deviation 0.0186, and 0.075 is four of them.
    assert abs(float(steps.mean())) < 0.075
