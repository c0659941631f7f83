"""Store the measurements of a study in a record, a small JSON file in the git repository.

The file of a record is `book/records/<paper>/<item>.<profile>.json`, where the item is a table,
figure or claim and the profile is the size of the experiment. A record has rows (single measured
numbers), arrays that figures draw, and the versions, devices and seconds of the run (the
provenance). Keys are sorted, so that writing the same record twice gives the same bytes, and each
row, array and parameter has its own line. Numbers that are not whole are rounded to 6 significant
digits, which is more precise than any of our measurements.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from robustbook.files import write_whole

from .intervals import FULL
from .outcomes import unpacked

PROFILES = ("paper", "reduced", "quick")  # the best first
DIGITS = 6


@dataclass(frozen=True)
class Row:
    """One measured number of a record.

    ``value``: a finite number in `unit`, which is percent (0..100), fraction (0..1), ratio, count,
        l2, linf or none.
    ``target``: the id of the paper's number with which this one is compared, or None.
    ``name``: what was measured, in words; it may be empty if ``target`` is given.
    ``seed``: the seed of the run; None if the measurement is not random, such as a number of
        parameters.
    ``images``: the number of test images, if the value is a share of them; None otherwise. For a
        share, the prediction interval includes the binomial error.
    ``holds``: for a pattern (``compare`` is `shape`), whether it holds in the run with this seed;
        None for a number.
    ``setting``: labels of the measured number, such as the network, the training and the attack.
    ``differs``: in words, how the experiment differs from the paper's, if this may change the
        number. An example is a training that is too short to reach the paper's clean accuracy. The
        verdict on the number is then `other setting`.
    ``outcomes``: for a share of test images, which of the images count, one bit per image (see
        `outcomes.packed`), or "". With outcomes, two shares of the same images are compared image
        by image.
    ``error``: half the width of the 95 % interval due to the choice of test images, for a number
        that is not a share, such as the difference of two shares; or None. For a share, it is 0 if
        the images are a whole test set, such as all images of two classes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    value: float | int
    unit: str
    target: str | None = None
    name: str = ""
    seed: int | None = None
    images: int | None = None
    holds: bool | None = None
    setting: dict[str, str | float | int | bool] = field(default_factory=dict)
    differs: str = ""
    outcomes: str = ""
    error: float | int | None = None

    def __post_init__(self) -> None:
        what = self.target or self.name
        if not what:
            raise ValueError("a row needs a target or a name, got neither")
        if not math.isfinite(self.value):
            raise ValueError(f"value of {what} must be a finite number, got {self.value}")
        if self.images is not None:
            full = FULL.get(self.unit, -1.0)
            if self.images < 1 or not 0 <= self.value <= full:
                raise ValueError(
                    f"images of {what} must be 1 or more and belong to a share (0 to 100 percent "
                    f"or 0 to 1 fraction), got {self.images} with {self.value} {self.unit}"
                )
        largest = math.inf if self.images is None else 0
        if self.error is not None and not (0 <= self.error <= largest and self.error < math.inf):
            raise ValueError(
                f"error of {what} must be a finite number, 0 or above, or 0 for a share of test "
                f"images, got {self.error} with images {self.images}"
            )
        if self.outcomes:
            share = FULL.get(self.unit, -1.0) * float(self.each.mean())
            if abs(share - self.value) > 1e-4:
                raise ValueError(
                    f"outcomes of {what} must have the share {self.value} {self.unit}, got {share}"
                )

    @property
    def each(self) -> NDArray[np.bool_]:
        """Return for each test image whether it counts in the share. Raises ValueError if the row
        does not have one outcome for each of its images.
        """
        return unpacked(self.outcomes, self.images or 0)


