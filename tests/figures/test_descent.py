"""The figure of long descents: each curve is in its panel, and its end shows the outcome."""

from inspect import unwrap

import numpy as np
import pytest

from robustbook.figures import Trail, descent


def trail(moved: float, loss: float, reached: bool) -> Trail:
    image = np.full((28, 28), moved)
    return Trail(
        [0.0, 1.0, 100.0], [0.0, moved / 2, moved], [300.0, 2 * loss, loss], image, reached
    )


def test_each_descent_has_two_curves_an_end_and_an_image() -> None:
    """A circle marks a reached target, and a red X a failure.

    The natural logarithm of the loss is converted to a power of ten of the probability.
    """
    figure = descent(
        {
            "least": {"float32": trail(0.4, 1e-9, True), "float64": trail(0.3, 2.302585, False)},
            "most": {"float32": trail(1e-4, 230.2585, False)},
        },
        {"least": np.zeros((28, 28)), "most": np.ones((28, 28))},
    )
    far, other, likely, unlikely, pictures, fewer = figure.axes[:6]
    ends = [line.get_marker() for line in far.lines if line.get_linestyle() == "None"]
    assert ends == ["o", "X"]
    assert [line.get_marker() for line in other.lines][1:] == ["X"]
    for axis, values in ((far, [0.2, 0.4]), (other, [5e-5, 1e-4]), (unlikely, [-200, -100])):
        assert axis.lines[0].get_xdata() == pytest.approx([1, 100])
        assert axis.lines[0].get_ydata() == pytest.approx(values, rel=1e-4)
    assert likely.lines[2].get_ydata()[-1] == pytest.approx(-1, rel=1e-4)
    assert other.get_shared_y_axes().joined(far, other)
    shown = [[inset.get_title() for inset in axis.child_axes] for axis in (pictures, fewer)]
    assert shown == [["start", "float32", "float64"], ["start", "float32"]]
    assert np.all(pictures.child_axes[1].images[0].get_array() == 0.4)


def test_bytes_are_refused() -> None:
    """Every grey level from 1 on would be drawn white."""
    trails = {"least": {"float32": trail(0.4, 1e-9, True)}}
    with pytest.raises(ValueError, match=r"image of start must be in \[0, 1\], got bytes"):
        unwrap(descent)(trails, {"least": np.full((28, 28), 255, np.uint8)})
