"""Draw initial weights as in the released code of Random Self-Ensemble, or as in torch.

The caller passes the generator that draws the weights. A batch norm follows every convolution of
the Random Self-Ensemble networks, so the scale of a convolution's weights does not change the
network's output. The scale only affects the speed of training: a gradient step changes the
direction of a small weight vector more than that of a large one.
"""

import math
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

Start = Literal["torch", "released"]


@torch.no_grad()
def draw_first_weights(net: nn.Module, generator: torch.Generator, start: str) -> None:
    """Draw the initial weights of convolutions, linear layers and batch norms in place.

    ``torch``: the default distributions of torch's layers. Weights and biases are uniform between
        plus and minus 1 / sqrt(number of inputs of a unit). Batch norm layers start with weight 1
        and bias 0.
    ``released``: the distributions in the released code of Random Self-Ensemble (Liu et al. 2018).
        Weights are drawn from N(0, 0.02^2), and biases from torch's default distribution. The
        weights of batch norm layers are drawn from N(1, 0.02^2), and their biases are 0.
    """
    if start not in get_args(Start):
        raise ValueError(f"start must be one of {', '.join(get_args(Start))}, got {start!r}")
    released = start == "released"
    for layer in net.modules():
        if isinstance(layer, _ConvNd | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            if released:
                layer.weight.normal_(0, 0.02, generator=generator)
            else:
                layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(layer, _BatchNorm) and layer.affine:
            layer.weight.fill_(1.0)
            layer.bias.zero_()
            if released:
                layer.weight.normal_(1, 0.02, generator=generator)


def check_narrow(narrow: int) -> None:
    """Raise ValueError unless ``narrow``, which divides the layer widths, is 1, 2, 4 or 8."""
    if narrow not in (1, 2, 4, 8):
        raise ValueError(f"narrow must be 1, 2, 4 or 8, got {narrow}")
