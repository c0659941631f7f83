r"""Compute the loss of distillation: cross entropy with soft targets and a temperature.

The loss is from Hinton, Vinyals & Dean 2015 (arXiv 1503.02531, Section 2). Papernot et al. 2016
(arXiv 1511.04508) use it as a defense.

For a batch of n images with soft targets p and logits z, the loss at temperature T is the mean
cross entropy:

.. math:: -\frac1n\sum_i\sum_k p_{ik}\log\mathrm{softmax}(z_i/T)_k

The Kullback-Leibler divergence between p and the softmax differs from this loss only by the entropy
of p, so both have the same gradient.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import check_positive


def distillation(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    targets: Float[Tensor, "n k"],
    *,
    temperature: float = 1.0,
) -> dict[str, Float[Tensor, ""]]:
    """Return the loss term ``cross_entropy``, computed from the logits divided by ``temperature``,
    which must be positive.

    ``targets``: the soft targets: a probability for each image and class (see `soft_targets`),
        which Papernot et al. compute at the training temperature.

    Hinton et al. multiply the loss by the squared temperature; this code does not.
    """
    check_positive("temperature", temperature)
    if not targets.is_floating_point():
        raise ValueError(f"targets must be floating-point probabilities, got {targets.dtype}")
    return {"cross_entropy": F.cross_entropy(net(images.clone()) / temperature, targets)}


def soft_targets(
    net: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n *shape"],
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "n k"]:
    """Return the network's class probabilities at ``temperature``. The network stays in its current
    mode (training or evaluation).
    """
    check_positive("temperature", temperature)
    with unchanged(net), torch.no_grad():
        return (net(images.clone()) / temperature).softmax(1)
