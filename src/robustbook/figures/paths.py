"""Draw what networks compute along straight paths between two images, as in Figure 4 of Nayebi &
Ganguli 2017.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BRIGHT, LOOKS, panels, style

Curves = Mapping[str, Sequence[Any]]
"""The curves of each method, where each list has one entry per path.

``<method>/t``: the positions of the points on the path.
``<method>/length``: the length element at each point.
``<method>/probabilities``: an array with one row per class and one column per point.
``<method>/singular``: an array with one row per singular value and one column per point.
"""

_OTHERS = ("yellow", "purple", "green", "cyan")
_NAMED = 0.2  # a class whose probability never reaches this value is grey


def paths(
    curves: Curves,
    pairs: Sequence[Sequence[int]],
    methods: Sequence[str] = ("vanilla", "saturated"),
) -> Figure:
    """Draw three rows of panels for each training method, with the length element of the path, the
    probabilities of the classes, and the two largest singular values of the Jacobian. Each column
    shows one pair of classes.

    The panels of a row share one scale. The digit of a class whose probability becomes high on a
    path is written next to its curve.
    """
    with style():
        figure, axes = panels(3 * len(methods), len(pairs), height=1.35 * 3 * len(methods) + 0.6)
        grid = np.array(axes).reshape(3 * len(methods), len(pairs))
        for i, method in enumerate(methods):
            for j, pair in enumerate(pairs):
                t = np.array(curves[f"{method}/t"][j], dtype=float)
                lengths, probabilities, singular = grid[3 * i : 3 * i + 3, j]
                length, p, values = (
                    np.array(curves[f"{method}/{name}"][j], dtype=float)
                    for name in ("length", "probabilities", "singular")
                )
                lengths.plot(t, length, color=LOOKS[method].color, lw=1.2)
                _probabilities(probabilities, t, p, pair)
                _singular(singular, t, values[:2], length)
            for row, label in enumerate(
                ("length element", "probability", "two largest\nsingular values")
            ):
                _shared(list(grid[3 * i + row]), f"{method}\n{label}")
        for axis, (source, target) in zip(grid[0], pairs, strict=True):
            axis.set_title(f"{source} \u2192 {target}")
        for axis in grid[-1]:
            axis.set_xlabel("interpolation")
            axis.set_xticklabels(["0", "0.5", "1"])
        figure.align_ylabels()
    return figure


def _probabilities(
    axis: Axes, t: Float[np.ndarray, " t"], p: Float[np.ndarray, "k t"], pair: Sequence[int]
) -> None:
    colors = {pair[0]: (BRIGHT["blue"], "-"), pair[1]: (BRIGHT["red"], "--")}
    free = iter(_OTHERS)
    for digit, curve in enumerate(p):
        if digit not in colors and curve.max() >= _NAMED:
            colors[digit] = (BRIGHT[next(free, "grey")], "-.")
        color, dash = colors.get(digit, (BRIGHT["grey"], "-"))
        axis.plot(t, curve, color=color, linestyle=dash, lw=1.1)
        if digit in colors:
            top = int(curve.argmax()) if digit != pair[0] else 0
            at = {pair[0]: (0.03, "left"), pair[1]: (0.97, "right")}.get(digit, (t[top], "center"))
            axis.text(
                at[0], curve[top] + 0.04, str(digit), color=color, ha=at[1], va="bottom", fontsize=8
            )
    axis.set(ylim=(-0.04, 1.3), yticks=[0, 0.5, 1])


def _singular(
    axis: Axes,
    t: Float[np.ndarray, " t"],
    values: Float[np.ndarray, "m t"],
    length: Float[np.ndarray, " t"],
) -> None:
    """Draw the largest singular value of the Jacobian as an area and the second largest as a line.
    A triangle below the axis marks the point with the largest length element.
    """
    axis.fill_between(t, values[0], color=BRIGHT["purple"], alpha=0.45, lw=0)
    axis.plot(t, values[0], color=BRIGHT["purple"], lw=0.6)
    axis.plot(t, values[1], color="black", lw=0.9)
    axis.plot(
        t[length.argmax()],
        0,
        "^",
        color="black",
        ms=5,
        clip_on=False,
        transform=axis.get_xaxis_transform(),
    )
    axis.set_ylim(bottom=0)


def _shared(row: Sequence[Axes], label: str) -> None:
    top = max(axis.get_ylim()[1] for axis in row)
    bottom = min(axis.get_ylim()[0] for axis in row)
    for axis in row:
        axis.set(xlim=(0, 1), ylim=(bottom, top), xticks=[0, 0.5, 1])
        axis.set_xticklabels([])
        axis.grid(True)
        if axis is not row[0]:
            axis.set_yticklabels([])
    row[0].set_ylabel(label, fontsize=8)
