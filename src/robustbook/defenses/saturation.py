r"""Compute the saturation penalty of Nayebi & Ganguli 2017, Sections 3 and 4.

The loss is the cross entropy plus the penalty :math:`\lambda\sum_{l=1}^{D}\sum_i \phi_c(h^l_i)`
(equation 8 of the paper). The penalty is a sum over the pre-activations h of all units in all
layers, including the last layer. The function :math:`\phi_c` is the distance to the nearest flat
point of the nonlinearity (equation 7 of the paper): max(0, z) for a ReLU with pre-activation z. A
sigmoid has no flat point; for it the paper takes the derivative, sigma(z)(1 - sigma(z)). On the
last layer of the CNN, the paper uses the pre-activation z itself, as a "stronger penalty".

The paper does not say how the penalties of a batch are combined. This code sums the penalty over
units, and takes the mean over the images of the batch.
"""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.checks import check_choice

Penalty = Callable[[Tensor], Tensor]


@runtime_checkable  # for beartype
class Layered(Protocol):
    """A network whose method `preactivations` returns a list of the pre-activations of each layer;
    the last entry of this list contains the logits.
    """

    def preactivations(self, images: Tensor) -> list[Tensor]: ...


def relu_penalty(h: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return max(0, h), the distance of h to the flat half of a ReLU (equation 7 of the paper)."""
    return torch.relu(h)


def sigmoid_penalty(h: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return sigma(h)(1 - sigma(h)), the sigmoid's derivative: 0.25 at 0, decaying as exp(-|h|)."""
    s = torch.sigmoid(h)
    return s - s * s


def linear_penalty(h: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return h itself, the paper's penalty on the logits of its CNN; this penalty has no lower
    bound.
    """
    return h


def saturation(
    net: Layered,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    lam: Float[Tensor, ""] | float,
    *,
    hidden: Penalty,
    readout: Penalty,
    layers: Literal["all", "hidden"] = "all",
) -> dict[str, Float[Tensor, ""]]:
    """Return two loss terms: ``cross_entropy``, and ``saturation``, which is ``lam`` times the
    penalty. Training minimises the sum of both terms.

    ``hidden`` is the penalty on the pre-activations h^1 ... h^(D-1) of the hidden layers, and
    ``readout`` the penalty on the logits h^D. With ``layers="hidden"`` the logits are not
    penalised; Section 4 of the paper says that the penalty on all layers worked best.
    """
    check_choice("layers", layers, ("all", "hidden"))
    if not hasattr(net, "preactivations"):
        raise ValueError(
            f"net must have a method preactivations, as an MLP has, got {type(net).__name__}"
        )
    *hs, logits = net.preactivations(images.clone())
    penalty = sum((hidden(h).sum() for h in hs), start=logits.new_zeros(()))
    if layers == "all":
        penalty = penalty + readout(logits).sum()
    return {
        "cross_entropy": F.cross_entropy(logits, labels),
        "saturation": lam * penalty / len(labels),
    }
