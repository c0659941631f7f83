"""What every attack returns."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .goal import Goal
from .norms import size
from .propagation import Propagation


@dataclass(frozen=True, eq=False)
class Adversarial:
    """The images an attack made, one row per image it was given, and what they cost.

    images: adversarial images in [0, 1] (beyond it only from an attack told `clip=False`),
        detached, on the device and in the dtype of the images given. A budget attack (FGSM, PGD)
        returns its perturbed image whether it fools the model or not.
    found: whether the model, asked afresh about exactly these images, is fooled: its answer is not
        the label or, with targets, is the target.
    distance: of each image to the one given, in the attack's norm.
    steps: updates computed for each image, all restarts together.
    forwards, backwards: images propagated through the model, the fresh check included.
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
) -> Adversarial:
    """The result of an attack on `images`, after asking the model afresh about what it made."""
    logits = propagation.logits(adversarial)
    propagation.ensure_finite(logits)
    return Adversarial(
        images=adversarial,
        found=goal.reached(logits),
        distance=size(adversarial - images, norm),
        steps=steps,
        forwards=propagation.forwards,
        backwards=propagation.backwards,
    )
