"""Run a graph of function calls on a dask.distributed cluster, whose workers share the file system
with the stored results.

Dask schedules and retries the function calls, and each result is written to the store of results.
Each worker should have one thread, because torch's number of threads is a setting of the whole
process.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .calls import Call, digest
from .execute import WorkerLost, execute, raise_first, status_line
from .progress import Bar, say
from .store import Store


def run_on_cluster(
    missing: Mapping[str, Call], store: Store, scheduler: str, device: str, bar: Bar
) -> None:
    """Run the function calls in ``missing`` on the workers of a dask scheduler; each call must come
    after the calls on which it depends.

    ``scheduler``: the address of the scheduler, such as "tcp://host:port".

    Each call is attempted up to twice. Raises StepFailed if a call raised an exception in both
    attempts, and WorkerLost if several workers died while running the same call. Raises
    ModuleNotFoundError if dask.distributed is not installed, and OSError if the scheduler does not
    respond or its workers cannot access the store of results.
    """
    try:
        from distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "scheduler needs dask.distributed: install robustbook with its extra `cluster` "
            "(pip install 'robustbook[cluster]')"
        ) from error
    failures: list[BaseException] = []
    with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        # The key contains store and device, so that runs on the same scheduler do not collide.
        place = digest([str(store.path), device])[:8]
        futures: dict[str, Any] = {}
        for key, call in missing.items():
            before = [futures[c.key] for c in call.dependencies if c.key in missing]
            futures[key] = client.submit(
                _work,
                call,
                store.path,
                device,
                before,
                key=f"{call.step}-{key}-{place}",
                pure=False,
                retries=1,
            )
        names = {future: missing[key] for key, future in futures.items()}
        for future in as_completed(names, loop=client.loop):  # type: ignore[no-untyped-call]
            call = names[future]
            if future.status == "finished":
                _check_shared(call, store)
                bar.update()
                say(bar, status_line(call, None))
            elif future.status == "error":
                failure = future.exception()
                if isinstance(failure, KilledWorker):
                    failure = WorkerLost(
                        f"{call!r} ended several workers of the cluster (out of memory?); "
                        "finished results are kept"
                    )
                if not failures:
                    # Running calls finish and are stored; pending calls are cancelled.
                    client.cancel([f for f in names if f.status == "pending"])
                # A call that depends on a failed call fails with the same message.
                if str(failure) not in map(str, failures):
                    failures.append(failure)
    raise_first(failures)


def _work(call: Call, path: Path, device: str, before: list[None]) -> None:
    """Run a function call on a worker of the cluster, and store its result. The argument `before`
    is not used here; it is passed so that dask first runs the calls on which this call depends.
    """
    execute(call, Store(path), device)


def _check_shared(call: Call, store: Store) -> None:
    os.listdir(store.path)  # refreshes the listing of a network file system
    if store.peek(call) is None:
        raise OSError(
            f"a worker has finished {call!r}, but its result is not in the store {store.path}; "
            "the store must be on a file system that all workers share, under the same path"
        )
