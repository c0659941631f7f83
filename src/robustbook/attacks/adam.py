"""Gradient descent on the image with Adam's steps, until the model's answer is the one wanted.

Kingma and Ba 2015, "Adam: a method for stochastic optimization" (arXiv 1412.6980), algorithm 1, on
the pixels of each image. With g the gradient of the loss, per pixel

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,
    x <- x - a (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).

Nayebi and Ganguli 2017 (arXiv 1703.09202), section 7, attack their networks so, towards a target
class, without a bound on the distance. Where this code departs from them: iterates are clipped to
[0, 1] unless told otherwise.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_count,
    check_momentum,
    check_positive,
    pick,
    prepare,
)
from .losses import Loss
from .norms import per_image
from .propagation import LOOK_EVERY, Average, Model
from .result import Adversarial, judged


@torch.inference_mode(False)
def adam(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    targets: Int[Tensor, " n"] | None = None,
    steps: Count,
    step_size: PerImage = 0.01,
    betas: tuple[Number, Number] = (0.9, 0.999),
    epsilon: Number = 1e-8,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Follow each image down the loss until the goal is reached or the steps are used up.

    Neither a budget attack nor one for the nearest image: where it succeeds it returns the first
    iterate that reaches the goal, and else the last iterate, with `found` False and its true
    distance (l2). Such a distance says how far the attack went, not how robust the image is.

    model, images, labels, loss: as in `fgsm`; default the paper's cross entropy.
    targets: the classes to reach; None (default): any but the labels.
    steps: updates at most, 1 or more.
    step_size: Adam's rate, in pixels of [0, 1], or one for each image; default 0.01, ours (the
        paper gives none).
    betas: decay rates of the two moments, each in [0, 1); default (0.9, 0.999), Adam's authors.
    epsilon: added to the root of the second moment; default 1e-8, Adam's authors. A gradient far
        below it moves a pixel by step_size * gradient / epsilon, next to nothing: on a saturated
        network it decides whether the attack moves at all.
    clip: whether iterates are clipped to [0, 1]; default True, ours.
    draws, average, judge, keys, generator: as in `fgsm`. Each step has new draws, and those of a
        step decide whether the image has reached its goal there.

    An image at its goal from the start comes back as it was, after no step. Each step costs a
    forward and a backward pass of the images still on their way; an image that arrives costs one
    more of each, and the fresh look a forward of all. On a GPU the host waits for the device every
    10 steps, when images that have arrived leave.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    steps = check_count("steps", steps)
    betas, epsilon = check_momentum("betas", betas), check_positive("epsilon", epsilon)
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
    rate, aim = check_positive("step_size", step_size, images), goal

    adversarial = images.clone()
    spent = torch.zeros_like(goal.labels)
    rows = torch.arange(len(images), device=images.device)  # the images not yet at their goal
    iterate, first, second = images.clone(), torch.zeros_like(images), torch.zeros_like(images)
    every = LOOK_EVERY.get(images.device.type, 10)
    for step in range(1, steps + 1):
        logits, _, gain = propagation.both(iterate, aim, step)
        reached = aim.reached(logits)
        first.lerp_(gain, 1 - betas[0])  # of the gain, which is minus the loss: so added below
        second.mul_(betas[1]).addcmul_(gain, gain, value=1 - betas[1])
        root = (second.sqrt() / (1 - betas[1] ** step) ** 0.5).add_(epsilon)
        length = rate / (1 - betas[0] ** step)
        if isinstance(length, Tensor):
            moved = torch.addcdiv(iterate, per_image(length, iterate) * first, root)
        else:
            moved = torch.addcdiv(iterate, first, root, value=length)
        if clip:
            moved.clamp_(0, 1)
        iterate = torch.where(per_image(reached, iterate), iterate, moved)
        spent[rows] += ~reached
        if step % every == 0 and bool(reached.any()):
            adversarial[rows] = iterate
            stay = (~reached).nonzero().squeeze(1)
            rows, aim, rate = rows[stay], aim.rows(stay), pick(rate, stay)
            iterate, first, second = iterate[stay], first[stay], second[stay]
            if not len(rows):
                break
    adversarial[rows] = iterate

    return judged(propagation, goal, images, adversarial, 2.0, spent)
