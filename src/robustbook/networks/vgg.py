"""Define VGG16 for CIFAR-10, and Model A, a similar small network for STL-10.

The layers follow the released code of Liu, Cheng, Zhang and Hsieh 2018 (Random Self-Ensemble).
VGG16 and Model A take images in [0, 1] and do not normalise them. Every convolution is 3 x 3, has a
bias, and is followed by a batch norm and a ReLU. Pooling takes the maximum over 2 x 2 pixels.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from .convolution import ChannelsLast
from .first_weights import check_narrow, draw_first_weights

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
_MODEL_A = (32, 0, 64, 0, 128, 0, 128, 0, 256, 256, 0)
"""The numbers of filters of the convolutions in Model A; a 0 stands for a pooling layer."""


def vgg16(generator: torch.Generator, narrow: int = 1, start: str = "torch") -> nn.Sequential:
    """Return a network from 32 x 32 colour images to 10 logits, with 14,728,266 parameters.

    The network needs 313 million multiply-adds per image.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1 (as in the paper), 2, 4 or 8; the widths 64 to 512 of the hidden layers are
        divided by this number.
    ``start``: "torch" for torch's default initial weights, or "released" for the initial weights of
        the released code (see `draw_first_weights`).
    """
    return _network(_VGG16, generator, narrow, start)


def model_a(generator: torch.Generator, narrow: int = 1, start: str = "torch") -> nn.Sequential:
    """Return a network from 96 x 96 colour images to 10 logits, with 1,128,650 parameters.

    The network needs 121 million multiply-adds per image. The batch norm layers have no trained
    scale and shift. The last two convolutions have no padding, so that feature maps of 6 x 6 become
    2 x 2 before the last pooling. The argument ``narrow`` divides the widths 32 to 256 of the
    hidden layers; all arguments are explained in `vgg16`.
    """
    return _network(_MODEL_A, generator, narrow, start, affine=False, unpadded=2)


def _network(
    widths: Sequence[int],
    generator: torch.Generator,
    narrow: int,
    start: str,
    *,
    affine: bool = True,
    unpadded: int = 0,
) -> nn.Sequential:
    """Return a network of convolutions with batch norm, pooling layers and a final linear layer. A
    0 in ``widths`` stands for a pooling layer.

    The argument ``unpadded`` is the number of convolutions at the end that have no padding.
    """
    check_narrow(narrow)
    layers: OrderedDict[str, nn.Module] = OrderedDict(layout=ChannelsLast())
    convolutions = sum(width > 0 for width in widths)
    conv = pool = 0
    before = 3
    for width in (wide // narrow for wide in widths):
        if not width:
            pool += 1
            layers[f"pool{pool}"] = nn.MaxPool2d(2)
            continue
        conv += 1
        padding = 0 if conv > convolutions - unpadded else 1
        layers[f"conv{conv}"] = nn.utils.skip_init(nn.Conv2d, before, width, 3, padding=padding)  # type: ignore[no-untyped-call]
        layers[f"norm{conv}"] = nn.BatchNorm2d(width, affine=affine)
        layers[f"relu{conv}"] = nn.ReLU()
        before = width
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.utils.skip_init(nn.Linear, before, 10)  # type: ignore[no-untyped-call]
    net = nn.Sequential(layers)
    draw_first_weights(net, generator, start)
    return net
