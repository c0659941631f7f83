"""Draw panels of histograms, with one row per network and one column per layer.

The layout follows Figures 1 and 2 of Nayebi & Ganguli 2017.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from .style import LOOKS, WIDTH, panels, style


@dataclass(frozen=True)
class Bars:
    """A histogram: ``density`` has the heights of bars of equal width from ``low`` to ``high``, and
    ``note`` is a text in the panel.
    """

    low: float
    high: float
    density: Sequence[float]
    note: str = ""


def histograms(
    rows: Mapping[str, Sequence[Mapping[str, Bars]]],
    *,
    x_label: str,
    bands: Mapping[str, tuple[float, float]] | None = None,
    normal: bool = False,
) -> Figure:
    """Draw the histograms ``rows[label][layer][training]`` with logarithmic vertical axes.

    On logarithmic axes, even a tail of only a few of 100,000 weights is visible. In the panels of
    the row ``label``, the range between the two numbers ``bands[label]`` is shaded; the numbers may
    be infinite. With ``normal``, the density of a standard Gaussian is added as a dotted line. The
    title of the first panel of a row has the label above it.
    """
    columns = len(next(iter(rows.values())))
    with style():
        figure, axes = panels(len(rows), columns, width=WIDTH, height=0.5 + 1.8 * len(rows))
        for i, (label, layers) in enumerate(rows.items()):
            for j, drawn in enumerate(layers):
                axis = axes[i * columns + j]
                # Some bins are empty, so the axis ends just below the smallest positive density.
                floor = min(d for bars in drawn.values() for d in bars.density if d > 0) / 2
                for k, (training, bars) in enumerate(drawn.items()):
                    look = LOOKS[training]
                    edges = np.linspace(bars.low, bars.high, len(bars.density) + 1)
                    heights = np.maximum(bars.density, floor)
                    axis.stairs(
                        heights, edges, baseline=floor, fill=True, color=look.color, alpha=0.25
                    )
                    axis.stairs(
                        heights,
                        edges,
                        baseline=floor,
                        color=look.color,
                        linestyle=look.dash if len(drawn) > 1 else "-",
                        linewidth=1,
                        label=training if i == j == 0 else None,
                    )
                    axis.text(
                        0.98,
                        0.97 - 0.13 * k,
                        bars.note,
                        transform=axis.transAxes,
                        ha="right",
                        va="top",
                        fontsize=8,
                        color=look.color,
                        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
                    )
                left, right = axis.get_xlim()
                if bands and label in bands:
                    low, high = bands[label]
                    axis.axvspan(
                        max(low, left), min(high, right), color="#DDDDDD", linewidth=0, zorder=0
                    )
                if normal:
                    x = np.linspace(left, right, 400)
                    axis.plot(
                        x,
                        np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
                        color="black",
                        linestyle=":",
                        linewidth=1,
                        label="Gaussian" if i == j == 0 else None,
                    )
                top = max(d for bars in drawn.values() for d in bars.density)
                ceiling = top * (top / floor) ** 0.5  # the upper third is free for the notes
                axis.set(yscale="log", xlim=(left, right), ylim=(floor, ceiling))
                title = f"layer {j + 1}" if j else f"{label}\nlayer 1"
                axis.set_title(title, loc="left", fontsize=9)
                if j == 0:
                    axis.set_ylabel("density")
        figure.supxlabel(x_label)
        if len(axes[0].get_legend_handles_labels()[1]) > 1:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
