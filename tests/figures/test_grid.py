"""Squares of images: each image is in its place, and missing images have a cross."""

from inspect import unwrap

import numpy as np
import pytest

from robustbook.figures import grid
from robustbook.figures.grid import GAP


def test_images_and_crosses_are_where_their_classes_are() -> None:
    """A transposed figure would swap sources and targets."""
    images = np.zeros((3, 3, 4, 5), np.uint8)
    images[0, 2] = 77
    there = np.ones((3, 3), bool)
    there[1, 0] = False
    figure = grid({"one": (images, there), "two": (images, np.ones((3, 3), bool))})
    left, right = figure.axes
    (drawn,) = left.images
    pixels = np.asarray(drawn.get_array())
    assert pixels.shape == (3 * (4 + GAP), 3 * (5 + GAP))
    rows, columns = np.nonzero(pixels == 77)
    assert set(rows // (4 + GAP)) == {0} and set(columns // (5 + GAP)) == {2} and len(rows) == 20
    (crosses,) = left.lines
    assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([0], [1])
    assert tuple(drawn.get_extent()) == (-0.5, 2.5, 2.5, -0.5)
    assert (left.get_xlabel(), left.get_ylabel()) == ("target class", "source class")
    assert (left.get_title(), right.get_title()) == ("A  one", "B  two")
    assert list(right.lines[0].get_xdata()) == []
    assert [frame.get_center().tolist() for frame in left.patches] == [[0, 0], [1, 1], [2, 2]]


def test_floats_are_refused() -> None:
    """As bytes they would all be 0 or 1, which is black."""
    there = np.ones((2, 2), bool)
    with pytest.raises(ValueError, match=r"images of one must be bytes \(uint8\), got float64"):
        unwrap(grid)({"one": (np.full((2, 2, 4, 4), 0.5), there)})
