"""The exercises of the pages: each has a solution, which is closed at first and made of cells."""

import pytest

from robustbook import notebooks

PAGES = [name for name in notebooks.names() if name.startswith("basics/")]


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
    hints = " ".join(text.split()).count("*Look for*")
    assert len(labels) == 3 == text.count(":::{exercise} ") == hints
    assert text.count(":class: dropdown") == 3, "a solution must be closed at first"


@pytest.mark.parametrize("name", PAGES)
def test_each_page_has_every_part(name: str) -> None:
    text = "\n".join(cell.source for cell in notebooks.stored(name, ".md").cells)
    parts = ["## The idea", "{math}", "## The experiment", "## What to conclude", "## Try it"]
    places = [text.index(part) for part in ("**Question.**", *parts)]
    assert places == sorted(places)
    assert "*Against this conclusion:*" in text
