"""The icons of the theme, cut down to those in use."""

import io
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from robustbook.book.icons import FAMILIES, cut, embed_icons, used_glyphs

CSS = '.fa-sun:before{content:"\\f185"}.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}'


def vendored() -> Path:
    """The theme's copy of Font Awesome."""
    spec = find_spec("pydata_sphinx_theme")
    assert spec is not None and spec.origin is not None
    (found,) = Path(spec.origin).parent.rglob("webfonts")
    return found.parent


def test_glyphs_are_found_by_class_and_by_content() -> None:
    assert used_glyphs(CSS, ['<i class="fas fa-bars">'], []) == {0xF0C9}
    assert used_glyphs(CSS, ["fa-navicon fa-none"], ['a{content:"\\f0fe"}']) == {0xF0C9, 0xF0FE}
    assert used_glyphs(CSS, [], []) == set()


def test_a_cut_font_holds_the_glyphs_asked_for() -> None:
    whole = vendored() / "webfonts" / "fa-solid-900.ttf"
    data = cut(whole, {0xF185, 0xF0C9})
    assert set(TTFont(io.BytesIO(data)).getBestCmap()) == {0xF185, 0xF0C9}
    assert len(data) < whole.stat().st_size / 20
    assert cut(whole, {0xF0C9, 0xF185}) == data, "the same book gives the same bytes"


def test_pages_load_neither_the_script_nor_the_fonts(tmp_path: Path) -> None:
    target = tmp_path / "_static" / "vendor" / "fontawesome" / "6"
    for source in (vendored() / "css" / "all.min.css", *(vendored() / "webfonts").iterdir()):
        copy = target / source.parent.name / source.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    page = tmp_path / "page.html"
    kept = (
        '<link href="_static/vendor/fontawesome/6/css/all.min.css?digest=1" rel="stylesheet" />\n'
    )
    page.write_text(
        kept
        + '<link rel="preload" as="font" href="_static/vendor/fontawesome/6/webfonts/a.woff2" />\n'
        + '<script src="_static/vendor/fontawesome/6/js/all.min.js?digest=1"></script>\n'
        + '<i class="fa-solid fa-sun"></i>'
    )
    embed_icons(tmp_path)
    assert page.read_text() == kept + '<i class="fa-solid fa-sun"></i>'
    css = (target / "css" / "all.min.css").read_text()
    assert "webfonts/" not in css and css.count("data:font/ttf;base64,") == 4
    assert list(target.rglob("*.*")) == [target / "css" / "all.min.css"]


@pytest.mark.parametrize("theme", ["pydata_sphinx_theme", "sphinx_book_theme"])
def test_each_font_that_the_theme_names_is_embedded(theme: str) -> None:
    """Without its font, an icon is an empty box."""
    spec = find_spec(theme)
    assert spec is not None and spec.origin is not None
    styles = [p for p in Path(spec.origin).parent.rglob("*.css") if "fontawesome" not in p.parts]
    text = "".join(path.read_text(encoding="utf-8") for path in styles).replace("\\", "")
    assert styles and set(re.findall(r"Font Awesome \d \w+", text)) <= set(FAMILIES)


@pytest.mark.parametrize("name", ["fa-solid-900", "fa-regular-400"])
def test_the_theme_still_brings_the_fonts(name: str) -> None:
    assert (vendored() / "webfonts" / f"{name}.ttf").exists()
