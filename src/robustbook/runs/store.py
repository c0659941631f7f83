"""The store: results on disk, each under its call's key.

For a call with key `abc...` the folder `ab` holds `abc....safetensors` (only if there are tensors),
written first, and `abc....json` (call, values, seconds, provenance, and the hashes of the tensor
file and of itself), written last. A result is there when its JSON is. Each file is written under a
temporary name, flushed to the disk and renamed, so that a kill at any instant leaves either the
whole file or none. A file that was damaged later is set aside under a name that says so.

Results travel between machines as these files. A call's key depends on neither machine nor device.
Where a result was given without those that it depends on, `abc....elsewhere` keeps the seconds and
the provenance of each of them (see `Store.give`).
"""

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from filelock import BaseFileLock, FileLock, Timeout
from torch import Tensor

from .calls import Call, canonical, digest

_START = Path.cwd()
"""Where this process started: a relative ROBUSTBOOK_STORE is meant from there."""
_BUSY = 5.0  # seconds to wait for the lock of a result that is to be taken
_ELSEWHERE = ".elsewhere"
_OF_A_NOTE = ("call", "kind", "seconds", "provenance")
_FIELDS = {"call", "kind", "values", "tensors", "seconds", "provenance"}


def store_path(path: Path | str | None = None) -> Path:
    """The folder of a store, absolute.

    `path` if it is given; else the environment variable `ROBUSTBOOK_STORE`, where a relative path
    starts at the folder in which this process started; else `.robustbook` in the project's
    checkout, or in the folder of the start where there is no checkout. `~` is the home folder.
    """
    if path:
        return Path(path).expanduser().absolute()
    named = os.environ.get("ROBUSTBOOK_STORE")
    return _START / (Path(named).expanduser() if named else _default())


def _default() -> Path:
    checkout = Path(__file__).parents[3]  # <project>/src/robustbook/runs/store.py
    return (checkout if (checkout / "pyproject.toml").exists() else _START) / ".robustbook"


if os.environ.get("ROBUSTBOOK_STORE"):
    # Once and for all: child processes may start in other folders.
    os.environ["ROBUSTBOOK_STORE"] = str(store_path())


@dataclass(frozen=True, eq=False)
class Done:
    """A call that has run.

    Args:
        values: what it returned, but for the tensors: None, bools, numbers, strings, lists, dicts.
        tensors: the tensors it returned, on the CPU.
        seconds: what it took, over all of its attempts where it went on from a checkpoint.
        provenance: versions, device, processor, date, and the fingerprint of the source.
    """

    call: Call
    values: dict[str, Any]
    tensors: dict[str, Tensor]
    seconds: float
    provenance: dict[str, str]


class DamagedResult(UserWarning):
    """A stored file was damaged; it has been set aside and its call will run again."""


class Refused(ValueError):
    """A file of another store that is no whole result; the sentence names it."""


