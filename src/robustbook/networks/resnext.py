"""Define ResNeXt29 2x64d for CIFAR-10 (Xie et al. 2017) as used by Random Self-Ensemble.

The layers follow the released code of Liu, Cheng, Zhang and Hsieh 2018. The first convolution is 1
x 1 instead of 3 x 3. Each 3 x 3 convolution has two groups (the cardinality). A group has 64
channels in the first stage, and twice as many in each further stage. The output of a block has
twice as many channels as its 3 x 3 convolution (the expansion is 2). Convolutions have no bias, and
a batch norm follows each of them. The network takes images in [0, 1] and does not normalise them.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import ChannelsLast
from .first_weights import check_narrow, draw_first_weights


def resnext29(generator: torch.Generator, narrow: int = 1, start: str = "torch") -> nn.Sequential:
    """Return a network from 32 x 32 colour images to 10 logits, with 9,128,778 parameters.

    The network needs 1,409 million multiply-adds per image.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1 (as in the paper), 2, 4 or 8; the widths 64 to 1024 of the hidden layers are
        divided by this number.
    ``start``: "torch" for torch's default initial weights, or "released" for the initial weights of
        the released code (see `draw_first_weights`).
    """
    check_narrow(narrow)
    width = before = 64 // narrow
    stages = []
    for stage, stride in enumerate((1, 2, 2)):
        inner = 2 * width * 2**stage  # two groups
        for block in range(3):
            stages.append(Block(before, inner, 2 * inner, stride if block == 0 else 1))
            before = 2 * inner
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            layout=ChannelsLast(),
            conv=_conv(3, width, 1),
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            blocks=nn.Sequential(*stages),
            average=nn.AvgPool2d(8),
            flatten=nn.Flatten(),
            linear=nn.utils.skip_init(nn.Linear, before, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_first_weights(net, generator, start)
    return net


class Block(nn.Module):
    """A residual block with three convolutions: 1 x 1, then 3 x 3 in two groups, then 1 x 1.

    If the input and the output of a block differ in shape, the shortcut is a convolution; otherwise
    it is the identity.
    """

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(before, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.norm2 = _conv(inner, inner, 3, stride, groups=2), nn.BatchNorm2d(inner)
        self.conv3, self.norm3 = _conv(inner, after, 1), nn.BatchNorm2d(after)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.shortcut = nn.Sequential()
        if before != after or stride != 1:
            self.shortcut = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        out = self.relu1(self.norm1(self.conv1(x)))
        out = self.relu2(self.norm2(self.conv2(out)))
        joined: Tensor = self.relu3(self.norm3(self.conv3(out)) + self.shortcut(x))
        return joined


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias; with stride 1, its padding keeps the size of the feature
    maps.
    """
    conv: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d,
        before,
        after,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    return conv
