"""A network held fixed while one loss asks it several times about the same images.

Some losses are made of several passes, such as the iterations of an attack. Layers that behave
differently in training would then change the function between two passes: batch norm depends on the
batch, and dropout draws at every call. Here batch norms use their running statistics, and each
image keeps its dropout masks.
"""

from collections import Counter
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

REFUSED = (
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.RNNBase,
    nn.MultiheadAttention,
)
"""Layers that draw random numbers themselves and cannot be given masks from outside."""


class Frozen:
    """A context in which ``net`` is one fixed function of each image; afterwards it is as before.

    Every layer is in evaluation mode. The dropouts of `torch.nn` that were in training mode
    multiply by masks instead. The masks are drawn in the first pass, one for each of its images and
    each place in the network where the dropout is called: a module that is called twice has two.

    generator: draws the masks, on its own device. None on a GPU: torch's default generator of that
        GPU draws them there, which a CUDA graph can record. None on a CPU is refused if a dropout
        is in training mode.

    Raises ValueError for a network with a layer that cannot be frozen, or with dropout and no
    generator.
    """

    def __init__(self, net: nn.Module, generator: torch.Generator | None = None) -> None:
        self.net, self.generator = net, generator
        self._modes = [(module, module.training) for module in net.modules()]
        self._masks: dict[tuple[nn.Module, int], Tensor] = {}
        self._calls: Counter[nn.Module] = Counter()
        self._rows: Tensor | None = None
        self._count: int | None = None
        for module, training in self._modes:
            active = training or isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d)
            if active and isinstance(module, REFUSED) and _is_random(module):
                raise ValueError(
                    f"net must have layers that can be frozen (dropout, batch norm, and whatever "
                    f"is the same in training and evaluation), got a {type(module).__name__}"
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
        """The network's answer. ``rows``: the places of these images among those of the first pass;
        None: they are the same images in the same order."""
        if self._count is None:
            self._count = len(images)
        self._rows = rows
        self._calls.clear()
        out: Tensor = self.net(images)
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
        """In evaluation mode the output is the input: multiply it by the images' own masks."""
        place = (layer, self._calls[layer])
        self._calls[layer] += 1
        if place not in self._masks:
            self._masks[place] = self._mask(layer, output)
        mask = self._masks[place]
        return output * (mask if self._rows is None else mask[self._rows])

    def _mask(self, layer: Any, output: Tensor) -> Tensor:
        """0 with the layer's probability, else 1 over that of staying; a row per image."""
        units = output.shape[1:] if type(layer) is nn.Dropout else output.shape[1:2]
        draw = torch.rand(
            (self._count, *units),
            generator=self.generator,
            dtype=output.dtype,
            device=output.device if self.generator is None else self.generator.device,
        )
        keep = (draw >= layer.p).to(output) / (1 - layer.p)
        return keep.reshape(keep.shape + (1,) * (output.ndim - keep.ndim))


def _is_random(module: nn.Module) -> bool:
    """Whether the layer draws at all: recurrences and attention do only with their dropout."""
    return float(getattr(module, "dropout", 1.0)) > 0
