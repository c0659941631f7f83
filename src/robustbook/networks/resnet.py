"""Define residual networks for CIFAR-10, which map 32 x 32 colour images in [0, 1] to 10 logits.

Each network starts with a convolution of 3 x 3 with stride 1. Then come the stages, the submodules
``stage1``, ``stage2`` and so on, which consist of basic blocks with two 3 x 3 convolutions each.
The network ends with the mean over all positions and a linear layer. Convolutions have no bias. The
argument ``narrow`` (1, 2, 4 or 8) divides the number of channels of every layer.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import ChannelsLast
from .first_weights import check_narrow, draw_first_weights
from .imagenet import Normalised

MEAN = (0.4914, 0.4822, 0.4465)
DEVIATION = (0.2471, 0.2435, 0.2616)
"""Mean and standard deviation of CIFAR-10's red, green and blue values in [0, 1]."""


def resnet18(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return ResNet-18 for CIFAR-10, with 11,173,962 parameters in stages of 64 to 512 channels.

    Images are normalised with the mean and standard deviation of each channel. The network needs
    555 million multiply-adds per image.
    """
    stages = _stages(Block, (64, 128, 256, 512), 2, narrow)
    start = {"normalise": Normalised(MEAN, DEVIATION), **_first(64, narrow), **_relu(64, narrow)}
    return _network({**start, **stages}, 512 // narrow, generator)


def resnet110(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return the ResNet-110 of Cohen, Rosenfeld and Kolter 2019 (released code), with 1,730,714
    parameters in three stages of 16, 32 and 64 channels.

    Images are normalised with the mean and the standard deviation of each channel; the standard
    deviations are taken from the released code. The network needs 253 million multiply-adds per
    image. For this network ``narrow`` must be 1 or 2, because torch's convolutions with 4 channels
    can crash on a CPU.
    """
    if narrow not in (1, 2):
        raise ValueError(f"narrow must be 1 or 2, got {narrow}")
    stages = _stages(Block, (16, 32, 64), 18, narrow)
    normalise = Normalised(MEAN, (0.2023, 0.1994, 0.2010))
    start = {"normalise": normalise, **_first(16, narrow), **_relu(16, narrow)}
    return _network({**start, **stages}, 64 // narrow, generator)


def preact18(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return the PreActResNet-18 of Wong, Rice and Kolter 2020 (released code), with 11,172,170
    parameters in stages of 64 to 512 channels.

    Images are normalised with the mean and standard deviation of each channel. The network needs
    555 million multiply-adds per image.
    """
    stages = _stages(PreactBlock, (64, 128, 256, 512), 2, narrow)
    start = {"normalise": Normalised(MEAN, DEVIATION), **_first(64, narrow)}
    return _network({**start, **stages, **_relu(512, narrow)}, 512 // narrow, generator)


def preact20(generator: torch.Generator, narrow: int = 1) -> nn.Sequential:
    """Return the pre-activation ResNet-20 of Mosbach et al. 2018 (released code), with 4,330,570
    parameters in stages of 64, 128 and 256 channels.

    Images are not normalised, and no batch norm precedes the last ReLU. The shortcut of the first
    block of each stage is a convolution, which is applied to the input of the block, before batch
    norm and ReLU. The network needs 652 million multiply-adds per image.

    Three details differ from the released code. Convolutions of stride 2 are padded on both sides,
    while TensorFlow pads them on one side only. Batch norm averages its statistics with torch's
    default momentum; the decay 0.999 of the released code averages over more steps. The initial
    weights of convolutions have a different variance (see `_network`).
    """
    block = partial(PreactBlock, raw=True)
    stages = _stages(block, (64, 128, 256), 3, narrow, convolved=True)
    layers = {**_first(64, narrow), **stages, "relu": nn.ReLU()}
    return _network(layers, 256 // narrow, generator)


class Block(nn.Module):
    """A residual block with two convolutions, each followed by batch norm. One ReLU is between the
    convolutions, and a second ReLU follows the sum with the shortcut.

    ``convolved``: whether the shortcut is a convolution with batch norm (True) or the identity
        (False).
    """

    def __init__(self, before: int, after: int, stride: int, convolved: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(before, after, 3, stride), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = _conv(after, after), nn.BatchNorm2d(after)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shortcut = nn.Sequential()
        if convolved:
            self.shortcut = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        out = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        joined: Tensor = self.relu2(out + self.shortcut(x))
        return joined


class PreactBlock(nn.Module):
    """A residual block with two convolutions, each preceded by batch norm and ReLU.

    ``convolved``: whether the shortcut is a convolution (True) or the identity (False).
    ``raw``: whether the input of the shortcut's convolution is the input of the block (True) or the
        output of the first ReLU (False).
    """

    def __init__(
        self, before: int, after: int, stride: int, convolved: bool, raw: bool = False
    ) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), _conv(before, after, 3, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), _conv(after, after)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shortcut = _conv(before, after, 1, stride) if convolved else nn.Sequential()
        self.raw = raw or not convolved

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        active = self.relu1(self.norm1(x))
        out = self.conv2(self.relu2(self.norm2(self.conv1(active))))
        joined: Tensor = out + self.shortcut(x if self.raw else active)
        return joined


def _first(width: int, narrow: int) -> dict[str, nn.Module]:
    return {"conv": _conv(3, width // narrow)}


def _relu(width: int, narrow: int) -> dict[str, nn.Module]:
    return {"norm": nn.BatchNorm2d(width // narrow), "relu": nn.ReLU()}


def _stages(
    block: Callable[[int, int, int, bool], nn.Module],
    widths: Sequence[int],
    depth: int,
    narrow: int,
    *,
    convolved: bool = False,
) -> dict[str, nn.Module]:
    """Return the stages of a network, with ``depth`` blocks each. Every stage except the first
    starts with stride 2.

    ``convolved``: whether the first block of the first stage has a convolution in its shortcut. The
        first block of every later stage always has one.
    """
    check_narrow(narrow)
    stages: dict[str, nn.Module] = {}
    before = widths[0] // narrow
    for number, width in enumerate((wide // narrow for wide in widths), start=1):
        stride = 1 if number == 1 else 2
        first = block(before, width, stride, convolved or number > 1)
        rest = [block(width, width, 1, False) for _ in range(depth - 1)]
        stages[f"stage{number}"] = nn.Sequential(first, *rest)
        before = width
    return stages


def _network(
    layers: Mapping[str, nn.Module], width: int, generator: torch.Generator
) -> nn.Sequential:
    """Return a network that consists of the given layers, the mean over positions, and a linear
    layer.

    The initial weights of convolutions are normal with variance 2 / (output channels x kernel
    size), as in the released code of most papers. Only the code of Mosbach et al. uses the number
    of input channels instead. The linear layer is drawn from torch's default distribution.
    """
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            layout=ChannelsLast(),
            **layers,
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.utils.skip_init(nn.Linear, width, 10),  # type: ignore[no-untyped-call]
        )
    )
    draw_first_weights(net, generator, "torch")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", generator=generator)
    return net


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, whose padding keeps the image size if the stride is 1."""
    conv: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, before, after, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    return conv
