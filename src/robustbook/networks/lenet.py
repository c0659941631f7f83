"""Define two networks that Deep Defense uses: LeNet from MatConvNet's MNIST example, and an MLP.

Yan, Guo and Zhang 2018 take both from the DeepFool paper. LeNet has two 5 x 5 convolutions of 20
and 50 filters without padding, each followed by 2 x 2 max pooling but not by a ReLU. Its last two
layers are fully connected, with 500 ReLU units and 10 logits. The initial weights are normal with
standard deviation 0.01, as in MatConvNet, and the biases are 0.
"""

from collections import OrderedDict

import torch
from torch import nn

from .convolution import ChannelsLast, PatchConv2d
from .mlp import MLP
from .prepared import Prepared, draw_normal


def lenet(preprocess: nn.Module, generator: torch.Generator, narrow: int = 1) -> Prepared:
    """Return LeNet from 28 x 28 gray images to 10 logits, with 431,080 parameters.

    ``narrow`` (1, 2 or 5) divides the widths 20, 50, 500 of the hidden layers; with 1 the network
    is MatConvNet's.
    """
    if narrow not in (1, 2, 5):
        raise ValueError(f"narrow must be 1, 2 or 5, got {narrow}")
    few, many, units = 20 // narrow, 50 // narrow, 500 // narrow
    body = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.utils.skip_init(PatchConv2d, 1, few, 5),  # type: ignore[no-untyped-call]
            layout=ChannelsLast(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.utils.skip_init(nn.Conv2d, few, many, 5),  # type: ignore[no-untyped-call]
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.utils.skip_init(nn.Linear, 16 * many, units),  # type: ignore[no-untyped-call]
            relu=nn.ReLU(),
            fc2=nn.utils.skip_init(nn.Linear, units, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_normal(body, generator, (0.01,) * 4)
    return Prepared(preprocess, body)


def fc500_150_10(preprocess: nn.Module, generator: torch.Generator) -> Prepared:
    """Return an MLP from 28 x 28 gray images to 10 logits, with 469,160 parameters.

    The MLP has hidden layers of 500 and 150 ReLU units. MatConvNet has no such MLP, so the initial
    weights are drawn as in `lenet`.
    """
    body = MLP((784, 500, 150, 10), torch.relu)
    draw_normal(body, generator, (0.01,) * 3)
    return Prepared(preprocess, body)


def fc500_150_10_bn(preprocess: nn.Module, generator: torch.Generator) -> Prepared:
    """Return the MLP of `fc500_150_10` with a batch norm before each ReLU; it has 470,460
    parameters.

    This network was added later to the released code of Deep Defense.
    """
    body = nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            fc1=nn.utils.skip_init(nn.Linear, 784, 500),  # type: ignore[no-untyped-call]
            bn1=nn.BatchNorm1d(500),
            relu1=nn.ReLU(),
            fc2=nn.utils.skip_init(nn.Linear, 500, 150),  # type: ignore[no-untyped-call]
            bn2=nn.BatchNorm1d(150),
            relu2=nn.ReLU(),
            fc3=nn.utils.skip_init(nn.Linear, 150, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_normal(body, generator, (0.01,) * 3)
    return Prepared(preprocess, body)
