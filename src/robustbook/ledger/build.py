"""Build the ledger: a table with every number of the papers, our best measurement of it, and a
verdict such as "reproduced".

The papers' numbers are in `book/targets`, our measurements in `book/records`, and hand-written
explanations in `book/reasons.csv`. No file is written.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .records import PROFILES, Record, Row, read_records, rounded
from .targets import PAPERS, Target, read_rows, read_targets
from .verdicts import Judgement, Measurement, judge

Command = Callable[[str, str, str, str], tuple[str, str]]
"""A function that returns the command line that measures a number of a paper, and a note on what
this command needs.

The function has four arguments: the id of the paper's number, the paper, the profile ("quick",
"reduced" or "paper"), and the table or figure whose run measured the number, as ``paper/item``. The
fourth argument is "" if the number was not measured. The returned command line is "" if no study
measures the number.
"""


def no_command(target: str, paper: str, profile: str, item: str = "") -> tuple[str, str]:
    """Return an empty command line and an empty note: the default of `build`."""
    return "", ""


KEYS = tuple(
    "id name paper item setting metric unit printed as_printed ours low high seeds profile verdict "
    "note reason command tally difference same_as tolerance held".split()
)
"""The keys of a ledger line in JSON; `Target` and `Judgement` explain most of them."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: a number or statement of a paper, our measurement and the verdict.

    ``profile``: the profile of our measurement, or None if there is none.
    ``note``: what decided the verdict, or what a run needs.
    ``reason``: our explanation of a number that was not reproduced, or "".
    ``command``: the command line that measures the number; empty if no study measures the number.
    ``same_as``: the id of an earlier line that makes the same comparison, so that this one is shown
        but not counted, or "".
    """

    target: Target
    judgement: Judgement
    profile: str | None
    note: str
    reason: str
    command: str
    same_as: str

    @property
    def id(self) -> str:
        return self.target.id

    @property
    def paper(self) -> str:
        return self.target.paper

    @property
    def item(self) -> str:
        return self.target.item

    @property
    def ours(self) -> float | None:
        return self.judgement.ours

    @property
    def verdict(self) -> str:
        return self.judgement.verdict

    @property
    def tolerance(self) -> float | None:
        """Return the largest difference between the paper's number and our mean that counts as
        agreement, in the unit of the number. Return None if the paper prints no number.
        """
        return None if self.target.printed is None else self.target.tolerance

    @property
    def explanation(self) -> str:
        """Return the note of the verdict, and after it our reason as a sentence of its own."""
        note, reason = self.note, self.reason
        return f"{note}. {reason[:1].upper()}{reason[1:]}" if note and reason else note or reason

    def json(self) -> dict[str, Any]:
        """Return the line as a plain object with the keys in `KEYS`."""
        own = {"tally": self.target.tally, "tolerance": self.tolerance}
        every = {**vars(self.target), **vars(self.judgement), **vars(self), **own}
        return {key: every[key] for key in KEYS}


@dataclass(frozen=True)
class Ledger:
    """A ledger: ``entries`` are its lines, and ``context`` are the numbers that are only quoted
    from the papers and not compared with a measurement.
    """

    entries: tuple[Entry, ...]
    context: tuple[Target, ...]

    @property
    def counted(self) -> tuple[Entry, ...]:
        """Return the lines of the ledger that do not repeat the comparison of an earlier line."""
        return tuple(entry for entry in self.entries if not entry.same_as)

    def json(self) -> list[dict[str, Any]]:
        """Return the entries as plain objects with the keys in `KEYS`."""
        return [entry.json() for entry in self.entries]


def build(
    book: Path,
    *,
    paper: str | None = None,
    item: str | None = None,
    profile: str | None = None,
    command: Command = no_command,
) -> Ledger:
    """Return the ledger of the folder ``book``, which has the papers' numbers, our records and
    reasons.csv.

    ``paper``, ``item``: if given, only the numbers of this paper, or of this table or figure, are
        included.
    ``profile``: if given, only measurements with this profile ("paper", "reduced" or "quick") are
        used, and a number without one gets the verdict `not run`. With None, each number is taken
        from the largest profile that measured it: paper, else reduced, else quick.
    ``command``: a function that returns the command line that measures a number (see `Command`).

    Raises ValueError for an unknown ``paper``, ``item`` or ``profile``, and for invalid files.
    """
    targets = read_targets(book / "targets")
    _known("paper", paper, PAPERS)
    _known("item", item, {t.item for t in targets.values() if paper in (None, t.paper)})
    _known("profile", profile, PROFILES)
    chosen = [
        target
        for target in targets.values()
        if paper in (None, target.paper) and item in (None, target.item)
    ]
    return Ledger(
        entries=entries(
            targets,
            [r for r in read_records(book / "records") if profile in (None, r.profile)],
            read_reasons(book / "reasons.csv", targets),
            chosen=[target for target in chosen if not target.context],
            profile=profile or "paper",
            command=command,
        ),
        context=tuple(target for target in chosen if target.context),
    )


def entries(
    targets: Mapping[str, Target],
    records: Iterable[Record],
    reasons: Mapping[str, str],
    *,
    chosen: Iterable[Target],
    profile: str = "paper",
    command: Command = no_command,
) -> tuple[Entry, ...]:
    """Return one ledger line for each of the papers' numbers in `chosen`. The command in a line
    runs the experiment that measures the number, if possible with the experiment size `profile`
    ("paper", "reduced" or "quick").
    """
    measured = measurements(targets, records)
    chosen = list(chosen)
    ids = {target.id for target in chosen}
    lines = []
    first: dict[Hashable, str] = {}
    for target in chosen:
        found, partner = _pair(target, measured)
        judgement = judge(target, found, partner)
        unexplained = judgement.verdict == "not reproduced"
        unrun = judgement.verdict == "not run"
        # If the first number of an ordering is measured and the second is not, show the command
        # that measures the second.
        lacking = found and target.partner and target.partner not in measured
        asked = targets[target.partner] if lacking and target.partner else target
        item = f"{target.paper}/{found.item}" if found and not unrun else ""
        line, needs = command(asked.id, asked.paper, profile, item)
        lines.append(
            Entry(
                target,
                judgement,
                profile=found.profile if found else None,
                note="; ".join(filter(None, (judgement.note, needs * unrun))),
                reason=reasons.get(target.id, "we do not know the reason" * unexplained),
                command=line,
                same_as=(
                    target.same_as
                    if target.same_as in ids and _of_one_profile(target, targets, measured)
                    else _earlier(first, target, targets, measured)
                ),
            )
        )
    return tuple(lines)


Measured = Mapping[str, Mapping[str, Measurement]]
"""Our measurements by the id of the paper's number and by profile."""


