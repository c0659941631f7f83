"""The inner attack of adversarial training: PGD's climb alone, as a part of a loss.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018 (arXiv 1706.06083), section 2.1, as in `pgd`, with
what training needs otherwise: the last iterate is returned and not the one of highest loss, nothing
is checked, the host never waits for the device, and it runs inside ``torch.func.vmap``, where
several networks are trained side by side.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from .goal import named_loss
from .losses import Loss
from .norms import per_image, size, steepest


def climb(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    labels: Shaped[Tensor, "n *classes"],
    *,
    eps: float | Float[Tensor, " n"],
    steps: int,
    step_size: float | Float[Tensor, " n"],
    norm: int | float = math.inf,
    start: Float[Tensor, "n *shape"] | None = None,
    loss: str | Loss = "cross_entropy",
    clip: bool = True,
) -> Float[Tensor, "n *shape"]:
    """The images after ``steps`` updates up the loss, in the ball around them, without a graph.

    model: from images to logits. What it writes to a buffer while it is asked (a batch norm's
        running statistics in training mode) cannot be differentiated: have it in evaluation mode.
    labels: the true classes, or whatever ``loss`` makes one number per image of.
    eps: radius of the ball in the norm, in pixels scaled to [0, 1]; a number, or one per image.
    step_size: of an update, in the norm; a number, or one per image.
    norm: math.inf or 2.
    start: images to begin from, brought into the ball first; None: from the images themselves.
    loss: as in `fgsm`.
    clip: whether iterates are clipped to [0, 1].

    Each step costs one forward and one backward pass of all images.
    """
    lossy, norm = named_loss(loss), float(norm)
    eps, step_size = _each(eps, images), _each(step_size, images)

    def total(x: Tensor) -> Tensor:
        # A copy: a first layer that works in place must not write to what is differentiated.
        return lossy(model(x.clone()), labels).sum()

    def inside(delta: Tensor) -> Tensor:
        if norm == math.inf:
            delta = torch.minimum(torch.maximum(delta, -eps), eps)
        else:
            tiny = torch.finfo(delta.dtype).tiny
            length = per_image(size(delta, norm).clamp(min=tiny), delta)
            delta = delta * (eps / length).clamp(max=1)
        return delta

    # torch.func.grad, as autograd.grad does not run inside vmap.
    with torch.no_grad():
        images = images.detach()
        delta = torch.zeros_like(images) if start is None else inside(start.detach() - images)
        iterate = images if start is None else _moved(images, delta, clip)
        for _ in range(steps):
            gradient = torch.func.grad(total)(iterate)
            delta = inside(iterate - images + step_size * steepest(gradient, norm))
            iterate = _moved(images, delta, clip)
    return iterate


def _moved(images: Tensor, delta: Tensor, clip: bool) -> Tensor:
    return (images + delta).clamp(0, 1) if clip else images + delta


def _each(value: float | Tensor, images: Tensor) -> Tensor:
    """A tensor of one axis per axis of the images."""
    if isinstance(value, Tensor):
        return per_image(value, images)
    # Filled on the device: a tensor made from a number on the host is copied there, with a wait.
    return images.new_full((1,) * images.ndim, value)
