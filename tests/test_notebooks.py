"""The pairs in notebooks/, and the code that maintains them."""

import copy
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml
from click.testing import CliRunner
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from tqdm import tqdm
from zmq import ZMQError

from robustbook import notebooks

NAMES = notebooks.names()
SHORT = {
    "deep_defense/figure1": {},
    "saturating/figure4": {"points": 50},
    "self_ensemble/table1": {},
    "survey/certified": {"sigmas": [0.25]},
}
"""For each paper, a page that is computed within seconds at profile quick, and what else is given
to it. The build of the book executes all pages."""


@pytest.mark.parametrize("name", NAMES)
def test_pair_agrees_and_holds_only_content(name: str) -> None:
    """People review the text and open the notebook, so both must be the same page."""
    assert notebooks.faults(name) == []


def test_inline_formulas_stay_on_one_line(root: Path) -> None:
    """After a line break, a formula's `+` or `-` would begin a list and leave its `$` unpaired."""
    code = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
    pages = [*root.glob("notebooks/*/*.md"), *root.glob("book/*.md")]
    texts = {page.name: code.sub("", page.read_text()) for page in pages}
    lines = [f"{page}: {line}" for page, text in texts.items() for line in text.splitlines()]
    assert [line for line in lines if len(re.findall(r"(?<!\\)\$", line)) % 2] == []


def listed(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Return the files of a table of contents; the pages of the package are given by a pattern."""
    for entry in entries:
        if "file" in entry:
            yield entry["file"]
        yield from listed(entry.get("sections", []))


def test_each_notebook_is_a_page_and_each_page_exists(root: Path) -> None:
    """A notebook that is not in the table of contents would be executed but never shown."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    files = [toc["root"], *(file for part in toc["parts"] for file in listed(part["chapters"]))]
    pages = {file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")}
    assert pages == set(NAMES)
    assert all((root / f"{file}.md").exists() for file in files if file.startswith("book/"))


def test_a_page_of_each_paper_is_executed() -> None:
    """Otherwise a new paper's code would go untested from study to figure.

    The pages of the first chapter belong to no paper; tests/chapters/test_basics.py runs them all.
    """
    folders = {name.split("/")[0] for name in NAMES if "/" in name}
    assert {name.split("/")[0] for name in SHORT} == folders - {"basics"}


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize(("name", "given"), SHORT.items())
def test_runs_at_quick(name: str, given: dict[str, Any], tmp_path: Path) -> None:
    """Run everything from code to figure on embedded data, with an empty store."""
    out = tmp_path / "out.ipynb"
    notebooks.execute(notebooks.stored(name, ".ipynb"), out, {"profile": "quick"} | given)
    done = nbformat.read(out, as_version=4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


def test_documented_parameters_exist(root: Path) -> None:
    """papermill only warns about an unknown parameter, so the documented commands are checked
    here.
    """
    text = (root / "README.md").read_text() + (root / "book" / "run.md").read_text()
    lines = re.findall(r"papermill notebooks/(\S+)\.ipynb (.*)", text.replace("\\\n", " "))
    assert len(lines) == 2
    for name, options in lines:
        known = papermill.inspect_notebook(notebooks.stored(name, ".ipynb"))
        asked = re.findall(r"-p (\w+)", options) + re.findall(r'-y "(\w+):', options)
        assert set(asked) <= set(known), (name, options)


def made(*outputs: NotebookNode) -> NotebookNode:
    """Return a notebook in the state in which papermill leaves it."""
    cell = new_code_cell("1", outputs=list(outputs), execution_count=7)
    cell.metadata = nbformat.from_dict({"tags": [], "papermill": {"duration": 1.5}})
    kernel = {"name": "mine", "display_name": "Mine"}
    language = {"name": "python", "version": "3.11.7"}
    meta = {"kernelspec": kernel, "papermill": {"duration": 3}, "language_info": language}
    return new_notebook(cells=[cell], metadata=meta)


def stream(name: str, text: str) -> NotebookNode:
    return new_output("stream", name=name, text=text)


def test_clean_leaves_content_only() -> None:
    """Everything else would change with every run and hide real changes."""
    result = new_output("execute_result", data={"text/plain": "<f at 0x7f01>"}, execution_count=7)
    given = made(stream("stdout", "a\n"), stream("stdout", "b\n"), result)
    before = copy.deepcopy(given)
    cleaned = notebooks.clean(given)
    assert given == before, "the notebook that was handed in was changed"
    (cell,) = cleaned.cells
    assert (cell.id, cell.execution_count, cell.metadata) == ("c000", 1, {})
    assert cell.outputs[0] == stream("stdout", "a\nb\n"), "a stream's pieces depend on timing"
    assert cell.outputs[1].data["text/plain"] == "<f>"
    assert cell.outputs[1].execution_count == 1
    assert set(cleaned.metadata) == {"kernelspec"}
    assert notebooks.clean(cleaned) == cleaned


def test_clean_drops_bars_and_keeps_warnings() -> None:
    """A progress bar is not content; a removed warning would never be fixed."""
    outputs = [
        stream("stderr", "\r 10%|# | 1/10"),
        stream("stdout", "done\n"),
        stream("stderr", "\r100%|##| 10/10\n"),
        stream("stderr", "UserWarning: beware\n"),
    ]
    (cell,) = notebooks.clean(made(*outputs)).cells
    assert cell.outputs == [stream("stdout", "done\n"), stream("stderr", "UserWarning: beware\n")]


MESSAGE = "the disk is nearly full"


def bar(**options: Any) -> str:
    """Return the output of tqdm for three steps of one second."""
    written = io.StringIO()
    with tqdm(file=written, mininterval=0, **options) as shown:
        for _ in range(3):
            shown.update()
    return written.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"total": 3},
        {"total": 3, "desc": "saturating/table-1, 50% of it", "unit": "step"},
        {"total": 3, "ascii": True, "leave": False},
        {"total": 3, "ncols": 0},
        {"total": 3, "position": 2},
        {"total": 3_000_000, "unit": "B", "unit_scale": True},
        {"total": 3, "bar_format": "{l_bar}{bar}| {n}/{total}"},
        {"total": 3, "postfix": "loss=0.3"},
        {},
        {"unit": "B", "unit_scale": True, "desc": "train-images"},
    ],
)
def test_only_what_is_a_bar_is_dropped(options: dict[str, Any]) -> None:
    """Text that is written between two states of a bar is on the same line as the first."""
    states = [f"\r{state}" for state in bar(**options).split("\r") if state]
    assert len(states) >= 3 and "".join(states).count("3") >= 1

    def left(*pieces: str) -> str:
        (cell,) = notebooks.clean(made(*(stream("stderr", piece) for piece in pieces))).cells
        return "".join(output.text for output in cell.outputs)

    assert left(*states) == ""
    for i in range(len(states) + 1):
        pieces = [*states[:i], f"{MESSAGE}\n  in two lines\n", *states[i:]]
        assert left(*pieces) == left("".join(pieces))
        kept = [line.strip() for line in left(*pieces).splitlines()]
        assert kept == [MESSAGE, "in two lines"], pieces


