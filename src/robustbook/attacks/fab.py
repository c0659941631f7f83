"""Run FAB, a minimal-norm attack that projects onto the linearised class boundary within [0, 1].

FAB (fast adaptive boundary attack) is from Croce and Hein 2020, "Minimally distorted adversarial
examples with a fast adaptive boundary attack" (arXiv 1907.02044), algorithm 1. Let x_0 be the clean
image, and let pi be the plane on which the linearised logits of the label and of a wrong class are
equal. Each step projects the iterate x and the clean image onto pi, within [0, 1] (displacements
d_1 and d_2), and computes

    alpha = min(||d_1|| / (||d_1|| + ||d_2||), alpha_max),
    x <- (1 - alpha) (x + overshoot d_1) + alpha (x_0 + overshoot d_2).

So the iterate stays near the clean image. After a success, the next step starts at x_0 + 0.9 (x -
x_0), nearer to the clean image. DeepFool projects only x, and clips afterwards. AutoAttack runs
FAB once for each of nine wrong classes (the argument `rank`). As in AutoAttack's code, this code
has neither random starts nor the final search on the line to the clean image.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import Count, Number, check_choice, check_count, check_positive, check_share, prepare
from .goal import Goal, ranked, rivals
from .losses import lead
from .norms import per_image, size
from .propagation import Model
from .result import Adversarial, judged, nearer


@torch.inference_mode(False)
def fab(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    norm: Number = math.inf,
    steps: Count = 100,
    rank: Count | None = None,
    alpha_max: Number = 0.1,
    overshoot: Number = 1.05,
    backward: Number = 0.9,
    targets: Int[Tensor, " n"] | None = None,
    draws: Count = 1,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Search for the nearest misclassified image in [0, 1].

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``norm``: math.inf (default) for the l-infinity norm, or 2 for the l2 norm.
    ``steps``: the number of updates of each image, 1 or more; default 100, as in AutoAttack.
    ``rank``: if given, every step goes towards the wrong class with the rank-th highest logit at
        the clean image, but any misclassification counts as success. Without ``rank`` and
        ``targets``, each step goes to the nearest linearised boundary.
    ``alpha_max``: the largest weight of the clean image in a step, in (0, 1]; default 0.1.
    ``overshoot``: the factor by which each displacement to the plane is multiplied; default 1.05.
    ``backward``: after a success, the perturbation is multiplied by this number in (0, 1];
        default 0.9.
    ``targets``: the target class of each image; None (default) for an untargeted attack. With
        targets, each step goes to the boundary between the target and the highest other class.
    ``draws``: for a randomised model, the number of noise draws for each gradient. Each step uses
        new draws.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    A clean image that the model already misclassifies has distance 0. If the attack fails on an
    image, it returns the clean image and the distance infinity. Each step costs two forward passes,
    and one backward pass with `rank` or `targets`, or else one for each wrong class. Two additional
    forward passes evaluate the clean and the returned images. Raises ValueError for an invalid
    argument, or a model that returns NaN.
    """
    check_choice("norm", norm, (2, math.inf))
    norm, steps = float(norm), check_count("steps", steps)
    most, back = check_share("alpha_max", alpha_max), check_share("backward", backward)
    beyond = check_positive("overshoot", overshoot)
    if rank is not None and targets is not None:
        raise ValueError(f"rank must be None with targets, got {rank!r}")
    rank = None if rank is None else check_count("rank", rank)
    propagation, whole, images = prepare(
        model, images, labels, targets, keys, draws=draws, judge=judge, generator=generator
    )
    first = propagation.logits(images, whole)
    rows = (~whole.reached(first)).nonzero().squeeze(1)
    origin, goal = images[rows], whole.rows(rows)
    aims = rivals(first[rows], goal.labels, None)
    if rank is not None:
        aims = ranked(first[rows], goal.labels, rank)[:, None]
    x, best, nearest = origin, origin.clone(), origin.new_full((len(origin),), math.inf)
    answers = first.clone()
    for step in range(1, steps + 1):
        if not len(x):
            break
        logits, slope = propagation.slopes(x, goal, 2 * step - 1)
        w, f = _plane(x, logits, slope, goal, aims, norm)
        # The plane in which f + <w, v - x> is 0, seen from the iterate and from the clean image.
        d1 = displacement(x, w, f, norm)
        d2 = displacement(origin, w, f + (w * (origin - x)).flatten(1).sum(1), norm)
        long1, long2 = (size(d, norm).clamp(min=1e-8) for d in (d1, d2))
        alpha = per_image((long1 / (long1 + long2)).clamp(max=most), x)
        x = ((1 - alpha) * (x + beyond * d1) + alpha * (origin + beyond * d2)).clamp(0, 1)

        there = propagation.logits(x, goal, 2 * step)
        reached, distance = goal.reached(there), size(x - origin, norm)
        known = reached & (distance < nearest)
        answers[rows] = torch.where(known[:, None], there, answers[rows])
        best, nearest = nearer(best, nearest, x, distance, reached)
        x = torch.where(per_image(reached, x), origin + back * (x - origin), x)

    adversarial, spent = images.clone(), torch.zeros_like(whole.labels)
    adversarial[rows] = best
    spent[rows] = steps
    return judged(propagation, whole, images, adversarial, norm, spent, minimal=True, known=answers)


