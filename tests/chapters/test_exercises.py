"""The exercises of the pages: each has a solution, which is closed at first and made of cells."""

import ast
import re
from collections.abc import Iterator

import pytest

from robustbook import notebooks

PAGES = [name for name in notebooks.names() if name.startswith("basics/")]
PAPERS = ("self_ensemble/", "deep_defense/", "saturating/", "survey/")
PAPER_PAGES = [name for name in notebooks.names() if name.startswith(PAPERS)]


HINT = re.compile(r"\*(?:Check|Compare|Look at|Look for)\*")
"""The label of the sentence of an exercise that says what to look at."""


def solutions(name: str) -> list[tuple[str, str]]:
    """Return for each solution of a page the label of its exercise and its code."""
    found: list[tuple[str, str]] = []
    label = ""
    for cell in notebooks.stored(name, ".md").cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("```{solution-start} "):
                label = line.split()[1]
            elif line.startswith("```{solution-end}"):
                label = ""
        if cell.cell_type == "code" and label:
            found.append((label, cell.source))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_each_page_has_three_exercises_with_a_solution_in_code(name: str) -> None:
    text = "".join(cell.source for cell in notebooks.stored(name, ".md").cells)
    labels = [line[8:] for line in text.splitlines() if line.startswith(":label: ex-")]
    assert [label for label, _ in solutions(name)] == labels
    hints = len(HINT.findall(" ".join(text.split())))
    assert len(labels) == 3 == text.count(":::{exercise} ") == hints
    assert text.count(":class: dropdown") == 3, "a solution must be closed at first"


@pytest.mark.parametrize("name", PAGES)
def test_each_page_has_every_part(name: str) -> None:
    text = "\n".join(cell.source for cell in notebooks.stored(name, ".md").cells)
    parts = ["## The idea", "{math}", "## The experiment", "## What to conclude", "## Try it"]
    places = [text.index(part) for part in ("**Question.**", *parts)]
    assert places == sorted(places)
    assert "*Against this conclusion:*" in text


@pytest.mark.parametrize("name", PAPER_PAGES)
def test_each_page_of_a_paper_has_exercises_with_a_short_solution(name: str) -> None:
    """Two or more on each page."""
    text = "".join(cell.source for cell in notebooks.stored(name, ".md").cells)
    labels = [line[8:] for line in text.splitlines() if line.startswith(":label: ex-")]
    assert [label for label, _ in solutions(name)] == labels
    assert len(labels) >= 2
    count = {text.count(part) for part in (":::{exercise} ", "```{solution-start} ")}
    assert count == {len(labels)} == {len(HINT.findall(" ".join(text.split())))}
    for label, code in solutions(name):
        lines = [line for line in code.splitlines() if line and "import " not in line]
        assert len(lines) <= 10, label
    assert text.index("## What to conclude") < text.index("## Try it")
    assert "## Details" not in text or text.index("## Try it") < text.index("## Details")


def test_labels_are_unique() -> None:
    """A repeated label would link a solution to the exercise of another page."""
    labels = [label for name in PAGES + PAPER_PAGES for label, _ in solutions(name)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", PAPER_PAGES)
def test_a_solution_leaves_the_names_of_later_cells_alone(name: str) -> None:
    """The details below the exercises use names from the top of the page."""
    own = [code for _, code in solutions(name)]
    code = [cell.source for cell in notebooks.stored(name, ".md").cells if cell.cell_type == "code"]
    first = min(map(code.index, own))
    used = {
        node.id
        for cell in code[first:]
        if cell not in own
        for node in ast.walk(ast.parse(cell))
        if isinstance(node, ast.Name)
    }
    given = {name for cell in own for name in _given(ast.parse(cell))}
    assert given and not given & used


def _given(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a cell assigns, defines or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
