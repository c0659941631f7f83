"""A stored result is returned unchanged or not at all."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sample_steps as s
import torch

from robustbook.runs import DamagedResult, Done, Refused, StepFailed, Store, run, store_path
from robustbook.runs import store as store_module


def one(call: s.Call, store: Store) -> Done:
    return run([call], store=store, workers=0, device="cpu", progress=False)[0]


def files(store: Store, call: s.Call) -> tuple[Path, Path]:
    stem = store.path / call.key[:2] / call.key
    return stem.with_suffix(".json"), stem.with_suffix(".safetensors")


def test_values_and_tensors_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    call = s.give("good")
    for done in (one(call, store), store.load(call)):
        assert done is not None
        assert done.values == {
            "inf": math.inf,
            "tuple": [1, 2],
            "nested": {"x": [None, True, "s"]},
        }
        expected = s.give.function("good")
        for name in ("one", "same", "turned", "empty", "bool", "half"):
            assert torch.equal(done.tensors[name], expected[name])  # type: ignore[arg-type]
            assert done.tensors[name].dtype == expected[name].dtype  # type: ignore[attr-defined]
    assert math.isnan(one(s.leaf(os.devnull, 0), store).values["nan"])


def test_the_json_is_for_people_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    call = s.plain(s.Recipe(rate=0.25))
    done = one(call, store)
    meta = json.loads(files(store, call)[0].read_text())
    assert meta["call"]["arguments"]["recipe"] == {
        "Recipe": {"rate": 0.25, "widths": [4, 2], "weight": None}
    }
    assert not files(store, call)[1].exists()
    assert done.seconds >= 0
    assert done.provenance["device"] == "cpu"
    assert done.provenance["torch"] == torch.__version__
    assert {"date", "python", "numpy", "hardware", "fingerprint"} <= done.provenance.keys()


@pytest.mark.parametrize("what", ["set", "nested tensor", "int key"])
def test_a_result_that_cannot_be_stored_is_an_error(tmp_path: Path, what: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(StepFailed, match=r"a.* in a step's result must be a tensor.*give\(what="):
        one(s.give(what), store)
    assert store.load(s.give(what)) is None


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "bit": flip_a_bit,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n{}"),
    "other JSON": lambda path: path.write_text("[1, 2]"),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "no hash": lambda path: path.write_text('{"values": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["json", "tensors"])
def test_a_damaged_file_is_set_aside_and_computed_again(
    tmp_path: Path, log: str, which: str, damage: str
) -> None:
    store = Store(tmp_path / "store")
    call = s.leaf(log, 0)
    first = one(call, store)
    path = files(store, call)[which == "tensors"]
    DAMAGES[damage](path)
    damaged = path.read_bytes()
    words = "is (damaged: .*|no stored result); .* computed again"
    with pytest.warns(DamagedResult, match=f"{path} {words}"):
        again = one(call, store)
    assert torch.equal(again.tensors["noise"], first.tensors["noise"])
    assert path.with_name(path.name + ".damaged-1").read_bytes() == damaged
    assert Path(log).read_text() == "leaf 0\nleaf 0\n"
    DAMAGES[damage](path)  # files that were renamed before are kept
    with pytest.warns(DamagedResult):
        one(call, store)
    assert path.with_name(path.name + ".damaged-2").exists()


def test_a_folder_in_place_of_a_result_is_set_aside(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    call = s.leaf(log, 0)
    path = files(store, call)[0]
    path.mkdir(parents=True)
    assert list(store.history()) == [] and store.damaged(call)
    with pytest.warns(DamagedResult, match=f"{path} is damaged: it is a folder; .* again"):
        one(call, store)
    assert path.with_name(path.name + ".damaged-1").is_dir() and path.is_file()


def test_damage_in_a_store_that_cannot_be_written_to_is_an_error_of_the_store(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bare error would name a lock file."""
    store = Store(tmp_path / "store")
    call = s.leaf(log, 0)
    one(call, store)
    files(store, call)[0].write_text("half")
    assert store.damaged(call) and not store.damaged(s.leaf(log, 1))

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="^the store .* must be a folder that can be written to"):
        store.load(call)


def test_a_changed_number_does_not_pass(tmp_path: Path, log: str) -> None:
    """Valid JSON with a changed accuracy would put a wrong number on a page."""
    store = Store(tmp_path / "store")
    call = s.leaf(log, 7)
    one(call, store)
    path = files(store, call)[0]
    path.write_text(path.read_text().replace('"seed": 7,\n  "nan"', '"seed": 8,\n  "nan"'))
    assert '"seed": 8' in path.read_text()
    with pytest.warns(DamagedResult, match="its own hash"):
        assert one(call, store).values["seed"] == 7


