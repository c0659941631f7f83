"""Read the data behind the pages: stored results (records), numbers printed in the papers (target
numbers), comparisons of both (the ledger), and benchmarks.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

from robustbook import catalogue, figures, ledger
from robustbook.ledger import Record, Row
from robustbook.studies.parameters import BadParameter


@dataclass(frozen=True)
class Version:
    """A record (a file of stored results), and the heading with which the captions of its tables
    begin. The field ``fresh`` is true if the current run of the page has computed the record.
    """

    record: Record
    heading: str
    fresh: bool = False

    @property
    def tag(self) -> str:
        """Return the ending of the labels (anchors) of tables: the profile (size of the
        experiment), so that each label on a page is unique.
        """
        return f"{self.record.profile}-run" if self.fresh else self.record.profile

    def table(
        self,
        caption: str,
        stem: str,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        align: str | None = None,
    ) -> figures.Table:
        """Return a numbered table of the record.

        ``caption``: the words after the heading; they begin with a punctuation mark.
        ``stem``: the label without ``tab-`` and without its ending (see `tag`).
        """
        caption, name = f"{self.heading}{caption}", f"tab-{stem}-{self.tag}"
        return figures.table(caption, name, headers, rows, align=align)


def version_of(record: Record) -> Version:
    """Return a `Version` for a record of the book, with the heading for tables."""
    return Version(record, f"Stored results (profile {record.profile})")


def rows_of(record: Record, name: str, /, **setting: Any) -> list[Row]:
    """Return the rows of a record that have the given ``name`` and the given labels
    (``setting``).
    """
    return [
        row
        for row in record.rows
        if row.name == name and all(row.setting.get(k) == v for k, v in setting.items())
    ]


def values(record: Record, name: str, /, **setting: Any) -> list[float]:
    """Return one value per seed, from the rows that `rows_of` returns."""
    return [float(row.value) for row in rows_of(record, name, **setting)]


def of_target(record: Record, target: str) -> list[float]:
    """Return one value per seed. A row of the record is used if it is compared with the paper's
    number whose id is ``target``.
    """
    return [float(row.value) for row in record.rows if row.target == target]


def array(record: Record, name: str) -> list[Any]:
    """Return the array ``name`` of a record, with every number as a float, because a record
    stores 1.0 as the integer 1.
    """
    return [_floats(each) for each in record.arrays[name]]


def _floats(nested: Any) -> Any:
    return [_floats(each) for each in nested] if isinstance(nested, list) else float(nested)


def mean(record: Record, name: str, /, **setting: Any) -> float:
    """Return the mean over the seeds of the measurement ``name`` with the given labels
    (``setting``). Raise ValueError if the record does not contain the measurement, or has more rows
    than seeds, because then a label is missing.
    """
    found = values(record, name, **setting)
    if not 1 <= len(found) <= max(len(record.seeds), 1):
        raise ValueError(
            f"the record of {record.item} has {len(found)} rows {name} with {setting}, "
            f"and {len(record.seeds)} seeds"
        )
    return fmean(found)


def images_of(record: Record, name: str, /, **setting: Any) -> int:
    """Return the number of test images from which a share was computed. If the rows of the record
    with the given ``name`` and labels have different numbers, the smallest one is returned. Raise
    ValueError if no row states a number of images.
    """
    found = [row.images for row in rows_of(record, name, **setting) if row.images]
    if not found:
        raise ValueError(f"the record of {record.item} has no images for {name} with {setting}")
    return min(found)


def settings(record: Record, name: str, label: str, /, **setting: Any) -> list[Any]:
    """Return the distinct values that the label ``label`` has in a record, in the order of the
    rows. A row is used if it has the given ``name`` and if its labels have the values in
    ``setting``.
    """
    rows = rows_of(record, name, **setting)
    return list(dict.fromkeys(row.setting[label] for row in rows if label in row.setting))


def accuracies(record: Record) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return nested dicts of accuracies in percent. The keys are the network, the training and the
    attack; a value is the list of accuracies, one per seed.

    A row of the record is used only if it has labels for the network, the training and the attack.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in record.rows:
        if row.name == "accuracy" and {"network", "method", "reading"} <= row.setting.keys():
            network, method, reading = (
                str(row.setting[k]) for k in ("network", "method", "reading")
            )
            found.setdefault(network, {}).setdefault(method, {}).setdefault(reading, []).append(
                float(row.value)
            )
    return found


def printed(target: str) -> float | None:
    """Return a number that the paper prints, looked up by its id ``target``."""
    return _targets(catalogue.BOOK / "targets")[target].printed


def as_printed(target: str) -> str | None:
    """Return a number that the paper prints as text, with the paper's trailing zeros. The number is
    looked up by its id ``target``; return None if the paper prints no number.
    """
    return _targets(catalogue.BOOK / "targets")[target].as_printed or None


def tolerance(target: str) -> float:
    """Return the tolerance of a number that the paper prints, looked up by its id ``target``."""
    return _targets(catalogue.BOOK / "targets")[target].tolerance


@cache
def _targets(folder: Path) -> dict[str, ledger.Target]:
    """Return a dict from ids to target numbers (numbers printed in the papers). Each file is read
    only once, because no target number changes while a page is shown.
    """
    return ledger.read_targets(folder)


def entries(paper: str, item: str | None = None) -> tuple[ledger.Entry, ...]:
    """Return the rows of the ledger (printed numbers compared with ours) for a paper, or for one of
    its tables or figures (``item``).
    """
    return _entries(catalogue.BOOK, _stamps(catalogue.BOOK), paper, item)


def compared(item: str) -> list[ledger.Entry]:
    """Return the rows of the ledger that the page of ``item`` (``paper/name``) shows, grouped by
    table or figure. Of two that make the same comparison, only the first is returned.
    """
    lines = entries(item.split("/")[0])
    judged = catalogue.judged(item)
    own = [e for each in judged for e in lines if f"{e.paper}/{e.item}" == each]
    here = {entry.id for entry in own}
    return [entry for entry in own if entry.same_as not in here]


Stamps = tuple[tuple[Path, int], ...]
"""Pairs of a file and the time of its last change."""


def _stamps(folder: Path) -> Stamps:
    """Return when the files from which the ledger is built were last changed. The files are in the
    book's folder.
    """
    files = [
        *folder.glob("records/*/*.json"),
        *folder.glob("targets/*.csv"),
        *folder.glob("reasons.csv"),
    ]
    return tuple((path, path.stat().st_mtime_ns) for path in sorted(files))


@lru_cache(maxsize=8)
def _entries(book: Path, stamps: Stamps, paper: str, item: str | None) -> tuple[ledger.Entry, ...]:
    """Return the rows of the ledger for a paper, or for one of its tables or figures. The rows are
    cached until a file changes; ``stamps`` contains the times of the files' last changes.
    """
    return catalogue.whole_ledger(book, paper=paper, item=item).entries


def records_of(item: str) -> list[Record]:
    """Return the records (stored results) that come with the book for a table or figure
    (``paper/item``), the largest experiment first.
    """
    paper, name = item.split("/")
    paths = [
        ledger.record_path(catalogue.BOOK / "records", paper, name, p) for p in ledger.PROFILES
    ]
    return [_record(path, path.stat().st_mtime_ns) for path in paths if path.exists()]


def without_quick(records: Sequence[Record]) -> list[Record]:
    """Return the records without those for profile ``quick`` (short runs on small images). If there
    are no others, return all.
    """
    return [record for record in records if record.profile != "quick"] or list(records)


def first(records: Iterable[Record], name: str, /, **setting: Any) -> Record | None:
    """Return the first record that contains the measurement ``name`` with the given labels
    (``setting``), or None.
    """
    return next((record for record in records if values(record, name, **setting)), None)


@lru_cache(maxsize=8)
def _record(path: Path, stamp: int) -> Record:
    """Return the record in a file. The record is cached until the file changes; ``stamp`` is the
    time of the file's last change.
    """
    return ledger.read_record(path)


def record_of(item: str) -> Record:
    """Return the record (stored results) that comes with the book for a table or figure. If there
    are several, the largest experiment counts. Raise BadParameter if the book has no record for the
    table or figure.
    """
    records = records_of(item)
    if not records:
        raise BadParameter(f"item must have a published record, got {item!r}, which has none")
    return records[0]


def benchmark(name: str) -> dict[str, Any]:
    """Return the results that ``python -m benchmarks.<name>`` wrote."""
    path = catalogue.BOOK.parent / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def verdicts(paper: str) -> dict[str, str]:
    """Return a dict with the verdict on each target number of a paper. The keys are the ids of the
    target numbers.
    """
    return {entry.id: entry.verdict for entry in entries(paper)}
