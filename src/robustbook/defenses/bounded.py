"""Replace each ReLU by a bounded ReLU, min(max(x, 0), bound). The bound limits how far a
perturbation can change an activation.

The method is from Zantedeschi, Nicolae and Rawat 2017 (arXiv 1707.06728). The paper of Random
Self-Ensemble calls this defense "Robust Opt. + BReLU". The released code of that paper uses the
bound 1, and trains on images with Gaussian noise of standard deviation 0.05.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BoundedReLU(nn.Module):
    """A bounded ReLU layer, which computes min(max(x, 0), bound)."""

    def __init__(self, bound: float = 1.0) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.clamp(x, 0, self.bound)

    def extra_repr(self) -> str:
        return f"bound={self.bound:g}"


def bounded(net: nn.Module, *, bound: float = 1.0) -> nn.Module:
    """Return a copy of ``net`` in which a `BoundedReLU` replaces every ReLU layer. The names of the
    weights stay the same. Raises ValueError if the bound is not a finite number above 0, or if the
    network has no ReLU layer.
    """
    if not 0 < bound < float("inf"):
        raise ValueError(f"bound must be a finite number above 0, got {bound}")
    found = copy.deepcopy(net)
    count = 0
    for module in list(found.modules()):
        for name, layer in list(module._modules.items()):  # also names that share one layer
            if isinstance(layer, nn.ReLU):
                setattr(module, name, BoundedReLU(bound))
                count += 1
    if not count:
        raise ValueError(f"net must have ReLU layers, got {type(net).__name__} without one")
    return found
