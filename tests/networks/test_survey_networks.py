"""Three networks for MNIST and four residual networks for CIFAR-10: counts, shapes, wiring."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.networks import (
    CNN,
    madry_mnist,
    madry_resnet,
    mosbach_mnist,
    preact18,
    preact20,
    resnet18,
    resnet110,
    tramer_b,
    wong_mnist,
)
from robustbook.networks.madry_resnet import PaddedBlock
from robustbook.randomness import generator

NETWORKS: dict[str, tuple[Callable[..., nn.Module], int, int]] = {
    # image channels, parameters
    "madry_mnist": (madry_mnist, 1, 26 * 32 + (25 * 32 + 1) * 64 + 3137 * 1024 + 10_250),
    "wong_mnist": (wong_mnist, 1, 17 * 16 + (16 * 16 + 1) * 32 + 1569 * 100 + 1_010),
    "tramer_b": (tramer_b, 1, 65 * 64 + (36 * 64 + 1) * 128 + (25 * 128 + 1) * 128 + 1_290),
    "mosbach_mnist": (mosbach_mnist, 1, 10 * 32 + (9 * 32 + 1) * 64 + 3137 * 1024 + 10_250),
    "resnet18": (resnet18, 3, 11_173_962),
    "resnet110": (resnet110, 3, 1_730_714),
    "preact18": (preact18, 3, 11_172_170),
    "preact20": (preact20, 3, 4_330_570),
}
WORK = {"resnet18": 555, "resnet110": 253, "preact18": 555, "preact20": 652}
every = pytest.mark.parametrize(("make", "channels", "parameters"), NETWORKS.values(), ids=NETWORKS)


def images(channels: int, n: int = 2) -> Tensor:
    side = 28 if channels == 1 else 32
    return torch.rand(n, channels, side, side, generator=generator(1))


@every
def test_sizes_are_those_of_the_released_code(make: Any, channels: int, parameters: int) -> None:
    """An extra bias, a missing shortcut or a missing norm would change the count."""
    net = make(generator(0))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(images(channels)).shape == (2, 10)
    assert f"{parameters:,}" in make.__doc__


@pytest.mark.parametrize("name", WORK)
def test_strides_give_the_multiply_adds_that_the_docstrings_state(name: str) -> None:
    """A stride in the wrong stage keeps the parameters but changes the work."""
    make, channels, _ = NETWORKS[name]
    found: list[int] = []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        found.append(output[0].numel() * layer.weight[0].numel())

    net = make(generator(0), 2).eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    net(images(channels))
    first = found[0]  # its input has three channels at every width
    assert round((4 * (sum(found) - first) + 2 * first) / 1e6) == WORK[name]
    assert f"{WORK[name]} million" in " ".join((make.__doc__ or "").split())


@every
def test_narrow_divides_every_hidden_width(make: Any, channels: int, parameters: int) -> None:
    """With twice the divisor, each hidden layer has half the outputs; the ten logits stay."""
    wide, narrow = make(generator(0), 1), make(generator(0), 2)
    for p, q in zip(wide.parameters(), narrow.parameters(), strict=True):
        assert q.shape[0] == (10 if p.shape[0] == 10 else p.shape[0] // 2)
    assert narrow(images(channels)).shape == (2, 10)
    for bad in (0, 3, 32):
        with pytest.raises(ValueError, match=rf"narrow must be 1(,| or) 2.* got {bad}$"):
            make(generator(0), bad)


@every
def test_first_weights_depend_on_the_generator_alone(
    make: Any, channels: int, parameters: int
) -> None:
    """torch's global generator is neither used nor changed."""
    narrow = 2
    before = torch.get_rng_state()
    one, same, other = (make(generator(seed), narrow) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q) and torch.isfinite(p).all()
        assert p.ndim == 1 or not torch.equal(p, r)


@every
def test_no_layer_changes_its_input(make: Any, channels: int, parameters: int) -> None:
    """A ReLU in place would change a feature map that a measurement still uses."""
    net = make(generator(0), 2).eval()
    kept: list[tuple[Tensor, Tensor]] = []
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, x, y: kept.append((y, y.clone())))
    net(images(channels))
    assert len(kept) > 3 and all(torch.equal(now, then) for now, then in kept)


def test_madrys_network_is_the_cnn_with_truncated_weights() -> None:
    """The smallest network of the paper's capacity sweep has 2 and 4 filters and 64 units."""
    net = madry_mnist(generator(0))
    assert isinstance(net, CNN)
    for name, values in net.named_parameters():
        if name.endswith("bias"):
            assert torch.equal(values, torch.full_like(values, 0.1))
        else:
            assert values.abs().max() <= 0.2
    assert net.hidden.weight.std().item() == pytest.approx(0.088, abs=0.001)
    smallest = madry_mnist(generator(0), 16)
    assert [len(p) for p in smallest.parameters()] == [2, 2, 4, 4, 64, 64, 10, 10]


def test_mosbachs_first_weights_are_those_of_he() -> None:
    """Variance 2 / inputs, biases 0."""
    net: Any = mosbach_mnist(generator(0))
    assert net.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 3136), rel=0.01)
    assert net.conv2.weight.std().item() == pytest.approx(math.sqrt(2 / 288), rel=0.03)
    assert all(not p.any() for name, p in net.named_parameters() if "bias" in name)


