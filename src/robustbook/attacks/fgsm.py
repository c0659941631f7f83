"""The fast gradient sign method: one step of size eps along the sign of the loss gradient.

Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples"
(arXiv 1412.6572), section 4. With C the loss, F the model and y the label,

    x_adv = x + eps sign(grad_x C(F(x), y)),

or, with a target t, x - eps sign(grad_x C(F(x), t)). The paper does not clip the result to the
range of pixels; here it is clipped unless told otherwise. sign(0) = 0: a pixel without a gradient
stays, and an image without one comes back as it was.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import Count, PerImage, check_eps, prepare
from .losses import Loss
from .norms import each
from .propagation import Average, Model
from .result import Adversarial, judged


@torch.inference_mode(False)
def fgsm(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Move every pixel of every image by eps, misclassified images too.

    model: from images to logits, in the mode the caller wants it attacked; it gets a copy of the
        images. A randomised model is attacked reproducibly where it is a `Drawing`.
    images: in [0, 1], float32 or float64 (with a float64 model).
    labels: the true classes.
    eps: in (0, 1], the largest change of a pixel: one number, or one for each image.
    targets: classes to move towards; None (default): away from the labels.
    loss: "cross_entropy" (from logits; default, section 4 of the paper), "clipped_probabilities",
        "squared_error", "margin" (see `losses`), or a callable from logits and classes to one loss
        per image.
    clip: whether the result is clipped to [0, 1]; default True, ours.
    draws: for a randomised model, over how many draws of its noise each gradient is averaged.
        Default 1. More only cost time where the model is deterministic.
    average: "loss" (default): the mean of the losses of the draws. "probability": minus the
        logarithm of the mean probability, for the cross entropy only.
    judge: how many draws, new ones, decide `found`, by the class of highest mean probability.
    keys: for each image the number its noise belongs to, such as its index in the data set;
        default its row. With keys, the result does not depend on the batch.
    generator: gives by one draw the number from which the draws of a `Drawing` are counted. None:
        they are counted from 0.

    Costs two forward passes (the second decides `found`) and one backward.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=loss,
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )
    size = each(check_eps(eps, images), images)

    _, gradient = propagation.gradient(images, goal)
    adversarial = images + size * gradient.sign()
    if clip:
        adversarial = adversarial.clamp(0, 1)

    return judged(propagation, goal, images, adversarial, math.inf, torch.ones_like(goal.labels))
