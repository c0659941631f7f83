"""Compute the adversarial images of adversarial training by PGD, inside the training loss.

The attack is PGD of Madry, Makelov, Schmidt, Tsipras and Vladu 2018 (arXiv 1706.06083), as in
`pgd`. Because the attack runs inside the training loss, it differs from `pgd` in three ways. It
returns the last iterate, not the iterate of highest loss. It does not validate its arguments. It
never makes the CPU wait for the GPU.
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
    clip_start: bool = True,
    gradient: Float[Tensor, "n *shape"] | None = None,
) -> Float[Tensor, "n *shape"]:
    """Return the perturbed images after ``steps`` updates that increase the loss. The images are
    detached and lie in the ball of radius eps.

    ``model``: function from images to logits, whose batch norm layers do not update their running
        statistics (see `running_statistics` and `batch_statistics`).
    ``labels``: the true classes, or any other second argument that ``loss`` accepts.
    ``eps``: radius of the ball around each image, for pixels in [0, 1]; a number, or one per image.
    ``step_size``: size of one update, measured in ``norm``; a number, or one per image.
    ``norm``: the norm of the ball and of the updates, math.inf or 2.
    ``start``: the starting points, which are first projected onto the ball; with None, the images
        themselves.
    ``loss``: the loss that the attack increases, as a name or a function (see `fgsm`).
    ``clip``: whether iterates are clipped to [0, 1].
    ``clip_start``: whether the starting points are clipped to [0, 1] too; used only if ``clip`` is
        True.
    ``gradient``: the gradient of the loss at the starting points, if the caller has already
        computed it.

    Each update costs one forward and one backward pass of all images. The last iterate itself is
    not evaluated. If ``gradient`` is given, the first update uses it and costs no pass.
    """
    lossy, norm = named_loss(loss), float(norm)
    eps, step_size = _each(eps, images), _each(step_size, images)

    def total(x: Tensor) -> Tensor:
        # The clone protects the differentiated input from a first layer that works in place.
        return lossy(model(x.clone()), labels).sum()

    def inside(delta: Tensor) -> Tensor:
        if norm == math.inf:
            delta = torch.minimum(torch.maximum(delta, -eps), eps)
        else:
            tiny = torch.finfo(delta.dtype).tiny
            length = per_image(size(delta, norm).clamp(min=tiny), delta)
            delta = delta * (eps / length).clamp(max=1)
        return delta

    with torch.no_grad():
        images = images.detach()
        delta = torch.zeros_like(images) if start is None else inside(start.detach() - images)
        iterate = images if start is None else _moved(images, delta, clip and clip_start)
        for step in range(steps):
            if step or gradient is None:
                with torch.enable_grad():
                    point = iterate.detach().requires_grad_()
                    (gradient,) = torch.autograd.grad(total(point), point)
            delta = inside(iterate - images + step_size * steepest(gradient, norm))
            iterate = _moved(images, delta, clip)
    return iterate


def _moved(images: Tensor, delta: Tensor, clip: bool) -> Tensor:
    return (images + delta).clamp(0, 1) if clip else images + delta


def _each(value: float | Tensor, images: Tensor) -> Tensor:
    """Return the value (a number, or one number per image) as a tensor with as many axes as the
    images.
    """
    if isinstance(value, Tensor):
        return per_image(value, images)
    # Create the tensor on the device, because copying a number to the device would make the CPU
    # wait.
    return images.new_full((1,) * images.ndim, value)
