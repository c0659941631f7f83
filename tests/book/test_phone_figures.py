"""After an image, the book's pages have the parts of its figure for a phone."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

IMAGE = '<img alt="Two panels." src="../_images/a.svg" />'
SVG = '<svg data-parts="50.0,0 0 60 20;100.0,0 20 30 40,70 20 50 40" viewBox="0 0 120 60">'


@pytest.fixture
def phone(extension: Callable[[str], ModuleType]) -> ModuleType:
    return extension("phone_figures")


def test_each_part_shows_its_boxes_of_the_same_file(phone: ModuleType) -> None:
    """The words of the image are those of its parts, too."""
    html = phone.with_parts(IMAGE, "../_images/a.svg", SVG)
    assert html.startswith('<img class="in-parts" alt="Two panels."')
    assert html.count('aria-label="Two panels."') == 1
    assert html.count('<image href="../_images/a.svg" width="120" height="60"/>') == 3
    first = '<svg viewBox="0 0 60 20" style="width:50.0%"><svg x="0" width="60" height="20" '
    assert f'{first}viewBox="0 0 60 20">' in html
    assert '<svg viewBox="0 0 80 40" style="width:100.0%">' in html
    assert '<svg x="30" width="50" height="40" viewBox="70 20 50 40">' in html


def test_an_image_without_parts_stays_as_it_is(phone: ModuleType) -> None:
    assert phone.with_parts(IMAGE, "../_images/a.svg", SVG.replace("data-parts", "data-x")) == IMAGE


def test_the_pages_get_the_parts(phone: ModuleType, tmp_path: Path) -> None:
    """Sphinx knows the file of each image of a page."""
    (tmp_path / "fig.svg").write_text(SVG)
    images = {"fig.svg": "a.svg", "gone.svg": "b.svg"}
    app = SimpleNamespace(srcdir=tmp_path, builder=SimpleNamespace(images=images))
    context = {"body": f"<p>{IMAGE}</p>{IMAGE.replace('a.svg', 'b.svg')}"}
    phone.add_parts(app, "page", "page.html", context, None)
    assert context["body"].count('class="parts"') == 1 and context["body"].startswith("<p><img")
