"""Keep a network fixed while a loss passes the same images through the network several times.

Some losses need several passes through the network, for example for the iterations of an attack. In
training mode, the network would change from pass to pass: batch norm depends on the other images of
the batch, and dropout draws a new mask at every call. In a frozen network, batch norm layers use
their running statistics, and each image keeps its dropout masks.
"""

from collections import Counter
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from .self_ensemble import Noise

REFUSED = (
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.RNNBase,
    nn.MultiheadAttention,
)
"""Layers that draw random numbers internally, so that their masks cannot be set."""


class Frozen:
    """A context in which ``net`` is a fixed function of each image. On exit, each layer gets its
    former mode (training or evaluation) back.

    Inside the context, every layer is in evaluation mode, but dropout layers of `torch.nn` that
    were in training mode multiply their input by stored masks. The first pass draws these masks,
    one for each image and each call of a dropout layer. So a layer that is called twice in a pass
    has two masks for each image.

    ``generator``: the generator that draws the dropout masks, on the generator's device. None on a
        GPU means torch's default generator, which a CUDA graph can record.

    Raises ValueError for a network with a layer that cannot be frozen (see `varies`). Raises
    ValueError too if ``generator`` is None while a dropout layer on a CPU is in training mode.
    """

    def __init__(self, net: nn.Module, generator: torch.Generator | None = None) -> None:
        self.net, self.generator = net, generator
        self._modes = [(module, module.training) for module in net.modules()]
        self._masks: dict[tuple[nn.Module, int], Tensor] = {}
        self._calls: Counter[nn.Module] = Counter()
        self._rows: Tensor | None = None
        self._count: int | None = None
        for module, training in self._modes:
            if varies(module, training):
                raise ValueError(
                    f"net must have layers that can be frozen (dropout, batch norm with running "
                    f"statistics, and layers that work equally in training and evaluation), "
                    f"got a {type(module).__name__}"
                )
        self._dropouts = [
            module
            for module, training in self._modes
            if training and isinstance(module, _DropoutNd) and module.p > 0
        ]
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        if self._dropouts and generator is None and device.type == "cpu":
            raise ValueError(
                "generator must be a torch.Generator for a network with dropout in training mode, "
                "got None"
            )

    def __call__(
        self, images: Float[Tensor, "m *shape"], rows: Int[Tensor, " m"] | None = None
    ) -> Float[Tensor, "m *out"]:
        """Return the network's output for the images.

        ``rows``: for each image, its row number in the batch of the first pass. With None, the
            images must be the same as in the first pass, in the same order.
        """
        if self._count is None:
            self._count = len(images)
        self._rows = rows
        self._calls.clear()
        out: Tensor = self.net(images.clone())
        return out

    def __enter__(self) -> "Frozen":
        self._hooks = [layer.register_forward_hook(self._drop) for layer in self._dropouts]
        self.net.eval()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        for module, training in self._modes:
            module.training = training

    def _drop(self, layer: Any, inputs: Any, output: Tensor) -> Tensor:
        """Multiply the output of a dropout layer by the stored masks of the images. The layer
        itself is in evaluation mode, so it changes nothing.
        """
        place = (layer, self._calls[layer])
        self._calls[layer] += 1
        if place not in self._masks:
            self._masks[place] = self._mask(layer, output)
        mask = self._masks[place]
        return output * (mask if self._rows is None else mask[self._rows])

    def _mask(self, layer: Any, output: Tensor) -> Tensor:
        """Return a dropout mask per image: each entry is 0 with probability p, else 1 / (1 - p)."""
        units = output.shape[1:] if isinstance(layer, nn.Dropout) else output.shape[1:2]
        draw = torch.rand(
            (self._count, *units),
            generator=self.generator,
            dtype=output.dtype,
            device=output.device if self.generator is None else self.generator.device,
        )
        keep: Tensor = (draw >= layer.p).to(output) / (1 - layer.p or 1)  # no 0 / 0 if p is 1
        return keep.reshape(keep.shape + (1,) * (output.ndim - keep.ndim))


def varies(module: nn.Module, training: bool) -> bool:
    """Return whether the layer's output is random or depends on the other images, even if batch
    norm uses running statistics and dropout masks are fixed. Recurrent and attention layers are
    random only if they have dropout.
    """
    if isinstance(module, _BatchNorm):
        return module.running_mean is None
    if isinstance(module, Noise) or hasattr(module, "at"):
        return True
    active = training or isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d)
    return active and isinstance(module, REFUSED) and float(getattr(module, "dropout", 1.0)) > 0
