"""Read tables and sentences of the pages back, for their tests."""

import re

from robustbook.figures import Table

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def cells(table: Table) -> list[list[str]]:
    """Return the cells of a table's head, and those of its rows."""
    head, _, *rows = [line for line in table.markdown.splitlines() if line.startswith("| ")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (head, *rows)]


def body(table: Table) -> list[list[str]]:
    """Return the cells of a table's rows."""
    return cells(table)[1:]


def numbers(text: str) -> list[float]:
    """Return every number of a text, in order."""
    plain = text.replace("\N{MINUS SIGN}", "-").replace("\N{NON-BREAKING HYPHEN}", "-")
    plain = re.sub(r"·10([⁻⁰¹²³⁴-⁹]+)", lambda found: "e" + found[1].translate(RAISED), plain)
    # A hyphen between a letter or digit and a number joins words (layer-1), so it is not a sign.
    found = re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", plain)
    return [float(each.replace(",", "")) for each in found]


def ordered(cell: str) -> bool:
    """Return whether a cell's mean lies between its ends, if it has any."""
    mean, *ends = numbers(cell.replace("**", ""))
    return not ends or ends[0] <= mean <= ends[1]
