"""DDN: the direction of each step from the gradient, its length from whether the last one was
across.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin and Granger 2019, "Decoupling direction and norm for
efficient gradient-based l2 adversarial attacks and defenses" (arXiv 1811.09600), algorithm 1. With
u the normalised gradient of the loss at x + d,

    d <- d + a u,   r <- (1 - gamma) r if x + d was across, else (1 + gamma) r,   d <- r d / ||d||,

a falling from its first value to a hundredth of it along a cosine, as in the authors' code. The
nearest image met that is across is the result. It is as strong as Carlini and Wagner's attack at a
fiftieth of its price (their table 1), and, unlike DeepFool, it does not believe in planes. Left
out: rounding to 256 grey levels.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import check_count, check_positive, prepare
from .goal import Goal, named_loss
from .losses import Loss
from .norms import per_image, size, steepest
from .propagation import Model
from .result import Adversarial


def ddn(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    steps: int = 300,
    gamma: float = 0.05,
    scale: float = 1.0,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
) -> Adversarial:
    """Look for the nearest image in l2 that the model names otherwise.

    model: from images to logits, in the mode the caller wants it attacked.
    images: in [0, 1], unless clip is False; then of any size, `scale` times that of pixels.
    labels: the true classes.
    steps: gradients of each image, 1 or more; 300, the paper reports 100, 300 and 1000.
    gamma: the share by which the radius changes, in (0, 1); the paper: 0.05.
    scale: the first radius and the first length of a step; the paper: 1, for pixels in [0, 1].
    targets: classes to be reached; None (default): away from the labels.
    loss: as in `fgsm`; default the paper's. An image whose gradient is exactly 0 at first stays
        where it is; the authors' code draws a direction instead. "margin" has no flat softmax.
    clip: whether images stay in [0, 1].

    An image that is misclassified from the start is found at distance 0; one that was never across
    comes back as it was, at infinite distance. Costs a forward and a backward pass per step, and
    two forward passes. Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    check_count("steps", steps)
    check_positive("gamma", gamma)
    check_positive("scale", scale)
    if gamma >= 1:
        raise ValueError(f"gamma must be in (0, 1), got {gamma!r}")
    propagation = prepare(model, images, labels, targets, box=clip)
    whole = Goal(labels, targets, named_loss(loss))
    images = images.detach()
    first = propagation.logits(images)
    rows = (~whole.reached(first)).nonzero().squeeze(1)
    x, goal = images[rows], whole.rows(rows)
    best, nearest = x.clone(), x.new_full((len(x),), math.inf)
    delta, radius = torch.zeros_like(x), x.new_full((len(x),), float(scale))
    for step in range(steps):
        if not len(x):
            break
        point = x + delta
        logits, _, gradient = propagation.both(point, goal)
        across, distance = goal.reached(logits), size(point - x, 2.0)
        better = across & (distance < nearest)
        nearest = torch.where(better, distance, nearest)
        best = torch.where(per_image(better, x), point, best)
        length = scale * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        radius = radius * torch.where(across, 1 - gamma, 1 + gamma)
        delta = delta + length * steepest(gradient, 2.0)
        norm = size(delta, 2.0)
        delta = delta * per_image(torch.where(norm > 0, radius / norm, 0), x)
        if clip:
            delta = (x + delta).clamp(0, 1) - x

    adversarial, distances = images.clone(), images.new_zeros(len(images))
    adversarial[rows], distances[rows] = best, nearest
    logits = propagation.logits(adversarial)
    propagation.ensure_finite(logits)
    spent = torch.zeros_like(labels)
    spent[rows] = steps
    return Adversarial(
        images=adversarial,
        found=whole.reached(logits),
        distance=distances,
        steps=spent,
        forwards=propagation.forwards,
        backwards=propagation.backwards,
    )
