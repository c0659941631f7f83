"""Sliders, rows of pictures, sums of images, and paths through the plane."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from robustbook.figures import (
    Frame,
    Paths,
    Picture,
    Plane,
    addition,
    drawing,
    pictures,
    plane,
    png,
    slider,
)

FRAMES = [Frame("0.1", "<b>one</b>"), Frame("a < b", "<b>two</b>"), Frame("0.3", "<b>three</b>")]


def test_all_frames_are_there_without_scripts() -> None:
    """Only the script hides frames and shows the control."""
    html = slider("slider-eps", "eps", FRAMES, start=1).html
    frames = re.findall(r'<div class="frame" data-value="([^"]*)">\n(.*?)\n</div>', html)
    assert frames == [
        ("0.1", "<b>one</b>"),
        ("a &lt; b", "<b>two</b>"),
        ("0.3", "<b>three</b>"),
    ]
    assert html.count(" hidden>") == 1 and 'class="frames-control" hidden>' in html


def test_the_slider_is_a_labelled_range_input() -> None:
    """So the keyboard moves it, and a screen reader says what it changes."""
    html = slider("slider-eps", "eps", FRAMES, start=1).html
    assert '<label for="slider-eps-range">eps</label>' in html
    (control,) = re.findall(r"<input ([^>]*)>", html)
    assert 'type="range" id="slider-eps-range" min="0" max="2" step="1" value="1"' in control
    assert "NAME" not in html and 'getElementById("slider-eps")' in html


@pytest.mark.parametrize(
    ("name", "frames", "start", "said"),
    [
        ("Eps", FRAMES, 0, "name must be"),
        ("eps", FRAMES[:1], 0, "frames must be two or more, got 1"),
        ("eps", FRAMES, 3, r"start must be in 0..2, got 3"),
    ],
)
def test_a_bad_slider_is_refused(name: str, frames: list[Frame], start: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        slider(name, "eps", frames, start=start)


def test_a_png_holds_the_image() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = png(image).removeprefix("data:image/png;base64,")
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) == image).all()


def test_a_sum_shows_its_parts_in_order() -> None:
    image = np.zeros((2, 2), np.uint8)
    html = addition((image, 'a "b"', "A"), (image, "c", "C"), (image, "d", "D"))
    found = re.findall(r'alt="([^"]*)"|aria-hidden="true">(.)<|<figcaption>(.)<', html)
    assert ["".join(each) for each in found] == [
        "a &quot;b&quot;",
        "A",
        "+",
        "c",
        "C",
        "=",
        "d",
        "D",
    ]


def test_a_drawing_holds_its_svg() -> None:
    figure = pictures([("row", [Picture(np.zeros((2, 2)), "0")])])
    html = drawing(figure, "A black image.")
    (data,) = re.findall(r"svg\+xml;base64,([^\"]*)\"", html)
    assert b"</svg>" in base64.b64decode(data) and 'alt="A black image."' in html
    assert drawing(figure, "A black image.") == html


def test_pictures_stand_in_rows_with_red_words_where_wrong() -> None:
    images = np.random.default_rng(0).random((2, 3, 4, 4))
    rows = [
        (name, [Picture(image, f"{name}{i}", i == 2) for i, image in enumerate(row)])
        for name, row in zip("ab", images, strict=True)
    ]
    figure = pictures(rows)
    assert [axis.get_title() for axis in figure.axes] == ["a0", "a1", "a2", "b0", "b1", "b2"]
    shown = np.stack([axis.images[0].get_array() for axis in figure.axes])
    assert (shown.reshape(images.shape) == images).all()
    assert [axis.title.get_color() != "black" for axis in figure.axes] == [False, False, True] * 2
    assert [axis.get_ylabel() for axis in figure.axes] == ["a", "", "", "b", "", ""]


def test_the_plane_draws_each_path_and_the_budget_around_the_centre() -> None:
    shown = Plane(np.array([[0, 1], [2, 2]]), np.array([[0.2, 0.3]]), np.array([1]))
    way = np.array([[0.1, 0.5], [0.2, 0.6], [0.3, 0.6]])
    figure = plane(shown, {"a": Paths([way], 0.1), "b": Paths([way, way[:2]])}, (0.1, 0.5), 0.2)
    first, second = figure.axes[:2]
    (square,) = first.patches
    assert square.get_xy() == pytest.approx((0.0, 0.4)) and square.get_width() == pytest.approx(0.2)
    assert not second.patches
    lines = [line.get_xydata() for line in first.lines]
    assert any(line.shape == way.shape and (line == way).all() for line in lines)
    assert any((line == way[-1:]).all() for line in lines)
    assert first.get_xlim() == pytest.approx((0.0, 0.4))  # moved into the square
    assert first.get_ylim() == pytest.approx((0.3, 0.7))
