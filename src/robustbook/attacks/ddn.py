"""Run DDN, an l2 attack whose radius shrinks after a success and grows after a failure.

DDN is algorithm 1 of Rony et al. 2019, "Decoupling direction and norm for efficient gradient-based
l2 adversarial attacks and defenses" (arXiv 1811.09600). With u the normalised gradient of the loss
at x + d, each step updates the perturbation d and the radius r:

    d <- d + a u,   r <- (1 - gamma) r if x + d is misclassified, else (1 + gamma) r,
    d <- r d / ||d||.

The step length a follows a cosine schedule down to a hundredth of its first value, as in the
authors' code. DDN returns the nearest misclassified iterate. In table 1 of the paper, the
perturbations of DDN are about as small as those of Carlini and Wagner's attack, at a fiftieth of
the cost. Unlike DeepFool, it does not assume a flat class boundary. The paper rounds images to 256
grey levels; this code does not.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import Count, Number, PerImage, check_count, check_positive, pick, prepare
from .losses import Loss
from .norms import each, per_image, size, steepest
from .propagation import Average, Model
from .result import Adversarial, judged, nearer


def length(step: int, steps: int) -> float:
    """Return the length of step number `step` (counted from 0), divided by the length of the first
    step. The result falls from 1 to about 0.01 in the course of the attack.
    """
    return 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2


@torch.inference_mode(False)
def ddn(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    steps: Count = 300,
    gamma: Number = 0.05,
    scale: PerImage = 1.0,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Search for the nearest misclassified image in l2.

    ``model``: a function from images to logits (see `fgsm`).
    ``labels``: the true classes.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``images``: the clean images, in [0, 1]. If `clip` is False, pixels may have any finite value,
        and `scale` must be given in the unit of the pixels.
    ``steps``: the number of gradients computed for each image, 1 or more; default 300 (the paper
        uses 100, 300 and 1000).
    ``gamma``: the relative change of the radius in each step, in (0, 1); 0.05 in the paper.
    ``scale``: the initial radius, which is also the initial step length: one number, or one for
        each image. In the paper, ``scale`` is 1 for pixels in [0, 1].
    ``loss``: the loss, as a name or a function (see `fgsm`); the default is the cross entropy, as
        in the paper. If the gradient of the loss at the clean image is exactly 0, this attack does
        not change the image. In this case, the authors' code takes a step in a random direction.
        The gradient of the loss "margin" does not vanish if the softmax saturates.
    ``clip``: whether iterates are clipped to [0, 1]; default True.
    ``draws``: for a randomised model, the number of noise draws over which each gradient is
        averaged. Each step uses new draws, which also decide whether the iterate is misclassified.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    A clean image that the model already misclassifies has distance 0. If the attack fails on an
    image, it returns the clean image and the distance infinity. The attack costs a forward and a
    backward pass per step, and a forward pass each for the clean and for the returned images.
    Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    steps, change = check_count("steps", steps), check_positive("gamma", gamma)
    if change >= 1:
        raise ValueError(f"gamma must be in (0, 1), got {gamma!r}")
    propagation, whole, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=loss,
        clip=clip,
        box=clip,
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )
    unit = check_positive("scale", scale, images)
    first = propagation.logits(images, whole)
    rows = (~whole.reached(first)).nonzero().squeeze(1)
    x, goal, unit = images[rows], whole.rows(rows), pick(unit, rows)
    best, nearest = x.clone(), x.new_full((len(x),), math.inf)
    delta, radius = torch.zeros_like(x), x.new_ones(len(x)) * unit
    for step in range(steps):
        if not len(x):
            break
        point = x + delta
        logits, _, gradient = propagation.both(point, goal, step + 1)
        reached, distance = goal.reached(logits), size(point - x, 2.0)
        best, nearest = nearer(best, nearest, point, distance, reached)
        radius = torch.where(reached, (1 - change) * radius, (1 + change) * radius)
        delta = delta + each(unit * length(step, steps), x) * steepest(gradient, 2.0)
        norm = size(delta, 2.0)
        delta = delta * per_image(torch.where(norm > 0, radius / norm, 0), x)
        if clip:
            delta = (x + delta).clamp(0, 1) - x

    adversarial, spent = images.clone(), torch.zeros_like(whole.labels)
    adversarial[rows] = best
    spent[rows] = steps
    return judged(propagation, whole, images, adversarial, 2.0, spent, minimal=True)
