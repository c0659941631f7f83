r"""DeepFool: step to the nearest boundary of the linearised model, until an image is across.

Moosavi-Dezfooli, Fawzi and Frossard 2016 (arXiv 1511.04599), algorithm 2. With s the class
attacked, f_k = g_k - g_s and w_k = grad f_k at the current point,

    k* = argmin_k |f_k| / ||w_k||_q,   r <- r + |f_k*| / ||w_k*||_2^2 w_k*          (l2, q = 2)
                                       r <- r + |f_k*| / ||w_k*||_1 sign(w_k*)      (l-inf, q = 1)

and the result is x + 1.02 r: two per cent beyond. Who says DeepFool may mean any of several
algorithms, which differ in what the paper leaves open. They are `Variant`s here:

    preset               wrong     others  over-   next gradient  clipped  offsets         steps,
                         images            shoot   at                                      failures
    ours (default)       left      all     a step  the iterate    yes      distance        50 clean
    free                 the same, where pixels at an edge of the box are left out of the step
    authors              attacked  9       total   x + r          no       components      5 kept
    matlab               attacked  9       total   x + r          no       none            100 kept
    python               attacked  9       total   x + 1.02 r     no       distance        50 kept
    foolbox              left      9       total   x + 1.02 r     yes      norm, distance  50 kept
    art                  attacked  9       1e-6    x + r          yes      norm            100 kept
    torchattacks         left      all     a step  the iterate    yes      none            50 kept
    adversarial_library  left      all     a step  the iterate    yes      floor, distance 100 clean

"Wrong images" are those misclassified from the start: left alone, or attacked like the others, away
from the wrong answer. "Others" is how many other classes are looked at, the highest logits at the
image first. Only the first two and the adversarial library's keep the promise of this package's
minimal-norm attacks, that a failure comes back as the clean image at infinite distance; the others
return what they reached, as their sources do, and `found` tells.

Two of these details decide whether it works. Where steps are clipped, each falls short by the part
that was cut off; the iterate then creeps up to the boundary and, without the 1e-4 added to each
step, a third to a half of MNIST's images are still in front of it after 50 steps. And since most
pixels of such an image are at an edge of the box, most of each step is cut off: with steps of the
other pixels alone (`free`) two to four are enough where seven to ten were needed, and the result is
two to eight per cent further away.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from .checks import check_choice, check_count, prepare
from .norms import per_image, size
from .propagation import Model
from .result import Adversarial


@dataclass(frozen=True)
class Variant:
    """What implementations of DeepFool disagree about.

    steps: updates of an image at most.
    candidates: how many other classes are looked at, those of highest logits at the image; None:
        all. (Choosing them anew at each step gave the same distances on MNIST.)
    slack: after the first step, a class gets no gradient where it could be the nearest only with
        one this many times longer than its last; math.inf: all do. With 2, the default's, the same
        classes are chosen (on MNIST, without an exception) for a third of the gradients.
    overshoot: how far beyond the boundary, as a share.
    each_step: whether each step overshoots and stays there, or only the sum of all steps.
    beyond: whether the next gradient is taken at the overshot image, or at the plain sum.
    ask_beyond: whether the model is asked about the overshot image, or about the plain sum, which
        overshoots only when all is done.
    clip: whether images are brought back into [0, 1].
    forget: whether what clipping cut off is gone, or stays in the sum and may come back.
    free: whether pixels at an edge of the box that a step would push out of it are left out before
        its length is known.
    component_offset: added to each component of a gradient inside its norm.
    norm_offset, norm_floor: added to the norm; its least value.
    square_offset: added to the square of the norm in the step, where norm_offset is not.
    distance_offset: added to the length of each step.
    attack_wrong: whether images misclassified from the start are attacked, away from their answer.
    keep_failures: whether an image that is not across at the end keeps what was done to it.

    The offsets are in units of the images; see `scaled`.
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

    def scaled(self, unit: float) -> "Variant":
        """The same attack on images whose numbers are `unit` times smaller.

        Then distances are `unit` times smaller and gradients `unit` times larger, so the offsets
        have to follow: with g(x) = f(unit x) and an offset e to each component,
        |g| / ||grad g + unit e|| = |f| / ||grad f + e|| / unit.
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
# ZiangYan/deepdefense.pytorch, deepdefense.py: 5e-6 on MNIST (1e-5 on CIFAR-10) in the numbers that
# the network sees, grey levels of 0..255 less the mean. For images in [0, 1], which the network
# multiplies by 255, that is 255 times as much, exactly; the mean does not matter.
AUTHORS = replace(MATLAB, steps=5, component_offset=5e-6).scaled(255.0)
# LTS4/DeepFool, Python/deepfool.py.
PYTHON = replace(MATLAB, steps=50, beyond=True, distance_offset=1e-4)
# bethgelab/foolbox 3.3.4, attacks/deepfool.py.
FOOLBOX = Variant(candidates=9, norm_offset=1e-8, distance_offset=1e-4, keep_failures=True)
# Trusted-AI/adversarial-robustness-toolbox 1.20, attacks/evasion/deepfool.py. With more than ten
# classes it looks at those that are among the ten highest of any image of the set.
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
# jeromerony/adversarial-library 0.2.8, attacks/deepfool.py. A failure is the clean image there too,
# so that its distance is 0; here it is infinite.
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


def deepfool(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    norm: int | float = 2,
    preset: str | Variant = "ours",
    steps: int | None = None,
    candidates: int | None = None,
    targets: Int[Tensor, " n"] | None = None,
) -> Adversarial:
    """Look for the nearest image that the model names otherwise.

    model: from images to logits, in the mode the caller wants it attacked. Probabilities would do
        harm: their gradients are curved and vanish.
    images: in [0, 1], unless the preset does not clip; then of any size, such as the numbers that
        a network makes of images before its first layer (see `Variant.scaled` for the offsets).
    labels: the true classes.
    norm: 2 (default, the paper's) or math.inf.
    preset: "ours" (default), "free", "authors", "matlab", "python", "foolbox", "art",
        "torchattacks", "adversarial_library", or a `Variant`. "authors", "art" and "torchattacks"
        are l2 attacks: their l-infinity form is made by analogy.
    steps: updates of an image at most; default the preset's.
    candidates: how many other classes may get a gradient, the highest logits first; default the
        preset's, and the default's are all. 3 takes two thirds of the time; where the nearest
        boundary belongs to a class beyond these, the distance is a little larger (on MNIST 0.1 to
        0.5 per cent in the mean).
    targets: classes to be reached; None (default): away from the answer. Then the target is the
        only candidate, and each step comes from whatever the model answers at that point.

    An image that is done leaves the batch; with the default, an image misclassified from the start
    is found at distance 0. Each step of an image costs one or two forward passes (one for the
    gradients; one asks whether it is across, where that is not the same image or many are expected
    to be) and a backward pass for each class that is looked at. The host waits for the device once
    a step and, with a slack, once for each of these classes.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
    """
    check_choice("norm", norm, (2, math.inf))
    variant = _variant(preset, steps, candidates)
    propagation = prepare(model, images, labels, targets, box=variant.clip)
    x = images.detach()
    logits = propagation.logits(x)  # of the images as they now are
    answers = logits.argmax(1)
    source = labels if targets is None and not variant.attack_wrong else answers
    others = rivals(logits, source, variant.candidates) if targets is None else targets[:, None]
    goal = source if targets is None else targets

    def across(answers: Tensor, rows: Tensor) -> Tensor:
        return answers != goal[rows] if targets is None else answers == goal[rows]

    r = torch.zeros_like(x)  # without overshoot
    known = x.new_full(others.shape, math.inf, dtype=torch.float64)  # norms of the last gradients
    spent = torch.zeros_like(labels)
    every = torch.arange(len(x), device=x.device)
    rows = every[~across(answers, every)]
    together = variant.each_step or variant.beyond == variant.ask_beyond
    asked, share = True, 1.0
    for step in range(variant.steps):
        if not len(rows):
            break
        point = _beyond(x[rows], r[rows], variant) if variant.beyond else x[rows] + r[rows]
        there, slope = propagation.slopes(point)
        left = source[rows] if targets is None else there.argmax(1)
        w, f, known[rows] = _nearest(
            there, slope, point, left, others[rows], known[rows], float(norm), variant
        )
        if not asked:
            logits[rows] = there
            going = ~across(there.argmax(1), rows)
            share = 1 - int(going.sum()) / len(rows)
            rows, w, f = rows[going], w[going], f[going]
        moved = _step(f, w, float(norm), variant)
        r[rows] += (1 + variant.overshoot) * moved if variant.each_step else moved
        if variant.clip and variant.forget:
            r[rows] = (x[rows] + r[rows]).clamp(0, 1) - x[rows]
        spent[rows] += 1

        # The next forward pass for gradients can be the question as well. Then images that are
        # across have gradients computed for nothing: worth it while few are.
        asked = not (together and step + 1 < variant.steps and share < 1 / (1 + others.shape[1]))
        if asked and len(rows):
            image = _beyond(x[rows], r[rows], variant) if variant.ask_beyond else x[rows] + r[rows]
            logits[rows] = there = propagation.logits(image)
            going = ~across(there.argmax(1), rows)
            share = 1 - int(going.sum()) / len(rows)
            rows = rows[going]

    if not variant.keep_failures:
        r[rows] = 0
    adversarial = _beyond(x, r, variant)
    if not variant.ask_beyond:
        logits = propagation.logits(adversarial)
    elif len(rows) and not variant.keep_failures:
        logits[rows] = propagation.logits(adversarial[rows])
    propagation.ensure_finite(logits)
    distance = size(adversarial - x, float(norm))
    if not variant.keep_failures:
        distance[rows] = math.inf
    return Adversarial(
        images=adversarial,
        found=logits.argmax(1) != labels if targets is None else logits.argmax(1) == targets,
        distance=distance,
        steps=spent,
        forwards=propagation.forwards,
        backwards=propagation.backwards,
    )


def _variant(preset: str | Variant, steps: int | None, candidates: int | None) -> Variant:
    """The preset, with what the caller wants otherwise."""
    if not isinstance(preset, Variant):
        if preset not in PRESETS:
            raise ValueError(
                f"preset must be one of {', '.join(PRESETS)}, or a Variant, got {preset!r}"
            )
        preset = PRESETS[preset]
    for name, value in (("steps", steps), ("candidates", candidates)):
        if value is not None:
            check_count(name, value)
    return replace(
        preset,
        steps=preset.steps if steps is None else steps,
        candidates=preset.candidates if candidates is None else candidates,
    )


def rivals(
    logits: Float[Tensor, "n k"], source: Int[Tensor, " n"], candidates: int | None
) -> Int[Tensor, "n m"]:
    """The classes other than the source, the highest logits first; at most `candidates` of them."""
    count = logits.shape[1] - 1
    if count < 1:
        raise ValueError("model must tell two classes apart or more, got logits of one class")
    rest = logits.scatter(1, source[:, None], -math.inf)
    return rest.topk(count if candidates is None else min(candidates, count)).indices


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
    """w and |f| of the class whose linearised boundary is nearest, and the norms now known.

    Classes are taken in the order of their distances by the last known norms; with a slack, until
    none can be nearer unless its gradient has become `slack` times longer since.
    """
    margins = (logits.gather(1, others) - logits.gather(1, source[:, None])).abs()
    guesses, order = (margins / known).sort(dim=1, stable=True)  # 0 at first: as they are
    best = known.new_full((len(point),), math.inf)
    w, f = torch.zeros_like(point), margins[:, 0]
    for j in range(others.shape[1]):
        place = order[:, j : j + 1]
        # Per image, so that it does not matter which classes the others of the batch look at.
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
    """The dual norm of each gradient, and the same with the variant's offsets.

    In float64, where the square of no float32 gradient vanishes: a saturated network would look
    like one without gradients.
    """
    within = w + variant.component_offset if variant.component_offset else w
    dual = 2 if norm == 2 else 1
    size = torch.linalg.vector_norm(within.flatten(1), dual, dim=1, dtype=torch.float64)
    return size, size.clamp(min=max(variant.norm_floor, 1e-300)) + variant.norm_offset


def _step(
    f: Float[Tensor, " n"], w: Float[Tensor, "n *shape"], norm: float, variant: Variant
) -> Float[Tensor, "n *shape"]:
    """From the point to the boundary of the linearised model; 0 where it is flat."""
    size, divisor = _sizes(w, norm, variant)
    distance = f / divisor
    if variant.square_offset is not None:
        distance, divisor = f * size / (size**2 + variant.square_offset), size.clamp(min=1e-300)
    # A boundary too far for this kind of number is as far as there is one.
    length = (distance + variant.distance_offset).clamp(max=torch.finfo(w.dtype).max).to(w.dtype)
    direction = w.sign() if norm == math.inf else (w / per_image(divisor, w)).to(w.dtype)
    return per_image(length, w) * direction


def _beyond(
    x: Float[Tensor, "n *shape"], r: Float[Tensor, "n *shape"], variant: Variant
) -> Float[Tensor, "n *shape"]:
    """The image that the perturbation stands for: overshot, and in the box if that is asked."""
    image = x + (r if variant.each_step else (1 + variant.overshoot) * r)
    return image.clamp(0, 1) if variant.clip else image
