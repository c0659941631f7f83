"""Accuracy against eps: every curve and every dot has the right position."""

import matplotlib.colors
import numpy as np

from robustbook.figures import LOOKS, curves


def test_draws_means_bands_and_both_readings_at_one_size() -> None:
    """A curve in another panel, or a printed number at another size, would be wrong."""
    figure = curves(
        [0.0, 0.1, 0.2],
        {
            "a": {
                "vanilla": [[90.0, 50.0, 0.0], [100.0, 30.0, 0.0]],
                "saturated": [[95.0, 60.0, 10.0]],
            },
            "b": {"vanilla": [[99.0, 1.0, 0.0]]},
        },
        {"a": "A", "b": "B"},
        at=0.15,
        single={"a": {"saturated": [80.0, 85.0]}, "b": {}},
        printed={"a": {"vanilla": [0.0], "saturated": [94.0]}, "b": {}},
    )
    left, right = figure.axes
    lines = {line.get_label(): line for line in left.lines if len(line.get_xdata()) == 3}
    assert lines["vanilla"].get_ydata().tolist() == [95, 40, 0]
    assert lines["saturated"].get_ydata().tolist() == [95, 60, 10]
    assert lines["vanilla"].get_color() == LOOKS["vanilla"].color
    band = left.collections[0].get_paths()[0].vertices
    assert {30.0, 50.0, 90.0, 100.0} <= set(band[:, 1].tolist())
    (dots,) = (c for c in left.collections if len(c.get_offsets()) == 2)
    assert dots.get_offsets().tolist() == [[0.15, 80.0], [0.15, 85.0]]
    color = matplotlib.colors.to_rgba(LOOKS["saturated"].color)
    assert np.allclose(dots.get_facecolor()[0], color)
    marks = [
        tuple(map(float, line.get_xydata()[0])) for line in left.lines if line not in lines.values()
    ]
    assert sorted(marks) == [(0.15, 0.0), (0.15, 94.0)]
    edges = [line.get_markeredgecolor() for line in left.lines if line.get_marker() == "D"]
    assert sorted(edges) == sorted(LOOKS[each].color for each in ("vanilla", "saturated"))
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[-2:] == ["one FGSM step, ours", "one FGSM step, the paper"]
    assert len(right.lines) == 1 and right.get_title() == "B"