def test_a_carriage_return_alone_is_no_bar() -> None:
    """It also occurs in line ends of other systems, and in messages that overwrite each other."""
    given = (
        "UserWarning: beware\r\n\r 0%| | 0/3the disk\n\rstep 1 of 2\rstep 2 of 2\n 50%| is half\n"
    )
    (cell,) = notebooks.clean(made(stream("stderr", given))).cells
    lines = ["UserWarning: beware", "the disk", "step 1 of 2", "step 2 of 2", " 50%| is half"]
    assert cell.outputs == [stream("stderr", "".join(f"{line}\n" for line in lines))]


def test_many_writers_of_one_page_are_all_whole(tmp_path: Path) -> None:
    """If they shared one temporary name, the first to finish would rename the others' file."""
    path = tmp_path / "page.ipynb"
    pages = [made(stream("stdout", f"{i}\n" * 2000)) for i in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda page: notebooks.write(page, path), pages))
    assert nbformat.read(path, as_version=4) in pages
    assert list(tmp_path.iterdir()) == [path]


def test_two_runs_of_one_page_are_both_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has its own temporary file, so neither reads nor replaces the other's partial
    output.
    """
    output = tmp_path / "new" / "page.ipynb"
    working: list[Path] = []

    def run(source: Path, target: Path, *, cwd: Path, **options: object) -> None:
        assert cwd == output.parent and cwd.is_dir() and target not in [output, *working]
        working.append(target)
        number = len(working)
        target.write_text("half")
        if number == 1:  # the second run starts and ends during the first
            notebooks.execute(made(), output, {})
            assert nbformat.read(output, as_version=4).cells[0].outputs[0].text == "2\n"
        nbformat.write(made(stream("stdout", f"{number}\n")), target)

    monkeypatch.setattr(papermill, "execute_notebook", run)
    notebooks.execute(made(), output, {})
    assert nbformat.read(output, as_version=4).cells[0].outputs[0].text == "1\n"
    assert list(output.parent.iterdir()) == [output]
    assert len(working) == 2 and not any(path.exists() for path in working)


@pytest.mark.parametrize("name", ["ROBUSTBOOK_STORE", "ROBUSTBOOK_DATA"])
def test_a_kernel_is_told_absolute_folders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the results would be stored in _build, which `make clean` deletes."""
    seen: list[str | None] = []

    def run(source: Path, target: Path, **options: object) -> None:
        seen.append(os.environ.get(name))

    monkeypatch.setattr(papermill, "execute_notebook", run)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for given, expected in (
        ("results", tmp_path / "results"),
        ("../results", tmp_path / ".." / "results"),
        ("~/results", tmp_path / "home" / "results"),
        (str(tmp_path / "there"), tmp_path / "there"),
    ):
        monkeypatch.setenv(name, given)
        notebooks.execute(made(), tmp_path / "_build" / "page.ipynb", {})
        assert seen.pop() == str(expected)
    for unset in (lambda: monkeypatch.setenv(name, ""), lambda: monkeypatch.delenv(name)):
        unset()
        notebooks.execute(made(), tmp_path / "_build" / "page.ipynb", {})
        assert not seen.pop()


