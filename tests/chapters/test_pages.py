"""The pages and their modules: cells are calls, and opening a published page is cheap."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from robustbook import notebooks

HIDDEN = {"remove-input", "remove-cell", "hide-input"}
LINES = 15
"""The longest cell that a reader should have to follow."""


def code(name: str) -> list[tuple[set[str], ast.Module, str]]:
    """Of each code cell its tags, its syntax tree and its text."""
    cells = (cell for cell in notebooks.stored(name, ".ipynb").cells if cell.cell_type == "code")
    return [
        (set(cell.metadata.get("tags", [])), ast.parse(cell.source), cell.source) for cell in cells
    ]


def modules(root: Path) -> list[str]:
    """The modules of the pages that show a record. Those of the first chapter attack networks."""
    folder = root / "src" / "robustbook"
    return [
        "robustbook." + path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((folder / "chapters").rglob("*.py"))
        if path.parent.name != "basics"
    ]


@pytest.mark.parametrize("name", notebooks.names())
def test_a_hidden_cell_holds_no_code_of_its_own(name: str) -> None:
    """What computes a sentence, a table or a figure is a function with a test."""
    for tags, tree, text in code(name):
        if tags & HIDDEN:
            own = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.If, ast.JoinedStr)
            assert not any(isinstance(node, own) for node in ast.walk(tree)), text
            rest = [n for n in tree.body if not isinstance(n, ast.Import | ast.ImportFrom)]
            assert len(rest) <= 2, text


@pytest.mark.parametrize("name", notebooks.names())
def test_a_visible_cell_is_short(name: str) -> None:
    """So that a reader can hold the page's idea in one view."""
    for tags, _, text in code(name):
        assert tags & HIDDEN or len(text.splitlines()) <= LINES, text


@pytest.mark.parametrize("name", notebooks.names())
def test_no_other_cell_stores_a_parameter(name: str) -> None:
    """`page.begin` reads the parameters from the kernel, also when it runs a second time."""
    stored = [
        ("parameters" in tags, node.id)
        for tags, tree, _ in code(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    own, others = ({n for mine, n in stored if mine == kind} for kind in (True, False))
    assert not own & others


def test_the_modules_of_the_pages_import_no_torch(root: Path) -> None:
    """A published page would otherwise take seconds to open."""
    names = modules(root)
    assert len(names) > 20
    script = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "print(sorted({'torch', 'pandas', 'concurrent.futures.process'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_a_published_page_opens_without_torch(root: Path) -> None:
    """Figure 6 needs a closed form that torch code uses as well; its cells must not import that."""
    script = (
        "import sys\n"
        "from robustbook import notebooks\n"
        "cells = notebooks.stored('saturating/figure6', '.md').cells\n"
        "space = {'__name__': '__main__'}\n"
        "for cell in cells:\n"
        "    if cell.cell_type == 'code':\n"
        "        exec(cell.source, space)\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_each_page_has_one_title_of_its_own() -> None:
    """A heading that is left from another page would stand in the sidebar twice."""
    titles = []
    for name in notebooks.names():
        cells = notebooks.stored(name, ".ipynb").cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        own = [line for line in prose.splitlines() if line.startswith("# ")]
        assert len(own) == 1, (name, own)
        titles += own
    assert len(set(titles)) == len(titles)
