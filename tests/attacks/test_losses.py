"""The losses: values by hand, derivatives by differences, and extreme cases."""

import math

import pytest
import torch
from torch import Tensor

from robustbook.attacks import (
    clipped_probabilities,
    cross_entropy,
    margin,
    pgd,
    squared_error,
)
from robustbook.attacks.losses import LOSSES, Loss, hinge

LOGITS = torch.tensor([[0.0, math.log(3), 0.0], [2.0, -1.0, 1.5]], dtype=torch.float64)
LABELS = torch.tensor([1, 2])
APART = torch.tensor([[0.3, math.log(3), 0.0], [2.0, -1.0, 1.5]], dtype=torch.float64)
"""Logits without ties, where all losses have a derivative."""


def test_values_by_hand() -> None:
    """The first row has probabilities 1/5, 3/5, 1/5 and label 1."""
    assert float(cross_entropy(LOGITS, LABELS)[0]) == pytest.approx(-math.log(3 / 5))
    assert float(clipped_probabilities(LOGITS, LABELS)[0]) == pytest.approx(-math.log(3 / 5))
    assert float(squared_error(LOGITS, LABELS)[0]) == pytest.approx((1 + 4 + 1) / 25)
    assert margin(LOGITS, LABELS).tolist() == pytest.approx([-math.log(3), 0.5])
    assert hinge(LOGITS, LABELS).tolist() == pytest.approx([-math.log(3), 0.0])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_derivatives(loss: Loss) -> None:
    """The gradient agrees with differences to second order, and rows are independent."""
    logits = APART.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS), (logits,))
    (together,) = torch.autograd.grad(loss(logits, LABELS).sum(), logits)
    for row in range(2):
        one = logits[row : row + 1]
        (alone,) = torch.autograd.grad(loss(one, LABELS[row : row + 1]).sum(), one)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("clip, moves", [(1e-7, False), (1e-3, False), (1e-10, True)])
def test_outside_the_clip_the_gradient_is_exactly_zero(clip: float, moves: bool) -> None:
    """The label has probability 1 - 2e-9: outside [1e-7, 1 - 1e-7], inside [1e-10, 1 - 1e-10]."""
    logits = torch.tensor([[0.0, 20.0]], dtype=torch.float64, requires_grad=True)
    loss = clipped_probabilities(logits, torch.tensor([1]), clip=clip)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert bool((gradient != 0).all()) == moves
    if not moves:
        assert loss.item() == pytest.approx(-math.log(1 - clip))


def test_the_hinge_stops_at_success() -> None:
    """Its gradient is the margin's for a correct image, and 0 for a misclassified one."""
    logits = LOGITS.clone().requires_grad_()
    (ours,) = torch.autograd.grad(hinge(logits, LABELS).sum(), logits)
    (usual,) = torch.autograd.grad(margin(logits, LABELS).sum(), logits)
    assert torch.equal(ours[0], usual[0]) and not ours[1].any()


def test_margin_shares_its_gradient_among_equals() -> None:
    """Otherwise the order of the classes would decide which of two equal ones is used."""
    logits = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(margin(logits, torch.tensor([0])).sum(), logits)
    assert gradient.tolist() == [[-1.0, 0.5, 0.5]]


def test_float32_cross_entropy_of_a_sure_network_loses_its_gradient() -> None:
    """This is why we run in float64: 1 - p of 1e-9 is below float32's rounding, but not
    float64's.
    """

    def gradient(dtype: torch.dtype) -> Tensor:
        logits = torch.tensor([[0.0, 120.0]], dtype=dtype, requires_grad=True)
        loss = cross_entropy(logits, torch.tensor([1]))
        return torch.autograd.grad(loss.sum(), logits)[0]

    assert not bool(gradient(torch.float32).any())
    assert float(gradient(torch.float64)[0, 0]) == pytest.approx(math.exp(-120))


def test_targets_refuse_the_hinge_whose_gradient_is_zero_until_success() -> None:
    """With `margin` the same attack reaches every target."""
    net = torch.nn.Linear(4, 3)
    torch.nn.init.eye_(net.weight)
    x, y = torch.full((3, 4), 0.5), torch.tensor([0, 1, 2])
    asked = {"eps": 0.4, "steps": 4, "step_size": 0.2, "targets": (y + 1) % 3}
    with pytest.raises(ValueError, match="loss must not be 'hinge' with targets, because"):
        pgd(net, x, y, loss="hinge", **asked)
    assert bool(pgd(net, x, y, loss="margin", **asked).found.all())
