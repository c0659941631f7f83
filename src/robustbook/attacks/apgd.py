"""Run Auto-PGD (APGD): PGD with momentum, whose step size is halved when progress stops.

APGD is algorithm 1 of Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks" (arXiv 2003.01690). Let P be the projection onto the
ball and [0, 1], and d the steepest direction of the norm. With momentum a = 0.75 (a = 1 in the
first step), each step computes

    z = P(x_t + s d(grad L(x_t))),
    x_(t+1) = P(x_t + a (z - x_t) + (1 - a) (x_t - x_(t-1))).

The step size s begins at 2 eps. The step size can be halved only at a few steps, the checkpoints.
It is halved for an image if one of two conditions holds. The first is that the loss increased in
too few of the steps since the last checkpoint. The second is that neither s nor the highest loss
has changed since the last checkpoint. After a halving, the attack continues from the iterate of
highest loss.

AutoAttack runs two versions of APGD: one increases the loss "cross_entropy", the other
`targeted_dlr` (the argument `rank`). The first condition holds if the loss increased in at most a
fraction rho of the steps, as in the released code. In the paper, the fraction must be below rho.
Unlike in the released code, the attack on an image stops as soon as an iterate is misclassified.
"""

import math
from dataclasses import replace

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
    check_share,
    pick,
    prepare,
)
from .drawing import Drawing
from .goal import Goal, ranked
from .losses import Loss
from .noise import in_ball
from .norms import each, per_image, project, size, steepest
from .propagation import LOOK_EVERY, Average, Model, Propagation
from .result import Adversarial, judged

MOMENTUM = 0.75


