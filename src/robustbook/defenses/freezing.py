"""A network held still while a loss asks it again and again about the same images.

Where a loss is made of several passes (the iterations of an attack), layers that behave otherwise
in training would change the function between them: a batch norm with the batch, dropout at every
call. Here batch norms use their running statistics, and each image keeps its dropout masks.
"""

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
"""Layers with a randomness of their own that cannot be given masks from outside."""


class Frozen:
    """A context in which ``net`` is one fixed function of each image; afterwards it is as before.

    Every layer is in evaluation mode; those of `torch.nn`'s dropouts that were in training mode
    multiply by masks instead, drawn from ``generator`` at the first pass, one for each of its
    images: later passes name the images again by their rows in it. Raises ValueError for a network
    with a layer that cannot be frozen, or with dropout and no generator.
    """

    def __init__(self, net: nn.Module, generator: torch.Generator | None = None) -> None:
        self.net, self.generator = net, generator
        self._modes = [(module, module.training) for module in net.modules()]
        self._masks: dict[nn.Module, Tensor] = {}
        self._rows: Tensor | None = None
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
        if self._dropouts and generator is None:
            raise ValueError(
                "generator must be a torch.Generator for a network with dropout in training mode, "
                "got None"
            )

    def __call__(
        self, images: Float[Tensor, "m *shape"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, "m *out"]:
        """The network's answer; ``rows`` are the images' places in the first batch."""
        self._rows = rows
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
        if layer not in self._masks:
            shape = output.shape if type(layer) is nn.Dropout else output.shape[:2]
            draw = torch.rand(shape, generator=self.generator, dtype=output.dtype)
            keep = (draw >= layer.p).to(output) / (1 - layer.p)
            self._masks[layer] = keep.reshape(keep.shape + (1,) * (output.ndim - keep.ndim))
        return output * self._masks[layer][self._rows]


def _is_random(module: nn.Module) -> bool:
    """Whether the layer draws at all: recurrences and attention do only with their dropout."""
    return float(getattr(module, "dropout", 1.0)) > 0
