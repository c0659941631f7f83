"""The calls of a notebook: errors stop before any work, and `published` computes nothing."""

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Markdown
from traitlets.config import Config

from robustbook import catalogue, ledger, page, publishing
from robustbook.chapters.published import compared, record_of
from robustbook.chapters.verdicts import _unsure, reasons_of
from robustbook.figures import Table
from robustbook.ledger import Record, Row
from robustbook.runs import Store
from robustbook.studies.parameters import BadParameter
from robustbook.studies.saturating import table_1, table_2

ITEM = "saturating/table-1"
CONTROLS = table_1.Parameters().controls


@pytest.fixture
def book(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a book with the targets and no record."""
    shutil.copytree(root / "book" / "targets", tmp_path / "book" / "targets")
    monkeypatch.setattr(catalogue, "BOOK", tmp_path / "book")
    return tmp_path / "book"


def record(profile: str = "paper", **given: Any) -> Record:
    """Return a record of Table 1 with the given parameters and one row."""
    p = table_1.Parameters(profile=profile, **given)
    assert p.seeds is not None
    name = "saturating/table-1/cnn-vanilla/accuracy"
    rows = tuple(Row(99.0 + s / 10, "percent", name, seed=s, images=10_000) for s in p.seeds)
    return Record("saturating", "table-1", profile, p.plain(), p.seeds, rows)


def publish(book: Path, *records: Record) -> None:
    for one in records:
        ledger.write_record(one, book / "records")


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(publishing, "run", refuse)


@pytest.mark.usefixtures("book", "nothing_runs")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epz": 0.1}, "epz is no parameter of .*did you mean eps"),
        ({"eps": -1.0}, "eps must be .*, got -1.0"),
        ({"profile": "paer"}, "profile must be .*, got 'paer'"),
        ({"seeds": []}, "seeds must be "),
        ({"rows": [1]}, "rows is no parameter"),
    ],
)
def test_begin_refuses_a_slip(given: dict[str, Any], sentence: str) -> None:
    """papermill only warns about a misspelt name, and would run the defaults instead."""
    with pytest.raises(BadParameter, match=sentence):
        page.begin(ITEM, {"profile": "quick", **given})


@pytest.mark.usefixtures("book")
def test_names_that_are_no_parameters_of_a_reader_are_left_alone() -> None:
    """A kernel's globals also contain modules, names of IPython and names with an underscore."""
    kernel = {"In": [""], "Out": {}, "get_ipython": print, "exit": 0, "quit": 0, "open": open}
    names = {"_": 1, "__name__": "__main__", "_i1": "", "page": page, "m": math, **kernel}
    here = page.begin(ITEM, {"profile": "quick", "eps": 0.1, **names})
    assert here.parameters == table_1.Parameters(profile="quick", eps=0.1)


DEFAULTS = """profile: str = "quick"  # published, quick or paper
seeds: list = None  # a list
eps: float = 0.25  # a size of attack
controls: int = 1000"""
BEGIN = f'from robustbook import page\nhere = page.begin("{ITEM}", globals())'
HELPER = """import math
from functools import partial
count, limit = 3, 1.5
rows: int = 7
epz = limit * count
def show(image):
    return image
class Shown: pass"""
OTHER = 'profile: str = "quick"\nvariants: list = None\nhere = None'


@pytest.fixture
def shell() -> InteractiveShell:
    """Return the shell in which a kernel runs cells, without a history on disk."""
    return InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))


def in_kernel(shell: InteractiveShell, *cells: str) -> Any:
    """Run the cells and return `here`; raise the exception of the last cell, if any."""
    for cell in cells:
        done = shell.run_cell(cell, store_history=True, silent=False)
    if done.error_in_exec is not None:
        raise done.error_in_exec
    return shell.user_ns["here"]


def in_script(*cells: str) -> Any:
    """Do the same without IPython: `exec` in a new namespace."""
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    return names["here"]


