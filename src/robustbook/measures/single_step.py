"""Measure the accuracy as a function of eps, when each image is moved by eps times a fixed
direction. In FGSM the direction is the sign of the gradient.

The sign does not depend on eps, so the gradient of each image is computed only once. After that,
each point of the curve of accuracy against eps costs one forward pass. Bisection finds the eps at
which the network has a given accuracy. The images may have any scale: they may contain pixels, or
the output of a network's preprocessing.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.checks import check_positive, check_tolerance
from robustbook.attacks.propagation import FRESH

from .answers import PIECE, Model, check_classes, check_set, gradients, logits_of, rows_of

Box = tuple[Tensor, Tensor]


def gradient_signs(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
) -> Float[Tensor, "n *shape"]:
    """Return the sign of the cross entropy's gradient at each image; the sign of 0 is 0."""
    return gradients(model, images, labels).sign()


@torch.no_grad()
def accuracy_along(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    directions: Float[Tensor, "n *shape"],
    eps: float,
    box: Box | None = None,
) -> float:
    """Return the accuracy in percent after each image was moved by ``eps`` times its direction. A
    randomised model is evaluated with noise that `gradient_signs` has not used.

    ``box``: the lowest and highest value of each pixel, to which the perturbed images are clipped;
        with None images are not clipped.
    """
    check_set(images, labels)
    if directions.shape != images.shape:
        raise ValueError(
            f"directions must have the shape of images, {tuple(images.shape)}, "
            f"got {tuple(directions.shape)}"
        )
    right = 0
    for rows in torch.split(rows_of(images), PIECE):
        moved = images[rows] + eps * directions[rows]
        if box is not None:
            moved = moved.clamp(*box)
        logits = logits_of(model, moved, keys=rows, draw=FRESH)
        check_classes(labels[rows], logits)
        right += int((logits.argmax(1) == labels[rows]).sum())
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
    """Return the eps at which the accuracy falls to ``accuracy`` percent or below.

    The eps is found by doubling ``start`` and then by bisection. Its relative error is at most
    ``tolerance``, as far as the precision of float64 allows. If the accuracy does not always
    decrease with eps, it may cross ``accuracy`` at several values of eps; one of these values is
    returned.

    Raises ValueError if ``start`` or ``tolerance`` is not a finite number above 0, or if
    ``accuracy`` is not a finite number, 0 or above. Raises ValueError too if the accuracy on clean
    images is at most ``accuracy``, or if the accuracy is above ``accuracy`` at every eps that was
    tried.
    """
    start, tolerance = check_positive("start", start), check_positive("tolerance", tolerance)
    check_tolerance("accuracy", accuracy)

    def reached(eps: float) -> bool:
        return accuracy_along(model, images, labels, directions, eps, box) <= accuracy

    if reached(0.0):
        raise ValueError(f"accuracy must be below the accuracy on clean images, got {accuracy:g}")
    low, high = 0.0, start
    while not reached(high):
        low, high = high, 2 * high
        if high > 2**20 * start:
            raise ValueError(
                f"directions must reduce accuracy to {accuracy:g} %, got more up to eps {low:g}"
            )
    while high - low > tolerance * high:
        middle = (low + high) / 2
        if middle in (low, high):  # neighbouring floats
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
