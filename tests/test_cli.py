"""The command line: accepted arguments, error messages of one line, and stored results."""

import json
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from robustbook import catalogue, ledger
from robustbook.cli import commands, jobs, main
from robustbook.ledger.build import KEYS
from robustbook.ledger.targets import COLUMNS
from robustbook.runs import Store, graph
from robustbook.studies import items

Cli = Callable[..., Result]
TINY = "saturating/tiny"
THERE = "robustbook --help lists all items"
TARGETS = [
    "saturating/tiny/height,Height,saturating,tiny,,height,none,3.0,printed,equal,0.5,Sec. 1,",
    "saturating/later/height,Height,saturating,later,,height,none,3.0,printed,equal,0.5,Sec. 2,",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only study is `tiny_study`, under two names, and an item without a study."""
    targets = tmp_path / "book" / "targets"
    targets.mkdir(parents=True)
    (targets / "one-targets.csv").write_text("\n".join([",".join(COLUMNS), *TARGETS]) + "\n")
    monkeypatch.setattr(catalogue, "BOOK", tmp_path / "book")
    monkeypatch.setattr(catalogue, "ITEMS", {TINY: "tiny_study", f"{TINY}-too": "tiny_study"})
    monkeypatch.setattr(commands, "PROJECT", tmp_path)
    monkeypatch.setenv("TINY_LOG", str(tmp_path))
    monkeypatch.delenv("ROBUSTBOOK_TRACEBACK", raising=False)
    return tmp_path


@pytest.fixture
def cli(project: Path) -> Cli:
    """Run one command line; raise any exception that would print a traceback."""

    def invoke(line: str) -> Result:
        return CliRunner().invoke(main, shlex.split(line), catch_exceptions=False)

    return invoke


def ran(project: Path) -> list[str]:
    log = project / "log"
    return log.read_text().splitlines() if log.exists() else []


def parse(line: str) -> click.Context:
    """Parse a printed command in the same way as a user's command."""
    program, name, *words = shlex.split(line)
    assert program == "robustbook"
    return main.commands[name].make_context(name, words)


# Accepted arguments


def test_starts_quickly() -> None:
    """With all imports at the top of the module, --help would take seconds."""
    slow = {"torch", "pandas", "matplotlib", "IPython", "scipy", "pydantic", "robustbook.catalogue"}
    code = f"import sys, robustbook.cli; sys.exit(bool({slow!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_run_plan_give_and_publish_need_no_notebook_and_no_figure() -> None:
    """A minimal machine with a GPU has neither; importing them would also take seconds."""
    code = (
        "import sys, robustbook.catalogue, robustbook.cli.commands, robustbook.cli.jobs; "
        "robustbook.catalogue.study('deep_defense/table-1'); "
        "print({'IPython', 'papermill', 'dask', 'distributed', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stdout + result.stderr


@pytest.mark.parametrize("name", [None, *main.commands])
def test_help_has_an_example_that_parses(cli: Cli, name: str | None) -> None:
    """An example that the parser rejects would mislead."""
    result = cli(f"{name or ''} --help")
    (example,) = [line for line in result.stdout.splitlines() if "Example: " in line]
    command = example.partition("Example: ")[2]
    parse(command)
    assert result.exit_code == 0 and (name is None or command.split()[1] == name)


@pytest.mark.parametrize("profile", [None, "quick", "reduced", "paper"])
def test_every_command_of_the_ledger_is_accepted(profile: str | None) -> None:
    """The parser and the study accept the command of each line, or the line says that it has
    none.
    """
    found = catalogue.whole_ledger(profile=profile).entries
    for line in {entry.command for entry in found} - {""}:
        given = parse(line).params
        (job,) = jobs.jobs(given["items"], given["profile"], given["seeds"], given["given"])
        assert profile in (None, given["profile"]) or profile not in job.study.Parameters.own_seeds
    silent = [entry for entry in found if not entry.command]
    assert {entry.paper for entry in silent} == {"deep_defense", "self_ensemble", "survey"}
    reasons = {entry.note.rpartition("; ")[2] for entry in silent}
    assert reasons - {"no study yet"} <= set(items.WITHOUT_STUDY.values())
    if profile is None:
        assert reasons - {"no study yet"} == set(items.WITHOUT_STUDY.values())  # all are used


def test_an_item_without_a_study_is_told_from_a_misspelt_one() -> None:
    with pytest.raises(click.UsageError, match="^survey/nattack has no study yet; robus"):
        jobs.study("survey/nattack")


def test_without_a_profile_the_profiles_that_have_the_parameters_count() -> None:
    """With none of them, the first profile's sentence is the error."""
    (job,) = jobs.jobs(["self_ensemble/table-2"], None, given={"networks": ["model-a"]})
    assert job.profile == "paper"
    with pytest.raises(click.UsageError, match=r"^self_ensemble/table-2: images must be .* got 0$"):
        jobs.jobs(["self_ensemble/table-2"], None, given={"images": 0})


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0:5", [0, 1, 2, 3, 4]), ("0,2,5", [0, 2, 5]), ("7,0:2", [7, 0, 1])],
)
def test_forms_of_seeds(text: str, seeds: list[int]) -> None:
    """A range excludes its end, as in Python."""
    assert parse(f"robustbook run --seeds {text}").params["seeds"] == seeds


def test_values_are_json_where_they_can_be() -> None:
    """Only numbers, lists and strings are distinguished here; the study checks the types."""
    line = "robustbook run --set a=0.1 --set b=3 --set c=mnist --set d=[1,2] --set e=x=y"
    given = {"a": 0.1, "b": 3, "c": "mnist", "d": [1, 2], "e": "x=y"}
    assert parse(line).params["given"] == given


# Errors: one line, exit code 2, nothing computed


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rnu", "No such command 'rnu'. Did you mean 'run'?"),
        ("run --profle quick", "No such option '--profle'. Did you mean '--profile'?"),
        (
            "run --workers many",
            "Invalid value for '--workers': 'many' is not a valid integer range.",
        ),
        ("run --data-root nowhere", "Invalid value for '--data-root': Directory 'nowhere' does"),
        (
            "run saturating/tny",
            f"item 'saturating/tny' is not known (did you mean {TINY}?); {THERE}",
        ),
        (
            "run saturating",
            f"item 'saturating' is not known, it must be like saturating/table-1; {THERE}",
        ),
        ("run saturating/later", f"saturating/later has no study yet; {THERE}"),
        (
            f"run {TINY} --profile published",
            f"profile of {TINY} must be quick or paper (the profile published computes nothing), "
            "got 'published'",
        ),
        (
            "plan --profile papr",
            f"profile of {TINY} must be quick or paper (the profile published computes nothing), "
            "got 'papr'",
        ),
        (
            f"run {TINY} --set heigth=2",
            f"{TINY}: heigth is no parameter of this item; it takes profile, seeds, height, word; "
            "did you mean height?",
        ),
        (
            f"plan {TINY} --set height=-1",
            f"{TINY}: height must be a number above 0, at most 9, got -1",
        ),
        (
            f"run {TINY} --set height=tall",
            f"{TINY}: height must be a number above 0, at most 9, got 'tall'",
        ),
        (f"run {TINY} --set word=3", f"{TINY}: word must be a word, got 3"),
        (
            f"run {TINY} --seeds 1,1",
            f"{TINY}: seeds must be a list of distinct whole numbers from 0, or None for the "
            "profile's own, got (1, 1)",
        ),
        *(
            (
                f"run {TINY} --seeds '{text}'",
                "seeds must be whole numbers such as 3 or 0,2,5 or 0:5 (which is 0 to 4), at most "
                f"1000 of them, each with at most 18 digits, got {text!r:.60}",
            )
            for text in ("", "5:5", "-1", "0:", "0..5", "1,", "one", "0:1001", f"0:{10**30}")
            + ("9" * 5000,)
        ),
        ("run --set height", "set must be NAME=VALUE such as eps=0.1, got 'height'"),
        ("run --set seeds=[1]", "seeds must be given as --seeds, got --set seeds=[1]"),
        (
            "run --set height=1 --set height=2",
            "height must be set once, got --set height=2 as well",
        ),
        (
            "run --data-root . --scheduler tcp://a:1",
            "data-root must not be given with a scheduler, got .; set ROBUSTBOOK_DATA for its "
            "workers instead",
        ),
        ("run --scheduler host", "scheduler must be like tcp://host:8786, got 'host'"),
        (f"run {TINY} --device gpu", 'device must be "auto", "cpu", "cuda" or "cuda:N", got'),
        ("ledger --paper satturating", "paper must be one of deep_defense, "),
        (
            "ledger saturating/tyni",
            f"item 'saturating/tyni' has no number of a paper (did you mean {TINY}?)",
        ),
        (
            f"ledger {TINY} --item tiny",
            f"paper and item must not be given with {TINY}, got --item tiny",
        ),
        (
            "run --workers 2 --scheduler tcp://a:1",
            "workers must not be given with a scheduler, which has its own, got 2",
        ),
        (
            f"run {TINY} --seeds 0 1 2",
            f"item '1' is not known, it must be like saturating/table-1; {THERE}; several seeds "
            "are given as 0,1,2",
        ),
        (f"run {TINY} --set height={'[' * 100_000}", f"{TINY}: height must be "),
        (
            f"publish {TINY}",
            f"{TINY} with profile paper lacks 4 results; compute what is missing first: "
            f"robustbook run {TINY} --profile paper",
        ),
        (
            f"publish {TINY} --store 'my store'",
            f"{TINY} with profile paper lacks 4 results; compute what is missing first: "
            f"robustbook run {TINY} --profile paper --store 'my store'",
        ),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, project: Path, line: str, sentence: str) -> None:
    """There is no traceback, no usage block and nothing on stdout, and nothing is computed."""
    result = cli(line)
    assert result.stderr.splitlines()[-1].startswith(f"robustbook: {sentence}")
    assert "Traceback" not in result.stderr and "Usage" not in result.stderr
    assert (result.stdout, result.exit_code, ran(project)) == ("", 2, [])


