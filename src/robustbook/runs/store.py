"""Store the result of each function call in files whose name is a hash of the call (its key).

The result of a function call with key `abc...` has two files in the folder `ab`. The file
`abc....safetensors` has the tensors, if there are any, and is written first. Then comes
`abc....json`. The JSON file contains the function call, the values of the result that are not
tensors, the run time in seconds, the hashes of both files, and the provenance (versions, device and
date). A result counts as stored if its JSON file exists. Each file is written under a temporary
name, flushed to disk and renamed, so an interruption never leaves an incomplete file. A damaged
file is renamed when its result is loaded.

The files can be copied between machines, because the key of a function call depends neither on the
machine nor on the device. A result may be copied without the results on which it depends. For each
result that was not copied, a file `abc....elsewhere`, called a note, states the seconds and the
provenance (see `Store.give`).
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

from robustbook.files import set_aside, write_whole

from .calls import Call, canonical, digest, graph

_START = Path.cwd()
"""The folder in which this process started, from which a relative path in ROBUSTBOOK_STORE is
resolved.
"""
_BUSY = 5.0  # seconds to wait for the lock of a result that is to be copied
_ELSEWHERE = ".elsewhere"
_OF_A_NOTE = ("call", "kind", "seconds", "provenance")
_FIELDS = {"call", "kind", "values", "tensors", "seconds", "provenance"}


def store_path(path: Path | str | None = None) -> Path:
    """Return the absolute path of the folder in which results are stored.

    The folder is `path` if given, else the value of the environment variable `ROBUSTBOOK_STORE`. If
    neither is given, it is `.robustbook` in the project's checkout or, without a checkout, in the
    folder where this process started. A relative path in the variable is relative to the folder
    where this process started. In `path` and in the variable, `~` stands for the home folder.
    """
    if path:
        return Path(path).expanduser().absolute()
    named = os.environ.get("ROBUSTBOOK_STORE")
    return _START / (Path(named).expanduser() if named else _default())


def _default() -> Path:
    checkout = Path(__file__).parents[3]  # <project>/src/robustbook/runs/store.py
    return (checkout if (checkout / "pyproject.toml").exists() else _START) / ".robustbook"


if os.environ.get("ROBUSTBOOK_STORE"):
    # The path is absolute, because child processes may start in other folders.
    os.environ["ROBUSTBOOK_STORE"] = str(store_path())


@dataclass(frozen=True, eq=False)
class Done:
    """The stored result of a function call.

    ``values``: the returned values other than tensors: None, bools, numbers, strings, lists, dicts.
    ``tensors``: the returned tensors, on the CPU.
    ``seconds``: the run time. If the call was interrupted and resumed, its run time is the sum over
        all attempts.
    ``provenance``: versions, device, processor, date, and the hash of the source code (its
        fingerprint).
    """

    call: Call
    values: dict[str, Any]
    tensors: dict[str, Tensor]
    seconds: float
    provenance: dict[str, str]


class DamagedResult(UserWarning):
    """The warning about a damaged result file. The file was renamed, so its result is missing and
    will be computed again.
    """


class Refused(ValueError):
    """The error for a file of another machine's store that is not a valid result. The message names
    the file.
    """


class _Damage(Exception):
    """The error for a damaged file, which names the file and the problem."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")


