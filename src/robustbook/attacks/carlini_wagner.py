"""Run the attack of Carlini and Wagner in l2.

The attack is from Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks"
(arXiv 1608.04644), section VI.A. With Z the logits, y the label and x0 the image, Adam minimises
over w the sum of the squared distance and c times a hinge:

    || x(w) - x0 ||^2 + c max(Z_y - max_(i != y) Z_i + kappa, 0),   x(w) = (tanh(w) + 1) / 2,

With a target t the hinge is max(max_(i != t) Z_i - Z_t + kappa, 0). Since x(w) lies in [0, 1] for
every w, no clipping is needed, but a pixel of exactly 0 or 1 has no finite w. The original code
therefore multiplies 2 x0 - 1 by 0.999999, so that such pixels can change. This code instead clips 2
x0 - 1 to [-0.999999, 0.999999], so that all other pixels keep their exact w. With `clip` False, the
attack minimises over the image x instead of w, and pixels may leave [0, 1].

Carlini and Wagner search for the smallest c with which the attack succeeds (argument `searches`);
with `searches` = 1, c is fixed. To attack an image with several values of c in one call, put
several copies of the image into the batch, and give each copy its own c.

Liu, Cheng, Zhang and Hsieh 2018 (arXiv 1712.00673) fix c. Their released code, which the preset
`RANDOM_SELF_ENSEMBLE` follows, returns the last iterate instead of the nearest adversarial image,
replaces the label's logit Z_y by max(Z_y, 0), and never changes pixels of exactly 0 or 1.
Their program for Table 3 (`gallery.py`) minimises over the pixels instead of w.

Only the gradient of the hinge needs a backward pass, because the gradient of the distance has a
closed form. If the hinge is 0, its gradient is 0 too. So on a CPU the backward pass leaves out all
images whose hinge is 0. On a GPU it includes all images, because selecting some would make the CPU
wait for the GPU. If the model is deterministic and the first step changes no pixel of an image,
later steps change none either. So such an image, for example one that the model misclassifies, is
removed from the batch after the first step.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    PerImage,
    check_choice,
    check_count,
    check_positive,
    check_tolerance,
    described,
    prepare,
)
from .drawing import Drawing
from .goal import Goal
from .losses import Loss, margin
from .norms import per_image, size
from .propagation import LOOK_EVERY, Model, Propagation
from .result import Adversarial, judged, nearer


@dataclass(frozen=True)
class CarliniWagner:
    """The choices in which versions of Carlini and Wagner's attack differ.

    ``hinge``: which form of the label's logit the hinge contains: "logits" means Z_y, as in the
        paper, and "clamped" means max(Z_y, 0).
    ``keep``: which iterate is returned: "nearest" (the nearest iterate at which the attack
        succeeds) or "last" (the last iterate).
    ``ends``: whether pixels of exactly 0 or 1 "move", as in the original code, or stay "fixed". If
        `clip` is False, all pixels move.

    Raises ValueError for any other value.
    """

    hinge: Literal["logits", "clamped"] = "logits"
    keep: Literal["nearest", "last"] = "nearest"
    ends: Literal["move", "fixed"] = "move"

    def __post_init__(self) -> None:
        check_choice("hinge", self.hinge, ("logits", "clamped"))
        check_choice("keep", self.keep, ("nearest", "last"))
        check_choice("ends", self.ends, ("move", "fixed"))


RANDOM_SELF_ENSEMBLE = CarliniWagner(hinge="clamped", keep="last", ends="fixed")
"""The attack in the released code of Random Self-Ensemble (commit 91130dd, `cw.py`)."""

_LARGEST = 1e10  # the bound of the original code on c; without it, c would overflow
_END = 5e-7  # x at 2 x - 1 = -0.999999, where the original code starts for pixels of 0


@torch.inference_mode(False)
def carlini_wagner(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    c: PerImage,
    steps: Count = 300,
    step_size: Number = 1e-3,
    searches: Count = 1,
    abandon: bool = False,
    kappa: Number = 0.0,
    targets: Int[Tensor, " n"] | None = None,
    preset: CarliniWagner = CarliniWagner(),  # noqa: B008 (frozen)
    clip: bool = True,
    draws: Count = 1,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise the squared l2 distance plus c times a hinge, separately for each image.

    ``model``: a function from images to logits (see `fgsm`).
    ``images``: the clean images, in [0, 1].
    ``labels``: the true classes.
    ``c``: the weight of the hinge, above 0: one number, or one for each image.
    ``steps``: the number of Adam steps; default 300, as in Random Self-Ensemble.
    ``step_size``: Adam's learning rate for w, or for the pixels if `clip` is False: 1e-3 in Random
        Self-Ensemble, 1e-2 in the original code.
    ``searches``: how many values of c are tried for each image, each time from the clean image.
        Until the attack succeeds, c is multiplied by 10, up to 1e10; then a binary search finds the
        smallest successful c. The original code tries 9 values, and the first is 1e-3.
    ``abandon``: whether the attack on an image can stop early. If True, the loss is checked after
        every tenth of the steps. The attack stops if the loss has fallen by less than 0.01 % since
        the previous check. The original code does the same with the summed loss of a batch.
    ``kappa``: a margin, 0 or above. The attack succeeds on an iterate only if the highest logit of
        a wrong class exceeds the label's logit by kappa or more. With targets, the target's logit
        must exceed all others by kappa. The final evaluation ignores kappa.
    ``targets``: the target class of each image; None (default) for an untargeted attack.
    ``preset``: the version of the attack, which determines the hinge, the returned iterate and the
        pixels that can change (see `CarliniWagner`).
    ``clip``: whether images stay in [0, 1]. With True, the attack minimises over the variable w of
        the module's formula; with False, over the pixels.
    ``draws``: for a randomised model, the number of noise draws over which the hinge and its
        gradient are averaged. Each step uses new draws.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    If the attack should return the nearest adversarial image but finds none, it returns the clean
    image and the distance infinity. A clean image on which the attack already succeeds has distance
    0. With a preset whose `keep` is "last", the attack returns the last iterate for the last value
    of c, and its distance.

    Each step costs a forward pass of all images and, on a CPU, a backward pass of the images whose
    hinge is positive. If the hinge of an image becomes positive in a step, this image needs a
    second forward pass. For each value of c, one more forward pass evaluates the last iterate. The
    final evaluation costs one forward pass of all images. A model that is not a `Drawing` counts as
    deterministic. With such a model, an image that the first step does not change costs only one
    step for each value of c.

    On a GPU, each step makes a backward pass of all images. The CPU waits for the GPU whenever
    images are removed from the batch. With a deterministic model, this happens after the first step
    for each value of c. With `abandon`, it happens at each check of the loss. Raises ValueError for
    an invalid argument, or a model that returns NaN.
    """
    if not isinstance(preset, CarliniWagner):
        raise ValueError(f"preset must be a CarliniWagner, got {described(preset)}")
    check_choice("abandon", abandon, (True, False))
    steps, searches = check_count("steps", steps), check_count("searches", searches)
    rate, confidence = check_positive("step_size", step_size), check_tolerance("kappa", kappa)
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=hinge_of(preset.hinge, confidence, targets is not None),
        clip=clip,
        draws=draws,
        judge=judge,
        generator=generator,
    )
    weight = check_positive("c", c, images)
    weight = torch.as_tensor(weight, dtype=images.dtype, device=images.device).expand(len(images))
    low, high = torch.zeros_like(weight), torch.full_like(weight, math.inf)
    best, nearest = images.clone(), torch.full_like(weight, math.inf)
    last, spent = images, torch.zeros_like(goal.labels)
    for search in range(searches):
        found = _search(
            propagation,
            goal,
            images,
            weight,
            steps,
            rate,
            abandon,
            clip,
            confidence,
            _END if preset.ends == "move" else 0.0,
            search * (steps + 1),
            deterministic=not isinstance(model, Drawing),
        )
        last, spent = found.last, spent + found.steps
        succeeded = found.nearest < math.inf
        best, nearest = nearer(best, nearest, found.best, found.nearest, succeeded)
        high = torch.where(succeeded, weight.minimum(high), high)
        low = torch.where(succeeded, low, weight.maximum(low))
        weight = torch.where(high < math.inf, (low + high) / 2, (10 * weight).clamp(max=_LARGEST))
    if preset.keep == "last":
        return judged(propagation, goal, images, last, 2.0, spent)
    return judged(propagation, goal, images, best, 2.0, spent, minimal=True)


