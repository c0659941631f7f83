"""Compute distances, projections and steps in the l-infinity and l2 norms, separately for each
image.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def per_image(values: Shaped[Tensor, " n"], like: Float[Tensor, "n *shape"]) -> Tensor:
    """Return the values with shape (n, 1, ..., 1), so that the result can be multiplied with
    images.
    """
    return values.reshape((-1,) + (1,) * (like.ndim - 1))


def each(value: float | Float[Tensor, " n"], like: Float[Tensor, "n *shape"]) -> Any:
    """Return a single number unchanged, and a tensor with one number per image in the shape (n, 1,
    ..., 1), as `per_image` does.
    """
    return per_image(value, like) if isinstance(value, Tensor) else value


def size(vectors: Float[Tensor, "n *shape"], norm: float) -> Float[Tensor, " n"]:
    """Return the norm of each row: the l2 norm if ``norm`` is 2, and the largest absolute entry if
    ``norm`` is infinity.
    """
    if norm == math.inf:
        return top(vectors.flatten(1))
    sizes: Tensor = torch.linalg.vector_norm(vectors.flatten(1), norm, dim=1)
    return sizes


def top(vectors: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Return the largest absolute entry of each row, several times faster than torch's norm."""
    return vectors.abs().amax(1)


def steepest(gradient: Float[Tensor, "n *shape"], norm: float) -> Float[Tensor, "n *shape"]:
    """Return for each row of the gradient the unit vector along which the loss grows fastest. For a
    gradient of 0, return 0.

    For l-infinity the vector is the sign of the gradient, and for l2 the normalised gradient.
    """
    if norm == math.inf:
        return gradient.sign()
    # Divide by the largest entry first. Squares of gradients below 1e-19 become 0 in float32, so a
    # saturated network would seem to have no gradient.
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
    """Project each image onto the ball of radius eps around the centre; then, with `clip`, clip the
    image to [0, 1].

    The centre lies in [0, 1], so clipping moves each pixel towards the centre, and the image stays
    in the ball.
    """
    delta = images - centre
    if norm == math.inf:
        bound = each(eps, delta)
        delta = delta.clamp(-bound, bound)
    else:
        tiny = torch.finfo(delta.dtype).tiny
        delta = delta * per_image((eps / size(delta, 2.0).clamp(min=tiny)).clamp(max=1), delta)
    return (centre + delta).clamp(0, 1) if clip else centre + delta
