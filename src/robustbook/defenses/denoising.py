r"""Add denoising blocks to a network, which filter its feature maps.

Feature denoising is from Xie, Wu, van der Maaten, Yuille and He 2019 (arXiv 1812.03411). A
denoising block filters feature maps x and adds the result to x:

.. math:: y = x + \mathrm{BN}_{\gamma=0}(W D(x))

D is a filter, W is a 1 x 1 convolution without bias, and BN is a batch norm. The scale of the batch
norm is 0 before training, so a new block returns its input. No ReLU follows the sum. The filter
averages x itself, without a learned projection of x. The paper places blocks after stages of a
ResNet.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Kind = Literal["gaussian", "dot", "bilateral", "mean", "median", "null"]
"""The name of a filter: ``gaussian`` and ``dot`` are non-local means; ``bilateral``, ``mean`` and
``median`` use only 3 x 3 positions; ``null`` is the identity, for comparison.
"""


class NonLocalGaussian(nn.Module):
    """A filter whose output at position i is the weighted mean of x_j over all positions j.

    The weights are proportional to exp(theta(x_i) . phi(x_j) / sqrt(C / 2)) and sum to 1. The
    functions theta and phi are 1 x 1 convolutions without bias from C to C / 2 channels.
    """

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.theta, self.phi = _embeddings(channels, generator)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        theta, phi, values = (y.flatten(2).mT for y in (self.theta(x), self.phi(x), x))
        weights = (theta @ phi.mT / math.sqrt(theta.shape[2])).softmax(2)
        return (weights @ values).mT.reshape_as(x)


class NonLocalDot(nn.Module):
    """A filter whose output at position i is the sum of (x_i . x_j) x_j / N over all N positions j.

    If the number C of channels is at most N, the sum of x_j x_j^T over j is computed first. The
    filter then needs N C^2 operations instead of N^2 C. Both orders of computation give the same
    result up to rounding.
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        columns = x.flatten(2)
        channels, positions = columns.shape[1:]
        if channels <= positions:
            found = (columns @ columns.mT) @ columns
        else:
            found = columns @ (columns.mT @ columns)
        return (found / positions).view(x.shape)


class Bilateral(nn.Module):
    """A filter like `NonLocalGaussian`, whose weighted mean includes only the 3 x 3 positions
    around position i. At the border of the feature map, positions outside the map are left out.
    """

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.theta, self.phi = _embeddings(channels, generator)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        _refuse_small(x)
        theta, phi = self.theta(x), self.phi(x)
        logits = torch.stack([(theta * near).sum(1) for near in _shifted(phi)], 1)
        inside = torch.cat(_shifted(torch.ones_like(x[:1, :1])), 1) == 1
        logits = (logits / math.sqrt(theta.shape[1])).masked_fill(~inside, -math.inf)
        weights = logits.softmax(1)[:, :, None]
        return torch.stack([weights[:, k] * near for k, near in enumerate(_shifted(x))]).sum(0)


class Mean(nn.Module):
    """A filter that computes the mean over 3 x 3 positions. At the border of the feature map,
    positions outside the map are left out.
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        _refuse_small(x)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Median(nn.Module):
    """A filter that computes the median of each channel over 3 x 3 positions. A position outside
    the feature map counts with the value of the nearest position inside the map. The backward pass
    gives a gradient only to the position whose value is the median.
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        _refuse_small(x)
        sorting = _shifted(x.detach(), mode="replicate")
        for i, j in _EXCHANGES:
            low, high = torch.minimum(sorting[i], sorting[j]), torch.maximum(sorting[i], sorting[j])
            sorting[i], sorting[j] = low, high
        median = sorting[4]
        found = torch.zeros_like(x)
        free = torch.ones_like(x, dtype=torch.bool)
        for near in _shifted(x, mode="replicate"):  # keep the first position with this value
            here = free & (near == median)
            found = found + torch.where(here, near, 0)
            free = free & ~here
        return torch.where(free, median, found)  # no value equals NaN


_EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Pairs of places among nine values. Each exchange puts the smaller value at the first place and
the larger at the second. After all exchanges, place 4 has the median (Paeth 1990). On a CPU this is
eight times as fast as sorting.
"""


class Denoising(nn.Module):
    """A denoising block for feature maps of ``channels`` channels.

    ``kind``: the name of the filter; `Kind` lists all names.
    ``generator``: the generator that draws the initial weights from normal distributions. For theta
        and phi, the standard deviation is 0.01. For the 1 x 1 convolution after the filter, the
        variance is 2 / channels.
    ``convolution``: whether a 1 x 1 convolution follows the filter.
    ``residual``: whether the block adds its input to the filtered features. If ``residual`` is
        False, the initial scale of the batch norm is 1, because with the scale 0 the block would
        return zeros.
    """

    def __init__(
        self,
        channels: int,
        kind: str,
        generator: torch.Generator,
        *,
        convolution: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.residual = channels, residual
        self.filter = _filter(kind, channels, generator)
        self.conv: nn.Module = nn.Identity()
        if convolution:
            self.conv = _pointwise(channels, channels, math.sqrt(2 / channels), generator)
        self.norm = nn.BatchNorm2d(channels)
        if residual:
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        if x.shape[1] != self.channels:
            raise ValueError(
                f"feature maps must have {self.channels} channels, got {x.shape[1]} in a denoising "
                "block"
            )
        change: Tensor = self.norm(self.conv(self.filter(x)))
        return x + change if self.residual else change

    def extra_repr(self) -> str:
        return f"channels={self.channels}" + ("" if self.residual else ", without the residual sum")


def denoised(
    net: nn.Module,
    kind: str,
    generator: torch.Generator,
    *,
    after: Sequence[str] | None = None,
    convolution: bool = True,
    residual: bool = True,
) -> nn.Module:
    """Return a copy of ``net`` with a denoising block after each of the named submodules.

    ``after``: names of submodules. Each submodule must contain convolutions, and its output must
        have as many channels as the output of its last convolution. With ``after`` None, the
        submodules are ``stage1``, ``stage2``, ... of a residual network, as in the paper.
    ``kind``: the name of the filter; `Kind` lists all names.
    ``generator``: the generator that draws the initial weights of the blocks.
    ``convolution``: whether a block has a 1 x 1 convolution after its filter.
    ``residual``: whether a block adds its input to the filtered features.

    A submodule ``stage1`` becomes a sequence of two modules: ``stage1.layers`` is the old
    submodule, and ``stage1.denoising`` is the block. If ``residual`` is True, the untrained copy
    gives the same logits as ``net`` in evaluation mode. Raises ValueError for a name that ``net``
    does not have, or a submodule without convolution.
    """
    if after is None:
        after = [name for name, _ in net.named_children() if name.startswith("stage")]
        if not after:
            raise ValueError(f"after must name submodules of {type(net).__name__}, got None")
    if len(set(after)) < len(after):
        raise ValueError(f"after must name each submodule once, got {', '.join(after)}")
    found = copy.deepcopy(net)
    known = dict(found.named_modules())
    blocks = {}
    for name in after:
        if name not in known or not name:
            raise ValueError(f"after must name submodules of the network, got {name!r}")
        convolutions = [layer for layer in known[name].modules() if isinstance(layer, nn.Conv2d)]
        if not convolutions:
            raise ValueError(f"after must name submodules with convolutions, got {name!r}")
        blocks[name] = Denoising(
            convolutions[-1].out_channels,
            kind,
            generator,
            convolution=convolution,
            residual=residual,
        ).to(convolutions[-1].weight)
    # A submodule moves to another name, so the submodules inside it get their blocks first.
    for name in sorted(blocks, key=lambda name: -name.count(".")):
        layers = known[name]
        place, _, last = name.rpartition(".")
        joined = nn.Sequential(OrderedDict[str, nn.Module](layers=layers, denoising=blocks[name]))
        setattr(found.get_submodule(place), last, joined.train(layers.training))
    return found


def _filter(kind: str, channels: int, generator: torch.Generator) -> nn.Module:
    if kind == "gaussian":
        return NonLocalGaussian(channels, generator)
    if kind == "dot":
        return NonLocalDot()
    if kind == "bilateral":
        return Bilateral(channels, generator)
    if kind == "mean":
        return Mean()
    if kind == "median":
        return Median()
    if kind == "null":
        return nn.Identity()
    raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")


def _embeddings(channels: int, generator: torch.Generator) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Return the 1 x 1 convolutions theta and phi, which halve the number of channels."""
    if channels % 2:
        raise ValueError(
            f"channels must be even, because the embedding has half as many, got {channels}"
        )
    theta = _pointwise(channels, channels // 2, 0.01, generator)
    return theta, _pointwise(channels, channels // 2, 0.01, generator)


def _pointwise(before: int, after: int, deviation: float, generator: torch.Generator) -> nn.Conv2d:
    conv: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, before, after, 1, bias=False)  # type: ignore[no-untyped-call]
    nn.init.normal_(conv.weight, std=deviation, generator=generator)
    return conv


def _shifted(x: Tensor, mode: str = "constant") -> list[Tensor]:
    """Return nine shifted copies of the feature maps, which contain for every position the values
    at the 3 x 3 positions around this position. Outside the feature map the values are 0 or, for
    the mode ``replicate``, equal to the value at the nearest position inside the map.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1), mode=mode)
    return [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]


def _refuse_small(x: Tensor) -> None:
    if min(x.shape[2:]) < 3:
        height, width = x.shape[2:]
        raise ValueError(
            f"feature maps must have 3 x 3 positions or more for a filter over 3 x 3, got {height} "
            f"x {width}"
        )
