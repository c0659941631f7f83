"""The model as an attack sees it: logits and gradients at the input, counted image by image."""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .drawing import Drawing
from .goal import Goal
from .noise import seed_from

Model = Callable[[Tensor], Tensor] | Drawing
Average = Literal["loss", "probability"]
Step = int | Int[Tensor, " n"]
Graph = tuple[Tensor, Any]
"""An answer, and the list of the copies of the images that it comes from. (Any: the checks of the
tests look at a random item of a list, with the global generator.)"""

LOOK_EVERY = {"cpu": 1, "cuda": 10}
"""After how many steps an attack looks which rows have ended and may leave. On a GPU the host has
to wait for the answer, on a CPU it has it."""
AT_ONCE = {"cpu": 128, "cuda": 4096}
"""How many rows one pass has at most when the draws of a batch are put beside each other."""
JUDGE = 2**40
"""The judge's draw numbers start so far behind those of the steps, which are fewer."""


class Propagation:
    """Propagates images through a model for an attack with some goal, and counts them.

    Gradients are taken at the input alone, so parameters and their `.grad` stay as they are; the
    model's mode (training or evaluation) is the caller's and stays too. Losses are summed over the
    batch before differentiation, never averaged, so that each row of the gradient is that image's
    own, at its own size. The model gets a copy of the images, which it may change in place.

    A model that draws (`Drawing`) is asked for the draws number `first + step * draws` and on,
    where `first` comes from the generator's seed, so that each step of an attack has new draws.
    Any other model is called once per draw.

    The answer of several draws is the logarithm of the mean over draws of the softmax
    probabilities, in the place of logits.
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
        self._numbered = isinstance(model, Drawing)  # slow to ask, so it is asked once
        self._highest_class = highest_class
        self._draws = draws
        self._average = average
        self._judge = judge
        self._generator = generator
        self._overwrites = False  # whether the model was seen to change its input in place
        self._total: Tensor | None = None  # of all gradients; on the device until it is asked for

    @cached_property
    def seed(self) -> int:
        """One draw from the generator, at the first use; 0 without one."""
        return seed_from(self._generator)

    @property
    def draws_noise(self) -> bool:
        """Whether the judge may answer otherwise than a step does."""
        return self._numbered or self._draws != 1 or self._judge != 1

    def logits(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> Float[Tensor, "n k"]:
        """The answer to the images, without a graph."""
        with torch.no_grad():
            return self._answer(images, goal, self._number(step), self._draws)[0]

    def verdict(self, images: Float[Tensor, "n *shape"], goal: Goal) -> Float[Tensor, "n k"]:
        """The answer of the judge: of draws that no step has used."""
        with torch.no_grad():
            return self._answer(images, goal, self._number(0) + JUDGE, self._judge)[0]

    def gradient(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """The goal's gain for each image and its gradient with respect to that image."""
        _, gain, gradient = self.both(images, goal, step)
        return gain, gradient

    def both(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """The answer too, for an attack that stops where its goal is reached."""
        answer, gain, gradient = self._evaluated(images, goal, step, slope=True)
        assert gradient is not None
        # A NaN has sign 0: an image with such a gradient would stand still and look robust. The sum
        # is not finite if any entry is not, and is one pass over the gradient without a wait.
        self._add(gradient)
        return answer, gain, gradient

    def value(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"]]:
        """The answer and the gain, without a gradient."""
        answer, gain, _ = self._evaluated(images, goal, step, slope=False)
        return answer, gain

    def slopes(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step = 0
    ) -> tuple[Float[Tensor, "n k"], Callable[[Tensor, Tensor], Tensor]]:
        """The answer, and a function of two classes per image: the gradient at the images of how
        far the second's logit is above the first's.

        One forward pass; each call is one backward pass through its graph. For several classes
        that is as fast on a CPU as one batched pass, and two to three times as fast as repeating
        the images. A model whose graph allows only one backward pass (made by torch.compile) gets a
        forward pass more for each call.
        """
        first = self._number(step)

        def gradient(graph: Graph, source: Tensor, target: Tensor, again: bool) -> Tensor:
            answer, leaves = graph
            margin = answer.gather(1, target[:, None]) - answer.gather(1, source[:, None])
            return _gradient(margin.sum(), leaves, images.shape, again)

        def slope(source: Tensor, target: Tensor) -> Tensor:
            with torch.enable_grad():
                try:
                    w = gradient(kept, source, target, again=True)
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
        """Raise if these logits, or any gradient so far, were NaN or infinite.

        Here the host waits for the device: call it once, when the work is done.
        """
        wrong = logits.isnan().any()
        if self._total is not None:
            wrong |= ~self._total.isfinite()
        if bool(wrong):
            raise ValueError(
                "model must give finite logits and gradients on images in [0, 1], "
                "got NaN or infinity; an attack on it would mean nothing"
            )

    def _add(self, gradient: Tensor) -> None:
        total = gradient.sum()
        self._total = total if self._total is None else self._total + total

    def _number(self, step: Step) -> Step:
        """The number of the first draw of a step."""
        if not self._numbered:
            return 0
        return self.seed % 2**62 + step * self._draws

    def _tiles(self, images: Tensor, first: Step, draws: int) -> Iterator[tuple[Step, int]]:
        """The draws in groups of as many as one pass takes: the first number, and how many."""
        size = 1
        if self._numbered:
            size = max(AT_ONCE.get(images.device.type, 128) // max(len(images), 1), 1)
        for start in range(0, draws, size):
            yield first + start, min(size, draws - start)

    def _evaluated(
        self, images: Float[Tensor, "n *shape"], goal: Goal, step: Step, slope: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Answer, gain and, with `slope`, its gradient."""
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
        """The same for some of the draws, not yet divided by their number."""
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
        return logits, gain.detach(), gradient

    def _sum(self, gains: Float[Tensor, "parts n"], goal: Goal) -> Float[Tensor, " n"]:
        """Of the losses; or, up to its sign, the logarithm of the sum of the probabilities."""
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
        """Logits of one draw, or the logarithm of the mean probabilities of several; and the copies
        of the images that the model got."""
        if draws == 1:
            logits, leaf = self._forward(images, goal, first, 1, slope)
            return logits, [leaf]
        parts, leaves = [], []
        for start, count in self._tiles(images, first, draws):
            logits, leaf = self._forward(images, goal, start, count, slope)
            parts.append(_log_probabilities(logits, count))
            leaves.append(leaf)
        return torch.stack(parts).logsumexp(0) - math.log(draws), leaves

    def _forward(
        self, images: Float[Tensor, "n *shape"], goal: Goal, first: Step, count: int, slope: bool
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m *shape"]]:
        """The logits of all images of one draw, then of all of the next, `count` times; and the
        copies of the images that they belong to, with `slope` leaves of the graph."""
        model: Any = self._model
        copies = images.detach().clone()  # in the same memory format
        if count > 1:
            copies = copies.repeat(count, *[1] * (images.ndim - 1))
        if self._numbered:
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
            logits = model(images.clone() if self._overwrites else images)
        except RuntimeError as error:
            if "leaf" in str(error) and not self._overwrites:
                # It changes its input in place, which autograd allows for no leaf.
                self._overwrites = True
                return self._called(model, images)
            if "dtype" in str(error) or "Input type" in str(error):
                raise ValueError(
                    f"images must have the dtype that the model computes in, got {images.dtype} "
                    f"({str(error).splitlines()[0].rstrip('.')}); convert the images or the model"
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
        # The attack's own arithmetic is not done in half precision.
        return logits.to(images.dtype) if logits.dtype.itemsize < 4 else logits


def _gradient(value: Tensor, leaves: Any, shape: torch.Size, again: bool = False) -> Tensor:
    """The gradient at the images, of which each leaf has one or more copies, in their `shape`.

    With `again` the graph stays for another one. Autocast is for forward passes: here it would do
    matrix products of float32 layers in half precision.
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
    """The logarithm of the sum over draws of the probabilities."""
    return logits.log_softmax(1).view(count, -1, logits.shape[1]).logsumexp(0)


def _refuse_detached() -> NoReturn:
    raise ValueError(
        "model must be differentiable with respect to the images, got a loss that does "
        "not depend on them through autograd (detached, or computed outside torch?)"
    )
