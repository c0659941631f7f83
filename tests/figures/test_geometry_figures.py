"""Figures 4 and 6: every curve is in its panel."""

import numpy as np
import pytest

from robustbook.figures import kurtosis, paths


def test_paths_has_three_rows_a_method_and_a_column_a_pair() -> None:
    """Ten probabilities, the two largest singular values with a mark at the largest length element;
    each row has one scale.
    """
    t = [0.0, 0.5, 1.0]
    p = np.zeros((10, 3))
    p[1], p[7], p[4] = (1, 0.2, 0), (0, 0.2, 1), (0, 0.6, 0)
    curves = {}
    for method, height in (("vanilla", 2.0), ("saturated", 50.0)):
        curves[f"{method}/t"] = [t, t]
        curves[f"{method}/length"] = [[0, height, 0], [0, height / 2, 0]]
        curves[f"{method}/probabilities"] = [p.tolist(), p.tolist()]
        curves[f"{method}/singular"] = [(np.ones((10, 3)) / np.arange(1, 11)[:, None]).tolist()] * 2
    figure = paths(curves, [(1, 7), (7, 1)])
    grid = np.array(figure.axes).reshape(6, 2)
    assert [len(axis.lines) for axis in grid[:, 0]] == [1, 10, 3, 1, 10, 3]
    assert grid[3, 0].lines[0].get_ydata().max() == 50
    largest, second, mark = grid[2, 0].lines
    assert (largest.get_ydata()[0], second.get_ydata()[0], mark.get_xdata()[0]) == (1, 0.5, 0.5)
    assert grid[3, 1].get_ylim() == grid[3, 0].get_ylim() != grid[0, 0].get_ylim()
    assert sorted(text.get_text() for text in grid[1, 0].texts) == ["1", "4", "7"]
    assert [axis.get_title() for axis in grid[0]] == [
        "1 \N{RIGHTWARDS ARROW} 7",
        "7 \N{RIGHTWARDS ARROW} 1",
    ]


def test_kurtosis_marks_the_gaussian_and_every_seed() -> None:
    """The curve is the mean over seeds; values beyond the end are left out."""
    measured = {"as printed": {0.0: [1.1, 1.12], 10.0: [1.2, 1.4], 1e9: [1.36, 1.36]}}
    figure = kurtosis(measured, {"as printed": [1.1, 1.3]}, [0.0, 10.0], end=100.0, example=1.4)
    (axis,) = figure.axes
    closed, curve, example = axis.lines
    assert list(curve.get_xdata()) == [0, 10]
    assert list(curve.get_ydata()) == pytest.approx([1.11, 1.3])
    assert example.get_label() == "1.4, an example in the caption"
    seeds, gaussian = (np.asarray(c.get_offsets()) for c in axis.collections)
    assert len(seeds) == 4 and gaussian.tolist() == [[0, 1.1], [0, 1.12]]
    assert set(example.get_ydata()) == {1.4}
