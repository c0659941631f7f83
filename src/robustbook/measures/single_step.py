"""Accuracy along one fixed direction per image: FGSM at any number of sizes for one gradient.

The sign of the gradient does not depend on eps, so that a curve over eps costs a forward pass per
point, and the eps that leaves a given accuracy is found by bisection. Images may be of any scale:
the numbers behind a network's preprocessing as well as pixels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Model = Callable[[Tensor], Tensor]
Box = tuple[Tensor, Tensor]
PIECE = 1000


def gradient_signs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
) -> Float[Tensor, "n *shape"]:
    """The sign of the gradient of the cross entropy at each image; 0 where there is none."""
    signs = []
    for x, y in zip(torch.split(images, PIECE), torch.split(labels, PIECE), strict=True):
        point = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(model(point), y, reduction="sum")
        signs.append(torch.autograd.grad(loss, point)[0].sign())
    return torch.cat(signs)


@torch.no_grad()
def accuracy_along(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    directions: Float[Tensor, "n *shape"],
    eps: float,
    box: Box | None = None,
) -> float:
    """In percent, how many images the model names correctly ``eps`` along their directions; brought
    back into ``box`` (least and greatest numbers) where there is one."""
    right = 0
    for x, y, way in zip(
        *(torch.split(t, PIECE) for t in (images, labels, directions)), strict=True
    ):
        moved = x + eps * way
        if box is not None:
            moved = moved.clamp(*box)
        right += int((model(moved).argmax(1) == y).sum())
    return 100 * right / len(images)


def eps_leaving(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    directions: Float[Tensor, "n *shape"],
    box: Box | None = None,
    *,
    accuracy: float = 50.0,
    start: float = 1.0,
    tolerance: float = 1e-3,
) -> float:
    """The eps that leaves ``accuracy`` percent of the images named correctly, or fewer.

    Found by doubling, from ``start``, and bisection: a size smaller by the share ``tolerance``
    leaves more. So it is a crossing, and the only one where accuracy falls with eps. Raises
    ValueError where no more are named correctly from the start, or more at any size.
    """

    def reached(eps: float) -> bool:
        return accuracy_along(model, images, labels, directions, eps, box) <= accuracy

    if reached(0.0):
        raise ValueError(f"accuracy must be below that without any step, got {accuracy:g}")
    low, high = 0.0, start
    while not reached(high):
        low, high = high, 2 * high
        if high > 2**20 * start:
            raise ValueError(
                f"directions must bring accuracy to {accuracy:g} %, got more up to eps {low:g}"
            )
    while high - low > tolerance * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
