"""What is stored, what is stale, what is missing, and how long the missing part will take."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from robustbook.durations import duration

from .calls import Call, digest
from .execute import default_workers, runs_on
from .source import fingerprint
from .store import Store, ran_on


@dataclass(frozen=True)
class StepPlan:
    """The calls of one step, counted.

    Args:
        stale: stored, of the same version, but the source has changed since, here or in a call
            that this one depends on; used all the same. Not counted in `stored`.
        missing: to be computed.
        spent: seconds that the stored ones took.
        left: estimated seconds of the missing ones of which something is known.
        unknown: missing ones of which nothing is known.
    """

    step: str
    stored: int
    stale: int
    missing: int
    spent: float
    left: float
    unknown: int


@dataclass(frozen=True)
class Plan:
    """A run before it is run.

    Args:
        steps: in the order in which they first run.
        device: "cpu" or the name of the GPU for which the times are estimated.
        workers: processes at work at once.
        wall: estimated seconds from start to end, a lower bound where something is unknown.
    """

    steps: tuple[StepPlan, ...]
    device: str
    workers: int
    wall: float

    @property
    def missing(self) -> int:
        """Calls to be computed."""
        return sum(s.missing for s in self.steps)

    def describe(self) -> str:
        """A small table as text, and a sentence."""
        head = ("step", "stored", "stale", "missing", "spent", "left")
        rows = [head] + [
            (s.step, str(s.stored), str(s.stale), str(s.missing), duration(s.spent), _left(s))
            for s in self.steps
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        ]
        return "\n".join([*(line.rstrip() for line in lines), "", self._sentence()])

    def _sentence(self) -> str:
        stale = sum(s.stale for s in self.steps)
        unknown = sum(s.unknown for s in self.steps)
        parts = []
        if not self.missing:
            parts.append("Nothing is missing.")
        elif unknown == self.missing:
            parts.append("Nothing is known yet about how long the missing ones will take.")
        else:
            work = duration(math.fsum(s.left for s in self.steps))
            wall = f"about {duration(self.wall)} with {self.workers} at a time"
            parts.append(f"Left: {work} of work, {wall}.")
            if unknown:
                parts.append(f"Of {unknown} missing ones nothing is known; they come on top.")
        if stale:
            parts.append(
                f"{stale} stored with older source; they are used until their step's version "
                "is raised."
            )
        return " ".join(parts)


def graph(calls: Sequence[Call]) -> dict[str, Call]:
    """All calls that these depend on and these themselves, by key, dependencies first."""
    found: dict[str, Call] = {}

    def visit(call: Call) -> None:
        if call.key not in found:
            for dependency in call.dependencies:
                visit(dependency)
            found[call.key] = call

    for call in calls:
        visit(call)
    return found


_WORK = re.compile(r"/(images|steps|epochs)|.*/Recipe/(steps|batch_size)")
"""Where the numbers stand to which a step's time is proportional: its own numbers of images, steps
and epochs, and a recipe's steps and batch size. By name, so that no step has to say so."""
_NO_WORK = re.compile(r".*/Recipe/(lr|schedule|momentum|weight_decay)\b.*")
"""Settings of an optimiser that do not change how long a step of it takes."""


def estimates(
    calls: Sequence[Call],
    store: Store,
    known_seconds: Mapping[str, float] | None = None,
    *,
    device: str = "cpu",
) -> dict[str, float]:
    """Seconds that each call will take, by key; a call of which nothing is known is left out.

    Taken from calls that ran on the same device and differ by their seed only; else from
    `known_seconds`; else from calls of the same step that differ only in numbers to which the time
    is proportional (images, optimiser steps, batch size), scaled by these. Each time the mean. A
    call that differs in anything else, such as another network, tells nothing.

    Args:
        known_seconds: seconds by `Call.kind` on this device, from published records for example.
        device: "cpu" or a GPU's name.
    """
    kinds: dict[str, list[float]] = defaultdict(list)
    alike: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for done in store.history():
        if ran_on(done["provenance"]) == device:
            kinds[done["kind"]].append(done["seconds"])
            rest, work = _work(done["call"])
            alike[rest].append((work, done["seconds"]))
    known = dict(known_seconds or {})
    known |= {kind: fmean(seconds) for kind, seconds in kinds.items()}
    found: dict[str, float] = {}
    for call in calls:
        rest, work = _work(call.content)
        if call.kind in known:
            found[call.key] = known[call.kind]
        elif rest in alike:
            found[call.key] = _scaled(work, alike[rest])
    return found


