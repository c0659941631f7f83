"""Compute pre-activations of a network's layers on a set of images, and the distances between
images in each layer.

The measurements follow Section 5 and Figures 2, 3 and 7 of Nayebi & Ganguli 2017 (arXiv
1703.09202).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.buffers import unchanged
from robustbook.defenses.saturation import Layered

from .answers import refuse_not_finite


@dataclass(frozen=True)
class Activity:
    """Statistics of the pre-activations h of one layer, over a set of images and all units of the
    layer.

    ``median`` is the median of h, and ``median_abs`` is the median of |h|.

    ``beyond``: for each threshold, the fraction of pre-activations with |h| above the threshold.
    ``active``: the fraction of pre-activations with h > 0.

    Fractions are in [0, 1].
    """

    median: float
    median_abs: float
    beyond: tuple[float, ...]
    active: float


@torch.no_grad()
def preactivations(
    net: Layered,
    images: Float[Tensor, "n *shape"],
    *,
    layers: Sequence[int] | None = None,
    batch_size: int = 1000,
) -> list[Float[Tensor, "n units"]]:
    """Return for each layer the pre-activations of all images, flattened to one row per image.

    ``layers``: the numbers of the layers, counted from 1; by default all layers. The
        pre-activations of the last layer are the logits.

    Raises ValueError for a layer that the network does not have, and for values that are not
    finite.
    """
    with unchanged(net):
        depth = len(net.preactivations(images[:2].clone()))
    chosen = range(1, depth + 1) if layers is None else layers
    for layer in chosen:
        if not 1 <= layer <= depth:
            raise ValueError(f"layers must be in 1..{depth}, the layers of the net, got {layer}")
    with unchanged(net):
        batches = []
        for x in torch.split(images, batch_size):
            hs = net.preactivations(x.clone())
            batches.append([hs[layer - 1].flatten(1) for layer in chosen])
    found = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    for h in found:
        refuse_not_finite("pre-activations", h)
    return found


def activity(h: Float[Tensor, "..."], thresholds: Sequence[float] = ()) -> Activity:
    """Return the statistics `Activity` of the pre-activations ``h``. For each threshold in
    ``thresholds``, `Activity.beyond` contains the fraction of pre-activations with |h| above the
    threshold.
    """
    size = h.abs()
    return Activity(
        median=h.median().item(),
        median_abs=size.median().item(),
        beyond=tuple((size > threshold).double().mean().item() for threshold in thresholds),
        active=(h > 0).double().mean().item(),
    )


def dissimilarity(activations: Float[Tensor, "n units"]) -> Float[Tensor, "n n"]:
    """Return the dissimilarity of each pair of images in float64: the mean over units of the
    squared difference between their activations (equation 9 of Nayebi & Ganguli 2017).
    """
    x = activations.double()
    # The matrix product |a|^2 + |b|^2 - 2ab would round small distances and lose symmetry.
    between = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return between.square() / x.shape[1]


def class_means(matrix: Float[Tensor, "n n"], labels: Int[Tensor, " n"]) -> tuple[float, float]:
    """Return the mean dissimilarity of two images of the same class, and that of two images of
    different classes. The dissimilarity of each pair is in ``matrix``.

    Raises ValueError if there is no pair of the same class, or none of different classes.
    """
    same = labels[:, None] == labels
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not (same & others).any() or same.all():
        raise ValueError(
            "labels must have two classes and two images of one class, "
            f"got {len(labels)} images of {len(set(labels.tolist()))} classes"
        )
    return matrix[same & others].mean().item(), matrix[~same].mean().item()
