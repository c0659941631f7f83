"""The architectures: sizes counted by hand, and first weights with known distributions."""

import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from robustbook.networks import CNN, MLP, build, initialise
from robustbook.randomness import generator


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def drawn(name: str, start: str, seed: int = 0, width: int = 20) -> nn.Module:
    net = build(name, 0 if name == "cnn" else width)  # type: ignore[arg-type]
    initialise(net, start, generator(seed, "weights"))  # type: ignore[arg-type]
    return net


def test_the_cnn_has_the_parameters_of_table_2() -> None:
    """A layer, bias or padding that differs from the paper's would change this sum."""
    by_hand = (25 + 1) * 32 + (25 * 32 + 1) * 64 + (7 * 7 * 64 + 1) * 1024 + (1024 + 1) * 10
    assert count(CNN()) == by_hand == 3_274_634


def test_the_cnn_narrows_in_proportion() -> None:
    """The ten logits stay; without a width, networks are the paper's."""
    for p, q in zip(CNN().parameters(), build("cnn", 256).parameters(), strict=True):
        assert p.shape[0] == (q.shape[0] if q.shape[0] == 10 else 4 * q.shape[0])
    assert count(build("cnn")) == count(CNN())
    assert count(build("relu-mlp")) == count(build("relu-mlp", 200))
    for width in (0, 16, 100):
        with pytest.raises(ValueError, match=f"width must be a multiple of 32, got {width}"):
            CNN(width)


@pytest.mark.parametrize("width", [1, 20, 200])
@pytest.mark.parametrize("name", ["sigmoid-mlp", "relu-mlp"])
def test_an_mlp_has_two_hidden_layers_of_its_width(name: str, width: int) -> None:
    """The paper's depth counts weight matrices: 784-w-w-10 has three."""
    net = build(name, width)  # type: ignore[arg-type]
    assert count(net) == (784 + 1) * width + (width + 1) * width + (width + 1) * 10


@pytest.mark.parametrize("name", ["sigmoid-mlp", "relu-mlp", "cnn"])
def test_the_preactivations_end_in_what_forward_returns(name: str) -> None:
    """Otherwise the penalty would use other logits than the cross entropy."""
    net = drawn(name, "xavier")
    images = torch.rand(3, 1, 28, 28, generator=generator(1))
    *hidden, logits = net.preactivations(images)
    assert torch.equal(logits, net(images))
    shapes = [tuple(h.shape) for h in hidden]
    if name == "cnn":  # before pooling, every position
        assert shapes == [(3, 32, 28, 28), (3, 64, 14, 14), (3, 1024)]
    else:
        assert shapes == [(3, 20), (3, 20)]
    assert logits.shape == (3, 10)


@pytest.mark.parametrize(
    ("name", "phi"), [("sigmoid-mlp", torch.sigmoid), ("relu-mlp", torch.relu)]
)
def test_an_mlp_is_its_equations(name: str, phi: object) -> None:
    """h^l = W^l phi(h^(l-1)) + b^l, without an activation on the image or on the logits (Sec.
    2).
    """
    net = drawn(name, "truncated")
    images = torch.rand(4, 1, 28, 28, generator=generator(1))
    (w1, b1), (w2, b2), (w3, b3) = ((layer.weight, layer.bias) for layer in net.layers)
    h1 = images.reshape(4, 784) @ w1.T + b1
    h2 = phi(h1) @ w2.T + b2  # type: ignore[operator]
    h3 = phi(h2) @ w3.T + b3  # type: ignore[operator]
    for ours, by_hand in zip(net.preactivations(images), (h1, h2, h3), strict=True):
        torch.testing.assert_close(ours, by_hand)


def test_the_cnn_pools_after_its_relu() -> None:
    """The code pools first, which is faster and equal because max and ReLU commute."""
    net = drawn("cnn", "truncated")
    images = torch.rand(2, 1, 28, 28, generator=generator(1))
    h1, h2, h3, _ = net.preactivations(images)

    def layer(h: Tensor) -> Tensor:
        return nn.functional.max_pool2d(torch.relu(h), 2)

    torch.testing.assert_close(net.conv2(layer(h1)), h2)
    torch.testing.assert_close(net.hidden(layer(h2).flatten(1)), h3)


@pytest.mark.parametrize("start", ["xavier", "normal", "truncated"])
@pytest.mark.parametrize("name", ["relu-mlp", "cnn"])
def test_first_weights_are_the_generators_alone(name: str, start: str) -> None:
    """The same seed gives the same weights, another seed others; the caller's stream is
    unchanged.
    """
    before = torch.get_rng_state()
    one, same, other = (drawn(name, start, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.ndim == 1 or not torch.equal(p, r)


# The variance of a normal truncated at two standard deviations: 1 - 2 * 2 phi(2) / (2 Phi(2) - 1).
CUT = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))


@pytest.mark.parametrize("start", ["xavier", "normal", "truncated"])
@pytest.mark.parametrize("name", ["relu-mlp", "cnn"])
def test_first_weights_have_the_variance_asked_for(name: str, start: str) -> None:
    """A wrong fan-in or standard deviation would train another network, and no other test would
    fail.

    The mean of n squares of variance v has a standard deviation of at most v sqrt(2 / n) (normal;
    less if bounded). A deviation of 5 of these occurs by chance once in a million.
    """
    for weight_name, w in drawn(name, start, width=200).named_parameters():
        if weight_name.endswith("bias"):
            assert (w == (0.1 if start == "truncated" else 0.0)).all()
            continue
        area = w[0, 0].numel()  # pixels of a filter
        fans = w.shape[1] * area + w.shape[0] * area
        variance = {"xavier": 2 / fans, "normal": 1.0, "truncated": 0.01 * CUT}[start]
        bound = {"xavier": math.sqrt(6 / fans), "normal": math.inf, "truncated": 0.2}[start]
        n = w.numel()
        assert abs(w.mean().item()) < 5 * math.sqrt(variance / n)
        assert abs(w.square().mean().item() / variance - 1) < 5 * math.sqrt(2 / n)
        assert w.abs().max().item() <= bound * (1 + 1e-6)


def test_unknown_names_are_refused_in_a_sentence() -> None:
    """It has argument, value and accepted values; unwrapped, because the type hook would raise
    first.
    """
    with pytest.raises(ValueError, match="network must be one of sigmoid-mlp, .*, got 'resnet'"):
        inspect.unwrap(build)("resnet")
    with pytest.raises(ValueError, match="start must be one of xavier, .*, got 'he'"):
        inspect.unwrap(initialise)(build("relu-mlp", 3), "he", generator(0))
    for sizes in ((784,), (784, 0, 10)):
        with pytest.raises(ValueError, match="sizes must name at least two positive .*, got"):
            MLP(sizes, torch.relu)
