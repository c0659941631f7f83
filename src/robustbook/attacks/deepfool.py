r"""DeepFool: step to the nearest boundary of the linearised model until it has been crossed.

Moosavi-Dezfooli, Fawzi and Frossard 2016 (arXiv 1511.04599), algorithm 2. With s the class
attacked, f_k = g_k - g_s and w_k = grad f_k at the current point,

    k* = argmin_k |f_k| / ||w_k||_q,   r <- r + |f_k*| / ||w_k*||_2^2 w_k*          (l2, q = 2)
                                       r <- r + |f_k*| / ||w_k*||_1 sign(w_k*)      (l-inf, q = 1)

and the result is x + 1.02 r: two per cent beyond. Implementations of DeepFool differ in what the
paper leaves open. They are `Variant`s here:

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

"Wrong images" are those misclassified from the start: left alone, or attacked like the others, away
from the wrong answer. "Others" is how many other classes are considered, the highest logits at the
image first. Only the first two and the adversarial library's keep the promise of this package's
minimal-norm attacks, that a failure comes back as the clean image at infinite distance; the others
return what they reached, as their sources do, and `found` says which these are.

Two of these details decide whether it works. Where steps are clipped, each falls short by the part
that was cut off. The iterate then approaches the boundary slowly and, without the 1e-4 added to
each step, a third to a half of MNIST's images have not crossed it after 50 steps. And most pixels
of such an image are at 0 or 1, so most of each step is cut off. With steps of the other pixels
alone (`free`) two to four steps are enough instead of seven to ten, and the result is two to eight
per cent further away.

For a randomised model and several draws, the functions g_k are the logarithms of the mean
probabilities over the draws: their boundary is where the answer of the averaged model changes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from .checks import Count, Number, check_choice, check_count, prepare
from .norms import per_image
from .propagation import Model
from .result import Adversarial, judged


@dataclass(frozen=True)
class Variant:
    """What implementations of DeepFool disagree about.

    steps: updates of an image at most.
    candidates: how many other classes are considered, those of highest logits at the image; None:
        all. (Choosing them anew at each step gave the same distances on MNIST.)
    slack: after the first step, skip a class that could be nearest only if its gradient norm grew
        more than `slack` times; math.inf skips none. With 2, the default's, the same classes were
        chosen (on MNIST, without an exception) for a third of the gradients.
    overshoot: how far beyond the boundary, as a share.
    each_step: whether each step overshoots and stays there, or only the sum of all steps.
    beyond: whether the next gradient is taken at the overshot image, or at the plain sum.
    ask_beyond: whether the model classifies the overshot image, or the plain sum, which overshoots
        only at the end.
    clip: whether images are clipped to [0, 1].
    forget: whether what clipping cut off is discarded, or stays in the sum and may come back.
    free: whether pixels at 0 or 1 that a step would push out of the range are left out before its
        length is computed.
    component_offset: added to each component of a gradient inside its norm.
    norm_offset, norm_floor: added to the norm; its least value.
    square_offset: added to the square of the norm in the step, where norm_offset is not.
    distance_offset: added to the length of each step.
    attack_wrong: whether images misclassified from the start are attacked, away from their answer.
    keep_failures: whether an image that has not crossed at the end keeps what was done to it.

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
    """Look for the nearest misclassified image.

    model: as in `fgsm`. It has to return logits: gradients of probabilities are curved and vanish.
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
        only candidate, and each step starts from whatever the model answers at that point.
    draws, judge, keys, generator: as in `fgsm`, see above. Each step has new draws, which also
        decide whether the step before has crossed. All draws of a step are kept for its gradients.

    An image that has crossed leaves the batch; with the default, an image misclassified from the
    start is found at distance 0. Each step of an image costs one or two forward passes (one for the
    gradients; one to see whether it has crossed, where that is not the same image or many are
    expected to have) and a backward pass for each class considered. A model that draws is judged
    at the end, which costs `judge` forward passes more. The host waits for the device once a step
    and, with a slack, once for each of these classes.
    Raises ValueError for an argument it cannot use, or a model that gives NaN.
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
        draws=draws,
        judge=judge,
        generator=generator,
    )
    logits = propagation.logits(x, whole).clone()  # a model may return what it keeps
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
    known = x.new_full(others.shape, math.inf, dtype=torch.float64)  # norms of the last gradients
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

        # The next forward pass for gradients can also say who has crossed. Then images that have
        # get gradients computed for nothing: worth it while they are few.
        asked = not (together and step < variant.steps and share < 1 / (1 + others.shape[1]))
        if asked and len(rows):
            image = _beyond(x[rows], r[rows], variant) if variant.ask_beyond else x[rows] + r[rows]
            logits[rows] = there = propagation.logits(image, whole.rows(rows), step + 1)
            going = ~crossed(there.argmax(1), rows)
            share = 1 - int(going.sum()) / len(rows)
            rows = rows[going]

    if not variant.keep_failures:
        r[rows] = 0
    # The image stands at the boundary, where another batch's rounding can turn the answer. A model
    # without draws has given its answer already.
    return judged(
        propagation,
        whole,
        x,
        _beyond(x, r, variant),
        norm,
        spent,
        minimal=not variant.keep_failures,
        logits=None if propagation.draws_noise or not variant.ask_beyond else logits,
    )


def _variant(preset: str | Variant, steps: Count | None, candidates: Count | None) -> Variant:
    """The preset, with what the caller wants otherwise."""
    if not isinstance(preset, Variant):
        if preset not in PRESETS:
            raise ValueError(
                f"preset must be one of {', '.join(PRESETS)}, or a Variant, got {preset!r}"
            )
        preset = PRESETS[preset]
    given = {"steps": steps, "candidates": candidates}
    changed: dict[str, Any] = {
        name: check_count(name, value) for name, value in given.items() if value is not None
    }
    return replace(preset, **changed)


def rivals(
    logits: Float[Tensor, "n k"], source: Int[Tensor, " n"], candidates: int | None
) -> Int[Tensor, "n m"]:
    """The classes other than the source, the highest logits first; at most `candidates` of them."""
    count = logits.shape[1] - 1
    if count < 1:
        raise ValueError("model must return logits of two classes or more, got 1")
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
    """The image that the perturbation stands for: overshot, and clipped if that is asked."""
    image = x + (r if variant.each_step else (1 + variant.overshoot) * r)
    return image.clamp(0, 1) if variant.clip else image
