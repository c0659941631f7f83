"""Change each pixel by plus or minus eps at random, for comparison with attacks along the sign of
the gradient.

The perturbed image is x_adv = x + eps s, with s uniform in {-1, 1}^d. Random signs use no gradient.
If a gradient attack with the same eps succeeds no more often than random signs, the gradients are
uninformative.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import Count, PerImage, check_eps, prepare
from .noise import in_ball
from .norms import each
from .propagation import Model
from .result import Adversarial, judged


@torch.inference_mode(False)
def random_signs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    targets: Int[Tensor, " n"] | None = None,
    clip: bool = True,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Add eps to each pixel or subtract eps from it at random, also in images that the model
    already misclassifies.

    ``eps``: in (0, 1], the change of each pixel before clipping: one number, or one for each image.
    ``targets``: the target class of each image; with targets, the attack succeeds only if the
        network predicts the target. The perturbation does not depend on the targets.
    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``clip``: whether the perturbed images are clipped to [0, 1]; default True.
    ``judge``: for a randomised model, the number of noise draws with which the perturbed images are
        evaluated, as in `fgsm`.
    ``keys``: one number for each image, which determines the image's random numbers (see `fgsm`).
    ``generator``: a torch generator that gives the seed of all random numbers, as in `pgd`.

    The only pass through the model is one forward pass, which decides whether the attack succeeded.
    Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    propagation, goal, images = prepare(
        model, images, labels, targets, keys, clip=clip, judge=judge, generator=generator
    )
    size = each(check_eps(eps, images), images)

    assert goal.keys is not None
    draw = in_ball(propagation.seed, goal.keys, 0, images, math.inf)
    adversarial = torch.where(draw < 0, images - size, images + size)
    if clip:
        adversarial = adversarial.clamp(0, 1)

    return judged(propagation, goal, images, adversarial, math.inf, torch.ones_like(goal.labels))
