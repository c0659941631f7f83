"""Random Self-Ensemble (Liu, Cheng, Zhang and Hsieh 2018) adds noise in front of every convolution.

A noise layer adds normal noise with mean 0 and a fixed standard deviation to the input of a
convolution. Each image gets new noise in each forward pass, in training and at test time. The
network predicts the class whose softmax probability, summed over several noise draws, is largest
(the paper's Algorithm 1). By default, the noise on the image has the standard deviation ``init``,
and the noise in front of all other convolutions has the standard deviation ``inner``. Linear layers
get no noise.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import (
    check_choice,
    check_count,
    check_images,
    check_integers,
    check_network,
    check_range,
    check_tolerance,
)
from robustbook.attacks.drawing import Drawing, drawn_logits

from .normals import Stream, fresh, streams

When = Literal["always", "training", "test", "never"]
Placement = Literal["paper", "code", "2018"]


@dataclass
class _Source:
    """The settings that all noise layers of a network share: in which modes they draw noise, and
    from which random sequence.
    """

    when: str
    stream: Stream | None = None


class Noise(nn.Module):
    """A layer that adds normal noise of standard deviation ``sigma``."""

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
    """Return normal numbers in the shape of ``x``, in the channels-last memory format."""
    if len(stream.starts) != len(x):
        raise ValueError(
            f"keys must have one key for each of the {len(x)} input rows of a noise layer, "
            f"got {len(stream.starts)}"
        )
    drawn = stream.normal(x[0].numel() if len(x) else 0, x.dtype)
    if x.ndim < 3:
        return drawn.view_as(x)
    return drawn.view(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)


class Noisy(nn.Module):
    """A network with noise layers, as returned by `noisy`: a randomised model.

    Calling the network draws new noise from torch's global generator. The method `Noisy.at` returns
    the network with one fixed draw of the noise, as a function from images to logits.
    """

    def __init__(self, net: nn.Module, source: _Source, seed: int) -> None:
        super().__init__()
        self.net, self.seed = net, seed
        self._source = source

    @property
    def when(self) -> str:
        """Return when noise is drawn: always, only in training mode, only in evaluation mode, or
        never.
        """
        return self._source.when

    @when.setter
    def when(self, when: str) -> None:
        check_choice("when", when, get_args(When))
        self._source.when = when

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(images)
        return logits

    def at(
        self, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]
    ) -> Callable[[Float[Tensor, "n *shape"]], Float[Tensor, "n k"]]:
        """Return the network with fixed noise, as a function from n images to logits; ``keys`` and
        ``draw`` determine the noise.

        ``keys``: a number that identifies each image, such as its index in the data set.
        ``draw``: the number that selects the noise draw: one number for all images, or one for each
            image. Attacks without a generator never use numbers from `robustbook.attacks.FRESH` on.

        The noise of an image depends only on the network's ``seed``, the image's key and the draw
        number. It does not depend on the other images, their order or the device.
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
    seed: int = 1,
) -> Noisy:
    """Return a copy of ``net`` with a noise layer in front of every convolution.

    ``init``, ``inner``: standard deviations of the noise, 0 or more: ``init`` for the noise layer
        that ``placement`` selects, ``inner`` for all others. The default values are those of VGG16
        and Model A in Table 1 of the first version of the paper.
    ``placement``: the convolution in front of which the noise has standard deviation ``init``,
        counted in the order in which the network registers its layers. With ``paper``, it is the
        first convolution, so this noise is on the image (Figure 1). With ``code``, it is the
        second, as in the released code for VGG16, where an index is off by one. For all other
        networks, the released code places the noise as with ``paper``. ``2018`` has the same effect
        as ``paper``; it stands for the authors' later release.
    ``when``: when noise is drawn: ``always`` (as in the paper), ``training`` (only in training
        mode), ``test`` (only in evaluation mode) or ``never``. `Noisy.when` can be changed later.
    ``seed``: seed of the noise that `Noisy.at` draws. An attack without a generator has seed 0. So
        with seed 0, the noise would not be independent of the random start of such an attack.

    The names of the weights stay the same, so ``noisy(net).net`` can load the ``state_dict`` of
    ``net``. Raises ValueError for a network that has no convolutions, or that has noise layers
    already.
    """
    check_network(net)
    check_tolerance("init", init)
    check_tolerance("inner", inner)
    check_count("seed", seed, 0)
    check_choice("placement", placement, get_args(Placement))
    check_choice("when", when, get_args(When))
    found = _copied(net)
    layers = _convolutions(found)
    first = 1 if placement == "code" else 0
    if len(layers) <= first:
        raise ValueError(
            f"net must have {first + 1} convolutions or more, because noise is added in front "
            f"of them (placement {placement}), got {type(net).__name__} with {len(layers)}"
        )
    source = _Source(when)
    for i, layer in enumerate(layers):
        _add_noise(layer, float(init if i == first else inner), source)
        layer.register_forward_pre_hook(_in_front)
    return _wrapped(found, source, seed)


