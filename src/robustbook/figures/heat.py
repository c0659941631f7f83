"""Draw heat maps, which show either a table of numbers or a loss surface."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from .style import WIDTH, panels, style


def heat(
    shown: Mapping[str, Float[np.ndarray, "r c"]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    scale: str,
) -> Figure:
    """Draw tables of percentages side by side as heat maps, with labelled rows and columns, and
    with the number in each cell. ``shown`` maps the title of each table to its numbers. All tables
    share one colour scale from 0 to 100, and the label of its bar is ``scale``. The cell of a
    missing number (NaN) is white.
    """
    with style():
        figure, axes = panels(1, len(shown), width=WIDTH, height=0.9 + 0.36 * len(rows))
        for axis, (title, values) in zip(axes, shown.items(), strict=True):
            image = axis.imshow(values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    color = "white" if value < 60 else "black"
                    axis.text(
                        column, row, f"{value:.0f}", ha="center", va="center", color=color, size=8
                    )
            axis.set_title(title)
            axis.set_xticks(range(len(columns)), columns, fontsize=8)
            axis.set_yticks(range(len(rows)), rows if axis is axes[0] else [], fontsize=8)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(row_label)
        figure.supxlabel(column_label)
        figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02).set_label(scale)
    return figure


def surfaces(
    shown: Mapping[str, Float[np.ndarray, "side side"]], radius: float, x_label: str, y_label: str
) -> Figure:
    """Draw loss surfaces side by side; ``shown`` maps the title of each surface to its values.

    Both coordinates of a surface range from -radius to radius. The row index of an array determines
    the x coordinate, and the column index the y coordinate. Each panel has contour lines and its
    own colour scale, whose lowest and highest value are written above it.
    """
    with style():
        height = WIDTH / len(shown) + 0.7
        figure, axes = panels(1, len(shown), width=WIDTH, height=height)
        for axis, (title, values) in zip(axes, shown.items(), strict=True):
            low, high = float(values.min()), float(values.max())
            at = np.linspace(-radius, radius, len(values))
            axis.pcolormesh(at, at, values.T, cmap="viridis", shading="nearest", rasterized=True)
            if high > low:
                axis.contour(at, at, values.T, 8, colors="white", linewidths=0.5)
            axis.set_title(f"{title}\n{low:.2g} to {high:.2g}", fontsize=9)
            axis.set_aspect("equal")
            axis.set_xticks([-radius, 0, radius])
            first, _, last = axis.get_xticklabels()
            first.set_horizontalalignment("left")  # both within the panel
            last.set_horizontalalignment("right")
            axis.set_yticks([-radius, 0, radius] if axis is axes[0] else [])
            axis.tick_params(labelsize=8)
        axes[0].set_ylabel(y_label)
        figure.supxlabel(x_label)
    return figure
