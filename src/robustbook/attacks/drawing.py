"""Define the interface of randomised models with numbered noise draws, so that a noise draw can be
repeated.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_ROWS = {"cpu": 64, "cuda": 2048}
"""Number of rows in one forward pass of `drawn_logits`, chosen by measuring speed."""


@runtime_checkable
class Drawing(Protocol):
    """A randomised model whose noise depends only on the image's key and the draw number.

    So an attack on one image does not depend on the other images of the batch. Two forward passes
    of an image with the same draw number use the same noise.
    """

    def at(
        self, keys: Int[Tensor, " n"], draw: int | Int[Tensor, " n"]
    ) -> Callable[[Tensor], Tensor]:
        """Return a function from n images to logits, whose noise the keys and the draw number
        determine.

        ``keys``: a number that identifies the image of each row, such as its index in the data set.
        ``draw``: the number that selects the noise draw, from 0 to 2**63 - 1: one number for all
            rows, or one for each row. Attacks without a generator use draw numbers from 0 on, and
            never numbers from `FRESH` on.
        """
        ...


def with_draw(model: Any, keys: Int[Tensor, " n"], draw: Any) -> Callable[[Tensor], Tensor]:
    """Return a randomised model with one fixed draw of its noise, or the model itself if it is not
    randomised.
    """
    found: Any = model.at(keys, draw) if isinstance(model, Drawing) else model
    return found  # type: ignore[no-any-return]


def nested(kind: type[nn.Module], net: nn.Module) -> tuple[int, ...]:
    """Count the network's modules of this kind. Return the number in a tuple, or () if there is
    none.

    The caller adds the tuple to the purpose of its random numbers (see `robustbook.randomness`). So
    an outer module and an inner module with the same seed use different random numbers.
    """
    depth = sum(isinstance(part, kind) for part in net.modules())
    return (depth,) if depth else ()


def check_draws(net: nn.Module) -> None:
    """Raise ValueError if a part of a network is a randomised model, but not the whole network,
    because then the draw of the part cannot be fixed.
    """
    if not isinstance(net, Drawing) and any(isinstance(part, Drawing) for part in net.modules()):
        raise ValueError(
            "net must be a randomised model or contain none, got "
            f"{type(net).__name__}, which contains one"
        )


def check_keys(keys: Int[Tensor, " n"], images: Tensor) -> None:
    """Raise ValueError unless there is one key for each image."""
    if len(keys) != len(images):
        raise ValueError(
            f"keys must have one key for each of the {len(images)} images, got {len(keys)}"
        )


def drawn_logits(
    net: Drawing,
    images: Float[Tensor, "n *shape"],
    keys: Int[Tensor, " n"],
    draws: int,
    start: int = 0,
    memory: int | None = None,
) -> Iterator[tuple[Int[Tensor, " m"], Float[Tensor, "m k"]]]:
    """Yield the logits of each image with each of ``draws`` noise draws, in batches. Each row of a
    batch is one image with one noise draw; the rows of an image are neighbours. With the logits,
    yield the index of each row's image.

    ``start``: the draw number of the first noise draw.
    ``memory``: approximate limit on the bytes of activations; None means no limit.

    The batch size is chosen for speed on the CPU or GPU. It is halved if the GPU's memory does not
    suffice. Without images, one empty batch gives the number of classes.
    """
    which = torch.arange(len(images), device=images.device).repeat_interleave(draws)
    numbers = torch.arange(start, start + draws, device=images.device).repeat(len(images))
    rows = _ROWS.get(images.device.type, 64)
    if memory is not None:
        rows = min(rows, max(1, memory // _row_bytes(net, images)))
    at = 0
    while at < max(len(which), 1):
        part, draw = which[at : at + rows], numbers[at : at + rows]
        try:
            logits = net.at(keys[part], draw)(images[part])
        except torch.cuda.OutOfMemoryError:
            if rows == 1:
                raise
            rows = rows // 2
            continue
        yield part, logits
        at += len(part) or 1


def _row_bytes(net: Drawing, images: Tensor) -> int:
    """Return approximately how many bytes the activations of one image take in the widest layer.
    The count includes the layer's input and output, the noise, and the integers from which the
    noise is computed.
    """
    widest = [images[:1].numel() * images.element_size(), 1]

    def look(layer: Any, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and len(output):
            widest.append(output[0].numel() * output.element_size())

    layers = net.modules() if isinstance(net, nn.Module) else ()
    hooks = [layer.register_forward_hook(look) for layer in layers]
    try:
        if len(images):
            net.at(torch.zeros(1, dtype=torch.int64, device=images.device), 0)(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return 8 * max(widest)