def _plane(
    x: Float[Tensor, "n *shape"],
    logits: Float[Tensor, "n k"],
    slope: Callable[[Tensor, Tensor], Tensor],
    goal: Goal,
    aims: Int[Tensor, "n m"],
    norm: float,
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"]]:
    """Return for each image the gradient w of a difference f of two logits, and f itself. The
    attack succeeds where f is positive.

    Without targets, f is the logit of a wrong class minus the logit of the label. The wrong class
    is the class in ``aims`` whose linearised boundary is nearest. With targets, f is the logit of
    the target minus the highest other logit. Where all wrong classes are masked, w and f are 0.
    """
    if goal.targets is not None:
        other = rivals(logits, goal.targets, 1).squeeze(1)
        return slope(other, goal.targets), lead(logits, other, goal.targets)
    w, f = torch.zeros_like(x), logits.new_zeros(len(logits))
    near = torch.full_like(f, math.inf, dtype=torch.float64)
    for aim in aims.unbind(1):
        gradient, apart = slope(goal.labels, aim), lead(logits, goal.labels, aim)
        dual = torch.linalg.vector_norm(
            gradient.flatten(1), 2 if norm == 2 else 1, dim=1, dtype=torch.float64
        )
        distance = apart.abs() / dual.clamp(min=1e-300)
        closer = distance < near
        w, f = torch.where(per_image(closer, w), gradient, w), torch.where(closer, apart, f)
        near = torch.where(closer, distance, near)
    return w, f


def displacement(
    points: Float[Tensor, "n *shape"],
    w: Float[Tensor, "n *shape"],
    f: Float[Tensor, " n"],
    norm: float,
) -> Float[Tensor, "n *shape"]:
    """Return the smallest displacement d of each point for which f + <w, d> is 0 and the point
    stays in [0, 1]. If there is none, return the displacement that makes abs(f + <w, d>) smallest.

    ``points``: in [0, 1].
    ``norm``: the norm of the displacement, 2 or math.inf.

    The components of d depend on one number, lambda (Croce and Hein 2020, section 2.2). Let room_i
    be the distance by which pixel i can move before it reaches 0 or 1. Then abs(d_i) is min(lambda,
    room_i) for l-infinity, and min(lambda abs(w_i), room_i) for l2. So <w, d> is piecewise linear
    in lambda, and lambda is found by sorting the ends of the pieces.
    """
    shape, points = points.shape, points.flatten(1)
    # Divide by the largest entry of w, because products of small float32 gradients round to 0.
    tiny = torch.finfo(w.dtype).tiny
    largest = w.flatten(1).abs().amax(1).clamp(min=tiny)
    w, f = w.flatten(1) / largest[:, None], f / largest
    w = torch.where(f[:, None] > 0, -w, w)  # d moves along the sign of w
    room, steep = torch.where(w > 0, 1 - points, points), w.abs()
    rate = steep if norm == math.inf else steep.square()
    end = room if norm == math.inf else room / steep.clamp(min=tiny)
    end = end.masked_fill(steep == 0, 0)
    order = end.argsort(1)
    ends, rates = end.gather(1, order), rate.gather(1, order)
    used = (rates * ends).cumsum(1)  # the change by all pixels that have reached 0 or 1
    rest = rates.flip(1).cumsum(1).flip(1)  # the rates of all pixels from this one on
    change = torch.cat([used[:, :1] * 0, used[:, :-1]], 1) + ends * rest
    need = torch.where(f == 0, 1e-4, f.abs())[:, None]  # at a tie, a small step as in DeepFool
    piece = torch.searchsorted(change, need).clamp(max=change.shape[1] - 1)
    before = torch.where(piece > 0, used.gather(1, (piece - 1).clamp(min=0)), 0)
    length = (need - before) / rest.gather(1, piece).clamp(min=tiny)
    length = torch.minimum(length, ends[:, -1:])  # no further than the last pixel's end
    moved = torch.minimum(length, end)
    d = w.sign() * moved if norm == math.inf else w * moved
    return d.view(shape)
