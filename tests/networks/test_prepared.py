"""The networks of Deep Defense: sizes counted by hand, and layers that agree with torch's."""

import math
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.networks import (
    ChannelsLast,
    GreyLevels,
    PatchConv2d,
    Whitened,
    convnet,
    draw_normal,
    fc500_150_10,
    lenet,
    mean_image,
    nin,
    preprocessed,
)
from robustbook.networks.imagenet import Normalised
from robustbook.randomness import generator

GRAY, COLOUR = (1, 28, 28), (3, 32, 32)
NETWORKS = {
    "lenet": (lenet, GRAY, 431_080),
    "mlp": (fc500_150_10, GRAY, 469_160),
    "convnet": (convnet, COLOUR, 145_578),
    "nin": (nin, COLOUR, 966_986),
}
every_network = pytest.mark.parametrize(("make", "shape", "count"), NETWORKS.values(), ids=NETWORKS)


@every_network
def test_the_parameters_are_counted(make: Any, shape: tuple[int, ...], count: int) -> None:
    """They are those of the released code, and of the DeepFool paper's networks."""
    net = make(GreyLevels(torch.zeros(shape)), generator(0))
    assert sum(p.numel() for p in net.parameters()) == count
    assert net(torch.rand(2, *shape, generator=generator(1))).shape == (2, 10)


@every_network
def test_first_weights_are_the_generators_alone(
    make: Any, shape: tuple[int, ...], count: int
) -> None:
    before = torch.get_rng_state()
    one, same, other = (make(GreyLevels(torch.zeros(shape)), generator(s)) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not bool(p.any()) if p.ndim == 1 else not torch.equal(p, r)


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("lenet", [0.01] * 4),
        ("mlp", [0.01] * 3),
        ("convnet", [0.01] + [0.05] * 4),
        # He's deviations for 75, 192, 160, 2400, 192, 192, 1728, 192 and 192 inputs; the last is a
        # tenth.
        ("nin", [math.sqrt(2 / n) for n in (75, 192, 160, 2400, 192, 192, 1728, 192, 19200)]),
    ],
)
def test_first_weights_have_matconvnets_deviations(name: str, deviations: list[float]) -> None:
    """The sample deviation of n normals is off by more than 5 / sqrt(2 n) once in a million."""
    make, shape, _ = NETWORKS[name]
    net = make(GreyLevels(torch.zeros(shape)), generator(0))
    weights = [p for p in net.parameters() if p.ndim > 1]
    for weight, deviation in zip(weights, deviations, strict=True):
        off = float(weight.detach().double().square().mean().sqrt()) / deviation - 1
        assert abs(off) < 5 / math.sqrt(2 * weight.numel())


def test_grey_levels_are_the_scale_of_the_paper() -> None:
    """The output is 255 x minus the mean image, and the mean image is exact."""
    images = torch.randint(256, (7, *GRAY), generator=generator(0)).to(torch.uint8)
    mean = mean_image(images)
    torch.testing.assert_close(mean, images.float().mean(0))
    out = GreyLevels(mean)(images.double() / 255)
    torch.testing.assert_close(out, images.double() - mean)
    torch.testing.assert_close(out.mean(0), torch.zeros(GRAY).double(), rtol=0, atol=1e-5)


def test_images_of_another_shape_are_refused() -> None:
    """Otherwise the mean would be broadcast, or a layer would fail with an unclear message."""
    layer = GreyLevels(torch.zeros(GRAY))
    for shape in ((2, *COLOUR), (2, 1, 14, 14), (2, 3, 28, 28)):
        with pytest.raises(ValueError, match=r"images must be of shape \(n, 1, 28, 28\), got"):
            layer(torch.zeros(shape))


def test_a_prepared_network_is_its_two_parts() -> None:
    """The mean image is stored too, because a network with another one would be another network."""
    mean = torch.rand(GRAY, generator=generator(1))
    net = lenet(GreyLevels(mean), generator(0))
    images = torch.rand(3, *GRAY, generator=generator(2))
    assert torch.equal(net(images), net.body(net.preprocess(images)))
    other = lenet(GreyLevels(torch.zeros(GRAY)), generator(3))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(images), net(images))


def test_lenet_has_one_relu_and_the_convnet_pools_before_its_first() -> None:
    """No parameter count shows these two details of the released code."""
    net = lenet(GreyLevels(torch.zeros(GRAY)), generator(0))
    kinds = [type(layer).__name__ for layer in net.body if not isinstance(layer, ChannelsLast)]
    conv, pool = ["PatchConv2d", "MaxPool2d"], ["Conv2d", "MaxPool2d"]
    assert kinds == [*conv, *pool, "Flatten", "Linear", "ReLU", "Linear"]
    net = convnet(GreyLevels(torch.zeros(COLOUR)), generator(0))
    kinds = [type(layer).__name__ for layer in net.body if not isinstance(layer, ChannelsLast)]
    assert kinds[:3] == ["Conv2d", "MaxPool2d", "ReLU"]
    assert kinds.count("AvgPool2d") == 2 and kinds.count("MaxPool2d") == 1
    net = nin(GreyLevels(torch.zeros(COLOUR)), generator(0))
    dropped = [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)]
    assert dropped == [0.5, 0.5] and isinstance(net.body[-3][-1], nn.Conv2d)


