"""Run the standard version of AutoAttack: four attacks, each on the images that are still correct.

AutoAttack is from Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks" (arXiv 2003.01690). The standard version of the released
code first runs APGD on the cross entropy. Then it runs APGD on the `targeted_dlr`, towards each of
the nine wrong classes with the highest logits. Next comes FAB towards each of these classes. The
last attack is Square with 5,000 queries. Here only l-infinity is included, because `square` has no
l2 form. Unlike in the released code, the random numbers of an image do not depend on the batch.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .apgd import apgd
from .checks import Count, PerImage, check_count, check_eps, pick, prepare
from .fab import fab
from .propagation import Model
from .result import Adversarial, judged
from .square import square

CLASSES = 9
"""The largest number of wrong classes towards which APGD and FAB are run."""


@torch.inference_mode(False)
def autoattack(
    model: Model,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    *,
    eps: PerImage,
    steps: Count = 100,
    queries: Count = 5000,
    targets: Int[Tensor, " n"] | None = None,
    judge: Count = 1,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Return for each image the first misclassified image that one of the attacks finds within the
    l-infinity radius eps. If all attacks fail, return the clean image.

    ``model``: a function from images to logits (see `fgsm`) of four classes or more. AutoAttack is
        meant for deterministic models. A single noise draw of a randomised model may misclassify
        an image by chance, so attack such a model by `apgd` with several draws.
    ``images``: the clean images, in [0, 1], of shape (n, c, h, w).
    ``labels``: the true classes.
    ``eps``: in (0, 1], the radius of the l-infinity ball: one number, or one for each image.
    ``steps``: the number of steps of APGD and of FAB; default 100.
    ``queries``: maximum number of queries of the Square attack; default 5000.
    ``targets``: the target class of each image; None (default) for an untargeted attack. With
        targets, APGD and FAB are run once, towards the target.
    ``judge``: for a randomised model, the number of new noise draws in the final evaluation.
    ``keys``: one number for each image, which determines the image's random numbers (see `fgsm`).
    ``generator``: a torch generator that gives the seed of all random numbers, as in `pgd`.

    The field `steps` of the result is the number of steps and queries of all four attacks together.
    An image that the model misclassifies without any attack is returned unchanged, after 0 steps.
    Raises ValueError for an invalid argument, or a model that returns NaN.
    """
    steps, queries = check_count("steps", steps), check_count("queries", queries)
    propagation, goal, images = prepare(
        model, images, labels, targets, keys, judge=judge, generator=generator
    )
    if images.ndim != 4:
        raise ValueError(f"images must have shape (n, c, h, w), got {tuple(images.shape)}")
    radius = check_eps(eps, images)
    logits = propagation.logits(images, goal)
    chance = torch.Generator().manual_seed(propagation.seed)
    classes = logits.shape[1]
    if targets is None and classes < 4:
        raise ValueError(f"model must return logits of 4 classes or more, got {classes}")
    ranks = range(1, min(CLASSES, classes - 1) + 1) if targets is None else [None]

    adversarial, spent, known = images.clone(), torch.zeros_like(goal.labels), logits.clone()
    rows = (~goal.reached(logits)).nonzero().squeeze(1)
    for attack, rank in [
        ("apgd", None),
        *(("apgd", rank) for rank in ranks if rank),
        *(("fab", rank) for rank in ranks),
        ("square", None),
    ]:
        if not len(rows):
            break
        bound, aim = pick(radius, rows), goal.rows(rows)
        given = (model, images[rows], aim.labels)
        common: dict[str, Any] = {
            "targets": aim.targets,
            "keys": aim.keys,
            "judge": judge,
            "generator": chance,
        }
        if attack == "apgd":
            made = apgd(*given, eps=bound, steps=steps, rank=rank, **common)
        elif attack == "fab":
            made = fab(*given, steps=steps, rank=rank, **common)
        else:
            made = square(*given, eps=bound, queries=queries, **common)
        # Near 1, rounding can change a distance by up to the machine epsilon.
        tiny = torch.finfo(images.dtype).eps
        won = made.found & (made.distance <= bound * (1 + 1e-6) + tiny)
        assert made.logits is not None
        adversarial[rows[won]], known[rows[won]] = made.images[won], made.logits[won]
        spent[rows] += made.steps
        propagation.forwards += made.forwards
        propagation.backwards += made.backwards
        rows = rows[~won]
    return judged(propagation, goal, images, adversarial, math.inf, spent, known=known)
