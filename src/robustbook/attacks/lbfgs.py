"""Run the L-BFGS attack: minimise a loss over an image's pixels until the attack succeeds.

Szegedy et al. 2014, "Intriguing properties of neural networks" (arXiv 1312.6199), section 4.1, used
L-BFGS with pixels constrained to [0, 1] to find adversarial images. Nayebi and Ganguli 2017 (arXiv
1703.09202), section 7, minimise only the cross entropy l of a target class, by the following
update:

    x <- x + a p,   B p = -grad l(x).

The matrix B approximates the Hessian (`quasi_newton`), and a line search chooses the step length a.
Nayebi and Ganguli mention neither clipping nor a bound on the distance; with `clip=False`, this
code runs their attack.

Every image has its own history, line search and stopping point. The searches run in parallel: one
pass evaluates the next trial point of every image in the batch.

The line search finds a step that satisfies the weak Wolfe conditions by bisection and doubling
(Lewis and Overton 2013). With clipping, the search direction excludes pixels at 0 or 1 that the
negative gradient pushes out of [0, 1] (Bertsekas 1982). The step is then shortened along the path
of clipped images until the loss has decreased enough (Armijo's condition).

For a randomised model, the attack uses the same noise draws in every pass, because L-BFGS uses
differences of losses and gradients between iterates. New noise in each pass would dominate these
differences. So the attack minimises the mean loss over `draws` fixed noise draws (a sample average
approximation).
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

DECREASE, CURVATURE, TRIES = 1e-4, 0.9, 20  # of the line search; CURVATURE and TRIES as in scipy


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
    """Minimise each image's loss until the attack succeeds, the search stalls or all steps are
    used.

    The attack neither bounds nor minimises the distance. It returns the first iterate on which it
    succeeds. If it never succeeds, it returns the accepted iterate of lowest loss, and `found` is
    False in the result. So the l2 distance in the result says only how far the attack moved the
    image; this distance does not measure the network's robustness.

    The number `steps` counts accepted iterates. If the attack fails after fewer than `steps`
    iterates, it has stalled: it met a stopping tolerance, or its line search found no step. The
    attack stops after 0 steps if no gradient component at the clean image exceeds gtol in absolute
    value.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``loss``: the loss, as a name or a function (see `fgsm`); the default is the cross entropy.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``steps``: maximum number of accepted iterates, 1 or more; default 1000, as in the paper.
    ``history``: how many recent steps of each image approximate the Hessian, each with its change
        of the gradient; default 10, as in scipy.
    ``gtol``: the attack stops if no gradient component is larger than gtol in absolute value;
        default 1e-5, as in scipy. With `clip`, the test ignores pixels at 0 or 1 that a step along
        the negative gradient would push out of [0, 1]. With 0, the attack stops only if all
        components are zero.
    ``ftol``: the attack stops if a step decreases the loss f by at most ftol max(1, |f|); default
        2.2e-9, as in scipy. With 0, the attack stops only if the loss does not decrease.
    ``clip``: whether iterates are clipped to [0, 1]; default True, as in Szegedy et al.
    ``draws``: for a randomised model, the number of noise draws over which the loss is averaged,
        the same in all passes of the attack. With too few draws, the adversarial image may fool the
        model only with these draws. If the model is not a `Drawing`, each pass has new noise, so
        the line searches fail early.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``average``: whether losses ("loss") or probabilities ("probability") are averaged over the
        noise draws.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    The first trial step has l2 length 1, as in scipy's L-BFGS without bounds. After a failed line
    search for an image, its history is discarded, and a new line search along the negative gradient
    follows. Each trial step costs a forward and a backward pass; the final evaluation costs a
    forward pass. On a GPU, images whose search has ended are removed only every 10 trial steps,
    because each removal makes the CPU wait for the GPU. Raises ValueError for an invalid argument,
    or a model that returns NaN.
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
        clip=clip,
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )

    adversarial = images.clone()
    searches = Searches(propagation, goal, images, history, *tolerances, clip)
    spent, _ = searches.run(steps, adversarial)
    return judged(propagation, goal, images, adversarial, 2.0, spent)


