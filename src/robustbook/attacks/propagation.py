"""The model as an attack sees it: logits and gradients at the input, counted image by image."""

from collections.abc import Callable
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from .goal import Goal

Model = Callable[[Tensor], Tensor]

LOOK_EVERY = {"cpu": 1, "cuda": 10}
"""After how many steps an attack looks which rows have ended and may leave. On a GPU the host has
to wait for the answer, on a CPU it has it."""


class Propagation:
    """Propagates images through a model for an attack with some goal, and counts them.

    Gradients are taken at the input alone, so parameters and their `.grad` stay as they are; the
    model's mode (training or evaluation) is the caller's and stays too. Losses are summed over the
    batch before differentiation, never averaged, so that each row of the gradient is that image's
    own, at its own size.
    """

    def __init__(self, model: Model, highest_class: int) -> None:
        self.forwards = 0
        self.backwards = 0
        self._model = model
        self._highest_class = highest_class
        self._total = torch.zeros(())  # of all gradients; stays on the device until it is asked

    def logits(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        """The model's logits, without a graph."""
        with torch.no_grad():
            return self._forward(images)

    def gradient(
        self, images: Float[Tensor, "n *shape"], goal: Goal
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """The goal's gain for each image and its gradient with respect to that image."""
        _, gain, gradient = self.both(images, goal)
        return gain, gradient

    def both(
        self, images: Float[Tensor, "n *shape"], goal: Goal
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """The logits too, for an attack that stops where its goal is reached."""
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            logits = self._forward(leaf)
            gain = goal.gain(logits)
            gradient = None
            if gain.requires_grad:
                (gradient,) = torch.autograd.grad(gain.sum(), leaf, allow_unused=True)
        if gradient is None:
            self._refuse_detached()
        self.backwards += len(images)
        # A NaN has sign 0: an image with such a gradient would stand still and look robust. The sum
        # is not finite if any entry is not, and is one pass over the gradient without a wait.
        self._total = self._total.to(gradient) + gradient.sum()
        return logits.detach(), gain.detach(), gradient

    def slopes(
        self, images: Float[Tensor, "n *shape"]
    ) -> tuple[Float[Tensor, "n k"], Callable[[Tensor, Tensor], Tensor]]:
        """The logits, and a function of two classes per image: the gradient at the images of how
        far the second's logit is above the first's.

        One forward pass; each call is one backward pass through its graph. For several classes
        that is as fast on a CPU as one batched pass, and two to three times as fast as repeating
        the images.
        """
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            logits = self._forward(leaf)

        def slope(source: Tensor, target: Tensor) -> Tensor:
            with torch.enable_grad():
                margin = logits.gather(1, target[:, None]) - logits.gather(1, source[:, None])
                gradient = None
                if margin.requires_grad:
                    (gradient,) = torch.autograd.grad(
                        margin.sum(), leaf, retain_graph=True, allow_unused=True
                    )
            if gradient is None:
                self._refuse_detached()
            self.backwards += len(images)
            self._total = self._total.to(gradient) + gradient.sum()
            return gradient

        return logits.detach(), slope

    def ensure_finite(self, logits: Float[Tensor, "n k"]) -> None:
        """Raise if these logits, or any gradient so far, were NaN or infinite.

        Here the host waits for the device: call it once, when the work is done.
        """
        if bool(logits.isnan().any()) or not bool(self._total.isfinite()):
            raise ValueError(
                "model must give finite logits and gradients on images in [0, 1], "
                "got NaN or infinity; an attack on it would mean nothing"
            )

    def _refuse_detached(self) -> NoReturn:
        raise ValueError(
            "model must be differentiable with respect to the images, got a loss that does "
            "not depend on them through autograd (detached, or computed outside torch?)"
        )

    def _forward(self, images: Tensor) -> Tensor:
        logits = self._model(images)
        if logits.ndim != 2 or len(logits) != len(images):
            raise ValueError(
                f"model must return logits of shape ({len(images)}, classes) for {len(images)} "
                f"images, got {tuple(logits.shape)}"
            )
        if self._highest_class >= logits.shape[1]:
            raise ValueError(
                f"labels and targets must be in 0..{logits.shape[1] - 1}, the classes of the "
                f"model's logits, got {self._highest_class}"
            )
        self.forwards += len(images)
        return logits
