"""Turn the arguments of a command into jobs, and a record (stored results) into text for the
terminal.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from robustbook import catalogue, ledger
from robustbook.ledger import Ledger, Record
from robustbook.ledger.build import entries
from robustbook.runs import Call, runs_on
from robustbook.studies.items import command, measured_by
from robustbook.studies.parameters import BadParameter, Parameters, check


@dataclass(frozen=True)
class Job:
    """A table, figure or claim to compute: the checked parameters, and the function calls that
    compute the results.
    """

    item: str
    study: ModuleType
    parameters: Parameters
    calls: list[Call]

    @property
    def profile(self) -> str:
        return self.parameters.profile

    @property
    def changed(self) -> dict[str, Any]:
        """Return the parameters that the user has changed, except those in `selected`."""
        return {k: v for k, v in self._given.items() if k not in self.selected}

    @property
    def selected(self) -> dict[str, Any]:
        """Return the parameters given by the user that only choose parts of a table or figure, such
        as networks, or a size that its rows state, such as the number of test images.
        """
        chosen = (*self.parameters.selects, *self.parameters.sizes)
        return {k: v for k, v in self._given.items() if k in chosen}

    def command(self, name: str, store: Path | None = None) -> str:
        """Return a command line that runs the command `name` for this job, with the job's profile,
        seeds and selected parts, and with the store if the user has given one.
        """
        words = ["robustbook", name, self.item, "--profile", self.profile]
        if self.parameters.seeds and self.parameters.seeds != self._usual.seeds:
            words += ["--seeds", ",".join(map(str, self.parameters.seeds))]
        for key, value in self.selected.items():
            words += ["--set", f"{key}={json.dumps(value)}"]
        return shlex.join([*words, "--store", str(store)] if store else words)

    @property
    def _given(self) -> dict[str, Any]:
        usual = {**self._usual.plain(), "seeds": self.parameters.seeds}
        return {k: v for k, v in self.parameters.plain().items() if v != usual[k]}

    @property
    def _usual(self) -> Parameters:
        usual: Parameters = check(self.study.Parameters, {"profile": self.profile})
        return usual


def jobs(
    items: Sequence[str],
    profile: str | None,
    seeds: Sequence[int] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Return a job (a table, figure or claim to compute) for each of the ``items``, with checked
    parameters. ``profile`` is the size of the experiments: "quick", "reduced" or "paper".

    Without ``items``, there is a job for every table, figure and claim that can be computed with
    the profile. If the profile is None, there is a job for each profile of an item that has
    settings for the parameters. Raises UsageError with a message of one sentence for an unknown
    item, profile, seed or parameter.
    """
    every = {item: study(item) for item in items or catalogue.ITEMS}
    if not items:
        having = {i: s for i, s in every.items() if profile in (None, *s.Parameters.own_seeds)}
        every = having or every
    found = []
    for item, of in every.items():
        profiles = tuple(of.Parameters.own_seeds)
        if profile not in (None, *profiles):
            raise click.UsageError(
                f"profile of {item} must be {' or '.join(profiles)} (the profile published "
                "computes nothing), "
                f"got {profile!r}"
            )
        own: list[Job] = []
        refused: list[BadParameter] = []
        for name in [profile] if profile else profiles:
            values = {**(given or {}), "profile": name, "seeds": seeds and tuple(seeds)}
            try:
                parameters = check(of.Parameters, values)
                own.append(Job(item, of, parameters, list(of.calls(parameters).values())))
            except BadParameter as error:
                refused.append(error)
        if not own:
            raise click.UsageError(f"{item}: {refused[0]}") from refused[0]
        found += own
    return found


def study(item: str) -> ModuleType:
    """Return the module that computes the table, figure or claim ``item``. Raise UsageError if it
    is unknown or no module computes it.
    """
    if item in catalogue.ITEMS:
        return catalogue.study(item)
    there = "robustbook --help lists all items"
    targets = ledger.read_targets(catalogue.BOOK / "targets").values()
    if any(item == f"{target.paper}/{target.item}" for target in targets):
        raise click.UsageError(f"{item} has no study yet; {there}")
    hint = "; several seeds are given as 0,1,2" if item.isdigit() else ""
    near = _nearest(item, catalogue.ITEMS)
    raise click.UsageError(f"item {item!r} is not known{near}; {there}{hint}")


def _nearest(item: str, known: Iterable[str]) -> str:
    near = get_close_matches(item, list(known), n=1) if "/" in item else []
    return f" (did you mean {near[0]}?)" if near else ", it must be like saturating/table-1"


def ledger_items(item: str) -> list[tuple[str, str]]:
    """Return the papers' tables, figures or claims whose numbers the page of ``item`` compares with
    our measurements, as pairs of a paper and a name. Raise UsageError if there are none.
    """
    targets = ledger.read_targets(catalogue.BOOK / "targets").values()
    known = dict.fromkeys((target.paper, target.item) for target in targets)
    own = catalogue.judged(item) if item.count("/") == 1 else ()
    found = [pair for pair in known if "/".join(pair) in own]
    if not found:
        near = _nearest(item, [*catalogue.ITEMS, *map("/".join, known)])
        raise click.UsageError(f"item {item!r} has no number of a paper{near}")
    return found


def device_named(device: str, known: Iterable[str]) -> str:
    """Return the name of the device under which run times are stored: "cpu", or the name of a GPU.

    `device` is auto, cpu, cuda, cuda:N, or part of the name of a GPU in `known`. Raises UsageError
    for any other text.
    """
    if device in ("auto", "cpu") or device.startswith("cuda"):
        return runs_on(device)
    names = sorted({name for name in known if name != "cpu" and " / " not in name})
    found = [name for name in names if device.lower() in name.lower()]
    if len(found) != 1:
        there = ", ".join(names) or "none"
        raise click.UsageError(
            f'device must be "auto", "cpu", "cuda", "cuda:N" or a GPU whose times are known '
            f"({there}), got {device!r}"
        )
    return found[0]


def beside_the_paper(record: Record, *, other_setting: bool) -> str:
    """Return as text a table that compares the numbers in ``record`` with those in the paper.

    `other_setting`: whether the parameters differ from the paper's. If True, each verdict on a
    measured number is "other setting".
    """
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    item = f"{record.paper}/{record.item}"
    own, answered = catalogue.judged(item), {row.target for row in record.rows}
    chosen = [
        t
        for t in targets.values()
        if f"{t.paper}/{t.item}" in own
        and (t.id in answered or measured_by(t.id, t.paper) in (item, ""))
        and not t.context
    ]
    if not chosen:
        return f"{len(record.rows)} rows; the paper states no number for it"
    rows = entries(targets, [record], {}, chosen=chosen, profile=record.profile, command=command)
    shown = []
    for row in rows:
        verdict = "other setting" if other_setting and row.profile else row.verdict
        shown.append(replace(row, judgement=replace(row.judgement, verdict=verdict), reason=""))
    return ledger.text_table(Ledger(tuple(shown), ()))
