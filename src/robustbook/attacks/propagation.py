"""Compute logits and input gradients for attacks, and count the forward and backward passes."""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .buffers import batch_statistics, updates_buffers
from .drawing import Drawing
from .goal import Goal
from .losses import lead
from .noise import seed_from

Model = Callable[[Tensor], Tensor] | Drawing
Average = Literal["loss", "probability"]
Step = int | Int[Tensor, " n"]
Graph = tuple[Tensor, Any]
"""Logits, and the list of image copies from which the logits were computed. (The list is typed Any,
because a runtime check of its items would use the global random generator.)
"""

LOOK_EVERY = {"cpu": 1, "cuda": 10}
"""Number of steps between two removals of finished images. On a GPU each removal makes the CPU wait
for the GPU.
"""
AT_ONCE = {"cpu": 128, "cuda": 4096}
"""Maximum number of rows (image and noise draw) in a pass that computes several noise draws."""
JUDGE = 2**40
"""The offset of the draw numbers of the final evaluation from the attack's first draw number. It is
larger than the number of draws of all steps, so the final evaluation uses new noise.
"""
FRESH = 2**41
"""A draw number that no attack without a generator uses. Such attacks use draw numbers from 0 on
and from `JUDGE` on, and never reach `FRESH`.

Evaluate a randomised model on adversarial images with the draws from `FRESH` on. The attack has
used the draws from 0 on, so with these the measured accuracy would be too low.
"""


