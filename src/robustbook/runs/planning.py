"""What is stored, what is stale, what is missing, and how long the missing part will take."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from .calls import Call
from .execute import default_workers, resolve_device
from .source import fingerprint
from .store import Store


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
        workers: processes at work at once.
        wall: estimated seconds from start to end, a lower bound where something is unknown.
    """

    steps: tuple[StepPlan, ...]
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


def estimates(
    calls: Sequence[Call], store: Store, known_seconds: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Seconds that each call will take, by key; a call of which nothing is known is left out.

    Taken from stored calls that differ by their seed only; else from `known_seconds`; else from the
    stored calls of the same step whose arguments differ least. Each time the mean.

    Args:
        known_seconds: seconds by `Call.kind`, from published records for example.
    """
    kinds: dict[str, list[float]] = defaultdict(list)
    steps: dict[str, list[tuple[set[str], float]]] = defaultdict(list)
    for step, arguments, kind, seconds in store.history():
        kinds[kind].append(seconds)
        steps[step].append((_leaves(arguments), seconds))
    known = dict(known_seconds or {})
    known |= {kind: fmean(seconds) for kind, seconds in kinds.items()}
    return {
        call.key: known[call.kind] if call.kind in known else _nearest(call, steps[call.step])
        for call in calls
        if call.kind in known or steps[call.step]
    }


def _nearest(call: Call, stored: Sequence[tuple[set[str], float]]) -> float:
    """The mean time of the stored calls whose arguments differ from the call's in fewest places."""
    mine = _leaves(call.content["arguments"])
    apart = [len(mine ^ other) for other, _ in stored]
    least = min(apart)
    return fmean(s for far, (_, s) in zip(apart, stored, strict=True) if far == least)


def _leaves(arguments: Any, path: str = "") -> set[str]:
    """Each number and word in a call's arguments with its place; seeds do not count."""
    if not isinstance(arguments, dict | list):
        return {f"{path}={arguments!r}"}
    items = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
    return {leaf for k, v in items if k != "seed" for leaf in _leaves(v, f"{path}/{k}")}


def plan(
    calls: Sequence[Call],
    store: Store | None = None,
    known_seconds: Mapping[str, float] | None = None,
    *,
    workers: int | None = None,
) -> Plan:
    """What `run` of these calls would find stored and what it would compute; runs nothing.

    Args:
        known_seconds: seconds by `Call.kind`, used where the store knows no better.
        workers: how many calls run at once, for the estimate of the wall time; by default as `run`.
    """
    store = store or Store()
    workers = workers or default_workers(resolve_device("auto"))
    every = graph(calls)
    states = _states(every, store)
    needed = _needed(calls, states)
    expected = estimates([every[key] for key in needed], store, known_seconds)
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
    return Plan(tuple(rows), workers, _wall(every, needed, expected, workers))


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


def duration(seconds: float) -> str:
    """A time for people: "0.4 s", "12 s", "3 min 20 s", "5 h 02 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _left(row: StepPlan) -> str:
    if row.unknown and row.unknown == row.missing:
        return "unknown"
    return duration(row.left) + (" + unknown" if row.unknown else "")
