"""VGG16, ResNeXt29 and Model A of Random Self-Ensemble: counts, shapes, first weights."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.networks import draw_first_weights, model_a, resnext29, vgg16
from robustbook.randomness import generator

NETWORKS: dict[str, tuple[Callable[..., nn.Module], int, int, int, int]] = {
    # image side, parameters, millions of multiply-adds, convolutions
    "vgg16": (vgg16, 32, 14_728_266, 313, 13),
    "resnext29": (resnext29, 32, 9_128_778, 1_409, 31),
    "model_a": (model_a, 96, 1_128_650, 121, 6),
}
every_network = pytest.mark.parametrize(
    ("make", "side"), [row[:2] for row in NETWORKS.values()], ids=NETWORKS
)


def multiply_adds(net: nn.Module, images: Tensor) -> int:
    """Return the multiply-adds for one image, summed over all outputs of all layers."""
    found: list[int] = []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        found.append(output[0].numel() * layer.weight[0].numel())

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(images)
    return sum(found)


@pytest.mark.parametrize(
    ("make", "side", "parameters", "work", "convolutions"), NETWORKS.values(), ids=NETWORKS
)
def test_sizes_are_those_of_the_paper(
    make: Any, side: int, parameters: int, work: int, convolutions: int
) -> None:
    """They are counted on the released code; any extra bias, stride or norm would change them."""
    net = make(generator(0)).eval()
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert sum(isinstance(layer, nn.Conv2d) for layer in net.modules()) == convolutions
    images = torch.rand(2, 3, side, side, generator=generator(1))
    assert net(images).shape == (2, 10)
    assert round(multiply_adds(net, images[:1]) / 1e6) == work


@every_network
def test_narrow_divides_the_hidden_widths(make: Any, side: int) -> None:
    """Weights between hidden layers fall with the square of the divisor; other divisors are
    errors.
    """
    sizes = []
    for narrow in (4, 8):
        net = make(generator(0), narrow).eval()
        sizes.append(sum(p.numel() for p in net.parameters()))
        assert net(torch.rand(1, 3, side, side, generator=generator(1))).shape == (1, 10)
    assert 3.5 < sizes[0] / sizes[1] < 4
    for narrow in (0, 3, 16, -1):
        with pytest.raises(ValueError, match=f"narrow must be 1, 2, 4 or 8, got {narrow}"):
            make(generator(0), narrow)


@every_network
def test_layers_leave_what_they_are_given(make: Any, side: int) -> None:
    """A ReLU in place would change a tensor that a noise layer or an attack still uses."""
    net = make(generator(0), 8).eval()
    kept: list[tuple[Tensor, Tensor]] = []
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, x, y: kept.append((y, y.clone())))
    net(torch.rand(2, 3, side, side, generator=generator(1)))
    assert len(kept) > 10 and all(torch.equal(now, then) for now, then in kept)


@every_network
@pytest.mark.parametrize("start", ["torch", "released"])
def test_first_weights_are_the_generators_alone(make: Any, side: int, start: str) -> None:
    """The caller's stream is unchanged."""
    before = torch.get_rng_state()
    one, same, other = (make(generator(seed), 8, start) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.ndim == 1 or not torch.equal(p, r)


@pytest.mark.parametrize("start", ["torch", "released"])
def test_first_weights_have_their_deviation(start: str) -> None:
    """The sample deviation of n numbers is off by more than 5 / sqrt(2 n) once in a million."""
    for name, p in vgg16(generator(0), 2, start).named_parameters():
        off = 5 / math.sqrt(2 * p.numel())
        spread = p.detach().double()
        if "norm" in name:
            wanted = 0.02 if start == "released" and "weight" in name else 0.0
            spread = spread - (1 if "weight" in name else 0)
        else:
            inputs = {"conv1": 27, "linear": 256}.get(name.split(".")[0])
            wanted = 0.02 if start == "released" else 1 / math.sqrt(3 * (inputs or 0) or 1)
            if "bias" in name or (inputs is None and start == "torch"):
                continue
        assert abs(float(spread.square().mean().sqrt()) - wanted) <= off * wanted, name


def test_torchs_first_weights_have_the_spread_of_torchs_own_layers() -> None:
    """Weights and biases are uniform within 1 / sqrt(inputs) (torch's documentation)."""
    layer = nn.Conv2d(7, 4000, 3)
    ours = nn.Conv2d(7, 4000, 3)
    draw_first_weights(ours, generator(0), "torch")
    for mine, theirs in zip(ours.parameters(), layer.parameters(), strict=True):
        for end in (Tensor.amin, Tensor.amax):
            assert abs(end(mine) / end(theirs) - 1) < 0.01
    with pytest.raises(ValueError, match="start must be one of torch, released, got 'he'"):
        draw_first_weights(ours, generator(0), "he")


@every_network
def test_one_step_of_training_changes_every_weight(make: Any, side: int) -> None:
    """A layer outside the graph would never be trained."""
    net = make(generator(0), 8)
    images = torch.rand(4, 3, side, side, generator=generator(1))
    loss = nn.functional.cross_entropy(net(images), torch.arange(4))
    for g in torch.autograd.grad(loss, list(net.parameters())):
        assert bool(g.isfinite().all())
        assert bool(g.any())
