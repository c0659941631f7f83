"""What every attack returns."""

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
    """The images an attack made, one row per image it was given, and what they cost.

    images: adversarial images in [0, 1] (beyond it only from an attack told `clip=False`),
        detached, on the device and in the dtype of the images given. A budget attack (FGSM, PGD)
        returns its perturbed image whether the model misclassifies it or not.
    found: whether the attack succeeded, by a fresh look of the model at exactly these images: its
        answer is not the label or, with targets, is the target. For a model that draws, the answer
        is the class of highest mean probability over `judge` draws that the attack has not seen.
    distance: of each image to the one given, in the attack's norm. An attack that looks for the
        nearest image returns the image given, at infinite distance, wherever `found` is False.
    steps: updates computed for each image, all restarts together.
    forwards, backwards: images propagated through the model, the fresh look included.
    """

    images: Float[Tensor, "n *shape"]
    found: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]
    steps: Int[Tensor, " n"]
    forwards: int
    backwards: int


def judged(
    propagation: Propagation,
    goal: Goal,
    images: Float[Tensor, "n *shape"],
    adversarial: Float[Tensor, "n *shape"],
    norm: float,
    steps: Int[Tensor, " n"],
    minimal: bool = False,
    logits: Float[Tensor, "n k"] | None = None,
) -> Adversarial:
    """The result of an attack on `images`, after a fresh look of the model at what it made.

    minimal: whether the attack looks for the nearest image, so that a row that is not found comes
        back as it was given, at infinite distance.
    logits: the model's answers where the attack has them; None: it is asked once more.
    """
    if logits is None:
        logits = propagation.verdict(adversarial, goal)
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
    )
