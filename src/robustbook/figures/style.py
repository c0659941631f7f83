"""Define the common style of all figures of the book.

A drawing function enters the context `style()`, gets a figure from `panels` and draws on its axes
with matplotlib. The figure must also be saved inside this context, because matplotlib chooses the
form of text and the names of SVG elements only when it saves. The module does not use `pyplot`, and
changes no setting permanently. The colours are Paul Tol's bright scheme (Colour Schemes,
SRON/EPS/TN/09-002), which colour-blind readers can tell apart; curves also differ in their markers
and dashes.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 7.0  # inches, a figure as wide as the text
HALF = 3.4  # inches, one of two figures side by side
SINGLE = 4.6  # inches, a figure of one column of panels, which a phone shows as a whole

BRIGHT = {
    "blue": "#4477AA",
    "red": "#EE6677",
    "green": "#228833",
    "yellow": "#CCBB44",
    "cyan": "#66CCEE",
    "purple": "#AA3377",
    "grey": "#888888",  # darker than in the scheme, so that thin lines are seen
}


@dataclass(frozen=True)
class Look:
    """The colour, marker and line style that all figures use for one training method."""

    color: str
    marker: str
    dash: str


# One entry per training method of the whole book. Two methods share a colour only if no figure
# shows both. Red crosses mark failures, and open black markers mark the papers' numbers.
LOOKS = {
    "vanilla": Look(BRIGHT["blue"], "o", "-"),
    "adversarial": Look(BRIGHT["red"], "s", "--"),
    "saturated": Look(BRIGHT["green"], "^", "-."),
    "reference": Look(BRIGHT["blue"], "o", "-"),
    "clean": Look(BRIGHT["grey"], "X", ":"),
    "par-networks": Look(BRIGHT["yellow"], "d", ":"),
    "adv-training-i": Look(BRIGHT["red"], "s", "--"),
    "adv-training-ii": Look(BRIGHT["purple"], "P", "--"),
    "deep-defense": Look(BRIGHT["green"], "^", "-."),
    "combination": Look(BRIGHT["cyan"], "v", "-."),
    "none": Look(BRIGHT["blue"], "o", "-"),
    "rse": Look(BRIGHT["green"], "^", "-."),
    "adv": Look(BRIGHT["red"], "s", "--"),
    "brelu": Look(BRIGHT["yellow"], "d", ":"),
    "distill": Look(BRIGHT["purple"], "P", "--"),
    "train only": Look(BRIGHT["cyan"], "v", "-."),
    "test only": Look(BRIGHT["grey"], "X", ":"),
}

# The looks of our numbers beside the paper's: blue discs, and open black diamonds.
BESIDE = {"ours": Look(BRIGHT["blue"], "o", "-"), "printed": Look("black", "D", ":")}
HOLLOW = ("printed",)

_SETTINGS: dict[str, Any] = {
    "figure.dpi": 100,
    "figure.labelsize": 10,  # the label that all panels share
    "savefig.dpi": 200,
    "savefig.bbox": None,  # save a figure at exactly its size
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib, so it is the same everywhere
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.usetex": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "axes.prop_cycle": cycler(color=list(BRIGHT.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "svg.fonttype": "path",
    "svg.hashsalt": "robustbook",  # otherwise the parts of an SVG get new names each time
}


def style() -> AbstractContextManager[None]:
    """Return a context with the book's matplotlib settings, for drawing and for saving."""
    return mpl.rc_context(_SETTINGS)


def panels(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = WIDTH,
    height: float,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` x `height` inches, and the axes of its panels row by row. The
    heights of the rows are proportional to `heights`; by default, all rows are equally high.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)


def width_of(columns: int) -> float:
    """Return the width of a figure in inches, from the number of its columns of panels."""
    return WIDTH if columns > 1 else SINGLE


def legend_above(figure: Figure, named: Mapping[str, Any]) -> None:
    """Draw one legend above all panels, at the left, and make the figure higher for each line of
    the legend after the first.

    The legend has at most four columns. If it has several, it ends at most `SINGLE` inches from the
    left edge, so that its text is large enough on a phone.
    """
    canvas: Any = FigureCanvasAgg(figure)
    for count in range(min(4, len(named)), 0, -1):
        legend = figure.legend(named.values(), named.keys(), loc="outside upper left", ncols=count)
        end = legend.get_window_extent(canvas.get_renderer()).x1
        if count == 1 or end <= SINGLE * figure.dpi:
            lines_below_first = -(-len(named) // count) - 1
            figure.set_figheight(figure.get_figheight() + 0.2 * lines_below_first)
            return
        legend.remove()


def draw_seeds(
    axes: Axes,
    x: Real[np.ndarray, " n"],
    values: Real[np.ndarray, "s n"],
    training: str,
    *,
    label: str | None = None,
) -> None:
    """Draw one dot per seed at each of the positions `x`; `values` has one row per seed."""
    look = LOOKS[training]
    axes.scatter(
        np.broadcast_to(x, values.shape).ravel(),
        values.ravel(),
        s=16,  # square points
        color=look.color,
        marker=look.marker,
        linewidths=0,
        label=label,
        zorder=3,
    )


def draw_intervals(
    axes: Axes,
    x: Real[np.ndarray, " n"],
    low: Real[np.ndarray, " n"],
    high: Real[np.ndarray, " n"],
    training: str,
    *,
    width: float = 0.3,
) -> None:
    """Draw an interval from `low` to `high` at each of the positions `x`, as a bar of width
    `width`.
    """
    axes.bar(x, high - low, width, low, color=LOOKS[training].color, alpha=0.25, zorder=1)


def draw_band(
    axes: Axes,
    x: Real[np.ndarray, " n"],
    low: Real[np.ndarray, " n"],
    high: Real[np.ndarray, " n"],
    training: str,
) -> None:
    """Shade the band between the curves `low` and `high` over the positions `x`."""
    color = LOOKS[training].color
    axes.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0, zorder=1)


def draw_printed(
    axes: Axes,
    x: Real[np.ndarray, " n"],
    values: Real[np.ndarray, " n"],
    *,
    label: str | None = None,
) -> None:
    """Draw the paper's values at the positions `x`, as open black markers on top of all else."""
    axes.plot(
        x,
        values,
        linestyle="none",
        marker="D",
        markersize=6,
        markerfacecolor="none",
        markeredgecolor="black",
        markeredgewidth=1.2,
        label=label,
        zorder=4,
    )
