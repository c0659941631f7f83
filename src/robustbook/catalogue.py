"""List the items that can be run, and find the folder with the book's targets and records.

An item is ``paper/name``, such as ``saturating/table-1``; the list is `robustbook.studies.items`.
This module imports neither a study nor torch, so that importing it is fast.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from robustbook import ledger
from robustbook.ledger import Ledger
from robustbook.studies import items
from robustbook.studies.parameters import BadParameter

BOOK = Path(__file__).resolve().parents[2] / "book"
"""The folder with target numbers, records and reasons."""

ITEMS = {name: item.module for name, item in items.ITEMS.items()}
"""Every item that can be run, with the name of its study module."""


def study(item: str) -> ModuleType:
    """Return the study module of ``paper/item``.

    Raises BadParameter if there is no such item; the message lists the known items.
    Raises FileNotFoundError if the folder with the book's target numbers is missing.
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
    """Return the items, as ``paper/name``, whose target numbers the page of ``item`` compares with
    our measurements.
    """
    return items.judged(item)


def whole_ledger(book: Path | None = None, **filters: str | None) -> Ledger:
    """Return the ledger (see `ledger.build`), with the command that computes each item."""
    return ledger.build(book or BOOK, command=items.command, **filters)
