"""Results move between machines, and a published record grows by parts without loss."""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_parts
from click.testing import CliRunner, Result

from robustbook import catalogue, ledger, publishing
from robustbook.cli import commands, main
from robustbook.ledger import Conflict, Record
from robustbook.ledger.records import merge
from robustbook.ledger.targets import COLUMNS
from robustbook.runs import Store, execute, graph, plan, run
from robustbook.studies import items

TINY = "saturating/tiny"
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command line in a project whose only study is `tiny_parts`."""
    targets = tmp_path / "book" / "targets"
    targets.mkdir(parents=True)
    line = "saturating/tiny/height,Height,saturating,tiny,,height,none,3.0,printed,equal,2.5,1,"
    (targets / "one-targets.csv").write_text(",".join(COLUMNS) + f"\n{line}\n")
    monkeypatch.setattr(catalogue, "BOOK", tmp_path / "book")
    monkeypatch.setattr(catalogue, "ITEMS", {TINY: "tiny_parts"})
    monkeypatch.setattr(commands, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)

    def invoke(line: str) -> Result:
        return CliRunner().invoke(main, shlex.split(line), catch_exceptions=False)

    return invoke


@contextmanager
def on(hardware: str) -> Iterator[None]:
    """Make results that are computed inside name this GPU as their device."""
    with pytest.MonkeyPatch.context() as patch:
        usual = execute._provenance
        device = {"device": "cuda", "hardware": hardware, "cuda": "13.0"}
        patch.setattr(execute, "_provenance", lambda device_: usual(device_) | device)
        yield


def compute(store: str, seeds: str, *networks: str) -> str:
    """Compute a part into a store; return the options that select the part."""
    chosen = f" --set 'networks={json.dumps(networks)}'" if networks else ""
    options = f"{TINY} --profile paper --seeds {seeds}{chosen}"
    line = f"run {options} --device cpu --workers 0 --store {store}"
    result = CliRunner().invoke(main, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return options


def published(cli: Cli, line: str) -> dict:
    """Return the record after this command line, as JSON."""
    result = cli(f"publish {line}")
    assert result.exit_code == 0, result.stderr
    return json.loads(Path("book/records/saturating/tiny.paper.json").read_text())


def lines() -> list[str]:
    """Return the text of the record without its provenance."""
    whole = Path("book/records/saturating/tiny.paper.json").read_text()
    before, after = whole.split(' "provenance": {\n')
    return [before, after.split("\n },\n", 1)[1]]


# take and give


def test_a_record_made_of_two_stores_is_that_of_one(cli: Cli, tmp_path: Path) -> None:
    """The bytes are equal except for the provenance, which says where each part was computed."""
    one = published(cli, compute("one", "0:3") + " --store one")
    expected = lines()
    shutil.rmtree("book/records")
    compute("here", "0")
    with on("Some GPU"):
        there = compute("there", "1,2")
    given = cli(f"give parcel {there} --store there").stdout
    assert given.startswith("4 results, 0.0 MB, in ") and given.endswith("; 4 of them new\n")
    assert cli("take parcel --store here").stdout.startswith("4 results taken, 0 were there alr")
    two = published(cli, f"{TINY} --store here")
    assert lines() == expected
    parts = two["provenance"]["parts"]
    assert [part["of"] for part in parts] == [
        [{"seeds": [0], "networks": ["small", "middle"]}],
        [{"seeds": [1, 2], "networks": ["small", "middle"]}],
    ]
    assert parts[1]["hardware"] == "Some GPU" and parts[0]["device"] == "cpu"
    assert all(part["date"] and part["torch"] for part in parts)
    assert two["provenance"]["device"] == "cpu / cuda" and "parts" not in one["provenance"]
    # The seconds of trainings are known although their results were not copied.
    assert two["provenance"]["known_seconds"].keys() == one["provenance"]["known_seconds"].keys()


def test_no_weights_are_given_and_none_are_needed(cli: Cli) -> None:
    """Run, plan and publish need only a result, not the results from which it was computed."""
    options = compute("there", "0:3")
    cli(f"give parcel {options} --store there")
    assert not list(Path("parcel").glob("**/*.safetensors"))
    files = [path for path in Path("parcel").glob("??/*") if path.suffix != ".lock"]
    assert {path.suffix for path in files} == {".json", ".elsewhere"}
    cli("take parcel --store here")
    parameters = tiny_parts.Parameters(profile="paper")  # type: ignore[call-arg]
    calls = list(tiny_parts.calls(parameters).values())
    here = Store("here")
    assert plan(calls, here).missing == 0
    assert [d.values for d in run(calls, store=here, workers=0, device="cpu", progress=False)]
    assert not list(Path("here").glob("**/*.safetensors"))
    assert cli(f"publish {options} --store here").exit_code == 0
    # The seconds of trainings are passed on, but do not count as a result.
    assert cli(f"give next {options} --store here").exit_code == 0
    training = next(call for call in graph(calls).values() if call.step.endswith("train"))
    assert here.load(training) is None and Store("next").known(training) is not None
    more = tiny_parts.measure(training, 9.0)
    assert plan([more], here).missing == 2


def test_taking_twice_changes_nothing(cli: Cli) -> None:
    compute("there", "0:2")
    assert cli("take there --store here").stdout.startswith("8 results taken, 0 were there")
    before = {path: path.read_bytes() for path in Path("here").glob("??/*")}
    assert cli("take there there --store here").stdout.startswith("0 results taken, 16 were there")
    assert {path: path.read_bytes() for path in Path("here").glob("??/*")} == before


@pytest.mark.filterwarnings("default::robustbook.runs.DamagedResult")
def test_nothing_of_this_store_is_replaced_but_damage(cli: Cli) -> None:
    """Another machine's last digits do not replace ours; an intact file replaces our damaged
    one.
    """
    compute("here", "0")
    shutil.copytree("here", "there")
    call = next(iter(tiny_parts.calls(tiny_parts.Parameters(profile="paper")).values()))  # type: ignore[call-arg]
    with Store("there").lock(call):
        Store("there").save(call, {"height": 9.0}, seconds=1.0, provenance={"device": "cpu"})
    cli("take there --store here")
    done = Store("here").load(call)
    assert done is not None and done.values["height"] < 9
    path = next(Path("here").glob(f"??/{call.key}.json"))
    path.write_text("half")
    result = cli("take there --store here")
    assert f"robustbook: {path.absolute()} is damaged: not JSON" in result.stderr
    assert result.stdout.startswith("1 result taken")
    done = Store("here").load(call)
    assert done is not None and done.values["height"] == 9


def test_what_is_damaged_or_foreign_is_named_and_the_rest_taken(cli: Cli) -> None:
    compute("there", "0:2")
    whole = sorted(Path("there").glob("??/*.json"))
    tensors = sorted(Path("there").glob("??/*.safetensors"))
    data = bytearray(tensors[0].read_bytes())
    data[-1] ^= 1
    tensors[0].write_bytes(data)  # a flipped bit
    tensors[1].unlink()
    measured = [path for path in whole if path.with_suffix(".safetensors") not in tensors]
    measured[0].write_text(measured[0].read_text().replace('"height": ', '"height": 1'))
    measured[1].rename(measured[1].with_name("0" * 64 + ".json"))
    Path("there/notes.json").write_text('{"a": 1}')
    Path("there/scratch/x").mkdir(parents=True)
    Path("there/scratch/x/state.json").write_text("{}")
    result = cli("take there --store here")
    assert result.exit_code == 1
    assert result.stdout.startswith("4 results taken, 0 were there already, 5 refused")
    said = result.stderr.splitlines()
    assert len(said) == 5 and all(line.startswith("robustbook: there/") for line in said)
    for file, words in {
        tensors[0]: "damaged: altered, it does not match its hash",
        tensors[1]: "damaged: missing",
        measured[0]: "damaged: altered, it does not match its own hash",
        Path("there/notes.json"): "no stored result",
        measured[1].with_name("0" * 64 + ".json"): "damaged: it has the result of another call",
    }.items():
        assert f"robustbook: {file} is {words}" in said
    assert len(list(Path("here").glob("??/*.json"))) == 4


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("nowhere", "got nowhere, which does not exist"),
        ("book", "got book, which has no result"),
    ],
)
def test_a_folder_without_results_is_refused(cli: Cli, folder: str, words: str) -> None:
    result = cli(f"take {folder} --store here")
    assert result.exit_code == 2 and not Path("here").exists()
    assert result.stderr.startswith("robustbook: folder must be a store or written by robustbook")
    assert result.stderr.endswith(f"{words}\n")


def test_giving_says_what_is_lacking(cli: Cli) -> None:
    compute("there", "0")
    result = cli(f"give parcel {TINY} --profile paper --store there")
    there = Path("there").absolute()
    assert result.stdout.splitlines()[1] == f"not in {there}: 4 results that were asked for"
    for path in Path("there").glob("??/*.json"):
        path.write_text("half")
    damaged = cli(f"give other {TINY} --profile paper --store there")
    assert damaged.stderr.endswith(f"is in the store {Path('there').absolute()}; damaged: 2\n")
    nothing = cli(f"give other {TINY} --seeds 7 --store there")
    assert nothing.exit_code == 2 and not Path("other").exists()
    assert nothing.stderr.startswith("robustbook: none of the 2 results that were asked for is in")


# publish


def test_parts_are_merged_without_the_results_of_the_others(cli: Cli) -> None:
    """Parts by network and by seed, from different machines, give the same record as one run."""
    published(cli, compute("one", "0:2", "small", "middle", "large") + " --store one")
    expected = lines()
    shutil.rmtree("book/records")
    published(cli, compute("a", "0:2", "small") + " --store a")
    with on("Some GPU"):
        second = compute("b", "0:2", "middle")
    published(cli, second + " --store b")
    record = published(cli, compute("c", "0:2", "large") + " --store c")
    assert lines() == expected
    whole = [part["of"] for part in record["provenance"]["parts"]]
    assert whole == [[{"seeds": [0, 1], "networks": [n]}] for n in ("small", "middle", "large")]
    devices = [part["device"] for part in record["provenance"]["parts"]]
    assert devices == ["cpu", "cuda", "cpu"]
    assert publishing.known_seconds().keys() == {"cpu", "Some GPU"}
    assert len(publishing.known_seconds()["Some GPU"]) == 2
    assert published(cli, second + " --store b") == record  # a second time changes nothing
    # The kinds of calls in a record of parts are those of its parameters.
    parameters = tiny_parts.Parameters(**record["parameters"])
    kinds = {call.kind for call in graph(list(tiny_parts.calls(parameters).values())).values()}
    assert kinds == record["provenance"]["known_seconds"].keys()


def test_seeds_are_added_one_machine_after_another(cli: Cli) -> None:
    published(cli, compute("one", "0:4") + " --store one")
    expected = lines()
    shutil.rmtree("book/records")
    published(cli, compute("a", "0,2,3") + " --store a")
    record = published(cli, compute("b", "1") + " --store b")
    assert lines() == expected
    assert record["seeds"] == record["parameters"]["seeds"] == [0, 1, 2, 3]


def test_parts_need_not_be_all_seeds_of_all_networks(cli: Cli) -> None:
    """One network comes from a GPU seed by seed; the others have all five seeds."""
    published(cli, compute("a", "0:3") + " --store a")
    record = published(cli, compute("b", "1", "large") + " --store b")
    assert record["parameters"]["networks"] == ["small", "middle", "large"]
    seeds = {row["seed"] for row in record["rows"] if row.get("setting") == {"network": "large"}}
    assert seeds == {1} and len(record["rows"]) == 15 + 2
    assert record["provenance"]["parts"][1]["of"] == [{"seeds": [1], "networks": ["large"]}]


def test_a_part_is_added_once(cli: Cli) -> None:
    """One run of three seeds would have only two of the large network."""
    published(cli, compute("a", "0,1", "large") + " --store a")
    third = compute("b", "2", "large") + " --store b"
    record = published(cli, third)
    assert [part["of"][0]["seeds"] for part in record["provenance"]["parts"]] == [[0, 1], [2]]
    assert published(cli, third) == record


def test_a_study_without_parts_has_its_seeds() -> None:
    """Its cells are the seeds alone."""
    parts = [{"of": [{"seeds": [0, 1]}]}, {"of": [{"seeds": [2]}]}]
    record = Record("saturating", "tiny", "paper", {}, (0, 1, 2), (), {}, {"parts": parts})
    whole = SimpleNamespace(parts=dict)
    cells = publishing._published_cells(tiny_parts, whole, record)  # type: ignore[arg-type]
    assert cells == [(0, ()), (1, ()), (2, ())]


def test_parts_are_chosen_by_two_parameters(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record does not claim combinations that were not run, so these can still be added."""
    monkeypatch.setattr(catalogue, "ITEMS", {TINY: "tiny_grid"})

    def part(store: str, network: str, heights: str) -> dict:
        line = f"{TINY} --profile paper --seeds 0 --set 'networks=[\"{network}\"]'"
        line += f" --set 'heights={heights}' --store {store}"
        assert cli(f"run {line} --device cpu --workers 0").exit_code == 0
        return published(cli, line)

    part("a", "small", "[1.0]")
    part("b", "small", "[2.0]")
    three = part("c", "middle", "[1.0]")
    of = [part["of"] for part in three["provenance"]["parts"]]
    assert of == [
        [{"seeds": [0], "networks": [network], "heights": [height]}]
        for network, height in (("small", 1.0), ("small", 2.0), ("middle", 1.0))
    ]
    assert len(three["rows"]) == 3 and len(part("d", "middle", "[2.0]")["rows"]) == 4


