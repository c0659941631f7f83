"""Run one function call in this process and store its result. Before that, run the function calls
whose results are its arguments. A lock ensures that no two processes run the same call.
"""

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
    """Raised if one or more function calls failed. Results that were already computed are kept."""

    @property
    def sentence(self) -> str:
        """Return the message of this failure, and of the run's other failures."""
        return ". ".join([str(self), *getattr(self, "__notes__", [])])

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows for this error: only the error message. A
        traceback would not help if, for example, a training diverges with a reader's parameters.
        With ROBUSTBOOK_TRACEBACK=1, return the full traceback.
        """
        if os.environ.get("ROBUSTBOOK_TRACEBACK"):
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self.sentence}"]


class StepFailed(RunFailed):
    """The error for a function call that raised an exception; the message has the original error
    and the arguments of the call.
    """


class WorkerLost(RunFailed):
    """The error for a worker process that ended without a result; results that were already
    computed are kept.
    """


@dataclass(frozen=True)
class Context:
    """The checkpoint folder, the device and the progress report that a function (step) receives as
    its argument `context`.

    ``scratch``: a folder for checkpoints of this function call. The folder remains after an
        interrupted run, and is deleted when the result is stored.
    ``device``: "cpu", "cuda" or "cuda:N". The device is not part of the key under which the result
        is stored.
    ``progress``: a function to report progress, which may be called at any time with (done, total).
    """

    scratch: Path
    device: str
    progress: Callable[[int, int], None]


def execute(call: Call, store: Store, device: str, show: Show | None = None) -> Done:
    """Return the result of the function call from the store; if it is not stored, compute and store
    it.

    If another process is running the same function call, wait until it has stored the result, and
    return this result.

    Raises StepFailed if the function raised an exception, or if its result could not be stored.
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
                # The message starts with the error, because the text of the call may be long.
                words = f"{type(error).__name__}: {error} (in {call!r:.500})"
                plain = getattr(error, "explains_itself", False)  # for example for DataError
                raise StepFailed(str(error) if plain else words) from error
            done = store.load(call)
    if done is None:
        raise StepFailed(f"{call!r} was stored in {store.path}, but its result is missing now")
    return done


def resolve_device(device: str) -> str:
    """Return the name of the device, after checking that the device exists. "auto" becomes CUDA if
    it is available, else the CPU.
    """
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
    """Return the name under which run times on this device are recorded: "cpu" or the name of the
    GPU.
    """
    device = resolve_device(device)
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def default_workers(device: str) -> int:
    """Return the default number of worker processes: the value of the environment variable
    ROBUSTBOOK_WORKERS. If it is not set, return one per available core or, on a GPU, one in total.
    With ROBUSTBOOK_WORKERS = 1 the result is 0: there are no worker processes, and this process
    runs the function calls itself.
    """
    asked = os.environ.get("ROBUSTBOOK_WORKERS", "")
    if asked:
        if not asked.isdecimal() or asked == "0":
            raise ValueError(f"ROBUSTBOOK_WORKERS must be a number from 1, got {asked!r}")
        return 0 if asked == "1" else int(asked)
    if device.startswith("cuda"):
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def status_line(call: Call, share: float | None) -> str:
    """Return the text of the progress bar: the name of the running function, and, if it is known,
    the fraction of its work that is done.
    """
    name = call.step.rpartition(":")[2]
    return name if share is None else f"{name} {share:.0%}"


def progress_of(call: Call, store: Store) -> float | None:
    """Return the completed fraction of a running function call, in [0, 1], or None if the fraction
    is unknown.
    """
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
            # An earlier attempt left checkpoints. Its time is added, and a result that was partly
            # computed by older source code gets the fingerprint of the older code.
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
    """Use one thread in this context, so that results do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Make this process reuse freed memory instead of returning it to the operating system.

    With glibc's defaults, the operating system fills new memory with zeros for each large tensor.
    In a training step of Model A on STL-10, this takes 28 % of the time.
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
    """Return the argument, with each function call in it replaced by its result."""
    if isinstance(value, Call):
        return results[value]
    if isinstance(value, tuple):
        return tuple(_filled(v, results) for v in value)
    return value


def _reporter(
    call: Call, folder: Path, before: dict[str, Any], show: Show | None
) -> Callable[[int, int], None]:
    """Return a function that reports the progress of a function call. While the call runs, its
    progress and the seconds so far are regularly written to a file in the checkpoint folder.
    """
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

    note(0, 0)  # immediately, to record the fingerprint
    return progress


def _state(folder: Path) -> dict[str, Any]:
    """Return the progress, the seconds and the fingerprint of a running or interrupted attempt,
    from a file in the folder of its checkpoints. Return an empty dict if there is no valid file.
    """
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
    """Return the processor's name, on Linux from /proc/cpuinfo."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def raise_first(failures: Sequence[BaseException]) -> None:
    """Raise the first failure, and add the messages of the other failures to this exception as
    notes, each message once. Do nothing if there is no failure.
    """
    if failures:
        for other in list(dict.fromkeys(map(str, failures)))[1:]:
            failures[0].add_note(f"Another call failed too: {other}")
        raise failures[0]