def test_a_missing_tensor_file_is_damage(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    call = s.leaf(log, 0)
    one(call, store)
    files(store, call)[1].unlink()
    assert store.peek(call) is None
    with pytest.warns(DamagedResult, match="safetensors is damaged: missing"):
        one(call, store)
    assert store.load(call) is not None


def test_another_calls_file_does_not_pass(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    a, b = s.plain(s.Recipe(rate=0.1)), s.plain(s.Recipe(rate=0.2))
    one(a, store)
    files(store, b)[0].parent.mkdir(exist_ok=True)
    files(store, a)[0].rename(files(store, b)[0])
    with pytest.warns(DamagedResult, match="another call"):
        assert one(b, store).values["rate"] == 0.2


def test_a_damaged_dependency_is_mended_below_a_missing_call(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    one(s.leaf(log, 0), store)
    flip_a_bit(files(store, s.leaf(log, 0))[1])
    with pytest.warns(DamagedResult):
        done = one(s.total(log, (s.leaf(log, 0),)), store)
    assert torch.equal(done.tensors["noise"], one(s.leaf(log, 0), store).tensors["noise"])


def test_a_kill_at_any_instant_of_a_write_leaves_all_or_nothing(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    """There are four points for each of the two files. Then the step runs again, or a complete
    result is found.
    """
    call = s.leaf(log, 0)
    reference = one(call, Store(tmp_path / "whole")).tensors["noise"]
    for instant in range(9):
        store = Store(tmp_path / f"store{instant}")
        process = child(s.engine_that_dies, str(store.path), [call], instant)
        process.join(30)
        # The eighth point is after the last write, so no write was left out.
        assert process.exitcode == (-9 if instant < 8 else 0)
        json_file, tensor_file = files(store, call)
        assert (store.load(call) is not None) == json_file.exists()  # never damaged: no warning
        assert torch.equal(one(call, store).tensors["noise"], reference)
        assert {p.suffix for p in json_file.parent.iterdir()} == {".json", ".safetensors", ".lock"}


@pytest.mark.parametrize("limit", [0, 700, 4400])
def test_a_full_disk_is_an_error_and_leaves_nothing_half(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess], limit: int
) -> None:
    """The disk is full before the first byte, within the tensors, and after them."""
    store = Store(tmp_path / "store")
    call = s.leaf(os.devnull, 0)
    if limit == 4400:  # the tensors fit, the JSON does not
        call = s.leaf("/dev/" + "./" * 1900 + "null", 0)
    process = child(s.engine_short_of_disk, str(store.path), [call], limit)
    process.join(30)
    assert process.exitcode == 7
    json_file, tensor_file = files(store, call)
    left = {p.suffix for p in json_file.parent.iterdir()}
    assert left == ({".lock", ".safetensors"} if limit == 4400 else {".lock"})
    assert store.load(call) is None


def test_a_store_that_cannot_be_written_is_refused_before_any_step(
    tmp_path: Path, log: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="the store .*file/store must be a folder that can be writt"):
        one(s.leaf(log, 0), Store(tmp_path / "file" / "store"))
    assert not Path(log).exists()


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTBOOK_STORE", str(tmp_path / "mine"))
    assert Store().path == tmp_path / "mine"
    monkeypatch.delenv("ROBUSTBOOK_STORE")
    assert Store().path.name == ".robustbook" and Store().path.is_absolute()
    assert Store("x").path == Path.cwd() / "x"
    assert Store("~/x").path == Path.home() / "x"
    monkeypatch.setenv("ROBUSTBOOK_STORE", "~/mine")
    assert store_path() == Path.home() / "mine"


def test_a_relative_store_is_meant_from_where_the_process_started(tmp_path: Path) -> None:
    """This holds after a change of folder, and in a child process that starts in another folder."""
    (tmp_path / "elsewhere").mkdir()
    code = (
        "import os, subprocess, sys; from robustbook.runs import Store; os.chdir('elsewhere'); "
        "print(Store().path, flush=True); subprocess.run([sys.executable, '-c', sys.argv[1]])"
    )
    child = "from robustbook.runs import store_path; print(store_path())"
    environment = os.environ | {"ROBUSTBOOK_STORE": "res"}
    out = subprocess.run(
        [sys.executable, "-c", code, child],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.split() == [str(tmp_path / "res")] * 2


def test_a_note_outlives_saving_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving removes files that a killed process left half written, but no other's new note."""
    leaf = s.leaf(os.devnull, 0)
    here, there, parcel = (Store(tmp_path / name) for name in ("here", "there", "parcel"))
    top = s.total(os.devnull, (leaf,))
    for call in (leaf, top):
        here.save(call, {"x": 1}, seconds=1.0, provenance={})
    here.give(top, parcel)
    (note,) = parcel.path.glob("??/*.elsewhere")
    usual = os.fsync

    def save_meanwhile(file: int) -> None:
        monkeypatch.setattr(os, "fsync", usual)
        there.save(leaf, {"x": 1}, seconds=1.0, provenance={})

    monkeypatch.setattr(os, "fsync", save_meanwhile)
    there.take_note(note)
    assert next(there.path.glob("??/*.elsewhere")).name == note.name


def test_nothing_is_given_while_the_call_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BUSY", 0.1)
    call = s.leaf(os.devnull, 0)
    here, there = (Store(tmp_path / name) for name in ("here", "there"))
    here.save(call, {"x": 1}, seconds=1.0, provenance={})
    with there.lock(call), ThreadPoolExecutor(1) as pool:
        with pytest.raises(Refused, match="is being computed in .*there"):
            pool.submit(here.give, call, there).result()
    assert here.give(call, there)[1]
