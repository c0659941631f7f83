"""The notebooks: pairs of an executed .ipynb and its MyST text, run by papermill.

The text twin (.md) is what people review, the .ipynb what they open: executed at the defaults of
its parameters cell and cleaned of everything that is not content, so that a second run of the same
code gives the same bytes. Whether the two agree is decided by content, never by time stamps: a
clone gives its files arbitrary times, and ``jupytext --sync`` would let the newer one win without
a word.

From a shell: ``python -m robustbook.notebooks run | pairs | check``.
"""

import copy
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import jupytext
import nbformat
import papermill
from jupytext.config import load_jupytext_configuration_file
from nbformat import NotebookNode

__all__ = ["ROOT", "as_text", "clean", "execute", "faults", "has_profile", "names", "stored"]

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: this package is installed in place."""

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def names(root: Path = ROOT) -> list[str]:
    """The notebooks as ``folder/name`` without suffix, sorted; half a pair counts as well."""
    folder = root / "notebooks"
    files = [path for path in folder.rglob("*") if path.suffix in {".ipynb", ".md"}]
    stems = {path.relative_to(folder).with_suffix("").as_posix() for path in files}
    return sorted(stem for stem in stems if ".ipynb_checkpoints" not in stem)


def as_text(notebook: NotebookNode, root: Path = ROOT) -> str:
    """The MyST text of a notebook, under the jupytext settings of the project."""
    config = load_jupytext_configuration_file(str(root / "pyproject.toml"))
    # A copy, as jupytext writes its own settings into what it is given.
    return str(jupytext.writes(copy.deepcopy(notebook), fmt="md:myst", config=config))


def clean(notebook: NotebookNode) -> NotebookNode:
    """A copy without what changes between runs of the same code.

    Of the metadata only the kernel, tags and ``mystnb`` stay; cells are numbered in order; object
    addresses and progress bars go, and neighbouring pieces of one stream become one, because
    where a stream is cut depends on timing. Anything else on stderr stays: a warning is to be
    fixed, not hidden.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL))
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.id = f"c{index:03d}"
        kept = {key: cell.metadata[key] for key in ("tags", "mystnb") if cell.metadata.get(key)}
        if "injected-parameters" in kept.get("tags", []):
            kept["tags"] = ["injected-parameters", "hide-input"]
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _clean_outputs(cell.outputs, count)
    return notebook


def _clean_outputs(outputs: list[NotebookNode], count: int) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    errors = ""
    for output in outputs:
        if output.get("name") == "stderr":
            errors += output.text
            continue
        if output.output_type == "stream":
            if kept and kept[-1].get("name") == output.name:
                kept[-1].text += output.text
                continue
        elif output.output_type == "execute_result":
            output.execution_count = count
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = ADDRESS.sub("", output.text)
        elif "text/plain" in output.get("data", {}):
            output.data["text/plain"] = ADDRESS.sub("", output.data["text/plain"])
    # A bar redraws its line, so its line is full of carriage returns; a warning's has none.
    warnings = "".join(f"{line}\n" for line in errors.split("\n") if line and "\r" not in line)
    if warnings:
        kept.append(nbformat.v4.new_output("stream", name="stderr", text=warnings))
    return kept


def stored(name: str, suffix: str, root: Path = ROOT) -> NotebookNode:
    """Read one side of a pair: ``.md`` (no outputs) or ``.ipynb``."""
    path = root / "notebooks" / f"{name}{suffix}"
    notebook: NotebookNode = jupytext.read(path)
    return notebook


def has_profile(notebook: NotebookNode) -> bool:
    """Whether the notebook's parameters cell declares ``profile``."""
    return "profile" in papermill.inspect_notebook(notebook)


def execute(notebook: NotebookNode, output: Path, parameters: Mapping[str, Any]) -> None:
    """Run a notebook from top to bottom and write the cleaned result to ``output``.

    What the kernel writes to stderr (its bars) passes through to ours. On an error the notebook
    as far as it came lies at ``output``, and papermill's exception is raised.
    """
    # The kernel of this environment, not one the user has registered under the same name.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    output = output.resolve()
    write(notebook, output)
    done = papermill.execute_notebook(
        output,
        output,
        parameters=dict(parameters),
        kernel_name=KERNEL["name"],
        cwd=output.parent,
        progress_bar=False,
        stderr_file=sys.stderr,
        request_save_on_cell_execute=False,
    )
    write(clean(done), output)