class Store:
    """A folder with stored results, which is created when the first result is saved.

    ``path``: the folder; default `store_path()`.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = store_path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def load(self, call: Call) -> Done | None:
        """Return the stored result of the function call after checking its hashes, or None if there
        is none.

        Damaged files are renamed, with a `DamagedResult` warning that names them.
        """
        try:
            return self._read(call)
        except _Damage:
            self.check_writable()
            # Check again while holding the lock, because another process may have replaced the file
            # meanwhile.
            with self.lock(call):
                try:
                    return self._read(call)
                except _Damage as damage:
                    _set_aside(self._json_path(call.key), damage)
        return None

    def peek(self, call: Call) -> dict[str, Any] | None:
        """Return the content of the JSON file of the function call. Return None if there is no
        valid JSON file, or if the file of the tensors is missing. Unlike `load`, this method reads
        no tensors and renames no damaged file.
        """
        try:
            meta = self._meta(call)
        except _Damage:
            return None
        tensors = _tensor_path(self._json_path(call.key))
        there = meta is not None and (not meta["tensors"] or tensors.exists())
        return meta if there else None

    def damaged(self, call: Call) -> bool:
        """Return whether there are files of the function call, but no valid result as in `peek`."""
        return self.peek(call) is None and self._json_path(call.key).exists()

    def known(self, call: Call) -> dict[str, Any] | None:
        """Return the seconds, the kind (`Call.kind`) and the provenance of a function call. If the
        result of the call is not stored, the three values are read from a note (see `give`).
        """
        return self.peek(call) or _note(self._json_path(call.key).with_suffix(_ELSEWHERE))

    def save(
        self,
        call: Call,
        result: Mapping[str, object],
        *,
        seconds: float,
        provenance: dict[str, str],
    ) -> None:
        """Store the result of a function call, whose lock the caller must hold (see `lock`).

        Raises TypeError if the result is not a dict of tensors and JSON values. Raises OSError if
        the result could not be written; then nothing is stored.
        """
        values, tensors = _split(result)
        path = self._json_path(call.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in (path, _tensor_path(path)):
            for left_by_a_kill in path.parent.glob(f".{file.name}.*"):
                left_by_a_kill.unlink()
        data = safetensors.torch.save(tensors) if tensors else b""
        if tensors:
            write_whole(_tensor_path(path), data)
        meta = {
            "call": call.content,
            "kind": call.kind,
            "values": values,
            "tensors": hashlib.sha256(data).hexdigest() if tensors else None,
            "seconds": seconds,
            "provenance": provenance,
        }
        write_whole(path, _signed(meta))

    def take(self, file: Path) -> bool:
        """Copy a result from another machine's store. Return False if this store already has the
        result.

        Results in this store are not replaced, unless they are damaged; a damaged result is renamed
        first.

        ``file``: the JSON file of the result; the tensor file is in the same folder.

        Raises Refused if a file is damaged or is not a result, or if this machine is computing the
        same function call at the moment.
        """
        return self._copy(file)[1]

    def take_note(self, file: Path) -> None:
        """Copy a note, which states the seconds and the provenance of a function call whose result
        was not copied (see `give`). A damaged note is skipped.
        """
        note = _note(file)
        if note is not None:
            path = self._json_path(digest(note["call"])).with_suffix(_ELSEWHERE)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, _signed(note))

    def give(self, call: Call, other: "Store") -> tuple[int, bool]:
        """Copy the result of the function call to another store. Return the size of the result in
        bytes, and whether it is new in the other store.

        The results on which this result depends are not copied. For each of them, the other store
        gets a note with the seconds and the provenance. So a record that is made from the other
        store can state the seconds and the provenance of all function calls.

        Raises Refused if a file is damaged, or if there is no result.
        """
        size, new = other._copy(self._json_path(call.key))
        for below in graph(call.dependencies).values():
            path = other._json_path(below.key).with_suffix(_ELSEWHERE)
            known = None if path.exists() else self.known(below)
            if known is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, _signed({name: known[name] for name in _OF_A_NOTE}))
        return size, new

    def lock(self, call: Call) -> BaseFileLock:
        """Return the lock for computing this function call. The lock is released when the process
        that holds it ends.
        """
        return self._lock(call.key)

    def busy(self, call: Call) -> bool:
        """Return whether another process is computing this function call now."""
        try:
            with self.lock(call).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _lock(self, key: str) -> BaseFileLock:
        path = self._json_path(key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        # One lock object per path and thread, so that `load` can acquire the lock recursively.
        return FileLock(path, is_singleton=True)

    def scratch(self, call: Call) -> Path:
        """Return the path of the folder for the checkpoints of a function call; the folder is not
        created.
        """
        return self.path / "scratch" / call.key

    def history(self) -> Iterator[dict[str, Any]]:
        """Yield one dict for each stored result and for each note (see `give`). The dict has the
        entries `call`, `kind`, `seconds` and `provenance`. Tensor files are not checked.
        """
        for path in sorted([*self.path.glob("??/*.json"), *self.path.glob(f"??/*{_ELSEWHERE}")]):
            if path.suffix == _ELSEWHERE and path.with_suffix(".json").exists():
                continue
            try:
                meta = json.loads(path.read_bytes())
                found = {name: meta[name] for name in _OF_A_NOTE}
                found["seconds"] = float(found["seconds"])
            except (ValueError, RecursionError, TypeError, KeyError, OSError):
                continue
            yield found

    def devices(self) -> set[str]:
        """Return the devices on which the stored results were computed: "cpu" and names of GPUs."""
        return {ran_on(done["provenance"]) for done in self.history()}

    def check_writable(self) -> None:
        """Raise OSError if the folder is not writable. A check before a long run avoids a failure
        at the end of the run.
        """
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
            raise _Damage(path, "is damaged: it has the result of another call")
        return meta

    def _read(self, call: Call) -> Done | None:
        meta = self._meta(call)
        if meta is None:
            return None
        data = _tensors(self._json_path(call.key), meta)
        tensors = safetensors.torch.load(data) if data else {}
        return Done(call, meta["values"], tensors, meta["seconds"], meta["provenance"])

    def _copy(self, file: Path) -> tuple[int, bool]:
        """Copy a result from another store into this store. Return the size of the result in bytes,
        and whether it is new in this store.
        """
        key, text, data = _to_copy(file)
        try:
            with self._lock(key).acquire(timeout=_BUSY):
                return len(text) + len(data), self._add(key, text, data)
        except Timeout:
            raise Refused(
                f"{file} is not copied: its call is being computed in {self.path}"
            ) from None

    def _add(self, key: str, text: bytes, data: bytes) -> bool:
        """Write a result and return True. If the store already has a valid result of the call,
        return False. A damaged result of the same function call is renamed first.
        """
        path = self._json_path(key)
        try:
            if _whole(path) is not None:
                return False
        except _Damage as damage:
            _set_aside(path, damage, "the copied result replaces it")
        path.parent.mkdir(parents=True, exist_ok=True)
        if data:
            write_whole(_tensor_path(path), data)
        write_whole(path, text)
        return True


def ran_on(provenance: Mapping[str, Any]) -> str:
    """Return the device that a provenance names, such as "cpu" or the name of a GPU. A single
    result is computed on one device, but the results in a record may come from several.
    """
    device = str(provenance.get("device", "cpu"))
    return str(provenance.get("hardware", "")) if device.startswith("cuda") else device


def _tensor_path(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _signed(meta: Mapping[str, Any]) -> bytes:
    """Return the data as JSON text that includes the hash of the data."""
    return json.dumps({"sha256": digest(meta)} | dict(meta), indent=1).encode() + b"\n"


def _checked(path: Path) -> dict[str, Any] | None:
    """Return the content of a result's JSON file, or None if the file does not exist. Raise _Damage
    if the hash in the file is wrong.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        raise _Damage(path, "is damaged: it is a folder") from None
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Damage(path, f"is damaged: not JSON ({error})") from None
    if not isinstance(meta, dict) or "sha256" not in meta:
        raise _Damage(path, "is no stored result")
    if meta.pop("sha256") != digest(meta):
        raise _Damage(path, "is damaged: altered, it does not match its own hash")
    if not _FIELDS <= meta.keys():
        raise _Damage(path, "is damaged: it lacks fields of a result")
    return meta


