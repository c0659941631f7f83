"""Write all sources of the book to the folder _build/stage, and run jupyter-book on this folder."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click

from robustbook import catalogue, ledger, notebooks
from robustbook.chapters.front import example
from robustbook.notebooks import ROOT

from . import front
from .api import api_list, api_pages
from .downloads import plain_downloads
from .icons import embed_icons


def stage(root: Path = ROOT) -> Path:
    """Write all files of _build/stage except the executed notebooks, and return the folder.

    An error is raised if a notebook of the table of contents (``_toc.yml``) has not been executed,
    because its page would be missing.
    """
    here = root / "_build" / "stage"
    known = {f"{name}.ipynb" for name in notebooks.names(root)}
    executed = here / "notebooks"
    for name in sorted(known):
        if not (executed / name).exists():
            raise click.ClickException(f"notebooks/{name} has not been executed: run `make book`")
    for path in executed.rglob("*.ipynb"):
        if path.relative_to(executed).as_posix() not in known:
            path.unlink()
    shutil.rmtree(here / "book", ignore_errors=True)
    shutil.copytree(root / "book", here / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, here / name)
    generated = here / "book" / "generated"
    generated.mkdir()
    for name, text in _generated(root, here).items():
        (generated / name).write_text(text, encoding="utf-8")
    (here / "book" / "api").mkdir()
    for name, text in api_pages().items():
        (here / "book" / "api" / f"{name}.md").write_text(text, encoding="utf-8")
    return here


def build(root: Path = ROOT) -> Path:
    """Build the HTML from _build/stage, and return the path of the landing page. A warning of
    jupyter-book counts as an error, and so does a page that would load a file from another host.
    """
    out = root / "_build"
    # Without this, Sphinx would keep the pictures and sources of pages that no longer exist.
    for old in ("html", ".doctrees", ".jupyter_cache"):
        shutil.rmtree(out / old, ignore_errors=True)
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["--path-output", str(root), "-W", "-n", "--keep-going", "--quiet"]
    command = [*program, "build", str(out / "stage"), *options]
    done = subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL)
    landing = out / "html" / "index.html"
    if done.returncode or not landing.exists():
        raise click.ClickException("the book was not built: the warnings above are errors here")
    embed_icons(out / "html")
    plain_downloads(out / "html", root / "book" / "references.bib")
    for path in sorted((out / "html").rglob("*.html")):
        if foreign := fetched(path.read_text(encoding="utf-8")):
            raise click.ClickException(f"{path.relative_to(root)} would fetch {foreign[0]}")
    return landing


def fetched(html: str) -> list[str]:
    """Return the addresses on other hosts that a browser would load when it shows the page
    ``html``.
    """
    reader = _Fetches()
    reader.feed(html)
    return [address for address in reader.found if re.match(r"(https?:)?//", address)]


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        # A browser follows a link to the next page or to the canonical address only when it is
        # clicked.
        if tag == "link" and given.get("rel") not in {
            "next",
            "prev",
            "index",
            "search",
            "canonical",
        }:
            self.found.append(given.get("href", ""))
        if tag != "a":
            self.found.append(given.get("src", ""))


def _generated(root: Path, here: Path) -> dict[str, str]:
    times = here / "times.json"
    whole = catalogue.whole_ledger(here / "book")
    judged = front.judged(root)
    targets = ledger.read_targets(here / "book" / "targets")
    claims = ledger.read_claims(here / "book" / "claims.csv", targets)
    return {
        "example.html": front.example_html(example()),
        "cards.md": front.cards(whole, root),
        "claims.md": front.claims_table(claims, whole.entries),
        "deciding.md": front.deciding_table(claims, whole.entries),
        "unwritten.md": front.unwritten(whole, root),
        "summary.md": front.summary(whole),
        "pages.md": front.pages_table(whole, judged),
        "ledger.html": ledger.page_html(whole, front.ledger_pages(judged)),
        "filters.json": front.filters(judged),
        "api.md": api_list(),
        "status.md": status_table(
            json.loads(times.read_text()) if times.exists() else {}, notebooks.contents(root)
        ),
    }


def status_table(times: dict[str, Any], order: Sequence[str]) -> str:
    """Return a markdown table of the seconds that each page took to run, with a row for the title
    of each chapter and below it a line on the machine.

    ``order``: the names of the pages, in the order of the book.
    """
    titles = {"basics": "How to attack", **ledger.TITLES}
    rows, chapter = [], ""
    for name in (name for name in order if name in times):
        own = titles.get(name.partition("/")[0], "Appendix")
        if own != chapter:
            chapter = own
            rows.append(f"| **{chapter}** | | |")
        profile = times[name]["profile"] or "\N{EN DASH}"
        rows.append(f"| {front.link(name)} | {profile} | {times[name]['seconds']:.1f} |")
    total = sum(times[name]["seconds"] for name in order if name in times)
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    head = ["| Page | Profile | Seconds |", "| --- | --- | ---: |"]
    foot = [f"| **total** | | {total:.1f} |", "", f"{machine}, Python {platform.python_version()}."]
    return "\n".join([*head, *rows, *foot, ""])
