"""The smallest perturbation that turns an image, as far as an attack can find it.

Accuracy against eps is one curve for a network: the share of images whose smallest perturbation is
larger than eps. Any attack gives an upper bound on that size, several give for each image the least
of theirs, so the curve can only fall as attacks are added (Carlini et al. 2019, arXiv 1902.06705,
section 5: compare attacks image by image, not on average).
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Strike = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From images, labels, keys and eps to perturbed images; the key is an image's row in the set."""


@torch.no_grad()
def smallest(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    strike: Strike,
    grid: Sequence[float],
    *,
    keys: Int[Tensor, " n"] | None = None,
    halvings: int = 12,
) -> Float[Tensor, " n"]:
    """For each image the l-infinity size of the smallest perturbation found that ``model`` fails
    on: 0 where it fails on the image itself, infinite where nothing was found.

    The sizes of ``grid`` are tried from small to large, each on the images that no smaller one has
    turned. What turns an image is made shorter: along the line to the image, halving ``halvings``
    times the stretch that holds a change of answer. ``model`` alone judges, whatever the strike
    looks at; ``keys`` default to the row numbers.
    """
    if not len(grid) or min(grid) <= 0 or list(grid) != sorted(grid):
        raise ValueError(f"grid must be sizes above 0 from small to large, got {tuple(grid)}")
    keys = torch.arange(len(images), device=images.device) if keys is None else keys
    found = images.new_zeros(len(images))
    found[model(images).argmax(1) == labels] = math.inf
    for eps in grid:
        rows = found.isinf().nonzero().squeeze(1)
        if not len(rows):
            break
        x, y = images[rows], labels[rows]
        with torch.enable_grad():
            delta = strike(x, y, keys[rows], eps).detach().to(x.dtype) - x
        turned = model(x + delta).argmax(1) != y
        found[rows[turned]] = _shortened(model, x[turned], y[turned], delta[turned], halvings)
    return found


def _shortened(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    delta: Float[Tensor, "n *shape"],
    halvings: int,
) -> Float[Tensor, " n"]:
    """The size of a part of each ``delta`` that turns its image, next to one that does not."""
    low, high = images.new_zeros(len(images)), images.new_ones(len(images))
    if len(images):
        for _ in range(halvings):
            middle = (low + high) / 2
            part = middle.reshape(-1, *[1] * (images.ndim - 1)) * delta
            turned = model(images + part).argmax(1) != labels
            low, high = torch.where(turned, low, middle), torch.where(turned, middle, high)
    return high * delta.flatten(1).abs().amax(1)


def surviving(sizes: Float[Tensor, " n"], eps: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """In percent, for each ``eps`` the share of images whose smallest perturbation is larger."""
    return 100 * (sizes[None, :] > eps[:, None]).double().mean(1)
