"""What an attack is after: the loss it raises, and when it has won."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .losses import LOSSES, Loss


@dataclass(frozen=True, eq=False)
class Goal:
    """Away from the labels or, where there are targets, towards the targets."""

    labels: Int[Tensor, " n"]
    targets: Int[Tensor, " n"] | None
    loss: Loss

    def gain(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        """What the attack raises: the loss of the label, or minus the loss of the target."""
        losses = self.loss(logits, self.labels if self.targets is None else self.targets)
        if losses.shape != self.labels.shape:
            raise ValueError(
                f"loss must return one number per image, shape {tuple(self.labels.shape)}, "
                f"got shape {tuple(losses.shape)}"
            )
        return losses if self.targets is None else -losses

    def reached(self, logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
        """Whether the model's answer, the highest logit, is what the attack wants."""
        if self.targets is None:
            return logits.argmax(1) != self.labels
        return logits.argmax(1) == self.targets

    def rows(self, index: Int[Tensor, " m"]) -> "Goal":
        """The same goal for some of the images."""
        targets = None if self.targets is None else self.targets[index]
        return Goal(self.labels[index], targets, self.loss)


def named_loss(loss: str | Loss) -> Loss:
    """The loss of that name, or the callable itself."""
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(
            f"loss must be one of {', '.join(LOSSES)}, or a callable from logits and labels to "
            f"one loss per image, got {loss!r}"
        )
    return LOSSES[loss]