def _tensors(path: Path, meta: Mapping[str, Any]) -> bytes:
    """Return the bytes of a result's tensor file; raise _Damage if the hash is wrong."""
    if not meta["tensors"]:
        return b""
    path = _tensor_path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _Damage(path, "is damaged: missing") from None
    if hashlib.sha256(data).hexdigest() != meta["tensors"]:
        raise _Damage(path, "is damaged: altered, it does not match its hash")
    return data


def _whole(path: Path) -> tuple[str, bytes, bytes] | None:
    """Return a result's key and the bytes of its two files, or None if there is no result. Raise
    _Damage if a file is damaged.
    """
    meta = _checked(path)
    if meta is None:
        return None
    key = digest(meta["call"])
    if path.stem != key:
        raise _Damage(path, "is damaged: it has the result of another call")
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
    """Return the content of a note: the seconds and the provenance of a function call. Return None
    if the file is not a valid note.
    """
    try:
        note = json.loads(file.read_bytes())
        if note.pop("sha256") == digest(note) and note.keys() == set(_OF_A_NOTE):
            return dict(note)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    return None


def _set_aside(path: Path, damage: _Damage, then: str = "it will be computed again") -> None:
    moved = []
    # The JSON is moved first, because a result without JSON does not exist.
    for file in (path, _tensor_path(path)):
        if file.exists():
            moved.append(set_aside(file).name)
    warnings.warn(
        f"{damage}; set aside as {' and '.join(moved)}, {then}", DamagedResult, stacklevel=4
    )


def _split(result: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Split a step's result into JSON values and tensors."""
    if not isinstance(result, Mapping) or not all(isinstance(name, str) for name in result):
        raise TypeError(f"a step must return a dict with str keys, got {result!r:.80}")
    values = {}
    tensors = {}
    for name, value in result.items():
        if isinstance(value, Tensor):
            # Copy the tensors, because safetensors rejects tensors that share memory.
            tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        else:
            _check_jsonable(value, name)
            values[name] = value
    return values, tensors


def _check_jsonable(value: object, name: str) -> None:
    # NaN and infinities are allowed, because Python's JSON supports them.
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
