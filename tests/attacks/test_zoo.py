"""ZOO: differences against derivatives, the attack against closed forms and Carlini-Wagner."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook.attacks import carlini_wagner, zoo
from robustbook.attacks.checks import prepare
from robustbook.attacks.noise import normal
from robustbook.attacks.zoo import differences

Make = Callable[..., Any]


def every_coordinate(images: Tensor) -> Tensor:
    return torch.arange(images[0].numel()).expand(len(images), -1)


def test_a_difference_is_the_derivative(make_curved: Make, make_images: Make) -> None:
    """To the order of h^2 inside, and of h at pixels of 0 and 1, where it is one-sided."""
    images, labels = make_images(5)
    propagation, goal, images = prepare(make_curved(), images, labels, loss="margin")
    _, _, exact = propagation.both(images, goal)
    found = differences(propagation, goal, images, every_coordinate(images), 1e-4)
    edge = (images.flatten(1) <= 0) | (images.flatten(1) >= 1)
    error = (found - exact.flatten(1)).abs()
    assert bool(edge.any()) and float(error[~edge].max()) < 1e-5
    assert float(error[edge].max()) < 1e-2


def test_coordinates_are_those_asked_for(make_linear: Make, make_images: Make) -> None:
    """Of a linear model the differences are the weights, at any h, in the order asked for."""
    images, labels = make_images(4)
    model = make_linear()
    propagation, goal, images = prepare(model, 0.3 + 0.4 * images, labels, loss="margin")
    order = torch.stack([torch.randperm(72)[:9] for _ in range(4)])
    _, _, exact = propagation.both(images, goal)
    found = differences(propagation, goal, images, order, 0.01)
    torch.testing.assert_close(found, exact.flatten(1).gather(1, order))


class Shaky:
    """A model of two classes with Gaussian noise of standard deviation 0.1 on each logit."""

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        def logits(x: Tensor) -> Tensor:
            noise = torch.zeros(len(x), 2, dtype=x.dtype)
            for i, number in enumerate(torch.as_tensor(draw).expand(len(x)).tolist()):
                noise[i] = normal(int(keys[i]), torch.arange(1), number, (2,), x.dtype)[0]
            return torch.stack([x.sum(1), -x.sum(1)], 1) + 0.1 * noise

        return logits


def test_the_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    """With 60 images, 40 coordinates are evaluated in several forward passes; with one image, in
    one forward pass.
    """
    images = torch.full((60, 40), 0.5, dtype=torch.float64)
    labels, keys = torch.zeros(60, dtype=torch.long), torch.arange(60)
    found = []
    for rows in (torch.arange(60), torch.tensor([7]), torch.arange(9)):
        propagation, goal, some = prepare(
            Shaky(), images[rows], labels[rows], loss="margin", keys=keys[rows]
        )
        found.append(differences(propagation, goal, some, every_coordinate(some), 0.1, 5))
    whole, alone, few = found
    torch.testing.assert_close(alone, whole[[7]], rtol=0, atol=1e-9)
    torch.testing.assert_close(few, whole[:9], rtol=0, atol=1e-9)
    assert whole.unique().numel() == whole.numel(), "new noise in every evaluation"


def test_noise_is_divided_by_h() -> None:
    """Logits with noise of deviation s: each margin has variance 2 s^2, the difference of two
    4 s^2, the estimate s^2 / h^2."""
    images = torch.full((40, 10), 0.5, dtype=torch.float64)
    labels = torch.zeros(40, dtype=torch.long)
    propagation, goal, images = prepare(Shaky(), images, labels, loss="margin")
    for h in (0.01, 0.1):
        found = differences(propagation, goal, images, every_coordinate(images), h)
        assert float(found.mean()) == pytest.approx(-2.0, abs=4 * 0.1 / h / 20)
        assert float(found.std()) == pytest.approx(0.1 / h, rel=0.15)


def test_the_nearest_point_of_a_linear_model(make_linear: Make) -> None:
    """Of two classes: the distance to the boundary, to a few per cent."""
    model = make_linear(classes=2)
    x = 0.4 + 0.2 * torch.rand(10, 2, 6, 6, dtype=torch.float64)
    labels = model(x).argmax(1)
    w = model[1].weight
    exact = ((model(x)[:, 0] - model(x)[:, 1]).abs() / (w[0] - w[1]).norm()).detach()
    found = zoo(model, x, labels, c=1.0, steps=150, coordinates=72, step_size=0.005, h=1e-3)
    assert bool(found.found.all())
    assert float((found.distance / exact).max()) < 1.05 and bool(
        (found.distance >= exact * (1 - 1e-9)).all()
    )


def test_a_confidence_is_kept(make_linear: Make) -> None:
    model = make_linear(classes=2)
    x = 0.4 + 0.2 * torch.rand(10, 2, 6, 6, dtype=torch.float64)
    labels = model(x).argmax(1)
    found = zoo(model, x, labels, c=5.0, steps=40, coordinates=72, step_size=0.01, kappa=0.5)
    assert bool(found.found.all())
    logits = model(found.images).detach()
    margins = (logits[:, 1] - logits[:, 0]) * (1 - 2 * labels)
    assert float(margins.min()) >= 0.5


def test_as_near_as_with_gradients(make_curved: Make, make_images: Make) -> None:
    """All coordinates in each step make it Adam on nearly exact gradients."""
    images, _ = make_images(12)
    model = make_curved()
    labels = model(images).argmax(1)
    blind = zoo(model, images, labels, c=5.0, steps=200, coordinates=72, step_size=0.01)
    seeing = carlini_wagner(model, images, labels, c=5.0, steps=200, step_size=0.02)
    both = blind.found & seeing.found
    assert int(both.sum()) >= 11
    assert float((blind.distance / seeing.distance)[both].mean()) < 1.1


def test_what_it_costs(make_curved: Make, make_images: Make, counting: type) -> None:
    images, labels = make_images(7)
    model = counting(make_curved())
    found = zoo(model, images, labels, c=1.0, steps=3, coordinates=5)
    assert found.forwards == model.forwards == 7 * (3 * (2 * 5 + 1) + 2)
    assert found.backwards == 0 and bool((found.steps == 3).all())
    all_of_it = zoo(make_curved(), images, labels, c=1.0, steps=1, coordinates=1000)
    assert all_of_it.forwards == 7 * (2 * 72 + 1 + 2)
    assert bool((all_of_it.distance[~all_of_it.found] == math.inf).all())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"c": 0.0}, "c must be a finite number above 0, got 0.0"),
        ({"h": 0}, "h must be a finite number above 0, got 0"),
        (
            {"h": 1e-17},
            "h must be above 5.55e-17, because 1 - h is rounded to 1 in torch.float64, got 1e-17",
        ),
        ({"coordinates": 0}, "coordinates must be a whole number, 1 or more, got 0"),
        ({"kappa": -1.0}, "kappa must be a finite number, 0 or above, got -1.0"),
    ],
)
def test_refusals(given: dict[str, Any], sentence: str, make_linear: Make) -> None:
    images, labels = torch.rand(2, 72, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match=sentence):
        zoo(make_linear(), images, labels, **{"c": 1.0, **given})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_h_still_changes_every_pixel(dtype: torch.dtype, make_linear: Make) -> None:
    """Just above the limit, the two images of a difference differ, whatever the value of the
    pixel; at the limit, they are equal for a pixel of 1.
    """
    limit = torch.finfo(dtype).eps / 4
    x = torch.tensor([[0.0, 0.5, 0.75, 1 - 2 * limit, 1.0]], dtype=dtype)
    model, label = make_linear(pixels=5, dtype=dtype), torch.zeros(1, dtype=torch.long)
    propagation, goal, x = prepare(model, x, label, loss="margin")
    for h, finite in ((1.01 * limit, True), (limit, False)):
        found = differences(propagation, goal, x, every_coordinate(x), h)
        assert bool(found.isfinite().all()) == finite
    with pytest.raises(ValueError, match="h must be above"):
        zoo(model, x, label, c=1.0, h=limit)
