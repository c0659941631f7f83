"""The same network as an attacker may choose to see it: equal answers, other gradients."""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def rescaled(net: Callable[[Tensor], Tensor], by: float) -> Callable[[Tensor], Tensor]:
    """The logits divided by ``by``, as Carlini & Wagner (arXiv 1607.04311) undo distillation."""
    return lambda images: net(images) / by


class _SoftSigmoid(torch.autograd.Function):
    """sigmoid(h) forwards; backwards the slope of sigmoid(h / softness)."""

    @staticmethod
    def forward(ctx, h, softness):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(h)
        ctx.softness = softness
        return torch.sigmoid(h)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (h,) = ctx.saved_tensors
        s = torch.sigmoid(h / ctx.softness)
        return gradient * s * (1 - s) / ctx.softness, None


class _SoftReLU(torch.autograd.Function):
    """max(0, h) forwards; backwards sigmoid(h / softness), the slope of a softplus."""

    @staticmethod
    def forward(ctx, h, softness):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(h)
        ctx.softness = softness
        return torch.relu(h)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (h,) = ctx.saved_tensors
        return gradient * torch.sigmoid(h / ctx.softness), None


def softened(net: nn.Module, softness: float) -> nn.Module:
    """``net`` with the same weights and the same outputs, whose backward pass takes the slope of a
    nonlinearity ``softness`` times softer.

    Our form of the "stabilised gradient" of Brendel & Bethge 2017 (arXiv 1704.01547), whose own
    formula we could not read. Raises ``ValueError`` for a network without a sigmoid or ReLU
    ``activation``.
    """
    activation = getattr(net, "activation", None)
    if activation not in (torch.sigmoid, torch.relu):
        raise ValueError(
            f"net must have a sigmoid or ReLU activation to soften, got {activation!r}"
        )
    function = _SoftSigmoid if activation is torch.sigmoid else _SoftReLU

    def soft(h: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        out: Tensor = function.apply(h, softness)  # type: ignore[no-untyped-call]
        return out

    twin = copy.copy(net)  # shares the weights
    twin.activation = soft  # type: ignore[assignment]
    return twin


class _StraightThrough(torch.autograd.Function):
    """Some function forwards; backwards as if it were not there."""

    @staticmethod
    def forward(ctx, h, function):  # type: ignore[no-untyped-def]
        return function(h)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient, None


class _Bypassed(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.readout = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        h = self.net.preactivations(images)[-2]  # type: ignore[operator]
        x = _StraightThrough.apply(h, self.net.activation)  # type: ignore[no-untyped-call]
        logits: Tensor = self.readout(x)
        return logits


def bypassed(net: nn.Module) -> nn.Module:
    """``net`` with the same weights and the same outputs, whose backward pass leaves out the last
    hidden layer's nonlinearity: the gradient at its units' inputs is that at their outputs.

    Our reading of an attack "from the penultimate pre-activations". Slopes in earlier layers stay.
    Raises ``ValueError`` for a network without hidden ``preactivations`` and an ``activation``.
    """
    if not (hasattr(net, "preactivations") and hasattr(net, "activation")):
        raise ValueError(
            "net must have preactivations and an activation to bypass, "
            f"got {type(net).__name__} without them"
        )
    return _Bypassed(net)
