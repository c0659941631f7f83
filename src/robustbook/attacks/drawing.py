"""Models that draw random numbers, asked for one particular draw."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor


@runtime_checkable
class Drawing(Protocol):
    """A randomised model whose noise depends on the image and on the number of the draw alone.

    An attack tells images apart by their keys. So what it does to one image does not depend on the
    other images of the batch, and two passes with the same draw number see the same noise.
    """

    def at(
        self, keys: Int[Tensor, " n"], draw: int | Int[Tensor, " n"]
    ) -> Callable[[Tensor], Tensor]:
        """The function from n images to logits, with the noise of draw number `draw` of each image.

        keys: which image each row is, such as its index in the data set.
        draw: one number for all rows or one for each, from 0 to 2**63 - 1.
        """
        ...
