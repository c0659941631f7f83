"""Define the residual networks of Madry et al. 2018 for CIFAR-10 (released code,
cifar10_challenge).

The networks have three stages of five pre-activation blocks, with leaky ReLUs of slope 0.1. A
shortcut between stages averages neighbouring pixels and adds channels of zeros, so it has no
weights. The network first normalises each image: it subtracts the image's mean and divides by the
image's standard deviation.

Three details differ from the released code, which uses TensorFlow. A convolution with stride 2 pads
both sides of the image, not only the right and the lower one. Batch norm adds 1e-5 to the variance,
not 1e-3. The last layer starts with torch's usual weights, not with a bias of 0 and weights up to
sqrt(3 / n) for n inputs.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import ChannelsLast
from .first_weights import draw_first_weights

SLOPE = 0.1


def madry_resnet(generator: torch.Generator, narrow: int = 1, wide: int = 1) -> nn.Sequential:
    """Return a network from 32 x 32 colour images to 10 logits.

    ``generator``: the random generator that draws the initial weights.
    ``narrow``: 1 or 2; the widths 16, 32 and 64 of the stages are divided by this number.
    ``wide``: 1 or 10; the widths of the stages are multiplied by this number. With 1 the network is
        the paper's *simple* network, with 464,154 parameters; with 10 it is the *wide* network,
        with 45,901,914 parameters.
    """
    if narrow not in (1, 2):
        raise ValueError(f"narrow must be 1 or 2, got {narrow}")
    if wide not in (1, 10):
        raise ValueError(f"wide must be 1 or 10, got {wide}")
    before = 16 // narrow
    stages: dict[str, nn.Module] = {}
    for number, width in enumerate((16, 32, 64), start=1):
        after, stride = width * wide // narrow, 1 if number == 1 else 2
        blocks = [PaddedBlock(before, after, stride, active=number == 1)]
        blocks += [PaddedBlock(after, after, 1) for _ in range(4)]
        stages[f"stage{number}"] = nn.Sequential(*blocks)
        before = after
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            layout=ChannelsLast(),
            standardise=PerImage(),
            conv=_conv(3, 16 // narrow),
            **stages,
            norm=nn.BatchNorm2d(before),
            relu=nn.LeakyReLU(SLOPE),
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.utils.skip_init(nn.Linear, before, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_first_weights(net, generator, "torch")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", generator=generator)
    return net


class PerImage(nn.Module):
    """Subtract the mean of each image, and divide by the standard deviation of the image. The
    divisor is at least 1 / sqrt(n) for an image of n numbers, as in TensorFlow.
    """

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        if not len(images):
            return images
        variance, mean = torch.var_mean(images, dim=(1, 2, 3), keepdim=True, correction=0)
        # The minimum of the variance also keeps the gradient of a constant image finite.
        return (images - mean) / variance.clamp(min=1 / images[0].numel()).sqrt()


class PaddedBlock(nn.Module):
    """A residual block with two convolutions, each preceded by batch norm and leaky ReLU.

    ``active``: whether the input of the shortcut is the output of the first leaky ReLU (True) or
        the input of the block (False).
    """

    def __init__(self, before: int, after: int, stride: int, active: bool = False) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), _conv(before, after, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), _conv(after, after)
        self.relu1, self.relu2 = nn.LeakyReLU(SLOPE), nn.LeakyReLU(SLOPE)
        self.stride, self.added, self.active = stride, after - before, active

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        inside = self.relu1(self.norm1(x))
        out = self.conv2(self.relu2(self.norm2(self.conv1(inside))))
        kept = inside if self.active else x
        if self.stride > 1:
            kept = F.avg_pool2d(kept, self.stride)
        if self.added:
            left = self.added // 2
            kept = F.pad(kept, (0, 0, 0, 0, left, self.added - left))
        joined: Tensor = out + kept
        return joined


def _conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    conv: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, before, after, 3, stride=stride, padding=1, bias=False
    )
    return conv
