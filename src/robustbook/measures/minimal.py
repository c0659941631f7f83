"""Measure the size of the smallest adversarial perturbation that an attack finds for each image.

The accuracy at eps is the fraction of images whose smallest perturbation is larger than eps, so one
measurement gives the whole curve of accuracy against eps. Each attack gives an upper bound on the
size of the smallest adversarial perturbation, and the minimum over several attacks is a tighter
upper bound. Take this minimum for each image, before averaging over images (Carlini et al. 2019,
arXiv 1902.06705, section 5).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.checks import check_count, check_integers, described
from robustbook.attacks.propagation import FRESH

from .answers import Model, check_classes, logits_of, predict, rows_of

Strike = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""An attack, given as a function from (images, labels, keys, eps) to perturbed images. By default,
the key of an image is its row number in the set.
"""


@torch.no_grad()
def smallest(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    strike: Strike,
    grid: Sequence[float],
    *,
    keys: Int[Tensor, " n"] | None = None,
    halvings: int = 12,
) -> Float[Tensor, " n"]:
    """Return for each image the l-infinity norm of the smallest adversarial perturbation that the
    attack finds. The norm is 0 if ``model`` misclassifies the clean image, and infinite if the
    attack never succeeds.

    ``strike``: the attack, a function from images, labels, keys and eps to perturbed images. The
        attack may compute its gradients from a different model, but ``model`` decides whether the
        attack succeeds. The images that it returns may lie outside the ball of radius eps; only
        their norm counts.
    ``grid``: the radii eps of the attack, finite, above 0 and increasing. Each radius is tried on
        the images that ``model`` still classifies correctly after the attacks with all smaller
        radii.
    ``keys``: one number for each image, by default the row number. The key of an image determines
        the random numbers of the attack and of a randomised model for this image.
    ``halvings``: number of bisection steps that shorten a successful perturbation, so that it ends
        close to the class boundary.

    Raises ValueError if the grid is not increasing, for wrong labels or numbers, and if logits are
    not finite.
    """
    rising = all(low < high for low, high in itertools.pairwise(grid))
    if not len(grid) or not rising or not all(0 < eps < math.inf for eps in grid):
        raise ValueError(
            f"grid must be finite sizes above 0 in increasing order, got {tuple(grid)}"
        )
    check_integers("labels", labels, images)
    check_count("halvings", halvings, 0)
    keys = rows_of(images) if keys is None else keys
    found = images.new_zeros(len(images))
    logits = logits_of(model, images, keys=keys, draw=FRESH)
    check_classes(labels, logits)
    found[logits.argmax(1) == labels] = math.inf
    for eps in grid:
        rows = found.isinf().nonzero().squeeze(1)
        if not len(rows):
            break
        x, y = images[rows], labels[rows]
        with torch.enable_grad():
            made: Any = strike(x, y, keys[rows], eps)
        if not isinstance(made, Tensor) or made.shape != x.shape:
            raise ValueError(
                f"strike must return perturbed images of shape {tuple(x.shape)}, "
                f"got {described(made)}"
            )
        delta = made.detach().to(x.dtype) - x
        wrong = predict(model, x + delta, keys=keys[rows], draw=FRESH) != y
        found[rows[wrong]] = _shortened(
            model, x[wrong], y[wrong], keys[rows[wrong]], delta[wrong], halvings
        )
    return found


def _shortened(
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    keys: Int[Tensor, " n"],
    delta: Float[Tensor, "n *shape"],
    halvings: int,
) -> Float[Tensor, " n"]:
    """Shorten each perturbation ``delta`` until it only just causes a misclassification, and return
    its l-infinity norm.
    """
    low, high = images.new_zeros(len(images)), images.new_ones(len(images))
    if len(images):
        for _ in range(halvings):
            middle = (low + high) / 2
            part = middle.reshape(-1, *[1] * (images.ndim - 1)) * delta
            wrong = predict(model, images + part, keys=keys, draw=FRESH) != labels
            low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return high * delta.flatten(1).abs().amax(1)


def surviving(sizes: Float[Tensor, " n"], eps: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Return for each ``eps`` the percentage of images whose smallest adversarial perturbation is
    larger than ``eps``. Raises ValueError for NaN, and if there are no images.
    """
    if not len(sizes) or bool(sizes.isnan().any()):
        raise ValueError(f"sizes must be one or more numbers, got {described(sizes)} or with NaN")
    return 100 * (sizes[None, :] > eps[:, None]).double().mean(1)
