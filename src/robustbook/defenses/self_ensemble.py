"""Random Self-Ensemble (Liu, Cheng, Zhang and Hsieh 2018): noise in front of every convolution.

A noise layer adds to each number that a convolution is given a normal one with mean 0 and a fixed
deviation, drawn anew for every image and every pass, in training and at test. The prediction is the
class whose softmax probability, summed over several draws, is largest (the paper's Algorithm 1).
The noise of one layer, by default that of the image, has the deviation ``init``, all others have
``inner``. The linear layers get none.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .normals import Stream, fresh, streams

When = Literal["always", "training", "test", "never"]
Placement = Literal["paper", "code", "2018"]


@dataclass
class _Source:
    """What the noise layers of one network share: when they draw, and from what."""

    when: str
    stream: Stream | None = None


class Noise(nn.Module):
    """Adds to every number a normal one of deviation ``sigma``; where it stands, its repr says."""

    def __init__(self, sigma: float, source: _Source) -> None:
        super().__init__()
        self.sigma, self.source = sigma, source

    def forward(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        when = self.source.when
        wanted = when == "always" or when == ("training" if self.training else "test")
        if not wanted or self.sigma == 0:
            return x
        stream = self.source.stream
        if stream is None and x.is_cuda:
            return torch.add(x, torch.randn_like(x), alpha=self.sigma)
        return torch.add(x, _shaped(stream or fresh(len(x)), x), alpha=self.sigma)

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}, {self.source.when}"


def _shaped(stream: Stream, x: Tensor) -> Tensor:
    """Normal numbers like ``x``; channels vary quickest, which is how convolutions are laid out."""
    if len(stream.starts) != len(x):
        raise ValueError(
            f"keys must name one key for each of the {len(x)} rows that a noise layer is given, "
            f"got {len(stream.starts)}"
        )
    drawn = stream.normal(x[0].numel() if len(x) else 0, x.dtype)
    if x.ndim < 3:
        return drawn.view_as(x)
    return drawn.view(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)


class Noisy(nn.Module):
    """A network with noise layers, made by `noisy`: a randomised model.

    Called with images it draws fresh noise from torch's own generator. `at` gives the function of
    images that one draw of the noise makes of it.
    """

    def __init__(self, net: nn.Module, source: _Source, seed: int) -> None:
        super().__init__()
        self.net, self.seed = net, seed
        self._source = source

    @property
    def when(self) -> str:
        """When noise is drawn: always, in training mode only, at test only, or never."""
        return self._source.when

    @when.setter
    def when(self, when: str) -> None:
        _check("when", when, When)
        self._source.when = when

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(images)
        return logits

    def at(
        self, keys: Int[Tensor, " n"], draw: int | Int[Tensor, " n"]
    ) -> Callable[[Float[Tensor, "n *shape"]], Float[Tensor, "n k"]]:
        """From n images to logits, with the noise of these keys and draws.

        keys: one number for each image. draw: the number of the draw, one for all or one for each.
        The noise of an image depends on the network's ``seed``, its key and its draw and on nothing
        else: not on the images beside it, their order or the device. The same call gives the same
        noise each time.
        """
        starts = streams(self.seed, keys, draw).starts

        def logits(images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
            with self._reading(Stream(starts)):
                out: Tensor = self(images)
            return out

        return logits

    @contextlib.contextmanager
    def _reading(self, stream: Stream) -> Iterator[None]:
        before, self._source.stream = self._source.stream, stream
        try:
            yield
        finally:
            self._source.stream = before


def noisy(
    net: nn.Module,
    *,
    init: float = 0.4,
    inner: float = 0.1,
    placement: str = "paper",
    when: str = "always",
    seed: int = 0,
) -> Noisy:
    """A copy of ``net`` with a noise layer in front of every convolution.

    init, inner: standard deviations, of images in [0, 1] and of activations, 0 or more; default
        those of the paper's first version for VGG16 and Model A (its Table 1).
    placement: in front of which convolution the noise is ``init``. ``paper``: the first, so on the
        image (Figure 1). ``code``: the second, while the image gets ``inner``; so it is in the
        released code's VGG16, by an index that is off by one; its other networks are as ``paper``.
        ``2018``: the first, as in the authors' later release, which repairs that. The order is that
        in which the network registers its layers.
    when: ``always`` (the paper's), ``training`` (noise in training mode only), ``test`` (in
        evaluation mode only) or ``never``; it can be set later.
    seed: of the noise that `Noisy.at` draws.

    The names of weights stay: ``noisy(net).net`` takes the ``state_dict`` of ``net``.
    Raises ValueError for a network without convolutions, or with noise layers.
    """
    _check_sigma("init", init)
    _check_sigma("inner", inner)
    _check("placement", placement, Placement)
    _check("when", when, When)
    found = _copied(net)
    layers = _convolutions(found)
    first = 1 if placement == "code" else 0
    if len(layers) <= first:
        raise ValueError(
            f"net must have {first + 1} convolutions or more, as noise is put in front of them "
            f"(placement {placement}), got {type(net).__name__} with {len(layers)}"
        )
    source = _Source(when)
    for i, layer in enumerate(layers):
        layer.add_module("noise", Noise(float(init if i == first else inner), source))
        layer.register_forward_pre_hook(_in_front)
    return Noisy(found, source, seed)


def prototype(net: nn.Module, *, sigma: float = 0.3, seed: int = 0) -> Noisy:
    """The control that is not the paper's method: noise in training mode only.

    The authors' first prototype, which is the default branch of the released repository, adds noise
    behind every convolution and in front of the linear layers, and none in evaluation mode. One
    published evaluation attacked it, a deterministic network, as Random Self-Ensemble (Li et al.
    2019, NATTACK, at deviation 0.3).
    """
    _check_sigma("sigma", sigma)
    found = _copied(net)
    source = _Source("training")
    for layer in _convolutions(found):
        layer.add_module("noise", Noise(float(sigma), source))
        layer.register_forward_hook(_behind)
    for layer in [layer for layer in found.modules() if isinstance(layer, nn.Linear)]:
        layer.add_module("noise", Noise(float(sigma), source))
        layer.register_forward_pre_hook(_in_front)
    return Noisy(found, source, seed)


@torch.no_grad()
def ensemble(
    net: Noisy,
    images: Float[Tensor, "n *shape"],
    keys: Int[Tensor, " n"] | None = None,
    *,
    draws: int = 50,
    start: int = 0,
    memory: int = 2**30,
) -> Float[Tensor, "n k"]:
    """The mean of the softmax probabilities over ``draws`` draws of the noise.

    keys: one number for each image; default its row. draws: how many, 1 or more; default the
    paper's 50. start: the number of the first draw, so that others are fresh ones.
    memory: bytes that the activations may take, about; fewer draws are computed at a time then, and
        the result is the same up to rounding.

    Images and draws are one batch, computed in pieces of a size measured to be quick on the device.
    """
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    if memory < 1:
        raise ValueError(f"memory must be 1 byte or more, got {memory}")
    keys = torch.arange(len(images), device=images.device) if keys is None else keys
    if keys.shape != (len(images),):
        raise ValueError(
            f"keys must name one key per image, got {tuple(keys.shape)} for {len(images)} images"
        )
    numbers = torch.arange(start, start + draws, device=images.device)
    which = torch.arange(len(images), device=images.device).repeat_interleave(draws)
    numbers = numbers.repeat(len(images))
    rows = min(_ROWS.get(images.device.type, 128), max(1, memory // _row_bytes(net, images)))
    pieces: list[Tensor] = []
    at = 0
    while at < len(which):
        part, draw = which[at : at + rows], numbers[at : at + rows]
        try:
            logits = net.at(keys[part], draw)(images[part])
        except torch.cuda.OutOfMemoryError:
            if rows == 1:
                raise
            rows = rows // 2
            continue
        pieces.append(logits.softmax(1))
        at += len(part)
    if not pieces:
        nothing: Tensor = net(images).softmax(1)
        return nothing
    probabilities = torch.cat(pieces)
    return probabilities.view(len(images), draws, -1).mean(1)


_ROWS = {"cpu": 64, "cuda": 2048}
"""Rows (an image and a draw) that one pass computes, as measured."""


def _row_bytes(net: nn.Module, images: Tensor) -> int:
    """What one row's activations take, about: the widest layer's input and output, its noise and
    the integers that the noise is made of."""
    widest = [1]

    def look(layer: Any, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and len(output):
            widest.append(output[0].numel() * output.element_size())

    hooks = [layer.register_forward_hook(look) for layer in net.modules()]
    try:
        if len(images):
            net(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return 8 * max(widest)


def _copied(net: nn.Module) -> nn.Module:
    if any(isinstance(layer, Noise) for layer in net.modules()):
        raise ValueError("net must be a network without noise layers, got one that has them")
    if not _convolutions(net):
        raise ValueError(
            f"net must have convolutions, as noise is put in front of each, "
            f"got {type(net).__name__} without one"
        )
    return copy.deepcopy(net)


def _convolutions(net: nn.Module) -> Sequence[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, _ConvNd)]


def _in_front(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.noise(inputs[0]), *inputs[1:])


def _behind(layer: Any, inputs: Any, output: Tensor) -> Tensor:
    found: Tensor = layer.noise(output)
    return found


def _check_sigma(name: str, sigma: float) -> None:
    if not 0 <= sigma < math.inf:
        raise ValueError(f"{name} must be a standard deviation of 0 or more, got {sigma}")


def _check(name: str, value: str, accepted: Any) -> None:
    if value not in get_args(accepted):
        raise ValueError(f"{name} must be one of {', '.join(get_args(accepted))}, got {value!r}")
