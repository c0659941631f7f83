"""Build the book: write all its sources to the folder _build/stage, then run jupyter-book there.

The prose pages of the folder ``book/`` are copied to _build/stage. They include files in
``generated/``, which code writes, so that no table of the book is typed by hand: the landing page's
cards and claims, the ledger, the list of public names, and a table of the pages' running times. The
executed notebooks are in _build/stage before the build starts (see `robustbook.notebooks`).

From a shell: ``python -m robustbook.book``.
"""

from .api import api_pages, parts
from .stage import build, fetched, stage

__all__ = ["api_pages", "build", "fetched", "parts", "stage"]