def _scaled(work: float, done: Sequence[tuple[float, float]]) -> float:
    """Seconds in proportion to the work, from the calls (work, seconds) whose work is nearest."""
    apart = [abs(math.log(work / other)) for other, _ in done]
    nearest = [d for d, far in zip(done, apart, strict=True) if far == min(apart)]
    return fmean(seconds * work / other for other, seconds in nearest)


def _work(content: Mapping[str, Any]) -> tuple[str, float]:
    """A call as text without its amount of work, and that amount: a product of its numbers."""
    rest, work = [], 1.0
    for path, value in _leaves(content["arguments"]):
        if _WORK.fullmatch(path) and isinstance(value, int | float) and value > 0:
            work *= value
        elif not _NO_WORK.fullmatch(path):
            rest.append(f"{path}={value!r}")
    return digest([content["step"], content["version"], rest]), work


def _leaves(arguments: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each number and word in a call's arguments with its place; seeds do not count.

    A call among the arguments stays whole, so that its own work does not count here.
    """
    if isinstance(arguments, dict) and "arguments" in arguments:
        yield path, {"step": arguments["step"], "of": [*_leaves(arguments["arguments"], "call")]}
    elif isinstance(arguments, dict | list):
        items = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
        for name, value in items:
            if name != "seed":
                yield from _leaves(value, f"{path}/{name}")
    else:
        yield path, arguments


def plan(
    calls: Sequence[Call],
    store: Store | None = None,
    known_seconds: Mapping[str, float] | None = None,
    *,
    device: str | None = None,
    workers: int | None = None,
) -> Plan:
    """What `run` of these calls would find stored and what it would compute; runs nothing.

    Args:
        known_seconds: seconds by `Call.kind` on the device, where the store knows no better.
        device: "cpu" or the name of a GPU, which need not be here; by default as `run`.
        workers: how many calls run at once, for the estimate of the wall time; by default as `run`.
    """
    store = store or Store()
    device = device or runs_on("auto")
    workers = workers or max(default_workers("cpu" if device == "cpu" else "cuda"), 1)
    every = graph(calls)
    states = _states(every, store)
    needed = _needed(calls, states)
    expected = estimates([every[key] for key in needed], store, known_seconds, device=device)
    by_step: dict[str, list[Call]] = defaultdict(list)
    for call in every.values():
        if states[call.key][0] != "missing" or call.key in needed:
            by_step[call.step].append(call)
    rows = []
    for step, members in by_step.items():
        words = [states[c.key][0] for c in members]
        missing = [c.key for c in members if c.key in needed]
        rows.append(
            StepPlan(
                step,
                stored=words.count("stored"),
                stale=words.count("stale"),
                missing=len(missing),
                spent=math.fsum(states[c.key][1] for c in members),
                left=math.fsum(expected.get(key, 0.0) for key in missing),
                unknown=sum(key not in expected for key in missing),
            )
        )
    return Plan(tuple(rows), device, workers, _wall(every, needed, expected, workers))


def _states(
    every: dict[str, Call], store: Store
) -> dict[str, tuple[Literal["stored", "stale", "missing"], float]]:
    """The state of each call, and the seconds it took."""
    states: dict[str, tuple[Literal["stored", "stale", "missing"], float]] = {}
    for key, call in every.items():
        meta = store.peek(call)
        if meta is None:
            states[key] = ("missing", 0.0)
            continue
        changed = meta["provenance"]["fingerprint"] != fingerprint(call.module, call.function)
        below = any(states[c.key][0] == "stale" for c in call.dependencies)
        states[key] = ("stale" if changed or below else "stored", meta["seconds"])
    return states


def _needed(calls: Sequence[Call], states: Mapping[str, tuple[str, float]]) -> set[str]:
    """The keys that have to run: a missing call under a stored one does not."""
    needed: set[str] = set()
    pending = list(calls)
    while pending:
        call = pending.pop()
        if states[call.key][0] == "missing" and call.key not in needed:
            needed.add(call.key)
            pending.extend(call.dependencies)
    return needed


def _wall(
    every: dict[str, Call], needed: set[str], expected: Mapping[str, float], workers: int
) -> float:
    """No schedule is shorter than its longest chain, nor than the work shared evenly."""
    ends: dict[str, float] = {}
    for key, call in every.items():
        before = max((ends[c.key] for c in call.dependencies), default=0.0)
        ends[key] = before + (expected.get(key, 0.0) if key in needed else 0.0)
    work = math.fsum(expected.get(key, 0.0) for key in needed)
    return max(work / workers, max(ends.values(), default=0.0))


def _left(row: StepPlan) -> str:
    if row.unknown and row.unknown == row.missing:
        return "unknown"
    return duration(row.left) + (" + unknown" if row.unknown else "")
