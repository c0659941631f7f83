"""The items that can be run, and where the book's targets and records lie.

An item is ``paper/name``: ``saturating/table-1``; the list is `robustbook.studies.items`. Importing
this imports no study, and so no torch.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from robustbook import ledger
from robustbook.ledger import Ledger
from robustbook.studies import items
from robustbook.studies.parameters import BadParameter

BOOK = Path(__file__).resolve().parents[2] / "book"
"""Where targets, records and reasons lie."""

ITEMS = {name: item.module for name, item in items.ITEMS.items()}
"""Every item that can be run, and the module that says how."""


def study(item: str) -> ModuleType:
    """The study module of ``paper/item``.

    Raises:
        BadParameter: there is no such item; the sentence names those there are.
        FileNotFoundError: the book's targets, which its numbers are compared with, are not there.
    """
    if item not in ITEMS:
        raise BadParameter(f"item must be one of {', '.join(ITEMS)}, got {item!r}")
    if not any((BOOK / "targets").glob("*-targets.csv")):
        raise FileNotFoundError(
            f"robustbook must be used from a checkout of the project, whose folder book/targets "
            f"says what was printed; there is none at {BOOK / 'targets'}"
        )
    return import_module(ITEMS[item])


def judged(item: str) -> tuple[str, ...]:
    """The items, as ``paper/item``, whose targets the page of ``item`` judges."""
    return items.judged(item)


def whole_ledger(book: Path | None = None, **filters: str | None) -> Ledger:
    """The ledger (see `ledger.build`) with the commands of the items there are."""
    return ledger.build(book or BOOK, command=items.command, **filters)
