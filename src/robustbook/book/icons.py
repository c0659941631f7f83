"""Replace the theme's icon fonts by a style sheet with only the icons that the pages use.

The theme loads Font Awesome twice: as a font (400 KB with its style sheet), and as a script that
draws all icons (1.5 MB). If a reader opens the book from a disk, the browser refuses to load font
files. So the icons that the pages use are extracted from the fonts and put into the style sheet.
"""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FOLDER = Path("_static", "vendor", "fontawesome")
FONTS = {"fa-solid-900": 900, "fa-regular-400": 400}
"""The fonts from which icons are kept, and their font weights in the style sheet."""
FAMILIES = ("Font Awesome 6 Free", "Font Awesome 5 Free")
"""The names of the fonts in style sheets. The theme calls the font of one icon by its old name."""
_TAG = re.compile(
    r"[ \t]*<(?:link|script)[^>]*vendor/fontawesome/[^>]*?(?:webfonts|js)/[^>]*>(?:</script>)?\n?"
)
_RULE = re.compile(r"((?:\.fa-[\w-]+:before,?)+)\{content:\"\\([0-9a-f]+)\"\}")


def embed_icons(html: Path) -> None:
    """Rewrite the pages below the folder ``html``, and the style sheet of the icons, so that only
    the used icons are loaded, with the same appearance.
    """
    pages = sorted(html.rglob("*.html"))
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    for page, text in texts.items():
        if (light := _TAG.sub("", text)) != text:
            page.write_text(light, encoding="utf-8")
    styles = [
        path.read_text(encoding="utf-8")
        for path in (html / "_static").rglob("*.css")
        if "fontawesome" not in path.parts
    ]
    scripts = [
        path.read_text(encoding="utf-8")
        for path in (html / "_static").rglob("*.js")
        if "fontawesome" not in path.parts
    ]
    for sheet in sorted((html / FOLDER).rglob("all.min.css")):
        css = sheet.read_text(encoding="utf-8")
        codes = used_glyphs(css, [*texts.values(), *scripts], styles)
        sheet.write_text(_embedded(css, sheet.parent.parent / "webfonts", codes), encoding="utf-8")
        for unused in [*sheet.parent.parent.glob("js/*"), *sheet.parent.parent.glob("webfonts/*")]:
            unused.unlink()


def used_glyphs(css: str, texts: Iterable[str], styles: Iterable[str]) -> set[int]:
    """Return the code points of the icons that pages or style sheets use."""
    named = {
        name: int(code, 16)
        for names, code in _RULE.findall(css)
        for name in re.findall(r"\.(fa-[\w-]+):before", names)
    }
    words = {word for text in texts for word in re.findall(r"\bfa-[\w-]+", text)}
    content = {int(code, 16) for text in styles for code in re.findall(r"\\(f[0-9a-f]{3})\b", text)}
    return {code for name, code in named.items() if name in words} | content


def _embedded(css: str, fonts: Path, codes: set[int]) -> str:
    """Return the style sheet with the fonts embedded as data, without the unused icons."""
    kept = re.sub(r"@font-face\{[^}]*\}", "", css)
    faces = []
    for name, weight in FONTS.items():
        data = base64.b64encode(cut(fonts / f"{name}.ttf", codes)).decode()
        faces += [
            f'@font-face{{font-family:"{family}";font-style:normal;'
            f"font-weight:{weight};font-display:block;"
            f'src:url("data:font/ttf;base64,{data}") format("truetype")}}'
            for family in FAMILIES
        ]
    return kept + "\n" + "\n".join(faces) + "\n"


def cut(font: Path, codes: set[int]) -> bytes:
    """Return the font with only the characters whose code points are in ``codes``."""
    options = subset.Options(notdef_outline=True, recalc_timestamp=False)
    loaded = TTFont(font, recalcTimestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=sorted(codes))
    cutter.subset(loaded)
    buffer = io.BytesIO()
    loaded.save(buffer)
    return buffer.getvalue()
