"""The items that can be run: which there are, whose targets they judge, and a run of one.

An item is ``paper/name``: ``saturating/table-1``. What a study computes becomes a record here, with
the versions, devices and seconds that its numbers come from.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

from robustbook.ledger import Record
from robustbook.runs import Call, Store, graph, run
from robustbook.studies.parameters import BadParameter, Parameters

BOOK = Path(__file__).resolve().parents[2] / "book"
"""Where targets, records and reasons lie."""

ITEMS = {
    "deep_defense/anchors": "robustbook.studies.deep_defense.anchors",
    "deep_defense/claims": "robustbook.studies.deep_defense.claims",
    "deep_defense/deepfool": "robustbook.studies.deep_defense.presets",
    "deep_defense/figure-1": "robustbook.studies.deep_defense.figure_1",
    "deep_defense/figure-2": "robustbook.studies.deep_defense.convergence",
    "deep_defense/figure-3": "robustbook.studies.deep_defense.hyper_parameters",
    "deep_defense/figure-4": "robustbook.studies.deep_defense.layer_masking",
    "deep_defense/followup-brown-2019": "robustbook.studies.deep_defense.replication",
    "deep_defense/table-1": "robustbook.studies.deep_defense.table_1",
    "deep_defense/today": "robustbook.studies.deep_defense.today",
    "saturating/claims": "robustbook.studies.saturating.claims",
    "saturating/critique": "robustbook.studies.saturating.critique",
    "saturating/figure-1": "robustbook.studies.saturating.figure_1",
    "saturating/figure-2": "robustbook.studies.saturating.figure_2",
    "saturating/figure-3": "robustbook.studies.saturating.figure_3",
    "saturating/figure-4": "robustbook.studies.saturating.figure_4",
    "saturating/figure-5": "robustbook.studies.saturating.figure_5",
    "saturating/figure-6": "robustbook.studies.saturating.figure_6",
    "saturating/figure-7": "robustbook.studies.saturating.figure_7",
    "saturating/figure-8": "robustbook.studies.saturating.figure_8",
    "saturating/long-descent": "robustbook.studies.saturating.long_descent",
    "saturating/table-1": "robustbook.studies.saturating.table_1",
    "saturating/table-1-search": "robustbook.studies.saturating.table_1_search",
    "saturating/table-2": "robustbook.studies.saturating.table_2",
    # Last: without its photographs a run of every item ends here.
    "deep_defense/imagenet": "robustbook.studies.deep_defense.imagenet",
}
"""Every item that can be run, and the module that says how."""


def study(item: str) -> ModuleType:
    """The study module of ``paper/item``; ``BadParameter`` names those there are."""
    if item not in ITEMS:
        raise BadParameter(f"item must be one of {', '.join(ITEMS)}, got {item!r}")
    return import_module(ITEMS[item])


def judged(item: str) -> tuple[str, ...]:
    """The items, as ``paper/item``, whose targets the page of ``item`` judges: those that its study
    says it ``JUDGES``, or else itself."""
    paper, name = item.split("/")
    return tuple(f"{paper}/{each}" for each in getattr(study(item), "JUDGES", (name,)))


def compute(
    of: ModuleType,
    parameters: Parameters,
    *,
    store: Store | None = None,
    device: str = "auto",
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Record:
    """Run what is missing of a study and condense it; what is stored already costs nothing."""
    store = store or Store()
    calls: Mapping[Any, Call] = of.calls(parameters)
    began = time.monotonic()
    results = run(
        list(calls.values()),
        store=store,
        device=device,
        scheduler=scheduler,
        workers=workers,
        progress=progress,
    )
    record: Record = of.condense(parameters, dict(zip(calls, results, strict=True)))
    provenance = {**_provenance(calls.values(), store), "wall_seconds": time.monotonic() - began}
    return replace(record, provenance=provenance)


def _provenance(calls: Iterable[Call], store: Store) -> dict[str, Any]:
    """Where a record's numbers come from: versions and devices, the seconds of all calls that it
    rests on, and of one call of each kind (the mean), from which ``plan`` estimates."""
    spent: dict[str, list[float]] = {}
    found: dict[str, set[str]] = {}
    for call in graph(list(calls)).values():
        stored = store.peek(call)
        if stored is not None:
            spent.setdefault(call.kind, []).append(stored["seconds"])
            for name, value in stored["provenance"].items():
                found.setdefault(name, set()).add(value)
    dates = found.pop("date", set())
    return {
        **{name: " / ".join(sorted(held)) for name, held in found.items()},
        "date": max(dates, default="")[:10],
        "seconds": sum(map(sum, spent.values())),
        "known_seconds": {kind: fmean(each) for kind, each in spent.items()},
    }
