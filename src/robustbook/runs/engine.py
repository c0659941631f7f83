"""Run the function calls of a graph whose results are not stored yet. The calls run in worker
processes, each one after the calls on which it depends.

On one machine the standard library's process pool is used; for a cluster see `cluster`. Processes
exchange results through files in the store. If this process or a worker is killed, only the
computations since the last checkpoint are lost. To resume, call `run` again.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from .calls import Call
from .execute import (
    WorkerLost,
    default_workers,
    execute,
    progress_of,
    raise_first,
    resolve_device,
    runs_on,
    status_line,
)
from .planning import estimates
from .progress import Bar, progress_bar, say
from .store import Done, Store

_SINGLE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LOOK_EVERY = 0.5  # seconds between two looks at the workers


def run(
    calls: Sequence[Call],
    *,
    store: Store | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Done]:
    """Return the results of the function calls, in the given order; results that are not stored are
    computed.

    ``store``: the folder with stored results; default `Store()`.
    ``workers``: the number of worker processes. The default is the value of the environment
        variable ROBUSTBOOK_WORKERS. If it is not set, the default is one per core or, on a GPU, one
        in total. With ``workers`` = 0 or ROBUSTBOOK_WORKERS = 1, the calls run in this process, one
        after the other.
    ``scheduler``: the address of a dask.distributed scheduler, such as "tcp://host:port". The calls
        then run on its workers, which must find the store under the same path.
    ``device``: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
    ``progress``: whether a progress bar is shown on stderr.

    Raises StepFailed if a function call raised an exception. Before that, the calls that are
    already running finish, and their results are stored. Raises WorkerLost if a worker process
    ended; the message gives the likely reason, for example that memory ran out, or that the calling
    script has no `if __name__ == "__main__":`. Raises OSError, before anything is run, if the
    folder with stored results is not writable.
    """
    for call in calls:
        if not isinstance(call, Call):
            raise TypeError(f"calls must be calls of steps, got {type(call).__name__} {call!r:.80}")
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    store = store or Store()
    if not scheduler:
        device = resolve_device(device)
        workers = default_workers(device) if workers is None else workers
    done: dict[str, Done] = {}
    missing = _missing(calls, store, done)
    if missing:
        store.check_writable()
        with progress_bar(len(missing), shown=progress) as bar:
            if scheduler:
                from .cluster import run_on_cluster

                run_on_cluster(missing, store, scheduler, device, bar)
            elif workers == 0:
                _run_here(missing, store, device, bar)
            else:
                _run_in_pool(missing, store, device, workers or 1, bar)
    return [done[c.key] if c.key in done else execute(c, store, device) for c in calls]


def _missing(calls: Sequence[Call], store: Store, done: dict[str, Done]) -> dict[str, Call]:
    """Return the function calls that must be run, as a dict from keys to calls. In the dict, each
    call comes after the calls on which it depends. Results of `calls` that are already stored are
    put into `done`.
    """
    missing: dict[str, Call] = {}
    wanted = {call.key for call in calls}
    stored: set[str] = set()

    def visit(call: Call) -> None:
        if call.key in missing or call.key in stored:
            return
        found = store.load(call)
        if found is None:
            for dependency in call.dependencies:
                visit(dependency)
            missing[call.key] = call
        else:
            stored.add(call.key)
            if call.key in wanted:
                done[call.key] = found

    for call in calls:
        visit(call)
    return missing


def _run_here(missing: dict[str, Call], store: Store, device: str, bar: Bar) -> None:
    def show(call: Call, at: int, total: int) -> None:
        say(bar, status_line(call, at / total if total else None))

    left = dict(missing)
    while left:
        ready = [c for c in left.values() if not {d.key for d in c.dependencies} & left.keys()]
        # Calls that another process is computing come last, because they may be stored by then.
        call = next((c for c in ready if not store.busy(c)), ready[0])
        del left[call.key]
        say(bar, status_line(call, None))
        execute(call, store, device, show)
        bar.update()


def _run_in_pool(
    missing: dict[str, Call], store: Store, device: str, workers: int, bar: Bar
) -> None:
    expected = estimates(list(missing.values()), store, device=runs_on(device))
    waiting = {
        key: {c.key for c in call.dependencies} & missing.keys() for key, call in missing.items()
    }
    # Calls of unknown duration come first, then the longest ones.
    order = sorted(waiting, key=lambda key: -expected.get(key, float("inf")))
    running: dict[Future[None], Call] = {}
    failures: list[BaseException] = []
    others, workers_seen = set(active_children()), set[BaseProcess]()
    size = min(workers, len(missing))
    try:
        with _pool(size) as pool:
            while True:
                ready = [key for key in order if key in waiting and not waiting[key]]
                for key in ready[: 0 if failures else size - len(running)]:
                    with _interrupts_held():
                        future = pool.submit(_work, missing[key], store.path, device)
                    running[future] = missing[key]
                    workers_seen |= set(active_children()) - others
                    del waiting[key]
                if not running:
                    break
                finished, _ = wait(running, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                for future in finished:
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise error
                    call = running.pop(future)
                    if error:
                        failures.append(error)
                        continue
                    bar.update()
                    for before in waiting.values():
                        before.discard(call.key)
                if not bar.disable:
                    shares = [status_line(c, progress_of(c, store)) for c in running.values()]
                    say(bar, ", ".join(shares))
    except BrokenProcessPool as error:
        worked = len(waiting) + len(running) < len(missing)
        raise _lost(list(running.values()), [w.exitcode for w in workers_seen], worked) from error
    raise_first(failures)


@contextmanager
def _pool(size: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of single-threaded worker processes, which end when the context is left."""
    context = get_context("spawn")
    # Workers end when this pipe is closed. The pipe also closes if this process is killed, so that
    # no worker remains.
    theirs, ours = context.Pipe(duplex=False)
    saved = {name: os.environ.get(name) for name in _SINGLE_THREAD}
    # Workers inherit the environment when they start; it must be set before they import torch.
    os.environ.update(dict.fromkeys(_SINGLE_THREAD, "1"))
    pool = ProcessPoolExecutor(size, context, initializer=_start_worker, initargs=(theirs,))
    try:
        yield pool
    except BrokenProcessPool:
        raise  # the pool then stops all its workers; their exit codes tell which worker ended first
    except BaseException:
        ours.close()  # after Ctrl-C, no further result is stored
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C in this context. Workers that are started in the context then ignore Ctrl-C
    while they import modules, and print no traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(engine: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles Ctrl-C

    def leave_with_the_engine() -> None:
        engine.poll(None)  # returns only when the pipe is closed
        os._exit(1)

    threading.Thread(target=leave_with_the_engine, daemon=True).start()


def _work(call: Call, path: Path, device: str) -> None:
    """Run a function call in a worker process and store its result."""
    execute(call, Store(path), device)


def _lost(calls: Sequence[Call], exits: Sequence[int | None], worked: bool) -> WorkerLost:
    """Return an error that explains why a worker ended, as far as the workers' exit codes show the
    reason. If a signal ended a worker, its exit code is minus the signal's number. Exit codes of
    SIGTERM are ignored: when one worker ends, the pool itself ends the others by SIGTERM.

    `worked`: whether a worker had already finished a function call.
    """
    signals = {-code for code in exits if code and code < 0} - {signal.SIGTERM}
    codes = {code for code in exits if code and code > 0}
    if codes and not signals and not worked:
        return WorkerLost(
            "the worker processes could not start: each imports the script that calls this, so "
            'the calls in the script must stand under `if __name__ == "__main__":`; or pass '
            "workers=0, which uses this process alone"
        )
    how = "ended"
    if signal.SIGKILL in signals:
        how = "was killed (out of memory?)"
    elif signals:
        how = f"was ended by {signal.Signals(min(signals)).name}"
    elif codes:
        how = f"ended with exit code {min(codes)}"
    names = ", ".join(sorted({call.step for call in calls}))
    return WorkerLost(
        f"a worker process {how} while these ran: {names}; what had finished is kept, run again "
        "to go on"
    )
