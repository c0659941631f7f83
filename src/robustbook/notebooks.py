"""Run the notebooks with papermill, and keep each one as two files: an executed .ipynb and its text
as MyST Markdown.

People edit and review the text (.md), and open the notebook (.ipynb) in Jupyter. The notebook is
executed with the default values of its parameters. Whatever differs between runs of the same code,
such as progress bars and object addresses, is removed from the outputs. So two runs give files with
the same bytes.

The two files of a notebook must have the same text and code; their time stamps are ignored. The
command ``jupytext --sync`` keeps the newer file. In a fresh git clone, time stamps are arbitrary,
so this command could keep the wrong file.

The shell command is ``python -m robustbook.notebooks``, followed by ``run``, ``pairs`` or
``check``.
"""

import copy
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

import click
import jupytext
import nbformat
import papermill
from filelock import FileLock
from jupytext.config import load_jupytext_configuration_file
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from robustbook.files import write_whole

__all__ = ["ROOT", "as_text", "clean", "execute", "faults", "has_profile", "names", "stored"]

ROOT = Path(__file__).resolve().parents[2]
"""The root folder of the project, which must be installed in place (``pip install -e``)."""

FOLDERS = ("ROBUSTBOOK_STORE", "ROBUSTBOOK_DATA")  # environment variables that name folders
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# A progress bar of tqdm: a carriage return, a title, then "10%|# | 1/10 [00:01<00:09, 1.00s/it]";
# the short form is "100% 10/10 [...]", or "5it [00:05, 1.00s/it]" if the total is unknown.
BAR = re.compile(
    r"\r[^\r\n]*?(?:"
    r"\d+%(?:\|[^|\r\n]*\|)? *[\d.]+[kMGTPEZY]?/[\d.]+(?:[kMGTPEZY]? \[[^\r\n]*\])?"
    r"|[\d.]+[kMGTPEZY]? ?\w* \[[\d:]+, [^\r\n]*\]"
    r") *"
)
CURSOR_UP = "\x1b[A"  # nested progress bars write this to return to the first bar


def contents(root: Path = ROOT) -> list[str]:
    """Return the names ``folder/name`` of the notebooks in the book's table of contents, in its
    order.
    """
    text = (root / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"file: notebooks/(\S+)", text)


def names(root: Path = ROOT) -> list[str]:
    """Return the sorted names ``folder/name`` of all notebooks, also of those with only one of the
    two files.
    """
    folder = root / "notebooks"
    files = [path for path in folder.rglob("*") if path.suffix in {".ipynb", ".md"}]
    stems = {path.relative_to(folder).with_suffix("").as_posix() for path in files}
    return sorted(stem for stem in stems if ".ipynb_checkpoints" not in stem)


def as_text(notebook: NotebookNode, root: Path = ROOT) -> str:
    """Return a notebook as MyST Markdown, with the project's settings of jupytext."""
    config = load_jupytext_configuration_file(str(root / "pyproject.toml"))
    # Use a copy, because jupytext writes its own settings into the notebook.
    return str(jupytext.writes(copy.deepcopy(notebook), fmt="md:myst", config=config))


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of the notebook without the parts that differ between runs of the same code.

    Of the metadata, the kernel, the tags of the cells, and their display settings (``mystnb``) are
    kept. Cells are numbered in order. Object addresses and progress bars are removed from the
    outputs; other text on stderr is kept, because warnings must be seen and fixed. Neighbouring
    pieces of an output stream are joined, because their boundaries depend on timing.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL))
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.id = f"c{index:03d}"
        kept = {key: cell.metadata[key] for key in ("tags", "mystnb") if cell.metadata.get(key)}
        if "injected-parameters" in kept.get("tags", []):
            kept["tags"] = ["injected-parameters", "hide-input"]
            kept["mystnb"] = {
                "code_prompt_show": "Show the parameters of this run",
                "code_prompt_hide": "Hide the parameters of this run",
            }
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
    if warnings := _without_bars(errors):
        kept.append(nbformat.v4.new_output("stream", name="stderr", text=warnings))
    return kept


def _without_bars(text: str) -> str:
    """Return text from stderr without progress bars; other text on the same line is kept."""
    rest = BAR.sub("\r", text.replace("\r\n", "\n").replace(CURSOR_UP, ""))
    return "".join(f"{line}\n" for line in re.split("[\r\n]", rest) if line.strip())


