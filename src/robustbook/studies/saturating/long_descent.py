"""Reproduce the longest attack of Nayebi & Ganguli 2017 (Section 7): 30 million steps of Adam on
one image.

In the paper, the longest attack had 30 million steps and failed. The paper does not say for which
pair of classes. We take its example of a failing pair: an image of a 3, and the target class 7. In
the paper, the mean pixel distance between the attacked image and the original "was steadily
increasing and converged". With `attacks.adam`, these steps would take most of a day. So this module
has its own forward pass, backward pass and Adam for one image and a sigmoid MLP; its loop allocates
no tensors, and is six times as fast.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robustbook.files import set_aside, write_whole
from robustbook.ledger import Record, Row
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT, BadParameter

from .networks import test_images, train, trained
from .settings import TEST, mlps
from .targeted import PRECISIONS, RULES, Precision, Rule, sources

PAPER, ITEM = "saturating", "long-descent"
STEPS = {"quick": 5_000, "paper": 30_000_000}
TRACED = ("iterations", "moved", "loss", "gradient")
PER_DECADE = 20  # number of measurements while the number of steps grows by a factor of ten
BLOCK = 10_000  # steps between two looks at the clock
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Kingma & Ba 2015, and torch.optim.Adam

Digit = Annotated[int, Field(ge=0, le=9, description="a class, 0 to 9")]


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader of the book can set for the long attack."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}
    source: Digit = 3
    target: Digit = 7
    step_size: Annotated[
        float, Field(gt=0, le=1, description="Adam's rate in pixels of [0, 1], above 0, at most 1")
    ] = 0.01
    steps: Annotated[
        int, Field(ge=1, le=30_000_000, description="a number of steps, 1 to 30000000")
    ] = 30_000_000  # with profile quick at most 5000


class Descent:
    """The state of an attack on one image with the optimiser Adam.

    The network ``net`` is a sigmoid MLP with layers 784-w-w-10, whose weights determine the
    precision. Pixels are not clipped, and the perturbation has no bound. The attribute ``taken``
    counts the steps of Adam; a step allocates no memory.
    """

    def __init__(self, net: nn.Module, start: Float[Tensor, "..."], target: int, step_size: float):
        layers: list[nn.Linear] = list(net.layers)  # type: ignore[arg-type]
        self.weights = [layer.weight.detach() for layer in layers]
        self.biases = [layer.bias.detach() for layer in layers]
        self.start = start.detach().flatten()
        self.image = self.start.clone()
        self.first, self.second, self.gradient = (torch.zeros_like(self.image) for _ in range(3))
        self.target, self.step_size, self.taken = target, step_size, 0
        self.wanted = nn.functional.one_hot(torch.tensor(target), len(self.biases[-1])).to(start)
        self.outputs = [torch.empty_like(bias) for bias in self.biases]
        # The derivatives of the loss with respect to each unit.
        self.slopes = [torch.empty_like(bias) for bias in self.biases]
        self.logits = torch.empty_like(self.wanted)

    @torch.no_grad()
    def propagate(self) -> None:
        """Compute the logits of the image, and the gradient of the loss (the cross entropy of the
        target class) with respect to the pixels.
        """
        (w1, w2, w3), (b1, b2, b3) = self.weights, self.biases
        (x1, x2, p), (d1, d2, d3) = self.outputs, self.slopes
        torch.sigmoid(torch.addmv(b1, w1, self.image, out=x1), out=x1)
        torch.sigmoid(torch.addmv(b2, w2, x1, out=x2), out=x2)
        torch.softmax(torch.addmv(b3, w3, x2, out=self.logits), 0, out=p)
        torch.sub(p, self.wanted, out=d3)
        backward = torch.ops.aten.sigmoid_backward.grad_input  # multiplies by x (1 - x)
        backward(torch.mv(w3.T, d3, out=d2), x2, grad_input=d2)
        backward(torch.mv(w2.T, d2, out=d1), x1, grad_input=d1)
        torch.mv(w1.T, d1, out=self.gradient)

    @torch.no_grad()
    def advance(self, until: int) -> bool:
        """Make steps of Adam until ``taken`` equals ``until``; as soon as the network predicts the
        target class, stop and return True.
        """
        image, first, second, gradient = self.image, self.first, self.second, self.gradient
        (beta1, beta2), root = BETAS, torch.empty_like(image)
        while True:
            self.propagate()
            if int(self.logits.argmax()) == self.target:
                return True
            if self.taken == until:
                return False
            self.taken += 1
            first.lerp_(gradient, 1 - beta1)
            second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            torch.sqrt(second, out=root).div_((1 - beta2**self.taken) ** 0.5).add_(EPSILON)
            image.addcdiv_(first, root, value=-self.step_size / (1 - beta1**self.taken))

    @property
    def still(self) -> bool:
        """Return whether Adam can no longer change the image, because the gradient and the first
        moment are exactly zero.
        """
        return not bool(self.gradient.any()) and not bool(self.first.any())

    def look(self) -> list[float]:
        """Return the current measurements in the order of ``TRACED``; call `advance` first.

        Raise ValueError if a logit is not finite, because the predicted class is then undefined.
        """
        if not bool(self.logits.isfinite().all()):
            raise ValueError(f"net must give finite logits, got {self.logits.tolist()}")
        moved = (self.image - self.start).abs().mean().item()
        loss = -self.logits.double().log_softmax(0)[self.target].item()
        return [float(self.taken), moved, loss, self.gradient.abs().max().item()]

    def save(self, path: Path, trace: list[list[float]]) -> None:
        """Write a checkpoint of the attack to a file atomically."""
        held = {"image": self.image, "first": self.first, "second": self.second}
        held["trace"] = torch.tensor(trace, dtype=torch.float64)
        write_whole(path, save(held, {"taken": str(self.taken)}))

    def load(self, path: Path) -> list[list[float]]:
        """Load a checkpoint and return its measurements; if it is damaged, rename it and start the
        attack from its first step.
        """
        try:
            with safe_open(path, "pt") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}
                taken = int(file.metadata()["taken"])
        except SafetensorError as error:
            aside = set_aside(path)
            warnings.warn(
                f"{path} is damaged ({error}); set aside as {aside.name}, the attack starts again",
                stacklevel=3,
            )
            return []
        for name in ("image", "first", "second"):
            getattr(self, name).copy_(held[name])
        self.taken = taken
        trace: list[list[float]] = held["trace"].tolist()
        return trace


def descend(
    descent: Descent,
    steps: int,
    *,
    checkpoint: Path | None = None,
    every: float = 30.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Literal["reached", "still", "steps"], list[list[float]]]:
    """Run the attack for at most ``steps`` steps of Adam.

    Return the reason why the attack ended, and measurements of the image's change, the loss and the
    gradient after the steps that `grid` lists.

    The file ``checkpoint`` is written about every ``every`` seconds. An interrupted attack resumes
    from it and gives bitwise the same result.
    """
    trace: list[list[float]] = []
    if checkpoint is not None and checkpoint.exists():
        trace = descent.load(checkpoint)
    saved = time.monotonic()
    for point in grid(steps):
        while descent.taken < point or not trace:
            block = min(point, descent.taken + BLOCK)
            reached = descent.advance(block)
            if reached or descent.still or descent.taken == point:
                trace.append(descent.look())
            if reached or descent.still:
                return ("reached" if reached else "still"), trace
            progress(descent.taken, steps)
            if checkpoint is not None and time.monotonic() - saved >= every:
                descent.save(checkpoint, trace)
                saved = time.monotonic()
    return "steps", trace


def grid(steps: int) -> list[int]:
    """Return the step numbers after which measurements are made: 0, ``steps`` and, in between,
    whole numbers about evenly spaced on a logarithmic scale.
    """
    points, k = {0, steps}, 0
    while (point := round(10 ** (k / PER_DECADE))) < steps:
        points.add(point)
        k += 1
    return sorted(points)


@step(version=1)
def long_descent(
    network: Done,
    source: int,
    target: int,
    rule: Rule,
    precision: Precision,
    step_size: float,
    steps: int,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Run a long attack by Adam.

    Return why the attack ended (``ended``), the measurements during the attack (``trace``), and the
    image before and after the attack (``from`` and ``to``).

    The attack always runs on the CPU, because one step is too small to be faster on a GPU.
    """
    net = trained(network, "cpu")
    training = network.call.arguments["training"]
    x, y = test_images(training.data, images, "cpu")
    row = sources(net, x, y, rule, f"the {training.method} {training.network}")[source]
    dtype = getattr(torch, precision)
    descent = Descent(net.to(dtype), x[row].to(dtype), target, step_size)
    file = context.scratch / "checkpoint.safetensors"
    ended, trace = descend(descent, steps, checkpoint=file, progress=context.progress)
    return {"ended": ended, "trace": trace, "from": descent.start, "to": descent.image}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (rule for
    the source image, precision, seed).
    """
    if p.source == p.target:
        raise BadParameter(f"target must be another class than source, got {p.target} for both")
    saturated = mlps(p.profile)["sigmoid-mlp", "saturated"]
    steps, images = min(p.steps, STEPS[p.profile]), TEST[p.profile]
    return {
        (rule, precision, seed): long_descent(
            train(saturated, seed), p.source, p.target, rule, precision, p.step_size, steps, images
        )
        for rule in RULES
        for precision in PRECISIONS
        for seed in p.seeds
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: for each attack, its number of steps, its last measurements, and
    its time in seconds; for the first seed, also all measurements and the images.
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for (rule, precision, seed), done in results.items():
        rows += _rows(done, {"rule": rule, "precision": precision}, seed)
        if seed == p.seeds[0]:
            name = f"{rule} {precision}"
            for traced, column in zip(TRACED, zip(*done.values["trace"], strict=True), strict=True):
                arrays[f"{name} {traced}"] = column
            arrays[f"{name} image"] = done.tensors["to"].view(28, 28).double().numpy().round(3)
            arrays[f"{rule} start"] = done.tensors["from"].view(28, 28).double().numpy().round(3)
    return p.record(PAPER, ITEM, rows, arrays)


def _rows(done: Done, setting: dict[str, str | float | int | bool], seed: int) -> Iterator[Row]:
    iterations, moved, loss, gradient = done.values["trace"][-1]
    ended = done.values["ended"]
    labels = {**setting, "ended": ended}
    yield Row(int(iterations), "count", None, "iterations", seed, setting=labels)
    yield Row(int(ended == "reached"), "count", None, "reached", seed, setting=labels)
    yield Row(moved, "none", None, "moved", seed, setting=labels)
    yield Row(loss, "none", None, "loss", seed, setting=labels)
    yield Row(gradient, "none", None, "gradient", seed, setting=labels)
    yield Row(done.seconds, "none", None, "seconds", seed, setting=labels)
