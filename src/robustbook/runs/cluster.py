"""Run a graph of calls on an existing dask.distributed cluster, the store on a shared file system.

Dask schedules, retries and moves the calls; results stay in the store. Each worker should have one
thread, for torch's number of threads belongs to the process.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .calls import Call, digest
from .execute import WorkerLost, execute, raise_first, status_line
from .store import Store


def run_on_cluster(
    missing: Mapping[str, Call], store: Store, scheduler: str, device: str, bar: "tqdm[None]"
) -> None:
    """Compute these calls on the workers of a scheduler; dependencies must come first.

    Args:
        scheduler: its address, "tcp://host:port".

    Raises:
        ModuleNotFoundError: dask.distributed is not installed.
        OSError: the scheduler does not answer, or its workers do not see the store.
        StepFailed: a step raised, twice.
        WorkerLost: a worker was lost again and again.
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
        # Another store or device under the same scheduler is other work.
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
                bar.set_postfix_str(status_line(call, None))
            elif future.status == "error":
                failure = future.exception()
                if isinstance(failure, KilledWorker):
                    failure = WorkerLost(
                        f"{call!r} has cost the cluster several workers (out of memory?); what "
                        "had finished is kept"
                    )
                if not failures:
                    # Those that run go on to their end and into the store; the others never start.
                    client.cancel([f for f in names if f.status == "pending"])
                # A call that waited for a failed one fails with the same words.
                if str(failure) not in map(str, failures):
                    failures.append(failure)
    raise_first(failures)


def _work(call: Call, path: Path, device: str, before: list[None]) -> None:
    """What a worker does; `before` is there to make it wait."""
    execute(call, Store(path), device)


def _check_shared(call: Call, store: Store) -> None:
    os.listdir(store.path)  # makes a network file system look again
    if store.peek(call) is None:
        raise OSError(
            f"a worker has finished {call!r}, but its result is not in the store {store.path}; "
            "the store must lie on a file system that the workers share, under the same path"
        )
