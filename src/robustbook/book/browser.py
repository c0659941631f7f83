"""Open the built book in the browser Chromium, for tests of its pages and for `make print`."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """Return the path of Chromium, or None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window, and close it when the context is left. Raise
    FileNotFoundError if it is missing.

    Its sandbox is switched off, because with it Chromium refuses to start for root. This is safe,
    because only the book's own pages are opened.
    """
    path = program()
    if path is None:
        raise FileNotFoundError("Chromium is missing: on Debian and Ubuntu, apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder over HTTP, to this machine only, and yield the address, which
    ends in "/".

    For a page that is opened as a file instead, Chromium refuses to load some of the files that it
    needs.
    """
    handler = partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Silent(SimpleHTTPRequestHandler):
    """A handler of HTTP requests that does not log each request."""

    def log_message(self, format: str, *args: Any) -> None:
        pass
