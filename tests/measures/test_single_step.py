"""Accuracy along fixed directions on a linear model, where each crossing is known."""

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import fgsm
from robustbook.measures import accuracy_along, eps_leaving, gradient_signs
from robustbook.networks import initialise, relu_mlp
from robustbook.randomness import generator


def linear() -> nn.Linear:
    """Logits 0 and w x with ||w||_1 = 2: class 1 where w x is above 0."""
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, -0.5, 0.5]]))
    return model


def distances() -> tuple[Tensor, Tensor, Tensor]:
    """Five images at w x = 1, 2, 3, 4, 5, all of class 1: FGSM turns them at half of that."""
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
    """In the box and out of it, for a network: else Table 1's columns would not be FGSM's."""
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
    with pytest.raises(ValueError, match="accuracy must be below that without any step, got 50"):
        eps_leaving(linear(), images, 1 - labels, torch.ones(5, 3))
    with pytest.raises(ValueError, match="directions must bring accuracy to 50 %"):
        eps_leaving(linear(), images, labels, torch.zeros(5, 3))
