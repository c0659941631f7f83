"""How many images a network still names correctly after an attack, and what guided the attack."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks import cross_entropy, fgsm, margin, pgd, random_signs
from robustbook.attacks.losses import LOSSES
from robustbook.randomness import generator

from .views import rescaled, softened

Loss = Literal["cross_entropy", "clipped_probabilities", "squared_error", "margin"]


@dataclass(frozen=True)
class Attack:
    """One way to attack, and to compute its gradients; the network that is judged stays as it is.

    ``precision``: what the gradients are computed in. ``flush``: float32 numbers below 1.2e-38
    become zero, as TensorFlow's CPU kernels do. ``rescale``: the logits are divided by the median
    lead of the labelled class, so that the softmax cannot saturate. ``slope``: the backward pass
    uses the slope of a nonlinearity that many times softer (None: its own). ``steps`` and
    ``step_size`` are PGD's.
    """

    kind: Literal["none", "random-signs", "fgsm", "pgd"]
    eps: float = 0.25
    loss: Loss = "cross_entropy"
    precision: Literal["float32", "float64"] = "float32"
    clip: bool = False
    flush: bool = False
    rescale: bool = False
    slope: float | None = None
    steps: int = 20
    step_size: float = 0.0625


@dataclass(frozen=True)
class Survival:
    """``correct``: which images the network still names correctly. ``still``: which images the
    attack did not move at all: where its gradient was exactly zero (or, when clipping, pushed out
    of the box everywhere)."""

    correct: Tensor
    still: Tensor

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * self.correct.double().mean().item()

    @property
    def unmoved(self) -> float:
        """In percent."""
        return 100 * self.still.double().mean().item()


def survival(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    attack: Attack,
    *,
    seed: int = 0,
    source: nn.Module | None = None,
    batch_size: int = 1000,
) -> Survival:
    """Attack ``net`` (or ``source``, and carry the images over); judge ``net`` on what comes out.

    ``images`` in [0, 1], float32; ``seed`` is that of the random signs and of PGD's random starts.
    """
    dtype = getattr(torch, attack.precision)
    attacked = source if source is not None else net
    if attack.slope is not None:
        attacked = softened(attacked, attack.slope)
    model: Callable[[Tensor], Tensor] = attacked
    if attack.rescale:
        model = rescaled(attacked, median_lead(attacked, images, labels))
    correct, still = [], []
    with _precision(attacked, dtype), _flush(attack.flush):
        for rows in torch.split(torch.arange(len(images), device=images.device), batch_size):
            struck = _strike(model, images[rows].to(dtype), labels[rows], attack, rows, seed)
            still.append((struck == images[rows].to(dtype)).flatten(1).all(1))
            correct.append(struck.to(images.dtype))
    answers = torch.cat([predict(net, batch) for batch in correct])
    return Survival(answers == labels, torch.cat(still))


def _strike(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    keys: Tensor,
    seed: int,
) -> Tensor:
    if attack.kind == "none":
        return images
    if attack.kind == "random-signs":
        chance = generator(seed, attack.kind)
        return random_signs(
            model, images, labels, eps=attack.eps, clip=attack.clip, keys=keys, generator=chance
        ).images
    if attack.kind == "fgsm":
        return fgsm(
            model, images, labels, eps=attack.eps, clip=attack.clip, loss=LOSSES[attack.loss]
        ).images
    return pgd(
        model,
        images,
        labels,
        eps=attack.eps,
        steps=attack.steps,
        step_size=attack.step_size,
        loss=LOSSES[attack.loss],
        clip=attack.clip,
        keys=keys,
        generator=generator(seed, attack.kind),
    ).images


@torch.no_grad()
def predict(
    net: Callable[[Tensor], Tensor], images: Float[Tensor, "n *shape"], batch_size: int = 1000
) -> Int[Tensor, " n"]:
    """The class of the highest logit of each image."""
    return torch.cat([net(batch).argmax(1) for batch in torch.split(images, batch_size)])


@torch.no_grad()
def median_lead(
    net: Callable[[Tensor], Tensor], images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]
) -> float:
    """The median over images of the labelled logit's lead over the next; at least 1e-6."""
    batches = zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True)
    leads = [-margin(net(x), y) for x, y in batches]
    return max(torch.cat(leads).median().item(), 1e-6)


def gradient_sizes(
    net: Callable[[Tensor], Tensor], images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The largest absolute component of each image's gradient of the cross entropy."""
    sizes = []
    for x, y in zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True):
        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(net(leaf), y).sum(), leaf)
        sizes.append(gradient.flatten(1).abs().amax(1))
    return torch.cat(sizes)


@contextlib.contextmanager
def _precision(net: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """The network in another precision for a while; float32 comes back exactly from float64."""
    before = next(net.parameters()).dtype
    net.to(dtype)
    try:
        yield
    finally:
        net.to(before)


@contextlib.contextmanager
def _flush(on: bool) -> Iterator[None]:
    torch.set_flush_denormal(on)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
