"""The saturation penalty (Nayebi & Ganguli 2017, eqs. 7 and 8) compared with its formulas."""

import inspect
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robustbook.defenses import linear_penalty, relu_penalty, saturation, sigmoid_penalty
from robustbook.networks import CNN, MLP, initialise
from robustbook.randomness import generator


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0, "test"), dtype=torch.float64)


def tiny(activation: Callable[[Tensor], Tensor] = torch.relu) -> MLP:
    """Return a 2-3-2 network in float64."""
    net = MLP((2, 3, 2), activation).double()
    initialise(net, "normal", generator(0))
    return net


def test_the_relu_penalty_is_the_distance_to_the_flat_half() -> None:
    """Eq. (7) by brute force: the nearest of 4001 points at which the ReLU's slope is zero."""
    grid = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    flat = grid[grid <= 0]
    h = random(50).clamp(-2, 2)
    nearest = (h[:, None] - flat).abs().amin(1)
    torch.testing.assert_close(relu_penalty(h), nearest, atol=1e-3, rtol=0)  # the grid's step
    assert (relu_penalty(-h.abs()) == 0).all()


def test_the_sigmoid_penalty_is_the_slope_of_the_sigmoid() -> None:
    """It is 0.25 at 0, where it is largest, even, and falls like exp(-|h|)."""
    h = random(50).requires_grad_()
    (slope,) = torch.autograd.grad(torch.sigmoid(h).sum(), h)
    torch.testing.assert_close(sigmoid_penalty(h.detach()), slope)
    assert sigmoid_penalty(torch.zeros(1)).item() == 0.25
    assert (sigmoid_penalty(h) <= 0.25).all()
    far = torch.tensor([20.0, -20.0], dtype=torch.float64)
    torch.testing.assert_close(
        sigmoid_penalty(far),
        torch.full((2,), math.exp(-20), dtype=torch.float64),
        rtol=1e-6,
        atol=0,
    )


def test_the_linear_penalty_is_unbounded_below() -> None:
    """The CNN's "stronger penalty" rewards falling logits, which max(0, z) would not."""
    h = torch.tensor([-1e6, 0.0, 2.0])
    assert torch.equal(linear_penalty(h), h)


@pytest.mark.parametrize("layers", ["all", "hidden"])
def test_the_terms_by_hand(layers: str) -> None:
    """It is the mean over images of the sum over units of every layer, with or without the
    read-out.
    """
    net = tiny()
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0], [0.0, 1.0]]))
        net.layers[0].bias.copy_(torch.tensor([0.0, 0.5, -1.0]))
        net.layers[1].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]))
        net.layers[1].bias.copy_(torch.tensor([-1.0, 1.0]))
    images = torch.tensor([[1.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
    # h1: (2, -0.5, -0.5) and (0, 0.5, -1); relu: (2, 0, 0), (0, 0.5, 0).
    # logits: (1, 1) and (-1, 1.5).
    hidden = ((2.0) + (0.5)) / 2
    readout = ((1.0 + 1.0) + (0.0 + 1.5)) / 2
    labels = torch.tensor([0, 1])
    terms = saturation(
        net,
        images,
        labels,
        0.1,
        hidden=relu_penalty,
        readout=relu_penalty,
        layers=layers,  # type: ignore[arg-type]
    )
    expected = 0.1 * (hidden + (readout if layers == "all" else 0.0))
    assert list(terms) == ["cross_entropy", "saturation"]
    assert terms["saturation"].item() == pytest.approx(expected, rel=1e-12)
    entropy = (math.log(2) + math.log(1 + math.exp(-2.5))) / 2
    assert terms["cross_entropy"].item() == pytest.approx(entropy, rel=1e-12)


def test_the_readout_has_a_penalty_of_its_own() -> None:
    """For the CNN it is max(0, z) over all positions of hidden layers, and z itself over the
    logits.
    """
    net = CNN()
    initialise(net, "truncated", generator(0))
    images = torch.rand(2, 1, 28, 28, generator=generator(1))
    *hs, logits = net.preactivations(images)
    terms = saturation(
        net, images, torch.tensor([3, 4]), 2.0, hidden=relu_penalty, readout=linear_penalty
    )
    by_hand = 2.0 * (sum(h.clamp(min=0).sum() for h in hs) + logits.sum()) / 2
    torch.testing.assert_close(terms["saturation"], by_hand)


def test_repeating_the_batch_changes_nothing() -> None:
    """Otherwise the effect of lambda would depend on the batch size."""
    net, images, labels = tiny(torch.sigmoid), random(4, 2).abs(), torch.tensor([0, 1, 1, 0])
    once, twice = (
        saturation(
            net,
            images.repeat(k, 1),
            labels.repeat(k),
            0.3,
            hidden=sigmoid_penalty,
            readout=sigmoid_penalty,
        )
        for k in (1, 2)
    )
    for name, value in once.items():
        torch.testing.assert_close(value, twice[name])


@pytest.mark.parametrize("penalty", [relu_penalty, sigmoid_penalty, linear_penalty])
def test_the_gradient_against_finite_differences(penalty: Callable[[Tensor], Tensor]) -> None:
    """A detached term would have no effect on training."""
    activation = torch.relu if penalty is relu_penalty else torch.sigmoid
    net, images, labels = tiny(activation), random(3, 2).abs(), torch.tensor([0, 1, 1])
    names = [name for name, _ in net.named_parameters()]

    def total(*weights: Tensor) -> Tensor:
        class At:
            """The network at other weights."""

            def preactivations(self, x: Tensor) -> list[Tensor]:
                w1, b1, w2, b2 = weights
                h = x @ w1.T + b1
                return [h, activation(h) @ w2.T + b2]

        terms = saturation(At(), images, labels, 0.7, hidden=penalty, readout=penalty)
        return torch.stack(list(terms.values()))

    assert names == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert torch.autograd.gradcheck(total, tuple(net.parameters()))


def test_bad_input_is_refused_in_a_sentence() -> None:
    """An unknown choice would silently leave out the logits; called past the type hook."""
    bare = inspect.unwrap(saturation)
    penalties = {"hidden": relu_penalty, "readout": relu_penalty}
    images, labels = random(2, 2), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="layers must be one of all, hidden, got 'al'"):
        bare(tiny(), images, labels, 0.1, layers="al", **penalties)
    with pytest.raises(ValueError, match="net must have a method preactivations.*, got Linear"):
        bare(torch.nn.Linear(2, 2), images, labels, 0.1, **penalties)
