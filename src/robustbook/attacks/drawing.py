"""Define the interface of randomised models with numbered noise draws, so that a noise draw can be
repeated.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor, nn


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
