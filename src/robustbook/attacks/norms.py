"""Distances, projections and steps in the l-infinity and l2 norms, one number per image."""

import math
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def per_image(values: Shaped[Tensor, " n"], like: Float[Tensor, "n *shape"]) -> Tensor:
    """The values shaped to multiply images: (n, 1, ..., 1)."""
    return values.reshape((-1,) + (1,) * (like.ndim - 1))


def each(value: float | Float[Tensor, " n"], like: Float[Tensor, "n *shape"]) -> Any:
    """The same for what may also be one number for all images, which stays as it is."""
    return per_image(value, like) if isinstance(value, Tensor) else value


def size(vectors: Float[Tensor, "n *shape"], norm: float) -> Float[Tensor, " n"]:
    """The norm of each row: 2, or infinity (the largest absolute pixel)."""
    if norm == math.inf:
        return top(vectors.flatten(1))
    sizes: Tensor = torch.linalg.vector_norm(vectors.flatten(1), norm, dim=1)
    return sizes


def top(vectors: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """The largest absolute entry of each row; several times faster than torch's norm."""
    return vectors.abs().amax(1)


def steepest(gradient: Float[Tensor, "n *shape"], norm: float) -> Float[Tensor, "n *shape"]:
    """For each row the direction of unit size that climbs fastest; zero where the gradient is zero.

    The sign for l-infinity, the normalised gradient for l2.
    """
    if norm == math.inf:
        return gradient.sign()
    # Scaled by the largest entry first: squares of gradients below 1e-19 vanish in float32, and a
    # saturated network would look like one without gradients.
    tiny = torch.finfo(gradient.dtype).tiny
    scaled = gradient / per_image(size(gradient, math.inf).clamp(min=tiny), gradient)
    return scaled / per_image(size(scaled, 2.0).clamp(min=tiny), scaled)


def project(
    images: Float[Tensor, "n *shape"],
    centre: Float[Tensor, "n *shape"],
    eps: float | Float[Tensor, " n"],
    norm: float,
    clip: bool,
) -> Float[Tensor, "n *shape"]:
    """The nearest images in the ball of radius eps around the centre; then, with clip, in [0, 1].

    The centre is in [0, 1], so clipping moves each pixel towards it and does not leave the ball.
    """
    delta = images - centre
    if norm == math.inf:
        bound = each(eps, delta)
        delta = delta.clamp(-bound, bound)
    else:
        tiny = torch.finfo(delta.dtype).tiny
        delta = delta * per_image((eps / size(delta, 2.0).clamp(min=tiny)).clamp(max=1), delta)
    return (centre + delta).clamp(0, 1) if clip else centre + delta
