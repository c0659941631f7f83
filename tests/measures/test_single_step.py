"""Accuracy along fixed directions on a linear model, where the boundary is known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import FRESH, fgsm
from robustbook.attacks.noise import normal
from robustbook.measures import accuracy_along, eps_leaving, gradient_signs
from robustbook.networks import initialise, relu_mlp
from robustbook.randomness import generator


def linear() -> nn.Linear:
    """Return logits 0 and w x with ||w||_1 = 2, so class 1 is where w x is above 0."""
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, -0.5, 0.5]]))
    return model


def distances() -> tuple[Tensor, Tensor, Tensor]:
    """Return five images of class 1 at w x = 1, 2, 3, 4, 5: FGSM needs half of that as eps."""
    at = torch.arange(1.0, 6.0)
    return torch.stack([at, torch.zeros(5), torch.zeros(5)], 1), torch.ones(5).long(), at / 2


def test_the_eps_leaving_of_a_linear_model_is_its_median_distance() -> None:
    images, labels, sizes = distances()
    ways = gradient_signs(linear(), images, labels)
    assert torch.equal(ways, torch.tensor([-1.0, 1.0, -1.0]).expand(5, 3))
    eps = eps_leaving(linear(), images, labels, ways, tolerance=1e-4)
    assert eps == pytest.approx(sizes.median().item(), rel=2e-4)
    assert accuracy_along(linear(), images, labels, ways, eps) == pytest.approx(40)
    assert accuracy_along(linear(), images, labels, ways, 0.999 * eps) == pytest.approx(60)


def test_it_is_fgsm() -> None:
    """It equals FGSM with and without clipping, so Table 1's columns are FGSM's."""
    net = relu_mlp(20)
    initialise(net, "xavier", generator(0, "weights"))
    images = torch.rand(50, 784, generator=generator(1))
    labels = net(images).argmax(1)
    ways = gradient_signs(net, images, labels)
    for clip, box in ((False, None), (True, (torch.zeros(784), torch.ones(784)))):
        kept = ~fgsm(net, images, labels, eps=0.02, clip=clip).found
        share = accuracy_along(net, images, labels, ways, 0.02, box)
        assert share == pytest.approx(100 * kept.double().mean().item()) and 0 < share < 100


def test_what_cannot_be_halved_is_refused() -> None:
    images, labels, _ = distances()
    with pytest.raises(ValueError, match="accuracy must be below .* clean images, got 50"):
        eps_leaving(linear(), images, 1 - labels, torch.ones(5, 3))
    with pytest.raises(ValueError, match="directions must reduce accuracy to 50 %"):
        eps_leaving(linear(), images, labels, torch.zeros(5, 3))


@pytest.mark.parametrize("name", ["start", "tolerance"])
@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_search_that_would_not_end_is_refused(name: str, wrong: float) -> None:
    images, labels, _ = distances()
    ways, options = torch.tensor([-1.0, 1.0, -1.0]).expand(5, 3), {name: wrong}
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got {wrong}"):
        eps_leaving(linear(), images, labels, ways, **options)


def test_the_search_by_hand() -> None:
    """Images 1 to 5 are misclassified from 0.5, 1, 1.5, 2, 2.5, so two fifths are left at 1.5.

    From a start of 1, doubling stops at 2. The first middle, 1.5, stays the upper end to the last.
    """
    images, labels, _ = distances()
    ways, tried = gradient_signs(linear(), images, labels), []

    def model(x: Tensor) -> Tensor:
        tried.append(float(-(x - images)[0, 0]))
        logits: Tensor = linear()(x)
        return logits

    assert eps_leaving(model, images, labels, ways) == 1.5
    assert tried[:5] == [0.0, 1.0, 2.0, 1.5, 1.25]
    low, high = 1.0, 1.5
    while high - low > 1e-3 * high:  # accuracy at every middle is higher
        low = (low + high) / 2
    assert tried[-1] == pytest.approx(low, abs=1e-6) and len(tried) == 3 + 1 + 9
    tried.clear()
    assert eps_leaving(model, images, labels, ways, accuracy=40.0, start=0.25) == 1.5
    assert tried[:5] == [0.0, 0.25, 0.5, 1.0, 2.0]
    with pytest.raises(ValueError, match="got more up to eps 1.04858e"):
        eps_leaving(linear(), images, labels, torch.zeros(5, 3))


def test_clipping_keeps_each_pixel_in_its_range() -> None:
    """The first pixel may not fall below 0.9, so w x stays above 0 for all images but none."""
    images, labels, _ = distances()
    ways = torch.tensor([-1.0, 0.0, 0.0]).expand(5, 3)
    low, high = torch.full((3,), -1.0), torch.full((3,), 9.0)
    assert accuracy_along(linear(), images, labels, ways, 4.5, (low, high)) == 20
    low[0] = 0.9
    assert accuracy_along(linear(), images, labels, ways, 4.5, (low, high)) == 100


class Shifted:
    """A randomised model: the noise of each draw is added to the second logit."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def at(self, keys: Tensor, draw: int) -> Callable[[Tensor], Tensor]:
        self.asked.append(draw)
        noise = normal(0, keys, draw, (1,), torch.float32)
        return lambda x: torch.cat([torch.zeros_like(noise), x[:, :1] + noise], 1)


def test_the_accuracy_is_measured_with_other_noise_than_the_gradient() -> None:
    """With the same noise, it would be too low."""
    model, x, y = Shifted(), torch.zeros(4, 3), torch.ones(4).long()
    ways = gradient_signs(model, x, y)
    assert model.asked == [0]
    accuracy_along(model, x, y, ways, 0.1)
    assert model.asked == [0, FRESH]
