r"""Compute the loss of adversarial training as defined by Goodfellow, Shlens & Szegedy 2015 (arXiv
1412.6572, Section 6).

The loss is :math:`\alpha C(x, y) + (1 - \alpha) C(x + \epsilon\,\mathrm{sgn}\nabla_x C, y)`, as in
equation 4 of Nayebi & Ganguli 2017. Each training step computes the adversarial images from the
current weights; the gradient of the loss treats them as constants.
"""

from jaxtyping import Float, Int
from torch import Tensor

from .inner_attacks import Network, SignedSteps
from .objectives import goodfellow, weighted_training


def adversarial_training(
    net: Network,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    eps: float,
    alpha: float = 0.5,
    clip: bool = False,
    steps: int = 1,
    step_size: float | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Return two weighted loss terms, the cross entropy on clean images (``clean``) and on
    adversarial images (``adversarial``); training minimises their sum.

    The loss is that of `weighted_training`. The adversarial images are computed by PGD, which
    starts at the clean image.

    ``net``: the network. Its batch norm layers use their running statistics while the adversarial
        images are computed, and batch statistics in the two loss terms. These layers update their
        running statistics first with the clean batch, then with the adversarial batch.
    ``labels``: the true classes, or the probabilities of the classes.
    ``eps``: l-infinity radius, above 0. If ``clip`` is True, pixels lie in [0, 1], so the radius is
        at most 1. Otherwise pixels may have a different range, such as that of grey levels.
    ``alpha``: weight of the clean term; both papers use 0.5. A term of weight 0 is not computed and
        counts as 0.
    ``clip``: whether adversarial images are clipped to [0, 1]; neither paper mentions clipping.
    ``steps``, ``step_size``: the number and the size of the PGD steps. With ``step_size`` None, a
        step has size eps. One step of size eps is the FGSM of Goodfellow et al. 2015. Several PGD
        steps with alpha 0 give the training of Madry et al. 2018 (arXiv 1706.06083), but without
        the random start.
    """
    length = eps if step_size is None else step_size
    attack = SignedSteps(eps, steps, length, start="image", clip=clip)
    terms = weighted_training(net, images, labels, weights=goodfellow(alpha), attack=attack)
    absent = next(iter(terms.values())).new_zeros(())
    return {name: terms.get(name, absent) for name in ("clean", "adversarial")}
