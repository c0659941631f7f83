"""On a phone, the panels of a wide figure stand below each other.

A figure of `robustbook.page.svg` says in its attribute `data-parts` where its legend and its panels
are. After the image of such a figure, this extension writes one small SVG for each part. It shows
its part of the same file, so the figure is loaded once. The style sheet shows either the image or
its parts.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

IMAGE = re.compile(r'<img [^>]*src="([^"]*/_images/([^"/]+\.svg))"[^>]*>')
ALT = re.compile(r'alt="([^"]*)"')
ROOT = re.compile(r'<svg [^>]*?data-parts="([^"]+)"[^>]*>')
SIZE = re.compile(r'viewBox="0 0 (\S+) (\S+)"')


def with_parts(image: str, source: str, svg: str) -> str:
    """Return an img element, followed by the parts of its SVG if the SVG names any."""
    root = ROOT.search(svg)
    size = SIZE.search(root[0]) if root else None
    if root is None or size is None:
        return image
    whole = f'<image href="{source}" width="{size[1]}" height="{size[2]}"/>'
    drawn = [_part(part, whole) for part in root[1].split(";")]
    alt = ALT.search(image)
    marked = image.replace("<img ", '<img class="in-parts" ', 1)
    words = f'role="img" aria-label="{alt[1] if alt else ""}"'
    return f'{marked}<span class="parts" {words}>{"".join(drawn)}</span>'


def _part(part: str, whole: str) -> str:
    """Return an SVG that shows the boxes of a part side by side; ``whole`` is the whole figure."""
    percent, *boxes = part.split(",")
    shown, x = [], 0.0
    for box in boxes:
        _, _, width, height = map(float, box.split())
        shown.append(f'<svg x="{x:g}" width="{width:g}" height="{height:g}" viewBox="{box}">')
        shown.append(f"{whole}</svg>")
        x += width
    inside = "".join(shown)
    return f'<svg viewBox="0 0 {x:g} {height:g}" style="width:{percent}%">{inside}</svg>'


def add_parts(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Write the parts of each figure of a page after its image."""
    paths = {file: Path(app.srcdir, path) for path, file in app.builder.images.items()}

    def shown(found: re.Match[str]) -> str:
        path = paths.get(found[2])
        svg = path.read_text(encoding="utf-8") if path and path.exists() else ""
        return with_parts(found[0], found[1], svg)

    if "body" in context:
        context["body"] = IMAGE.sub(shown, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", add_parts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