def checkpoints(steps: int) -> frozenset[int]:
    """Return the steps after which the step size may be halved, as in the paper (section 3.2).

    The first checkpoint is at 22 % of the steps. The distances between checkpoints become shorter
    by 3 % of the steps each time, down to 6 % of the steps.
    """
    found, at, window = [], 22, 22
    while at <= 100:
        found.append(-(-at * steps // 100))  # rounded up, in whole numbers
        window = max(window - 3, 6)
        at += window
    return frozenset(found)


@torch.inference_mode(False)
def apgd(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    steps: Count = 100,
    norm: Number = math.inf,
    restarts: Count = 1,
    rho: Number = 0.75,
    targets: Int[Tensor, " n"] | None = None,
    loss: str | Loss = "cross_entropy",
    rank: Count | None = None,
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return for each image an iterate within radius eps: the first misclassified iterate, or else
    the iterate of highest loss.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``eps``: radius of the ball, in (0, 1] for l-infinity and above 0 for l2; one number, or one for
        each image.
    ``steps``: the number of updates in each run, 1 or more; default 100, as in AutoAttack.
    ``norm``: the norm of the ball, math.inf (default) or 2.
    ``restarts``: maximum number of runs, each from a new random starting point; default 1, as in
        AutoAttack.
    ``rho``: a fraction in (0, 1]; default 0.75, as in the paper. The step size is halved if the
        loss increased in at most this fraction of the steps since the last checkpoint.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``loss``: the loss, as a name or a function (see `fgsm`); default "cross_entropy". The paper
        also proposes "dlr".
    ``rank``: if given, the attack increases the `targeted_dlr` towards the wrong class with the
        rank-th highest logit at the clean image, but any misclassification counts as success.
        AutoAttack runs the ranks 1 to 9. The argument needs four classes or more, and excludes
        ``targets`` and ``loss``.
    ``clip``: whether iterates are clipped to [0, 1]; default True, as in the paper.
    ``draws``: for a randomised model, the number of noise draws over which each gradient is
        averaged; each step uses new draws. The attack on a `Drawing` uses all steps even if an
        iterate is misclassified, because a single draw can misclassify an image by chance. It
        returns the misclassified iterate of highest loss or, if no iterate is misclassified, the
        iterate of highest loss.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: one number for each image, which determines the image's random starts and noise (see
        `fgsm`).
    ``generator``: a torch generator that gives the seed of all random numbers, as in `pgd`.

    Each run starts at a random point of the ball's surface. It costs `steps` + 1 forward passes and
    `steps` backward passes of the images that are still classified correctly. With `rank`, one more
    forward pass ranks the wrong classes. On a GPU, misclassified images are removed only every 10
    steps, because each removal makes the CPU wait for the GPU. Raises ValueError for an invalid
    argument, or a model that returns NaN.
    """
    check_choice("norm", norm, (2, math.inf))
    norm = float(norm)
    steps, restarts = check_count("steps", steps), check_count("restarts", restarts)
    share = check_share("rho", rho)
    if rank is not None and (targets is not None or loss != "cross_entropy"):
        given = "targets" if targets is not None else f"loss {loss!r}"
        raise ValueError(f"rank must be None with {given}, got {rank!r}")
    if rank is not None:
        rank = check_count("rank", rank)
        if average != "loss":
            raise ValueError(f"average must be 'loss' with rank, got {average!r}")
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
    if rank is not None:
        clean = propagation.logits(images, goal, restarts * (steps + 1))
        goal = replace(goal, aims=ranked(clean, goal.labels, rank))

    adversarial, spent = images.clone(), torch.zeros_like(goal.labels)
    gain = images.new_full((len(images),), -math.inf)
    # The images that are still classified correctly.
    rows = torch.arange(len(images), device=images.device)
    for restart in range(restarts):
        centre, aim, bound = images[rows], goal.rows(rows), pick(radius, rows)
        assert aim.keys is not None
        offset = _on_surface(in_ball(propagation.seed, aim.keys, restart, centre, norm), norm)
        start = project(centre + each(bound, centre) * offset, centre, bound, norm, clip)
        found, new_gain, reached, gradients = _climb(
            propagation,
            aim,
            start,
            centre,
            bound,
            steps,
            norm,
            share,
            clip,
            first=restart * (steps + 1),
            stop=not isinstance(model, Drawing),
        )
        better = reached | (new_gain > gain[rows])
        adversarial[rows] = torch.where(per_image(better, found), found, adversarial[rows])
        gain[rows] = torch.where(better, new_gain, gain[rows])
        spent[rows] += gradients
        if restart + 1 == restarts:
            break
        rows = rows[~reached]
        if not len(rows):
            break
    return judged(propagation, goal, images, adversarial, norm, spent)


def _on_surface(points: Float[Tensor, "n *shape"], norm: float) -> Float[Tensor, "n *shape"]:
    """Return the points of the unit ball, moved away from its centre onto its surface."""
    tiny = torch.finfo(points.dtype).tiny
    return points / per_image(size(points, norm).clamp(min=tiny), points)


def _climb(
    propagation: Propagation,
    goal: Goal,
    start: Float[Tensor, "n *shape"],
    centre: Float[Tensor, "n *shape"],
    eps: float | Float[Tensor, " n"],
    steps: int,
    norm: float,
    share: float,
    clip: bool,
    first: int,
    stop: bool,
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"], Bool[Tensor, " n"], Int[Tensor, " n"]]:
    """Run APGD once. Return four results for each image: the iterate that `apgd` describes, its
    objective, whether the attack succeeds on it, and the number of computed gradients.

    ``first``: the number of the first step, which selects the noise draws.
    ``stop``: whether the attack on an image stops once an iterate is misclassified.
    """
    every, checks = LOOK_EVERY.get(start.device.type, 10), checkpoints(steps)
    found, top = start.clone(), start.new_zeros(len(start))
    success, spent = torch.zeros_like(top, dtype=torch.bool), torch.ones_like(goal.labels)
    rows = torch.arange(len(start), device=start.device)  # the images that are still attacked

    x = before = shown = best = start
    logits, gain, gradient = propagation.both(x, goal, first)
    shown_gain = best_gain = checked = gain
    best_gradient, reached = gradient, goal.reached(logits)
    length = 2 * eps * torch.ones_like(gain)
    rises, halved, last_check = torch.zeros_like(spent), torch.ones_like(reached), 0
    for step in range(1, steps + 1):
        if stop and (step - 1) % every == 0 and bool(reached.any()):
            found[rows], top[rows], success[rows] = shown, shown_gain, reached
            stay = (~reached).nonzero().squeeze(1)
            if not len(stay):
                return found, top, success, spent
            rows, goal, centre, eps = rows[stay], goal.rows(stay), centre[stay], pick(eps, stay)
            x, before, shown, best = x[stay], before[stay], shown[stay], best[stay]
            gradient, best_gradient = gradient[stay], best_gradient[stay]
            gain, shown_gain, best_gain = gain[stay], shown_gain[stay], best_gain[stay]
            reached, length, rises = reached[stay], length[stay], rises[stay]
            halved, checked = halved[stay], checked[stay]

        z = project(x + per_image(length, x) * steepest(gradient, norm), centre, eps, norm, clip)
        a = MOMENTUM if step > 1 else 1.0
        moved = x + a * (z - x) + (1 - a) * (x - before)
        before, x = x, project(moved, centre, eps, norm, clip)
        if step < steps:
            logits, new, gradient = propagation.both(x, goal, first + step)
            spent[rows] += 1
        else:
            logits, new = propagation.value(x, goal, first + step)
        rises += new > gain
        gain = new

        now = goal.reached(logits)
        better = (now & ~reached) | ((now == reached) & (gain >= shown_gain))
        if stop:
            better &= ~reached  # until it is removed, an image keeps its first success
        shown = torch.where(per_image(better, x), x, shown)
        shown_gain, reached = torch.where(better, gain, shown_gain), reached | now

        higher = per_image(gain > best_gain, x)
        best, best_gradient = (
            torch.where(higher, x, best),
            torch.where(higher, gradient, best_gradient),
        )
        best_gain = torch.maximum(gain, best_gain)
        if step in checks:
            slow = rises <= share * (step - last_check)
            halved = slow | (~halved & (best_gain <= checked))
            back = per_image(halved, x)
            x, gradient = torch.where(back, best, x), torch.where(back, best_gradient, gradient)
            gain = torch.where(halved, best_gain, gain)
            length = torch.where(halved, length / 2, length)
            checked, rises, last_check = best_gain, torch.zeros_like(rises), step

    found[rows], top[rows], success[rows] = shown, shown_gain, reached
    return found, top, success, spent