@pytest.mark.parametrize("make", [resnet18, resnet110, preact18, preact20])
def test_residual_networks_start_with_weights_of_variance_two_over_outputs(make: Any) -> None:
    """The variance is exact on average over all convolutions; batch norms start as the identity."""
    net = make(generator(0), 2)
    ratios = [
        layer.weight.pow(2).mean().item() * layer.out_channels * layer.weight[0, 0].numel() / 2
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 2000
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.02)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all() and (layer.bias == 0).all()


def _normalised(net: Any, name: str, x: Tensor) -> Tensor:
    """Return batch norm with random statistics, written out."""
    layer = net.get_submodule(name)
    shape = (1, -1, 1, 1)
    scale = layer.weight / (layer.running_var + layer.eps).sqrt()
    return x * scale.view(shape) + (layer.bias - layer.running_mean * scale).view(shape)


def _random_norms(net: nn.Module) -> None:
    """Give every batch norm another scale, shift, mean and variance, so that order matters."""
    g = generator(3)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert values is not None
                values.data.uniform_(0.3, 1, generator=g)


def _by_hand(net: Any, x: Tensor, *, pre: bool, raw: bool, end_norm: bool) -> Tensor:
    """Return the logits of a residual network, with the operations written one after another."""
    if "normalise" in dict(net.named_children()):
        x = (x - net.normalise.mean) / net.normalise.deviation
    x = F.conv2d(x, net.conv.weight, padding=1)
    if not pre:
        x = _normalised(net, "norm", x).relu()
    for stage in [name for name, _ in net.named_children() if name.startswith("stage")]:
        for i, block in enumerate(net.get_submodule(stage)):
            at = f"{stage}.{i}"
            stride = 2 if i == 0 and stage != "stage1" else 1
            active = _normalised(net, f"{at}.norm1", x).relu() if pre else x
            out = F.conv2d(active, block.conv1.weight, stride=stride, padding=1)
            norm = "norm2" if pre else "norm1"
            out = _normalised(net, f"{at}.{norm}", out).relu()
            out = F.conv2d(out, block.conv2.weight, padding=1)
            shortcut = x
            if pre and isinstance(block.shortcut, nn.Conv2d):
                shortcut = F.conv2d(x if raw else active, block.shortcut.weight, stride=stride)
            elif not pre and len(block.shortcut):
                shortcut = F.conv2d(x, block.shortcut[0].weight, stride=stride)
                shortcut = _normalised(net, f"{at}.shortcut.1", shortcut)
            x = out + shortcut if pre else (_normalised(net, f"{at}.norm2", out) + shortcut).relu()
    if pre:
        x = (_normalised(net, "norm", x) if end_norm else x).relu()
    logits: Tensor = net.linear(x.mean((2, 3)))
    return logits


@pytest.mark.parametrize(
    ("make", "pre", "raw", "end_norm"),
    [
        (resnet18, False, False, False),
        (resnet110, False, False, False),
        (preact18, True, False, True),
        (preact20, True, True, False),
    ],
)
def test_the_layers_are_wired_as_in_the_released_code(
    make: Any, pre: bool, raw: bool, end_norm: bool
) -> None:
    """Order of norm, ReLU and convolution; what the shortcut takes; whether a norm ends it."""
    net = make(generator(0), 2).eval()
    for name, values in net.named_parameters():
        if "conv2" in name:
            values.data *= 0.2  # so that 54 blocks do not overflow
    _random_norms(net)
    net = net.double()
    x = images(3).double()
    torch.testing.assert_close(net(x), _by_hand(net, x, pre=pre, raw=raw, end_norm=end_norm))


@pytest.mark.parametrize(("wide", "parameters"), [(1, 464_154), (10, 45_901_914)])
def test_the_networks_of_madry_for_cifar10(wide: int, parameters: int) -> None:
    """Counts by the layers of the released code: a first convolution, 30 more, and no weights in
    the shortcuts.
    """
    widths = [16 * wide, 32 * wide, 64 * wide]
    counted, before = 3 * 9 * 16, 16
    for width in widths:
        counted += 2 * before + 9 * before * width + 2 * width + 9 * width**2
        counted += 4 * 2 * (2 * width + 9 * width**2)
        before = width
    counted += 2 * before + 10 * before + 10
    net = madry_resnet(generator(0), wide=wide)
    assert sum(p.numel() for p in net.parameters()) == counted == parameters


def test_madry_standardises_each_image() -> None:
    """Brightness and contrast of an image do not matter, and a constant image gives no NaN."""
    net = madry_resnet(generator(0), 2).double().eval()
    assert net(torch.empty(0, 3, 32, 32).double()).shape == (0, 10)
    x = images(3).double()
    torch.testing.assert_close(net(x), net(0.5 * x + 0.2))
    x[0] = 0.5
    x.requires_grad_()
    net(x).sum().backward()
    assert bool(net(x).isfinite().all()) and bool(x.grad.isfinite().all())


def test_madry_shortcuts_average_and_pad() -> None:
    """With zero weights in the convolutions, a block is its shortcut."""
    block = PaddedBlock(2, 6, 2).eval()
    for layer in (block.conv1, block.conv2):
        nn.init.zeros_(layer.weight)
    x = torch.rand(1, 2, 4, 4, generator=generator(3))
    out = block(x)
    assert not out[:, :2].any() and not out[:, 4:].any()
    torch.testing.assert_close(out[:, 2:4], F.avg_pool2d(x, 2))