@dataclass(frozen=True)
class Record:
    """The results of one run of a table, figure or claim.

    `paper` and `item` (a table, figure or claim) have the same names as in the files of
    `book/targets`. The `profile` is the size of the experiment: "paper", "reduced" or "quick". The
    values of `arrays` are nested lists (or anything with `tolist`) of numbers, bools and strings,
    where NaN stands for a value that does not exist. The values of `parameters` and `provenance`
    are anything that JSON can store.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    paper: str
    item: str
    profile: str
    parameters: dict[str, Any]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    arrays: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile must be one of {PROFILES}, got {self.profile!r}")
        seen = set()
        for row in self.rows:
            if row.seed is not None and row.seed not in self.seeds:
                raise ValueError(
                    f"seed of {row.target or row.name} must be one of {self.seeds}, got {row.seed}"
                )
            what = row.target or _line([row.name, row.setting])
            if (what, row.seed) in seen:
                raise ValueError(f"{what} has two rows for seed {row.seed}, one is accepted")
            seen.add((what, row.seed))


def rounded(value: float | int) -> float | int:
    """Return a number rounded to 6 digits; a whole number, such as a number of parameters, stays
    exact.
    """
    value = float(value)
    if not value.is_integer():
        value = float(f"{value:.{DIGITS}g}")  # may be whole, such as 7 for 7.000000000000001
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def record_path(folder: Path, paper: str, item: str, profile: str) -> Path:
    """Return the path of a record's file in ``folder`` (book/records)."""
    return folder / paper / f"{item}.{profile}.json"


def write_record(record: Record, folder: Path) -> Path:
    """Write `record` into `folder` (book/records) atomically; return the path."""
    path = record_path(folder, record.paper, record.item, record.profile)
    write_whole(path, _text(record).encode("utf-8"))
    return path


def read_record(path: Path) -> Record:
    """Return the record of one file, with arrays as nested lists.

    Raises ValueError with a message that names the file, if the file is unreadable or invalid.
    """
    cure = "restore it from git, or run and publish the item again"
    try:
        # Validate the JSON text, because pydantic's strict mode then accepts lists as tuples.
        record: Record = _adapter().validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "record"
        raise ValueError(f"{path} is no valid record ({at}: {first['msg']}): {cure}") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a record ({error}): {cure}") from error
    record = replace(record, arrays={k: _from_null(v) for k, v in record.arrays.items()})
    if path != record_path(path.parents[1], record.paper, record.item, record.profile):
        held = f"{record.paper}/{record.item} with profile {record.profile}"
        raise ValueError(f"{path} holds the record of {held}: rename it, or {cure}")
    return record


@cache
def _adapter() -> Any:
    """Return the pydantic object that reads records. It is built only once, because building it
    takes as long as reading a small record.
    """
    return TypeAdapter(Record)


def read_records(folder: Path) -> tuple[Record, ...]:
    """Return all records in `folder` (book/records), sorted by path; () if there is no folder."""
    return tuple(read_record(path) for path in sorted(folder.glob("*/*.json")))


class Conflict(ValueError):
    """The error for two records that contradict each other; the message names the contradiction."""


def compare(published: Record, new: Record) -> list[Row]:
    """Return the rows of the old record `published` that the record `new` lacks.

    Raises Conflict if a row has different values in the two records. Values count as equal if they
    agree to 6 digits. If only one of the two rows has outcomes, this is no difference.
    """
    held = {_key(row): row for row in new.rows}
    for row in published.rows:
        other = held.get(_key(row), row)
        both = bool(row.outcomes and other.outcomes)
        if _row(other, both) != _row(row, both):
            raise Conflict(
                f"{named(row)} is published as {rounded(row.value)} {row.unit} and now "
                f"{rounded(other.value)} {other.unit}, or differs in another field"
            )
    return [row for row in published.rows if _key(row) not in held]