def execute_each(
    notebooks: Mapping[str, NotebookNode], folder: Path, profile: str | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Run notebooks one after the other (the studies use all cores themselves) into ``folder``.

    ``profile`` is handed to those that declare it; None runs the defaults. A failure does not
    stop the others. Returns the profile and seconds of each, and the message of each that failed.
    """
    times: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for number, (name, notebook) in enumerate(notebooks.items(), start=1):
        parameters = {"profile": profile} if profile and has_profile(notebook) else {}
        place = f"[{number}/{len(notebooks)}] {name}"
        click.echo(f"{place}: {parameters.get('profile', 'defaults')} ...", err=True)
        start = time.perf_counter()
        try:
            execute(notebook, folder / f"{name}.ipynb", parameters)
        except papermill.PapermillExecutionError as error:
            failures[name] = f"{error.ename}: {error.evalue}"
        seconds = time.perf_counter() - start
        times[name] = {"profile": parameters.get("profile", ""), "seconds": round(seconds, 1)}
        click.echo(f"{place}: {'FAILED, ' if name in failures else ''}{seconds:.1f} s", err=True)
    return times, failures


def write(notebook: NotebookNode, path: Path) -> None:
    """Write atomically, with the line splitting that jupytext uses, so that a sync changes none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    nbformat.write(notebook, part)
    part.replace(path)


def faults(name: str, root: Path = ROOT) -> list[str]:
    """What is wrong with a committed pair, one sentence each; empty when nothing is."""
    page, text = (root / "notebooks" / f"{name}{suffix}" for suffix in (".ipynb", ".md"))
    for path in (page, text):
        if not path.exists():
            return [f"{path.relative_to(root)} is missing: `make pairs` writes it"]
    notebook = nbformat.read(page, as_version=4)
    found = []
    if as_text(notebook, root) != text.read_text(encoding="utf-8"):
        found.append(
            f"{name}.ipynb and {name}.md differ: `make pairs FROM=md` keeps the text, "
            "`make pairs FROM=ipynb` the notebook"
        )
    elif clean(notebook) != notebook:
        found.append(f"{name}.ipynb holds more than content: `make pairs` cleans it")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" or output.get("name") == "stderr":
                what = output.get("text", output.get("evalue", "")).strip()
                found.append(f"{name}.ipynb, cell {cell.id}, shows an error or a warning: {what}")
    return found


def _chosen(wanted: tuple[str, ...]) -> list[str]:
    known = names()
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"no notebook {name!r}; there are: {', '.join(known)}")
    return list(wanted) or known


def _stop_on(failures: Mapping[str, str], left: str) -> None:
    for name, message in failures.items():
        click.echo(
            f"{name} stopped with {message}\n  as far as it came: {left}/{name}.ipynb", err=True
        )
    if failures:
        sys.exit(1)


@click.group()
def main() -> None:
    """Execute and check the notebooks of the book."""


@main.command()
@click.argument("wanted", metavar="[FOLDER/NAME]...", nargs=-1)
@click.option("--profile", default="quick", show_default=True)
def run(wanted: tuple[str, ...], profile: str) -> None:
    """Execute pages into _build/stage/notebooks, from where the book is built.

    Example: python -m robustbook.notebooks run saturating/table1
    """
    folder = ROOT / "_build" / "stage" / "notebooks"
    notebooks = {name: stored(name, ".ipynb") for name in _chosen(wanted)}
    times, failures = execute_each(notebooks, folder, profile)
    file = folder.parent / "times.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(before | times, indent=1))
    _stop_on(failures, "_build/stage/notebooks")


@main.command()
@click.argument("wanted", metavar="[FOLDER/NAME]...", nargs=-1)
@click.option("--from", "side", type=click.Choice(["md", "ipynb"]), help="The side that holds.")
def pairs(wanted: tuple[str, ...], side: str | None) -> None:
    """Execute pages at their defaults and write both files of each pair, clean.

    Where the two files differ, nothing is guessed: --from says which one holds.

    Example: python -m robustbook.notebooks pairs --from md saturating/table1
    """
    sources = {}
    for name in _chosen(wanted):
        sides = {end: (ROOT / "notebooks" / f"{name}.{end}").exists() for end in ("md", "ipynb")}
        if side is None and all(sides.values()):
            text = as_text(stored(name, ".ipynb"))
            if text != (ROOT / "notebooks" / f"{name}.md").read_text(encoding="utf-8"):
                raise click.UsageError(f"the two files of {name} differ: say --from md or ipynb")
        here = side if side and sides[side] else next(end for end in sides if sides[end])
        sources[name] = stored(name, f".{here}")
    folder = ROOT / "_build" / "pairs"
    _, failures = execute_each(sources, folder)
    for name in sources.keys() - failures.keys():
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        write(notebook, ROOT / "notebooks" / f"{name}.ipynb")
        twin = ROOT / "notebooks" / f"{name}.md"
        twin.write_text(as_text(notebook), encoding="utf-8")
    _stop_on(failures, "_build/pairs")


@main.command()
def check() -> None:
    """Say what is wrong with the committed pairs; exit with 1 if anything is."""
    found = [line for name in names() for line in faults(name)]
    for line in found:
        click.echo(line, err=True)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
