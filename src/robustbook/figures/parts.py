"""Find the parts of a figure that a phone shows below each other: legends, texts and panels."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
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
    legends = [[each.get_window_extent(renderer)] for each in figure.legends]
    for text in figure.texts:  # a label of all panels: wide enough for a line of its own
        box = text.get_window_extent(renderer)
        legends.append([box.expanded(max(LEAST * figure.dpi / 72 / box.width, 1), 1)])
    found: list[list[Bbox]] = []
    rows: dict[int, list[Axes]] = {}
    columns: dict[int, list[Bbox]] = {}
    for axis, spec in at.items():
        rows.setdefault(spec.rowspan.start, []).append(axis)
        columns.setdefault(spec.colspan.start, []).append(around[axis])
    for row in rows.values():
        high = Bbox.union([around[axis] for axis in row])
        # The panels of a column get boxes of the same width, so a phone shows them at the same
        # scale.
        wide = [Bbox.union(columns[at[axis].colspan.start]) for axis in row]
        panels = [Bbox.from_extents(box.x0, high.y0, box.x1, high.y1) for box in wide]
        found += _in_row(row, panels, renderer)
    first, second = (
        [[_in_points(box, figure) for box in part] for part in group] for group in (legends, found)
    )
    return first, second


def _in_row(row: Sequence[Axes], panels: Sequence[Bbox], renderer: Any) -> list[list[Bbox]]:
    """Return the parts of one row; ``panels`` are the rectangles of its panels, with all texts."""
    names = [axis.yaxis.get_tightbbox(renderer) for axis in row]
    beside: list[Bbox] = []
    if names[0]:  # without the ticks, and above the numbers on the x axis of the first panel
        low = min(names[0].y0, row[0].bbox.y0)
        beside = [Bbox.from_extents(panels[0].x0, low, names[0].x1, panels[0].y1)]
    found: list[list[Bbox]] = []
    for named, panel in zip(names, panels, strict=True):
        if found:
            joined = [*found[-1][:-1], Bbox.union([found[-1][-1], panel])]
            if sum(box.width for box in joined) <= FIT * renderer.dpi / 72:
                found[-1] = joined
                continue
        found.append([panel] if named else [*beside, panel])
    return found


def _extent(axis: Axes, renderer: Any) -> Bbox:
    """Return the rectangle of a panel with its title, its labels and its numbers.

    Matplotlib's tight rectangle of a panel ignores the length of the axis labels, so the rectangles
    of the two axes are added.
    """
    without = axis.get_tightbbox(renderer)  # also moves the labels to their places
    texts = [each.get_tightbbox(renderer) for each in (axis.xaxis, axis.yaxis) if axis.axison]
    return Bbox.union([axis.bbox, *(box for box in (without, *texts) if box)])


def _in_points(box: Bbox, figure: Figure) -> Box:
    """Return a rectangle with a narrow edge, in points from the upper left corner of the figure."""
    scale = 72 / figure.dpi
    x, y = scale * box.x0 - EDGE, scale * (figure.bbox.height - box.y1) - EDGE
    return x, y, scale * box.width + 2 * EDGE, scale * box.height + 2 * EDGE
