"""Draw the decision regions of a classifier of points in the plane, and the paths of attacks
through these regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from jaxtyping import Float, Int
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .style import WIDTH, panels, style

_REGIONS = ListedColormap(["#C9DDF0", "#F8D3D6", "#CFE8CF"])
_POINTS = ("#2B5C8A", "#B03040", "#14611F")
_WAYS = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Plane:
    """The classes that a classifier predicts on a regular grid over the unit square (``regions``),
    and the data points with their classes.
    """

    regions: Int[np.ndarray, "r c"]
    points: Float[np.ndarray, "n 2"]
    classes: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Paths:
    """The paths of one attack as sequences of points, and the attack's l-infinity radius eps. The
    radius is 0 if the attack has no limit.
    """

    ways: Sequence[Float[np.ndarray, "_ 2"]]
    radius: float = 0.0


def plane(
    shown: Plane, panels_of: Mapping[str, Paths], centre: tuple[float, float], half: float
) -> Figure:
    """Draw one panel for each attack, with the decision regions, the paths of the attack, and its
    l-infinity ball.

    ``centre``: the attacked point, shown as a large dot.
    ``half``: half the side length of the shown square. The square is centred at the attacked point;
        if it would leave the unit square, it is moved inside.

    Each point of a path has a small mark, and the last point has a cross.
    """
    with style():
        columns = 2
        rows = -(-len(panels_of) // columns)
        figure, axes = panels(rows, columns, width=WIDTH, height=3.6 * rows + 0.3)
        for axis, (title, paths) in zip(axes, panels_of.items(), strict=False):
            axis.imshow(
                shown.regions,
                cmap=_REGIONS,
                vmin=0,
                vmax=2,
                origin="lower",
                extent=(0, 1, 0, 1),
                interpolation="nearest",
            )
            for k, color in enumerate(_POINTS):
                own = shown.points[shown.classes == k]
                axis.plot(own[:, 0], own[:, 1], ".", color=color, markersize=4, alpha=0.6)
            for way, dash in zip(paths.ways, cycle(_WAYS), strict=False):
                axis.plot(way[:, 0], way[:, 1], dash, color="black", linewidth=1.1)
                axis.plot(way[:-1, 0], way[:-1, 1], ".", color="black", markersize=3)
                axis.plot(*way[-1], "X", color="black", markersize=7)
            axis.plot(*centre, "o", color="black", markersize=7)
            if paths.radius:
                corner = (centre[0] - paths.radius, centre[1] - paths.radius)
                side = 2 * paths.radius
                axis.add_patch(Rectangle(corner, side, side, fill=False, linestyle=(0, (2, 2))))
            left, bottom = (min(max(each, half), 1 - half) - half for each in centre)
            axis.set(title=title, aspect="equal")
            axis.set(xlim=(left, left + 2 * half), ylim=(bottom, bottom + 2 * half))
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[len(panels_of) :]:
            axis.set_axis_off()
        regions = [Patch(color=_REGIONS(k), label=f"answer {k}") for k in range(3)]
        figure.legend(handles=regions, loc="outside lower center", ncols=3)
    return figure
