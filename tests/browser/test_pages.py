"""Chromium opens every page of the built book once, and looks at it in all ways."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

from .conftest import HTML

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")
PHONE = 400
A4 = 680
"""The width of an A4 page between margins of 15 mm, in CSS pixels."""


@dataclass
class Visits:
    """The faults that were found, by check; each fault begins with the name of its page."""

    pages: int = 0
    page: str = ""
    """The name of the page that is open."""
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    light: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    phone: list[str] = field(default_factory=list)
    paper: list[str] = field(default_factory=list)
    wordless: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def visits(context: BrowserContext, address: str) -> Visits:
    """Return what one pass over all pages found."""
    found = Visits()
    page = context.new_page()
    listen(page, address, found)
    for path in sorted(HTML.rglob("*.html")):
        name = path.relative_to(HTML).as_posix()
        if name == "index.html" or name.startswith("_static"):  # the first only leads to the intro
            continue
        look(page, address, name, found)
    page.close()
    return found


def listen(page: Page, address: str, found: Visits) -> None:
    """Note what pages write to the console, and what they ask from elsewhere."""

    def asked(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            found.requests.append(f"{found.page}: {request.url}")

    def said(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            found.console.append(f"{found.page}: {message.text}")

    page.on("request", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: found.console.append(f"{found.page}: {error}"))


def look(page: Page, address: str, name: str, found: Visits) -> None:
    """Open one page, and look at it at a desk, on a phone in the dark theme, and on paper."""
    found.pages += 1
    found.page = name

    def check(which: str, *, first: str = "") -> list[str]:
        faults = page.evaluate(f"() => {{ {first}; return checks.{which}(); }}")
        return [f"{name}: {fault}" for fault in faults]

    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(address + name)
    page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
    page.evaluate(CHECKS)
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    found.wordless += check("wordless")
    found.light += check("contrast", first="checks.setOpen(true)")
    page.set_viewport_size({"width": PHONE, "height": 800})
    found.dark += check("contrast", first="document.documentElement.dataset.theme = 'dark'")
    found.phone += check("tooWide")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4, "height": 960})
    found.paper += check("cutInPrint", first="checks.setOpen(false)")


def report(faults: list[str]) -> str:
    return "\n".join(["", *faults[:80], f"{len(faults)} faults"])


def test_all_pages_of_the_contents_were_opened(visits: Visits, root: Path) -> None:
    """Without pages the other tests would find no fault."""
    listed = re.findall(r"file: (\S+)", (root / "_toc.yml").read_text())
    assert all((HTML / f"{name}.html").exists() for name in listed)
    assert visits.pages > len(listed)


def test_the_address_of_the_book_leads_to_its_first_page(
    context: BrowserContext, address: str
) -> None:
    """Readers open `index.html`, which is no page itself."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_url("**/intro.html")
    page.close()


def test_no_page_writes_a_warning_to_the_console(visits: Visits) -> None:
    """An error of a script usually means that something does not work."""
    assert not visits.console, report(visits.console)


def test_no_page_asks_another_host(visits: Visits) -> None:
    """The book works without an internet connection."""
    assert not visits.requests, report(visits.requests)


def test_text_is_readable_in_the_light_theme(visits: Visits) -> None:
    """The contrast is at least 4.5, and 3 for large text."""
    assert not visits.light, report(visits.light)


def test_text_is_readable_in_the_dark_theme(visits: Visits) -> None:
    """The contrast is at least 4.5, and 3 for large text."""
    assert not visits.dark, report(visits.dark)


def test_each_picture_has_words(visits: Visits) -> None:
    """The alt text says what is seen; the name of a file does not."""
    assert not visits.wordless, report(visits.wordless)


def test_a_phone_shows_everything(visits: Visits) -> None:
    """At 400 pixels no page scrolls sideways; wide tables and figures scroll in their own box,
    and something shows that they do.
    """
    assert not visits.phone, report(visits.phone)


def test_paper_shows_everything(visits: Visits) -> None:
    """In print nothing is wider than its column, nothing is closed, and no menu is printed."""
    assert not visits.paper, report(visits.paper)
