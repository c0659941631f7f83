r"""Run DeepFool: step to the nearest boundary of the linearised model until the prediction changes.

DeepFool is algorithm 2 of Moosavi-Dezfooli, Fawzi and Frossard 2016 (arXiv 1511.04599). Let g be
the logits, s the source class, f_k = g_k - g_s, and w_k = grad f_k at the current point. Each step
of DeepFool updates the perturbation r:

    k* = argmin_k |f_k| / ||w_k||_q,   r <- r + |f_k*| / ||w_k*||_2^2 w_k*          (l2, q = 2)
                                       r <- r + |f_k*| / ||w_k*||_1 sign(w_k*)      (l-inf, q = 1)

The result is x + 1.02 r: making the perturbation two per cent longer moves the image across the
boundary. Implementations differ in details that the paper leaves open. Each row of this table is a
`Variant`, which describes one implementation:

    preset               wrong     others  over-   next gradient  clipped  offsets         steps,
                         images            shoot   at                                      failures
    ours (default)       left      all     a step  the iterate    yes      distance        50 clean
    free                 the same, where pixels at 0 or 1 are left out of steps that push them out
    authors              attacked  9       total   x + r          no       components      5 kept
    matlab               attacked  9       total   x + r          no       none            100 kept
    python               attacked  9       total   x + 1.02 r     no       distance        50 kept
    foolbox              left      9       total   x + 1.02 r     yes      norm, distance  50 kept
    art                  attacked  9       1e-6    x + r          yes      norm            100 kept
    torchattacks         left      all     a step  the iterate    yes      none            50 kept
    adversarial_library  left      all     a step  the iterate    yes      floor, distance 100 clean

"Wrong images" are images that the model misclassifies without any attack. Variants leave them
unchanged, or attack them too and move them away from the predicted class. "Others" is the number of
classes that are considered besides the source class: the classes with the highest logits. After a
failure, "clean" means that the attack returns the clean image and the distance infinity, as most
minimal-norm attacks of this package do. "Kept" means that it returns the last iterate, as the
original implementation does.

Clipping cuts off a part of each step, so the iterate approaches the boundary slowly. On MNIST,
where most pixels are at 0 or 1, clipping cuts off most of each step. Two options of a `Variant`
help. Without a `distance_offset` of 1e-4, a third to a half of MNIST's images are still classified
correctly after 50 steps. With `free`, only pixels that can move within [0, 1] are changed. DeepFool
then needs two to four steps instead of seven to ten, but its distances are two to eight per cent
larger.

For a randomised model with several draws, g_k is the logarithm of the mean probability over the
draws. So at the class boundary, the class with the highest mean probability changes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from .checks import (
    Count,
    Number,
    check_choice,
    check_count,
    check_positive,
    check_tolerance,
    prepare,
)
from .goal import rivals
from .norms import per_image
from .propagation import Model
from .result import Adversarial, judged


@dataclass(frozen=True)
class Variant:
    """The choices in which implementations of DeepFool differ.

    ``steps``: maximum number of updates of an image, 1 or more.
    ``candidates``: how many classes are considered besides the source class: those with the highest
        logits at the clean image; None means all. On MNIST, choosing them again at each step gives
        the same distances.
    ``slack``: a factor, 1 or more, that decides which gradients are computed after the first step.
        The distance to the boundary of each class is estimated as the logit difference divided by
        the gradient norm that was last computed for this class. A class is skipped if this estimate
        is at least `slack` times the smallest distance found so far. With math.inf no class is
        skipped. On MNIST, the slack 2 of the preset "ours" saves two thirds of the gradients and
        never changes which class is nearest.
    ``overshoot``: how far the perturbation is extended beyond the boundary, relative to its length.
    ``each_step``: whether the overshoot extends each step (True), or only the sum of all steps at
        the end of the attack (False).
    ``beyond``: whether the next gradient is computed at the image with (True) or without (False)
        the overshoot.
    ``ask_beyond``: whether success is checked at the image with (True) or without (False) the
        overshoot. The returned image always includes the overshoot.
    ``clip``: whether images are clipped to [0, 1].
    ``forget``: whether the part of a step that clipping cuts off is discarded. If not, it remains
        in the perturbation r, so it still counts when later steps are added.
    ``free``: whether a step leaves out the pixels at 0 or 1 that it would push out of [0, 1]. The
        step's length is then computed from the other pixels.
    ``component_offset``: a number that is added to each component of a gradient before the
        gradient's norm is computed.
    ``norm_offset``: a number that is added to the norm of the gradient.
    ``norm_floor``: a lower bound for the norm of the gradient; a smaller norm is replaced by this
        bound.
    ``square_offset``: a number that is added to the squared norm of the gradient in the formula of
        the step. If ``square_offset`` is given, the step does not use ``norm_offset``.
    ``distance_offset``: a number that is added to the length of each step.
    ``attack_wrong``: whether images that the model misclassifies without any attack are attacked
        too, and moved away from their predicted class.
    ``keep_failures``: whether an attack that fails returns the last iterate (True) or the clean
        image (False).

    The right size of an offset depends on the unit of the pixel values; `scaled` converts all
    offsets to another unit. Offsets and overshoot are 0 or above. Raises ValueError for an invalid
    value.
    """

    steps: int = 50
    candidates: int | None = None
    slack: float = math.inf
    overshoot: float = 0.02
    each_step: bool = False
    beyond: bool = True
    ask_beyond: bool = True
    clip: bool = True
    forget: bool = False
    free: bool = False
    component_offset: float = 0.0
    norm_offset: float = 0.0
    norm_floor: float = 0.0
    square_offset: float | None = None
    distance_offset: float = 0.0
    attack_wrong: bool = False
    keep_failures: bool = False

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        if self.candidates is not None:
            check_count("candidates", self.candidates)
        if self.slack != math.inf:
            check_positive("slack", self.slack)
        if self.slack < 1:
            raise ValueError(f"slack must be 1 or more, got {self.slack!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is bool:
                check_choice(field.name, value, (True, False))
            elif field.name.endswith(("overshoot", "_offset", "_floor")) and value is not None:
                check_tolerance(field.name, value)

    def scaled(self, unit: float) -> "Variant":
        """Return the variant with its offsets converted to images whose pixel values are `unit`
        times smaller.

        Distances are then `unit` times smaller and gradients `unit` times larger, so the offsets
        change too. For example, let f be the model, g(x) = f(unit x) the same model for the smaller
        pixel values, and e the offset of each gradient component. Then |g| / ||grad g + unit e|| =
        |f| / ||grad f + e|| / unit.
        """
        return replace(
            self,
            component_offset=self.component_offset * unit,
            norm_offset=self.norm_offset * unit,
            norm_floor=self.norm_floor * unit,
            square_offset=None if self.square_offset is None else self.square_offset * unit**2,
            distance_offset=self.distance_offset / unit,
        )


OURS = Variant(each_step=True, forget=True, distance_offset=1e-4, slack=2.0)
FREE = replace(OURS, free=True)
# LTS4/DeepFool, MATLAB/adversarial_perturbation.m.
MATLAB = Variant(
    steps=100, candidates=9, beyond=False, clip=False, attack_wrong=True, keep_failures=True
)
# ZiangYan/deepdefense.pytorch, deepdefense.py. The offset there is 5e-6 on MNIST (1e-5 on
# CIFAR-10), for inputs in grey levels of 0..255 minus the mean. For images in [0, 1], gradients are
# 255 times as large, so the same offset is 255 times as large. Subtracting the mean changes no
# gradient.
AUTHORS = replace(MATLAB, steps=5, component_offset=5e-6).scaled(255.0)
# LTS4/DeepFool, Python/deepfool.py.
PYTHON = replace(MATLAB, steps=50, beyond=True, distance_offset=1e-4)
# bethgelab/foolbox 3.3.4, attacks/deepfool.py.
FOOLBOX = Variant(candidates=9, norm_offset=1e-8, distance_offset=1e-4, keep_failures=True)
# Trusted-AI/adversarial-robustness-toolbox 1.20, attacks/evasion/deepfool.py. With more than ten
# classes, the original considers every class that is among the ten highest of any image of the set.
ART = Variant(
    steps=100,
    candidates=9,
    overshoot=1e-6,
    beyond=False,
    ask_beyond=False,
    forget=True,
    norm_offset=1e-7,
    square_offset=1e-7,
    attack_wrong=True,
    keep_failures=True,
)
# Harry24k/adversarial-attacks-pytorch 3.3, attacks/deepfool.py.
TORCHATTACKS = Variant(each_step=True, forget=True, keep_failures=True)
# jeromerony/adversarial-library 0.2.8, attacks/deepfool.py. The original returns the clean image
# after a failure too, with distance 0; here the distance is infinite.
ADVERSARIAL_LIBRARY = replace(OURS, steps=100, norm_floor=1e-6, slack=math.inf)
PRESETS = {
    "ours": OURS,
    "free": FREE,
    "authors": AUTHORS,
    "matlab": MATLAB,
    "python": PYTHON,
    "foolbox": FOOLBOX,
    "art": ART,
    "torchattacks": TORCHATTACKS,
    "adversarial_library": ADVERSARIAL_LIBRARY,
}


@torch.inference_mode(False)
def deepfool(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    norm: Number = 2,
    preset: str | Variant = "ours",
    steps: Count | None = None,
    candidates: Count | None = None,
    targets: Int[Tensor, " n"] | None = None,
    draws: Count = 1,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Search for the nearest misclassified image.

    ``model``: a function from images to logits (see `fgsm`). The model must not return
        probabilities, because probabilities are far from linear and their gradients vanish.
    ``images``: the clean images, in [0, 1]. If the preset does not clip, pixels may have any finite
        value, for example after normalisation; then use `Variant.scaled` to adapt the offsets.
    ``labels``: the true classes.
    ``norm``: 2 (default, as in the paper) for the l2 norm, or math.inf for the l-infinity norm.
    ``preset``: "ours" (default), "free", "authors", "matlab", "python", "foolbox", "art",
        "torchattacks", "adversarial_library", or a `Variant`. The sources of "authors", "art" and
        "torchattacks" are l2 attacks; we derived their l-infinity forms ourselves.
    ``steps``: the maximum number of updates of an image; by default the number in the preset.
    ``candidates``: how many classes are considered besides the source class: those with the highest
        logits at the clean image. The default is the number in the preset; "ours" considers all
        classes. With 3 candidates, the attack takes two thirds of the time that it takes with all
        classes. But if the nearest boundary belongs to another class, the attack finds a distance
        that is too large: on MNIST by 0.1 to 0.5 per cent in the mean.
    ``targets``: the target class of each image; None (default) for an untargeted attack. With
        targets, each step goes to the boundary between the target and the class that is predicted
        at the current point.
    ``draws``: for a randomised model, the number of noise draws for each step. Each step uses new
        draws, which also decide whether the previous step succeeded. A step keeps the autograd
        graphs of all its draws in memory.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``keys``: for a randomised model, one number for each image, which determines the image's
        noise (see `fgsm`).
    ``generator``: a torch generator that gives the seed of the noise, as in `fgsm`.

    An image on which the attack has succeeded is removed from the batch. With the default preset, a
    clean image that the model already misclassifies has distance 0. Each step costs one backward
    pass for each class that is considered, and one forward pass for the gradients. In some steps, a
    second forward pass checks whether the attack has succeeded. The final evaluation costs one
    forward pass for each of its `judge` noise draws. On a GPU, the CPU waits for the GPU once in
    each step and, with a finite slack, once for each class that is considered. Raises ValueError
    for an invalid argument, or a model that returns NaN.
    """
    check_choice("norm", norm, (2, math.inf))
    norm = float(norm)
    variant = _variant(preset, steps, candidates)
    propagation, whole, x = prepare(
        model,
        images,
        labels,
        targets,
        keys,
        clip=variant.clip,
        box=variant.clip,
        draws=draws,
        judge=judge,
        generator=generator,
    )
    logits = propagation.logits(x, whole).clone()  # a model may return a tensor that it stores
    answers = logits.argmax(1)
    source = answers if variant.attack_wrong or targets is not None else whole.labels
    others = (
        rivals(logits, source, variant.candidates)
        if whole.targets is None
        else whole.targets[:, None]
    )

    def crossed(answers: Tensor, rows: Tensor) -> Tensor:
        if whole.targets is not None:
            return answers == whole.targets[rows]
        return answers != source[rows]

    r = torch.zeros_like(x)  # without overshoot
    known = x.new_full(others.shape, math.inf, dtype=torch.float64)  # latest gradient norms
    spent = torch.zeros_like(whole.labels)
    every = torch.arange(len(x), device=x.device)
    rows = every[~crossed(answers, every)]
    together = variant.each_step or variant.beyond == variant.ask_beyond
    asked, share = True, 1.0
    for step in range(1, variant.steps + 1):
        if not len(rows):
            break
        point = _beyond(x[rows], r[rows], variant) if variant.beyond else x[rows] + r[rows]
        there, slope = propagation.slopes(point, whole.rows(rows), step)
        left = source[rows] if whole.targets is None else there.argmax(1)
        w, f, known[rows] = _nearest(
            there, slope, point, left, others[rows], known[rows], norm, variant
        )
        if not asked:
            logits[rows] = there
            going = ~crossed(there.argmax(1), rows)
            share = 1 - int(going.sum()) / len(rows)
            rows, w, f = rows[going], w[going], f[going]
        moved = _step(f, w, norm, variant)
        r[rows] += (1 + variant.overshoot) * moved if variant.each_step else moved
        if variant.clip and variant.forget:
            r[rows] = (x[rows] + r[rows]).clamp(0, 1) - x[rows]
        spent[rows] += 1

        # The next forward pass for gradients can also check for success. Then the gradients of
        # images on which the attack has already succeeded are wasted. This costs less than a
        # separate forward pass if there are few such images.
        asked = not (together and step < variant.steps and share < 1 / (1 + others.shape[1]))
        if asked and len(rows):
            image = _beyond(x[rows], r[rows], variant) if variant.ask_beyond else x[rows] + r[rows]
            logits[rows] = there = propagation.logits(image, whole.rows(rows), step + 1)
            going = ~crossed(there.argmax(1), rows)
            share = 1 - int(going.sum()) / len(rows)
            rows = rows[going]

    if not variant.keep_failures:
        r[rows] = 0
    return judged(
        propagation,
        whole,
        x,
        _beyond(x, r, variant),
        norm,
        spent,
        minimal=not variant.keep_failures,
        known=logits if variant.ask_beyond else None,
    )


