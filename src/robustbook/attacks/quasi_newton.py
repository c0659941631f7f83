"""Approximate the inverse Hessians of many images at once by limited-memory BFGS (L-BFGS).

The inverse Hessian H of each image is computed from the most recent steps s and the gradient
changes y over these steps. Let the columns of the matrix S be the steps s, and the columns of the
matrix Y the gradient changes y, both oldest first. Let R be the upper triangle of S^T Y, and D the
diagonal of S^T Y. For the newest pair (s, y), let gamma = s^T y / y^T y. Theorem 2.2 of Byrd,
Nocedal and Schnabel 1994, "Representations of quasi-Newton matrices", gives the product of H with a
vector g:

    H g = gamma g + S v - gamma Y u,
    u = R^-1 S^T g,   v = R^-T (D u + gamma Y^T Y u - gamma Y^T g).

Only two batched products involve vectors with one entry per pixel. All other products are products
of small matrices, in float64. Gradients of a saturated network may be as small as 1e-40, and the
squares of such gradients round to 0 in float32. So each gradient change y is divided by its largest
entry before it is stored. The inverse Hessian H does not change if s and y are divided by the same
number. So in the small matrices, each step s is also divided by the largest entry of its y.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .norms import top


def _exact(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method so that torch.autocast does not lower the precision of its products."""

    @wraps(method)
    def exactly(self: "InverseHessians", *given: Tensor) -> Any:
        with torch.autocast(self.pairs.device.type, enabled=False):
            return method(self, *given)

    return exactly


class InverseHessians:
    """Approximate inverse Hessians for `n` images of `d` pixels. For each image, at most `history`
    steps s are stored, each with its gradient change y.
    """

    def __init__(self, history: int, like: Float[Tensor, "n d"]) -> None:
        self.history = history
        n, d = like.shape
        # Slot 0 receives the pairs that are discarded. The other slots are allocated when needed.
        small = like.new_zeros((n, history + 1), dtype=torch.float64)
        self.pairs = like.new_zeros(n, 1, 2, d)
        self.products = small.new_zeros(n, history + 1, history + 1, 2)  # s y, y y
        self.scale = torch.ones_like(small)  # the divisor of each stored y
        # The number of pairs stored so far, including the pairs that were dropped.
        self.count = torch.zeros_like(small[:, 0], dtype=torch.int64)
        self.used = 0  # slots in use, the maximum over all rows

    def only(self, index: Int[Tensor, " m"]) -> None:
        """Keep only the images (rows) with the indices ``index``."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])

    def forget(self, which: Bool[Tensor, " n"]) -> None:
        """Delete all stored steps and gradient changes of the images (rows) ``which``."""
        self.count.masked_fill_(which, 0)

    @_exact
    def remember(
        self, s: Float[Tensor, "n d"], y: Float[Tensor, "n d"], which: Bool[Tensor, " n"]
    ) -> None:
        """Store a step s and its gradient change y for the images (rows) ``which``. If an image
        already has `history` such pairs (s, y), the new pair replaces the oldest.
        """
        y_scale = top(y).clamp(min=torch.finfo(y.dtype).tiny)
        y = y / y_scale[:, None]
        row = torch.arange(len(y), device=y.device)
        slot = torch.where(which, self.count % self.history + 1, 0)
        if self.used < self.history:
            self.used += 1
            self.pairs = torch.nn.functional.pad(self.pairs, (0, 0, 0, 0, 0, 1))
        self.pairs[row, slot] = torch.stack([s, y], 1)
        self.scale[row, slot] = y_scale.double()
        self.count += which
        new = torch.bmm(self._known(), torch.stack([s, y], 2)).double()
        new = new.view(len(y), self.used, 2, 2)
        self.products[row, 1 : self.used + 1, slot] = new[..., 1]
        self.products[row, slot, 1 : self.used + 1] = new[:, :, 1]

    @_exact
    def times(self, g: Float[Tensor, "n d"], scale: Float[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Return the inverse Hessian H times the vector ``scale * g`` for each row. For a row
        without stored steps, return g / |g|.
        """
        wide = scale.double()[:, None]
        norm = torch.linalg.vector_norm(g, dim=1, dtype=torch.float64)[:, None] * wide
        steepest = 1 / norm.clamp(min=torch.finfo(torch.float64).tiny)
        if not self.used:
            direction: Tensor = (steepest * wide).to(g.dtype) * g
            return direction
        # Sort the pairs, oldest first. Empty slots come first; in R they are rows and columns of
        # the identity matrix.
        order = (self.count[:, None] + torch.arange(self.used, device=g.device)) % self.used
        filled = order < self.count[:, None]
        row = torch.arange(len(g), device=g.device)[:, None]
        slot = order + 1
        products = self.products[row[..., None], slot[:, :, None], slot[:, None, :]]
        products *= (filled[:, :, None] & filled[:, None, :])[..., None]
        s_y, y_y = products.unbind(-1)
        with_g = torch.bmm(self._known(), g[..., None]).double().view(len(g), self.used, 2)
        s_g, y_g = (with_g[row, order] * filled[..., None]).unsqueeze(3).unbind(2)
        y_scale = self.scale[row, slot][..., None]

        gamma = s_y[:, -1, -1:] / y_y[:, -1, -1:] / y_scale[:, -1]
        gamma = torch.where(filled[:, -1:], gamma, steepest)
        r = (s_y / y_scale).triu() + torch.diag_embed((~filled).double())
        u = torch.linalg.solve_triangular(r, s_g / y_scale, upper=True)
        inner = r.diagonal(dim1=1, dim2=2)[..., None] * u + gamma[..., None] * (y_y @ u - y_g)
        v = torch.linalg.solve_triangular(r.mT, inner, upper=False)
        factors = torch.empty_like(with_g)
        factors[row, order] = torch.cat([v / y_scale, -gamma[..., None] * u], 2)
        factors = (factors.flatten(1) * wide).to(g.dtype)
        combined: Tensor = torch.bmm(factors[:, None], self._known()).squeeze(1)
        return combined + (gamma * wide).to(g.dtype) * g

    def _known(self) -> Float[Tensor, "n p d"]:
        """Return all stored vectors of each image in one list, in which each step s is followed by
        its gradient change y.
        """
        return self.pairs[:, 1:].flatten(1, 2)
