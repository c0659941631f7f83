"""Small steps for the tests of the engine. Each run adds a line to the file `log`."""

import itertools
import os
import resource
import signal
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from robustbook import training
from robustbook.runs import Call, Context, Done, StepFailed, Store, run, step


@dataclass(frozen=True)
class Recipe:
    rate: float = 0.5
    widths: tuple[int, ...] = (4, 2)
    weight: float | None = None


def note(log: str, line: str) -> None:
    with open(log, "a") as file:
        file.write(line + "\n")


@step(version=1)
def leaf(log: str, seed: int, wait: float = 0.0) -> dict[str, object]:
    note(log, f"leaf {seed}")
    time.sleep(wait)
    generator = torch.Generator().manual_seed(seed)
    return {"seed": seed, "noise": torch.rand(1000, generator=generator), "nan": float("nan")}


@step(version=1)
def total(log: str, parts: tuple[Done, ...], scale: float = 1.0) -> dict[str, object]:
    note(log, f"total of {len(parts)}")
    noise = torch.stack([p.tensors["noise"] for p in parts]).sum(0) * scale
    return {"seeds": [p.values["seed"] for p in parts], "noise": noise, "top": noise.max().item()}


@step(version=1)
def plain(recipe: Recipe, name: str = "x") -> dict[str, object]:
    return {"rate": recipe.rate, "is_float": isinstance(recipe.rate, float), "name": name}


@step(version=1)
def fail(log: str, seed: int) -> dict[str, object]:
    note(log, f"fail {seed}")
    raise ZeroDivisionError(f"seed {seed} is not to our taste")


@step(version=1)
def give(what: str) -> dict[str, object]:
    shared = torch.arange(4)
    gifts: dict[str, object] = {
        "set": {"a": {1, 2}},
        "nested tensor": {"a": [shared]},
        "int key": {"a": {1: 2}},
        "good": {
            "inf": float("inf"),
            "tuple": (1, 2),
            "nested": {"x": [None, True, "s"]},
            "one": shared,
            "same": shared[:2],
            "turned": torch.eye(3).T,
            "empty": torch.zeros(0, 3),
            "bool": torch.tensor([True, False]),
            "half": torch.ones(2, dtype=torch.float64),
        },
    }
    return gifts[what]  # type: ignore[return-value]


@dataclass(frozen=True)
class Net:
    width: int
    recipe: training.Recipe


@step(version=1)
def train(net: Net, seed: int) -> dict[str, object]:
    return {"weights": torch.zeros(net.width)}


@step(version=1)
def test(network: Done, images: int) -> dict[str, object]:
    return {"accuracy": float(len(network.tensors["weights"]) * images)}


@step(version=1)
def where() -> dict[str, object]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
        "environment": [os.environ.get(n) for n in names],
    }


@step(version=1)
def settings() -> dict[str, object]:
    return {
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "deterministic": torch.backends.cudnn.deterministic,
        "flushed": bool(torch.tensor(1e-39) * 1 == 0),
        "threads": torch.get_num_threads(),
    }


@step(version=1)
def faults() -> dict[str, object]:
    """Count page faults of eight large tensors, one after the other, after two others."""
    for _ in range(2):
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)
    return {"faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}


@step(version=1)
def die(log: str, after: tuple[Done, ...] = ()) -> dict[str, object]:
    note(log, "die")
    if Path(log).read_text().count("die") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"alive": True}


@step(version=1)
def count(log: str, steps: int, wait: float, *, context: Context) -> dict[str, object]:
    """Add up 1 ... steps, with a checkpoint after each addition."""
    checkpoint = context.scratch / "sum.txt"
    at, so_far = 0, 0
    if checkpoint.exists():
        at, so_far = map(int, checkpoint.read_text().split())
        note(log, f"resumed at {at}")
    while at < steps:
        at += 1
        so_far += at
        time.sleep(wait)
        temporary = context.scratch / "sum.tmp"
        temporary.write_text(f"{at} {so_far}")
        os.replace(temporary, checkpoint)
        note(log, f"at {at}")
        context.progress(at, steps)
    return {"sum": so_far, "device": context.device}


def study(log: str, leaves: int = 6, wait: float = 0.0) -> list[Call]:
    """Return a graph with shared dependencies: totals of neighbours, and a total of every second
    leaf.
    """
    parts = [leaf(log, seed, wait) for seed in range(leaves)]
    pairs = [total(log, pair) for pair in zip(parts, parts[1:], strict=False)]
    return [*pairs, total(log, tuple(parts[::2]), scale=2.0)]


def engine(path: str, calls: list[Call], workers: int = 0) -> None:
    """Run these calls in this process."""
    run(calls, store=Store(path), workers=workers, device="cpu", progress=False)


def engine_that_dies(path: str, calls: list[Call], instant: int) -> None:
    """Do the same, but kill the process at the given point of its writes, or in the middle of a
    flush.
    """
    events = itertools.count()
    fsync, replace = os.fsync, os.replace

    def die_here(half_written: int | None = None) -> None:
        if next(events) == instant:
            if half_written is not None and stat.S_ISREG(os.fstat(half_written).st_mode):
                os.ftruncate(half_written, os.fstat(half_written).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_fsync(descriptor: int) -> None:
        die_here(half_written=descriptor)
        fsync(descriptor)

    def dying_replace(source: str, target: str) -> None:
        die_here()
        replace(source, target)
        die_here()

    os.fsync, os.replace = dying_fsync, dying_replace  # type: ignore[assignment]
    engine(path, calls)


def engine_short_of_disk(path: str, calls: list[Call], limit: int) -> None:
    """Do the same with files limited to `limit` bytes; exit with 7 on a StepFailed."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        engine(path, calls)
    except StepFailed as error:
        sys.exit(7 if "File too large" in str(error) else 8)


def write_key(path: str) -> None:
    Path(path).write_text(plain(Recipe(rate=0.1), name="ä").key)
