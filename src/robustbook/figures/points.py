"""Draw panels of points, together with curves on which theory expects the points to lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import Look, legend_above, panels, style, width_of

MANY = 100  # points; more of them get smaller markers
Line = tuple[Sequence[float], Sequence[float]]
"""The x and y values of a line."""


@dataclass(frozen=True)
class Points:
    """Points at ``x`` and ``y``; ``error`` is half the length of the vertical error bar at a
    point.
    """

    x: Sequence[float]
    y: Sequence[float]
    look: Look
    error: Sequence[float] = ()


@dataclass(frozen=True)
class Scatter:
    """A panel with named points, and curves on which they are expected to lie.

    ``log`` names the logarithmic axes: "x", "y" or "xy".
    """

    title: str
    x_label: str
    y_label: str
    points: Mapping[str, Points]
    expected: Sequence[Line] = ()
    log: str = ""


def scatters(shown: Sequence[Scatter], *, columns: int = 2, height: float = 2.6) -> Figure:
    """Draw the panels ``shown``, each with points, without lines between them, and with the
    expected curves as dashed lines.

    All panels share one legend. On a logarithmic axis points at 0 or below are not drawn.
    """
    with style():
        columns = min(columns, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = panels(rows, columns, width=width_of(columns), height=height * rows + 0.4)
        named: dict[str, Any] = {}
        for axis, panel in zip(axes, shown, strict=False):
            axis.set(
                xscale="log" if "x" in panel.log else "linear",
                yscale="log" if "y" in panel.log else "linear",
            )
            for name, cloud in panel.points.items():
                axis.errorbar(
                    cloud.x,
                    cloud.y,
                    yerr=cloud.error or None,
                    fmt=cloud.look.marker,
                    color=cloud.look.color,
                    markeredgewidth=0,
                    markersize=3 if len(cloud.x) > MANY else None,
                    alpha=0.8,
                )
                sign: dict[str, Any] = {"marker": cloud.look.marker, "color": cloud.look.color}
                named.setdefault(name, Line2D([], [], linestyle="none", **sign))
            for x, y in panel.expected:
                (line,) = axis.plot(x, y, color="0.3", linestyle="--", linewidth=1.2, zorder=1)
                named["expected"] = line
            axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
            axis.grid(True)
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        legend_above(figure, named)
    return figure
