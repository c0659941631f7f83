"""The attack of Carlini and Wagner in l2 with a fixed weight c, as Random Self-Ensemble ran it.

Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks" (arXiv 1608.04644),
section VI.A. With Z the logits, y the label and x0 the image, minimise over w

    || x(w) - x0 ||^2 + c max(Z_y - max_(i != y) Z_i + kappa, 0),   x(w) = (tanh(w) + 1) / 2,

by Adam; with a target t the hinge is max(max_(i != t) Z_i - Z_t + kappa, 0). Since x(w) lies in
[0, 1], nothing is clipped. A pixel of exactly 0 or 1 has no finite w and stays as it is.

The original searches for the smallest c that succeeds. Here c is given, one number or one for each
image, so a sweep over c is one call on a repeated batch.

Liu, Cheng, Zhang and Hsieh 2018 (arXiv 1712.00673) fix c, keep the last iterate instead of the
nearest adversarial one, and their code has max(Z_y, 0) in the place of Z_y: see
`RANDOM_SELF_ENSEMBLE`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .checks import Count, Number, PerImage, check_count, check_positive, check_tolerance, prepare
from .losses import Loss
from .norms import each, per_image, size
from .propagation import Average, Model
from .result import Adversarial, judged


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
    kappa: Number = 0.0,
    targets: Int[Tensor, " n"] | None = None,
    preset: CarliniWagner = CarliniWagner(),  # noqa: B008 (frozen)
    draws: Count = 1,
    average: Average = "loss",
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Weigh the distance in l2 against a margin, for each image by itself.

    model, images, labels: as in `fgsm`.
    c: the weight of the margin, above 0: one number, or one for each image.
    steps: of Adam; Random Self-Ensemble: 300.
    step_size: Adam's rate, for w; Random Self-Ensemble: 1e-3.
    kappa: the margin by which the attack should succeed, 0 or above, in logits.
    targets: the classes to reach; None (default): any but the labels.
    preset: a version of the attack.
    draws, average, judge, keys, generator: as in `fgsm`. Each step has new draws.

    With `keep` "nearest" an image that no iterate fools comes back as it was, at infinite distance,
    and one that is misclassified from the start is found at distance 0. With "last" every image
    comes back as the last iterate, with its true distance.
    Each step costs a forward and a backward pass of all images; the fresh look costs a forward.
    The host never waits for the device between steps.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    steps = check_count("steps", steps)
    rate, confidence = check_positive("step_size", step_size), check_tolerance("kappa", kappa)
    propagation, goal, images = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        loss=_hinge(preset.hinge, confidence, targets is not None),
        draws=draws,
        average=average,
        judge=judge,
        generator=generator,
    )
    weight = each(check_positive("c", c, images), images)

    w = torch.atanh(2 * images - 1)
    fixed = ~w.isfinite()
    w = w.masked_fill(fixed, 0)
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    best, nearest = images.clone(), images.new_full((len(images),), math.inf)
    point = images
    for step in range(1, steps + 1):
        logits, _, gain = propagation.both(point, goal, step)
        distance = size(point - images, 2.0)
        better = goal.reached(logits) & (distance < nearest)
        nearest = torch.where(better, distance, nearest)
        best = torch.where(per_image(better, best), point, best)
        slope = 2 * (point - images) - weight * gain  # the gain is minus the hinge
        slope = (slope * 2 * point * (1 - point)).masked_fill(fixed, 0)  # dx/dw = 2 x (1 - x)
        first.lerp_(slope, 0.1)
        second.mul_(0.999).addcmul_(slope, slope, value=0.001)
        root = (second.sqrt() / (1 - 0.999**step) ** 0.5).add_(1e-8)
        w = torch.addcdiv(w, first, root, value=-rate / (1 - 0.9**step))
        # Where nothing has moved the pixel is the image's own, without the rounding of tanh.
        point = torch.where(fixed | (second == 0), images, (torch.tanh(w) + 1) / 2)

    spent = torch.full_like(goal.labels, steps)
    if preset.keep == "last":
        return judged(propagation, goal, images, point, 2.0, spent)
    distance, reached = size(point - images, 2.0), goal.reached(propagation.logits(point, goal))
    last = reached & (distance < nearest)
    best = torch.where(per_image(last, best), point, best)
    return judged(propagation, goal, images, best, 2.0, spent, minimal=True)


def _hinge(kind: str, kappa: float, targeted: bool) -> Loss:
    """As `Goal` wants it: raised away from labels, lowered towards targets."""

    def loss(logits: Float[Tensor, "n k"], classes: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        other = logits.scatter(1, classes[:, None], -math.inf).amax(1)
        own = logits.gather(1, classes[:, None]).squeeze(1)
        if kind == "clamped":
            own = own.clamp(min=0)
        if targeted:
            return (other - own + kappa).clamp(min=0)
        return -(own - other + kappa).clamp(min=0)

    return loss
