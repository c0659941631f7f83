r"""Adversarial training as Goodfellow, Shlens & Szegedy 2015 (arXiv 1412.6572, Section 6) define
it.

:math:`\alpha C(x, y) + (1 - \alpha) C(x + \epsilon\,\mathrm{sgn}\nabla_x C, y)`: eq. (4) of Nayebi
& Ganguli 2017. The adversarial images come from the current weights at every step; nothing flows
through their making.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks.inner import climb


def adversarial_training(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    eps: float,
    alpha: float = 0.5,
    clip: bool = False,
    steps: int = 1,
    step_size: float | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The terms ``clean`` and ``adversarial``, already weighted, whose sum is minimised.

    net: its batch norms use their running statistics while the adversarial images are made. In the
        two terms each uses its batch's, and the running ones take in the clean batch, then the
        adversarial one.
    labels: the true classes, or the probabilities of the classes.
    eps: in pixels scaled to [0, 1], of the l-infinity ball.
    alpha: 0.5 is both papers' value.
    clip: whether the adversarial images are brought back into [0, 1], which neither paper mentions.
    steps, step_size: of PGD, from the image itself. 1 and None (eps) are Goodfellow's single step;
        with more steps and alpha 0 it is the training of Madry et al. 2018 (arXiv 1706.06083) but
        for their random start.
    """
    with running_statistics(net):
        adversarial = climb(
            net,
            images,
            labels,
            eps=eps,
            steps=steps,
            step_size=eps if step_size is None else step_size,
            loss=_cross_entropy,
            clip=clip,
        )
    return {
        "clean": alpha * F.cross_entropy(net(images), labels),
        "adversarial": (1 - alpha) * F.cross_entropy(net(adversarial), labels),
    }


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Unlike that of the attacks also for probabilities of the classes."""
    return F.cross_entropy(logits, labels, reduction="none")


@contextlib.contextmanager
def running_statistics(net: object) -> Iterator[None]:
    """Batch norms use their running statistics, and leave them as they are; other layers stay in
    their mode. Afterwards all are as before."""
    modules = net.modules() if isinstance(net, nn.Module) else ()
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._NormBase) and m.training]
    for layer in norms:
        layer.training = False
    try:
        yield
    finally:
        for layer in norms:
            layer.training = True