def refused(cli: Cli, line: str, words: str) -> None:
    """Check that there is one sentence, and that the published record is unchanged."""
    path = Path("book/records/saturating/tiny.paper.json")
    before = path.read_bytes()
    result = cli(f"publish {line}")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert words in result.stderr and "--replace" in result.stderr
    assert path.read_bytes() == before
    assert cli(f"publish {line} --replace").exit_code == 0
    assert path.read_bytes() != before
    path.write_bytes(before)


def test_what_would_lose_or_contradict_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = compute("a", "0:2", "small") + " --store a"
    published(cli, options)
    usual = tiny_parts.condense

    def other(p, results):
        rows = usual(p, results).rows
        return replace(usual(p, results), rows=(replace(rows[0], value=9.5), *rows[1:]))

    monkeypatch.setattr(tiny_parts, "condense", other)
    words = "saturating/tiny/height at seed 0 is published as 3.92857 none and now 9.5 none"
    refused(cli, options, words)
    refused(cli, compute("b", "0", "small", "large") + " --store b", words)

    def fewer(p, results):
        return replace(usual(p, results), rows=usual(p, results).rows[1:])

    monkeypatch.setattr(tiny_parts, "condense", fewer)
    refused(cli, options, "saturating/tiny/height at seed 0 is published and would be lost")


