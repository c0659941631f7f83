"""Quasi-Newton descent on the image (L-BFGS), until the model's answer is the one wanted.

Szegedy et al. 2014, "Intriguing properties of neural networks" (arXiv 1312.6199), section 4.1,
looked for adversarial images with box-constrained L-BFGS. Nayebi and Ganguli 2017 (arXiv
1703.09202), section 7, minimise the cross entropy l of a target class alone,

    x <- x + a p,   B p = -grad l(x),

where B approximates the Hessian (`quasi_newton`) and a comes from a line search; they mention
neither clipping nor a bound on the distance (here `clip=False`).

Every row of the batch runs its own algorithm: own history, own line search, own end. One pass of
the loop evaluates one trial image per row, whatever stage each row is in.

Line search: weak Wolfe conditions by bisection and doubling (Lewis and Overton 2013). With
clipping to [0, 1], pixels at 0 or 1 that the gradient pushes outwards are left out of the direction
(Bertsekas 1982), and the step is halved along the path of clipped images until the loss has fallen
enough (Armijo).

A randomised model is asked for the same draws in every pass: differences of losses and gradients
between images are what L-BFGS learns from, and changing noise would drown them. So the loss that is
minimised is the mean over `draws` fixed draws (a sample average approximation).
"""

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from .checks import Count, Number, check_count, check_tolerance, prepare
from .goal import Goal
from .losses import Loss
from .norms import top
from .propagation import LOOK_EVERY, Average, Model, Propagation
from .quasi_newton import InverseHessians
from .result import Adversarial, judged

DECREASE, CURVATURE, TRIES = 1e-4, 0.9, 20  # of the line search; the last two are scipy's


@torch.inference_mode(False)
def lbfgs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    targets: Int[Tensor, " n"] | None = None,
    steps: Count = 1000,
    history: Count = 10,
    gtol: Number = 1e-5,
    ftol: Number = 2.220446049250313e-09,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise each image's loss until the goal is reached, nothing more is gained, or the steps
    are used up.

    Neither a budget attack nor one for the nearest image: where it succeeds it returns the first
    image that reaches the goal, and else the accepted iterate of lowest loss, with `found` False
    and its true distance (l2). Such a distance says how far the attack went, not how robust the
    image is. `steps` counts accepted iterates; a row that is not found after fewer than `steps` has
    stalled: a tolerance, or a line search without result, ended it. (Gradients that are zero or
    below gtol from the start: after no step at all.)

    model, images, labels, loss: as in `fgsm`; default the paper's cross entropy.
    targets: the classes to reach; None (default): any but the labels.
    steps: iterates at most, 1 or more; default 1000, the paper.
    history: pairs of steps and gradient differences kept per image; default 10, scipy's.
    gtol: stop where no component of the gradient is larger; with clip, of those that do not push a
        pixel out of [0, 1]. Default 1e-5, scipy's. 0: only where all are zero.
    ftol: stop where a step lowers the loss f by no more than ftol max(1, f); default 2.2e-9,
        scipy's. 0: only where it does not lower it at all.
    clip: whether to stay in [0, 1]; default True (Szegedy et al.); the paper does not mention it.
    draws, average, judge, keys, generator: as in `fgsm`, but all passes have the same draws (see
        above). So take enough of them that what is found holds for others too. A model that draws
        by itself, not a `Drawing`, has other noise in each pass: line searches then fail early.

    The first step has length 1 (l2) before its line search, as scipy's without bounds. A line
    search that fails is tried again along the gradient, without history, before the row gives up.
    Each trial costs a forward and a backward pass, and the fresh look at the end a forward. On a
    GPU the host waits for the device every 10 trials, when rows that have ended leave.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    steps, history = check_count("steps", steps), check_count("history", history)
    tolerances = check_tolerance("gtol", gtol), check_tolerance("ftol", ftol)
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

    adversarial, spent = images.clone(), torch.zeros_like(goal.labels)
    searches = _Searches(propagation, goal, images, history, *tolerances, clip)
    every = LOOK_EVERY.get(images.device.type, 10)
    while len(searches.rows):
        if bool(searches.done.any()):
            adversarial[searches.rows] = searches.images()
            spent[searches.rows] = searches.accepted
            searches.only((~searches.done).nonzero().squeeze(1))
            continue
        for _ in range(every):
            searches.trial(steps)

    return judged(propagation, goal, images, adversarial, 2.0, spent)


