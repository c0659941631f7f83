"""Run the Square attack, a random search over square windows that uses logits but no gradients.

The attack is from Andriushchenko et al. 2020, "Square attack: a query-efficient black-box
adversarial attack via random search" (arXiv 1912.00049). This module implements it for l-infinity
(section 3 and algorithm 2). The attack starts with vertical stripes: it moves each column of each
channel by eps up or down. Each later query proposes to set a square window to x + eps or x - eps,
clipped to [0, 1], with a random sign for each channel. The side s of the window is computed from p,
the fraction of the h x w pixels that a proposal changes:

    s = round(sqrt(p h w)), at least 1.

A proposal is accepted if it increases the margin or makes the attack succeed. The fraction p starts
at p_init and is halved after iterations 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000, as in
AutoAttack. Three details differ from the released programs. In AutoAttack, all images of a batch
share their windows and signs; here, the key of an image determines them. If a window would change
nothing, the authors' code draws a new one; this code keeps the window. In the released programs, a
window never covers the last row or column of the image; in this code, it may.
"""

import math
from bisect import bisect_left

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_count,
    check_eps,
    check_share,
    prepare,
)
from .losses import margin
from .noise import uniform
from .norms import each, per_image
from .propagation import Model
from .result import Adversarial, judged

_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_LEAVE_EVERY = 10  # queries between two removals of finished images


def side(iteration: int, height: int, width: int, p_init: float = 0.8) -> int:
    """Return the side, in pixels, of the window proposed in an iteration (counted from 0)."""
    p = p_init / 2 ** bisect_left(_HALVED_AFTER, iteration)
    return min(max(round(math.sqrt(p * height * width)), 1), height, width)


@torch.inference_mode(False)
def square(
    model: Model,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    queries: Count = 5000,
    p_init: Number = 0.8,
    targets: Int[Tensor, " n"] | None = None,
    draws: Count = 1,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return for each image the first proposal that is misclassified, or else the proposal of
    highest margin.

    ``model``: a function from images to logits (see `fgsm`), which need not be differentiable.
    ``images``: the clean images, in [0, 1], of shape (n, c, h, w). Images that the model already
        misclassifies are perturbed too.
    ``labels``: the true classes.
    ``eps``: in (0, 1], the radius of the l-infinity ball: one number, or one for each image.
    ``queries``: maximum number of queries per image, including the starting stripes; default 5000,
        as in AutoAttack.
    ``p_init``: the fraction of the image's pixels that the first windows cover, in (0, 1]; default
        0.8, as in AutoAttack. The paper uses a fraction of 0.05 against undefended networks, and
        0.3 to 0.8 against robust networks.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``draws``: for a randomised model, the number of noise draws per query, which are new in each
        query; default 1. The margin is computed from the logarithm of the mean probabilities.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation, as in
        `fgsm`.
    ``keys``: one number for each image, which determines the image's stripes, windows, signs and
        noise (see `fgsm`).
    ``generator``: a torch generator that gives the seed of all random numbers, as in `pgd`.

    Images on which the attack has succeeded are removed every 10 queries; on a GPU, each removal
    makes the CPU wait. The field `steps` of the result counts the queries that an image needed. The
    final evaluation costs one additional forward pass, and the attack needs no backward pass.
    Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    queries, share = check_count("queries", queries), check_share("p_init", p_init)
    propagation, whole, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=margin,
        draws=draws,
        judge=judge,
        generator=generator,
    )
    if images.ndim != 4:
        raise ValueError(f"images must have shape (n, c, h, w), got {tuple(images.shape)}")
    change = each(check_eps(eps, images), images)
    seed, goal, keys = propagation.seed, whole, whole.keys
    assert keys is not None
    n, channels, height, width = images.shape

    # The images on which the attack has not succeeded yet. A proposal sets a pixel to its value
    # in `low` or `high`, or leaves the pixel unchanged.
    rows = torch.arange(n, device=images.device)
    low, high = (images - change).clamp(0, 1), (images + change).clamp(0, 1)
    stripes = uniform(seed, keys, 0, channels * width, torch.float64) < 0.5
    best = torch.where(stripes.view(n, channels, 1, width), low, high)
    logits = propagation.logits(best, goal)
    gain, done = goal.gain(logits), goal.reached(logits)
    adversarial, spent = best.clone(), torch.ones_like(goal.labels)

    for iteration in range(queries - 1):
        if iteration % _LEAVE_EVERY == 0:
            adversarial[rows] = best
            stay = (~done).nonzero().squeeze(1)
            if not len(stay):
                break
            rows, goal, keys = rows[stay], goal.rows(stay), keys[stay]
            low, high, best, gain, done = (t[stay] for t in (low, high, best, gain, done))
        s = side(iteration, height, width, share)
        draw = uniform(seed, keys, iteration + 1, 2 + channels, torch.float64)
        window = (
            _inside(draw[:, 0], height, s)[:, None, :, None]
            & (_inside(draw[:, 1], width, s)[:, None, None, :])
        )
        corner = torch.where(draw[:, 2:, None, None] < 0.5, low, high)
        proposal = torch.where(window, corner, best)
        logits = propagation.logits(proposal, goal, iteration + 1)
        new_gain, reached = goal.gain(logits), goal.reached(logits)
        accept = ~done & (reached | (new_gain > gain))
        best = torch.where(per_image(accept, best), proposal, best)
        gain = torch.where(accept, new_gain, gain)
        spent[rows] += (~done).long()
        done = done | reached
    adversarial[rows] = best

    return judged(propagation, whole, images, adversarial, math.inf, spent)


def _inside(draw: Float[Tensor, " n"], length: int, s: int) -> Tensor:
    """Return which of `length` rows or columns lie in each image's window, as bools of shape (n,
    length).
    """
    first = (draw * (length - s + 1)).floor()[:, None]
    place = torch.arange(length, device=draw.device)
    return (place >= first) & (place < first + s)