def test_what_rests_on_several_parts_needs_them_all(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example is an array of means. If the study says that its arrays belong to the first seed,
    the published arrays stay.
    """
    usual = tiny_parts.condense

    def with_mean(p, results):
        mean = sum(done.values["height"] for done in results.values()) / len(results)
        return replace(usual(p, results), arrays={"mean": [mean]})

    monkeypatch.setattr(tiny_parts, "condense", with_mean)
    published(cli, compute("a", "0") + " --store a")
    refused(cli, compute("b", "1") + " --store b", "the array 'mean' is published with other")
    cli("take a --store b")
    assert published(cli, compute("b", "1") + " --store b")["seeds"] == [0, 1]
    shutil.rmtree("book/records")
    monkeypatch.setattr(tiny_parts, "FIRST_SEED", True, raising=False)
    arrays = published(cli, compute("c", "1") + " --store c")["arrays"]
    both = published(cli, compute("d", "2", "large", "small") + " --store d")
    assert both["seeds"] == [1, 2] and both["arrays"] == arrays
    refused(cli, compute("e", "0") + " --store e", "the array 'mean' is published with other")


@pytest.mark.filterwarnings("default::robustbook.runs.DamagedResult")
def test_publishing_computes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan reads no tensors, so only publishing finds one flipped bit in the weights."""
    options = compute("here", "0")
    usual, parameters = tiny_parts.calls, tiny_parts.Parameters(profile="paper")  # type: ignore[call-arg]
    trainings = {key: call.dependencies[0] for key, call in usual(parameters).items()}
    monkeypatch.setattr(tiny_parts, "calls", lambda p: {("small", 0): trainings["small", 0]})
    path = next(Path("here").glob(f"??/{trainings['small', 0].key}.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    result = cli(f"publish {options} --store here")
    assert result.exit_code != 0 and not Path("book/records").exists()
    assert result.stderr.startswith(f"robustbook: {path.absolute()} is damaged: altered")
    assert "is damaged or missing; compute it first" in result.stderr
    assert Store("here").load(trainings["small", 0]) is None


def test_another_setting_is_not_merged(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, a default may have changed since publication."""
    record = published(cli, compute("a", "0") + " --store a")
    path = Path("book/records/saturating/tiny.paper.json")
    path.write_text(path.read_text().replace('"height": 3,\n', '"height": 2,\n', 1))
    assert json.loads(path.read_text())["parameters"] != record["parameters"]
    refused(cli, compute("b", "1") + " --store b", "it is published with height 2.0, not 3.0")


@pytest.mark.parametrize(
    ("item", "first"),
    [
        ("deep_defense/table-1", (0, 2)),
        ("saturating/figure-1", (0,)),
        ("saturating/figure-4", (3, 4)),
        ("saturating/figure-6", (1,)),
    ],
)
def test_published_records_taken_apart_by_seeds_merge_to_themselves(
    item: str, first: tuple[int]
) -> None:
    """The rows keep the order of their study, including rows that only the first seed has."""
    path = ledger.record_path(catalogue.BOOK / "records", *item.split("/"), "paper")
    record = replace(ledger.read_record(path), arrays={})
    parts = [
        replace(record, rows=tuple(r for r in record.rows if (r.seed in first) == chosen))
        for chosen in (True, False)
    ]
    for one, other in (parts, parts[::-1]):
        rows, arrays = merge(one, other)
        assert rows == record.rows and arrays == {}


def test_merging_refuses_another_value() -> None:
    path = ledger.record_path(catalogue.BOOK / "records", "deep_defense", "figure-4", "paper")
    record = ledger.read_record(path)
    row = replace(record.rows[3], value=record.rows[3].value + 1)
    with pytest.raises(Conflict, match="is published as .* and now "):
        merge(record, replace(record, rows=(row,)))
    nearly = replace(record.rows[3], value=record.rows[3].value * (1 + 1e-8))
    assert merge(record, replace(record, rows=(nearly,)))[0] == record.rows


# The list of items


def test_the_list_says_what_the_studies_say() -> None:
    """It agrees in names and profiles, and each target of a record is measured by its item."""
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    for name, item in items.ITEMS.items():
        study = catalogue.study(name)
        assert name == f"{name.split('/')[0]}/{study.ITEM}" and item.module == study.__name__
        assert set(item.profiles) == study.Parameters.own_seeds.keys()
        for start in item.measures or ():
            paper = name.split("/")[0]
            own = [id_.partition("/")[2] for id_, t in targets.items() if t.paper == paper]
            assert any(id_.startswith(start) for id_ in own), start
    for record in ledger.read_records(catalogue.BOOK / "records"):
        answered = {row.target for row in record.rows} - {None}
        compared = {targets[target].partner for target in answered}
        # A study may measure the other number of an ordering at its own setting. Table 2 of Random
        # Self-Ensemble measures a number of Figure 6 too, with the same network.
        also = {"self-ensemble/text-3/clean-cost"} if record.item == "table-2" else set()
        for target in answered - compared - also:
            assert items.measured_by(target, record.paper) == f"{record.paper}/{record.item}"


@pytest.mark.parametrize(
    "name", ["deep_defense/anchors", "saturating/claims", "saturating/figure-6"]
)
def test_every_call_is_of_a_seed_and_a_part(name: str) -> None:
    """Otherwise the provenance of some results would be missing from a record's parts.

    This must hold if a network has fewer seeds than others, or if the first seed runs more calls.
    """
    study = catalogue.study(name)
    parameters = study.Parameters(profile="paper")
    cells = publishing._cells(study, parameters)
    found = {call for calls in cells.values() for call in calls}
    assert found == set(study.calls(parameters).values())
    assert name != "deep_defense/anchors" or len(cells) == 5 + 3  # LeNet has three seeds


def test_no_call_names_a_device_or_a_place() -> None:
    """So a result computed on one machine is found on every other."""
    study = catalogue.study("deep_defense/table-1")
    calls = graph(list(study.calls(study.Parameters(profile="quick")).values()))
    for call in calls.values():
        names = json.dumps(call.content)
        assert not {"device", "cuda", "cpu", "hardware", "/"} & set(names.split('"'))