INJECTED = "# Parameters\neps = 0.1\nseeds = [3]\n"
RUNS = {
    "once": [DEFAULTS, BEGIN],
    "begin twice": [DEFAULTS, BEGIN, BEGIN],
    "all twice": [DEFAULTS, BEGIN, "x = here", DEFAULTS, BEGIN],
    "helpers before": [HELPER, DEFAULTS, BEGIN, HELPER, BEGIN],
    "helpers between": [DEFAULTS, HELPER.replace("rows: int", "rows"), BEGIN, BEGIN],
    "in one cell": [f"{DEFAULTS}\n{BEGIN}"] * 2,
    "another page before": [OTHER, "rest = 3", DEFAULTS, BEGIN],
    "a cell that cannot be parsed": ["what is this", "%who", DEFAULTS, BEGIN],
    "a slip that was mended": [f"{DEFAULTS}\nepz: float = 0.1", BEGIN, DEFAULTS, BEGIN],
}


@pytest.mark.usefixtures("book", "nothing_runs")
@pytest.mark.parametrize("cells", RUNS.values(), ids=RUNS)
def test_a_page_may_be_run_again_in_one_kernel(shell: InteractiveShell, cells: list[str]) -> None:
    """Variables, functions and other pages are not parameters, whenever they were defined."""
    assert in_kernel(shell, *cells).parameters == table_1.Parameters(profile="quick")
    injected = [INJECTED if cell == BEGIN else "" for cell in cells]
    again = [each for pair in zip(injected, cells, strict=True) for each in pair]
    if BEGIN in cells:
        expected = table_1.Parameters(profile="quick", eps=0.1, seeds=(3,))
        assert in_kernel(shell, *again).parameters == expected


@pytest.mark.usefixtures("book", "nothing_runs")
@pytest.mark.parametrize(
    "cells",
    [
        [f"{DEFAULTS}\nepz: float = 0.1", BEGIN],
        [f"{DEFAULTS}\nepz = 0.1", BEGIN],
        ["epz = 0.1  # type: float\n" + DEFAULTS, BEGIN],
        [DEFAULTS.replace("eps:", "epz:"), BEGIN],
        [DEFAULTS.replace("profile:", "profle:").replace("eps:", "epz:"), BEGIN],
        [DEFAULTS, "# Parameters\nepz = 0.1", BEGIN],
        [DEFAULTS, INJECTED, BEGIN, f"{DEFAULTS}\nepz: float = 0.1", BEGIN],
        [DEFAULTS, BEGIN, DEFAULTS, "# Parameters\nepz = 0.1", HELPER, BEGIN],
    ],
)
def test_a_misspelt_name_is_refused_in_a_kernel(shell: InteractiveShell, cells: list[str]) -> None:
    """It is found in the parameters cell and in papermill's injected cell; papermill only warns."""
    with pytest.raises(BadParameter, match=r"(epz|profle) is no parameter of this item; it takes"):
        in_kernel(shell, *cells)


@pytest.mark.usefixtures("book", "nothing_runs")
def test_a_page_may_be_run_as_a_script() -> None:
    """Without IPython's list of cells, annotations identify the parameters."""
    helper = HELPER.replace("rows: int", "rows")
    for cells in ([DEFAULTS, BEGIN], [helper, DEFAULTS, helper, BEGIN, BEGIN], RUNS["in one cell"]):
        assert in_script(*cells).parameters == table_1.Parameters(profile="quick")
    assert in_script(DEFAULTS, "eps = 0.1", BEGIN).parameters.eps == 0.1
    with pytest.raises(BadParameter, match="epz is no parameter .* did you mean eps"):
        in_script(f"{DEFAULTS}\nepz: float = 0.1", BEGIN)


@pytest.mark.usefixtures("book", "nothing_runs")
def test_a_dict_of_values_holds_parameters_alone() -> None:
    """All its names are parameters, except those of pages, functions and modules."""
    before = page.begin(ITEM, {"profile": "quick"})
    given = {"profile": "quick", "here": before, "show": print, "math": math}
    assert page.begin(ITEM, given).parameters == before.parameters
    with pytest.raises(BadParameter, match="count is no parameter"):
        page.begin(ITEM, {**given, "count": 3})


