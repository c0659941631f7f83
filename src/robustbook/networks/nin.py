"""Define the network in network for CIFAR-10 (Lin, Chen and Yan 2014) as used by Deep Defense.

The layers follow the released code of Yan, Guo and Zhang 2018. In that code the constructor of NIN
raises an error, which announces a later release. The network is like the NIN of MatConvNet, except
that its first two pooling layers use windows of 2 x 2 instead of 3 x 3 pixels, with stride 2. The
last pooling layer averages over 8 x 8 pixels. As in MatConvNet, initial weights are normal with
variance 2 / fan-in (He et al. 2015), and biases are 0. The weights of the last layer have a tenth
of this standard deviation.
"""

import math
from collections import OrderedDict

import torch
from torch import nn

from .convolution import ChannelsLast
from .first_weights import check_narrow
from .prepared import Prepared, draw_normal


def nin(preprocess: nn.Module, generator: torch.Generator, narrow: int = 1) -> Prepared:
    """Return a network from 32 x 32 colour images to 10 logits, with 966,986 parameters.

    The network has two dropout layers of rate one half. ``narrow`` (1, 2, 4 or 8) divides the
    numbers of filters 192, 160 and 96 of the hidden layers; with 1 the network is the paper's.
    """
    check_narrow(narrow)
    wide, middle, slim = 192 // narrow, 160 // narrow, 96 // narrow
    body = nn.Sequential(
        OrderedDict(
            layout=ChannelsLast(),
            block1=_block((3, wide, middle, slim), 5),
            pool1=nn.MaxPool2d(2),
            dropout1=nn.Dropout(0.5),
            block2=_block((slim, wide, wide, wide), 5),
            pool2=nn.AvgPool2d(2),
            dropout2=nn.Dropout(0.5),
            block3=_block((wide, wide, wide, 10), 3)[:-1],  # no ReLU on the logits
            average=nn.AvgPool2d(8),
            flatten=nn.Flatten(),
        )
    )
    layers = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d)]
    deviations = [math.sqrt(2 / layer.weight[0].numel()) for layer in layers]
    deviations[-1] *= 0.1
    draw_normal(body, generator, deviations)
    return Prepared(preprocess, body)


def _block(widths: tuple[int, ...], kernel: int) -> nn.Sequential:
    """Return a sequence of three convolutions, each followed by a ReLU. The first convolution keeps
    the image size, and the other two are 1 x 1 convolutions.
    """
    layers: list[nn.Module] = []
    for before, after, size in zip(widths[:-1], widths[1:], (kernel, 1, 1), strict=True):
        conv = nn.utils.skip_init(nn.Conv2d, before, after, size, padding=size // 2)  # type: ignore[no-untyped-call]
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)