@dataclass(frozen=True)
class _Found:
    """The iterates that the attack found with one value of c.

    ``last``: the last iterates.
    ``best``: for each image, the nearest iterate on which the attack succeeded.
    ``nearest``: the distance of ``best`` from the clean image, which is infinite if the attack
        never succeeded.
    ``steps``: how many steps were made.
    """

    last: Tensor
    best: Tensor
    nearest: Tensor
    steps: Tensor


def _search(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    weight: Float[Tensor, " n"],
    steps: int,
    rate: float,
    abandon: bool,
    clip: bool,
    kappa: float,
    end: float,
    first: int,
    deterministic: bool,
) -> _Found:
    """Run the attack from the clean images with one value of c for each image.

    ``end``: how far from 0 or 1 the attack starts a pixel that is exactly 0 or 1. With ``end`` 0,
        such pixels never move.
    ``first``: the number of the first step; the number of a step determines its noise draws.
    ``deterministic``: whether the model is deterministic, so that an image that the first step does
        not change is left out of all other steps.
    """
    last, best = images.clone(), images.clone()
    nearest = torch.full_like(weight, math.inf)
    spent = torch.full_like(goal.labels, steps)

    def note(rows: Tensor, point: Tensor, reached: Tensor) -> Tensor:
        """Return the distance of each iterate in ``point`` from its clean image. Store the iterates
        that are adversarial and nearer than the nearest adversarial image so far.
        """
        distance = size(point - images[rows], 2.0)
        best[rows], nearest[rows] = nearer(best[rows], nearest[rows], point, distance, reached)
        return distance

    rows = torch.arange(len(images), device=images.device)
    w = torch.atanh(2 * images.clamp(end, 1 - end) - 1) if clip else images
    fixed = ~w.isfinite()
    w = w.masked_fill(fixed, 0)
    mean, square = torch.zeros_like(w), torch.zeros_like(w)  # Adam's two moments
    point, active = images, torch.ones_like(weight, dtype=torch.bool)
    loss = torch.full_like(weight, math.inf)
    for step in range(steps):
        if not len(rows):
            break
        here, at = goal.rows(rows), images[rows]
        logits, gain, gradient = _active(propagation, here, point, first + step, active)
        active = gain != 0
        distance = note(rows, point, succeeds(here, logits, kappa))
        if abandon and step % max(steps // 10, 1) == 0:
            now = distance.square() - weight[rows] * gain
            going = now <= 0.9999 * loss[rows]
            loss[rows] = now
            last[rows] = point
            spent[rows] = torch.where(going, spent[rows], step)
            kept = going.nonzero().squeeze(1)
            rows, w, fixed, mean, square = (each[kept] for each in (rows, w, fixed, mean, square))
            point, at, active, gradient = (each[kept] for each in (point, at, active, gradient))
        slope = 2 * (point - at) - per_image(weight[rows], w) * gradient  # see `hinge_of`
        if clip:
            x = point.clamp(end, 1 - end)
            slope = (slope * 2 * x * (1 - x)).masked_fill(fixed, 0)  # dx/dw = 2 x (1 - x)
        mean.lerp_(slope, 0.1)
        square.mul_(0.999).addcmul_(slope, slope, value=0.001)
        root = (square.sqrt() / (1 - 0.999 ** (step + 1)) ** 0.5).add_(1e-8)
        w = torch.addcdiv(w, mean, root, value=-rate / (1 - 0.9 ** (step + 1)))
        # A pixel that has not moved keeps its exact value, without the rounding of tanh.
        moved = (torch.tanh(w) + 1) / 2 if clip else w
        point = torch.where(fixed | (square == 0), at, moved)
        if deterministic and step == 0:
            moves = (square != 0).flatten(1).any(1)
            spent[rows] = torch.where(moves, spent[rows], 1)
            kept = moves.nonzero().squeeze(1)
            rows, w, fixed, mean, square = (each[kept] for each in (rows, w, fixed, mean, square))
            point, active = point[kept], active[kept]
    if len(rows):
        last[rows] = point
        here = goal.rows(rows)
        logits = propagation.logits(point, here, first + steps)
        note(rows, point, succeeds(here, logits, kappa))
    return _Found(last, best, nearest, spent)


def _active(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    step: int,
    active: Bool[Tensor, " n"],
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
    """Return for each image the logits, the objective that the attack increases, and its gradient,
    which is 0 if the hinge is 0.

    ``active``: the images whose hinge was positive in the last step. The other images get a forward
        pass first, and a backward pass only if their hinge has become positive.
    """
    if LOOK_EVERY.get(images.device.type, 10) > 1 or bool(active.all()):
        return propagation.both(images, goal, step)
    quiet = (~active).nonzero().squeeze(1)
    logits, gain = propagation.value(images[quiet], goal.rows(quiet), step)
    still = gain == 0
    quiet, logits, gain = quiet[still], logits[still], gain[still]
    needed = torch.ones_like(active).index_fill(0, quiet, value=False).nonzero().squeeze(1)
    gradient = torch.zeros_like(images)
    if not len(needed):
        return logits, gain, gradient
    more, gained, gradient[needed] = propagation.both(images[needed], goal.rows(needed), step)
    order = torch.cat([quiet, needed]).argsort()
    return torch.cat([logits, more])[order], torch.cat([gain, gained])[order], gradient


def succeeds(goal: Goal, logits: Float[Tensor, "n k"], kappa: float) -> Bool[Tensor, " n"]:
    """Return for each image whether the attack succeeds with a margin of at least kappa between the
    logits.
    """
    sure = replace(goal, loss=hinge_of("logits", kappa, goal.targets is not None))
    return goal.reached(logits) & (sure.gain(logits) == 0)


def hinge_of(kind: str, kappa: float, targeted: bool) -> Loss:
    """Return the loss of Carlini and Wagner's attack, a function from logits and classes to one
    number per image. An untargeted attack increases the negative hinge of the label, a targeted one
    decreases the hinge of the target (see `Goal`).
    """

    def loss(logits: Float[Tensor, "n k"], classes: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        if kind == "clamped":
            own = logits.gather(1, classes[:, None]).clamp(min=0)
            logits = logits.scatter(1, classes[:, None], own)
        apart = margin(logits, classes)
        return (apart + kappa).clamp(min=0) if targeted else (apart - kappa).clamp(max=0)

    return loss
