"""The notebooks that readers download: no markup that Jupyter would show as it stands."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from robustbook import notebooks
from robustbook.book.downloads import (
    References,
    cited,
    plain,
    plain_downloads,
    shown_numbers,
    translated,
)

KNOWN = References(
    {"tab-a": "Table B3", "fig-a": "Fig. B1", "eq-a": "(2)"}, {"nayebi2017": "Nayebi 2017"}
)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("a {term}`verdicts <verdict>` of {term}`FGSM`", "a verdicts of FGSM"),
        ("{numref}`tab-a` and {eq}`eq-a`", "Table B3 and (2)"),
        ("{numref}`the table <tab-a>`", "Table B3"),
        ("as {cite}`nayebi2017` says", "as (Nayebi 2017) says"),
        ("(sec-x)=\n# Title", "# Title"),
        ("```{math}\n:label: eq-a\nx = \\eps\n```", "$$\nx = \\epsilon\n\\tag{2}\n$$"),
        ("```{math}\ny\n```", "$$\ny\n$$"),
        (":::{table} Words\n:name: tab-a\n\n| a |\n:::", "**Table B3.** Words\n\n\n| a |"),
        (
            ":::{dropdown} The study\nRead it.\n\n```{literalinclude} ../../src/a.py\n"
            ":language: python\n```\n:::\nAfter",
            "**The study**\n\nRead it.\n\nThe source is in `src/a.py`.\nAfter",
        ),
        ("::::{note}\n:::{dropdown} T\nx\n:::\n::::\ny", "**T**\n\nx\ny"),
        ("```python\nx = {a}`b`\n(y)=\n```", "```python\nx = {a}`b`\n(y)=\n```"),
        ("plain `{a}` text", "plain `{a}` text"),
        (":::{exercise} Why?\n:label: ex-a\n\nSay it.\n:::", "**Exercise: Why?**\n\n\nSay it."),
        ("```{solution-start} ex-a\n:class: dropdown\n```\nx", "**Solution**\nx"),
        ("x\n```{solution-end}\n```", "x"),
    ],
)
def test_markup_becomes_what_the_book_shows(myst: str, markdown: str) -> None:
    assert translated(myst, KNOWN) == markdown


def test_numbers_are_those_of_the_pages() -> None:
    page = """<table id="tab-a"><caption><span class="caption-number">Table\N{NO-BREAK SPACE}B3
    </span></caption></table><section id="s"><figure id="fig-a"><img/><figcaption>
    <span class="caption-number">Fig. B1 </span></figcaption></figure></section>
    <div class="math" id="equation-eq-a">\n<span class="eqno">(2)<a></a></span></div>"""
    assert shown_numbers([page]) == KNOWN.numbers


def test_cells_and_outputs_are_translated_and_code_is_not() -> None:
    drawn = new_code_cell("f'{numref}`tab-a`'")
    drawn.metadata = nbformat.from_dict(
        {"mystnb": {"figure": {"name": "fig-a", "caption": "As {eq}`eq-a`.\n"}}}
    )
    shown = new_output("display_data", data={"text/markdown": "{numref}`tab-a`"})
    drawn.outputs = [shown]
    given = new_notebook(cells=[new_markdown_cell("{numref}`tab-a`"), drawn])
    words, code, caption = plain(given, KNOWN).cells
    assert (words.source, code.source) == ("Table B3", drawn.source)
    assert code.outputs[0].data["text/markdown"] == "Table B3"
    assert caption.source == "**Fig. B1.** As (2)."
    assert given.cells[0].source == "{numref}`tab-a`", "what was handed in was changed"


MARKUP = re.compile(r"^(:::|```\{)|\{(term|numref|eq|cite|doc|ref)\}`|^\([\w-]+\)=$", re.MULTILINE)


@pytest.mark.parametrize("name", notebooks.names())
def test_no_page_of_the_book_keeps_markup(name: str, root: Path) -> None:
    authors = cited(root / "book" / "references.bib")
    assert authors["nayebi2017"] == "Nayebi and Ganguli 2017"
    done = plain(notebooks.stored(name, ".ipynb", root), References({}, authors))
    nbformat.validate(done)
    for cell in done.cells:
        texts = [cell.source] if cell.cell_type == "markdown" else []
        texts += [
            o.data["text/markdown"]
            for o in cell.get("outputs", [])
            if "text/markdown" in o.get("data", {})
        ]
        for text in texts:
            outside = re.sub(r"^```\w*$.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
            assert not MARKUP.search(outside), text


def test_the_copies_of_a_built_book_are_replaced(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "_sources" / "notebooks" / "page.ipynb"
    notebooks.write(new_notebook(cells=[new_markdown_cell("{cite}`yan2018`")]), path)
    plain_downloads(tmp_path, root / "book" / "references.bib")
    assert nbformat.read(path, as_version=4).cells[0].source == "(Yan and others 2018)"