class _Searches:
    """Where each row stands: its iterate `x` with loss `f` and gradient `g`; the direction `p` and
    the next step length `alpha`, known to lie between `low` and `high`; how many `tries` this line
    search and how many `accepted` iterates there have been; whether it is `done`."""

    def __init__(
        self,
        propagation: Propagation,
        goal: Goal,
        images: Float[Tensor, "n *shape"],
        history: int,
        gtol: float,
        ftol: float,
        clip: bool,
    ) -> None:
        self.propagation, self.goal = propagation, goal
        self.gtol, self.ftol, self.clip = gtol, ftol, clip
        self.shape = images.shape[1:]
        self.rows = torch.arange(len(images), device=images.device)
        self.x = images.flatten(1)
        self.f, self.g, self.scale, reached = self._evaluate(self.x)
        self.unit = _unit(self.g, self.scale)
        self.memory = InverseHessians(history, self.x)
        self.p, flat = self._direction()
        self.done = reached | flat
        self.alpha, self.low = torch.ones_like(self.f), torch.zeros_like(self.f)
        self.high = torch.full_like(self.f, torch.inf)
        self.steepest = torch.ones_like(self.done)
        self.tries, self.accepted = torch.zeros_like(self.rows), torch.zeros_like(self.rows)

    def images(self) -> Float[Tensor, "n *shape"]:
        return self.x.view(-1, *self.shape)

    def only(self, index: Int[Tensor, " m"]) -> None:
        """Drop all other rows."""
        self.goal = self.goal.rows(index)
        self.memory.only(index)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])

    def trial(self, steps: int) -> None:
        """Evaluate one image per row; take it, or change the length of the step."""
        aim = torch.addcmul(self.x, self.alpha.to(self.x.dtype)[:, None], self.p)
        x = aim.clamp(0, 1) if self.clip else aim
        f, g, scale, reached = self._evaluate(x)
        s, unit = x - self.x, _unit(g, scale)
        promise = _dot(self.unit, s, self.scale)
        slope = _dot(unit, s, scale)
        # With clipping, the slope along the path: clipped pixels have stopped there.
        ahead = _dot(unit, s.masked_fill(x != aim, 0), scale) if self.clip else slope

        self.tries += 1
        fell = (f <= self.f + DECREASE * promise) & (promise < 0)
        # What is promised below the rounding of the loss cannot be seen to come.
        unseen = -promise <= torch.finfo(x.dtype).eps * self.f.abs()
        last = (self.tries == TRIES) | (unseen & ~fell)
        taken = fell & ((ahead >= CURVATURE * promise) | last) & ~self.done
        failed = last & ~taken & ~self.done
        moved = taken | (reached & ~self.done)
        gained = self.f - f > self.ftol * torch.maximum(self.f.abs(), f.abs()).clamp(min=1)
        low = torch.where(fell, self.alpha, self.low)
        high = torch.where(fell, self.high, self.alpha)
        # Towards 0: the least point of the parabola through the loss and slope here and the loss
        # there, within a tenth and a half.
        least = -self.alpha * promise / (2 * (f - self.f - promise))
        shorter = least.clamp(self.alpha / 10, self.alpha / 2)
        middle = torch.where(low > 0, (low + high) / 2, shorter)
        alpha = torch.where(high.isinf(), 2 * self.alpha, middle)

        # Without positive curvature the approximation would become indefinite (scipy's bound).
        curved = slope - promise > torch.finfo(torch.float64).eps * -promise
        self.memory.forget(failed)
        self.memory.remember(s, g - self.g, taken & curved)
        for name, value in {"x": x, "g": g, "unit": unit}.items():
            setattr(self, name, torch.where(moved[:, None], value, getattr(self, name)))
        self.f, self.scale = torch.where(moved, f, self.f), torch.where(moved, scale, self.scale)
        self.accepted += moved
        p, flat = self._direction()
        stuck = (taken & (~gained | flat)) | (failed & self.steepest)
        self.done |= reached | stuck | (self.accepted >= steps)

        new = taken | failed
        self.p = torch.where(new[:, None], p, self.p)
        self.steepest = torch.where(new, self.memory.count == 0, self.steepest)
        self.alpha = torch.where(new, 1.0, alpha)
        self.low, self.high = torch.where(new, 0.0, low), torch.where(new, torch.inf, high)
        self.tries.masked_fill_(new, 0)

    def _direction(self) -> tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]:
        """Minus the inverse Hessian times the gradient; and whether that gradient, without pixels
        at 0 or 1 that it pushes outwards, is within gtol."""
        if not self.clip:
            return -self.memory.times(self.unit, self.scale), self.scale <= self.gtol
        edge = ((self.x <= 0) & (self.g > 0)) | ((self.x >= 1) & (self.g < 0))
        unit = self.unit.masked_fill(edge, 0)
        p = -self.memory.times(unit, self.scale).masked_fill_(edge, 0)
        return p, top(unit) * self.scale <= self.gtol

    def _evaluate(
        self, x: Float[Tensor, "n d"]
    ) -> tuple[
        Float64[Tensor, " n"], Float[Tensor, "n d"], Float[Tensor, " n"], Bool[Tensor, " n"]
    ]:
        """The loss, its gradient with its largest entry, and whether the goal is reached."""
        images = x.view(-1, *self.shape)
        logits, gain, up = self.propagation.both(images, self.goal)
        g = -up.flatten(1)
        return -gain.double(), g, top(g), self.goal.reached(logits)


def _unit(g: Float[Tensor, "n d"], scale: Float[Tensor, " n"]) -> Float[Tensor, "n d"]:
    """Each gradient divided by its largest entry; zero where that is zero."""
    return g / torch.where(scale > 0, scale, 1)[:, None]


def _dot(
    unit: Float[Tensor, "n d"], s: Float[Tensor, "n d"], scale: Float[Tensor, " n"]
) -> Float64[Tensor, " n"]:
    """The products of ``scale * unit`` and s, also where they are too small for the dtype."""
    products: Tensor = torch.linalg.vecdot(unit, s).double()
    return products * scale.double()