class Propagation:
    """Compute logits and gradients for an attack, and count the images in all forward and backward
    passes.

    Only the gradient with respect to the images is computed, so the model's parameters and their
    `.grad` do not change. The mode of the model (training or evaluation) does not change either. A
    batch norm layer in training mode uses the statistics of the batch; if the model is an
    `nn.Module`, the layer keeps its running statistics. Losses are summed over the batch before
    differentiation, not averaged, so an image's gradient does not depend on the batch size. The
    model gets a copy of the images, which it may change in place.

    Each step uses new noise draws of a randomised model (`Drawing`). The draw numbers of a step
    begin at `first + step * draws`, where the number `first` is computed from the attack's seed. A
    model that is not a `Drawing` is called once per noise draw.

    With several noise draws, attacks use the logarithm of the mean softmax probabilities in place
    of logits.
    """

    def __init__(
        self,
        model: Model,
        highest_class: int,
        draws: int = 1,
        average: Average = "loss",
        judge: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        self.forwards = 0
        self.backwards = 0
        self._model = model
        self.randomised = isinstance(model, Drawing)  # stored, because the check is slow
        self._updates = updates_buffers(model)
        self._highest_class = highest_class
        self._draws = draws
        self._average = average
        self._judge = judge
        self._generator = generator
        self._overwrites = False  # whether the model was seen to change its input in place
        self._total: Tensor | None = None  # sum of all gradients, kept on the device

    @cached_property
    def seed(self) -> int:
        """Return the seed of the attack's noise: a number from the generator, or 0 without a
        generator.

        The first call draws the seed, and later calls return the same seed.
        """
        return seed_from(self._generator)

    def logits(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> Float[Tensor, "n k"]:
        """Return the logits of the images, without an autograd graph."""
        with torch.no_grad():
            return self._answer(images, goal, self._number(step), self._draws)[0]

    def verdict(self, images: Float[Tensor, "n *shape"], goal: Goal) -> Float[Tensor, "n k"]:
        """Return the logits of the final evaluation, with noise draws that no step of the attack
        has used. With several noise draws (`judge`), return the logarithm of the mean softmax
        probabilities.
        """
        with torch.no_grad():
            return self._answer(images, goal, self._number(0) + JUDGE, self._judge)[0]

    def both(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """Return the logits, the objective that the attack increases, and its gradient."""
        answer, gain, gradient = self._evaluated(images, goal, step, slope=True)
        assert gradient is not None
        # The sign of NaN is 0, so an image with such a gradient would not move and would appear
        # robust. Therefore all gradients are added up, and `ensure_finite` checks the sum at the
        # end. The sum is NaN or infinite if any entry is, and computing it does not make the CPU
        # wait.
        self._add(gradient)
        return answer, gain, gradient

    def value(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"]]:
        """Return the logits and the objective that the attack increases, without a gradient."""
        answer, gain, _ = self._evaluated(images, goal, step, slope=False)
        return answer, gain

    def slopes(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Callable[[Tensor, Tensor], Tensor]]:
        """Return the logits, and a function that computes gradients of logit differences. This
        function gets a source class and a target class for each image. It returns the gradient of
        the target's logit minus the source's logit, with respect to the image.

        Calling `slopes` costs one forward pass, and each call of the returned function costs one
        backward pass. On a CPU, one call per class is two to three times as fast as one backward
        pass for all classes at once. A model compiled by torch.compile allows only one backward
        pass per graph, so each call after the first needs a new forward pass.
        """
        first = self._number(step)

        def gradient(graph: Graph, source: Tensor, target: Tensor, again: bool) -> Tensor:
            answer, leaves = graph
            return _gradient(lead(answer, source, target).sum(), leaves, images.shape, again)

        def slope(source: Tensor, target: Tensor) -> Tensor:
            with torch.enable_grad():
                try:
                    w = gradient(kept, source, target, again=True)
                except torch.OutOfMemoryError:
                    raise
                except RuntimeError:
                    fresh = self._answer(images, goal, first, self._draws, slope=True)
                    w = gradient(fresh, source, target, again=False)
            self.backwards += self._draws * len(images)
            self._add(w)
            return w

        with torch.enable_grad():
            kept = self._answer(images, goal, first, self._draws, slope=True)
        return kept[0].detach(), slope

    def ensure_finite(self, logits: Float[Tensor, "n k"]) -> None:
        """Raise ValueError if a logit, or an entry of any gradient so far, is NaN or infinite. A
        logit of minus infinity masks its class; it is valid unless it masks all classes of an
        image.

        This method makes the CPU wait for the GPU, so call it only once, at the end of an attack.
        """
        wrong = (logits.isnan() | logits.isposinf()).any() | logits.isneginf().all(1).any()
        if self._total is not None:
            wrong |= ~self._total.isfinite()
        if bool(wrong):
            raise ValueError(
                "model must give finite logits and gradients on images in [0, 1], "
                "got NaN or infinity; results of an attack on it would be meaningless"
            )

    def _add(self, gradient: Tensor) -> None:
        total = gradient.sum()
        self._total = total if self._total is None else self._total + total

    def _number(self, step: Step) -> Step:
        """Return the draw number of the first noise draw of a step."""
        if not self.randomised:
            return 0
        return self.seed % 2**62 + step * self._draws

    def _tiles(self, images: Tensor, first: Step, draws: int) -> Iterator[tuple[Step, int]]:
        """Split the noise draws into groups, so that one forward pass can compute all draws of a
        group. Yield for each group the number of its first draw, and how many draws it contains.
        """
        size = 1
        if self.randomised:
            size = max(AT_ONCE.get(images.device.type, 128) // max(len(images), 1), 1)
        for start in range(0, draws, size):
            yield first + start, min(size, draws - start)

    def _evaluated(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step, slope: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the logits, the objective that the attack increases, and its gradient (None if
        `slope` is False).
        """
        tiles = self._tiles(images, self._number(step), self._draws)
        parts = [self._tile(images, goal, first, count, slope) for first, count in tiles]
        if self._draws == 1:
            return parts[0]
        answers, gains, gradients = zip(*parts, strict=True)
        answer = torch.stack(answers).logsumexp(0) - math.log(self._draws)
        gain = self._sum(torch.stack(gains), goal)
        gradient = None
        if self._average == "loss":
            gain = gain / self._draws
            if slope:
                gradient = torch.stack(gradients).sum(0) / self._draws
        else:
            gain = gain + goal.sign * math.log(self._draws)
            if slope:
                weights = (-goal.sign * torch.stack(gains)).softmax(0)
                weights = weights.view(weights.shape + (1,) * (images.ndim - 1))
                gradient = (weights * torch.stack(gradients)).sum(0)
        return answer, gain, gradient

    def _tile(
        self, images: Float[Tensor, "n *shape"], goal: Goal, first: Step, count: int, slope: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the same three results as `_evaluated` for a group of noise draws. The objective
        and its gradient are summed over the draws of the group, not averaged. If the attack uses
        several draws, the logarithm of the summed probabilities replaces the logits.
        """
        gradient = None
        with torch.set_grad_enabled(slope):
            logits, leaf = self._forward(images, goal, first, count, slope)
            gain = goal.repeated(count).gain(logits)
            if self._draws > 1:
                gain = self._sum(gain.view(count, -1), goal)
            if slope:
                gradient = _gradient(gain.sum(), [leaf], images.shape)
                self.backwards += count * len(images)
        logits = logits.detach()
        if self._draws > 1:
            logits = _log_probabilities(logits, count)
        # A model may compute in float64 although its images are float32.
        return logits.to(images.dtype), gain.detach().to(images.dtype), gradient

    def _sum(self, gains: Float[Tensor, "parts n"], goal: Goal) -> Float[Tensor, " n"]:
        """Return the attack's objective for several noise draws. If ``average`` is "loss", it is
        the sum of the objectives of the draws. If ``average`` is "probability", it is the objective
        of the summed probabilities.
        """
        if self._average == "loss":
            return gains.sum(0)
        return -goal.sign * (-goal.sign * gains).logsumexp(0)

    def _answer(
        self,
        images: Float[Tensor, "n *shape"],
        goal: Goal,
        first: Step,
        draws: int,
        slope: bool = False,
    ) -> Graph:
        """Return two results: the logits for one noise draw, or the logarithm of the mean
        probabilities for several draws; and the list of the image copies that the model received.
        """
        if draws == 1:
            logits, leaf = self._forward(images, goal, first, 1, slope)
            return logits.to(images.dtype), [leaf]
        parts, leaves = [], []
        for start, count in self._tiles(images, first, draws):
            logits, leaf = self._forward(images, goal, start, count, slope)
            parts.append(_log_probabilities(logits, count))
            leaves.append(leaf)
        return (_log_sum(torch.stack(parts)) - math.log(draws)).to(images.dtype), leaves

    def _forward(
        self, images: Float[Tensor, "n *shape"], goal: Goal, first: Step, count: int, slope: bool
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m *shape"]]:
        """Return the logits for `count` noise draws, and the image copies from which the logits
        were computed. The first rows contain all images with the first draw, the next rows all
        images with the second draw, and so on. If `slope` is True, autograd can compute gradients
        with respect to the image copies.
        """
        model: Any = self._model
        copies = images.detach().clone()  # keeps the memory format
        if count > 1:
            copies = copies.repeat(count, *[1] * (images.ndim - 1))
        if self.randomised:
            draw, keys = first, goal.repeated(count).keys
            assert keys is not None
            if count > 1:
                numbers = torch.arange(count, device=images.device)[:, None] + first
                draw = numbers.expand(count, len(images)).reshape(-1)
            model = model.at(keys, draw)
        logits = self._called(model, copies.requires_grad_(slope))
        self.forwards += len(copies)
        return logits, copies

    def _called(self, model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        try:
            with batch_statistics(self._model if self._updates else None):
                logits = model(images.clone() if self._overwrites else images)
        except RuntimeError as error:
            if "leaf" in str(error) and not self._overwrites:
                # The model changes its input in place, which autograd forbids for leaves.
                self._overwrites = True
                return self._called(model, images)
            if "dtype" in str(error) or "Input type" in str(error):
                raise ValueError(
                    f"images must have the dtype that the model computes in, got {images.dtype} "
                    f"({str(error).splitlines()[0].rstrip('.')}); convert the images or the model"
                ) from error
            if "shapes cannot be multiplied" in str(error) or "input[" in str(error):
                raise ValueError(
                    f"images must have a shape that the model accepts, got {tuple(images.shape)} "
                    f"({str(error).splitlines()[0].rstrip('.')})"
                ) from error
            raise
        if not isinstance(logits, Tensor):
            raise ValueError(
                f"model must return a tensor of logits, got {type(logits).__name__}; where they "
                "are a part of what it returns pass a function, such as lambda x: model(x)[0]"
            )
        if logits.ndim != 2 or len(logits) != len(images):
            raise ValueError(
                f"model must return logits of shape ({len(images)}, classes) for {len(images)} "
                f"images, got {tuple(logits.shape)}"
            )
        if logits.shape[1] < 2:
            raise ValueError(
                f"model must return logits of two classes or more, got {logits.shape[1]}; for one "
                "logit z of the second of two classes return torch.cat([0 * z, z], 1)"
            )
        if self._highest_class >= logits.shape[1]:
            raise ValueError(
                f"labels and targets must be in 0..{logits.shape[1] - 1}, the classes of the "
                f"model's logits, got {self._highest_class}"
            )
        if not logits.is_floating_point():
            raise ValueError(f"model must return logits as float numbers, got {logits.dtype}")
        # The attack itself never computes in half precision.
        return logits.to(images.dtype) if logits.dtype.itemsize < 4 else logits


def _gradient(value: Tensor, leaves: Any, shape: torch.Size, again: bool = False) -> Tensor:
    """Return the gradient of `value` with respect to the images, with the images' `shape`.

    The list `leaves` contains the copies of the images that the model received. If `again` is True,
    the autograd graph is kept for another backward pass. Autocast is disabled for the gradient,
    because it would compute matrix products of float32 layers in half precision.
    """
    gradients = None
    if value.requires_grad:
        kind = leaves[0].device.type
        cast = torch.is_autocast_enabled(kind)
        with torch.autocast(kind, enabled=False) if cast else contextlib.nullcontext():
            gradients = torch.autograd.grad(value, leaves, retain_graph=again, allow_unused=True)
    if gradients is None or any(gradient is None for gradient in gradients):
        _refuse_detached()
    whole: Tensor = gradients[0] if len(leaves) == 1 else torch.cat(gradients)
    return whole if whole.shape == shape else whole.view(-1, *shape).sum(0)


def _log_probabilities(logits: Float[Tensor, "m k"], count: int) -> Float[Tensor, "n k"]:
    """Return the logarithm of the sum of the softmax probabilities over `count` noise draws."""
    return _log_sum(logits.log_softmax(1).view(count, -1, logits.shape[1]))


def _log_sum(parts: Float[Tensor, "parts n k"]) -> Float[Tensor, "n k"]:
    """Return the logsumexp over the parts. If minus infinity masks a class in all parts, the
    gradient for this class is 0; torch's logsumexp has the gradient NaN.
    """
    masked = parts.isneginf().all(0)
    return parts.masked_fill(masked, 0).logsumexp(0).masked_fill(masked, -math.inf)


def _refuse_detached() -> NoReturn:
    raise ValueError(
        "model must be differentiable with respect to the images, got a loss that does "
        "not depend on them through autograd (detached, or computed outside torch?)"
    )
