"""The attack of Carlini and Wagner in l2.

Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks" (arXiv 1608.04644),
section VI.A. With Z the logits, y the label and x0 the image, minimise over w

    || x(w) - x0 ||^2 + c max(Z_y - max_(i != y) Z_i + kappa, 0),   x(w) = (tanh(w) + 1) / 2,

by Adam; with a target t the hinge is max(max_(i != t) Z_i - Z_t + kappa, 0). Since x(w) lies in
[0, 1], nothing is clipped. A pixel of exactly 0 or 1 has no finite w and stays as it is. Without
`clip`, x itself is the variable, and pixels may leave [0, 1].

The original searches for the smallest c that succeeds (`searches`). With one search c is fixed: one
number, or one for each image, so a sweep over c is one call on a repeated batch.

Liu, Cheng, Zhang and Hsieh 2018 (arXiv 1712.00673) fix c, keep the last iterate instead of the
nearest adversarial one, and their code has max(Z_y, 0) in the place of Z_y: see
`RANDOM_SELF_ENSEMBLE`. Their program for Table 3 (`gallery.py`) has the pixels as the variable.

The distance has its gradient in closed form, and a hinge at 0 has none. So on a CPU only images
with an active hinge get a backward pass. On a GPU all get one, since the host would have to wait
to know which they are.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .checks import Count, Number, PerImage, check_count, check_positive, check_tolerance, prepare
from .goal import Goal
from .losses import Loss
from .norms import per_image, size
from .propagation import LOOK_EVERY, Average, Model, Propagation
from .result import Adversarial, judged, nearer


@dataclass(frozen=True)
class CarliniWagner:
    """What differs between versions of the attack.

    hinge: "logits", as above, or "clamped": with max(Z_y, 0) in the place of Z_y.
    keep: "nearest", the nearest iterate at which the attack succeeds, or "last".
    """

    hinge: Literal["logits", "clamped"] = "logits"
    keep: Literal["nearest", "last"] = "nearest"


RANDOM_SELF_ENSEMBLE = CarliniWagner(hinge="clamped", keep="last")
"""The code of Random Self-Ensemble (commit 91130dd, `cw.py`)."""


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
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Minimise the l2 distance plus a weighted margin, separately for each image.

    model, images, labels: as in `fgsm`.
    c: the weight of the margin, above 0: one number, or one for each image.
    steps: number of Adam steps; Random Self-Ensemble: 300.
    step_size: Adam's learning rate for w (without `clip`, for the pixels); Random Self-Ensemble:
        1e-3, the original code: 1e-2.
    searches: how many values of c are tried, each starting at the clean image. Until the first
        success c is multiplied by 10 each time; then a binary search follows. The original code:
        9 values, from 1e-3.
    abandon: whether an image stops early if its loss has not fallen by 0.01 % in a tenth of the
        steps, as in the original code.
    kappa: the margin by which the attack should succeed, 0 or above, in logits.
    targets: target classes; None (default): any class other than the label.
    preset: a version of the attack.
    clip: whether the images stay in [0, 1], by the variable w; False: the pixels are the variable.
    draws, average, judge, keys, generator: as in `fgsm`. Each step uses new draws.

    With `keep` "nearest", the clean image is returned at infinite distance where no iterate
    succeeds. An image that is misclassified from the start has distance 0. With "last", the last
    iterate of the last search is returned with its distance.
    Each step costs a forward pass, and a backward pass of the images whose hinge is active. An
    image whose hinge becomes active costs one more forward pass. The end costs one or two.
    On a GPU all images get a backward pass. The host waits for the device ten times a search with
    `abandon`, and otherwise not between steps.
    Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    steps, searches = check_count("steps", steps), check_count("searches", searches)
    rate, confidence = check_positive("step_size", step_size), check_tolerance("kappa", kappa)
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=hinge(preset.hinge, confidence, targets is not None),
        draws=draws,
        average=average,
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
            propagation, goal, images, weight, steps, rate, abandon, clip, search * (steps + 1)
        )
        last, spent = found.last, spent + found.steps
        succeeded = found.nearest < math.inf
        best, nearest = nearer(best, nearest, found.best, found.nearest, succeeded)
        high = torch.where(succeeded, weight.minimum(high), high)
        low = torch.where(succeeded, low, weight.maximum(low))
        weight = torch.where(high < math.inf, (low + high) / 2, 10 * weight)
    if preset.keep == "last":
        return judged(propagation, goal, images, last, 2.0, spent)
    return judged(propagation, goal, images, best, 2.0, spent, minimal=True)


@dataclass(frozen=True)
class _Found:
    """The result for one value of c.

    last: the last iterates. best, nearest: the nearest successful iterates and their distances,
    infinite where there is none. steps: how many were made.
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
    first: int,
) -> _Found:
    """Descend from the clean images with one c each. ``first`` is the first step's draw number."""
    last, best = images.clone(), images.clone()
    nearest = torch.full_like(weight, math.inf)
    spent = torch.full_like(goal.labels, steps)

    def note(rows: Tensor, point: Tensor, reached: Tensor) -> Tensor:
        """Return the distances of these iterates; remember the nearest successful ones."""
        distance = size(point - images[rows], 2.0)
        best[rows], nearest[rows] = nearer(best[rows], nearest[rows], point, distance, reached)
        return distance

    rows = torch.arange(len(images), device=images.device)
    w = torch.atanh(2 * images - 1) if clip else images
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
        distance = note(rows, point, here.reached(logits))
        if abandon and step % max(steps // 10, 1) == 0:
            now = distance.square() - weight[rows] * gain
            going = now <= 0.9999 * loss[rows]
            loss[rows] = now
            last[rows] = point
            spent[rows] = torch.where(going, spent[rows], step)
            kept = going.nonzero().squeeze(1)
            rows, w, fixed, mean, square = (each[kept] for each in (rows, w, fixed, mean, square))
            point, at, active, gradient = (each[kept] for each in (point, at, active, gradient))
        slope = 2 * (point - at) - per_image(weight[rows], w) * gradient  # minus: see `hinge`
        if clip:
            slope = (slope * 2 * point * (1 - point)).masked_fill(fixed, 0)  # dx/dw = 2 x (1 - x)
        mean.lerp_(slope, 0.1)
        square.mul_(0.999).addcmul_(slope, slope, value=0.001)
        root = (square.sqrt() / (1 - 0.999 ** (step + 1)) ** 0.5).add_(1e-8)
        w = torch.addcdiv(w, mean, root, value=-rate / (1 - 0.9 ** (step + 1)))
        # A pixel that has not moved keeps its exact value, without the rounding of tanh.
        moved = (torch.tanh(w) + 1) / 2 if clip else w
        point = torch.where(fixed | (square == 0), at, moved)
    if len(rows):
        last[rows] = point
        here = goal.rows(rows)
        note(rows, point, here.reached(propagation.logits(point, here, first + steps)))
    return _Found(last, best, nearest, spent)


def _active(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    step: int,
    active: Bool[Tensor, " n"],
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
    """Return logits, gain and gradient; the gradient is 0 where the hinge is inactive.

    ``active``: the images whose hinge was active in the last step. For the others a forward pass
    decides first whether a gradient is needed.
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


def hinge(kind: str, kappa: float, targeted: bool) -> Loss:
    """Return minus the hinge of the labels, which an attack raises, or the hinge of the targets,
    which it lowers (see `Goal`).
    """

    def loss(logits: Float[Tensor, "n k"], classes: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        other = logits.scatter(1, classes[:, None], -math.inf).amax(1)
        own = logits.gather(1, classes[:, None]).squeeze(1)
        if kind == "clamped":
            own = own.clamp(min=0)
        if targeted:
            return (other - own + kappa).clamp(min=0)
        return -(own - other + kappa).clamp(min=0)

    return loss
