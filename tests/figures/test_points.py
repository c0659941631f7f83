"""Points and expected curves show the given numbers."""

import pytest

from robustbook.figures import LOOKS, Points, Scatter, scatters


def test_points_stand_where_they_are_given_with_their_errors() -> None:
    cloud = Points([1.0, 10.0], [2.0, 4.0], LOOKS["reference"], [0.5, 1.0])
    panel = Scatter("MLP", "h", "variance", {"measured": cloud}, [([1.0, 10.0], [3.0, 3.0])])
    figure = scatters([panel], columns=1)
    (axis,) = figure.axes
    dots, line = axis.lines
    assert dots.get_xdata() == pytest.approx([1, 10]) and dots.get_ydata() == pytest.approx([2, 4])
    assert dots.get_linestyle() == "None" and line.get_linestyle() == "--"
    assert line.get_ydata() == pytest.approx([3, 3])
    bars = axis.collections[0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[1.5, 2.5], [3.0, 5.0]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["measured", "expected"]


def test_axes_are_logarithmic_where_asked_and_unused_places_blank() -> None:
    cloud = {"all": Points([1.0], [1.0], LOOKS["reference"])}
    figure = scatters([Scatter(log, "x", "y", cloud, log=log) for log in ("", "x", "xy")])
    scales = [(axis.get_xscale(), axis.get_yscale()) for axis in figure.axes[:3]]
    assert scales == [("linear", "linear"), ("log", "linear"), ("log", "log")]
    assert not figure.axes[3].axison


def test_many_points_are_small_but_not_in_the_legend() -> None:
    """At their size in the panel, two colours in the legend look alike."""
    many = [float(i) for i in range(200)]
    figure = scatters([Scatter("", "x", "y", {"all": Points(many, many, LOOKS["rse"])})])
    (dots,) = figure.axes[0].lines
    (sign,) = figure.legends[0].get_lines()
    assert dots.get_markersize() < 4 < sign.get_markersize()
    assert sign.get_color() == dots.get_color() and sign.get_marker() == dots.get_marker()
