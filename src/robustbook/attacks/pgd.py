"""Projected gradient descent (PGD) takes steps that increase the loss, and projects each iterate
onto a ball around the image.

PGD is from Madry, Makelov, Schmidt, Tsipras and Vladu 2018, "Towards deep learning models resistant
to adversarial attacks" (arXiv 1706.06083), section 2.1. PGD starts at a point drawn uniformly in
the ball of radius eps around x. With step size a, each step computes the next iterate:

    x_(t+1) = P(x_t + a d(grad C(F(x_t), y))),

Here d is the steepest direction of the norm: the sign of the gradient, or for l2 the normalised
gradient. P projects a point onto the ball and then clips it to [0, 1]. The attack may run several
times with new starting points (`restarts`). This code differs from the paper in two ways. It
returns the iterate of highest loss (with targets: of lowest loss), not the last iterate. And once a
run has succeeded on an image, all later runs leave this image out.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_choice,
    check_count,
    check_eps,
    check_positive,
    pick,
    prepare,
)
from .goal import Goal
from .losses import Loss
from .noise import in_ball
from .norms import each, per_image, project, steepest
from .propagation import Average, Model, Propagation
from .result import Adversarial, judged


@torch.inference_mode(False)
def pgd(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    steps: Count,
    step_size: PerImage,
    norm: Number = math.inf,
    restarts: Count = 1,
    random_start: bool = True,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return for each image the iterate of highest loss within radius eps, whether it is
    misclassified or not.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``loss``: the loss, as a name or a function (see `fgsm`); the default is the cross entropy, as
        in the paper.
    ``eps``: radius of the ball, in (0, 1] for l-infinity and above 0 for l2; one number, or one for
        each image.
    ``steps``: the number of updates in each run, 1 or more; the paper uses 40 on MNIST.
    ``step_size``: length of one update, measured in the norm of the ball; one number, or one for
        each image. The paper uses 0.01 with eps 0.3 on MNIST.
    ``norm``: the norm of the ball, math.inf (default, the paper's main case) or 2.
    ``restarts``: maximum number of runs, each from a new random starting point. Once a run has
        succeeded on an image, later runs leave this image out. The default is 1 run; the paper
        reports up to 20 runs.
    ``random_start``: whether a run starts at a uniform draw from the ball (default, as in the
        paper) or at the image itself.
    ``clip``: whether iterates are clipped to [0, 1]; default True, as in the paper.
    ``draws``: for a randomised model, the number of noise draws over which each gradient is
        averaged. Each step uses new draws. So when the attack compares two iterates, their losses
        were computed with different noise.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: one number for each image, which determines the image's random starts and noise (see
        `fgsm`).
    ``generator``: a torch generator from which the seed of random starts and noise is drawn; with
        None, the seed is 0. Each call advances the generator, so a second call gives different
        results. Two calls give the same results if their generators are in the same state. To
        attack one set of images in several calls, give each call the keys of its images, and a new
        generator with the same seed.

    The result of a later run replaces the result of an earlier run if the later run succeeds or
    reaches a higher loss. Each run costs `steps` + 1 forward passes and `steps` backward passes of
    its images. The final evaluation costs a forward pass of all images. On a GPU, the CPU waits for
    the GPU at the end of each run, but never during a run. Raises ValueError for an invalid
    argument, or a model that returns NaN.
    """
    check_choice("norm", norm, (2, math.inf))
    norm = float(norm)
    check_choice("random_start", random_start, (True, False))
    steps, restarts = check_count("steps", steps), check_count("restarts", restarts)
    if restarts > 1 and not random_start:
        raise ValueError(
            f"restarts must be 1 without random_start (every run would be the same), got {restarts}"
        )
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
    radius = check_eps(eps, images, norm)
    length = check_positive("step_size", step_size, images)

    adversarial = images.clone()
    gain = images.new_full((len(images),), -math.inf)
    spent = torch.zeros_like(goal.labels)
    # The images that are still classified correctly.
    rows = torch.arange(len(images), device=images.device)
    for restart in range(restarts):
        centre, aim, bound = images[rows], goal.rows(rows), pick(radius, rows)
        start = centre
        if random_start:
            assert aim.keys is not None
            offset = in_ball(propagation.seed, aim.keys, restart, centre, norm)
            start = project(centre + each(bound, centre) * offset, centre, bound, norm, clip)
        first = restart * (steps + 1)  # skip the draw numbers of earlier runs
        best, best_gain, turned = _climb(
            propagation, aim, start, centre, bound, steps, pick(length, rows), norm, clip, first
        )
        better = turned | (best_gain > gain[rows])
        adversarial[rows] = torch.where(per_image(better, best), best, adversarial[rows])
        gain[rows] = torch.where(better, best_gain, gain[rows])
        spent[rows] += steps
        if restart + 1 == restarts:
            break
        rows = rows[~turned]
        if not len(rows):
            break

    return judged(propagation, goal, images, adversarial, norm, spent)


def _climb(
    propagation: Propagation,
    goal: Goal,
    start: Float[Tensor, "n *shape"],
    centre: Float[Tensor, "n *shape"],
    eps: float | Float[Tensor, " n"],
    steps: int,
    step_size: float | Float[Tensor, " n"],
    norm: float,
    clip: bool,
    first: int,
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Run PGD once. Return for each image the iterate of highest objective, this objective, and
    whether the attack succeeds on this iterate. The objective is the loss or, if the attack has
    targets, minus the loss.

    If two iterates have the same loss, the later one is kept, because a confident network's loss
    can round to 0 although its gradient does not.
    """
    length = each(step_size, start)
    iterate = start
    for step in range(steps):
        logits, gain, gradient = propagation.both(iterate, goal, first + step)
        if step == 0:
            best, best_gain, answer = iterate, gain, logits
        else:
            best, best_gain, answer = _higher(best, best_gain, answer, iterate, gain, logits)
        iterate = iterate + length * steepest(gradient, norm)
        iterate = project(iterate, centre, eps, norm, clip)
    logits, gain = propagation.value(iterate, goal, first + steps)
    best, best_gain, answer = _higher(best, best_gain, answer, iterate, gain, logits)
    return best, best_gain, goal.reached(answer)


def _higher(
    best: Float[Tensor, "n *shape"],
    best_gain: Float[Tensor, " n"],
    answer: Float[Tensor, "n k"],
    iterate: Float[Tensor, "n *shape"],
    gain: Float[Tensor, " n"],
    logits: Float[Tensor, "n k"],
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"], Float[Tensor, "n k"]]:
    """Return for each image the better of two iterates, the best so far and a new one, with its
    objective and its logits. The better iterate has the higher objective; the new one counts as
    better if both objectives are equal.
    """
    higher = gain >= best_gain
    return (
        torch.where(per_image(higher, best), iterate, best),
        torch.where(higher, gain, best_gain),
        torch.where(higher[:, None], logits, answer),
    )
