"""Interruptions of an engine neither lose nor change a result."""

import inspect
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
import sample_steps as s
import torch

from robustbook.runs import Call, Done, StepFailed, Store, WorkerLost, engine, run, runs_on
from robustbook.runs.execute import default_workers, resolve_device
from robustbook.runs.progress import progress_bar, say


def here(calls: list[Call], store: Store) -> list[Done]:
    return run(calls, store=store, workers=0, device="cpu", progress=False)


def lines(log: str) -> list[str]:
    return Path(log).read_text().splitlines() if Path(log).exists() else []


def assert_same(ours: list[Done], reference: list[Done]) -> None:
    for a, b in zip(ours, reference, strict=True):
        assert a.call.step == b.call.step
        assert str(a.values) == str(b.values)  # compared as text, because NaN != NaN
        assert a.tensors.keys() == b.tensors.keys()
        assert all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_results_are_right_in_order_and_each_computed_once(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    calls = s.study(log)
    done = here(calls, store)
    assert [d.call for d in done] == calls
    assert done[0].values["seeds"] == [0, 1] and done[-1].values["seeds"] == [0, 2, 4]
    noise = [torch.rand(1000, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    assert torch.equal(done[-1].tensors["noise"], (noise[0] + noise[2] + noise[4]) * 2)
    assert len(lines(log)) == 12
    assert_same(here(calls, store), done)
    assert here([*calls, calls[0]], store)[-1].call == calls[0]
    assert here([], store) == []
    assert len(lines(log)) == 12  # a second run computes nothing


def test_order_does_not_matter(tmp_path: Path, log: str) -> None:
    calls = s.study(log)
    reference = here(calls, Store(tmp_path / "a"))
    backwards = here(calls[::-1], Store(tmp_path / "b"))
    assert_same(backwards[::-1], reference)


def test_global_state_is_left_alone(tmp_path: Path, log: str) -> None:
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    environment = dict(os.environ)
    torch.set_num_threads(threads + 1)
    try:
        assert here([s.where()], Store(tmp_path))[0].values["threads"] == 1
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert dict(os.environ) == environment


def test_an_engine_killed_at_random_instants_loses_only_the_step_in_progress(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    calls = s.study(log, leaves=24, wait=0.04)
    reference = here(s.study(os.devnull, leaves=24), Store(tmp_path / "reference"))
    store = Store(tmp_path / "store")
    rng = random.Random(7)
    for _ in range(7):
        before = len(lines(log))
        process = child(s.engine, str(store.path), calls)
        # From this run's first step on, for up to three leaves: seven runs are not enough to
        # finish.
        wait_for(lambda n=before: len(lines(log)) > n)  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.12))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert_same(here(calls, store), reference)
    assert 48 < len(lines(log)) <= 48 + 7  # each kill cost at most one step
    assert not list((store.path / "scratch").glob("*"))


def test_two_engines_on_one_store_compute_each_call_once(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    """They have the same calls, in the same order (so they meet at each one) and in reverse."""
    store = Store(tmp_path / "store")
    calls = s.study(log, wait=0.03)
    engines = [child(s.engine, str(store.path), c) for c in (calls, calls, calls[::-1])]
    for process in engines:
        process.join(60)
        assert process.exitcode == 0
    assert len(lines(log)) == 12 and len(set(lines(log))) == 8
    assert_same(here(calls, store), here(s.study(os.devnull), Store(tmp_path / "reference")))


def test_what_another_process_computes_comes_last(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    """If two pages share a network, one trains it while the other does its own work."""
    store = Store(tmp_path / "store")
    shared, own = s.leaf(log, 0, wait=1.0), s.leaf(log, 1)
    holder = child(s.engine, str(store.path), [shared])
    wait_for(lambda: lines(log) == ["leaf 0"])
    assert store.busy(shared) and not store.busy(own)
    done = here([shared, own], store)
    holder.join(60)
    assert lines(log) == ["leaf 0", "leaf 1"], "computed once, and the other call meanwhile"
    assert [each.values["seed"] for each in done] == [0, 1]
    assert done[1].provenance["date"] <= done[0].provenance["date"]
    assert not store.busy(shared)


@pytest.mark.parametrize(("asked", "expected"), [("1", 0), ("3", 3)])
def test_the_environment_limits_the_workers(
    asked: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that run at the same time share the cores."""
    monkeypatch.setenv("ROBUSTBOOK_WORKERS", asked)
    assert default_workers("cpu") == default_workers("cuda") == expected


@pytest.mark.parametrize("asked", ["0", "-1", "all"])
def test_another_number_of_workers_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTBOOK_WORKERS", asked)
    with pytest.raises(ValueError, match="ROBUSTBOOK_WORKERS must be a number from 1, got"):
        default_workers("cpu")


def test_a_lock_dies_with_its_holder(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    store = Store(tmp_path / "store")
    call = s.leaf(log, 0, wait=0.2)
    holder = child(s.engine, str(store.path), [s.leaf(log, 0, wait=0.2)])
    wait_for(lambda: lines(log) == ["leaf 0"])
    waiting = child(s.engine, str(store.path), [call])
    time.sleep(0.05)
    holder.kill()
    waiting.join(30)
    assert waiting.exitcode == 0 and lines(log) == ["leaf 0"] * 2
    assert store.load(call) is not None


def test_a_killed_step_goes_on_from_its_checkpoint(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess]
) -> None:
    store = Store(tmp_path / "store")
    call = s.count(log, 40, 0.03)
    process = child(s.engine, str(store.path), [call])
    wait_for(lambda: "at 25" in lines(log))  # late enough that there is a progress note
    process.kill()
    process.join()
    assert (store.scratch(call) / "files" / "sum.txt").exists()
    (done,) = here([call], store)
    assert done.values == {"sum": 820, "device": "cpu"}
    resumed = [line for line in lines(log) if line.startswith("resumed at")]
    assert len(resumed) == 1 and int(resumed[0].split()[-1]) >= 24
    assert len(lines(log)) <= 42  # 40, the resumption, and perhaps one repeated step
    assert not store.scratch(call).exists()
    # The time of both runs: the second alone sleeps for at most 16 x 0.03 = 0.48 s.
    assert done.seconds > 0.9


def test_checkpoints_of_older_source_make_the_result_stale(tmp_path: Path, log: str) -> None:
    """Otherwise a result that is partly from older code would have the newer code's fingerprint."""
    store = Store(tmp_path / "store")
    call = s.count(log, 2, 0.0)
    folder = store.scratch(call)
    (folder / "files").mkdir(parents=True)
    state = '{"done": 1, "total": 2, "seconds": 5.0, "fingerprint": "older"}'
    (folder / "state.json").write_text(state)
    (folder / "files" / "sum.txt").write_text("1 1")
    (done,) = here([call], store)
    assert done.provenance["fingerprint"] == "older" and 5.0 < done.seconds < 6.0
    # Without a checkpoint there is no older work, and a damaged note is ignored.
    for number, text in enumerate((state, "{", "[]")):
        fresh = s.count(log, 3 + number, 0.0)
        (store.scratch(fresh) / "files").mkdir(parents=True)
        (store.scratch(fresh) / "state.json").write_text(text)
        assert here([fresh], store)[0].provenance["fingerprint"] not in ("older", "")


def test_a_failing_step_says_which_and_why(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(
        StepFailed, match=r"^ZeroDivisionError: seed 3 is not to.* \(in .*fail\(log=.*, seed=3\)"
    ) as caught:
        here([s.leaf(log, 0), s.fail(log, 3), s.leaf(log, 1)], store)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value._render_traceback_() == [f"StepFailed: {caught.value}"]  # in a notebook
    monkeypatch.setenv("ROBUSTBOOK_TRACEBACK", "1")
    assert "raise ZeroDivisionError" in "".join(caught.value._render_traceback_())
    assert store.load(s.leaf(log, 0)) is not None
    with pytest.raises(StepFailed, match="seed 3"):  # failures are not stored
        here([s.total(log, (s.fail(log, 3),))], store)
    assert lines(log).count("fail 3") == 2


def test_bad_arguments_are_refused_before_any_work(tmp_path: Path, log: str) -> None:
    leaf = s.leaf(log, 0)
    store = Store(tmp_path)
    with pytest.raises(TypeError, match="calls must be calls of steps, got Step"):
        # Unwrapped, because otherwise the type checker of these tests would raise first.
        inspect.unwrap(run)([leaf, s.leaf], store=store)
    with pytest.raises(ValueError, match="workers must be 0 or more, got -1"):
        run([leaf], store=store, workers=-1)
    for device in ("gpu", "cuda:99", "cuda:x", "mps", ""):
        with pytest.raises(ValueError, match=f'device must be "auto", .*, got {device!r}'):
            run([leaf], store=store, device=device)
    assert lines(log) == []
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_progress_is_shown_on_stderr_or_not_at_all(
    tmp_path: Path, log: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    store = Store(tmp_path / "store")
    here([s.leaf(log, 0)], store)
    assert capfd.readouterr() == ("", "")
    run([s.count(log, 3, 0.6)], store=store, workers=0, device="cpu")
    out, err = capfd.readouterr()
    assert out == "" and "1/1" in err and "count 33%" in err
    run([s.count(log, 3, 0.6)], store=store, workers=0, device="cpu")
    assert capfd.readouterr() == ("", "")  # without work there is no output


@pytest.mark.parametrize("terminal", [True, False])
def test_without_a_terminal_progress_is_written_at_the_start_and_the_end(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Papermill keeps each update of the progress bar in the notebook."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress_bar(20) as bar:
        for call in range(20):
            say(bar, f"call {call}")
            time.sleep(0.02)
            bar.update()
    updates = capfd.readouterr().err.strip("\r\n").split("\r")
    assert "20/20" in updates[-1] and "call 19" in updates[-1]
    assert len(updates) >= 4 if terminal else len(updates) == 2


# The tests below use real worker processes. There are few, because each imports torch for seconds.


@pytest.mark.slow
def test_workers_are_single_threaded_and_failures_spare_the_others(
    tmp_path: Path, log: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One graph has a failure while another step runs, a call that depends on it, and one that
    never starts.
    """
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # so that each progress is written
    store = Store(tmp_path / "store")
    beside, never = s.count(log, 20, 0.1), s.leaf(log, 5)
    calls = [s.where(), beside, s.total(log, (s.fail(log, 1),)), *(s.fail(log, i) for i in (2, 3))]
    environment = dict(os.environ)
    with pytest.raises(
        StepFailed, match=r"^ZeroDivisionError: .* \(in .*fail\(.*seed=1\)"
    ) as caught:
        run([*calls, never], store=store, workers=2, device="cpu")
    assert 'raise ZeroDivisionError(f"seed' in str(caught.value.__cause__)  # the line that failed
    assert store.load(beside) is not None and lines(log).count("at 20") == 1
    assert store.load(never) is None
    where = store.load(s.where())
    assert where is not None and where.values["pid"] != os.getpid()
    assert where.values["threads"] == 1 and where.values["environment"] == ["1"] * 3
    assert dict(os.environ) == environment
    assert "count " in capfd.readouterr().err  # progress from inside the worker


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence_and_a_rerun_goes_on(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    call = s.die(log, (s.leaf(log, 0),))
    killed = r"was killed \(out of memory\?\) while these ran: sample_steps:die; what had"
    with pytest.raises(WorkerLost, match=killed):
        run([call], store=store, workers=1, device="cpu", progress=False)
    assert here([call], store)[0].values["alive"]
    assert lines(log) == ["leaf 0", "die", "die"]


@pytest.mark.parametrize(
    ("exits", "worked", "words"),
    [
        ([-9, -15], True, "a worker process was killed (out of memory?) while these ran: "),
        ([None, -9], False, "a worker process was killed (out of memory?) while these ran: "),
        ([-11, -15, -15], False, "a worker process was ended by SIGSEGV while these ran: "),
        ([1, 1], False, "the worker processes could not start: each imports the script that "),
        ([3, -15], True, "a worker process ended with exit code 3 while these ran: "),
        ([-15, -15], True, "a worker process ended while these ran: "),
    ],
)
def test_exit_codes_tell_why_a_worker_was_lost(
    log: str, exits: list[int | None], worked: bool, words: str
) -> None:
    """A script that cannot be imported must not be reported as out of memory."""
    error = engine._lost([s.leaf(log, 0)], exits, worked)
    assert str(error).startswith(words)
    assert ("workers=0" in str(error)) == ("could not start" in words)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    """Workers import the script that started them; it is run as a file and from standard input."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(s.__file__).parent)!r})\n"
        "import sample_steps as s; from robustbook.runs import Store, run\n"
        f"run([s.plain(s.Recipe())], store=Store({str(tmp_path / 'store')!r}), workers=1, "
        "device='cpu', progress=False)\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    last = result.stderr.splitlines()[-1]
    assert "WorkerLost: the worker processes could not start" in last
    assert '`if __name__ == "__main__":`' in last and "workers=0" in last


def test_steps_compute_in_float32_on_one_thread_and_leave_settings_alone(tmp_path: Path) -> None:
    """The caller's settings do not matter, so a result depends on none of them."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before, threads = (flags[0].allow_tf32, flags[1].deterministic), torch.get_num_threads()
    try:
        flags[0].allow_tf32, flags[1].deterministic = True, False
        torch.set_flush_denormal(True)
        torch.set_num_threads(2)
        assert here([s.settings()], Store(tmp_path))[0].values == {
            "tf32": False,
            "deterministic": True,
            "flushed": False,
            "threads": 1,
        }
        assert (flags[0].allow_tf32, flags[1].deterministic) == (True, False)
        assert torch.tensor(1e-39) * 1 == 0 and torch.get_num_threads() == 2
    finally:
        torch.set_flush_denormal(False)
        flags[0].allow_tf32, flags[1].deterministic = before
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_steps_reuse_the_memory_they_freed(tmp_path: Path) -> None:
    """A tensor of 64 MiB has 16,384 pages of 4 KiB. By default the system fills them anew for each
    of the eight tensors. With the setting a tensor needs new memory only when a small block lies
    behind the one freed before it, which seldom happens in a new worker process.
    """
    (done,) = run([s.faults()], store=Store(tmp_path), workers=1, device="cpu", progress=False)
    assert done.values["faults"] < 4 * 16_384


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_engine_with_workers_leaves_none_behind(
    tmp_path: Path, log: str, child: Callable[..., BaseProcess], how: int
) -> None:
    """It is killed or interrupted while its workers are busy; orphans would hold locks and
    memory.
    """
    store = Store(tmp_path / "store")
    calls = s.study(log, wait=0.3)
    process = child(s.engine, str(store.path), calls, 1)
    wait_for(lambda: len(lines(log)) >= 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.kill(process.pid, how)  # type: ignore[arg-type]
    process.join(20)
    assert process.exitcode == (-9 if how == signal.SIGKILL else 1)
    gone, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    ran = len(lines(log))
    reference = here(s.study(os.devnull), Store(tmp_path / "reference"))
    assert_same(here(calls, store), reference)
    assert ran < 12 and len(lines(log)) <= 12 + 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_one_workers(tmp_path: Path, log: str) -> None:
    store = Store(tmp_path / "store")
    calls = [s.count(log, i, 0.0) for i in (1, 2)]
    done = run(calls, store=store, device="auto", progress=False)
    assert [d.values["device"] for d in done] == ["cuda"] * 2
    assert done[0].provenance["hardware"] == torch.cuda.get_device_name()
    assert {"cuda", "cudnn"} <= done[0].provenance.keys()
    assert store.devices() == {torch.cuda.get_device_name()} == {runs_on("auto")}
