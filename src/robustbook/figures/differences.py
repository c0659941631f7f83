"""Draw differences with their confidence intervals, in one row per method, and a line at 0."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from .style import SINGLE, Look, legend_above, panels, style

Interval = tuple[float, float, float]
"""A difference, and the ends of its confidence interval."""


def differences(
    values: Mapping[str, Mapping[str, Interval]], looks: Mapping[str, Look], x_label: str
) -> Figure:
    """Draw differences as dots with confidence intervals. ``values[row][name]`` is a difference and
    the ends of its interval. The legend lists the names, whose colours and markers are in
    ``looks``. The name of a row stands above its dots, so that the figure fits on a phone.
    """
    with style():
        figure, (axis,) = panels(width=SINGLE, height=0.6 * len(values) + 1.1)
        named: dict[str, Any] = {}
        for place, (row, marks) in enumerate(values.items()):
            at = (0.02, place - 0.3)
            axis.text(*at, row, fontsize=9, va="bottom", transform=axis.get_yaxis_transform())
            for i, (mark, (mean, low, high)) in enumerate(marks.items()):
                look = looks[mark]
                dot = axis.errorbar(
                    [mean],
                    [place + 0.2 * (i - (len(marks) - 1) / 2)],
                    xerr=[[mean - low], [high - mean]],
                    fmt=look.marker,
                    color=look.color,
                    elinewidth=1.5,
                    capsize=3,
                )
                named.setdefault(mark, dot)
        axis.axvline(0, color="0.4", linestyle=":", linewidth=1.2, zorder=0)
        axis.set_yticks([])
        axis.set(ylim=(len(values) - 0.6, -0.7), xlabel=x_label)
        axis.grid(True, axis="x")
        legend_above(figure, named)
    return figure
