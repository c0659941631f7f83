"""Relative noise of feature maps against a linear network, where it is known."""

import pytest
import torch
from torch import nn

from robustbook.measures import feature_maps, feature_noise
from robustbook.networks import resnet18
from robustbook.randomness import generator


def test_a_diagonal_network_amplifies_one_pixel() -> None:
    """x = (1, 0), x' = (1, 0.1): noise 0.1, then 0.3 where the second pixel is multiplied by 3, and
    the same after scaling both.
    """
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).eval()
    net[0].weight.data = torch.diag(torch.tensor([1.0, 3.0]))
    net[1].weight.data = 5 * torch.eye(2)
    clean, moved = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.1], [2.0, 0.1]])
    noise = feature_noise(net, clean, moved, ("0", "1"))
    assert list(noise) == ["images", "0", "1"]
    for name, expected in {"images": 0.1, "0": 0.3, "1": 0.3}.items():
        torch.testing.assert_close(noise[name], torch.tensor([expected, expected / 2]))


def test_feature_maps_are_the_outputs_of_the_stages() -> None:
    """In the order asked for, without gradient, and without a hook left behind."""
    net = resnet18(generator(0), 8).eval()
    images = torch.rand(2, 3, 32, 32, generator=generator(1))
    found = feature_maps(net, images, ("stage4", "stage1"))
    assert list(found) == ["stage4", "stage1"]
    assert found["stage1"].shape == (2, 8, 32, 32) and found["stage4"].shape == (2, 64, 4, 4)
    rest = net.linear(found["stage4"].mean((2, 3)))
    torch.testing.assert_close(rest, net(images))
    assert not found["stage1"].requires_grad
    assert not any(layer._forward_hooks for layer in net.modules())


def test_a_later_layer_in_place_does_not_change_a_feature_map() -> None:
    """Otherwise a layer before a ReLU in place would seem to have no negative output."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(inplace=True)).eval()
    net[0].weight.data = torch.diag(torch.tensor([1.0, -3.0]))
    found = feature_maps(net, torch.ones(1, 2), ("0", "1"))
    assert found["0"].tolist() == [[1.0, -3.0]] and found["1"].tolist() == [[1.0, 0.0]]


def test_bad_input_is_refused() -> None:
    """Unknown names, layers that are not called, and features that are 0."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False)).eval()
    images = torch.ones(1, 2)
    with pytest.raises(ValueError, match="layers must name submodules of the network, got 'stage'"):
        feature_maps(net, images, ("stage",))
    net[0].unused = nn.ReLU()
    with pytest.raises(ValueError, match="layers must name .* that the network calls, got '0.unus"):
        feature_maps(net, images, ("0.unused",))
    net[0].weight.data.zero_()
    with pytest.raises(ValueError, match="feature maps must not be 0 everywhere, got 0 after 0"):
        feature_noise(net, images, images, ("0",))


def test_a_wrong_name_leaves_no_hook_behind() -> None:
    """Not even on the layers that were named before it."""
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="layers must name submodules of the network, got 'typo'"):
        feature_maps(net, torch.rand(1, 2), ("0", "typo"))
    assert not net[0]._forward_hooks
