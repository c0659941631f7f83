"""One Chromium for all tests, and the built book at an address of this machine."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from robustbook.book.browser import chromium, program, served
from robustbook.notebooks import ROOT

HTML = ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Return the address of the built book."""
    if not (HTML / "index.html").exists():
        pytest.skip("there is no built book: run `make book` first")
    with served(HTML) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Chromium."""
    if program() is None:
        pytest.skip("Chromium is not installed: on Debian and Ubuntu, `apt install chromium`")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def context(address: str, browser: Browser) -> Iterator[BrowserContext]:
    """Return a context in which each page is opened as if for the first time."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    context.add_init_script("localStorage.clear()")
    yield context
    context.close()
