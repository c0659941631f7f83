"""DDN on models with a known nearest point, and compared with DeepFool on others."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robustbook.attacks import ddn, deepfool
from robustbook.attacks.ddn import length
from robustbook.networks import initialise, relu_mlp
from robustbook.randomness import generator

Make = Callable[..., Any]


def test_it_finds_the_hyperplane(make_linear: Make, make_images: Make) -> None:
    """On a linear model of two classes the distance is |f| / ||w||, and never less."""
    images, labels = make_images(40)
    model, labels = make_linear(classes=2), labels % 2
    logits = model(images)
    margin = (logits[:, 1] - logits[:, 0]).abs()
    weight = next(p for p in model.parameters() if p.ndim > 1)
    exact = margin / (weight[1] - weight[0]).norm()
    found = ddn(model, images, labels, clip=False)
    wrong = logits.argmax(1) != labels
    assert (found.distance[wrong] == 0).all() and found.found.all()
    ratio = (found.distance / exact)[~wrong]
    assert ratio.min() > 1 - 1e-6 and ratio.max() < 1.01


def test_it_is_not_further_than_deepfool() -> None:
    """DDN is used to check DeepFool's distances, so it must not be worse.

    The logits are as far apart as those of a trained network. Otherwise the gradient of the cross
    entropy points to no class in particular.
    """
    net = relu_mlp(30)
    initialise(net, "xavier", generator(0, "weights"))
    images = torch.rand(60, 784, generator=generator(1))
    labels = net(images).argmax(1)
    near, far = (attack(lambda x: 50 * net(x), images, labels) for attack in (ddn, deepfool))
    assert near.found.all()
    assert near.distance.mean() < 1.001 * far.distance.mean()


def test_other_units_give_the_same(make_curved: Make, make_images: Make) -> None:
    """In grey levels after a preprocessing, everything is 255 times larger."""
    images, labels = make_images(12)
    model = make_curved()
    plain = ddn(model, images, labels, steps=40, clip=False)
    large = ddn(lambda x: model(x / 255), 255 * images, labels, steps=40, clip=False, scale=255.0)
    torch.testing.assert_close(large.distance / 255, plain.distance, rtol=1e-6, atol=1e-9)


def test_the_length_of_a_step_falls_along_half_a_cosine() -> None:
    """It falls from 1 through 0.505 to 0.01 + 0.99 (1 - cos(pi / n)) / 2 at the last step."""
    assert length(0, 300) == 1 and length(150, 300) == pytest.approx(0.505)
    assert length(299, 300) == pytest.approx(0.01 + 0.99 * 2.7415e-5, rel=1e-4)
    assert [length(step, 4) for step in range(4)] == pytest.approx([1, 0.855018, 0.505, 0.154982])


@pytest.mark.parametrize("clip", [False, True])
def test_equals_a_plain_loop(clip: bool, make_curved: Make, make_images: Make) -> None:
    """Compute algorithm 1 of the paper one image at a time, step by step."""
    images, _ = make_images(8)
    model, steps, gamma, scale = make_curved(), 12, 0.1, 0.25
    labels = model(images).argmax(1)
    result = ddn(model, images, labels, steps=steps, gamma=gamma, scale=scale, clip=clip)
    for row in range(8):
        x, label = images[row : row + 1], labels[row : row + 1]
        delta, radius, best, nearest = torch.zeros_like(x), scale, x, torch.inf
        for step in range(steps):
            leaf = (x + delta).requires_grad_()
            logits = model(leaf)
            torch.nn.functional.cross_entropy(logits, label).backward()
            across = int(logits.argmax()) != int(label)
            if across and float(delta.norm()) < nearest:
                best, nearest = x + delta, float(delta.norm())
            radius *= 1 - gamma if across else 1 + gamma
            cosine = (1 + torch.cos(torch.tensor(torch.pi * step / steps)).item()) / 2
            rate = scale * (0.01 + 0.99 * cosine)
            delta = delta + rate * leaf.grad / leaf.grad.norm()
            delta = delta * radius / delta.norm()
            if clip:
                delta = (x + delta).clamp(0, 1) - x
        torch.testing.assert_close(result.images[row], best[0], rtol=0, atol=1e-6)
        assert float(result.distance[row]) == pytest.approx(nearest, rel=1e-6)
    assert 0 < int(result.found.sum())


def test_bad_numbers_are_refused(make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(3)
    for name, value in (("steps", 0), ("gamma", 1.0), ("gamma", 0.0), ("scale", -1.0)):
        with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
            ddn(make_curved(), images, labels, **{name: value})
