"""The control of every sign attack: each pixel moved by eps up or down, by the toss of a coin.

It looks at no gradient. Where an attack of the same eps does no better than this one, its gradients
tell it nothing: x_adv = x + eps s, with s uniform in {-1, 1}^d.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import check_eps, check_generator, prepare
from .goal import Goal
from .losses import cross_entropy
from .noise import in_ball, seed_from
from .propagation import Model
from .result import Adversarial, judged


def random_signs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: float,
    targets: Int[Tensor, " n"] | None = None,
    clip: bool = True,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Move every pixel of every image by eps in a random direction, misclassified images too.

    eps: in (0, 1], the change of each pixel before clipping.
    targets: only what counts as found changes: the model's answer must be the target.
    model, images, labels, clip: as in `fgsm`; keys, generator: as in `pgd`.

    Costs one forward pass (it asks whether the result fools the model) and no backward.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    propagation = prepare(model, images, labels, targets, keys)
    check_eps(eps)
    check_generator(generator)
    images = images.detach()
    if keys is None:
        keys = torch.arange(len(images), device=images.device)

    draw = in_ball(seed_from(generator), keys, 0, images, math.inf)
    adversarial = torch.where(draw < 0, images - eps, images + eps)
    if clip:
        adversarial = adversarial.clamp(0, 1)

    return judged(
        propagation,
        Goal(labels, targets, cross_entropy),
        images,
        adversarial,
        math.inf,
        torch.ones_like(labels),
    )
