"""Draw panels of curves with bands over the seeds, and panels of dots with one row per method."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .style import Look, legend_above, panels, style, width_of


@dataclass(frozen=True)
class Curve:
    """A curve: ``x`` has the x coordinates of its points, and ``y`` the y coordinates for each
    seed. The texts in ``labels`` are written beside the points of the first seed. A ``thin`` curve
    is drawn thin and without a band, behind the others.
    """

    x: Sequence[float]
    y: Sequence[Sequence[float]]
    look: Look
    labels: Sequence[str] = ()
    thin: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel with named curves, and named dotted horizontal lines at the heights in ``level``. The
    paper's curves, ``printed``, are drawn in pale colours behind ours.

    ``log``: whether the x axis is logarithmic.
    ``ticks``: the positions with a label on the x axis; if empty, matplotlib chooses them.
    ``limits``: the lower and the upper end of the y axis; with None, matplotlib chooses them.
    """

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Curve]
    level: Mapping[str, float]
    printed: Mapping[str, Curve] = field(default_factory=dict)
    log: bool = False
    ticks: Sequence[float] = ()
    limits: tuple[float, float] | None = None


PRINTED = "broad and pale: the authors' numbers"
"""The name in the legend that stands for all curves of the paper."""
PALE: Mapping[str, Any] = {"linewidth": 4, "alpha": 0.3}
THIN: Mapping[str, Any] = {"linewidth": 1, "markersize": 3, "alpha": 0.9, "zorder": 1.5}


def lines(
    shown: Sequence[Panel], *, columns: int = 2, height: float = 2.5, share_y: bool = False
) -> Figure:
    """Draw the curves of each panel: the mean over seeds, with a marker at each point, in a band
    from the lowest to the highest value. All panels share one legend. With ``share_y``, the panels
    side by side have the same y axis.
    """
    with style():
        columns = min(columns, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = panels(rows, columns, width=width_of(columns), height=height * rows + 0.4)
        _spread(figure)
        named: dict[str, Artist] = {}
        behind: dict[str, Artist] = {}
        for axis, panel in zip(axes, shown, strict=False):
            if panel.log:
                axis.set_xscale("log")
            for name, curve in panel.printed.items():
                y = np.array(curve.y, dtype=float).mean(0)
                (pale,) = axis.plot(curve.x, y, "-", color=curve.look.color, zorder=1, **PALE)
                behind.setdefault(name, pale)
            for name, curve in panel.curves.items():
                y = np.array(curve.y, dtype=float)
                (line,) = axis.plot(
                    curve.x,
                    y.mean(0),
                    curve.look.dash,
                    marker=curve.look.marker,
                    color=curve.look.color,
                    **(THIN if curve.thin else {}),
                )
                named.setdefault(name, line)
                if len(y) > 1 and np.ndim(curve.x) == 1 and not curve.thin:
                    band: dict[str, Any] = {"color": curve.look.color, "alpha": 0.15, "lw": 0.8}
                    axis.fill_between(curve.x, y.min(0), y.max(0), **band)
                for x, value, label in zip(curve.x, y[0], curve.labels, strict=False):
                    text = axis.annotate(label, (x, value), (4, 4), textcoords="offset points")
                    text.set(fontsize=8, path_effects=[withStroke(linewidth=3, foreground="white")])
            for name, level in panel.level.items():
                line = axis.axhline(level, color="0.4", linestyle=":", linewidth=1.2, zorder=0)
                named.setdefault(name, line)
            axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
            axis.set_ylim(panel.limits)
            if panel.ticks:
                axis.set_xticks(panel.ticks, [f"{tick:g}" for tick in panel.ticks])
                axis.minorticks_off()
            axis.grid(True)
        for row in range(0, len(shown), columns) if share_y else ():
            beside = axes[row : min(row + columns, len(shown))]
            ends = [end for axis in beside for end in axis.get_ylim()]
            for axis in beside:
                axis.set_ylim(min(ends), max(ends))
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        named = {**named, **{name: pale for name, pale in behind.items() if name not in named}}
        if behind:
            named[PRINTED] = Line2D([], [], color="0.5", **PALE)
        legend_above(figure, named)
    return figure


Strips = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""Numbers, one for each seed, by three keys: the panel, the row of the panel, and the name in the
legend.
"""


def strips(
    values: Strips,
    looks: Mapping[str, Look],
    x_label: str,
    *,
    own_rows: bool = False,
    from_zero: bool = True,
    hollow: Collection[str] = (),
) -> Figure:
    """Draw one panel for each key of ``values``, with one row for each method. A row has one dot
    for each pair of a seed and a name in the legend.

    Up to three panels are drawn side by side; more panels are drawn in rows of two. ``looks``
    contains the colour and the marker of each name in the legend, and the markers of the names in
    ``hollow`` are hollow. With ``own_rows``, the panels may have different rows, so each panel
    shows its row names, and up to three panels are drawn below each other. With ``from_zero``
    False, an axis starts near its smallest number.
    """
    with style():
        columns = 2 if len(values) > 3 else 1 if own_rows else len(values)
        starts = range(0, len(values), columns)
        counts = [len(rows) for rows in values.values()]
        deep = [float(max(counts[start : start + columns])) for start in starts]
        height = 0.32 * sum(deep) + 0.8 * len(deep) + 0.5
        figure, axes = panels(
            len(deep), columns, width=width_of(columns), height=height, heights=deep
        )
        _spread(figure)
        named: dict[str, Artist] = {}
        for axis, (title, rows) in zip(axes, values.items(), strict=False):
            for place, marks in enumerate(rows.values()):
                for mark, numbers in marks.items():
                    if not numbers:  # an SVG would show an empty scatter as a mark in its corner
                        continue
                    look = looks[mark]
                    dots = axis.scatter(
                        numbers,
                        [place] * len(numbers),
                        s=30,
                        marker=look.marker,
                        facecolors="none" if mark in hollow else look.color,
                        edgecolors=look.color,
                        alpha=0.8,
                        linewidths=1.3 if mark in hollow else 0,
                        clip_on=False,  # a marker at the end of an axis is drawn whole
                        zorder=3,
                    )
                    named.setdefault(mark, dots)
            drawn = [n for marks in rows.values() for numbers in marks.values() for n in numbers]
            lowest, highest = min(drawn, default=0), max(drawn, default=0)
            start = 0 if from_zero else lowest - 0.1 * (highest - lowest)
            axis.set(title=title, ylim=(len(rows) - 0.5, -0.5))
            axis.set_xlim(start, highest + 0.04 * (highest - start) if highest > start else None)
            axis.set_yticks(range(len(rows)), list(rows))
            axis.locator_params(axis="x", nbins=5)
            if axis not in axes[::columns] and not own_rows:
                axis.tick_params(labelleft=False)
            axis.grid(True)
        for axis in axes[len(values) :]:
            axis.set_axis_off()
        if columns == 3:  # one of three panels is too narrow for a label
            figure.supxlabel(x_label)
        else:
            for axis in axes[max(len(values) - columns, 0) : len(values)]:  # no panel below them
                axis.set_xlabel(x_label)
        if len(named) > 1:
            legend_above(figure, named)
    return figure


def _spread(figure: Figure) -> None:
    """Set the space between panels, so that titles and numbers of two panels do not touch."""
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.1, h_pad=0.08)  # inches