def prototype(net: nn.Module, *, sigma: float = 0.3, seed: int = 0) -> Noisy:
    """Return a copy of ``net`` with the noise layers of the authors' first prototype. Unlike the
    paper's method, the prototype adds noise only in training mode.

    The default branch of the released repository contains this prototype, which adds noise after
    every convolution and in front of the linear layers. Li et al. 2019 (NATTACK) attacked this
    prototype, with standard deviation 0.3, as if it were Random Self-Ensemble. But the prototype is
    deterministic at test time.
    """
    check_network(net)
    check_tolerance("sigma", sigma)
    check_count("seed", seed, 0)
    found = _copied(net)
    source = _Source("training")
    for layer in _convolutions(found):
        _add_noise(layer, float(sigma), source)
        layer.register_forward_hook(_behind)
    for layer in [layer for layer in found.modules() if isinstance(layer, nn.Linear)]:
        _add_noise(layer, float(sigma), source)
        layer.register_forward_pre_hook(_in_front)
    return _wrapped(found, source, seed)


def _add_noise(layer: nn.Module, sigma: float, source: _Source) -> None:
    """Add a noise layer to a layer, in the same mode (training or evaluation) as the layer."""
    layer.add_module("noise", Noise(sigma, source).train(layer.training))


def _wrapped(net: nn.Module, source: _Source, seed: int) -> Noisy:
    found = Noisy(net, source, seed)
    found.training = net.training  # all layers keep their own modes
    return found


@torch.no_grad()
def ensemble(
    net: Drawing,
    images: Float[Tensor, "n *shape"],
    keys: Int[Tensor, " n"] | None = None,
    *,
    draws: int = 50,
    start: int = 0,
    memory: int = 2**30,
    box: bool = True,
) -> Float[Tensor, "n k"]:
    """Return the mean of the softmax probabilities over ``draws`` draws of the noise.

    ``net``: a network with noise layers, or any other randomised model, such as `ResizedPadded`.
    ``images``: the images, in [0, 1].
    ``keys``: one number for each image, which determines the image's noise; by default the row
        number.
    ``draws``: number of noise draws, 1 or more; the default is 50, as in the paper.
    ``start``: the draw number of the first noise draw; a different ``start`` gives different noise.
        For adversarial images, use `robustbook.attacks.FRESH`. Attacks without a generator use the
        draws from 0 on, so with the default the attack would already have used this noise.
    ``memory``: approximate limit on the bytes of activations. With a smaller ``memory``, fewer
        noise draws are computed at a time; the result is the same up to rounding.
    ``box``: whether pixels must lie in [0, 1]. With False, they may have any finite value, such as
        those of an attack that does not clip.

    Each row of a batch is one image with one noise draw. The batch size is chosen for speed on the
    CPU or GPU. It is halved if the GPU's memory does not suffice. Raises ValueError for an invalid
    argument, or logits that are not finite.
    """
    if not isinstance(net, Drawing):
        raise ValueError(
            f"net must be a randomised model with a method at, such as noisy returns, "
            f"got {type(net).__name__}"
        )
    check_images(images)
    draws, start = check_count("draws", draws), check_count("start", start, 0)
    memory = check_count("memory", memory)
    keys = torch.arange(len(images), device=images.device) if keys is None else keys
    check_integers("keys", keys, images)
    if images.numel():
        low, high = torch.stack(images.aminmax()).tolist()
        check_range(low, high, box)
    with unchanged(net):
        batches = drawn_logits(net, images, keys, draws, start, memory)
        probabilities = torch.cat([logits.softmax(1) for _, logits in batches])
    if bool(probabilities.isnan().any()):
        raise ValueError("net must give finite logits, got NaN or infinity")
    return probabilities.view(len(images), draws, probabilities.shape[1]).mean(1)


def _copied(net: nn.Module) -> nn.Module:
    if any(isinstance(layer, Noise | Drawing) for layer in net.modules()):
        raise ValueError("net must be a network without random layers, got one that has them")
    if not _convolutions(net):
        raise ValueError(
            f"net must have convolutions, because noise is added in front of each, "
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