def test_an_unknown_item_is_refused() -> None:
    """The error lists the known items."""
    with pytest.raises(BadParameter, match="item must be one of .*saturating/table-1, .*, got 'x'"):
        page.begin("x", {})


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"eps": 0.1}, "eps must be 0.25 with profile published, .*, got 0.1; .*: quick, paper$"),
        ({"seeds": [0]}, r"seeds must be \[0, 1\] with profile published, .*, got \[0\]"),
        ({"controls": 10}, rf"controls must be {CONTROLS} with profile published, .*, got 10"),
    ],
)
def test_published_refuses_what_its_record_does_not_have(
    book: Path, given: dict[str, Any], sentence: str
) -> None:
    """Otherwise the page would show numbers that belong to other parameters."""
    publish(book, record(seeds=(0, 1)))
    with pytest.raises(BadParameter, match=sentence):
        page.begin(ITEM, given)
    assert page.begin(ITEM, {**given, "profile": "quick"}).parameters.profile == "quick"


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seeds": None},
        {"eps": 0.25, "seeds": [0, 1]},
        {"profile": "published", "seeds": (0, 1)},
    ],
)
def test_published_asks_no_study(
    book: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """Importing a study takes seconds, and the record contains its parameters."""
    publish(book, record(seeds=(0, 1)))

    def refuse(item: str) -> None:
        raise AssertionError(f"{item} was imported")

    monkeypatch.setattr(catalogue, "study", refuse)
    here = page.begin(ITEM, given)
    here.run()
    here.verdicts()


@pytest.mark.usefixtures("nothing_runs")
def test_published_shows_its_record_and_computes_nothing(book: Path) -> None:
    """It shows the best record, also if the record's own values are given."""
    best = record(seeds=(0, 1))
    publish(book, record("quick"), best)
    for given in ({}, {"eps": 0.25, "seeds": [0, 1], "controls": CONTROLS, "profile": "published"}):
        here = page.begin(ITEM, given)
        shown = here.run().data
        assert here.shown.profile == "paper" and here.fresh is None
        assert "`paper`" in shown and "seeds 0, 1" in shown
        assert "Some are from a smaller experiment: profile `quick`" in shown
        assert [version.heading for version in here.records] == ["Stored results (profile paper)"]
    assert record_of(ITEM).rows == here.shown.rows


@pytest.mark.usefixtures("nothing_runs")
def test_the_table_of_verdicts_says_what_is_compared(book: Path) -> None:
    """A number has its unit, a bound is a bound, and an order names both of its numbers. Columns
    without content are left out, and so are numbers that were not run.
    """
    none = page.begin(ITEM, {}).verdicts()
    assert isinstance(none, Markdown) and "target numbers of this page was measured" in none.data
    own = "saturating/table-1/"
    measured = [("cnn-vanilla/accuracy", 99.0), ("cnn-saturated/clean-loss", 0.04)]
    order = "order/cnn-saturated-over-adversarial"
    measured += [(order, 90.0), ("cnn-adversarial/fgsm-accuracy", 95.0)]
    for seeds in ((0,), (0, 1)):
        rows = [
            Row(value, "percent", own + name, seed=seed)
            for name, value in measured
            for seed in seeds
        ]
        publish(book, replace(record(seeds=seeds), rows=tuple(rows)))
        shown = page.begin(ITEM, {}).verdicts()
        assert isinstance(shown, Table)
        text = shown.markdown
        assert ("| Interval |" in text) == (len(seeds) > 1)
        drop = "CNN, saturated: drop in clean accuracy from the vanilla network (points)"
        assert f"| {drop} | reproduced | at most\N{NO-BREAK SPACE}0.02 (derived) | 0.04 |" in text
        both = "CNN, accuracy under FGSM with eps = 0.25: saturated above adversarially trained"
        assert re.search(rf"\| {re.escape(both)} \| [a-z ]+ \| order \| difference −5 \|", text)
        assert "*Difference*" not in text and "*difference*: the first number minus" in text
        assert "*Pattern*" not in text


def test_an_answer_is_computed_from_the_best_record(book: Path) -> None:
    """All records are passed to a sentence that compares them."""
    publish(book, record("quick"), record())
    here = page.begin(ITEM, {})
    assert here.answer(lambda best: f"{best.profile}.").data == "**Answer.** paper."
    assert here.answers(lambda both: f"{both[1].profile}.").data == "**Answer.** quick."


def test_a_percent_sign_stays_with_its_number() -> None:
    assert page.say("97 % and 3 %").data == "97\N{NO-BREAK SPACE}% and 3\N{NO-BREAK SPACE}%"


def test_verdicts_follow_an_answer(book: Path) -> None:
    """They are counted for the given kinds."""
    rows = [Row(99.0, "percent", "saturating/table-1/cnn-vanilla/accuracy", "accuracy", 0)]
    publish(book, replace(record(), rows=tuple(rows)))
    here = page.begin(ITEM, {})
    text = here.answer(lambda _: "Yes.", {"clean accuracy": "cnn-vanilla/accuracy", "": ""}).data
    assert text.startswith("**Answer.** Yes. *Clean accuracy*: <span") and "*;" not in text


def test_without_a_record_published_says_what_to_do(book: Path) -> None:
    """This is the case before the first publication."""
    here = page.begin(ITEM, {})
    with pytest.raises(BadParameter, match="profile must be quick or paper, because the book"):
        here.run()
    with pytest.raises(BadParameter, match="item must have a published record, got"):
        record_of(ITEM)


def test_table_2_from_parameters_to_ledger(book: Path, tmp_path: Path) -> None:
    """An item without training is computed, shown, published and judged."""
    here = page.begin("saturating/table-2", {"profile": "paper"})
    assert here.run().data.startswith("Run on this machine: profile `paper`")
    assert here.fresh is not None and here.shown is here.fresh
    assert here.fresh.provenance.keys() >= {"seconds", "wall_seconds"}
    publish(book, here.fresh)
    again = page.begin("saturating/table-2", {})
    assert again.shown.rows == here.fresh.rows
    text = again.verdicts().markdown
    assert text.count("| reproduced |") == len(here.fresh.rows) - 1  # one has no printed number
    agree = len(here.fresh.rows) - 1
    head = f"Comparisons in the paper's setting: {agree} *reproduced*, none *not reproduced*."
    assert again.reasons().data.startswith(head)


def test_compute_gives_what_condense_gave_and_says_where_it_comes_from(tmp_path: Path) -> None:
    """Rows, arrays and seeds are unchanged; only the provenance is added."""
    p = table_2.Parameters(profile="quick")
    plain = table_2.condense(p, {})
    made = publishing.compute(table_2, p, store=Store(tmp_path), progress=False)
    assert made.provenance["seconds"] == 0
    assert replace(made, provenance={}) == plain


def test_equal_reasons_stand_together_and_inconclusive_verdicts_are_explained() -> None:
    here = page.begin("saturating/table-1", {})
    lines = here.reasons().data.splitlines()
    listed = [line for line in lines if line.startswith("- ")]
    reasons = [line.partition("**: ")[2] for line in listed]
    assert len(set(reasons)) == len(reasons)
    named = sum(line.count("**") // 2 for line in listed)
    shown = [e for e in compared(here.item) if e.verdict in ("not reproduced", "inconclusive")]
    assert named == len(shown) > len(listed)
    assert "These comparisons are inconclusive:" in lines
    assert lines[0].endswith("For each we give the reason, as far as we know it:")
    many = [line for line in reasons_of("survey/szegedy").splitlines() if "This is about" in line]
    assert len(many) == 1 and many[0].endswith("**.") and many[0].count("**") > 6


@pytest.mark.parametrize(
    ("others", "words"),
    [(0, "no number that we could compare, so there is no judgement."), (1, "the paper's setting")],
)
def test_without_a_printed_number_the_setting_is_not_the_reason(
    others: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the reason if a number was measured in another setting."""
    verdicts = ["no printed number"] * 2 + ["other setting"] * others
    lines = [SimpleNamespace(verdict=verdict) for verdict in verdicts]
    monkeypatch.setattr("robustbook.chapters.verdicts.compared", lambda item: lines)
    assert words in reasons_of(ITEM)


def test_why_a_verdict_is_inconclusive() -> None:
    first = catalogue.whole_ledger().entries[0]
    found = replace(first.judgement, unsure="the rule")
    entry = replace(first, judgement=found, reason="")
    assert _unsure(entry) == "the rule"
    assert _unsure(replace(entry, reason="known")) == "the rule. Known"
