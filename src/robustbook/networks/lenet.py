"""LeNet as MatConvNet's MNIST demonstration has it, and the MLP beside it in Deep Defense.

Yan, Guo and Zhang 2018 take both from the DeepFool paper. Two 5 x 5 convolutions of 20 and 50
filters without padding, each followed by 2 x 2 max pooling but by no ReLU, 500 ReLU units, 10
logits. First weights are MatConvNet's: normal with deviation 0.01, biases 0.
"""

from collections import OrderedDict

import torch
from torch import nn

from .convolution import ChannelsLast, PatchConv2d
from .mlp import MLP
from .prepared import Prepared, draw_normal


def lenet(preprocess: nn.Module, generator: torch.Generator) -> Prepared:
    """28 x 28 gray images to 10 logits; 431,080 parameters."""
    body = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.utils.skip_init(PatchConv2d, 1, 20, 5),  # type: ignore[no-untyped-call]
            layout=ChannelsLast(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.utils.skip_init(nn.Conv2d, 20, 50, 5),  # type: ignore[no-untyped-call]
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.utils.skip_init(nn.Linear, 800, 500),  # type: ignore[no-untyped-call]
            relu=nn.ReLU(),
            fc2=nn.utils.skip_init(nn.Linear, 500, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_normal(body, generator, (0.01,) * 4)
    return Prepared(preprocess, body)


def fc500_150_10(preprocess: nn.Module, generator: torch.Generator) -> Prepared:
    """28 x 28 gray images to 10 logits through 500 and 150 ReLU units; 469,160 parameters.

    Not in MatConvNet: its LeNet's first weights are used.
    """
    body = MLP((784, 500, 150, 10), torch.relu)
    draw_normal(body, generator, (0.01,) * 3)
    return Prepared(preprocess, body)


def fc500_150_10_bn(preprocess: nn.Module, generator: torch.Generator) -> Prepared:
    """The same with a batch norm before each ReLU, a later addition to the released code of Deep
    Defense; 470,460 parameters."""
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
