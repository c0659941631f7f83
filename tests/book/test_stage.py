"""The stage that the book is built from. The build itself is `make book`, warnings as errors."""

import re
import shutil
from pathlib import Path

import click
import pytest
import yaml
from nbformat.v4 import new_notebook

from robustbook import book, notebooks
from robustbook.book.stage import status_table


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


def test_everything_the_table_of_contents_names_is_there(project: Path) -> None:
    """The pages of the package are named by a pattern."""
    here = book.stage(project)
    patterns = re.findall(r"glob: (\S+)", (here / "_toc.yml").read_text())
    assert [sorted(path.stem for path in here.glob(pattern)) for pattern in patterns] == [
        sorted(book.api_pages())
    ]


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


def test_times_are_summed() -> None:
    times = {
        "survey/one": {"profile": "quick", "seconds": 1.25},
        "basics/two": {"profile": "", "seconds": 2.0},
        "gone": {"profile": "", "seconds": 9.0},
    }
    lines = status_table(times, ["basics/two", "basics/new", "survey/one"]).splitlines()
    assert lines[2:7] == [
        "| **How to attack** | | |",
        "| [](../notebooks/basics/two.ipynb) | \N{EN DASH} | 2.0 |",
        "| **Survey** | | |",
        "| [](../notebooks/survey/one.ipynb) | quick | 1.2 |",
        "| **total** | | 3.2 |",
    ]


def test_what_a_page_would_fetch_from_elsewhere_is_found() -> None:
    """The book is read without a network."""
    html = """<link rel="stylesheet" href="https://a.example/x.css"><script src="//b.example/y.js">
    </script><img src="../_images/z.svg"><a href="https://c.example">a link is not a fetch</a>
    <link rel="canonical" href="https://d.example"><script src="_static/w.js"></script>"""
    assert book.fetched(html) == ["https://a.example/x.css", "//b.example/y.js"]