def merge(published: Record, new: Record) -> tuple[tuple[Row, ...], dict[str, Any]]:
    """Return the rows of both records together, and the arrays of both together.

    The merged rows have the order in which one study of all seeds would have written them. Two rows
    are of the same kind if they measure the same number for different seeds. Each row of the record
    with fewer seeds is inserted into the other record, at the position that `_place` returns. If
    the other record has no row of the same kind, the row is inserted after the row that precedes it
    in its own record.

    Of two rows for the same number and seed, the one with outcomes is kept. Arrays of the same name
    must be equal: they cannot be merged, because they may be means over seeds.

    Raises Conflict if a row or an array has different values in the two records.
    """
    compare(published, new)
    for name in published.arrays.keys() & new.arrays.keys():
        if _line(published.arrays[name]) != _line(new.arrays[name]):
            raise Conflict(f"the array {name!r} is published with other numbers")
    base, other = published, new
    if len({row.seed for row in new.rows}) > len({row.seed for row in published.rows}):
        base, other = new, published
    like: dict[str, list[tuple[int, int]]] = defaultdict(list)  # by kind: seeds and positions
    for place, row in enumerate(base.rows):
        seed, kind = _key(row)
        like[kind].append((seed, place))
    # The rows to insert before each position.
    before: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    at, near = (len(base.rows) if base is published else 0), -1
    for row in other.rows:
        seed, kind = _key(row)
        found = like.get(kind, [])
        if found:
            at, near = _place(base.rows, found, seed), seed
        if all(seed != there for there, _ in found):
            before[at].append((near, row))
    rows: list[Row] = []
    for place in range(len(base.rows) + 1):
        rows += [row for _, row in sorted(before[place], key=lambda pair: pair[0])]
        rows += base.rows[place : place + 1]
    fuller = {_key(row): row for row in (*published.rows, *new.rows) if row.outcomes}
    rows = [fuller.get(_key(row), row) for row in rows]
    return tuple(rows), {**published.arrays, **new.arrays}


def named(row: Row) -> str:
    """Return a readable name of a row: the id of the paper's number (or the row's name and labels),
    and the seed.
    """
    labels = "".join(f", {name} {value}" for name, value in row.setting.items())
    seed = "" if row.seed is None else f" at seed {row.seed}"
    return f"{row.target or row.name + labels}{seed}"


def _place(rows: Sequence[Row], like: Sequence[tuple[int, int]], seed: int) -> int:
    """Return the position in ``rows`` at which a row with the seed ``seed`` is inserted.

    ``like``: the seeds and positions of the rows of the same kind as the inserted row.

    The new row is placed after the neighbouring rows with the largest seed in ``like`` that is not
    above ``seed``. If all seeds in ``like`` are above ``seed``, it is placed before the
    neighbouring rows with the smallest seed in ``like``.
    """
    smaller = [pair for pair in like if pair[0] <= seed]
    near, place = max(smaller) if smaller else min(like)
    if smaller:
        while place < len(rows) and _seed(rows[place]) == near:
            place += 1
    else:
        while place > 0 and _seed(rows[place - 1]) == near:
            place -= 1
    return place


def _seed(row: Row) -> int:
    return -1 if row.seed is None else row.seed


def _key(row: Row) -> tuple[int, str]:
    """Return a key that identifies a row: its seed (-1 for None), and all its labels as text."""
    return _seed(row), _line([row.target, row.name, row.setting])


def _row(row: Row, outcomes: bool = True) -> str:
    held = asdict(row) if outcomes else asdict(replace(row, outcomes=""))
    return _line({k: v for k, v in held.items() if v not in (None, "", {})})


def _text(record: Record) -> str:
    rows = [f"  {_row(row)}" for row in record.rows]
    parts = {
        "arrays": _block(record.arrays),
        "item": _line(record.item),
        "paper": _line(record.paper),
        "parameters": _block(record.parameters),
        "profile": _line(record.profile),
        "provenance": _block(record.provenance),
        "rows": "[\n" + ",\n".join(rows) + "\n ]" if rows else "[]",
        "seeds": _line(record.seeds),
    }
    return "{\n" + ",\n".join(f' "{name}": {text}' for name, text in parts.items()) + "\n}\n"


def _block(mapping: Mapping[str, Any]) -> str:
    lines = [f"  {_line(name)}: {_line(mapping[name])}" for name in sorted(mapping)]
    return "{\n" + ",\n".join(lines) + "\n }" if lines else "{}"


def _line(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a value in a form that JSON can store, with arrays as lists, numbers rounded, and NaN
    as null.

    Raises ValueError for an infinite number.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"a record holds finite numbers, or NaN for no value, got {value}")
        return None if math.isnan(value) else rounded(value)
    return value


def _from_null(value: Any) -> Any:
    if not isinstance(value, list):
        return math.nan if value is None else value
    deep = any(isinstance(v, list) for v in value[:1])  # a list of numbers contains no lists
    return [_from_null(v) for v in value] if deep or None in value else value
