"""The same graph on a real local dask cluster of two processes."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_steps as s
from distributed import LocalCluster
from test_engine import assert_same, here, lines

from robustbook.runs import StepFailed, Store, run

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    )
    yield cluster.scheduler_address
    cluster.close(timeout=20)


def test_a_cluster_gives_the_same_results(tmp_path: Path, log: str, scheduler: str) -> None:
    store = Store(tmp_path / "store")
    calls = s.study(log)
    done = run(calls, store=store, scheduler=scheduler, device="cpu", progress=False)
    assert_same(done, here(s.study(os.devnull), Store(tmp_path / "reference")))
    assert len(lines(log)) == 12
    again = run(calls, store=store, scheduler=scheduler, device="cpu", progress=False)
    assert_same(again, done)
    assert len(lines(log)) == 12
    # Another store needs new results, even if dask remembers the old ones.
    run(calls[:1], store=Store(tmp_path / "b"), scheduler=scheduler, device="cpu", progress=False)
    assert len(lines(log)) == 15


def test_a_failure_on_a_cluster_says_which_and_why(
    tmp_path: Path, log: str, scheduler: str
) -> None:
    store = Store(tmp_path / "store")
    calls = [s.leaf(log, 0), s.total(log, (s.fail(log, 1), s.leaf(log, 0)))]
    with pytest.raises(StepFailed, match=r"^ZeroDivisionError: .* \(in .*fail\(.*seed=1\)"):
        run(calls, store=store, scheduler=scheduler, device="cpu", progress=False)
    assert lines(log).count("fail 1") == 2  # one retry


def test_a_worker_lost_costs_one_retry(tmp_path: Path, log: str, scheduler: str) -> None:
    store = Store(tmp_path / "store")
    (done,) = run([s.die(log)], store=store, scheduler=scheduler, device="cpu", progress=False)
    assert done.values["alive"] and lines(log) == ["die", "die"]


def test_without_dask_the_extra_is_named(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'robustbook\[cluster\]'"):
        run([s.leaf(log, 0)], store=Store(tmp_path), scheduler="tcp://127.0.0.1:1", progress=False)
