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

from .checks import check_eps, prepare
from .goal import Goal, named_loss
from .losses import Loss
from .propagation import Model
from .result import Adversarial, judged


def fgsm(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: float,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
) -> Adversarial:
    """Move every pixel of every image by eps, misclassified images too.

    model: from images to logits, in the mode the caller wants it attacked.
    images: in [0, 1]; float64 images (with a float64 model) are attacked in float64.
    labels: the true classes.
    eps: in (0, 1], the largest change of a pixel.
    targets: classes to move towards; None (default): away from the labels.
    loss: "cross_entropy" (from logits; default, section 4 of the paper), "clipped_probabilities",
        "squared_error", "margin" (see `losses`), or a callable from logits and classes to one loss
        per image.
    clip: whether the result is clipped to [0, 1]; default True, ours.

    Costs two forward passes (the second asks whether the result fools the model) and one backward.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    propagation = prepare(model, images, labels, targets)
    check_eps(eps)
    goal = Goal(labels, targets, named_loss(loss))
    images = images.detach()

    _, gradient = propagation.gradient(images, goal)
    adversarial = images + eps * gradient.sign()
    if clip:
        adversarial = adversarial.clamp(0, 1)

    return judged(propagation, goal, images, adversarial, math.inf, torch.ones_like(labels))
