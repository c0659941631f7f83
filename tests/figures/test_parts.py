"""The parts of a figure that a phone shows below each other contain all of it, in order."""

import io
from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.figure import Figure

from robustbook import page
from robustbook.chapters.deep_defense import anchors
from robustbook.chapters.deep_defense import today as distances
from robustbook.chapters.saturating import dissimilarity, figure1, figure2, table1, today
from robustbook.chapters.self_ensemble import theory, zoo
from robustbook.chapters.survey import madry, pairing, transformations
from robustbook.figures import BESIDE, LOOKS, Curve, Panel, lines, panels, parts, strips, style
from robustbook.figures.parts import LEAST, Box, boxes

FIGURES = [
    ("deep_defense/anchors", anchors.strips),
    ("deep_defense/today", lambda record: distances.distances([record])),
    ("saturating/figure-1", figure1.weights),
    ("saturating/figure-1", figure1.shapes),
    ("saturating/figure-2", figure2.preactivations),
    ("saturating/figure-3", dissimilarity.own_scales),
    ("saturating/table-1", table1.attacks_figure),
    ("saturating/critique", today.curves),
    ("self_ensemble/theory", theory.taylor),
    ("self_ensemble/zoo", zoo.estimates),
    ("survey/madry", madry.attacks),
    ("survey/pairing", lambda record: pairing.accuracies([record])),
    ("survey/pairing", pairing.loss_surfaces),
    ("survey/pairing", pairing.starts),
    ("survey/transformations", transformations.attackers),
]
"""Figures with shared labels, row names or long titles: an item, and a function that draws it."""


def saved(figure: Figure) -> Figure:
    """Return a figure with the layout that it has in its file."""
    with style():
        figure.savefig(io.BytesIO(), format="svg")
    return figure


def numbers(text: str) -> list[tuple[float, list[list[float]]]]:
    """Return the width of each part and its boxes."""
    found = []
    for part in text.split(";"):
        percent, *shown = part.split(",")
        found.append((float(percent), [[float(n) for n in box.split()] for box in shown]))
    return found


def holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]


def test_the_legend_comes_first_and_each_panel_is_a_part() -> None:
    """Two panels side by side have one scale, and fill the width of the phone."""
    curves = {"RSE": Curve([1.0, 2.0], [[0.0, 1.0]], LOOKS["rse"])}
    figure = saved(lines([Panel(name, "x", "y", curves, {}) for name in "abc"], columns=2))
    legend, *rest = numbers(parts(figure))
    assert legend[1][0][1] < rest[0][1][0][1] and [share for share, _ in rest] == [100.0] * 3
    for axis, (_, shown) in zip(figure.axes, rest, strict=False):
        (box,) = shown
        extent = axis.bbox.transformed(figure.dpi_scale_trans.inverted())
        x = 72 * (extent.x0 + extent.x1) / 2
        y = 72 * (figure.get_figheight() - (extent.y0 + extent.y1) / 2)
        assert holds((box[0], box[1], box[2], box[3]), x, y)


def test_row_names_are_shown_beside_each_panel() -> None:
    """Only the first panel of a row has them in the figure."""
    rows = {"a long name of a row": {"ours": [1.0], "printed": [2.0]}}
    figure = saved(strips({"one": rows, "two": rows}, BESIDE, "error"))
    _, (first, second) = boxes(figure)
    assert len(first) == 1 and len(second) == 2
    assert second[0][3] < second[1][3]  # without the numbers below the first panel
    assert second[0][0] == first[0][0] and second[1][0] > first[0][0] + first[0][2] / 2
    ticks = 72 / figure.dpi * figure.axes[0].bbox.x0 - 3.5  # points; their length
    assert first[0][0] < second[0][0] + second[0][2] < ticks


def test_a_label_of_all_panels_comes_last_on_its_own_line() -> None:
    """Beside a panel or between two, it would seem to belong to one of them."""
    rows = {"one": {"ours": [1.0]}}
    figure = saved(strips(dict.fromkeys("abc", rows), BESIDE, "error"))
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", ""]
    *_, (before, _), (share, ((_, top, width, _),)) = numbers(parts(figure))
    assert before + share > 100 and width >= LEAST
    assert all(top > box[1] for part in boxes(figure)[1] for box in part)


@pytest.mark.parametrize(("item", "draw"), FIGURES)
def test_no_part_shows_a_piece_of_another(item: str, draw: Callable[..., Figure]) -> None:
    """Cut words and numbers of a neighbour would stand at the edge of a panel.

    Row names are shown several times, so their boxes, which come first in a part, may overlap.
    """
    for record in page.published(item).groups[0]:
        legends, shown = boxes(saved(draw(record)))
        assert shown
        for one, other in combinations([part[-1] for part in (*legends, *shown)], 2):
            width, height = (
                min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i])
                for i in (0, 1)
            )
            assert min(width, height) <= 2


def test_a_label_that_is_longer_than_its_panel_is_not_cut() -> None:
    """Layouts of matplotlib ignore how long it is."""
    curves = {"RSE": Curve([1.0, 2.0], [[0.0, 1.0]], LOOKS["rse"])}
    panel = Panel("a", "a label that is longer than the panel above it", "y", curves, {})
    figure = saved(lines([panel] * 3, columns=3))
    middle = boxes(figure)[1][1][0]
    label = figure.axes[1].xaxis.label.get_window_extent()
    assert middle[0] <= 72 / figure.dpi * label.x0
    assert middle[0] + middle[2] >= 72 / figure.dpi * label.x1


def test_small_panels_stay_side_by_side_if_they_fit() -> None:
    """Four images in a row become two and two, so that pairs can be compared."""
    with style():
        figure, axes = panels(1, 4, height=2.0)
        for axis in axes:
            axis.imshow([[0.0, 1.0]])
            axis.set_xticks([])
            axis.set_yticks([])
    assert len(boxes(saved(figure))[1]) == 2


def test_a_figure_that_is_one_wide_panel_has_no_parts() -> None:
    """On a phone it scrolls."""
    with style():
        figure, _ = panels(height=2.0)
    assert parts(saved(figure)) == ""


def test_a_narrow_figure_is_shown_whole() -> None:
    """Figures of one column of panels are narrow enough."""
    curves = {"RSE": Curve([1.0, 2.0], [[0.0, 1.0]], LOOKS["rse"])}
    figure = saved(lines([Panel("a", "x", "y", curves, {})]))
    assert [share for share, _ in numbers(parts(figure))][1] == 100.0


def test_names_of_columns_keep_a_figure_together() -> None:
    """Below each other, the lower panels would have no name."""
    with style():
        figure, axes = panels(2, 2, height=3.0)
        assert parts(saved(figure))
        axes[0].set_title("3 to 7")
    assert parts(saved(figure)) == ""


def test_a_colour_bar_keeps_a_figure_together() -> None:
    """It belongs to all panels."""
    with style():
        figure, axes = panels(1, 2, height=2.0)
        image = axes[0].imshow([[0.0, 1.0]])
        figure.colorbar(image, ax=axes)
    assert parts(saved(figure)) == ""
