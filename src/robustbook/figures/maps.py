"""Draw rows of colour images and feature maps; the maps of one row share a colour scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from .style import WIDTH, panels, style


@dataclass(frozen=True)
class Map:
    """A colour image (stored as bytes) or a feature map, together with the text above it."""

    values: Shaped[np.ndarray, "h w *colours"]
    words: str


def maps(rows: Sequence[tuple[str, Sequence[Map]]]) -> Figure:
    """Draw each row of images and maps, with the name of the row at the left. The feature maps of a
    row share one colour scale, from the smallest to the largest value in the row. Rows may have
    different lengths.
    """
    columns = max(len(row) for _, row in rows)
    with style():
        size = WIDTH / (columns + 0.4)
        figure, axes = panels(len(rows), columns, width=WIDTH, height=len(rows) * (size + 0.35))
        for i, (name, row) in enumerate(rows):
            own = axes[i * columns : (i + 1) * columns]
            of = [each.values for each in row if each.values.ndim == 2]
            low, high = (end([end(each) for each in of] or [0]) for end in (np.min, np.max))
            for axis, shown in zip(own, row, strict=False):
                flat = shown.values.ndim == 2
                ends: dict[str, Any] = (
                    {"vmin": low, "vmax": high, "cmap": "viridis"} if flat else {}
                )
                axis.imshow(shown.values, **ends)
                axis.set_title(shown.words, fontsize=9)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set(visible=True, color="0.7")
            own[0].set_ylabel(name, fontsize=9)
            for axis in own[len(row) :]:
                axis.set_axis_off()
    return figure
