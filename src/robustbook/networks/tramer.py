"""Define architecture B of Tramèr et al. 2018 (arXiv 1705.07204), a small network for MNIST.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018 use this network as the source of a transfer attack.
Tramèr et al. do not state the strides and the padding. We use the strides and the padding of the
basic network in the library CleverHans, which has the same layers.
"""

from collections import OrderedDict

import torch
from torch import nn

from .first_weights import check_narrow, draw_first_weights


def tramer_b(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return a network from 28 x 28 gray images to 10 logits, with 710,218 parameters.

    ``generator``: the random generator that draws the initial weights from torch's default
        distributions.
    ``narrow``: 1 (as in the paper), 2, 4 or 8; the widths 64, 128 and 128 of the convolutions are
        divided by this number.

    Dropout acts on the image with probability 0.2, and on the last hidden layer with 0.5.
    """
    check_narrow(narrow)
    few, many = 64 // narrow, 128 // narrow
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            drop_image=nn.Dropout(0.2),
            conv1=nn.utils.skip_init(nn.Conv2d, 1, few, 8, stride=2, padding=3),  # type: ignore[no-untyped-call]
            relu1=nn.ReLU(),
            conv2=nn.utils.skip_init(nn.Conv2d, few, many, 6, stride=2),  # type: ignore[no-untyped-call]
            relu2=nn.ReLU(),
            conv3=nn.utils.skip_init(nn.Conv2d, many, many, 5),  # type: ignore[no-untyped-call]
            relu3=nn.ReLU(),
            drop=nn.Dropout(0.5),
            flatten=nn.Flatten(),
            linear=nn.utils.skip_init(nn.Linear, many, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_first_weights(net, generator, "torch")
    return net