def _pair(target: Target, measured: Measured) -> tuple[Measurement | None, Measurement | None]:
    """Return our best measurement of one of the papers' numbers, and None. For an ordering, return
    our measurements of both numbers, from the best profile in which both were measured.

    Measurements with different profiles cannot be compared, because the experiments differ in size
    as well. If no profile has measurements of both numbers, the second result is None.
    """
    ours = measured.get(target.id, {})
    theirs = measured.get(target.partner or "", {})
    shared = [profile for profile in PROFILES if profile in ours and profile in theirs]
    if shared:
        return ours[shared[0]], theirs[shared[0]]
    return next((ours[profile] for profile in PROFILES if profile in ours), None), None


def _of_one_profile(target: Target, targets: Mapping[str, Target], measured: Measured) -> bool:
    """Return whether ``target`` and the number that it repeats are measured with one profile, or
    neither is measured.
    """
    first, second = (
        _pair(each, measured)[0] for each in (target, targets[target.same_as or target.id])
    )
    return (first and first.profile) == (second and second.profile)


def _values(target: Target, found: Measurement | None) -> Hashable:
    """Return a key for one of the papers' numbers. Two numbers have the same key if our measured
    values are equal; for this, an error of e % counts as an accuracy of 100 - e %. The key of a
    number without measured values is its id.
    """
    if found is None:
        return target.id.replace("error", "accuracy")
    flip = target.metric.endswith("error")
    numbers = (float(rounded(100 - v if flip else v)) for v in found.values)
    return (
        tuple(zip((row.seed for row in found.rows), numbers, strict=True)),
        target.metric.replace("error", "accuracy"),
    )


