r"""Parseval training (Cisse et al. 2017, arXiv 1704.08847) moves weights towards matrices with
orthonormal rows.

Each row of a weight matrix W contains the weights of a unit. Multiplication by a matrix with
orthonormal rows does not increase distances. So after each step of gradient descent, every W is
moved towards such a matrix:

.. math:: W_S \leftarrow (1 + \beta) W_S - \beta\, W_S W_S^\top W_S

Here S is a random subset of the rows of W, and W_S consists of these rows. This update, from
Algorithm 1 of Cisse et al., is one step of gradient descent on :math:`\frac\beta4\|W_S W_S^\top -
I\|^2`. As we remember, the paper of Deep Defense (Yan et al. 2018) updates a random 30 % of the
columns in each step. We take these for our rows: in a layer that computes x W for an input x, a
column of W contains the weights of a unit. A matrix with more rows than columns cannot have
orthonormal rows, but if every step updates all its rows, its singular values still converge to 1.

The weight matrix of a convolution has one row for each output channel: the flattened kernel
(channel, height, width). Cisse et al. divide the output of a convolution by the square root of the
kernel size, because the kernel is applied to overlapping patches. This code does not, so that
Parseval training uses the same network as the other defenses. Cisse et al. also replace the sums of
skip connections by convex combinations; this code does not.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def parseval(weights: Mapping[str, Tensor], *, beta: float, share: float = 0.3) -> None:
    """Move all weight tensors with two or more axes one step towards orthonormal rows, in place.

    ``beta``: step size, above 0; our studies use 1e-4 on MNIST and 3e-4 on CIFAR-10.
    ``share``: fraction of the rows that one step changes, above 0 and at most 1; our studies use
        0.3. The rows are drawn at random with torch's global generator, which `training.fit` seeds
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