@pytest.mark.parametrize("line", [f"run {TINY} --workers 0", f"publish {TINY} --profile quick"])
@pytest.mark.parametrize("fault", ["no book", "a bad target"])
def test_without_the_targets_nothing_is_computed(
    cli: Cli, project: Path, line: str, fault: str
) -> None:
    """The results are compared with the targets, which are missing if only the package was
    copied.
    """
    (file,) = (project / "book" / "targets").glob("*.csv")
    if fault == "no book":
        shutil.rmtree(project / "book")
        words = "robustbook must be used from a checkout of the project"
    else:
        file.write_text(file.read_text().replace("equal", "equals"))
        words = "one-targets.csv, line 2: compare must be one of"
    result = cli(line)
    assert result.stderr.startswith(f"robustbook: {words}") and result.exit_code == 2
    assert not ran(project)


def test_all_items_are_checked_before_the_first_runs(cli: Cli, project: Path) -> None:
    """An error in the second name must not be found hours later."""
    result = cli(f"run {TINY} saturating/tiny-two --workers 0")
    assert result.exit_code == 2 and not ran(project)


def test_the_real_items_refuse_what_their_study_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny study above may be stricter than the real ones."""
    result = CliRunner().invoke(main, ["run", "saturating/table-1", "--set", "eps=-1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("robustbook: saturating/table-1: eps must be ")


def test_a_failing_step_is_one_line(cli: Cli, project: Path, monkeypatch) -> None:
    """The line has the error's message without line breaks; a traceback is printed on request."""
    (project / "at-build").write_text("fail")
    result = cli(f"run {TINY} --workers 0")
    last = result.stderr.splitlines()[-1]
    assert last == "robustbook: RuntimeError: out of paper (in tiny_study:build(height=3.0))"
    assert result.exit_code == 2
    monkeypatch.setenv("ROBUSTBOOK_TRACEBACK", "1")
    with pytest.raises(click.ClickException):
        cli(f"run {TINY} --workers 0")


