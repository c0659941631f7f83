"""Plan a run: find which results are stored, stale (computed by older code) or missing, and
estimate how long computing the missing results will take.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from robustbook.durations import duration

from .calls import Call, digest, graph
from .execute import default_workers, runs_on
from .source import fingerprint
from .store import Store, ran_on


@dataclass(frozen=True)
class StepPlan:
    """The numbers of stored and missing results of one function (step), and the run times of its
    calls.

    ``stale``: the number of stored results that were computed by older source code with the same
        version number of the function. These results are still used; `stored` does not count them.
    ``missing``: the number of function calls that must be run.
    ``spent``: the seconds that it took to compute the stored results.
    ``left``: the estimated seconds of all missing function calls together, without the calls that
        have no estimate.
    ``unknown``: the number of missing function calls whose run time has no estimate.
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
    """The plan of a run: which function calls it needs, and how long these calls will probably
    take.

    ``steps``: one entry per function (step), in the order in which the functions first run.
    ``device``: "cpu" or the name of the GPU for which times are estimated.
    ``workers``: the number of processes that run at once.
    ``wall``: the estimated seconds from start to end, as a lower bound. Calls without an estimate
        count as 0 seconds.
    """

    steps: tuple[StepPlan, ...]
    device: str
    workers: int
    wall: float

    @property
    def missing(self) -> int:
        """Return the number of function calls that have to be run."""
        return sum(s.missing for s in self.steps)

    def describe(self) -> str:
        """Return the plan as text: a small table, and sentences about the time."""
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
            parts.append("It is not known yet how long the missing results will take.")
        else:
            work = duration(math.fsum(s.left for s in self.steps))
            wall = f"about {duration(self.wall)} with {self.workers} at a time"
            parts.append(f"Remaining: {work} of computing, {wall}.")
            if unknown:
                parts.append(f"{unknown} more missing results are not in this estimate.")
        if stale:
            parts.append(
                f"{stale} results are from older source code; they are used until their step's "
                "version is raised."
            )
        return " ".join(parts)


_WORK = re.compile(r"/(images|steps|epochs)|.*/Recipe/(steps|batch_size)")
"""A pattern for the paths of arguments to which the run time is proportional: the numbers of
images, optimiser steps and epochs, and the steps and the batch size of a training recipe.
"""
_NO_WORK = re.compile(r".*/Recipe/(lr|schedule|momentum|weight_decay)\b.*")
"""The settings of an optimiser that do not change the run time."""


def estimates(
    calls: Sequence[Call],
    store: Store,
    known_seconds: Mapping[str, float] | None = None,
    *,
    device: str = "cpu",
) -> dict[str, float]:
    """Return a dict from the key of each function call to an estimate of the seconds that it will
    take. Calls without an estimate are omitted.

    An estimate is the mean run time of stored calls on the same device that differ from the call
    only in the seed. If there are no such calls, the estimate is the entry in `known_seconds`. If
    there is no entry either, the estimate is scaled from stored calls with another amount of work.

    The amount of work is the product of those arguments to which the run time is proportional: the
    numbers of images, epochs and optimiser steps, and the batch size. For scaling, the stored calls
    may also differ in the seed and in settings of the optimiser, such as the learning rate. Calls
    that differ in anything else, such as the network, are not used.

    ``known_seconds``: a dict from the calls' `Call.kind` to their run times on this device in
        seconds, for example from the book's records.
    ``device``: "cpu" or a GPU's name.
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
    """Return an estimate of the seconds for an amount of work. ``done`` has a pair (amount of work,
    seconds) for each stored function call. The seconds of the call with the most similar amount of
    work are scaled in proportion to the work.
    """
    apart = [abs(math.log(work / other)) for other, _ in done]
    nearest = [d for d, far in zip(done, apart, strict=True) if far == min(apart)]
    return fmean(seconds * work / other for other, seconds in nearest)


def _work(content: Mapping[str, Any]) -> tuple[str, float]:
    """Return a hash of a function call, and the call's amount of work as one number. The hash does
    not depend on the amount of work, on seeds, or on settings such as the learning rate.
    """
    rest, work = [], 1.0
    for path, value in _leaves(content["arguments"]):
        if _WORK.fullmatch(path) and isinstance(value, int | float) and value > 0:
            work *= value
        elif not _NO_WORK.fullmatch(path):
            rest.append(f"{path}={value!r}")
    return digest([content["step"], content["version"], rest]), work


def _leaves(arguments: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value in the arguments of a function call, together with its path: the names of
    the arguments and fields that contain it. Seeds are left out.

    An argument that is a call itself is yielded as one value, because the work of that call is not
    a part of this call's work.
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
    """Return which results `run` would find in the store, and which function calls it would
    compute. Nothing is run.

    ``known_seconds``: a dict from the calls' `Call.kind` to their run times on the device in
        seconds, for calls whose run time is not in the store.
    ``device``: "cpu" or the name of a GPU, which need not be in this machine; by default the device
        that `run` uses.
    ``workers``: the number of function calls that run at once, from which the wall time is
        estimated. The default is the number that `run` uses.
    """
    store = store or Store()
    device = device or runs_on("auto")
    if workers is None:
        workers = default_workers("cpu" if device == "cpu" else "cuda")
    workers = max(workers, 1)  # with 0 workers the calls run one by one in this process
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
    """Return for each function call whether its result is stored, stale or missing, and its run
    time in seconds (0 if the result is missing).
    """
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
    """Return the keys of the function calls that must be run. If the result of a call is stored,
    the calls on which this call depends need not be run for it.
    """
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
    """Return a lower bound on the wall time in seconds. It is the larger of two times: the time of
    the longest chain of dependent function calls, and the total time divided by the number of
    workers.
    """
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
