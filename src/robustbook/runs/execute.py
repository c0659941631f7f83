"""Run one call in this process: its dependencies first, under its lock, result into the store."""

import contextlib
import ctypes
import datetime
import json
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from robustbook.arithmetic import arithmetic

from .calls import Call, Step
from .source import fingerprint
from .store import Done, Store

Show = Callable[[Call, int, int], None]
_REPORT_EVERY = 0.5  # seconds


class RunFailed(RuntimeError):
    """A run came to no result; what had finished is kept."""

    @property
    def sentence(self) -> str:
        """What went wrong, and what else did beside it."""
        return ". ".join([str(self), *getattr(self, "__notes__", [])])

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone, as on the command line: if a training diverges with a
        reader's parameters, a traceback would not help. With ROBUSTBOOK_TRACEBACK=1 all of it."""
        if os.environ.get("ROBUSTBOOK_TRACEBACK"):
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self.sentence}"]


class StepFailed(RunFailed):
    """A step raised; the message has the original error, and the step with its arguments."""


class WorkerLost(RunFailed):
    """A worker process ended without an answer; finished results are kept."""


@dataclass(frozen=True)
class Context:
    """What the engine hands to a step that has a parameter `context`.

    Args:
        scratch: a folder for this call's checkpoints; it outlives a killed run and goes once the
            result is stored.
        device: "cpu", "cuda" or "cuda:N"; not part of the call's key.
        progress: to be called with (done, total) as often as one likes.
    """

    scratch: Path
    device: str
    progress: Callable[[int, int], None]


def execute(call: Call, store: Store, device: str, show: Show | None = None) -> Done:
    """The call's result, from the store where it is there, else computed and stored.

    Where another process is computing the same call, this waits for it and reads its result.

    Raises:
        StepFailed: the step raised, or its result could not be stored; from the original error.
    """
    done = store.load(call)
    if done is not None:
        return done
    results = {c: execute(c, store, device, show) for c in call.dependencies}
    with store.lock(call):
        done = store.load(call)
        if done is None:
            try:
                _compute(call, results, store, device, show)
            except Exception as error:
                # What went wrong first: the call may be long.
                raise StepFailed(f"{type(error).__name__}: {error} (in {call!r:.500})") from error
            done = store.load(call)
    if done is None:
        raise StepFailed(f"{call!r} was stored in {store.path} and is gone again")
    return done


def resolve_device(device: str) -> str:
    """The device that "auto" stands for here, CUDA where there is one; others are checked."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if there else "cpu"
    if device == "cpu" or (device == "cuda" and there):
        return device
    if device in [f"cuda:{i}" for i in range(there)]:
        return device
    raise ValueError(
        f'device must be "auto", "cpu", "cuda" or "cuda:N", got {device!r} '
        f"with {there} CUDA devices on this machine"
    )


def runs_on(device: str) -> str:
    """The name under which times are kept: "cpu", or that of the GPU that `device` means here."""
    device = resolve_device(device)
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def default_workers(device: str) -> int:
    """How many worker processes to use where nothing is said: as many as ROBUSTBOOK_WORKERS says,
    where 1 is this process alone (0); else one for each core this process may use; on a GPU one,
    which owns it."""
    asked = os.environ.get("ROBUSTBOOK_WORKERS", "")
    if asked:
        if not asked.isdecimal() or asked == "0":
            raise ValueError(f"ROBUSTBOOK_WORKERS must be a number from 1, got {asked!r}")
        return 0 if asked == "1" else int(asked)
    if device.startswith("cuda"):
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def status_line(call: Call, share: float | None) -> str:
    """For the progress bar: the step's function, and the share done if it is known."""
    name = call.step.rpartition(":")[2]
    return name if share is None else f"{name} {share:.0%}"


def progress_of(call: Call, store: Store) -> float | None:
    """The share of a running call that is done, in [0, 1], or None where it does not say."""
    state = _state(store.scratch(call))
    return state["done"] / state["total"] if state.get("total") else None


def _compute(
    call: Call, results: dict[Call, Done], store: Store, device: str, show: Show | None
) -> None:
    step = _step(call)
    device = resolve_device(device)
    folder = store.scratch(call)
    source = fingerprint(call.module, call.function)
    arguments = {name: _filled(value, results) for name, value in call.arguments.items()}
    before: dict[str, Any] = {"seconds": 0.0, "fingerprint": source}
    if step.wants_context:
        files = folder / "files"
        files.mkdir(parents=True, exist_ok=True)
        if any(files.iterdir()):
            # An earlier attempt left checkpoints: its time counts, and a result that is in part
            # the work of older source carries the older fingerprint.
            before |= _state(folder)
        arguments["context"] = Context(files, device, _reporter(call, folder, before, show))
    _keep_freed_memory()
    start = time.perf_counter()
    with _one_thread(), arithmetic(device):
        result = step.function(**arguments)
    seconds = before["seconds"] + time.perf_counter() - start
    provenance = _provenance(device) | {"fingerprint": before["fingerprint"]}
    store.save(call, result, seconds=seconds, provenance=provenance)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread inside, so that no result depends on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Let this process reuse its freed memory instead of returning it to the system.

    With glibc's defaults, each large tensor is new memory that the system first fills with zeros. A
    training step of Model A on STL-10 spends 28 % of its time on that.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc: nothing to do
        mallopt = ctypes.CDLL(None).mallopt
        mmap_max, trim_threshold = -4, -1
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def _step(call: Call) -> Step:
    found = getattr(import_module(call.module), call.function, None)
    if not isinstance(found, Step):
        raise LookupError(
            f"{call.function} must be a step at the top level of a module that worker processes "
            f"can import, got {call.module!r}; with workers=0 it runs in this process"
        )
    if found.version != call.version:
        raise LookupError(f"the call has version {call.version}, the source {found.version}")
    return found


def _filled(value: Any, results: dict[Call, Done]) -> Any:
    """The argument with each call's result in the place of the call."""
    if isinstance(value, Call):
        return results[value]
    if isinstance(value, tuple):
        return tuple(_filled(v, results) for v in value)
    return value


def _reporter(
    call: Call, folder: Path, before: dict[str, Any], show: Show | None
) -> Callable[[int, int], None]:
    """A progress function that leaves a note in the scratch folder, now and then."""
    start = last = time.perf_counter()

    def note(done: int, total: int) -> None:
        spent = before["seconds"] + time.perf_counter() - start
        state = {"done": done, "total": total, "seconds": spent}
        temporary = folder / "state.tmp"
        temporary.write_text(json.dumps(state | {"fingerprint": before["fingerprint"]}))
        os.replace(temporary, folder / "state.json")

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _REPORT_EVERY:
            last = now
            note(done, total)
            if show:
                show(call, done, total)

    note(0, 0)  # at once, so that the fingerprint is on record
    return progress


def _state(folder: Path) -> dict[str, Any]:
    """The note that a running or killed attempt has left; empty where there is no whole one."""
    with contextlib.suppress(OSError, ValueError):
        state = json.loads((folder / "state.json").read_text())
        if isinstance(state, dict) and {"done", "total", "seconds", "fingerprint"} <= state.keys():
            return state
    return {}


def _provenance(device: str) -> dict[str, str]:
    found = {"hardware": _processor()}
    if device.startswith("cuda"):
        found = {
            "hardware": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        }
    return found | {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "device": device,
    }


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def raise_first(failures: Sequence[BaseException]) -> None:
    """Raise the first failure, with the others noted on it; nothing where there is none."""
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"Beside it, {other}")
        raise failures[0]