def stored(name: str, suffix: str, root: Path = ROOT) -> NotebookNode:
    """Return the notebook from one of its two files: ``.md`` (without outputs) or ``.ipynb``."""
    path = root / "notebooks" / f"{name}{suffix}"
    notebook: NotebookNode = jupytext.read(path)
    return notebook


def has_profile(notebook: NotebookNode) -> bool:
    """Return whether the notebook has a parameter ``profile`` (the size of its experiment)."""
    return "profile" in papermill.inspect_notebook(notebook)


def execute(
    notebook: NotebookNode,
    output: Path,
    parameters: Mapping[str, Any],
    log: TextIO | None = None,
) -> None:
    """Run a notebook from top to bottom and write the cleaned result to ``output``.

    The kernel's working directory is the folder of ``output``. What the kernel writes to stderr,
    such as progress bars, is copied to ``log``, or with None to the stderr of this process. If a
    cell fails or the kernel dies, the exception is raised. Before that, the notebook with the
    outputs so far is written to ``output``, if there are outputs. Each run first writes to its own
    temporary file. So if several runs have the same ``output``, this file finally contains the
    complete notebook of the run that ended last.
    """
    # Use the kernel of this Python environment, not one that the user registered under the same
    # name.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    for name in FOLDERS:  # the kernel runs in another folder, so a relative path would be wrong
        if chosen := os.environ.get(name):
            os.environ[name] = str(Path(chosen).expanduser().absolute())
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        working = Path(folder) / output.name
        write(notebook, working)
        try:
            papermill.execute_notebook(
                working,
                working,
                parameters=dict(parameters),
                kernel_name=KERNEL["name"],
                cwd=output.parent,
                progress_bar=False,
                stderr_file=log or sys.stderr,
            )
        except BaseException:
            reached = nbformat.read(working, as_version=4)
            if any(cell.get("outputs") for cell in reached.cells):
                write(reached, output)
            raise
        write(clean(nbformat.read(working, as_version=4)), output)


def execute_each(
    notebooks: Mapping[str, NotebookNode],
    folder: Path,
    profile: str | None = None,
    jobs: int = 1,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Run notebooks, ``jobs`` of them at a time, and write the results to ``folder``.

    Return the profile and the running time in seconds of each notebook, and the error messages of
    those that failed. After a failure, the remaining notebooks still run.

    ``profile``, the size of the experiments, is passed to every notebook that has a parameter
    ``profile``; with None, the notebooks run with their default parameters.

    With several jobs, each notebook runs in its own process, because papermill changes the working
    directory. The cores of the machine are divided among the jobs. The stderr of a notebook is
    written to ``folder``/name.log. All notebooks use the same store of results. The locks of the
    store ensure that a network that several notebooks need is trained only once.
    """
    pages = [
        (f"[{number}/{len(notebooks)}] {name}", name, nbformat.writes(notebooks[name]))
        for number, name in enumerate(in_turn(notebooks), start=1)
    ]
    if jobs == 1 or len(pages) == 1:
        done = [_page(*page, folder, profile) for page in pages]
    else:
        share = max(cores() // jobs, 1)
        with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (share,)) as pool:
            running = [pool.submit(_page, *page, folder, profile, logged=True) for page in pages]
            done = [future.result() for future in running]
    times = {name: entry for name, entry, _ in done}
    return times, {name: message for name, _, message in done if message}


def _share_cores(workers: int) -> None:
    """Limit the numbers of worker processes and threads of the notebooks that this process runs,
    unless the user has set them in environment variables.

    If two notebooks used the same cores, their threads would wait for each other. Running both at
    once would then be much slower than running one after the other.
    """
    os.environ.setdefault("ROBUSTBOOK_WORKERS", str(workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(workers))


def in_turn(names: Iterable[str]) -> list[str]:
    """Return the names of notebooks in an order that alternates between folders.

    Two notebooks of one folder often need the same trained network, so one would wait for the
    other. Notebooks of different folders rarely wait for each other.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition("/")[0], []).append(name)
    rounds = zip_longest(*groups.values())
    return [name for each in rounds for name in each if name is not None]


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _page(
    place: str, name: str, text: str, folder: Path, profile: str | None, logged: bool = False
) -> tuple[str, dict[str, Any], str]:
    """Run one notebook. Return its name, its profile and seconds, and an error message ("" if the
    notebook did not fail).
    """
    notebook = nbformat.reads(text, as_version=4)
    parameters = {"profile": profile} if profile and has_profile(notebook) else {}
    click.echo(f"{place}: {parameters.get('profile', 'defaults')} ...", err=True)
    start = time.perf_counter()
    output, message = folder / f"{name}.ipynb", ""
    with ExitStack() as open_files:
        options: dict[str, Any] = {}
        if logged:
            output.parent.mkdir(parents=True, exist_ok=True)
            log = open_files.enter_context(output.with_suffix(".log").open("w", encoding="utf-8"))
            options["log"] = log
        try:
            execute(notebook, output, parameters, **options)
        except papermill.PapermillExecutionError as error:
            message = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            message = "DeadKernelError: the kernel died, perhaps because memory ran out"
        except CellTimeoutError:
            message = "CellTimeoutError: a cell ran longer than allowed"
        except Exception as error:  # for example, another program took a port of the kernel
            message = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    click.echo(f"{place}: {'FAILED, ' if message else ''}{seconds:.1f} s", err=True)
    return name, {"profile": parameters.get("profile", ""), "seconds": round(seconds, 1)}, message


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook atomically, with the line breaks of jupytext, so that ``jupytext --sync``
    changes no line.
    """
    write_whole(path, f"{nbformat.writes(notebook)}\n".encode())


def faults(name: str, root: Path = ROOT) -> list[str]:
    """Return the faults of a notebook's two committed files, with one sentence for each fault."""
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
        found.append(
            f"{name}.ipynb has outputs or metadata that are not stored: `make pairs` removes them"
        )
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
    # Early pages of the book train what later ones use, so that no page has to train everything.
    places = {name: place for place, name in enumerate(contents())}
    return list(wanted) or sorted(known, key=lambda name: places.get(name, len(places)))


