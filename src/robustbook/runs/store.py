"""The store: results on disk, each under its call's key, that survive what may happen to them.

For a call with key `abc...` the folder `ab` holds `abc....safetensors` (only if there are tensors),
written first, and `abc....json` (call, values, seconds, provenance, and the hashes of the tensor
file and of itself), written last. A result is there when its JSON is. Each file is written under a
temporary name, flushed to the disk and renamed, so that a kill at any instant leaves either the
whole file or none. A file that was damaged later is set aside under a name that says so.
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
from filelock import BaseFileLock, FileLock
from torch import Tensor

from .calls import Call, canonical, digest


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


class _Damage(Exception):
    """Names the file and what is wrong with it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")


class Store:
    """Results in a folder, which is made when the first one is saved.

    Args:
        path: the folder; by default that in the environment variable `ROBUSTBOOK_STORE`, else
            `.robustbook` in the project's checkout, else `.robustbook` in the working directory.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path or os.environ.get("ROBUSTBOOK_STORE") or _default()).absolute()

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
                    self._set_aside(call, damage)
        return None

    def peek(self, call: Call) -> dict[str, Any] | None:
        """What the call's JSON says, or None; the tensor file is not read and nothing is moved."""
        try:
            meta = self._meta(call)
        except _Damage:
            return None
        there = meta is not None and (not meta["tensors"] or self._tensor_path(call).exists())
        return meta if there else None

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
        path = self._json_path(call)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in path.parent.glob(f"{call.key}.*.tmp"):
            left_by_a_kill.unlink()
        data = safetensors.torch.save(tensors) if tensors else b""
        if tensors:
            _write(self._tensor_path(call), data)
        meta = {
            "call": call.content,
            "kind": call.kind,
            "values": values,
            "tensors": hashlib.sha256(data).hexdigest() if tensors else None,
            "seconds": seconds,
            "provenance": provenance,
        }
        text = json.dumps({"sha256": digest(meta)} | meta, indent=1)
        _write(path, text.encode() + b"\n")

    def lock(self, call: Call) -> BaseFileLock:
        """The lock that whoever computes this call holds; it goes when its holder dies."""
        path = self._json_path(call).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        # One object per path and thread, so that `load` may take it again inside.
        return FileLock(path, is_singleton=True)

    def scratch(self, call: Call) -> Path:
        """The folder for what a call keeps while it runs; not made here."""
        return self.path / "scratch" / call.key

    def history(self) -> Iterator[tuple[str, dict[str, Any], str, float]]:
        """(step, arguments as JSON, kind, seconds) of every stored result, whole or not."""
        for path in sorted(self.path.glob("??/*.json")):
            try:
                meta = json.loads(path.read_bytes())
                call = meta["call"]
                yield call["step"], call["arguments"], meta["kind"], float(meta["seconds"])
            except (ValueError, TypeError, KeyError, FileNotFoundError):
                continue

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

    def _json_path(self, call: Call) -> Path:
        return self.path / call.key[:2] / f"{call.key}.json"

    def _tensor_path(self, call: Call) -> Path:
        return self._json_path(call).with_suffix(".safetensors")

    def _meta(self, call: Call) -> dict[str, Any] | None:
        path = self._json_path(call)
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
        if canonical(meta["call"]) != canonical(call.content):
            raise _Damage(path, "it holds another call's result")
        return meta

    def _read(self, call: Call) -> Done | None:
        meta = self._meta(call)
        if meta is None:
            return None
        tensors: dict[str, Tensor] = {}
        if meta["tensors"]:
            path = self._tensor_path(call)
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise _Damage(path, "missing") from None
            if hashlib.sha256(data).hexdigest() != meta["tensors"]:
                raise _Damage(path, "altered, it does not match its hash")
            tensors = safetensors.torch.load(data)
        return Done(call, meta["values"], tensors, meta["seconds"], meta["provenance"])

    def _set_aside(self, call: Call, damage: _Damage) -> None:
        moved = []
        # The JSON first: from then on, and whatever happens, there is no result.
        for path in (self._json_path(call), self._tensor_path(call)):
            if path.exists():
                aside = next(p for p in _numbered(path) if not p.exists())
                path.rename(aside)
                moved.append(aside.name)
        warnings.warn(
            f"{damage}; set aside as {' and '.join(moved)}, it will be computed again",
            DamagedResult,
            stacklevel=3,
        )


def _default() -> Path:
    checkout = Path(__file__).parents[3]  # <project>/src/robustbook/runs/store.py
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".robustbook"


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