def test_runs_add_to_the_times_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two runs of different pages, the page of times lists both."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "_chosen", lambda wanted: list(wanted))
    monkeypatch.setattr(notebooks, "stored", lambda name, suffix: made())
    monkeypatch.setattr(notebooks, "execute", lambda notebook, output, parameters: None)
    (tmp_path / "_build" / "stage").mkdir(parents=True)
    for name in ("paper/one", "paper/two"):
        done = CliRunner().invoke(notebooks.main, ["run", name])
        assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "_build" / "stage" / "times.json").read_text()).keys() == {
        "paper/one",
        "paper/two",
    }


@pytest.fixture
def pair(root: Path, tmp_path: Path) -> Path:
    """Make a project with one clean pair, ``paper/page``; return its folder."""
    shutil.copy(root / "pyproject.toml", tmp_path)
    notebook = notebooks.clean(made(stream("stdout", "1\n")))
    notebooks.write(notebook, tmp_path / "notebooks" / "paper" / "page.ipynb")
    text = notebooks.as_text(notebook, tmp_path)
    (tmp_path / "notebooks" / "paper" / "page.md").write_text(text)
    return tmp_path


def test_a_clean_pair_has_no_fault(pair: Path) -> None:
    assert notebooks.names(pair) == ["paper/page"]
    assert notebooks.faults("paper/page", pair) == []


def test_an_edit_of_one_side_is_found(pair: Path) -> None:
    """The contents are compared, whichever file is newer."""
    text = pair / "notebooks" / "paper" / "page.md"
    text.write_text(text.read_text() + "\nA sentence.\n")
    (fault,) = notebooks.faults("paper/page", pair)
    assert "page.ipynb and paper/page.md differ" in fault


def test_half_a_pair_is_found(pair: Path) -> None:
    (pair / "notebooks" / "paper" / "page.md").unlink()
    assert notebooks.faults("paper/page", pair) == [
        "notebooks/paper/page.md is missing: `make pairs` writes it"
    ]


def test_leftovers_of_a_run_and_warnings_are_found(pair: Path) -> None:
    page = pair / "notebooks" / "paper" / "page.ipynb"
    notebook = nbformat.read(page, as_version=4)
    notebook.cells[0].outputs.append(stream("stderr", "UserWarning: beware\n"))
    notebook.cells[0].execution_count = 3
    notebooks.write(notebook, page)
    unclean, warning = notebooks.faults("paper/page", pair)
    assert "has outputs or metadata that are not stored" in unclean
    assert "UserWarning: beware" in warning


@pytest.mark.notebook
def test_execution_injects_parameters_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    """A page that fails must not prevent the others from running."""
    parameters = new_code_cell('profile: str = "published"', metadata={"tags": ["parameters"]})
    good = new_notebook(cells=[parameters, new_code_cell("print(profile)")])
    bad = new_notebook(cells=[new_code_cell("raise ValueError('eps must be positive')")])
    dead = new_notebook(cells=[new_code_cell("import os\nos._exit(1)")])
    for notebook in (good, bad, dead):
        notebook.metadata.kernelspec = nbformat.from_dict(notebooks.KERNEL)
    pages = {"a/bad": bad, "a/dead": dead, "a/good": good}
    times, failures = notebooks.execute_each(pages, tmp_path, "quick")
    assert failures == {
        "a/bad": "ValueError: eps must be positive",
        "a/dead": "DeadKernelError: the kernel died, perhaps because memory ran out",
    }
    assert {name: entry["profile"] for name, entry in times.items()} == {
        "a/bad": "",
        "a/dead": "",
        "a/good": "quick",
    }
    done = json.loads((tmp_path / "a" / "good.ipynb").read_text())
    tags = [cell["metadata"].get("tags") for cell in done["cells"]]
    assert tags == [["parameters"], ["injected-parameters", "hide-input"], None]
    assert done["cells"][2]["outputs"][0]["text"] == ["quick\n"]


