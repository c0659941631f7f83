"""Losses that attacks increase or decrease: functions from logits and classes to one number per
image.

No loss is averaged over the batch, so the gradient of an image does not depend on the other images.
A loss does not change if a constant is added to all logits of an image.
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

    Keras does the same, by default with clip 1e-7. If the probability of the label lies outside
    [clip, 1 - clip], the gradient is exactly zero. So a confident network seems robust to an attack
    that increases this loss. For another value of clip, pass, for example,
    `functools.partial(clipped_probabilities, clip=1e-10)` to the attack.
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

    The gradient of this loss is 0 for a misclassified image. So an attack stops moving an image as
    soon as the network misclassifies the image. Attacks with targets refuse this loss, because its
    gradient is 0 until they succeed.
    """
    return margin(logits, labels).clamp(max=0)


def dlr(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the `margin`, divided by the difference between the highest and the third highest
    logit of the image (Croce and Hein 2020, arXiv 2003.01690, equation 6).

    Multiplying all logits by a positive number does not change this loss, so its gradient does not
    vanish for a confident network. The loss is above 0 exactly if the network misclassifies the
    image, and never below -1. If fewer than three classes are unmasked (have a logit above minus
    infinity), the loss is the `margin`. Raises ValueError for fewer than three classes.
    """
    top = _highest(logits, 3)
    return _ratio(margin(logits, labels), top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return (Z_t - Z_y) / (Z_(1) - (Z_(3) + Z_(4)) / 2) for each image (Croce and Hein 2020,
    equation 7).

    Z_t is the logit of the target, and Z_y that of the label. Z_(1), Z_(3) and Z_(4) are the
    highest, the third and the fourth highest logit.

    An attack increases this loss. If fewer than four classes are unmasked (have a logit above minus
    infinity), the loss is Z_t - Z_y. Raises ValueError for fewer than four classes.
    """
    top = _highest(logits, 4)
    scale = top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12
    return _ratio(lead(logits, labels, targets), scale)


def lead(
    logits: Float[Tensor, "n k"], source: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the logit of the target class minus the logit of the source class; the DeepFool paper
    calls this difference f.
    """
    return (logits.gather(1, target[:, None]) - logits.gather(1, source[:, None])).squeeze(1)


def _ratio(above: Float[Tensor, " n"], scale: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return above / scale. If a masked class makes one of the two infinite, return ``above``
    itself, because the quotient and its gradient would be 0 or NaN.
    """
    masked = above.isinf() | scale.isinf()
    return torch.where(masked, above, above.masked_fill(masked, 0) / scale.masked_fill(masked, 1))


def _highest(logits: Float[Tensor, "n k"], count: int) -> Float[Tensor, "n {count}"]:
    """Return the `count` highest logits of each image, the highest first."""
    if logits.shape[1] < count:
        raise ValueError(
            f"model must return logits of {count} classes or more for this loss, "
            f"got {logits.shape[1]}"
        )
    return logits.topk(count).values


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
    "dlr": dlr,
}