def _earlier(
    first: dict[Hashable, str],
    target: Target,
    targets: Mapping[str, Target],
    measured: Measured,
) -> str:
    """Return the id of the first number in the ledger that makes the same comparison as ``target``,
    or "" if no earlier one does.

    Two orderings make the same comparison if each is the partner of the other (a > b and b < a).
    They also do if they are from different tables or figures of one paper and order the same
    measurements. An error and an accuracy make the same comparison if they add up to 100 %, both in
    the paper and in our measurement for each seed.
    """
    found, other = _pair(target, measured)
    if target.partner is not None:
        partner = targets[target.partner]
        mirror = target.no_loss, frozenset((target.id, partner.id))
        if mirror in first:
            return first[mirror]
        pair = _values(target, found), _values(partner, other)
        if target.compare == "greater_than":
            pair = pair[1], pair[0]
        earlier = first.setdefault((target.paper, target.no_loss, pair), target.id)
        if targets[earlier].item == target.item:  # no mirror pair, so equal by chance
            earlier = target.id
        first[mirror] = earlier
        return "" if earlier == target.id else earlier
    if target.unit != "percent" or target.printed is None:
        return ""
    flip = target.metric.endswith("error")
    accuracy = round(100 - target.printed if flip else target.printed, 6)
    same = target.paper, accuracy, _values(target, found)
    first.setdefault((flip, *same), target.id)
    return first.get((not flip, *same), "")


def measurements(
    targets: Mapping[str, Target], records: Iterable[Record]
) -> dict[str, dict[str, Measurement]]:
    """Return our measurements of each of the papers' numbers, by id and by profile ("paper",
    "reduced" or "quick").

    All measurements of a number with one profile are taken from the same record (file of results).
    The record of one table or figure may also contain measurements for another. If several records
    measure a number, the record of the number's own table or figure is used.
    """
    found: dict[str, dict[str, Measurement]] = {}
    for record in records:
        where = f"the record {record.paper}/{record.item}.{record.profile}"
        rows: dict[str, list[Row]] = {}
        for row in record.rows:
            if row.target is not None:
                rows.setdefault(row.target, []).append(row)
        for id_, own in rows.items():
            target = targets.get(id_)
            if target is None or target.paper != record.paper:
                hint = _nearest(id_, targets)
                raise ValueError(f"{where} names {id_}, which is no target of {record.paper}{hint}")
            new = Measurement(record.item, record.profile, tuple(own))
            held = found.setdefault(id_, {})
            held[record.profile] = min(
                held.get(record.profile, new),
                new,
                key=lambda each: (each.item != target.item, each.item),
            )
    return found


def read_reasons(path: Path, targets: Mapping[str, Target]) -> dict[str, str]:
    """Return the hand-written explanations of verdicts, by the id of the paper's number; an empty
    dictionary if there is no such file. The columns are `ids` and `reason`; ids with the same
    reason stand in one row, with spaces between them.

    Raises ValueError for an unknown or repeated id, or an empty reason.
    """
    if not path.exists():
        return {}
    reasons: dict[str, str] = {}
    for where, row in read_rows(path, ("ids", "reason")):
        ids, reason = row["ids"].split(), row["reason"].strip()
        if not ids:
            raise ValueError(f"{where}: the row has no id")
        for id_ in ids:
            if id_ not in targets:
                raise ValueError(f"{where}: no target has the id {id_!r}{_nearest(id_, targets)}")
            if id_ in reasons or not reason:
                fault = "is listed twice" if id_ in reasons else "has an empty reason"
                raise ValueError(f"{where}: {id_} {fault}")
            reasons[id_] = reason
    return reasons


def _known(name: str, given: str | None, accepted: Iterable[str]) -> None:
    if given is not None and given not in set(accepted):
        raise ValueError(f"{name} must be one of {', '.join(sorted(accepted))}, got {given!r}")


def _nearest(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, list(known), n=1)
    return f" (nearest: {near[0]})" if near else ""