def _variant(preset: Any, steps: Count | None, candidates: Count | None) -> Variant:
    """Return the variant that `preset` names, with `steps` and `candidates` replaced if they are
    given.
    """
    if not isinstance(preset, Variant):
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(
                f"preset must be one of {', '.join(PRESETS)}, or a Variant, got {preset!r}"
            )
        preset = PRESETS[preset]
    given = {"steps": steps, "candidates": candidates}
    changed: dict[str, Any] = {
        name: check_count(name, value) for name, value in given.items() if value is not None
    }
    chosen: Variant = preset
    return replace(chosen, **changed)


def _nearest(
    logits: Float[Tensor, "n k"],
    slope: Callable[[Tensor, Tensor], Tensor],
    point: Float[Tensor, "n *shape"],
    source: Int[Tensor, " n"],
    others: Int[Tensor, "n m"],
    known: Float64[Tensor, "n m"],
    norm: float,
    variant: Variant,
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"], Float64[Tensor, "n m"]]:
    """Return three results for each image: the gradient w and the margin |f| of the class whose
    linearised boundary is nearest, and the latest gradient norm of each class.

    Classes are tried in the order of their estimated distances, which use the gradient norms of
    earlier steps. With a finite slack, the search ends at a class whose estimated distance is at
    least `slack` times the smallest distance found so far.
    """
    margins = (logits.gather(1, others) - logits.gather(1, source[:, None])).abs()
    # Before the first step all estimates are 0, so the sort keeps the order of the classes.
    guesses, order = (margins / known).sort(dim=1, stable=True)
    best = known.new_full((len(point),), math.inf)
    # Where all other classes are masked by minus infinity, there is no boundary and no step.
    w, f = torch.zeros_like(point), margins[:, 0].masked_fill(margins[:, 0].isinf(), 0)
    for j in range(others.shape[1]):
        place = order[:, j : j + 1]
        # This choice is made for each image, so that the result does not depend on the other images
        # of the batch.
        eligible = guesses[:, j] < variant.slack * best
        if j == 0 or variant.slack == math.inf:
            eligible = torch.ones_like(eligible)
        elif not bool(eligible.any()):
            break
        gradient = slope(source, others.gather(1, place).squeeze(1))
        if variant.clip and variant.free:
            pushed = ((point <= 0) & (gradient < 0)) | ((point >= 1) & (gradient > 0))
            gradient = gradient.masked_fill(pushed, 0)
        size, divisor = _sizes(gradient, norm, variant)
        size = torch.where(eligible, size, known.gather(1, place).squeeze(1))
        known = known.scatter(1, place, size[:, None])
        margin = margins.gather(1, place).squeeze(1)
        nearer = eligible & (margin / divisor < best)
        best = torch.where(nearer, margin / divisor, best)
        w = torch.where(per_image(nearer, w), gradient, w)
        f = torch.where(nearer, margin, f)
    return w, f, known


def _sizes(
    w: Float[Tensor, "n *shape"], norm: float, variant: Variant
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, " n"]]:
    """Return two numbers for each gradient: its dual norm after adding the variant's
    `component_offset`, and the same norm after applying `norm_floor` and `norm_offset`.

    The norms are computed in float64: in float32, the squares of small gradients would round to 0,
    and a saturated network would seem to have no gradient.
    """
    within = w + variant.component_offset if variant.component_offset else w
    dual = 2 if norm == 2 else 1
    size = torch.linalg.vector_norm(within.flatten(1), dual, dim=1, dtype=torch.float64)
    return size, size.clamp(min=max(variant.norm_floor, 1e-300)) + variant.norm_offset


def _step(
    f: Float[Tensor, " n"], w: Float[Tensor, "n *shape"], norm: float, variant: Variant
) -> Float[Tensor, "n *shape"]:
    """Return the step to the boundary of the linearised model. If the gradient is zero, the step is
    0.
    """
    size, divisor = _sizes(w, norm, variant)
    distance = f / divisor
    if variant.square_offset is not None:
        distance, divisor = f * size / (size**2 + variant.square_offset), size.clamp(min=1e-300)
    # A distance beyond the range of the dtype becomes its largest number.
    length = (distance + variant.distance_offset).clamp(max=torch.finfo(w.dtype).max).to(w.dtype)
    direction = w.sign() if norm == math.inf else (w / per_image(divisor, w)).to(w.dtype)
    return per_image(length, w) * direction


def _beyond(
    x: Float[Tensor, "n *shape"], r: Float[Tensor, "n *shape"], variant: Variant
) -> Float[Tensor, "n *shape"]:
    """Return the perturbed image with overshoot, clipped to [0, 1] if the variant clips images."""
    image = x + (r if variant.each_step else (1 + variant.overshoot) * r)
    return image.clamp(0, 1) if variant.clip else image
