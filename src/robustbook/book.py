"""The book: everything it is built from laid out under _build/stage, then jupyter-book on that.

The prose pages of book/ are copied; what they include from ``generated/`` (the ledger, the counts
of verdicts, the public names, the seconds of each page) is written here, so that no table of the
book is typed by hand. The executed notebooks are already there (``robustbook.notebooks``).

From a shell: ``python -m robustbook.book``.
"""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from filelock import FileLock

import robustbook
from robustbook import catalogue, ledger, notebooks
from robustbook.notebooks import ROOT


def stage(root: Path = ROOT) -> Path:
    """Lay out _build/stage but for the executed notebooks; returns it.

    A notebook in ``_toc.yml`` that has not been executed is refused: the book would lack a page.
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
    for name, text in _generated(here).items():
        (generated / name).write_text(text, encoding="utf-8")
    return here


def build(root: Path = ROOT) -> Path:
    """Build the HTML from the stage, warnings being errors; returns the landing page's path.

    A page that would fetch something from another host is an error as well.
    """
    out = root / "_build"
    # Sphinx would keep the pictures and sources of pages that are gone.
    for old in ("html", ".doctrees", ".jupyter_cache"):
        shutil.rmtree(out / old, ignore_errors=True)
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["--path-output", str(root), "-W", "-n", "--keep-going", "--quiet"]
    command = [*program, "build", str(out / "stage"), *options]
    done = subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL)
    landing = out / "html" / "index.html"
    if done.returncode or not landing.exists():
        raise click.ClickException("the book was not built: the warnings above are errors here")
    for path in sorted((out / "html").rglob("*.html")):
        if foreign := fetched(path.read_text(encoding="utf-8")):
            raise click.ClickException(f"{path.relative_to(root)} would fetch {foreign[0]}")
    return landing


def fetched(html: str) -> list[str]:
    """The addresses on other hosts that a browser would fetch when it shows this page."""
    reader = _Fetches()
    reader.feed(html)
    return [address for address in reader.found if re.match(r"(https?:)?//", address)]


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        # A link to the next page or to the canonical address is not followed until clicked.
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


def _generated(here: Path) -> dict[str, str]:
    times = here / "times.json"
    whole = catalogue.whole_ledger(here / "book")
    return {
        "summary.md": ledger.summary(whole) + "\n",
        "pages.md": pages_table(whole, judged(here)),
        "ledger.html": ledger.page_html(whole),
        "api.md": "\n".join(api()),
        "status.md": status_table(json.loads(times.read_text()) if times.exists() else {}),
    }


def pages_table(whole: ledger.Ledger, judged: Mapping[str, Collection[str]]) -> str:
    """The pages of each paper with what became of the targets that they judge, as markdown;
    ``judged`` gives for each notebook the items, as ``paper/item``."""
    lines = ["| page | verdicts |", "| --- | --- |"]
    chapter = ""
    for name, items in judged.items():
        found = [e for e in whole.entries if f"{e.paper}/{e.item}" in items]
        counts = ledger.counts(found)
        if not counts:
            continue
        if found[0].paper != chapter:
            chapter = found[0].paper
            lines.append(f"| **{ledger.TITLES[chapter]}** | |")
        lines.append(f"| {_link(name)} | {counts} |")
    return "\n".join([*lines, ""])


def judged(root: Path) -> dict[str, tuple[str, ...]]:
    """For each notebook, in the order of the table of contents, the items that it judges: those of
    the item that it begins."""
    found: dict[str, tuple[str, ...]] = {}
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    there = notebooks.names(root)
    for name in re.findall(r"file: notebooks/(\S+)", contents):
        if name not in there:
            continue
        cells = notebooks.stored(name, ".ipynb", root).cells
        begun = re.search(r'page\.begin\("([^"]+)"', "".join(cell.source for cell in cells))
        found[name] = catalogue.judged(begun[1]) if begun else ()
    return found


def _link(name: str) -> str:
    return f"[](../notebooks/{name}.ipynb)"


def status_table(times: dict[str, Any]) -> str:
    """The seconds of each page, and the machine, as markdown."""
    rows = [
        f"| {_link(name)} | {entry['profile'] or 'defaults'} | {entry['seconds']:.1f} |"
        for name, entry in sorted(times.items())
    ]
    total = sum(entry["seconds"] for entry in times.values())
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    head = ["| page | profile | seconds |", "| --- | --- | ---: |"]
    foot = [f"| together | | {total:.1f} |", "", f"{machine}, Python {platform.python_version()}."]
    return "\n".join([*head, *rows, *foot, ""])


def parts() -> list[ModuleType]:
    """The modules and folders of the package that state what they offer in ``__all__``."""
    found = sorted(info.name for info in pkgutil.iter_modules(robustbook.__path__))
    modules = [importlib.import_module(f"robustbook.{name}") for name in found if name != "cli"]
    return [module for module in modules if getattr(module, "__all__", None)]


def api() -> Iterator[str]:
    """The page of the package: every public name with its head and docstring, as markdown."""
    for module in parts():
        yield f"\n## {module.__name__}\n"
        yield from _prose(inspect.getdoc(module) or "")
        for name in module.__all__:
            yield f"\n### {name}\n"
            thing = getattr(module, name)
            yield _block(_signature(name, thing), "python")
            if inspect.isclass(thing) or callable(thing):
                yield from _prose(inspect.getdoc(thing) or "")


def _block(text: str, language: str) -> str:
    return f"````{language}\n{text}\n````\n"


def _prose(docstring: str) -> Iterator[str]:
    """A docstring as markdown: "name: what it is" becomes a list, what is indented a block that
    keeps its lines; the rest is markdown as it stands."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        head, _, rest = paragraph.partition("\n")
        if head in ("Args:", "Returns:", "Raises:"):
            yield f"{head}\n"
            paragraph = textwrap.dedent(rest)
        if paragraph.startswith(" "):
            yield _block(textwrap.dedent(paragraph), "text")
        else:
            words = re.sub(r'(?<=[\s(])"([\w:/-]+)"', r'`"\1"`', paragraph)  # or quotes would curl
            named = r"^([a-zA-Z_]\w*(?:, [a-zA-Z_]\w*)*): "
            yield re.sub(named, r"- `\1`: ", words, flags=re.MULTILINE) + "\n"


def _signature(name: str, thing: Any) -> str:
    """The head of a definition as it stands in the source: a function's down to its docstring,
    a class's with its fields."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except (TypeError, OSError):
        return f"{name}: {type(thing).__name__}"
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(node, ast.ClassDef):
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        shown = [lines[part.lineno - 1] for part in fields]
        return "\n".join([*lines[node.lineno - 1 : node.body[0].lineno - 1], *shown])
    if isinstance(node, ast.FunctionDef):
        return "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
    return lines[0]


@click.command()
def main() -> None:
    """Build the book from the executed notebooks, and say where it is."""
    with FileLock(ROOT / "_build" / "book.lock"):  # a second build waits: both use these folders
        stage()
        landing = build()
    click.echo(f"The book is at {landing.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