class _Damage(Exception):
    """Names the file and what is wrong with it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")


class Store:
    """Results in a folder, which is made when the first one is saved.

    Args:
        path: the folder; by default the one that `store_path` names.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = store_path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def load(self, call: Call) -> Done | None:
        """The call's result, or None where there is none; checked against its hashes.

        Damaged files are set aside with a `DamagedResult` warning that names them.
        """
        try:
            return self._read(call)
        except _Damage:
            # Once more and under the lock, for by now another process may have mended it.
            with self.lock(call):
                try:
                    return self._read(call)
                except _Damage as damage:
                    _set_aside(self._json_path(call.key), damage)
        return None

    def peek(self, call: Call) -> dict[str, Any] | None:
        """What the call's JSON says, or None; the tensor file is not read and nothing is moved."""
        try:
            meta = self._meta(call)
        except _Damage:
            return None
        tensors = _tensor_path(self._json_path(call.key))
        there = meta is not None and (not meta["tensors"] or tensors.exists())
        return meta if there else None

    def known(self, call: Call) -> dict[str, Any] | None:
        """The seconds, kind and provenance of a call: of its result, or of one left elsewhere."""
        return self.peek(call) or _note(self._json_path(call.key).with_suffix(_ELSEWHERE))

    def save(
        self,
        call: Call,
        result: Mapping[str, object],
        *,
        seconds: float,
        provenance: dict[str, str],
    ) -> None:
        """Store what the call's function returned. To be called while holding the call's lock.

        Raises:
            TypeError: the result is not a dict of tensors and JSON-able values.
            OSError: it could not be written; nothing is stored then.
        """
        values, tensors = _split(result)
        path = self._json_path(call.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in path.parent.glob(f"{call.key}.*.tmp"):
            left_by_a_kill.unlink()
        data = safetensors.torch.save(tensors) if tensors else b""
        if tensors:
            _write(_tensor_path(path), data)
        meta = {
            "call": call.content,
            "kind": call.kind,
            "values": values,
            "tensors": hashlib.sha256(data).hexdigest() if tensors else None,
            "seconds": seconds,
            "provenance": provenance,
        }
        _write(path, _signed(meta))

    def take(self, file: Path) -> bool:
        """Copy a result that another store holds; False where this store has it already.

        Nothing of this store is replaced, but for a damaged result, which is set aside first.

        Args:
            file: the result's JSON; its tensors lie beside it.

        Raises:
            Refused: a file is damaged or no result, or the call is being computed here.
        """
        key, text, data = _to_copy(file)
        try:
            with self._lock(key).acquire(timeout=_BUSY):
                return self._add(key, text, data)
        except Timeout:
            raise Refused(f"{file} is not taken: its call is being computed here") from None

    def take_note(self, file: Path) -> None:
        """Copy the note of a result left elsewhere (see `give`); a damaged one is passed over."""
        note = _note(file)
        if note is not None:
            path = self._json_path(digest(note["call"])).with_suffix(_ELSEWHERE)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, _signed(note))

    def give(self, call: Call, other: "Store") -> tuple[int, bool]:
        """Copy the call's result into another store: its size in bytes, and whether it was new.

        What it depends on is not copied; a note keeps how long that took and where, so that a
        record made there can say so.

        Raises:
            Refused: a file is damaged, or there is no result.
        """
        key, text, data = _to_copy(self._json_path(call.key))
        new = other._add(key, text, data)
        self._give_notes(call, other)
        return len(text) + len(data), new

    def _give_notes(self, call: Call, other: "Store") -> None:
        for below in call.dependencies:
            path = other._json_path(below.key).with_suffix(_ELSEWHERE)
            known = None if path.exists() else self.known(below)
            if known is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, _signed({name: known[name] for name in _OF_A_NOTE}))
            self._give_notes(below, other)

    def lock(self, call: Call) -> BaseFileLock:
        """The lock that whoever computes this call holds; it goes when its holder dies."""
        return self._lock(call.key)

    def busy(self, call: Call) -> bool:
        """Whether somebody else is computing this call now."""
        try:
            with self.lock(call).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _lock(self, key: str) -> BaseFileLock:
        path = self._json_path(key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        # One object per path and thread, so that `load` may take it again inside.
        return FileLock(path, is_singleton=True)

    def scratch(self, call: Call) -> Path:
        """The folder for what a call keeps while it runs; not made here."""
        return self.path / "scratch" / call.key

    def history(self) -> Iterator[dict[str, Any]]:
        """`call`, `kind`, `seconds` and `provenance` of every stored result, whole or not, and of
        those left elsewhere."""
        for path in sorted([*self.path.glob("??/*.json"), *self.path.glob(f"??/*{_ELSEWHERE}")]):
            if path.suffix == _ELSEWHERE and path.with_suffix(".json").exists():
                continue
            try:
                meta = json.loads(path.read_bytes())
                found = {name: meta[name] for name in _OF_A_NOTE}
                found["seconds"] = float(found["seconds"])
            except (ValueError, TypeError, KeyError, FileNotFoundError):
                continue
            yield found

    def devices(self) -> set[str]:
        """On what the stored results were computed: "cpu", and names of GPUs."""
        return {ran_on(done["provenance"]) for done in self.history()}

    def check_writable(self) -> None:
        """Raise an OSError now rather than after hours, if nothing can be written here."""
        probe = self.path / f"probe.{uuid.uuid4().hex}.tmp"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"the store {self.path} must be a folder that can be written to (set "
                f"ROBUSTBOOK_STORE to choose another), got: {error}"
            ) from error

    def _json_path(self, key: str) -> Path:
        return self.path / key[:2] / f"{key}.json"

    def _meta(self, call: Call) -> dict[str, Any] | None:
        path = self._json_path(call.key)
        meta = _checked(path)
        if meta is not None and canonical(meta["call"]) != canonical(call.content):
            raise _Damage(path, "it holds another call's result")
        return meta

    def _read(self, call: Call) -> Done | None:
        meta = self._meta(call)
        if meta is None:
            return None
        data = _tensors(self._json_path(call.key), meta)
        tensors = safetensors.torch.load(data) if data else {}
        return Done(call, meta["values"], tensors, meta["seconds"], meta["provenance"])

    def _add(self, key: str, text: bytes, data: bytes) -> bool:
        """Write a whole result; False where there is one. A damaged one is set aside."""
        path = self._json_path(key)
        try:
            if _whole(path) is not None:
                return False
        except _Damage as damage:
            _set_aside(path, damage, "the one that is taken is in its place")
        path.parent.mkdir(parents=True, exist_ok=True)
        if data:
            _write(_tensor_path(path), data)
        _write(path, text)
        return True


