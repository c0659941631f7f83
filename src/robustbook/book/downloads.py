"""Translate the text of downloadable notebooks into plain Markdown, because Jupyter cannot render
MyST markup.

In the copies of the book's pages that readers download, the roles and directives of MyST
(`{numref}`, `:::{table}`) are translated: a reference is replaced by the words or the number that
the book shows in its place, tables and figures get their numbered captions, and boxes such as notes
get their titles. Code cells are not changed, and of their outputs only Markdown.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from pybtex.database import parse_file

from robustbook import notebooks

_OPENING = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\} *(?P<title>.*)$")
_ROLE = re.compile(r"\{(?P<role>[\w:]+)\}`(?P<text>[^`]+)`")
_TARGET = re.compile(r"^\([\w-]+\)=$")
_OPTION = re.compile(r"^:(?P<name>[\w-]+): *(?P<value>.*)$")
_MACROS = {r"\\eps(?![a-z])": r"\\epsilon", r"\\sign(?![a-z])": r"\\operatorname{sign}"}


@dataclass(frozen=True)
class References:
    """The texts that the book shows in place of references: numbers of tables, figures and
    equations, and authors and years of cited papers.
    """

    numbers: Mapping[str, str] = field(default_factory=dict)
    authors: Mapping[str, str] = field(default_factory=dict)


def plain_downloads(html: Path, bibliography: Path) -> None:
    """Translate and overwrite the notebooks below the folder ``html`` that readers can download."""
    pages = (page.read_text(encoding="utf-8") for page in sorted(html.rglob("*.html")))
    references = References(shown_numbers(pages), cited(bibliography))
    for path in sorted((html / "_sources").rglob("*.ipynb")):
        notebooks.write(plain(nbformat.read(path, as_version=4), references), path)


def shown_numbers(pages: Iterable[str]) -> dict[str, str]:
    """Return the text that the book's pages show for each label, such as "Table B3" or "(2)"."""
    numbers: dict[str, str] = {}
    for page in pages:
        for label, text in re.findall(
            r'\bid="([\w-]+)"(?:(?!\bid=").)*?class="caption-number">([^<]+)<', page, re.DOTALL
        ):
            numbers[label] = text.replace("\N{NO-BREAK SPACE}", " ").strip()
        for label, number in re.findall(
            r'id="equation-([\w-]+)">\s*<span class="eqno">\((\d+)\)', page
        ):
            numbers[label] = f"({number})"
    return numbers


def cited(bibliography: Path) -> dict[str, str]:
    """Return authors and year, such as "Nayebi and Ganguli 2017", for each key of a BibTeX file."""
    found = {}
    for key, entry in parse_file(str(bibliography)).entries.items():
        last = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
        names = f"{last[0]} and others" if len(last) > 2 else " and ".join(last)
        found[key] = f"{names} {entry.fields.get('year', '')}".strip()
    return found


def plain(notebook: NotebookNode, references: References) -> NotebookNode:
    """Return a copy of the notebook in which cells and outputs have plain Markdown. The caption of
    a figure comes after the cell that draws the figure.
    """
    notebook = copy.deepcopy(notebook)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = translated(cell.source, references)
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = translated(data["text/markdown"], references)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if caption := figure.get("caption"):
            number = references.numbers.get(figure.get("name", ""), "Figure")
            words = translated(caption.strip(), references)
            cells.append(nbformat.v4.new_markdown_cell(f"**{number}.** {words}"))
    notebook.cells = cells
    for index, cell in enumerate(notebook.cells):
        cell.id = f"c{index:03d}"
    return notebook


def translated(text: str, references: References) -> str:
    """Return MyST text as Markdown that Jupyter can render."""
    lines = "\n".join(_blocks(text.split("\n"), references))
    for macro, meaning in _MACROS.items():
        lines = re.sub(macro, meaning, lines)
    return lines


def _blocks(lines: list[str], references: References) -> Iterator[str]:
    """Yield the lines with each MyST directive replaced by its contents, and each role by the words
    that the book shows.
    """
    at = 0
    while at < len(lines):
        line = lines[at]
        opening = _OPENING.match(line.strip())
        if opening:
            end = _closing(lines, at, opening["fence"])
            yield from _directive(opening, lines[at + 1 : end], references)
            at = end + 1
            continue
        if line.startswith("```"):  # a plain block of code stays as it is
            end = _closing(lines, at, re.match("`+", line)[0])  # type: ignore[index]
            yield from lines[at : end + 1]
            at = end + 1
            continue
        if not _TARGET.match(line):
            yield _ROLE.sub(lambda role: _words(role, references), line)
        at += 1


def _closing(lines: list[str], at: int, fence: str) -> int:
    """Return the index of the line that closes the block opened in line ``at``, or the number of
    lines if there is none.
    """
    depth = 0
    for row in range(at + 1, len(lines)):
        line = lines[row].strip()
        if line == fence and not depth:
            return row
        if line.startswith(fence + "{"):
            depth += 1
        elif line == fence:
            depth -= 1
    return len(lines)


def _directive(
    opening: "re.Match[str]", inside: list[str], references: References
) -> Iterator[str]:
    """Yield the title of a MyST directive, if it has one, and then its contents."""
    options: dict[str, str] = {}
    while inside and (option := _OPTION.match(inside[0].strip())):
        options[option["name"]] = option["value"]
        inside = inside[1:]
    name = opening["name"]
    title = _ROLE.sub(lambda role: _words(role, references), opening["title"])
    if name == "math":
        number = references.numbers.get(options.get("label", ""), "")
        yield from ["$$", *inside, *([f"\\tag{{{number.strip('()')}}}"] if number else []), "$$"]
    elif name == "literalinclude":
        yield f"The source is in `{opening['title'].strip().lstrip('./')}`."
    elif name in ("table", "figure"):
        number = references.numbers.get(options.get("name", ""), name.capitalize())
        yield from [f"**{number}.** {title}", "", *_blocks(inside, references)]
    elif name == "exercise":
        yield from [f"**Exercise: {title}**", "", *_blocks(inside, references)]
    elif name == "solution-start":
        yield "**Solution**"
    elif name == "solution-end":
        return
    elif name in ("code-block", "code"):
        yield from [f"```{title}", *inside, "```"]
    else:
        yield from ([f"**{title}**", ""] if title else [])
        yield from _blocks(inside, references)


def _words(role: "re.Match[str]", references: References) -> str:
    """Return the text that the book shows for a MyST role, such as the number of a table."""
    name, text = role["role"], role["text"]
    shown, _, label = text.partition("<")
    label = label.rstrip("> ") or text
    if name.startswith("cite"):
        return "(" + "; ".join(references.authors.get(k.strip(), k) for k in text.split(",")) + ")"
    if name in ("numref", "eq"):
        return references.numbers.get(label, shown.strip() or label)
    if name == "doc":
        return shown.strip().rpartition("/")[2]
    return shown.strip()
