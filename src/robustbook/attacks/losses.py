"""Losses that an attack raises or lowers: from logits and classes to one number per image.

None is averaged over the batch, so that no image's gradient depends on how many others there are;
and none changes when a constant is added to all logits of an image.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Minus the log probability of the label, computed from the logits."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def clipped_probabilities(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], clip: float = 1e-7
) -> Float[Tensor, " n"]:
    """Cross entropy of softmax probabilities clipped to [clip, 1 - clip].

    This is how Keras computes it from probabilities, with clip 1e-7 by default. Where the label's
    probability is outside the clip the gradient is exactly zero: a confident network looks robust
    to an attack that differentiates this loss. For another clip pass
    `functools.partial(clipped_probabilities, clip=1e-10)`.
    """
    probability = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    return -probability.clamp(clip, 1 - clip).log()


def squared_error(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Squared distance of the softmax probabilities to the one-hot label, summed over classes."""
    goal = _is_label(logits, labels).to(logits.dtype)
    return (logits.softmax(1) - goal).square().sum(1)


def margin(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Highest other logit minus the label's: positive exactly where the label is not the answer.

    Where several others are highest, the gradient is shared among them.
    """
    others = logits.masked_fill(_is_label(logits, labels), -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None]).squeeze(1)


def _is_label(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Bool[Tensor, "n k"]:
    """One-hot labels. (torch.nn.functional.one_hot reads them back to check their range.)"""
    classes: Tensor = torch.arange(logits.shape[1], device=logits.device)
    return classes == labels[:, None]


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "clipped_probabilities": clipped_probabilities,
    "squared_error": squared_error,
    "margin": margin,
}