@pytest.mark.parametrize(
    ("make", "shape", "divisor", "accepted"),
    [
        (lenet, GRAY, 2, "1, 2 or 5"),
        *((make, COLOUR, 4, "1, 2, 4 or 8") for make in (convnet, nin)),
    ],
)
def test_narrowed_networks(
    make: Callable[..., nn.Module], shape: tuple[int, ...], divisor: int, accepted: str
) -> None:
    """Widths are divided and the ten classes stay; another divisor is an error of one sentence."""
    whole, narrow = (make(GreyLevels(torch.zeros(shape)), generator(0), n) for n in (1, divisor))
    *widths, classes = (p.shape[0] for p in whole.parameters() if p.ndim == 1)
    assert [p.shape[0] for p in narrow.parameters() if p.ndim == 1] == [
        *(width // divisor for width in widths),
        classes,
    ]
    assert narrow(torch.zeros(2, *shape)).shape == (2, 10)
    with pytest.raises(ValueError, match=f"narrow must be {accepted}, got 3"):
        make(GreyLevels(torch.zeros(shape)), generator(0), 3)


def test_no_images_have_no_mean() -> None:
    with pytest.raises(ValueError, match="images must hold one image or more, got none"):
        mean_image(torch.empty(0, 1, 2, 2, dtype=torch.uint8))


def test_a_deviation_for_each_layer() -> None:
    with pytest.raises(ValueError, match="deviations must name one number per layer, got 2 for 1"):
        draw_normal(nn.Linear(2, 2), generator(0), (0.1, 0.1))


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_patch_convolution_is_a_convolution(padding: int, bias: bool) -> None:
    """Value, both gradients and the gradient of a gradient agree; Deep Defense trains on the
    last.
    """
    ours = PatchConv2d(2, 3, (3, 2), padding=padding, bias=bias).double()
    draw_normal(ours, generator(0), (0.5,))
    theirs = nn.Conv2d(2, 3, (3, 2), padding=padding, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(4, 2, 6, 5, generator=generator(1), dtype=torch.float64)

    def derivatives(layer: nn.Module) -> list[Tensor]:
        x = images.clone().requires_grad_()
        y = layer(x).tanh()
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        wanted = [x, *layer.parameters()]
        first = torch.autograd.grad(y.square().sum(), wanted, retain_graph=True)
        return [y, slope, *first, *torch.autograd.grad(slope.square().sum(), wanted)]

    for one, other in zip(derivatives(ours), derivatives(theirs), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(ours(images), theirs(images))  # and without a gradient, torch's own


@pytest.mark.parametrize(
    "options",
    [
        {"padding_mode": "circular", "padding": 1},
        {"padding": "same"},
        {"stride": 2},
        {"dilation": 2},
        {"groups": 2},
    ],
    ids=str,
)
def test_a_patch_convolution_with_options_has_torchs_gradient(options: dict[str, Any]) -> None:
    ours, theirs = PatchConv2d(2, 4, 3, **options), nn.Conv2d(2, 4, 3, **options)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 2, 7, 7, generator=generator(1)).requires_grad_()
    one, other = (torch.autograd.grad(f(images).square().sum(), images) for f in (ours, theirs))
    torch.testing.assert_close(one, other)


def test_a_patch_convolution_under_vmap() -> None:
    """Deep Defense computes the gradients of several classes in one pass."""
    layer = PatchConv2d(1, 3, 3).double()
    draw_normal(layer, generator(0), (0.5,))
    images = torch.rand(5, 2, 1, 6, 6, generator=generator(1), dtype=torch.float64)

    def slope(x: Tensor) -> Tensor:
        return torch.func.grad(lambda z: layer(z).tanh().sum())(x)

    together = torch.func.vmap(slope)(images)
    torch.testing.assert_close(together, torch.stack([slope(x) for x in images]))


@pytest.mark.parametrize(
    "module", [GreyLevels(torch.zeros(1, 2, 2)), Whitened(torch.zeros(1, 2, 2), 50.0, torch.eye(4))]
)
def test_bytes_are_no_images_of_a_network(module: nn.Module) -> None:
    """255 times a byte overflows and silently gives a wrong answer. Unwrapped: without the hook."""
    bytes_ = torch.full((1, 1, 2, 2), 9, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"images must be floats in \[0, 1\], got torch.uint8"):
        unwrap(type(module).forward)(module, bytes_)


def test_bytes_are_not_normalised() -> None:
    with pytest.raises(ValueError, match=r"images must be floats in \[0, 1\], got torch.uint8"):
        unwrap(Normalised.forward)(Normalised(), torch.zeros(1, 3, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    "make", [mean_image, lambda images: unwrap(preprocessed)(nn.Identity(), images)]
)
def test_preprocessing_is_made_from_bytes(make: Callable[[Tensor], object]) -> None:
    """From images in [0, 1] the mean image would be 255 times too small."""
    with pytest.raises(ValueError, match=r"images must be bytes \(torch.uint8\) in 0\.\.255, got"):
        unwrap(make)(torch.rand(4, 1, 2, 2))