def test_a_kernel_that_cannot_start_spares_the_other_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, another program has taken one of its ports."""

    def execute(notebook: NotebookNode, output: Path, *_: Any) -> None:
        if output.stem == "two":
            raise ZMQError(98, "Address already in use")
        output.write_text("executed")

    (tmp_path / "a").mkdir()
    monkeypatch.setattr(notebooks, "execute", execute)
    times, failures = notebooks.execute_each(
        dict.fromkeys(("a/one", "a/two", "a/three"), new_notebook()), tmp_path
    )
    assert set(times) == {"a/one", "a/two", "a/three"}
    assert failures == {"a/two": "ZMQError: Address already in use"}
    assert (tmp_path / "a" / "three.ipynb").read_text() == "executed"


def test_pages_of_different_papers_alternate() -> None:
    """Pages of one paper share networks, so that one of them would wait for the other."""
    names = ["a/1", "a/2", "a/3", "b/1", "c"]
    assert notebooks.in_turn(names) == ["a/1", "b/1", "c", "a/2", "a/3"]
    assert sorted(notebooks.in_turn(NAMES)) == sorted(NAMES)


@pytest.mark.notebook
def test_two_pages_run_at_a_time_over_one_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page waits until it has seen the other; both get a limit on their processes and threads.

    A failing page is reported, and its stderr is in a file in the same folder.
    """
    for name in ("ROBUSTBOOK_WORKERS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    meet = """
import os, pathlib, sys, time
own, other = (pathlib.Path(os.environ["ROBUSTBOOK_STORE"], name) for name in NAMES)
own.parent.mkdir(exist_ok=True)
own.touch()
end = time.monotonic() + 120
while not other.exists() and time.monotonic() < end:
    time.sleep(0.05)
limits = [int(os.environ[name]) for name in ("ROBUSTBOOK_WORKERS", "OMP_NUM_THREADS")]
print(other.exists(), min(limits) >= 1)
print("a warning", file=sys.stderr)
"""
    one, two = (
        new_notebook(cells=[new_code_cell(f"NAMES = {names}"), new_code_cell(meet)])
        for names in (("one", "two"), ("two", "one"))
    )
    bad = new_notebook(cells=[new_code_cell("raise ValueError('no')")])
    for notebook in (one, two, bad):
        notebook.metadata.kernelspec = nbformat.from_dict(notebooks.KERNEL)
    pages = {"a/one": one, "b/two": two, "a/bad": bad}
    times, failures = notebooks.execute_each(pages, tmp_path, jobs=2)
    assert set(times) == set(pages) and failures == {"a/bad": "ValueError: no"}
    for name in ("a/one", "b/two"):
        done = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        assert done.cells[1].outputs[0].text == "True True\n"
        assert (tmp_path / f"{name}.log").read_text() == "a warning\n"
    assert "ROBUSTBOOK_WORKERS" not in os.environ, "the setting is for the pages alone"


@pytest.mark.notebook
def test_a_dead_kernel_leaves_what_was_executed(tmp_path: Path) -> None:
    """If no cell was executed, an earlier page stays as it is."""
    page = tmp_path / "page.ipynb"
    for cells, kept in (
        (["print('kept')", "import os\nos._exit(1)"], "kept"),
        (["import os\nos._exit(1)"], "kept"),
    ):
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = nbformat.from_dict(notebooks.KERNEL)
        with pytest.raises(DeadKernelError):
            notebooks.execute(notebook, page, {}, io.StringIO())
        printed = nbformat.read(page, as_version=4).cells[0].outputs
        assert [output.text.strip() for output in printed] == [kept]


def test_a_bar_may_end_with_a_list() -> None:
    text = "\r 50%|##  | 1/2 [00:01<00:01,  1.00s/it, loss=[1, 2]]\n"
    assert not notebooks._without_bars(text).strip()
