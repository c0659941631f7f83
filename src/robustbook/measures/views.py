"""Make models that have the same predictions as a network, but give an attack different gradients.

Each function returns a view: a model that shares the weights and buffers of the original network,
so it always uses their current values. Converting a view to a different dtype or device would
convert the network too; convert a `copy.deepcopy` of the view instead.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from robustbook.attacks.checks import check_positive
from robustbook.attacks.drawing import Drawing

from .answers import Model


def rescaled(net: Model, by: float) -> Model:
    """Return the model with its logits divided by ``by``.

    Carlini & Wagner (arXiv 1607.04311) do this with distilled networks before they attack them. The
    model is any callable from images to logits, or a randomised model, whose logits are divided for
    every noise draw. Raises ValueError unless ``by`` is finite and above 0, because dividing by 0,
    infinity or a negative number would change the predictions.
    """
    by = check_positive("by", by)
    return (_RescaledDraws if isinstance(net, Drawing) else _Rescaled)(net, by)


class _Rescaled(nn.Module):
    """A model that divides the logits of another model, ``net``, by the number ``by``.

    It is a module, so that the functions that protect the buffers of a network find those of
    ``net``.
    """

    def __init__(self, net: Any, by: float) -> None:
        super().__init__()
        self.net, self.by = net, by

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(images) / self.by
        return logits


class _RescaledDraws(_Rescaled):
    """A randomised model that divides the logits of another randomised model for every draw."""

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        drawn = self.net.at(keys, draw)
        return lambda images: drawn(images) / self.by


def softened(net: Model, softness: float) -> nn.Module:
    """Return a network with the same outputs, whose backward pass uses the derivatives of softer
    nonlinearities than its forward pass.

    In the backward pass, a sigmoid has the derivative of sigmoid(h / softness) for the
    pre-activation h. A ReLU gets the derivative sigmoid(h / softness), which is the derivative of a
    softplus. In float32, the derivative of a sigmoid still rounds to 0 at inputs above 17 times the
    softness. Both derivatives still round to 0 at inputs far below zero. The function replaces all
    `nn.Sigmoid` and `nn.ReLU` layers, and every attribute ``activation`` that is `torch.sigmoid` or
    `torch.relu`. Nonlinearities that a ``forward`` method calls directly keep their derivatives.

    The softer derivative is our interpretation of the "stabilised gradient" of Brendel & Bethge
    2017 (arXiv 1704.01547), whose formula we could not read. Raises ValueError if the network has
    no sigmoid or ReLU, if ``net`` is a callable that is not a module, or if ``softness`` is not
    finite and above 0.
    """
    softness = check_positive("softness", softness)
    if not isinstance(net, nn.Module):
        raise ValueError(f"net must be an nn.Module to soften, got {type(net).__name__}")
    shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    twin = copy.deepcopy(net, shared)
    count = 0
    for part in list(twin.modules()):
        places: dict[str, object] = {"activation": getattr(part, "activation", None)}
        places |= {name: type(child) for name, child in part._modules.items()}
        for name, kind in places.items():
            if kind in _SOFT:
                setattr(part, name, _Softened(kind, softness))
                count += 1
    if not count:
        raise ValueError(
            "net must have a sigmoid or ReLU activation to soften, got "
            f"{getattr(net, 'activation', type(net).__name__)!r}"
        )
    return twin


class _Softened(nn.Module):
    """A sigmoid or ReLU whose backward pass has a softer derivative."""

    def __init__(self, kind: object, softness: float) -> None:
        super().__init__()
        self.function, self.softness = _SOFT[kind], softness

    def forward(self, h: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return _with_gradient_of(*self.function(h, self.softness))

    def extra_repr(self) -> str:
        return f"{self.function.__name__.removeprefix('_')}, softness={self.softness:g}"


def _sigmoid(h: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    return torch.sigmoid(h), torch.sigmoid(h / softness)


def _relu(h: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Return ReLU, and a softplus whose derivative is sigmoid(h / softness)."""
    return torch.relu(h), softness * F.softplus(h / softness)


_SOFT: dict[object, Callable[[Tensor, float], tuple[Tensor, Tensor]]] = {
    torch.sigmoid: _sigmoid,
    nn.Sigmoid: _sigmoid,
    torch.relu: _relu,
    F.relu: _relu,
    nn.ReLU: _relu,
}


def _with_gradient_of(
    values: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return ``values``, with the gradient of ``other``. If ``values`` is the output of a function
    and ``other`` its input, this is the straight-through estimator.
    """
    return values.detach() + (other - other.detach())


class _Bypassed(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.readout = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        self.checked = False

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        *_, h, out = self.net.preactivations(images)  # type: ignore[operator]
        x = _with_gradient_of(self.net.activation(h), h)  # type: ignore[operator]
        logits: Tensor = self.readout(x)
        if not self.checked:
            if logits.shape != out.shape or not torch.equal(logits, out):
                raise ValueError(
                    "net must compute its logits from its last hidden layer by its activation and "
                    f"its last linear layer, got a {type(self.net).__name__} that does not"
                )
            self.checked = True  # checked once, because on a GPU the check makes the CPU wait
        return logits


def bypassed(net: Model) -> nn.Module:
    """Return a network with the same outputs, whose backward pass omits the last nonlinearity.

    The backward pass treats the last hidden nonlinearity as the identity; all earlier layers keep
    their derivatives. So a gradient does not vanish in the last hidden layer, but it can still
    vanish in earlier ones.

    Raises ValueError if ``net`` is not an `nn.Module`, or if it has no method ``preactivations`` or
    no attribute ``activation``. The network must compute its logits by applying its last linear
    layer to activation(h), where h are the pre-activations of its last hidden layer. For any other
    network, the first forward pass raises ValueError.
    """
    shown = hasattr(net, "preactivations") and hasattr(net, "activation")
    if not (isinstance(net, nn.Module) and shown):
        raise ValueError(
            "net must have preactivations and an activation to bypass, "
            f"got {type(net).__name__} without them"
        )
    return _Bypassed(net)