def ran_on(provenance: Mapping[str, Any]) -> str:
    """The device of a result for which times are kept: "cpu" or a GPU's name. A record's provenance
    may name several."""
    device = str(provenance.get("device", "cpu"))
    return str(provenance.get("hardware", "")) if device.startswith("cuda") else device


def _tensor_path(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _signed(meta: Mapping[str, Any]) -> bytes:
    """As JSON, with its own hash."""
    return json.dumps({"sha256": digest(meta)} | dict(meta), indent=1).encode() + b"\n"


def _checked(path: Path) -> dict[str, Any] | None:
    """What a result's JSON says, or None where there is none; _Damage if its hash is wrong."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        meta = json.loads(text)
    except ValueError as error:
        raise _Damage(path, f"not JSON ({error})") from None
    if not isinstance(meta, dict) or meta.pop("sha256", None) != digest(meta):
        raise _Damage(path, "altered, it does not match its own hash")
    if not _FIELDS <= meta.keys():
        raise _Damage(path, "it is no result of a step")
    return meta


def _tensors(path: Path, meta: Mapping[str, Any]) -> bytes:
    """The bytes of the tensor file beside a result's JSON; _Damage if its hash is wrong."""
    if not meta["tensors"]:
        return b""
    path = _tensor_path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _Damage(path, "missing") from None
    if hashlib.sha256(data).hexdigest() != meta["tensors"]:
        raise _Damage(path, "altered, it does not match its hash")
    return data


def _whole(path: Path) -> tuple[str, bytes, bytes] | None:
    """The key of a result and the bytes of its two files; None where there is none, _Damage."""
    meta = _checked(path)
    if meta is None:
        return None
    key = digest(meta["call"])
    if path.stem != key:
        raise _Damage(path, "it holds another call's result")
    return key, path.read_bytes(), _tensors(path, meta)


def _to_copy(path: Path) -> tuple[str, bytes, bytes]:
    try:
        found = _whole(path)
    except _Damage as damage:
        raise Refused(str(damage)) from None
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    if found is None:
        raise Refused(f"{path} is missing")
    return found


def _note(file: Path) -> dict[str, Any] | None:
    """The note of a result left elsewhere; None where there is no whole one."""
    try:
        note = json.loads(file.read_bytes())
        if note.pop("sha256") == digest(note) and note.keys() == set(_OF_A_NOTE):
            return dict(note)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    return None


def _set_aside(path: Path, damage: _Damage, then: str = "it will be computed again") -> None:
    moved = []
    # The JSON first: from then on, and whatever happens, there is no result.
    for file in (path, _tensor_path(path)):
        if file.exists():
            aside = next(p for p in _numbered(file) if not p.exists())
            file.rename(aside)
            moved.append(aside.name)
    warnings.warn(
        f"{damage}; set aside as {' and '.join(moved)}, {then}", DamagedResult, stacklevel=4
    )


def _numbered(path: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield path.with_name(f"{path.name}.damaged-{number}")
        number += 1


def _write(path: Path, data: bytes) -> None:
    """All of the data under that name, on the disk, or nothing."""
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself is on the disk when its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _split(result: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON-able values and the tensors of what a step returned."""
    if not isinstance(result, Mapping) or not all(isinstance(name, str) for name in result):
        raise TypeError(f"a step must return a dict with str keys, got {result!r:.80}")
    values = {}
    tensors = {}
    for name, value in result.items():
        if isinstance(value, Tensor):
            # A copy, for safetensors refuses tensors that share memory.
            tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        else:
            _check_jsonable(value, name)
            values[name] = value
    return values, tensors


def _check_jsonable(value: object, name: str) -> None:
    # NaN and infinities pass: Python's JSON writes and reads them.
    if isinstance(value, list | tuple):
        for i, v in enumerate(value):
            _check_jsonable(v, f"{name}[{i}]")
    elif isinstance(value, dict) and all(isinstance(k, str) for k in value):
        for k, v in value.items():
            _check_jsonable(v, f"{name}.{k}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise TypeError(
            f"{name} in a step's result must be a tensor (at the top level only), None, a bool, a "
            f"number, a str, or a list or str-keyed dict of these, got {type(value).__name__}"
        )
