"""Draw rows of grey images, each with a text above it, such as the predicted class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from .style import BRIGHT, WIDTH, panels, style


@dataclass(frozen=True)
class Picture:
    """An image in [0, 1] and the text above it. ``wrong``: whether the text is shown in red."""

    image: Float[np.ndarray, "h w"]
    words: str
    wrong: bool = False


def pictures(rows: Sequence[tuple[str, Sequence[Picture]]]) -> Figure:
    """Draw each row of images, with the row's name at its left. All rows must have the same number
    of images.
    """
    columns = len(rows[0][1])
    with style():
        size = WIDTH / (columns + 0.6)
        figure, axes = panels(len(rows), columns, width=WIDTH, height=len(rows) * (size + 0.3))
        cells = iter(axes)
        for name, row in rows:
            for i, picture in enumerate(row):
                axis = next(cells)
                axis.imshow(picture.image, vmin=0, vmax=1)
                color = BRIGHT["red"] if picture.wrong else "black"
                weight = "bold" if picture.wrong else "normal"
                axis.set_title(picture.words, fontsize=9, color=color, fontweight=weight)
                axis.set_xticks([])
                axis.set_yticks([])
                if i == 0:
                    axis.set_ylabel(name)
    return figure
