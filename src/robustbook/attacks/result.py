"""Hold the result of an attack: adversarial images, success, distances and costs."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .goal import Goal
from .norms import per_image, size
from .propagation import Propagation


@dataclass(frozen=True, eq=False)
class Adversarial:
    """The result of an attack, with one adversarial image for each clean image.

    ``images``: the adversarial images, detached, with the device and dtype of the clean images.
        Their pixels lie in [0, 1] if the attack clips, which is the default. An attack with a fixed
        eps (FGSM, PGD) returns its perturbed image even if the model classifies it correctly.
    ``found``: whether the attack succeeded: the predicted class of the returned image differs from
        the label or, with targets, is the target. To find out, the model classifies the returned
        image once more. For a randomised model, the predicted class is the class of highest mean
        probability over `judge` new noise draws.
    ``distance``: distance of each adversarial image to its clean image, in the attack's norm. If a
        minimal-norm attack fails on an image, it returns the clean image and the distance infinity.
    ``steps``: the number of updates computed for each image, over all restarts.
    ``forwards``: the number of images in all forward passes, including the final evaluation.
    ``backwards``: the number of images in all backward passes.
    ``logits``: the logits from which ``found`` was computed; None if the result combines the
        results of several batches.
    """

    images: Float[Tensor, "n *shape"]
    found: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]
    steps: Int[Tensor, " n"]
    forwards: int
    backwards: int
    logits: Float[Tensor, "n k"] | None = None


def nearer(
    best: Float[Tensor, "n *shape"],
    nearest: Float[Tensor, " n"],
    images: Float[Tensor, "n *shape"],
    distance: Float[Tensor, " n"],
    reached: Bool[Tensor, " n"],
) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, " n"]]:
    """Return two results for each image: the nearest adversarial image so far, and its distance
    from the clean image.

    A new image replaces the nearest adversarial image so far if it is adversarial and nearer to the
    clean image.

    ``distance``: the distances of the new ``images`` from the clean images.
    ``reached``: whether the attack succeeds on each of the new ``images``.
    """
    better = reached & (distance < nearest)
    return (
        torch.where(per_image(better, best), images, best),
        torch.where(better, distance, nearest),
    )


def judged(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    adversarial: Float[Tensor, "n *shape"],
    norm: float,
    steps: Int[Tensor, " n"],
    minimal: bool = False,
    known: Float[Tensor, "n k"] | None = None,
) -> Adversarial:
    """Evaluate the model on the adversarial images and return the result of the attack.

    ``minimal``: whether the attack is a minimal-norm attack, which returns the clean image and the
        distance infinity if it fails.
    ``known``: the logits that the attack itself computed for the adversarial images. If the logits
        of the final evaluation differ from `known` only by rounding, the success of the attack is
        computed from `known`. The reason is that rounding depends on the batch, and may change the
        predicted class of an image at the class boundary. For a randomised model, `known` is not
        used, because only new noise draws count.
    """
    logits = propagation.verdict(adversarial, goal)
    if known is not None and not propagation.randomised:
        largest = known.masked_fill(known.isneginf(), 0).abs().amax(1)
        slack = torch.finfo(known.dtype).eps ** 0.5 * largest
        gaps = (logits - known).masked_fill(logits == known, 0)  # -inf minus -inf is NaN
        rounded = gaps.abs().amax(1) <= slack
        logits = torch.where(rounded[:, None], known, logits)
    propagation.ensure_finite(logits)
    found = goal.reached(logits)
    distance = size(adversarial - images, norm)
    if minimal:
        adversarial = torch.where(per_image(found, images), adversarial, images)
        distance = distance.masked_fill(~found, math.inf)
    return Adversarial(
        images=adversarial,
        found=found,
        distance=distance,
        steps=steps,
        forwards=propagation.forwards,
        backwards=propagation.backwards,
        logits=logits,
    )
