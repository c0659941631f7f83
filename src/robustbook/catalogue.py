"""List the tables, figures and claims that can be run, and find the folder with the book's data.

Each table, figure or claim is called an item. It has a name ``paper/name`` such as
``saturating/table-1``; `robustbook.studies.items` lists all items. This module imports neither
torch nor any study, so that importing it is fast.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from robustbook import ledger
from robustbook.ledger import Ledger
from robustbook.studies import items
from robustbook.studies.parameters import BadParameter

BOOK = Path(__file__).resolve().parents[2] / "book"
"""The folder with the papers' numbers, our records (files of results), and the explanations of
verdicts.
"""

ITEMS = {name: item.module for name, item in items.ITEMS.items()}
"""Every table, figure or claim that can be run, with the name of the module that computes it."""


def study(item: str) -> ModuleType:
    """Return the module that computes a table, figure or claim ``paper/item``.

    Raises BadParameter, with a list of the known items, if there is no such item, and
    FileNotFoundError if the folder with the papers' numbers is missing.
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
    """Return the names ``paper/name`` of the papers' tables and figures that the page of ``item``
    compares with our measurements.
    """
    return items.judged(item)


def whole_ledger(book: Path | None = None, **filters: str | None) -> Ledger:
    """Return the ledger, a list that compares the papers' numbers with ours. Each line contains the
    command that makes our measurement. ``filters`` are the arguments of `ledger.build` that choose
    lines.
    """
    return ledger.build(book or BOOK, command=items.command, **filters)
