r"""Adversarial training as Goodfellow, Shlens & Szegedy 2015 (arXiv 1412.6572, Section 6) define
it.

:math:`\alpha C(x, y) + (1 - \alpha) C(x + \epsilon\,\mathrm{sgn}\nabla_x C, y)`: eq. (4) of Nayebi
& Ganguli 2017. The adversarial images come from the current weights at every step; nothing flows
through their making.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def adversarial_training(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: float,
    alpha: float = 0.5,
    clip: bool = False,
) -> dict[str, Float[Tensor, ""]]:
    """The terms ``clean`` and ``adversarial``, already weighted, whose sum is minimised.

    ``eps`` in pixels scaled to [0, 1]; ``alpha`` 0.5 is both papers' value; ``clip`` brings the
    adversarial images back into [0, 1], which neither paper mentions.
    """

    def cost(x: Tensor) -> Tensor:
        return F.cross_entropy(net(x), labels, reduction="sum")

    # torch.func.grad, as autograd.grad does not run when networks are trained side by side (vmap).
    with torch.no_grad():
        adversarial = images + eps * torch.func.grad(cost)(images).sign()
    if clip:
        adversarial = adversarial.clamp(0, 1)
    return {
        "clean": alpha * F.cross_entropy(net(images), labels),
        "adversarial": (1 - alpha) * F.cross_entropy(net(adversarial), labels),
    }
