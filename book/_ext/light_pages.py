"""Pages load what they use: no thebe (which declared itself twice), the ledger's files on its page.

Also what the theme has no option for: the entry "Home" of the sidebar, under each page the link to
its rows of the ledger, and no buttons for Binder and Colab without an address.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

LEDGER = "book/ledger"


def lighten(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    context["root_title"] = "Home"
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context[files] if not _unused(file, name == LEDGER)]
    path = Path(app.srcdir, "book", "generated", "filters.json")
    asked = json.loads(path.read_text(encoding="utf-8")).get(name)
    if asked and "body" in context:
        href = f"{context['pathto'](LEDGER)}?{escape(asked)}"
        context["body"] += (
            f'<p class="ledger-link"><a href="{href}">This page in the ledger</a></p>'
        )


def no_buttons_without_address(app: Sphinx, config: Any) -> None:
    """Remove the buttons for Binder and Colab while `repository: url` in _config.yml is empty."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = {}


def _unused(file: Any, on_ledger: bool) -> bool:
    """Whether a script or style sheet is of no use on a page."""
    name = str(getattr(file, "filename", file) or "")
    words = str(getattr(file, "attributes", {}).get("body", ""))
    if "thebe" in name or "THEBE_JS_URL" in words:
        return True
    return "ledger." in name and not on_ledger


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", no_buttons_without_address)
    app.connect("html-page-context", lighten, priority=900)  # after the theme and thebe
    return {"parallel_read_safe": True, "parallel_write_safe": True}
