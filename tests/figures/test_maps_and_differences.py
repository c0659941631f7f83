"""Feature maps of a row share a colour scale; intervals have their ends where they are given."""

import numpy as np
import pytest

from robustbook.figures import LOOKS, Map, differences, maps


def test_maps_of_a_row_share_one_scale() -> None:
    """A photograph keeps its colours, and a row may be shorter than another."""
    low, high = np.zeros((2, 2)), np.full((2, 2), 3.0)
    photograph = np.full((2, 2, 3), 128, dtype=np.uint8)
    figure = maps(
        [
            ("a", [Map(photograph, "cat"), Map(low, "x"), Map(high, "y")]),
            ("b", [Map(low + 1, "z"), Map(low, "w")]),
        ]
    )
    first, second, third, fourth, _, empty = figure.axes
    assert second.images[0].get_clim() == third.images[0].get_clim() == (0, 3)
    assert fourth.images[0].get_clim() == (0, 1)
    assert (np.asarray(first.images[0].get_array()) == 128).all()
    assert [axis.get_title() for axis in figure.axes[:3]] == ["cat", "x", "y"]
    assert first.get_ylabel() == "a" and not empty.axison


def test_an_interval_has_its_ends() -> None:
    rows = {"mean": {"ours": (1.0, -1.0, 2.5)}, "median": {"ours": (0.0, -0.5, 0.5)}}
    figure = differences(rows, {"ours": LOOKS["rse"]}, "points")
    (axis,) = figure.axes
    bars = [c.get_segments()[0] for c in axis.collections]
    assert [bar[:, 0].tolist() for bar in bars] == [
        pytest.approx([-1.0, 2.5]),
        pytest.approx([-0.5, 0.5]),
    ]
    assert [text.get_text() for text in axis.texts] == ["mean", "median"]
    assert all(
        text.get_position()[1] < bar[0, 1] for text, bar in zip(axis.texts, bars, strict=True)
    )
    assert [bar[0, 1] for bar in bars] == [0, 1]
