r"""Parseval training (Cisse et al. 2017, arXiv 1704.08847): weights that keep lengths.

After each step of gradient descent every weight matrix W, a unit's weights in each row, is moved a
little towards one with orthonormal rows, which is at most an isometry:

.. math:: W_S \leftarrow (1 + \beta) W_S - \beta\, W_S W_S^\top W_S

(Algorithm 1; a step down the gradient of :math:`\frac\beta4\|W_S W_S^\top - I\|^2`), where S is a
random share of the rows. Deep Defense (Yan et al. 2018) says 30 % "of the columns", which are the
units where a layer computes x W. A matrix with more rows than columns cannot have orthonormal rows;
its singular values go to 1 all the same when S is everything.

Convolutions are matrices of flattened kernels (unit by channel, height and width). Cisse et al.
divide a convolution's output by the square root of its kernel's size, so that overlapping patches
do not add up; here the network stays the one that is compared, without that division. The convex
combinations that they put in place of sums are for networks with skip connections.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def parseval(weights: Mapping[str, Tensor], *, beta: float, share: float = 0.3) -> None:
    """One step of all weights of two axes or more towards orthonormal rows, in place.

    beta: above 0; 1e-4 on MNIST, 3e-4 on CIFAR-10. share: of the rows, above 0, at most 1; 0.3.
    The rows are drawn from torch's own generator of the weights' device, which `training.fit` seeds
    for each step.
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta!r}")
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share!r}")
    for weight in weights.values():
        if weight.ndim < 2:
            continue
        rows = torch.randperm(len(weight), device=weight.device)[
            : max(1, round(share * len(weight)))
        ]
        w = weight[rows].flatten(1)
        weight[rows] = ((1 + beta) * w - beta * (w @ w.T) @ w).view_as(weight[rows])