class Searches:
    """The state of L-BFGS for each image of the batch.

    `x` is the iterate, with loss `f` and gradient `g`; `p` is the search direction. `alpha` is the
    next step length, between `low` and `high`. `tries` counts the trial steps of the current line
    search, `trials` those of all line searches, and `accepted` the accepted iterates. `done` says
    whether the search for this image has ended.
    """

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
        self.tries, self.trials, self.accepted = torch.zeros_like(self.rows).repeat(3, 1)

    def run(
        self, steps: int, last: Float[Tensor, "n *shape"]
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Run the search for each image to its end, with at most ``steps`` accepted iterates, and
        write the last iterates to ``last``. Return for each image the numbers of accepted iterates
        and of trial steps.
        """
        accepted, trials = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        while len(self.rows):
            if bool(self.done.any()):
                last[self.rows] = self.x.view(-1, *self.shape)
                accepted[self.rows], trials[self.rows] = self.accepted, self.trials
                self.only((~self.done).nonzero().squeeze(1))
                continue
            for _ in range(LOOK_EVERY.get(last.device.type, 10)):
                self.trial(steps)
        return accepted, trials

    def only(self, index: Int[Tensor, " m"]) -> None:
        """Keep only the images (rows) with the indices ``index``."""
        self.goal = self.goal.rows(index)
        self.memory.only(index)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])

    def trial(self, steps: int) -> None:
        """Evaluate the next trial point of each image, and either accept it as the new iterate or
        change the step length.
        """
        aim = torch.addcmul(self.x, self.alpha.to(self.x.dtype)[:, None], self.p)
        x = aim.clamp(0, 1) if self.clip else aim
        f, g, scale, reached = self._evaluate(x)
        s, unit = x - self.x, _unit(g, scale)
        promise = _dot(self.unit, s, self.scale)
        slope = _dot(unit, s, scale)
        # With clipping, use the slope along the clipped path, where clipped pixels no longer move.
        ahead = _dot(unit, s.masked_fill(x != aim, 0), scale) if self.clip else slope

        self.tries += 1
        self.trials += ~self.done
        fell = (f <= self.f + DECREASE * promise) & (promise < 0)
        # A predicted decrease below the rounding error of the loss cannot be observed.
        unseen = -promise <= torch.finfo(x.dtype).eps * self.f.abs()
        last = (self.tries == TRIES) | (unseen & ~fell)
        taken = fell & ((ahead >= CURVATURE * promise) | last) & ~self.done
        failed = last & ~taken & ~self.done
        moved = taken | (reached & ~self.done)
        gained = self.f - f > self.ftol * torch.maximum(self.f.abs(), f.abs()).clamp(min=1)
        low = torch.where(fell, self.alpha, self.low)
        high = torch.where(fell, self.high, self.alpha)
        # Shorten the step to the minimum of a parabola, between a tenth and a half of the step. The
        # parabola fits the loss and slope at the iterate and the loss at the trial image.
        least = -self.alpha * promise / (2 * (f - self.f - promise))
        shorter = least.clamp(self.alpha / 10, self.alpha / 2)
        middle = torch.where(low > 0, (low + high) / 2, shorter)
        alpha = torch.where(high.isinf(), 2 * self.alpha, middle)

        # Without positive curvature the approximation would become indefinite (same bound as
        # scipy).
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
        # The iterate of a finished image does not change until the image is removed, because
        # smaller and smaller steps would end in 0 / 0.
        self.alpha.masked_fill_(self.done, 0)

    def _direction(self) -> tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]:
        """Return two results for each image: the search direction, and whether all gradient
        components are at most gtol in absolute value.

        With clipping, both results ignore the pixels at 0 or 1 that the negative gradient pushes
        out of [0, 1].
        """
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
        """Return four results for each image: the loss, its gradient, the largest absolute entry of
        the gradient, and whether the attack succeeds.
        """
        images = x.view(-1, *self.shape)
        logits, gain, up = self.propagation.both(images, self.goal)
        g = -up.flatten(1)
        return -gain.double(), g, top(g), self.goal.reached(logits)


def _unit(g: Float[Tensor, "n d"], scale: Float[Tensor, " n"]) -> Float[Tensor, "n d"]:
    """Return each gradient divided by its largest absolute entry; a gradient of zero stays zero."""
    return g / torch.where(scale > 0, scale, 1)[:, None]


def _dot(
    unit: Float[Tensor, "n d"], s: Float[Tensor, "n d"], scale: Float[Tensor, " n"]
) -> Float64[Tensor, " n"]:
    """Return for each image the inner product of its gradient ``scale * unit`` and the step ``s``.
    The factor ``scale`` is applied in float64, so that tiny products do not round to 0.
    """
    with torch.autocast(s.device.type, enabled=False):  # autocast would round the products
        products: Tensor = torch.linalg.vecdot(unit, s).double()
    return products * scale.double()
