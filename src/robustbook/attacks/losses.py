"""Losses that attacks increase or decrease: functions from logits and classes to one number per
image.

No loss is averaged over the batch, so the gradient of an image does not depend on the other images.
No loss changes if a constant is added to all logits of an image.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return minus the log probability of the label, computed from the logits."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def clipped_probabilities(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], clip: float = 1e-7
) -> Float[Tensor, " n"]:
    """Return the cross entropy of softmax probabilities clipped to [clip, 1 - clip].

    Keras also clips probabilities before it computes the cross entropy, by default with clip 1e-7.
    If the probability of the label lies outside [clip, 1 - clip], the gradient is exactly zero. So
    a confident network seems robust to an attack that increases this clipped loss. To use this loss
    in an attack with a different value of clip, pass `functools.partial(clipped_probabilities,
    clip=1e-10)`.
    """
    probability = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    return -probability.clamp(clip, 1 - clip).log()


def squared_error(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the squared distance between the softmax probabilities and the one-hot label."""
    goal = _is_label(logits, labels).to(logits.dtype)
    return (logits.softmax(1) - goal).square().sum(1)


def margin(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the highest logit of all wrong classes minus the logit of the label.

    The network misclassifies the image exactly if the margin is positive. If several wrong classes
    have the same highest logit, the gradient is divided among these classes.
    """
    others = logits.masked_fill(_is_label(logits, labels), -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None]).squeeze(1)


def hinge(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the smaller of the `margin` and 0.

    For a misclassified image, the gradient of the hinge is 0. So an attack stops moving an image as
    soon as the network misclassifies it.
    """
    return margin(logits, labels).clamp(max=0)


def _is_label(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Bool[Tensor, "n k"]:
    """Return one-hot labels. The function `torch.nn.functional.one_hot` would be slower, because it
    checks the labels.
    """
    classes: Tensor = torch.arange(logits.shape[1], device=logits.device)
    return classes == labels[:, None]


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "clipped_probabilities": clipped_probabilities,
    "squared_error": squared_error,
    "margin": margin,
    "hinge": hinge,
}
