"""MathJax from this machine: the book's pages ask nothing of the network.

The package sphinx-mathjax-offline holds all of MathJax; this copies the part that HTML pages use
(its own extension would copy five times as much). The pages load its parts one by one, which
`loader` in _config.yml names: the file that has them in one also has the menu, a third of it.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

PARTS = [
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts",
    "a11y/assistive-mml.js",
]


def copy_parts(app: Sphinx, error: Exception | None) -> None:
    spec = find_spec("sphinx-mathjax-offline")
    if error or spec is None or not spec.submodule_search_locations:
        return
    source = Path(spec.submodule_search_locations[0], "static", "mathjax")
    target = Path(app.outdir, "_static", "mathjax")
    for part in PARTS:
        where = target / part if (source / part).is_dir() else (target / part).parent
        where.mkdir(parents=True, exist_ok=True)
        copy_asset(str(source / part), str(where))


def setup(app: Sphinx) -> dict[str, Any]:
    if find_spec("sphinx-mathjax-offline") is None:
        raise RuntimeError("sphinx-mathjax-offline is not installed: run `make setup`")
    app.config.mathjax_path = "mathjax/startup.js"
    app.connect("build-finished", copy_parts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
