"""The figures of an item contain every given number at the right position."""

import numpy as np
import pytest

from robustbook.figures import anneal, readings


@pytest.mark.parametrize("stacked", [False, True])
def test_readings_draws_every_seed_and_every_printed_value(stacked: bool) -> None:
    """A missing dot, or one in another variant's row, would make the page's main figure wrong."""
    values = {
        "a": {"vanilla": {"one": [1.0, 2.0], "two": [30.0]}, "saturated": {"two": [40.0, 50.0]}},
        "b": {"adversarial": {"one": [60.0]}},
    }
    figure = readings(
        values,
        {"one": "One", "two": "Two"},
        {"a": "A", "b": "B"},
        {"a": {"saturated": 94.0}},
        "Printed",
        stacked=stacked,
    )
    left, right = figure.axes
    dots = np.concatenate([c.get_offsets() for c in left.collections])
    assert sorted(dots[:, 0]) == [1, 2, 30, 40, 50]
    assert {round(float(y)) for x, y in dots if x in (1, 2)} == {1}
    assert {round(float(y)) for x, y in dots if x in (30, 40, 50)} == {2}
    (mark,) = left.lines
    assert mark.get_xdata() == [94.0]
    assert round(mark.get_ydata()[0]) == 0
    assert len(right.collections) == 1
    assert [t.get_text() for t in left.get_yticklabels()] == ["Printed", "One", "Two"]


def test_anneal_joins_the_means_and_marks_the_printed_value() -> None:
    """The curve is the mean over seeds; the horizontal line is the paper's number."""
    figure = anneal({"x": {10: [40.0, 60.0], 100: [90.0]}}, printed=94.43, x_label="length")
    (axis,) = figure.axes
    curve = next(
        line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_xdata()[1] == 100
    )
    assert curve.get_ydata() == pytest.approx([50.0, 90.0])
    assert any(np.allclose(line.get_ydata(), 94.43) for line in axis.lines)
