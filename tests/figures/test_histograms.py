"""Histograms and heat maps: every number is in its place."""

import math

import numpy as np
import pytest

from robustbook.figures import Bars, histograms, matrices, unfold


def bars(low: float = -1.0, high: float = 3.0, note: str = "") -> Bars:
    return Bars(low, high, [0.1, 0.0, 0.3, 0.6], note)


def test_histograms_draw_each_density_over_its_own_bins() -> None:
    """Two networks of different ranges share a panel; an empty bin ends at the floor of the
    axis.
    """
    panel = {"vanilla": bars(note="two"), "saturated": bars(-10.0, 30.0, "nine")}
    figure = histograms({"A": [panel, panel], "B": [panel, panel]}, x_label="weight")
    assert len(figure.axes) == 4
    for axis in figure.axes:
        assert axis.get_yscale() == "log"
        outlines = [patch for patch in axis.patches if not patch.get_fill()]
        values, edges, floor = outlines[0].get_data()
        assert values == pytest.approx([0.1, 0.05, 0.3, 0.6]) and floor == 0.05
        assert edges == pytest.approx([-1, 0, 1, 2, 3])
        assert outlines[1].get_data().edges == pytest.approx([-10, 0, 10, 20, 30])
        assert [text.get_text() for text in axis.texts] == ["two", "nine"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["density", "", "density", ""]
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles == ["A\nlayer 1", "layer 2", "B\nlayer 1", "layer 2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vanilla", "saturated"]


@pytest.mark.parametrize("smallest", [1e-6, 0.1])
def test_notes_are_above_the_histograms(smallest: float) -> None:
    """Two notes fit above the highest bar, whatever the range of the densities."""
    panel = {
        name: Bars(0.0, 2.0, [smallest, 1.0], note)
        for name, note in (("vanilla", r"$\gamma_2$ = 1"), ("saturated", r"$\gamma_2$ = 2"))
    }
    figure = histograms({"A": [panel] * 3, "B": [panel] * 3}, x_label="weight")
    figure.canvas.draw()
    for axis in figure.axes:
        top = axis.transData.transform((0, 1.0))[1]
        assert min(text.get_window_extent().y0 for text in axis.texts) > top


def test_a_band_without_an_end_stops_at_the_panel() -> None:
    """ReLUs respond from 0 to infinity, which no axis can show."""
    rows = {"relu": [{"vanilla": bars()}], "sigmoid": [{"vanilla": bars()}]}
    bands = {"relu": (0.0, math.inf)}
    with_band, without = histograms(rows, x_label="h", bands=bands).axes
    (band,) = [p for p in with_band.patches if hasattr(p, "get_width")]
    left, right = with_band.get_xlim()
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0, right))
    assert left < -1 and 3 < right
    assert not [p for p in without.patches if hasattr(p, "get_width")]


def test_the_gaussian_is_a_density() -> None:
    """It is the reference for tails, so it must have the scale of the histograms."""
    (axis,) = histograms({"A": [{"vanilla": bars(-6.0, 6.0)}]}, x_label="w", normal=True).axes
    x, y = axis.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-6)
    assert y.max() == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-3)


def test_unfold_is_the_inverse_of_taking_the_lower_triangle() -> None:
    """A record holds half of each matrix."""
    matrix = np.arange(25.0).reshape(5, 5)
    matrix = matrix + matrix.T
    assert np.array_equal(unfold(matrix[np.tril_indices(5)].tolist()), matrix)


@pytest.mark.parametrize(("shared", "tops"), [(True, [8.0] * 4), (False, [2.0, 4.0, 6.0, 8.0])])
def test_matrices_have_one_scale_or_say_that_they_have_several(
    shared: bool, tops: list[float]
) -> None:
    """Colours of two panels are comparable only on one scale; otherwise each panel states its
    own.
    """
    small = np.array([[0.0, 2.0], [2.0, 0.0]])
    rows = {"v": {"one": small, "two": 2 * small}, "s": {"one": 3 * small, "two": 4 * small}}
    figure = matrices(rows, classes=["0", "1"], scale="d", shared=shared)
    panels = [axis for axis in figure.axes if axis.images]
    assert [axis.images[0].get_clim() for axis in panels] == [(0.0, top) for top in tops]
    drawn = [axis.images[0].get_array().max() for axis in panels]
    assert drawn == [2, 4, 6, 8]
    assert len(figure.axes) - len(panels) == (1 if shared else 0)
    said = ["dark 0, bright 2", "dark 0, bright 4", "dark 0, bright 6", "dark 0, bright 8"]
    for axis, words in zip(panels, said, strict=True):
        assert (words in axis.get_title()) is not shared
    named = [axis.get_title().partition("\n")[0] for axis in panels]
    assert named == ["one", "two", *(["", ""] if shared else ["one", "two"])]
    assert [tick.get_text() for tick in panels[2].get_xticklabels()] == ["0", "1"]
    assert panels[2].get_ylabel() == "s\nclass of the image"
    assert [axis.get_xlabel() for axis in panels] == ["", "", *["class of the image"] * 2]
    assert panels[2].get_xticks() == pytest.approx([0, 1])


def test_a_logarithmic_scale_ends_below_and_says_so() -> None:
    """Zero has no logarithm, so it must get the lowest colour and not be left blank."""
    rows = {"v": {"one": np.array([[0.0, 200.0], [200.0, 0.0]])}}
    figure = matrices(rows, classes=["0", "1"], scale="d", decades=3)
    image = figure.axes[0].images[0]
    assert image.get_clim() == (0.2, 200.0)
    assert list(image.norm([0.0, 0.2, 2.0, 200.0])) == pytest.approx([0, 0, 1 / 3, 1])
    assert image.colorbar is not None and image.colorbar.extend == "min"
