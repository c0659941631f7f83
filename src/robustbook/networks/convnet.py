"""Define the ConvNet of Deep Defense (Yan, Guo and Zhang 2018) for CIFAR-10, from the released
code.

The ConvNet is like MatConvNet's network for CIFAR-10, but its pooling layers use windows of 2 x 2
instead of 3 x 3 pixels, with stride 2. The first pooling layer comes before the first ReLU. The
initial weights are drawn as in MatConvNet: normal with standard deviation 0.01 in the first layer
and 0.05 in all other layers; biases are 0.
"""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from .convolution import ChannelsLast
from .first_weights import check_narrow
from .prepared import Prepared, draw_normal


def convnet(preprocess: nn.Module, generator: torch.Generator, narrow: int = 1) -> Prepared:
    """Return a network from 32 x 32 colour images to 10 logits, with 145,578 parameters.

    ``narrow`` (1, 2, 4 or 8) divides the numbers of filters 32, 32, 64, 64 of the hidden layers;
    with 1 the network is the paper's.
    """
    check_narrow(narrow)
    conv = partial(nn.utils.skip_init, nn.Conv2d)
    few, many = 32 // narrow, 64 // narrow
    body = nn.Sequential(
        OrderedDict[str, nn.Module](
            layout=ChannelsLast(),
            conv1=conv(3, few, 5, padding=2),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=conv(few, few, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            conv3=conv(few, many, 5, padding=2),
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(2),
            conv4=conv(many, many, 4),
            relu4=nn.ReLU(),
            conv5=conv(many, 10, 1),
            flatten=nn.Flatten(),
        )
    )
    draw_normal(body, generator, (0.01, 0.05, 0.05, 0.05, 0.05))
    return Prepared(preprocess, body)
