"""Build the book: lay everything out under _build/stage, then run jupyter-book on that.

The prose pages of ``book/`` are copied. What they include from ``generated/`` is written here (the
cards and claims of the landing page, the ledger, the public names, the seconds of each page), so
that no table of the book is typed by hand. The executed notebooks are already there
(see `robustbook.notebooks`).

From a shell: ``python -m robustbook.book``.
"""

from .api import api_pages, parts
from .stage import build, fetched, stage

__all__ = ["api_pages", "build", "fetched", "parts", "stage"]
