"""Curves and dots show the given numbers."""

import numpy as np
import pytest

from robustbook.figures import LOOKS, Curve, Panel, lines, strips
from robustbook.figures.lines import PRINTED


def test_a_curve_is_the_mean_and_its_band_the_range() -> None:
    """A band around the mean alone would hide the seeds."""
    curve = Curve([1.0, 2.0], [[0.0, 2.0], [1.0, 4.0]], LOOKS["deep-defense"])
    figure = lines([Panel("MLP", "epoch", "rho", {"ours": curve}, {"reference": 0.5})])
    axis = figure.axes[0]
    assert axis.lines[0].get_ydata() == pytest.approx([0.5, 3.0])
    band = axis.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.0, 4.0)
    assert axis.lines[1].get_ydata() == pytest.approx([0.5, 0.5])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "reference"]


def test_the_papers_curves_are_behind_ours_and_have_one_name() -> None:
    look = LOOKS["rse"]
    ours, theirs = Curve([0.01, 1.0], [[9.0, 3.0]], look), Curve([0.1, 10.0], [[8.0, 2.0]], look)
    panel = Panel(
        "VGG16", "c", "accuracy", {"RSE": ours}, {}, {"RSE": theirs, "other": theirs}, True
    )
    figure = lines([panel])
    axis = figure.axes[0]
    faint, _, drawn = axis.lines
    assert axis.get_xscale() == "log" and faint.get_zorder() < drawn.get_zorder()
    assert faint.get_xdata() == pytest.approx([0.1, 10]) and faint.get_ydata() == pytest.approx(
        [8, 2]
    )
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["RSE", "other", PRINTED]  # ours, only theirs, theirs together


def test_chosen_ticks_are_the_only_ones() -> None:
    curve = Curve([64.0, 128.0, 256.0], [[1.0, 2.0, 3.0]], LOOKS["rse"])
    panel = Panel(
        "one", "units", "y", {"a": curve}, {}, {}, True, (64.0, 128.0, 256.0), (-3.0, 103.0)
    )
    axis = lines([panel]).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["64", "128", "256"]
    assert list(axis.xaxis.get_minorticklocs()) == [] and axis.get_ylim() == (-3, 103)


def test_every_row_has_its_dots_and_name() -> None:
    looks = {"DeepFool": LOOKS["reference"], "DDN": LOOKS["deep-defense"]}
    rows = {"one": {"DeepFool": [1.0, 2.0], "DDN": [0.5]}, "two": {"DeepFool": [3.0], "DDN": []}}
    figure = strips({"MLP": rows}, looks, "size")
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "two"]
    dots = np.concatenate([spots.get_offsets() for spots in axis.collections])
    expected = [[1.0, 0], [2.0, 0], [0.5, 0], [3.0, 1]]
    assert sorted(dots.tolist()) == sorted(expected)
    assert len(axis.collections) == 3  # an empty one is a mark in the corner of an SVG


@pytest.mark.parametrize(("count", "columns"), [(3, 3), (4, 2), (5, 2)])
def test_many_panels_go_below_each_other(count: int, columns: int) -> None:
    """Names are printed once per line, and unused places are blank."""
    rows = {"one": {"all": [1.0]}}
    figure = strips({str(i): rows for i in range(count)}, {"all": LOOKS["reference"]}, "size")
    named = [bool(axis.yaxis.get_tick_params()["labelleft"]) for axis in figure.axes[:count]]
    assert named == [i % columns == 0 for i in range(count)]
    assert not any(axis.axison for axis in figure.axes[count:])


def test_panels_side_by_side_can_share_their_y_axis() -> None:
    """Then equal heights are equal numbers; without it each panel has its own axis."""
    low, high = (Curve([1.0, 2.0], [[y, y + 1]], LOOKS["rse"]) for y in (0.0, 5.0))
    panels = [
        Panel(name, "x", "y", {"a": curve}, {})
        for name, curve in zip("ab", (low, high), strict=True)
    ]
    left, right = lines(panels, share_y=True).axes
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 6
    left, right = lines(panels).axes
    assert left.get_ylim()[1] < right.get_ylim()[0]


def test_an_axis_can_start_near_its_smallest_number() -> None:
    """From 0, marks between 0.8 and 0.9 would all lie at the right end."""
    rows = {"one": {"all": [0.8]}, "two": {"few": [0.9]}}
    looks = {"all": LOOKS["reference"], "few": LOOKS["rse"]}
    (near,) = strips({"": rows}, looks, "size", from_zero=False, hollow=("few",)).axes
    (whole,) = strips({"": rows}, looks, "size").axes
    assert 0.7 < near.get_xlim()[0] < 0.8 and whole.get_xlim()[0] == 0
    assert [len(dots.get_facecolor()) for dots in near.collections] == [1, 0]  # full, hollow


def test_the_legend_is_above_the_panels_at_the_left() -> None:
    """If panels stand side by side, it is narrower than they are together, to fit into a phone."""
    curves = {f"a long name {i}": Curve([1.0], [[1.0]], LOOKS["rse"]) for i in range(6)}
    panel = Panel("one", "x", "y", curves, {})
    for shown, most in (([panel], 1.0), ([panel, panel], 0.7)):
        figure = lines(shown)
        figure.canvas.draw()
        box, axis = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
        assert box.y0 > axis.y1 and box.x1 < most * figure.bbox.width


def test_a_thin_curve_is_thinner_and_has_no_band() -> None:
    """The other curves stand out."""
    curves = {
        name: Curve([1.0, 2.0], [[0.0, 1.0], [1.0, 2.0]], LOOKS[name], thin=name == "adv")
        for name in ("rse", "adv")
    }
    (axis,) = lines([Panel("", "x", "y", curves, {})]).axes
    strong, thin = axis.lines
    assert strong.get_linewidth() > thin.get_linewidth() and strong.zorder > thin.zorder
    assert len(axis.collections) == 1


def test_panels_with_their_own_rows_are_as_high_as_their_rows() -> None:
    """Up to three stand below each other, so that no place is empty."""
    rows = {"one": {"all": [1.0]}}
    many = {str(i): {"all": [1.0]} for i in range(6)}
    figure = strips({"": rows, "many": many}, {"all": LOOKS["rse"]}, "size", own_rows=True)
    figure.canvas.draw()
    first, second = (axis.get_window_extent() for axis in figure.axes)
    assert second.y1 < first.y0 and second.height > 3 * first.height
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "size"]
