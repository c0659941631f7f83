r"""Cross entropy with soft targets and a temperature, of two papers on distillation.

Hinton, Vinyals & Dean 2015 (arXiv 1503.02531, Section 2), and the defense made of it: Papernot et
al. 2016 (arXiv 1511.04508).

With targets p and logits z of a batch of n, at temperature T,

.. math:: -\frac1n\sum_i\sum_k p_{ik}\log\mathrm{softmax}(z_i/T)_k

Its gradient is that of the Kullback-Leibler divergence from p, which differs by p's entropy.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def distillation(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    targets: Float[Tensor, "n k"],
    *,
    temperature: float = 1.0,
) -> dict[str, Float[Tensor, ""]]:
    """The term ``cross_entropy`` of the network at ``temperature``, above 0.

    targets: for each image the probabilities of the classes; see `soft_targets`. Papernot et al.
        make them at the temperature at which they train. Hinton et al. multiply the term by the
        temperature squared; here it is as it stands.
    """
    _refuse(temperature)
    return {"cross_entropy": F.cross_entropy(net(images) / temperature, targets)}


@torch.no_grad()
def soft_targets(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "n k"]:
    """What the network, in the mode it is in, gives as probabilities at ``temperature``."""
    _refuse(temperature)
    return (net(images) / temperature).softmax(1)


def _refuse(temperature: float) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a finite number above 0, got {temperature!r}")
