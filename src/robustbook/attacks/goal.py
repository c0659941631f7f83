"""Define the goal of an attack: the loss that the attack increases, and the test for success."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .losses import LOSSES, Loss, targeted_dlr


@dataclass(frozen=True, eq=False)
class Goal:
    """The labels, the target classes (if any) and the loss that define the goal of an attack.

    An untargeted attack increases the loss of the label; a targeted one decreases the loss of the
    target class.

    ``keys``: for each image a number that identifies it and determines its random numbers.
    ``aims``: for an untargeted attack, a wrong class for each image. If they are given, the attack
        increases the `targeted_dlr` towards these classes instead of the loss. It also succeeds if
        the network predicts another wrong class.
    """

    labels: Int[Tensor, " n"]
    targets: Int[Tensor, " n"] | None
    loss: Loss
    keys: Int[Tensor, " n"] | None = None
    aims: Int[Tensor, " n"] | None = None

    @property
    def sign(self) -> int:
        """Return 1 for an attack that increases the loss of the label, -1 for an attack that
        decreases the loss of the target.
        """
        return 1 if self.targets is None else -1

    def gain(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        """Return the objective that the attack increases: the loss of the label or, with targets,
        minus the loss of the target. With ``aims``, it is the `targeted_dlr` towards them.
        """
        if self.aims is not None:
            return targeted_dlr(logits, self.labels, self.aims)
        losses = self.loss(logits, self.labels if self.targets is None else self.targets)
        if losses.shape != self.labels.shape:
            raise ValueError(
                f"loss must return one number per image, shape {tuple(self.labels.shape)}, "
                f"got shape {tuple(losses.shape)}"
            )
        return losses if self.targets is None else -losses

    def reached(self, logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
        """Return whether the attack succeeds: whether the predicted class is not the label or, with
        targets, is the target.
        """
        if self.targets is None:
            return logits.argmax(1) != self.labels
        return logits.argmax(1) == self.targets

    def rows(self, index: Int[Tensor, " m"]) -> "Goal":
        """Return the same goal, restricted to the images with the indices ``index``."""
        return self._each(lambda given: given[index])

    def repeated(self, times: int) -> "Goal":
        """Return the goal for a batch in which all images are repeated ``times`` times."""
        return self if times == 1 else self._each(lambda given: given.repeat(times))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Goal":
        given = {name: getattr(self, name) for name in ("labels", "targets", "keys", "aims")}
        changed: dict[str, Any] = {k: change(v) for k, v in given.items() if v is not None}
        return replace(self, **changed)


def named_loss(loss: Any) -> Loss:
    """Return the loss function with the name ``loss``; return a callable unchanged."""
    if callable(loss):
        return loss  # type: ignore[no-any-return]
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(
            f"loss must be one of {', '.join(LOSSES)}, or a callable from logits and labels to "
            f"one loss per image, got {loss!r}"
        )
    return LOSSES[loss]


def rivals(
    logits: Float[Tensor, "n k"], source: Int[Tensor, " n"], candidates: int | None
) -> Int[Tensor, "n m"]:
    """Return at most `candidates` classes other than the source class, in decreasing order of their
    logits. Masked classes, whose logit is minus infinity, come last.
    """
    count = logits.shape[1] - 1
    if count < 1:
        raise ValueError("model must return logits of two classes or more, got 1")
    # The source class must come behind masked classes, so these get the lowest finite number.
    lowest = torch.finfo(logits.dtype).min
    rest = logits.clamp(min=lowest).scatter(1, source[:, None], -math.inf)
    return rest.topk(count if candidates is None else min(candidates, count)).indices


def ranked(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], rank: int) -> Int[Tensor, " n"]:
    """Return for each image the wrong class whose logit has the given rank among all wrong classes;
    rank 1 is the highest. Raise ValueError if there are fewer wrong classes.

    A masked class, whose logit is minus infinity, has no rank. If an image has fewer unmasked wrong
    classes than ``rank``, return the unmasked wrong class with the lowest logit.
    """
    if rank > logits.shape[1] - 1:
        raise ValueError(
            f"rank must be at most {logits.shape[1] - 1}, the number of wrong classes, got {rank}"
        )
    order = rivals(logits, labels, rank)
    masked = logits.gather(1, order).isneginf().sum(1)
    place = (rank - 1 - masked).clamp(min=0)
    return order.gather(1, place[:, None]).squeeze(1)