def _stop_on(failures: Mapping[str, str], left: str) -> None:
    for name, message in failures.items():
        click.echo(
            f"{name} stopped with {message}\n  as far as it came: {left}/{name}.ipynb", err=True
        )
    if failures:
        sys.exit(1)


JOBS = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: min(2, cores()),
    show_default="2, or 1 on one core",
    help="Pages that run at the same time, each in a process of its own.",
)


@click.group()
def main() -> None:
    """Execute and check the notebooks of the book."""


@main.command()
@click.argument("wanted", metavar="[FOLDER/NAME]...", nargs=-1)
@click.option("--profile", default="quick", show_default=True)
@JOBS
def run(wanted: tuple[str, ...], profile: str, jobs: int) -> None:
    """Execute notebooks and write them to _build/stage/notebooks, from which the book is built.

    Example: python -m robustbook.notebooks run saturating/table1
    """
    folder = ROOT / "_build" / "stage" / "notebooks"
    notebooks = {name: stored(name, ".ipynb") for name in _chosen(wanted)}
    times, failures = execute_each(notebooks, folder, profile, jobs)
    file = folder.parent / "times.json"
    with FileLock(folder.parent / "times.lock"):  # another run may write its times
        before = json.loads(file.read_text()) if file.exists() else {}
        write_whole(file, json.dumps(before | times, indent=1).encode())
    _stop_on(failures, "_build/stage/notebooks")


@main.command()
@click.argument("wanted", metavar="[FOLDER/NAME]...", nargs=-1)
@click.option("--from", "side", type=click.Choice(["md", "ipynb"]), help="The side that holds.")
@JOBS
def pairs(wanted: tuple[str, ...], side: str | None, jobs: int) -> None:
    """Execute notebooks with their default parameters, and write both files of each notebook,
    cleaned.

    If the two files of a notebook differ, --from must say which one to use.

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
    _, failures = execute_each(sources, folder, jobs=jobs)
    for name in sources.keys() - failures.keys():
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        write(notebook, ROOT / "notebooks" / f"{name}.ipynb")
        write_whole(ROOT / "notebooks" / f"{name}.md", as_text(notebook).encode())
    _stop_on(failures, "_build/pairs")


@main.command()
def check() -> None:
    """Print the faults of the committed notebook files; exit with status 1 if there are any."""
    found = [line for name in names() for line in faults(name)]
    for line in found:
        click.echo(line, err=True)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
