"""Draw Figure 1 of Deep Defense, a network and its reverse network, from a list of layers.

The left column shows the network, and the middle one the reverse network, which has the same
weights and computes from bottom to top. The right column shows DeepFool's step, the ratio rho of
the norms of perturbation and image, and the loss. An arrow across the top leads from DeepFool's
step back to the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .style import BRIGHT, WIDTH, style

ROW, BOX, EDGE = 0.34, 0.26, 0.62  # inches: distance of rows, height of a box, margins
FORWARD, REVERSE, RIGHT = (0.1, 2.85), (3.56, 1.74), (5.55, 1.4)  # left edge and width


@dataclass(frozen=True)
class Stage:
    """One layer of the network.

    ``name``: the name of the layer in the module.
    ``forward``: the operation of the layer in the network.
    ``reverse``: the corresponding operation of the reverse network.
    ``kept``: what this operation needs from the forward pass.
    ``shape``: the shape of the layer's output for one image.
    ``parameters``: the number of the layer's parameters.
    """

    name: str
    forward: str
    reverse: str
    kept: str
    shape: tuple[int, ...]
    parameters: int


def recursive(stages: Sequence[Stage], shape: tuple[int, ...]) -> Figure:
    """Draw the layers ``stages`` of a network in the order of a forward pass; ``shape`` is the
    shape of an image.
    """
    rows = len(stages) + 2
    height = max(rows * ROW, 2.6) + 2 * EDGE
    with style():
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
        axes.axis("off")
        pitch = (height - 2 * EDGE) / rows
        at = [height - EDGE - pitch * (row + 0.5) for row in range(rows)]
        blue, red, green = BRIGHT["blue"], BRIGHT["red"], BRIGHT["green"]
        _box(axes, FORWARD, at[0], green, "$x + r$", _by(shape))
        _box(axes, REVERSE, at[0], green, r"$w = \nabla_x (g_j - g_s)$")
        for column, head in ((FORWARD, "the network"), (REVERSE, "in reverse")):
            axes.text(column[0] + 0.07, at[0] + BOX / 2 + 0.05, head, size=9)
        for stage, y in zip(stages, at[1:], strict=False):
            _box(axes, FORWARD, y, blue, f"{stage.name}: {stage.forward}", _by(stage.shape))
            _box(axes, REVERSE, y, red, stage.reverse)
            if stage.kept:
                _arrow(axes, [(_end(FORWARD), y), (REVERSE[0], y)], dashed=True)
                middle = (_end(FORWARD) + REVERSE[0]) / 2
                axes.text(middle, y + 0.02, stage.kept, ha="center", va="bottom", size=9)
        _box(axes, FORWARD, at[-1], blue, "logits $g$")
        _box(axes, REVERSE, at[-1], red, "nearest class: $e_j - e_s$")
        _arrow(axes, [(_end(FORWARD), at[-1]), (REVERSE[0], at[-1])])
        for above, below in zip(at, at[1:], strict=False):
            _arrow(axes, [(_mid(FORWARD), above - BOX / 2), (_mid(FORWARD), below + BOX / 2)])
            _arrow(axes, [(_mid(REVERSE), below + BOX / 2), (_mid(REVERSE), above - BOX / 2)])
        _right(axes, at, height)
    return figure


def _right(axes: Axes, at: Sequence[float], height: float) -> None:
    """Draw DeepFool's step with an arrow back to the image, the ratio rho, and the loss, which
    depends on rho and the logits.
    """
    green, yellow = BRIGHT["green"], BRIGHT["yellow"]
    top, bottom = at[0], at[-1]
    middle = top - 0.85
    _box(axes, RIGHT, top, green, r"$r \leftarrow r + \frac{|g_j - g_s|}{\|w\|^2}\, w$", tall=0.42)
    _arrow(axes, [(_end(REVERSE), top), (RIGHT[0], top)])
    over = height - 0.28
    _arrow(
        axes,
        [(_mid(RIGHT), top + 0.21), (_mid(RIGHT), over), (_mid(FORWARD), over)]
        + [(_mid(FORWARD), top + BOX / 2)],
    )
    again = "repeat until the class of $x + 1.02\\, r$ changes, at most 5 times"
    axes.text((_mid(FORWARD) + _mid(RIGHT)) / 2, over + 0.04, again, ha="center", size=9)
    _box(axes, RIGHT, middle, yellow, r"$\rho = 1.02\,\|r\|\,/\,\|x\|$", tall=0.36)
    _arrow(axes, [(_mid(RIGHT), top - 0.21), (_mid(RIGHT), middle + 0.18)])
    loss = (
        "cross entropy\n$+\\ \\lambda e^{-c\\rho}$  if right\n$+\\ \\lambda e^{+d\\rho}$  if wrong"
    )
    low = bottom + 0.3
    _box(axes, RIGHT, low, yellow, loss, tall=0.8)
    _arrow(axes, [(_mid(RIGHT), middle - 0.18), (_mid(RIGHT), low + 0.4)])
    under = 0.28
    _arrow(
        axes,
        [(_mid(FORWARD), bottom - BOX / 2), (_mid(FORWARD), under), (_mid(RIGHT), under)]
        + [(_mid(RIGHT), low - 0.4)],
    )
    first = "logits of the image itself, in the first pass"
    axes.text((_mid(FORWARD) + _mid(RIGHT)) / 2, under - 0.05, first, ha="center", va="top", size=9)


def _box(
    axes: Axes,
    column: tuple[float, float],
    y: float,
    color: str,
    text: str,
    end: str = "",
    *,
    tall: float = BOX,
) -> None:
    """Draw a box at the height ``y`` with ``text`` in the middle, or on the left with ``end`` on
    the right.
    """
    left, width = column
    axes.add_patch(
        FancyBboxPatch(
            (left, y - tall / 2),
            width,
            tall,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=(color, 0.12),
            edgecolor=color,
        )
    )
    if end:
        axes.text(left + 0.07, y, text, ha="left", va="center", size=9)
        axes.text(left + width - 0.07, y, end, ha="right", va="center", size=9)
    else:
        axes.text(left + width / 2, y, text, ha="center", va="center", size=9, linespacing=1.4)


def _arrow(axes: Axes, way: Sequence[tuple[float, float]], *, dashed: bool = False) -> None:
    """Draw a line through the points ``way``, with an arrow head at the last point."""
    look: dict[str, Any] = {"color": "0.35", "linewidth": 1.0, "linestyle": "--" if dashed else "-"}
    axes.plot(*zip(*way[:-1], strict=True), **look)
    head = {"arrowstyle": "->", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", way[-1], way[-2], arrowprops=look | head)


def _end(column: tuple[float, float]) -> float:
    return column[0] + column[1]


def _mid(column: tuple[float, float]) -> float:
    return column[0] + column[1] / 2


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
