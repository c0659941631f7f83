"""The stage that the book is built from. The build itself is `make book`, warnings as errors."""

import shutil
from pathlib import Path

import click
import pytest
import yaml
from nbformat.v4 import new_notebook

from robustbook import book, ledger, notebooks


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """The project's prose with one notebook, executed already."""
    for name in ("_config.yml", "_toc.yml", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "book", tmp_path / "book")
    for folder in (tmp_path, tmp_path / "_build" / "stage"):
        notebooks.write(new_notebook(), folder / "notebooks" / "saturating" / "table1.ipynb")
    return tmp_path


def test_the_stage_has_everything_the_pages_include(project: Path) -> None:
    """A missing table would be a warning in the build, and so an error."""
    here = book.stage(project)
    config = yaml.safe_load((here / "_config.yml").read_text())["sphinx"]["config"]
    for key in ("html_css_files", "html_js_files"):
        assert all((here / "book" / "_static" / name).exists() for name in config[key])
    included = [
        line.split()[-1]
        for page in (here / "book").glob("*.md")
        for line in page.read_text().splitlines()
        if "generated/" in line
    ]
    assert included
    assert all((here / "book" / name).stat().st_size for name in included)


def test_the_tree_stays_clean(project: Path) -> None:
    """Building twice from a checkout leaves git nothing to say."""
    before = sorted(project.glob("book/**/*"))
    book.stage(project)
    book.stage(project)
    assert sorted(project.glob("book/**/*")) == before


def test_a_page_that_was_not_executed_is_refused(project: Path) -> None:
    notebooks.write(new_notebook(), project / "notebooks" / "saturating" / "table2.ipynb")
    with pytest.raises(click.ClickException, match=r"saturating/table2\.ipynb has not been"):
        book.stage(project)


def test_a_page_that_is_gone_leaves_the_stage(project: Path) -> None:
    gone = project / "_build" / "stage" / "notebooks" / "saturating" / "table9.ipynb"
    notebooks.write(new_notebook(), gone)
    book.stage(project)
    assert not gone.exists()


def test_the_page_of_the_package_shows_every_public_name() -> None:
    text = "\n".join(book.api())
    for module in book.parts():
        assert f"## {module.__name__}\n" in text
        for name in module.__all__:
            assert f"### {name}\n" in text
    assert "def page_html(ledger: Ledger) -> str:" in text, "signatures stand as in the source"
    assert "\n- `forwards, backwards`: images propagated" in text, (
        "what a docstring names is a list"
    )


def test_times_are_summed() -> None:
    times = {
        "a/one": {"profile": "quick", "seconds": 1.25},
        "a/two": {"profile": "", "seconds": 2.0},
    }
    lines = book.status_table(times).splitlines()
    assert "| [](../notebooks/a/two.ipynb) | defaults | 2.0 |" in lines
    assert "| together | | 3.2 |" in lines


def test_pages_are_listed_with_what_became_of_their_targets(root: Path) -> None:
    """By the items that the page's study judges; a page that begins no item is left out."""
    whole = ledger.build(root / "book")
    item = [e for e in whole.counted if (e.paper, e.item) == ("saturating", "table-1")]
    judged = {name: book.judged(root)[name] for name in ("benchmarks", "saturating/table1")}
    *_, chapter, row = book.pages_table(whole, judged).splitlines()
    assert chapter == "| **Saturating networks** | |"
    assert row.startswith("| [](../notebooks/saturating/table1.ipynb) |")
    assert sum(int(word) for word in row.split() if word.isdigit()) == len(item) > 0


def test_what_a_page_would_fetch_from_elsewhere_is_found() -> None:
    """The book is read without a network."""
    html = """<link rel="stylesheet" href="https://a.example/x.css"><script src="//b.example/y.js">
    </script><img src="../_images/z.svg"><a href="https://c.example">a link is not a fetch</a>
    <link rel="canonical" href="https://d.example"><script src="_static/w.js"></script>"""
    assert book.fetched(html) == ["https://a.example/x.css", "//b.example/y.js"]
