"""Define the interface of randomised models with numbered noise draws, so that a noise draw can be
repeated.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor


@runtime_checkable
class Drawing(Protocol):
    """A randomised model whose noise depends only on the image's key and the draw number.

    So an attack on one image does not depend on the other images of the batch, and two forward
    passes of an image with the same draw number use the same noise.
    """

    def at(
        self, keys: Int[Tensor, " n"], draw: int | Int[Tensor, " n"]
    ) -> Callable[[Tensor], Tensor]:
        """Return a function from n images to logits, whose noise the keys and the draw number
        determine.

        ``keys``: a number that identifies the image of each row, such as its index in the data set.
        ``draw``: the number that selects the noise draw, from 0 to 2**63 - 1: one number for all
            rows, or one for each row.
        """
        ...
