"""Find the parts of a figure that a phone shows below each other: legends, texts and panels."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

Box = tuple[float, float, float, float]
"""A rectangle within a figure, in points: x and y of its upper left corner, width and height."""
FIT = 270.0  # points; the width of the text on a phone of 400 pixels
LEAST = 220.0  # points; a part of this width is enlarged to the width of the phone
WIDEST = 340.0  # points; the text of a wider part is too small on a phone
EDGE = 2.0  # points around each part


def parts(figure: Figure) -> str:
    """Return the parts of a figure as text. The text is "" if the figure has no parts with panels,
    or if one of them is too wide for a phone.

    Semicolons separate the parts. The text of a part is its width on a phone, in per cent of the
    text's width, and then its boxes, each after a comma. A box is four numbers with blanks between
    them (see `Box`). All panels are enlarged by the same factor.
    """
    legends, panels_ = boxes(figure)
    widths = [sum(box[2] for box in part) for part in panels_]
    if not widths or max(widths) > WIDEST:
        return ""
    scale = 100 / max(LEAST, *widths)
    return ";".join(
        ",".join(
            [f"{min(scale * sum(box[2] for box in part), 100):.1f}"]
            + [" ".join(f"{number:.1f}" for number in box) for box in part]
        )
        for part in sorted([*legends, *panels_], key=lambda part: (part[-1][1], part[-1][0]))
    )


def boxes(figure: Figure) -> tuple[list[list[Box]], list[list[Box]]]:
    """Return two lists of the parts of a figure that was drawn or saved: its legends and texts, and
    its panels.

    A part is a list of boxes that a phone shows side by side. A part of the second list shows as
    many neighbouring panels of a row as fit the width of a phone. If the first panel of a row has
    row names, but the first panel of a part has none, the first box of this part shows the row
    names.

    Both lists are empty if the figure must be shown as a whole. This is the case if one of its
    axes, such as a colour bar, is outside the grid of panels. It is also the case if some panels of
    a column have a title and others have none.
    """
    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    shown = [axis for axis in figure.axes if axis.axison or axis.has_data() or axis.child_axes]
    at = {axis: spec for axis in shown if (spec := axis.get_subplotspec())}
    named = {spec.colspan.start for axis, spec in at.items() if axis.get_title()}
    if len(at) < len(shown) or any(
        spec.colspan.start in named and not axis.get_title() for axis, spec in at.items()
    ):
        return [], []
    around = {axis: _extent(axis, renderer) for axis in shown}
    legends = [[each.get_window_extent(renderer)] for each in (*figure.texts, *figure.legends)]
    found: list[list[Bbox]] = []
    rows: dict[int, list[Axes]] = {}
    columns: dict[int, list[Bbox]] = {}
    for axis, spec in at.items():
        rows.setdefault(spec.rowspan.start, []).append(axis)
        columns.setdefault(spec.colspan.start, []).append(around[axis])
    for row in rows.values():
        # The panels of a column get boxes of the same width, so a phone shows them at the same
        # scale.
        wide = [Bbox.union(columns[at[axis].colspan.start]) for axis in row]
        found += _in_row(row, around, wide, renderer)
    first, second = (
        [[_in_points(box, figure) for box in part] for part in group] for group in (legends, found)
    )
    return first, second


def _in_row(
    row: Sequence[Axes], around: Mapping[Axes, Bbox], wide: Sequence[Bbox], renderer: Any
) -> list[list[Bbox]]:
    """Return the parts of one row of panels.

    ``around``: for each panel, the rectangle that encloses it with its title, labels and numbers.
    ``wide``: for each panel of the row, the rectangle that encloses all panels of its column, with
        their texts.
    """
    point = renderer.dpi / 72  # in pixels
    high = Bbox.union([around[axis] for axis in row])
    first = row[0]
    # The box of the row names ends above the numbers on the x axis of the first panel, and to the
    # left of this panel's edge.
    low = Bbox.union([first.bbox, *_written(renderer, first.yaxis.label)]).y0
    beside = Bbox.from_extents(wide[0].x0, low, first.bbox.x0 - 2 * EDGE * point, high.y1)
    found: list[list[Bbox]] = []
    for axis, column in zip(row, wide, strict=True):
        if found:
            *names, last = found[-1]
            joined = Bbox.from_extents(last.x0, high.y0, column.x1, high.y1)
            if sum(box.width for box in (*names, joined)) <= FIT * point:
                found[-1] = [*names, joined]
                continue
        panel = Bbox.from_extents(column.x0, high.y0, column.x1, high.y1)
        lacks = axis is not first and not _has_row_names(axis) and _has_row_names(first)
        found.append([beside, panel] if lacks else [panel])
    return found


def _extent(axis: Axes, renderer: Any) -> Bbox:
    """Return the rectangle of a panel with its title, its labels and its numbers.

    Matplotlib's tight rectangle of a panel ignores the length of the axis labels, so the rectangles
    of the labels are added.
    """
    without = axis.get_tightbbox(renderer) or axis.bbox  # also moves the labels to their places
    labels = _written(renderer, axis.xaxis.label, axis.yaxis.label)
    return Bbox.union([axis.bbox, without, *labels])


def _written(renderer: Any, *labels: Text) -> list[Bbox]:
    """Return the rectangles of those labels that are not empty."""
    return [label.get_window_extent(renderer) for label in labels if label.get_text()]


def _has_row_names(axis: Axes) -> bool:
    """Return whether a panel has visible texts on its left side: numbers, row names or a label."""
    labels = [*axis.get_yticklabels(), axis.yaxis.label]
    return any(label.get_visible() and label.get_text() for label in labels)


def _in_points(box: Bbox, figure: Figure) -> Box:
    """Return a rectangle with a narrow edge, in points from the upper left corner of the figure."""
    scale = 72 / figure.dpi
    x, y = scale * box.x0 - EDGE, scale * (figure.bbox.height - box.y1) - EDGE
    return x, y, scale * box.width + 2 * EDGE, scale * box.height + 2 * EDGE
