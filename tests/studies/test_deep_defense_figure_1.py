"""Figure 1 shows the modules as they are, and its reverse network computes their gradient."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook import catalogue, ledger
from robustbook.chapters.deep_defense import figure1
from robustbook.figures import Stage
from robustbook.networks import ChannelsLast, fc500_150_10_bn
from robustbook.networks.mlp import MLP
from robustbook.randomness import generator
from robustbook.studies.deep_defense import figure_1
from robustbook.studies.deep_defense.settings import NAMES


def upwards(net: nn.Module, images: Tensor, direction: Tensor) -> Tensor:
    """Compute the authors' reverse network by hand, from a direction in the logits to the
    images.
    """
    met: list[tuple[Any, Tensor, Tensor]] = []
    for module in net.modules():
        if not list(module.children()) and not isinstance(module, ChannelsLast):
            module.register_forward_hook(
                lambda module, given, out: met.append((module, given[0].clone(), out.clone()))
            )
    with torch.no_grad():
        net(images)
    u = direction
    for place, (layer, given, out) in reversed(list(enumerate(met))):
        if isinstance(net, MLP) and place + 1 < len(met):
            u = u * (out > 0)
        match layer:
            case nn.Linear():
                u = u @ layer.weight
            case nn.Conv2d():
                u = F.conv_transpose2d(u, layer.weight, padding=layer.padding)
            case nn.ReLU():
                u = u * (out > 0)
            case nn.BatchNorm1d():
                u = u * layer.weight / (layer.running_var + layer.eps).sqrt()
            case nn.MaxPool2d(kernel_size=size):
                _, places = F.max_pool2d(given, size, return_indices=True)
                u = F.max_unpool2d(u, places, size, output_size=given.shape)
            case nn.AvgPool2d(kernel_size=size):
                u = u.repeat_interleave(size, 2).repeat_interleave(size, 3) / size**2
            case nn.Flatten():
                u = u.view_as(given)
            case nn.Dropout():
                pass
            case _:
                raise AssertionError(layer)
    return u.view_as(images)


@pytest.mark.parametrize("name", [*NAMES, "mlp-bn"])
def test_the_reverse_network_is_the_gradient(name: Any) -> None:
    """Each layer of the figure is right, for every network.

    Double back-propagation differentiates what the authors' second network computes.
    """
    draws = generator(1)
    net = fc500_150_10_bn(nn.Identity(), draws).body if name == "mlp-bn" else figure_1.built(name)
    net = net.double().eval()
    shape = (1, 28, 28) if name == "mlp-bn" else figure_1.image_shape(name)
    images = torch.rand(3, *shape, generator=draws, dtype=torch.float64) * 200 - 100
    direction = torch.randn(3, 10, generator=draws, dtype=torch.float64)
    ours = upwards(net, images, direction)
    images.requires_grad_()
    (gradient,) = torch.autograd.grad((net(images) * direction).sum(), images)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(ours, gradient, rtol=1e-10, atol=1e-12 * gradient.abs().max().item())


@pytest.mark.parametrize(("network", "name"), NAMES.items())
def test_the_layers_are_those_of_the_module(network: Any, name: str) -> None:
    """Counts add up to the target's, shapes end in ten logits, and no ReLU is missing."""
    stages = [Stage(*layer) for layer in figure_1.layers(network)]
    record = figure_1.condense(figure_1.Parameters(profile="paper"), {})
    assert figure1.stages(record, network) == stages, "the page draws what the module has"
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    printed = targets[f"deep_defense/code-networks/{name}/parameters"].printed
    assert sum(stage.parameters for stage in stages) == printed
    assert stages[-1].shape == (10,)
    relus = {"mlp": 2, "lenet": 1, "convnet": 4, "nin": 8}[network]
    assert sum(stage.kept == "mask" and "max" in stage.forward for stage in stages) == relus


def test_lenet_reads_like_the_released_code() -> None:
    """It has no padding and one ReLU, so the shapes are those of MatConvNet's network."""
    shapes = {layer[0]: layer[4] for layer in figure_1.layers("lenet")}
    assert shapes["conv1"] == (20, 24, 24) and shapes["pool1"] == (20, 12, 12)
    assert shapes["conv2"] == (50, 8, 8) and shapes["flatten"] == (800,)


def test_a_layer_without_a_known_reverse_is_refused() -> None:
    with pytest.raises(ValueError, match="layer must be one of the chapter's networks, got a GELU"):
        figure_1.reverse(nn.GELU())


def test_the_record_answers_every_count() -> None:
    parameters = figure_1.Parameters(profile="paper")
    record = figure_1.condense(parameters, {})
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    asked = {id_: t.printed for id_, t in targets.items() if t.item == "code-networks"}
    assert {row.target: row.value for row in record.rows if row.target} == asked


def test_differentiating_the_gradient_is_differentiating_the_reverse_network() -> None:
    """The page shows this for the image; here it is tested for the weights.

    Each weight occurs in the network and in its reverse, and both contribute to the gradient.
    """
    net = figure_1.built("mlp").double()
    draws = generator(0)
    images = torch.rand(4, 1, 28, 28, generator=draws, dtype=torch.float64).requires_grad_()
    s, j = net(images).topk(2).indices.T
    unit = torch.eye(10, dtype=torch.float64)
    (w,) = torch.autograd.grad((net(images) * (unit[j] - unit[s])).sum(), images, create_graph=True)
    assert isinstance(net, MLP)
    first, second, third = (layer.weight for layer in net.layers)
    h1, h2, _ = net.preactivations(images)
    reverse = (((unit[j] - unit[s]) @ third * (h2 > 0)) @ second * (h1 > 0)) @ first
    ours, theirs = (
        torch.autograd.grad(each.norm(), [first, second, third]) for each in (w, reverse)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-14)