# Effects


def test_without_arguments_it_helps(cli: Cli) -> None:
    assert cli("").stdout == cli("--help").stdout and cli("").exit_code == 0


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == "robustbook 0.1.0\n"


def test_python_runs_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["robustbook", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("robustbook", run_name="__main__")
    assert (end.value.code, capsys.readouterr().out) == (0, "robustbook 0.1.0\n")


def test_run_prints_ours_beside_the_papers_and_costs_nothing_again(cli: Cli, project: Path) -> None:
    """The output equals that of the notebook's page, computed from this run's record only."""
    result = cli(f"run {TINY} --seeds 0:2 --workers 0 --store {project / 'here'}")
    assert result.exit_code == 0
    row = result.stdout.splitlines()[1].split()
    assert row == ["height", "3", "3.05", "[1.95,", "4.15]", "2", "quick", "other", "setting"]
    assert f"results are kept in {project / 'here'}" in result.stdout
    assert "publish" not in result.stdout  # numbers of the embedded data are no record
    assert ran(project) == ["build", "measure 0", "measure 1"]
    again = cli(f"run {TINY} --seeds 0:2 --workers 0 --store {project / 'here'}")
    assert again.stdout.splitlines()[:4] == result.stdout.splitlines()[:4]
    assert len(ran(project)) == 3


def test_other_parameters_claim_no_verdict(cli: Cli) -> None:
    """A result at another height would otherwise look like a failure of the paper."""
    usual = cli(f"run {TINY} --profile paper --workers 0 --seeds 0:4").stdout
    assert usual.splitlines()[1].endswith(" reproduced")
    published = usual.splitlines()[-1].partition(": ")[2]
    assert published == f"robustbook publish {TINY} --profile paper --seeds 0,1,2,3"
    assert parse(published).params["seeds"] == [0, 1, 2, 3]
    other = cli(f"run {TINY} --profile paper --set height=5 --workers 0").stdout
    assert other.splitlines()[1].endswith(" other setting") and "publish" not in other
    assert f"{TINY} with profile paper, height 5.0: " in other


def test_the_number_of_test_images_may_be_published() -> None:
    """Every row states it, so a record may have another number than its profile."""
    given = {"networks": ["vgg16"], "defenses": ["none", "rse"], "images": 200}
    (job,) = jobs.jobs(["self_ensemble/table-2"], "paper", [0], given)
    assert job.changed == {} and job.selected["images"] == 200
    assert "images=200" in job.command("publish")
    (other,) = jobs.jobs(["survey/fast"], "paper", [0])
    assert other.selected == {}


def test_parts_of_an_item_can_be_published_and_other_settings_cannot(cli: Cli) -> None:
    """Three of four networks are a record of the paper's setting; another eps is not."""
    ran = cli(f"run {TINY} --profile paper --set word=other --workers 0").stdout
    assert ran.splitlines()[1].endswith(" reproduced")
    command = ran.splitlines()[-1].partition(": robustbook ")[2]
    assert parse(f"robustbook {command}").params["given"] == {"word": "other"}
    assert cli(command).exit_code == 0
    refused = cli(f"publish {TINY} --profile paper --set height=5")
    assert refused.exit_code == 2
    assert "height must have the value in the book's record" in refused.stderr


def test_run_without_a_name_means_every_item(cli: Cli) -> None:
    """`robustbook run --profile paper` computes the whole book."""
    result = cli("run --workers 0")
    assert f"{TINY} with profile quick: " in result.stdout
    assert f"{TINY}-too with profile quick: " in result.stdout


def test_data_root_reaches_the_workers(cli: Cli, project: Path, monkeypatch) -> None:
    """Worker processes read it from the environment."""
    monkeypatch.setenv("ROBUSTBOOK_DATA", "elsewhere")
    monkeypatch.chdir(project.parent)
    cli(f"run {TINY} --workers 0 --data-root {project.name}")
    assert os.environ["ROBUSTBOOK_DATA"] == str(project)


def test_a_misspelt_folder_of_data_is_reported_before_any_work(
    cli: Cli, project: Path, monkeypatch
) -> None:
    monkeypatch.setenv("ROBUSTBOOK_DATA", str(project / "nowhere"))
    result = cli(f"run {TINY} --workers 0")
    words = "ROBUSTBOOK_DATA must be a folder that exists, got"
    assert result.stderr == f"robustbook: {words} {project / 'nowhere'}\n"
    assert result.exit_code == 2 and not ran(project) and not (project / "nowhere").exists()


def test_missing_data_are_told_without_the_call(cli: Cli, project: Path) -> None:
    """The sentence says what to do; the call's arguments do not help."""
    (project / "at-build").write_text("lack data")
    result = cli(f"run {TINY} --workers 0")
    assert result.stderr.splitlines()[-1] == "robustbook: a file is not in the folder"


def test_ctrl_c_says_how_to_go_on(cli: Cli, project: Path) -> None:
    """The printed command does not compute finished results again."""
    (project / "at-measure 1").write_text("interrupt")
    result = cli(f"run {TINY} --seeds 0:3 --workers 0")
    command = f"robustbook run {TINY} --seeds 0:3 --workers 0"
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        f"robustbook: stopped; finished results are kept, and this continues from there: {command}"
    )
    (project / "at-measure 1").unlink()
    assert cli(command.partition(" ")[2]).exit_code == 0
    assert ran(project) == ["build", "measure 0", "measure 1", "measure 1", "measure 2"]


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(project: Path) -> None:
    """In a terminal Ctrl-C also reaches the worker processes, which must end without output."""
    (project / "at-measure 1").write_text("sleep")
    code = (
        "from robustbook import catalogue; from robustbook.cli import main; "
        f"catalogue.ITEMS = {{{TINY!r}: 'tiny_study'}}; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *shlex.split(f"run {TINY} --seeds 0:3 --workers 1")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while "measure 1" not in ran(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)  # returns when no worker holds the pipe
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("robustbook: stopped; finished results are kept")


def test_plan_knows_times_from_published_records(cli: Cli, project: Path) -> None:
    """A fresh clone has no store, but its records contain the times of calls."""
    assert "It is not known yet" in cli(f"plan {TINY} --profile paper").stdout
    cli(f"run {TINY} --workers 0")
    cli(f"publish {TINY} --profile quick")
    path = ledger.record_path(project / "book" / "records", "saturating", "tiny", "quick")
    record = ledger.read_record(path)
    known = dict.fromkeys(record.provenance["known_seconds"], 100.0)
    ledger.write_record(
        replace(record, provenance={"known_seconds": known}), project / "book" / "records"
    )
    result = cli(f"plan {TINY} --profile paper --workers 1 --store {project / 'empty'}")
    (measure,) = [line.split() for line in result.stdout.splitlines() if ":measure" in line]
    assert measure[1:4] == ["0", "0", "3"] and "5 min 00 s" in result.stdout
    assert cli(f"plan {TINY}").stdout.count(" with profile ") == 2  # no profile given: all of them


def test_plan_says_for_which_device_it_is(cli: Cli, project: Path) -> None:
    """Times on another machine's GPU are no estimate for this CPU, but can be requested by name."""
    cli(f"run {TINY} --device cpu --workers 0")
    cli(f"publish {TINY} --profile quick")
    path = ledger.record_path(project / "book" / "records", "saturating", "tiny", "quick")
    record = ledger.read_record(path)
    known = dict.fromkeys(record.provenance["known_seconds"], 100.0)
    gpu = {"known_seconds": known, "device": "cuda", "hardware": "NVIDIA H200"}
    ledger.write_record(replace(record, provenance=gpu), project / "book" / "records")
    line = f"plan {TINY} --profile paper --store {project / 'empty'}"
    cpu = cli(f"{line} --device cpu").stdout
    assert "It is not known yet" in cpu and "  Times are those of cpu.\n" in cpu
    there = cli(f"{line} --device h200").stdout
    assert "Remaining: 6 min 40 s of computing, about 6 min 40 s with 1 at a time." in there
    assert "  Times are those of NVIDIA H200.\n" in there
    refused = cli(f"{line} --device h100")
    assert refused.stderr == (
        'robustbook: device must be "auto", "cpu", "cuda", "cuda:N" or a GPU whose times are '
        "known (NVIDIA H200), got 'h100'\n"
    )


def test_plan_takes_no_hours_for_minutes(cli: Cli, tmp_path: Path, monkeypatch) -> None:
    """Times of narrow networks on small images must not be used for CIFAR-10's."""
    monkeypatch.undo()
    from robustbook.studies.deep_defense import table_1

    store = Store(tmp_path / "quick")
    quick = table_1.calls(table_1.Parameters(profile="quick"))  # type: ignore[call-arg]
    for call in graph(list(quick.values())).values():
        with store.lock(call):
            store.save(call, {}, seconds=1.0, provenance={"device": "cpu", "fingerprint": ""})
    result = CliRunner().invoke(
        main,
        [
            *("plan", "deep_defense/table-1", "--profile", "paper", "--seeds", "0:1"),
            *("--set", 'networks=["convnet","nin"]', "--store", str(store.path)),
            *("--device", "cpu"),
        ],
    )
    assert "It is not known yet how long the missing results will take." in result.stdout


def test_plan_counts_what_items_share_once(cli: Cli) -> None:
    """The sum over items would overestimate the time."""
    result = cli("plan --profile paper")
    assert result.stdout.startswith(f"{TINY}, {TINY}-too with profile paper:\n")
    (measure,) = [line.split() for line in result.stdout.splitlines() if ":measure" in line]
    assert measure[1:4] == ["0", "0", "3"]


def test_status(cli: Cli, project: Path) -> None:
    """It lists stored, stale and missing results, time and publication for each item and
    profile.
    """
    cli(f"run {TINY} --workers 0 --store {project / 'here'}")
    cli(f"publish {TINY} --profile quick --store {project / 'here'}")
    result = cli(f"status {TINY} --store {project / 'here'}")
    head, quick, paper, _, where = result.stdout.splitlines()
    assert head.split() == "item profile stored stale missing took published".split()
    item, profile, stored, stale, missing, *took, published = quick.split()
    assert [item, profile, stored, stale, missing] == [TINY, "quick", "2", "0", "0"]
    assert took == ["0.0", "s"] and published.startswith("20")
    assert paper.split() == [TINY, "paper", "2", "0", "2", "0.0", "s", "-"]
    assert where == f"Results are kept in {project / 'here'}"
    other = cli(f"status {TINY} --set height=4 --store {project / 'here'}")
    assert other.stdout.splitlines()[1].split()[2:5] == ["0", "0", "2"]
    for path in (project / "here").glob("??/*.json"):
        path.write_text("half")
    damaged = cli(f"status {TINY} --store {project / 'here'}").stdout
    assert "\n2 results damaged, to be computed again when needed\n" in damaged


def test_stale_results_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stale results may be published, but with a message."""
    cli(f"run {TINY} --workers 0")
    assert cli(f"publish {TINY} --profile quick").stderr == ""
    monkeypatch.setattr("robustbook.runs.planning.fingerprint", lambda *_: "newer")
    assert cli(f"status {TINY}").stdout.splitlines()[1].split()[2:5] == ["0", "2", "0"]
    warned = cli(f"publish {TINY} --profile quick")
    assert warned.stderr == f"robustbook: 2 results of {TINY} from older source code\n"
    assert warned.exit_code == 0


def test_publish_writes_what_the_ledger_then_shows(cli: Cli, project: Path) -> None:
    """The same results give the same bytes, so that a diff shows only changes."""
    cli(f"run {TINY} --profile paper --workers 0")
    result = cli(f"publish {TINY}")
    path = project / "book" / "records" / "saturating" / "tiny.paper.json"
    assert result.stdout == f"{TINY} with profile paper: 6 rows in {path}\n"
    first = path.read_bytes()
    cli(f"publish {TINY}")
    assert path.read_bytes() == first
    (shown, unrun) = json.loads(cli("ledger --json").stdout)
    assert shown["verdict"] == "reproduced" and shown["ours"] == pytest.approx(3.1)
    assert unrun["verdict"] == "not run"
    assert tuple(shown) == KEYS
    assert json.loads(cli(f"ledger {TINY} --json").stdout) == [shown]
    table = cli("ledger --item tiny").stdout
    assert "1 target numbers; 0 of them repeat a comparison." in table
    assert "measured number: 1 (1 reproduced)" in table


def test_records_that_cannot_be_written_are_named(cli: Cli, project: Path) -> None:
    cli(f"run {TINY} --workers 0")
    (project / "book" / "records").touch()
    result = cli(f"publish {TINY} --profile quick")
    words = f"{project / 'book' / 'records'} must be a folder that can be written to, got: "
    assert result.stderr.startswith(f"robustbook: {words}") and result.exit_code == 2


def test_publish_refuses_what_is_incomplete(cli: Cli, project: Path) -> None:
    """Otherwise one of two requested seeds would be published as if it were both."""
    cli(f"run {TINY} --workers 0")
    result = cli(f"publish {TINY} --profile quick --seeds 0,4")
    assert result.stderr == (
        f"robustbook: {TINY} with profile quick lacks 1 result; compute what is missing first: "
        f"robustbook run {TINY} --profile quick --seeds 0,4\n"
    )
    assert not (project / "book" / "records").exists()


def test_bench_hands_its_options_on(cli: Cli, project: Path, monkeypatch) -> None:
    """The benchmark checks its options, and its exit code is returned."""
    asked = []

    def start(command: list[str], cwd: Path) -> SimpleNamespace:
        asked.append((command, cwd))
        return SimpleNamespace(returncode=3)

    missing = cli("bench")
    assert missing.stderr.startswith("robustbook: bench must be run from a checkout")
    (project / "benchmarks").mkdir()
    (project / "benchmarks" / "attacks.py").touch()
    monkeypatch.setattr(subprocess, "run", start)
    assert cli("bench --data mnist --rounds 9").exit_code == 3
    options = ["-m", "benchmarks.attacks", "--data", "mnist", "--rounds", "9"]
    assert asked == [([sys.executable, *options], project)]
