"""DDN where the nearest point is known, and beside DeepFool where it is not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robustbook.attacks import ddn, deepfool
from robustbook.networks import initialise, relu_mlp
from robustbook.randomness import generator

Make = Callable[..., Any]


def test_it_finds_the_hyperplane(make_linear: Make, make_images: Make) -> None:
    """Two classes of a linear model: the distance is |f| / ||w||, and never less than that."""
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
    """It is there to tell whether DeepFool's distances mean anything, so it must not lose. The
    logits are as far apart as a trained network's: else the cross entropy's gradient points away
    from the label and to no class in particular."""
    net = relu_mlp(30)
    initialise(net, "xavier", generator(0, "weights"))
    images = torch.rand(60, 784, generator=generator(1))
    labels = net(images).argmax(1)
    near, far = (attack(lambda x: 50 * net(x), images, labels) for attack in (ddn, deepfool))
    assert near.found.all()
    assert near.distance.mean() < 1.001 * far.distance.mean()


def test_other_units_give_the_same(make_curved: Make, make_images: Make) -> None:
    """Grey levels behind a preprocessing: everything is 255 times larger."""
    images, labels = make_images(12)
    model = make_curved()
    plain = ddn(model, images, labels, steps=40, clip=False)
    large = ddn(lambda x: model(x / 255), 255 * images, labels, steps=40, clip=False, scale=255.0)
    torch.testing.assert_close(large.distance / 255, plain.distance, rtol=1e-6, atol=1e-9)


def test_bad_numbers_are_refused(make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(3)
    for name, value in (("steps", 0), ("gamma", 1.0), ("gamma", 0.0), ("scale", -1.0)):
        with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
            ddn(make_curved(), images, labels, **{name: value})
