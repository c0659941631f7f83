"""Every figure has the common style and the same bytes each time, and changes no setting."""

import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from matplotlib.colors import same_color, to_rgba

from robustbook.figures import (
    HALF,
    LOOKS,
    WIDTH,
    draw_band,
    draw_intervals,
    draw_printed,
    draw_seeds,
    panels,
    style,
)
from robustbook.figures.style import SINGLE, legend_above


def draw() -> bytes:
    """Return a small figure like those of a page: dots, band, printed value, a legend and a
    clip.
    """
    with style():
        figure, (axes,) = panels(width=HALF, height=2.0)
        x = np.array([0])
        draw_seeds(axes, x, np.array([[90.0], [92.0], [91.0]]), "vanilla", label="seeds")
        draw_intervals(axes, x, np.array([89.0]), np.array([93.0]), "vanilla")
        draw_printed(axes, x, np.array([94.0]), label="paper")
        axes.set(ylim=(90, 95), ylabel="accuracy (%)")
        axes.legend()
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def test_a_figure_is_the_same_bytes_each_time() -> None:
    """Otherwise every build would change every page, and real changes could not be seen."""
    assert draw() == draw()


def test_no_setting_of_matplotlib_is_left_changed() -> None:
    """An outside setting has no effect on a figure either, even if drawing fails."""
    with mpl.rc_context({"font.size": 3.0, "svg.hashsalt": None}):
        before = dict(mpl.rcParams)
        draw()
        with pytest.raises(ZeroDivisionError), style():
            assert mpl.rcParams["font.size"] == 10 and mpl.rcParams["svg.hashsalt"] is not None
            raise ZeroDivisionError
        assert dict(mpl.rcParams) == before


def test_no_window_is_asked_for() -> None:
    """A figure made by pyplot stays in its list of open figures, and may need a display."""
    draw()
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_the_file_has_the_size_that_was_asked_for() -> None:
    with style():
        figure, _ = panels(width=HALF, height=2.0)
        out = io.BytesIO()
        figure.savefig(out, format="png")
    header = out.getvalue()[16:24]  # width and height in pixels, at 200 per inch
    assert [int.from_bytes(header[i : i + 4]) for i in (0, 4)] == [680, 400]


def test_every_way_of_training_has_its_own_colour_marker_and_dash() -> None:
    """Not everyone can tell colours apart, and only printed values are open black diamonds.

    Methods of one chapter are in one figure. With seven of them a dash may be used twice, a marker
    never.
    """
    names = list(LOOKS)
    second, third = names.index("reference"), names.index("none")
    chapters = (names[:second], names[second:third], names[third:])
    both = ("color", "marker")
    for chapter, parts in zip(chapters, ((*both, "dash"), both, both), strict=True):
        for part in parts:
            assert len({getattr(LOOKS[name], part) for name in chapter}) == len(chapter)
    assert "D" not in {look.marker for look in LOOKS.values()}


def test_panels_come_row_by_row() -> None:
    figure, axes = panels(2, 3, height=4.0)
    assert len(axes) == 6
    assert axes == figure.axes
    assert axes[1].get_subplotspec().colspan.start == 1  # type: ignore[union-attr]


def test_seeds_are_drawn_at_their_places() -> None:
    """If the array were transposed, the seeds of one position would be spread over all."""
    _, (axes,) = panels(height=2.0)
    draw_seeds(axes, np.array([10, 20, 30]), np.array([[1, 2, 3], [4, 5, 6]]), "saturated")
    (dots,) = axes.collections
    expected = [[10, 1], [20, 2], [30, 3], [10, 4], [20, 5], [30, 6]]
    assert np.asarray(dots.get_offsets()).tolist() == expected
    assert same_color(dots.get_facecolor()[0], LOOKS["saturated"].color)


def test_values_and_places_must_agree() -> None:
    _, (axes,) = panels(height=2.0)
    with pytest.raises(TypeCheckError):
        draw_seeds(axes, np.arange(3), np.zeros((3, 2)), "vanilla")


def test_bands_span_their_intervals() -> None:
    _, (axes,) = panels(height=2.0)
    x, low, high = np.array([0, 1]), np.array([10.0, 12.0]), np.array([11.0, 15.0])
    draw_intervals(axes, x, low, high, "adversarial", width=0.5)
    draw_band(axes, x, low, high, "adversarial")
    assert [bar.get_bbox().extents.tolist() for bar in axes.patches] == [
        [-0.25, 10, 0.25, 11],
        [0.75, 12, 1.25, 15],
    ]
    assert axes.collections[0].get_datalim(axes.transData).extents.tolist() == [0, 10, 1, 15]


def test_printed_values_are_open_and_black() -> None:
    _, (axes,) = panels(height=2.0)
    draw_printed(axes, np.arange(2), np.array([97.6, 92.27]), label="paper")
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[0, 97.6], [1, 92.27]]  # type: ignore[union-attr]
    assert line.get_linestyle() == "None" and line.get_markerfacecolor() == "none"
    assert to_rgba(line.get_markeredgecolor()) == (0, 0, 0, 1)


@pytest.mark.parametrize(("length", "columns"), [(3, 4), (10, 3), (18, 2), (30, 1)])
def test_a_legend_is_no_wider_than_a_narrow_figure(length: int, columns: int) -> None:
    """Otherwise the file cuts off its last names, or its text is too small on a phone."""
    with style():
        for width in (SINGLE, WIDTH):
            figure, (axes,) = panels(width=width, height=2.0)
            (line,) = axes.plot([0, 1])
            legend_above(figure, {f"{i}" + "n" * length: line for i in range(8)})
            figure.canvas.draw()
            (legend,) = figure.legends
            assert legend.get_window_extent().x1 <= SINGLE * figure.dpi
            assert legend._ncols == columns
            assert figure.get_figheight() == pytest.approx(2 + 0.2 * (-(-8 // columns) - 1))
