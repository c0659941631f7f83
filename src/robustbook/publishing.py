"""Run the experiment of a table or figure, and make the record that comes with the book.

A record has the results of a study, and its provenance: the versions, devices and seconds of the
computation.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from statistics import fmean
from types import ModuleType
from typing import Any

from robustbook import catalogue, ledger
from robustbook.ledger import Record
from robustbook.ledger.records import Conflict, compare, merge, named
from robustbook.runs import Call, Done, Store, graph, plan, ran_on, run
from robustbook.studies.parameters import BadParameter, Parameters, check


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
    """Compute the missing results of a study, and return the record of all its results."""
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


def publishable(
    of: ModuleType, parameters: Parameters, store: Store, published: Record | None = None
) -> Record:
    """Return a new record for the book, made from a study's stored results; nothing is computed.

    ``published`` is the record that is in the book now (the old record), or None. If the book has
    none, the new record has the results for `parameters`. Otherwise the new record must keep all
    rows of the old record. There are three cases.

    - If `parameters` include all seeds and all parts of the old record, the new record replaces it.
      A part is, for example, a network; the parameters that are named in ``selects`` choose the
      parts.

    - If seeds or parts of the old record are missing in `parameters`, but the store has the results
      for these too, the new record is made from the stored results of both records.

    - In all other cases the rows of the two records are merged. A merge does not need the stored
      results of the old record. A merge cannot recompute an array that depends on several rows,
      such as means over seeds. So the merge is refused if the records have different arrays. A
      study sets ``FIRST_SEED = True`` if each of its arrays belongs to the first seed. Then the
      merged record keeps the old arrays, unless the new record has a smaller first seed.

    If the results come from several devices or versions, the record's provenance has a list
    ``parts`` with one entry for each. An entry contains the device, the hardware, the versions and
    the date. The field ``of`` of an entry contains the seeds and networks that were computed on
    this device with these versions. Each pair of a seed and a network is in only one entry. So the
    seed and the network of a row show on which device the row was computed.

    Raises Conflict if a value of the old record would be lost or changed, or if a stored result is
    damaged or missing; the message says what to do.
    """
    if published is None:
        return _condensed(of, parameters, store)
    earlier = _published_parameters(of, parameters, published)
    both = _together(parameters, earlier)
    mine, theirs = _cells(of, parameters), _published_cells(of, earlier, published)
    if set(theirs) <= mine.keys():
        record = _condensed(of, parameters, store)
        for row in compare(published, record):
            raise Conflict(f"{named(row)} is published and would be lost")
        if set(theirs) == mine.keys():
            merge(published, record)  # raises Conflict if arrays differ
        return record
    if not plan(list(of.calls(both).values()), store).missing:
        with suppress(Conflict):
            whole = _condensed(of, both, store)
            if not compare(published, whole):
                return whole
    new = _condensed(of, parameters, store)
    if getattr(of, "FIRST_SEED", False) and min(published.seeds) < min(new.seeds):
        new = replace(new, arrays=new.arrays | published.arrays)
    rows, arrays = merge(published, new)
    if mine.keys() <= set(theirs):
        if len(rows) > len(published.rows):
            raise Conflict("the published record has fewer rows for these seeds")
        return published
    added = {cell: calls for cell, calls in mine.items() if cell not in theirs}
    alone = {"of": _rectangles(theirs, parameters), **published.provenance}
    parts = published.provenance.get("parts", [alone]) + _parts(added, parameters, store)
    return Record(
        published.paper,
        published.item,
        published.profile,
        both.plain(),
        tuple(sorted({*published.seeds, *new.seeds})),
        rows,
        arrays,
        {**_summary(parts), "parts": parts},
    )


def _condensed(of: ModuleType, parameters: Parameters, store: Store) -> Record:
    """Return the record made from a study's stored results; nothing is computed.

    The record does not contain the run time of this process, so that the same results always give
    the same record.

    Raises Conflict if a result is damaged or missing.
    """
    calls: Mapping[Any, Call] = of.calls(parameters)
    results = {name: _stored(call, store) for name, call in calls.items()}
    provenance = _provenance(calls.values(), store)
    parts = _parts(_cells(of, parameters), parameters, store)
    record: Record = of.condense(parameters, results)
    return replace(record, provenance=provenance | ({"parts": parts} if len(parts) > 1 else {}))


def _stored(call: Call, store: Store) -> Done:
    """Return a stored result. Raises Conflict if the result is damaged or missing."""
    done = store.load(call)
    if done is None:
        raise Conflict(f"the result of {call!r:.200} is damaged or missing; compute it first")
    return done


def _published_parameters(of: ModuleType, asked: Parameters, published: Record) -> Parameters:
    """Return the study parameters (seeds, networks and so on) of the record that is in the book.

    Only the seeds and the chosen parts, such as networks, may differ from ``asked``. Raises
    Conflict if any other parameter differs.
    """
    try:
        found: Parameters = check(of.Parameters, published.parameters)
    except BadParameter as error:
        raise Conflict(
            f"the published record has a parameter that is no longer valid: {error}"
        ) from error
    for name, value in asked.plain().items():
        held = getattr(found, name)
        parts = name == "seeds" or (name in asked.selects and isinstance(value, tuple | None))
        if held != value and not parts:
            raise Conflict(f"it is published with {name} {held!r}, not {value!r}")
    return found


def _together(asked: Parameters, published: Parameters) -> Parameters:
    """Return parameters with all seeds and all parts (such as networks) of ``published`` and of
    ``asked``. Those of ``published`` come first.
    """
    seeds = {*published.seeds, *asked.seeds}
    changed: dict[str, Any] = {"seeds": tuple(sorted(seeds))}
    for name, values in published.parts().items():
        if getattr(published, name) != getattr(asked, name):
            changed[name] = tuple(dict.fromkeys([*values, *asked.parts()[name]]))
    return replace(asked, **changed)


Cell = tuple[int, tuple[Any, ...]]
"""A cell is the smallest part of a record: one seed, and one value of each parameter that chooses
parts, such as one network.
"""


def _cells(of: ModuleType, parameters: Parameters) -> dict[Cell, list[Call]]:
    """Return a dictionary from each cell (a seed and a chosen part of the study, such as a network)
    to its function calls. If a study runs one network with fewer seeds than the others, the missing
    pairs have no cell.
    """
    every = set(of.calls(parameters).values())
    chosen = parameters.parts()
    found: dict[Cell, list[Call]] = {}
    for values in product(*chosen.values()):
        for seed in parameters.seeds:
            one: dict[str, Any] = {
                name: (value,) if isinstance(getattr(parameters, name), tuple | None) else value
                for name, value in zip(chosen, values, strict=True)
            }
            alone = list(of.calls(replace(parameters, seeds=(seed,), **one)).values())
            calls = [call for call in alone if call in every]
            if calls or not alone:
                found[seed, values] = calls
    return found


def _published_cells(of: ModuleType, earlier: Parameters, published: Record) -> list[Cell]:
    """Return the cells of the book's record.

    A record that was made from several runs can have other cells than one run with all its seeds.
    So the provenance of such a record lists the cells.
    """
    if "parts" not in published.provenance:
        return list(_cells(of, earlier))
    names = list(earlier.parts())
    return [
        (seed, values)
        for part in published.provenance["parts"]
        for group in part["of"]
        for values in (zip(*(group[name] for name in names), strict=True) if names else [()])
        for seed in group["seeds"]
    ]


def _rectangles(cells: Iterable[Cell], parameters: Parameters) -> list[dict[str, list[Any]]]:
    """Group the networks (or the values of another parameter that chooses parts) by their seeds,
    and return the seeds and the values of each group.
    """
    seeds: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for seed, values in cells:
        seeds[values].append(seed)
    alike: dict[tuple[int, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for values, own in seeds.items():
        alike[tuple(sorted(own))].append(values)
    return [
        {"seeds": list(own)}
        | {name: [values[i] for values in group] for i, name in enumerate(parameters.parts())}
        for own, group in alike.items()
    ]


_ORIGIN = ("device", "hardware", "cuda", "cudnn", "python", "torch", "numpy")


def _parts(
    cells: Mapping[Cell, list[Call]], parameters: Parameters, store: Store
) -> list[dict[str, Any]]:
    """Group the cells by the device and the versions that computed their results, and return the
    provenance of each group.
    """
    groups: dict[tuple[Any, ...], dict[Cell, list[Call]]] = defaultdict(dict)
    for cell, calls in cells.items():
        found = _provenance(calls, store)
        groups[tuple(found.get(name) for name in _ORIGIN)][cell] = calls
    return [
        {"of": _rectangles(group, parameters)}
        | _provenance([call for calls in group.values() for call in calls], store)
        for group in groups.values()
    ]


def _summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one provenance for all parts together: their versions and devices, the latest date,
    and the sum of their seconds.
    """
    found: dict[str, set[str]] = defaultdict(set)
    spent: dict[str, list[float]] = defaultdict(list)
    for part in parts:
        for kind, seconds in part.get("known_seconds", {}).items():
            spent[kind].append(seconds)
        for name, value in part.items():
            if isinstance(value, str):
                found[name] |= set(value.split(" / "))
    dates = found.pop("date", set())
    return {
        **{name: " / ".join(sorted(held)) for name, held in found.items()},
        "date": max(dates, default=""),
        "seconds": sum(part["seconds"] for part in parts),
        "known_seconds": {kind: fmean(each) for kind, each in spent.items()},
    }


def _provenance(calls: Iterable[Call], store: Store) -> dict[str, Any]:
    """Return the provenance of a record's numbers: versions, devices, date and seconds.

    The seconds are the total over all function calls of the study. The field `known_seconds` has
    the mean seconds of function calls that differ only in their seeds. The command ``plan``
    estimates run times from these means.
    """
    spent: dict[str, list[float]] = {}
    found: dict[str, set[str]] = {}
    for call in graph(list(calls)).values():
        stored = store.known(call)
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


def known_seconds() -> dict[str, dict[str, float]]:
    """Return the seconds of function calls in the book's records, by device ("cpu" or the name of a
    GPU) and `Call.kind`.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for record in ledger.read_records(catalogue.BOOK / "records"):
        for part in record.provenance.get("parts", [record.provenance]):
            seconds = part.get("known_seconds", {})  # JSON may have whole seconds as ints
            found[ran_on(part)] |= {kind: float(value) for kind, value in seconds.items()}
    return dict(found)
