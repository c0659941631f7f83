"""Maxout networks and softmax regression."""

import pytest
import torch

from robustbook.networks import Maxout, maxout, maxout_large, softmax_regression
from robustbook.randomness import generator


def test_a_unit_is_the_largest_of_its_pieces() -> None:
    layer = Maxout(3, 2, pieces=4)
    torch.nn.init.normal_(layer.linear.weight, generator=generator(0))
    torch.nn.init.normal_(layer.linear.bias, generator=generator(1))
    x = torch.randn(5, 3, generator=generator(2))
    lines = x @ layer.linear.weight.T + layer.linear.bias
    expected = torch.stack([lines[:, :4].amax(1), lines[:, 4:].amax(1)], dim=1)
    torch.testing.assert_close(layer(x), expected)


def test_no_images_give_no_logits() -> None:
    assert maxout(generator(0), 8)(torch.empty(0, 1, 28, 28)).shape == (0, 10)


def test_the_numbers_of_parameters() -> None:
    """Two layers of five pieces, and a linear layer."""

    def count(units: int) -> int:
        return 785 * 5 * units + (units + 1) * 5 * units + (units + 1) * 10

    for net, units in (
        (maxout(generator(0)), 240),
        (maxout(generator(0), 4), 60),
        (maxout_large(generator(0), 8), 200),
    ):
        assert sum(p.numel() for p in net.parameters()) == count(units)
    linear = softmax_regression(generator(0))
    assert sum(p.numel() for p in linear.parameters()) == 7850
    with pytest.raises(ValueError, match="narrow must be 1"):
        softmax_regression(generator(0), 2)


def test_dropout_is_only_for_training() -> None:
    net, x = maxout(generator(0), 8), torch.rand(3, 1, 28, 28, generator=generator(1))
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x)) and net(x).shape == (3, 10)
