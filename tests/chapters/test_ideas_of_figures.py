"""The ideas of the pages on the figures of Nayebi & Ganguli 2017 do what the package does."""

import pytest
import torch

from robustbook.attacks import lbfgs
from robustbook.measures import scaled_ratio, softened, walk

from .test_ideas import idea


def test_l_bfgs() -> None:
    """The package's search with a history of one step finds the same image after as many steps."""
    shown = idea("saturating/figure5")
    net = torch.nn.Linear(2, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(shown["W"]))
    x, y = torch.tensor([[1.0, 0.5]], dtype=torch.float64), torch.tensor([0])
    found = lbfgs(net, x, y, targets=y + 1, history=1, gtol=0.0, ftol=0.0, clip=False)
    torch.testing.assert_close(found.images[0], torch.from_numpy(shown["x"]))
    assert found.steps.tolist() == [shown["t"]] and shown["t"] > 2


def test_the_gradient_of_saturated_units() -> None:
    """The gradient by automatic differentiation, which falls below the tolerance of L-BFGS."""
    shown = idea("saturating/figure8")
    W1, W2 = 10 * torch.from_numpy(shown["W1"]), torch.from_numpy(shown["W2"])
    x = torch.from_numpy(shown["x"]).requires_grad_()
    loss = -(W2 @ torch.sigmoid(W1 @ x)).log_softmax(0)[1]
    (g,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(torch.from_numpy(shown["g"]), g)
    assert abs(g).max() < 1e-5 and shown["signal"][1] == pytest.approx(-1, abs=0.01)


def test_the_scaled_ratio() -> None:
    """The package's; it is larger for weights with heavier tails."""
    shown = idea("saturating/figure6")
    gaussian, heavy = (torch.from_numpy(shown[name]) for name in ("gaussian", "heavy"))
    for w in (gaussian, heavy):
        ratio = scaled_ratio(*(each / each.norm() for each in w)).item()
        assert shown["R"](*w.numpy()) == pytest.approx(ratio)
    assert shown["R"](*heavy.numpy()) > shown["R"](*gaussian.numpy())


def test_the_length_element() -> None:
    """The package's on the same path."""
    shown = idea("saturating/figure4")
    net = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, -1.0], [-1.0, 2.0]]))
    ends = (torch.from_numpy(shown[name]) for name in ("x_S", "x_T"))
    found = walk(net, *ends, torch.from_numpy(shown["t"]))
    dl_dt, p = shown["walk"](net.weight.detach().numpy())
    torch.testing.assert_close(torch.from_numpy(dl_dt), found.length)
    torch.testing.assert_close(torch.from_numpy(p), found.probabilities)


def test_softened_slopes() -> None:
    """The package's gradient with softened slopes in float32, where the network's own is zero."""
    shown = idea("saturating/today")
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sigmoid(), torch.nn.Linear(2, 1))
    with torch.no_grad():
        for layer, weight in ((0, shown["W1"]), (2, shown["w2"][None])):
            net[layer].weight.copy_(torch.from_numpy(weight))
            net[layer].bias.fill_(-1.0 if layer else 0.0)
    x = torch.from_numpy(shown["x"]).float().requires_grad_()
    assert net(x) > 0.99
    (own,) = torch.autograd.grad(net(x).squeeze(), x)
    (soft,) = torch.autograd.grad(softened(net, float(shown["s"]))(x).squeeze(), x)
    torch.testing.assert_close(torch.from_numpy(shown["g"]).float(), soft)
    assert own.abs().max() == 0 < 1e-12 < soft.abs().min() and shown["f"] < 0
