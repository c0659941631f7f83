"""Define three small convolutional networks for MNIST that papers on adversarial training use.

All three have two convolutions and two linear layers, with a ReLU after every layer except the
last. The inputs are gray images of 28 x 28 pixels in [0, 1].
"""

from collections import OrderedDict

import torch
from torch import nn

from .build import initialise
from .cnn import CNN
from .convolution import PatchConv2d
from .first_weights import check_narrow, draw_first_weights


def madry_mnist(generator: torch.Generator, narrow: int = 1) -> CNN:
    """Return the network of Madry et al. 2018 (released code), with 3,274,634 parameters.

    The layers are those of `CNN`: two 5 x 5 convolutions with 32 and 64 filters, and a fully
    connected layer of 1024 units. Weights are drawn from a normal distribution of standard
    deviation 0.1, truncated at two standard deviations; biases are 0.1.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1, 2, 4, 8 or 16; the widths 32, 64 and 1024 are divided by this number. The paper's
        smallest network has ``narrow`` 16.
    """
    if narrow not in (1, 2, 4, 8, 16):
        raise ValueError(f"narrow must be 1, 2, 4, 8 or 16, got {narrow}")
    net = CNN(1024 // narrow)
    initialise(net, "truncated", generator)
    return net


def wong_mnist(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return the network of Wong, Rice and Kolter 2020 (released code), with 166,406 parameters.

    The two 4 x 4 convolutions have 16 and 32 filters, stride 2 and padding 1. Then comes a fully
    connected layer of 100 units. Initial weights and biases are drawn from the distributions of
    torch's defaults.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1, 2 or 4; the widths 16, 32 and 100 are divided by this number.
    """
    if narrow not in (1, 2, 4):
        raise ValueError(f"narrow must be 1, 2 or 4, got {narrow}")
    few, many, units = 16 // narrow, 32 // narrow, 100 // narrow
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.utils.skip_init(nn.Conv2d, 1, few, 4, stride=2, padding=1),  # type: ignore[no-untyped-call]
            relu1=nn.ReLU(),
            conv2=nn.utils.skip_init(nn.Conv2d, few, many, 4, stride=2, padding=1),  # type: ignore[no-untyped-call]
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.utils.skip_init(nn.Linear, 49 * many, units),  # type: ignore[no-untyped-call]
            relu3=nn.ReLU(),
            fc2=nn.utils.skip_init(nn.Linear, units, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_first_weights(net, generator, "torch")
    return net


def mosbach_mnist(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return the network of Mosbach et al. 2018 (released code), with 3,241,354 parameters.

    The two 3 x 3 convolutions have 32 and 64 filters and keep the size of the image; each is
    followed by max pooling over 2 x 2 positions. Then comes a fully connected layer of 1024 units.
    The initial weights are normal as in He et al. 2015, and the biases are 0.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1, 2, 4 or 8; the widths 32, 64 and 1024 are divided by this number.
    """
    check_narrow(narrow)
    few, many, units = 32 // narrow, 64 // narrow, 1024 // narrow
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.utils.skip_init(PatchConv2d, 1, few, 3, padding=1),  # type: ignore[no-untyped-call]
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.utils.skip_init(nn.Conv2d, few, many, 3, padding=1),  # type: ignore[no-untyped-call]
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.utils.skip_init(nn.Linear, 49 * many, units),  # type: ignore[no-untyped-call]
            relu3=nn.ReLU(),
            fc2=nn.utils.skip_init(nn.Linear, units, 10),  # type: ignore[no-untyped-call]
        )
    )
    for parameter in net.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return net
