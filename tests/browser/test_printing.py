"""The PDF of a chapter. That nothing is cut off on paper is tested on each page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from robustbook.book.printing import chapters, joined, print_chapter
from robustbook.notebooks import ROOT, contents

from .conftest import HTML


def test_a_chapter_is_a_folder_of_notebooks() -> None:
    """Its pages keep the order of the contents; a page outside a folder belongs to no chapter."""
    names = ["basics/second", "paper/overview", "basics/first", "benchmarks"]
    assert chapters(names) == {"basics": ["second", "first"], "paper": ["overview"]}
    assert sum(map(len, chapters(contents(ROOT)).values())) > 30


def test_articles_are_joined_in_the_frame_of_the_first_page() -> None:
    """The head with its style sheets is there once, the articles one after the other."""
    page = '<head>{0}</head><article class="bd-article">of {0}</article><footer>{0}</footer>'
    one, two = (page.format(name) for name in ("one", "two"))
    whole = joined([("one", one), ("two", two)])
    assert whole.count("<head>") == 1 and whole.count("<footer>") == 1
    assert "two</head>" not in whole and "two</footer>" not in whole
    assert whole.index("of one") < whole.index("of two") < whole.index("<footer>")
    assert '<article class="bd-article" id="two" data-page="two">' in whole


@pytest.mark.browser
@pytest.mark.slow
def test_the_pdf_of_a_chapter(browser: Browser, address: str, tmp_path: Path) -> None:
    """It has all pages and the cited papers, and names no address of this machine."""
    out = tmp_path / "basics.pdf"
    print_chapter(browser, address, HTML, "basics", out)
    written = out.read_bytes()
    assert written.startswith(b"%PDF")
    assert written.count(b"/Type /Page\n") > len(chapters(contents(ROOT))["basics"])
    assert b"127.0.0.1" not in written and b"localhost" not in written
    assert written.count(b"/Dest") > 10  # links from one place of the PDF to another
    assert re.search(rb"/URI \(https://", written)  # the cited papers
