"""Build the book: write all its sources to _build/stage, then run jupyter-book on this folder.

The prose pages of the folder ``book/`` are copied to _build/stage. Code writes the files in
``generated/``, which the prose pages include, so no table of the book is typed by hand. The
generated files are the cards and claims of the landing page, the ledger, the public names, and the
seconds of each page. The executed notebooks are already in _build/stage (see
`robustbook.notebooks`).

From a shell: ``python -m robustbook.book``.
"""

from .api import api_pages, parts
from .stage import build, fetched, stage

__all__ = ["api_pages", "build", "fetched", "parts", "stage"]
