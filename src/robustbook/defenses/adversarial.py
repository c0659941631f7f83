r"""Adversarial training as defined by Goodfellow, Shlens & Szegedy 2015 (arXiv 1412.6572, Section
6).

The loss is :math:`\alpha C(x, y) + (1 - \alpha) C(x + \epsilon\,\mathrm{sgn}\nabla_x C, y)`, as in
equation 4 of Nayebi & Ganguli 2017. Each training step computes the adversarial images from the
current weights, and treats these images as constants in the gradient of the loss.
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
    """Return the weighted terms ``clean`` and ``adversarial``, whose sum is minimised.

    net: the network. While the adversarial images are computed, batch norm layers use their running
        statistics. In the two loss terms, batch norm layers use batch statistics and update the
        running statistics, first with the clean batch, then with the adversarial batch.
    labels: the true classes, or the probabilities of the classes.
    eps: l-infinity radius for pixels in [0, 1].
    alpha: weight of the clean term; both papers use 0.5.
    clip: whether adversarial images are clipped to [0, 1]; neither paper mentions clipping.
    steps, step_size: number and size of the PGD steps, which start at the clean image. A single
        step of size eps (None) is the FGSM of Goodfellow et al. 2015. More steps and alpha 0 give
        the training of Madry et al. 2018 (arXiv 1706.06083) without their random start.
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
    """Return the cross entropy of each image; unlike in the attacks, labels may be
    probabilities.
    """
    return F.cross_entropy(logits, labels, reduction="none")


@contextlib.contextmanager
def running_statistics(net: object) -> Iterator[None]:
    """Inside the context, batch norm layers use their running statistics without updating them. All
    other layers keep their mode, and on exit the mode of the batch norm layers is restored.
    """
    modules = net.modules() if isinstance(net, nn.Module) else ()
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._NormBase) and m.training]
    for layer in norms:
        layer.training = False
    try:
        yield
    finally:
        for layer in norms:
            layer.training = True
