"""Projected gradient descent: many small steps up the loss, each brought back into the budget.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018, "Towards deep learning models resistant to
adversarial attacks" (arXiv 1706.06083), section 2.1. From a point drawn uniformly in the ball of
radius eps around x, with step size a,

    x_(t+1) = P(x_t + a d(grad C(F(x_t), y))),

where d is the steepest direction of the norm (the sign, or the normalised gradient for l2) and P
projects on the ball, then on [0, 1]. Where this code departs from the paper: the result is not the
last iterate but the one of highest loss (lowest, for targets); and restarts are spent on images
that no earlier run has turned.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import check_choice, check_count, check_eps, check_generator, check_positive, prepare
from .goal import Goal, named_loss
from .losses import Loss
from .noise import in_ball, seed_from
from .norms import per_image, project, size, steepest
from .propagation import Model, Propagation
from .result import Adversarial


def pgd(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: float,
    steps: int,
    step_size: float,
    norm: int | float = math.inf,
    restarts: int = 1,
    random_start: bool = True,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return for each image the one of highest loss met within the budget, misclassified ones too.

    model: from images to logits, in the mode the caller wants it attacked.
    images: in [0, 1]; float64 images (with a float64 model) are attacked in float64.
    labels: the true classes.
    eps: radius of the ball: in (0, 1] for l-infinity, above 0 for l2.
    steps: updates per run, 1 or more. The paper: 40 on MNIST.
    step_size: size of one update in the norm. The paper: 0.01 with eps 0.3 on MNIST.
    norm: math.inf (default, the paper's main case) or 2.
    restarts: runs at most, each from its own random start; an image that one has turned takes no
        part in the next. Default 1; the paper reports up to 20.
    random_start: from a uniform draw in the ball (default, the paper), or from the image itself.
    targets: classes to move towards; None (default): away from the labels.
    loss: as in `fgsm`; default the paper's cross entropy.
    clip: whether iterates are clipped to [0, 1]; default True, the paper.
    keys: for each image the number its random starts belong to, such as its index in the data set;
        default its row. With keys, an image's start does not depend on its batch.
    generator: gives the seed of the random starts by one draw, so that two calls with one generator
        differ and two with generators in the same state agree; to attack a set in pieces, hand each
        piece its keys and a generator in the same state. None: seed 0.

    Of two runs the later counts where it turns the image or reaches a higher loss. Each run costs
    steps + 1 forward and steps backward passes of the images in it, and one more forward of those
    whose best iterate is not the last. The host waits for the device at the end of a run, never
    between its steps.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    propagation = prepare(model, images, labels, targets, keys)
    check_choice("norm", norm, (2, math.inf))
    norm = float(norm)
    check_eps(eps, norm)
    check_count("steps", steps)
    check_positive("step_size", step_size)
    check_count("restarts", restarts)
    check_generator(generator)
    if restarts > 1 and not random_start:
        raise ValueError(
            f"restarts must be 1 without random_start (every run would be the same), got {restarts}"
        )
    goal = Goal(labels, targets, named_loss(loss))
    images = images.detach()
    if keys is None:
        keys = torch.arange(len(images), device=images.device)
    seed = seed_from(generator) if random_start else 0

    adversarial = images.clone()
    gain = images.new_full((len(images),), -math.inf)
    found = torch.zeros_like(labels, dtype=torch.bool)
    spent = torch.zeros_like(labels)
    rows = torch.arange(len(images), device=images.device)  # the images not yet turned
    for restart in range(restarts):
        centre, aim = images[rows], goal.rows(rows)
        start = centre
        if random_start:
            offset = eps * in_ball(seed, keys[rows], restart, centre, norm)
            start = project(centre + offset, centre, eps, norm, clip)
        best, best_gain, logits = _climb(
            propagation, aim, start, centre, eps, steps, step_size, norm, clip
        )
        propagation.ensure_finite(logits)
        turned = aim.reached(logits)
        better = turned | (best_gain > gain[rows])
        adversarial[rows[better]], gain[rows[better]] = best[better], best_gain[better]
        found[rows] = turned
        spent[rows] += steps
        rows = rows[~turned]
        if not len(rows):
            break

    return Adversarial(
        images=adversarial,
        found=found,
        distance=size(adversarial - images, norm),
        steps=spent,
        forwards=propagation.forwards,
        backwards=propagation.backwards,
    )


def _climb(
    propagation: Propagation,
    goal: Goal,
    start: Float[Tensor, "n *shape"],
    centre: Float[Tensor, "n *shape"],
    eps: float,
    steps: int,
    step_size: float,
    norm: float,
    clip: bool,
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"], Float[Tensor, "n k"]]:
    """One run from the start: for each image the iterate of highest gain, that gain, its logits.

    Of equal gains the later counts: a sure network's loss rounds to 0 where its gradient does not.
    """
    iterate = best = start
    best_gain = start.new_full((len(start),), -math.inf)
    for _ in range(steps):
        gain, gradient = propagation.gradient(iterate, goal)
        higher = gain >= best_gain
        best = torch.where(per_image(higher, iterate), iterate, best)
        best_gain = torch.where(higher, gain, best_gain)
        iterate = iterate + step_size * steepest(gradient, norm)
        iterate = project(iterate, centre, eps, norm, clip)

    # The last iterate is judged as well. Its logits are those of the result wherever it is the
    # best, which is almost everywhere; about the other images the model is asked afresh.
    logits = propagation.logits(iterate)
    gain = goal.gain(logits)
    last = gain >= best_gain
    best = torch.where(per_image(last, iterate), iterate, best)
    best_gain = torch.where(last, gain, best_gain)
    if len(earlier := (~last).nonzero().squeeze(1)):
        logits[earlier] = propagation.logits(best[earlier])
    return best, best_gain, logits
