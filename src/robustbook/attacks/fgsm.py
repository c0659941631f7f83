"""The fast gradient sign method makes one step of size eps along the sign of the loss gradient.

FGSM is from Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples"
(arXiv 1412.6572), section 4. With C the loss, F the model and y the label, the adversarial image is

    x_adv = x + eps sign(grad_x C(F(x), y)),

With a target t, x_adv = x - eps sign(grad_x C(F(x), t)). The paper does not clip the result to the
pixel range; this code clips it to [0, 1] by default. Since sign(0) = 0, a pixel whose gradient is
zero does not change.
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
    """Change every pixel by eps in the direction of the gradient's sign, also in images that the
    model already misclassifies.

    ``model``: a function from images to logits. The model gets a copy of the images, so it may
        change them in place. The attack does not change the mode of a network, so set the network
        to evaluation mode first. In training mode, batch norm layers use the statistics of the
        batch. They do not update their running statistics if the model is an `nn.Module`; the
        attack cannot protect a network that a function calls. The attack on a randomised model is
        reproducible if the model is a `Drawing`. A class whose logit is minus infinity is masked:
        it is never predicted.
    ``images``: the clean images, in [0, 1], in float32, or in float64 for a float64 model.
    ``labels``: the true classes.
    ``eps``: in (0, 1], the largest change of a pixel: one number, or one for each image.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``loss``: the name of a loss in `losses`, by default "cross_entropy", as in section 4 of the
        paper. The names of other losses are "clipped_probabilities", "squared_error", "margin",
        "hinge" and, for three classes or more, "dlr". The loss may also be a function from logits
        and classes to one number per image.
    ``clip``: whether the result is clipped to [0, 1]; default True, our choice.
    ``draws``: for a randomised model, the number of noise draws over which each gradient is
        averaged; default 1. For a deterministic model, more than one draw only costs time.
    ``average``: what is averaged over several noise draws. With "loss" (default), the attack
        increases the mean loss over the draws. With "probability", it increases minus the logarithm
        of the label's mean probability, and the loss must be the cross entropy.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation;
        default 1. The predicted class is the class of highest mean probability over these draws.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise;
        by default the row number. If the keys are indices into the data set, the result for an
        image does not depend on the batch.
    ``generator``: a torch generator that gives the seed of the noise; with None, the seed is 0. For
        a `Drawing`, the seed determines which noise draw is the first.

    FGSM costs one backward pass and two forward passes; the second forward pass decides whether the
    attack succeeded. Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=loss,
        clip=clip,
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )
    size = each(check_eps(eps, images), images)

    _, _, gradient = propagation.both(images, goal)
    adversarial = images + size * gradient.sign()
    if clip:
        adversarial = adversarial.clamp(0, 1)

    return judged(propagation, goal, images, adversarial, math.inf, torch.ones_like(goal.labels))
