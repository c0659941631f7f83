"""The checks find what they look for, on small pages with one fault each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from robustbook.book.browser import served

from .test_pages import A4, CHECKS, PHONE, Visits, listen, look

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": PHONE, "height": 800})
    yield page
    page.close()


def found(page: Page, which: str, inside: str) -> list[str]:
    page.set_content(f'<body style="margin: 0"><article class="bd-article">{inside}</article>')
    page.evaluate(CHECKS)
    faults: list[str] = page.evaluate(f"checks.{which}()")
    return faults


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ('<p style="color: #767676">text</p>', None),  # 4.54
        ('<p style="color: #777777">text</p>', "4.48"),
        ('<p style="color: #777777; font-size: 24px">text</p>', None),  # large
        ('<p style="color: #999999; font-size: 24px">text</p>', "2.85"),
        ('<p style="opacity: 0.5">text</p>', "3.98"),
        ('<div style="background: #000"><p>text</p></div>', "1.00"),
        ('<div style="background: rgb(0 0 0 / 50%)"><p>text</p></div>', None),
        ('<p style="color: #fff; display: none">text</p>', None),
    ],
)
def test_contrast(page: Page, inside: str, expected: str | None) -> None:
    """Known ratios, also with opacity and with a background further out."""
    faults = found(page, "contrast", inside)
    assert [fault.split()[0] for fault in faults] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("inside", "faults"),
    [
        ('<img src="data:," alt="A rising line.">', 0),
        ('<img src="data:," alt="">', 0),  # decoration
        ('<img src="data:,">', 1),
        ('<img src="data:," alt="../_images/a1b2.svg">', 1),
    ],
)
def test_pictures_without_words(page: Page, inside: str, faults: int) -> None:
    assert len(found(page, "wordless", inside)) == faults


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<p>text</p>", ""),
        ('<p style="width: 500px">text</p>', "the page is 500 wide"),
        ('<div style="overflow: hidden"><p style="width: 500px">text</p></div>', "p from 0 to 500"),
        ('<div style="overflow: auto"><p style="width: 500px">text</p></div>', ""),
        (
            '<div class="cell_output" style="overflow: auto"><p style="width: 500px">x</p></div>',
            "nothing says that div.cell_output scrolls",
        ),
    ],
)
def test_what_a_phone_cuts_off(page: Page, inside: str, expected: str) -> None:
    """A box may be wider than the window only inside a box that scrolls."""
    faults = found(page, "tooWide", inside)
    assert faults[0].startswith(expected) if expected else not faults


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<pre>short</pre>", ""),
        (f"<pre>{'long ' * 200}</pre>", "pre: "),
        ('<table style="width: 900px"><tr><td>x</table>', "table: 220 beyond the column"),
        ("<details><summary>more</summary><p>hidden</p></details>", "closed: "),
        ("<details open><summary>more</summary><p>shown</p></details>", ""),
        ('<div class="admonition"><p style="visibility: hidden">x</p></div>', 'hidden: "x"'),
        ('<div class="prev-next-footer">next</div>', "div.prev-next-footer is printed"),
        (
            "<style>a::after {content: '(' attr(href) ')'}</style><a href='x'>link</a>",
            "the address",
        ),
    ],
)
def test_what_paper_cuts_off(page: Page, inside: str, expected: str) -> None:
    """Wide parts, closed parts, menus and addresses."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4, "height": 960})
    faults = found(page, "cutInPrint", inside)
    assert faults[0].startswith(expected) if expected else not faults


def test_what_the_console_says_and_what_is_asked_elsewhere(page: Page, tmp_path: Path) -> None:
    """Warnings and errors that nobody caught count; other lines do not."""
    (tmp_path / "page.html").write_text(
        "<link rel=icon href='data:,'><img src='http://other.invalid/a.png'><script>"
        "console.log('fine'); console.warn('doubtful'); throw Error('broken')</script>"
    )
    found = Visits()
    with served(tmp_path) as address:
        listen(page, address, found)
        look(page, address, "page.html", found)
    assert found.requests == ["page.html: http://other.invalid/a.png"]
    for word, there in (("doubtful", 1), ("broken", 1), ("fine", 0)):
        assert sum(word in line for line in found.console) == there
