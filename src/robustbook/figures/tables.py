"""Write numbered tables as the output of a notebook cell.

Jupyter Book numbers the figures among a cell's outputs, but not the tables. It does number MyST
`table` directives in a Markdown output, so this module writes such directives. The caller passes
numbers as text, so that 0.10 is not shortened to 0.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "\N{EN DASH}"
"""The text of a cell that has no number."""


@dataclass(frozen=True)
class Table:
    """The table that the function `table` returns, in two forms: as Markdown for the book, and as
    plain text.
    """

    markdown: str
    plain: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.plain}


def table(
    caption: str,
    name: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: str | None = None,
) -> Table:
    """Return a numbered table with `caption`. Text on the page can refer to the table by `name`,
    with the MyST role `numref`.

    Caption, headers and cells may contain inline MyST. `align` has one letter per column: `l` for
    left, `c` for centred, or `r` for right; by default the first column is aligned left, and the
    others, which contain numbers, right. If a cell has a dash instead of a number (`MISSING`) and
    the caption does not explain dashes, a sentence on them is added to the caption.

    Raises ValueError for a caption or cell of several lines, an invalid name, a wrong `align`, or a
    row that does not have one cell for each header.
    """
    align = "l" + "r" * (len(headers) - 1) if align is None else align
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"name must be small letters, digits and hyphens, got {name!r}")
    if not headers or not rows:
        raise ValueError(
            f"a table must have a column and a row, got {len(headers)} headers, {len(rows)} rows"
        )
    if len(align) != len(headers) or not set(align) <= set("lcr"):
        raise ValueError(
            f"align must have one of l, c, r for each of {len(headers)} columns, got {align!r}"
        )
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(
                f"rows must have {len(headers)} cells like the headers, got {list(row)!r}"
            )
    for text in (caption, *headers, *(cell for row in rows for cell in row)):
        if "\n" in text:
            raise ValueError(f"caption and cells must be of one line, got {text!r}")
    dash = any(cell.endswith(MISSING) for row in rows for cell in row)
    if dash and not re.search(r"\bdash\b", caption):
        caption = f"{caption} A dash: not measured."
    return Table(
        "\n".join(
            [
                f":::{{table}} {caption}",
                f":name: {name}",
                "",
                _piped(headers),
                _piped([{"l": ":--", "c": ":-:", "r": "--:"}[letter] for letter in align]),
                *map(_piped, rows),
                ":::",
            ]
        ),
        "\n".join([caption, "", *_justified([headers, *rows], align)]),
    )


def _piped(cells: Sequence[str]) -> str:
    # A bare bar would begin a new column, even inside a formula or code.
    escaped = (cell.replace("|", r"\|") for cell in cells)
    # A line must not break inside "0.1 to 0.2" or before the sign of "40 %".
    whole = (re.sub(r"(?<=\d) (?:to (?=[-\d])|(?=%))", _unbroken, cell) for cell in escaped)
    return f"| {' | '.join(whole)} |"


def _unbroken(found: re.Match[str]) -> str:
    return found[0].replace(" ", "\N{NO-BREAK SPACE}")


def _justified(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Return the lines of a plain-text table, with every column as wide as its longest cell."""
    pad = {"l": str.ljust, "c": str.center, "r": str.rjust}
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            pad[letter](cell, width) for cell, width, letter in zip(row, widths, align, strict=True)
        ).rstrip()
        for row in rows
    ]
