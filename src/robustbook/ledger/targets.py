"""Read and check the targets from `book/targets/*-targets.csv`.

A target is one number, ordering or pattern that a paper states. The column `compare` says how our
measurement is compared with the paper's statement:

    equal            our number equals the paper's number, up to the tolerance
    at_most          our number is at most the paper's number
    at_least         our number is at least the paper's number
    less_than ID     our number is less than our measurement of the target ID
    greater_than ID  our number is greater than our measurement of the target ID
    shape            a pattern holds, which the note states in words

The column `note` says how the tolerance was chosen. The column `name`, which tables show, says in
words what is measured or, for an ordering or a pattern, what the paper states.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PAPERS = ("saturating", "deep_defense", "self_ensemble", "survey")
COLUMNS = tuple(
    "id name paper item setting metric unit printed kind compare tolerance source note".split()
)
KINDS = ("printed", "derived", "claim", "none", "digitised")
UNITS = ("percent", "fraction", "ratio", "count", "l2", "linf", "none")
BOUNDS = ("equal", "at_most", "at_least")  # these need a number printed in the paper
ORDERINGS = ("less_than", "greater_than")  # these need the id of a second target

TALLIES = {
    "measured number": "Measured numbers",
    "ordering or shape": "Orderings and shapes",
    "setting": "Settings",
    "claim tested by us": "Claims tested by us",
}
# Sizes of layers, constants of a recipe, and numbers that follow from a definition or a formula.
# For example, eps_ref is defined as the eps at which Deep Defense has an error of 50 %, and our
# code has one noise layer per convolution because the paper says so.
SETTING = re.compile(
    r"/settings/|/code-networks/|^saturating/table-2/|/l1-bounds/|/deep-defense/fgs-1\.0$"
    r"|/cohen-theory/|^saturating/figure-6/(gaussian/|pearson-limit/|pearson/gamma-10$)"
    r"|^saturating/text-8/pearson/gain-(recomputed|median-scaling)$|^self-ensemble/(claim-jensen|figure-1/)"
)

# Seven orderings claim "no loss" instead of a gain, as their notes say. Their tolerance is the loss
# that is allowed. All other orderings are strict.
NO_LOSS = re.compile(r"no loss of accuracy|no degradation", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One number, ordering or pattern that a paper states. `printed` is the number in the paper, or
    None; `as_printed` is the same as text, with the paper's trailing zeros. `partner` is the id of
    the second number of an ordering, otherwise None. `same_as` is the id of a number that the paper
    states in another place too, or "".
    """

    id: str
    name: str
    paper: str
    item: str
    setting: str
    metric: str
    unit: str
    printed: float | None
    as_printed: str
    kind: str
    compare: str
    partner: str | None
    tolerance: float
    source: str
    note: str
    same_as: str = ""

    @property
    def context(self) -> bool:
        """Return whether the ledger only quotes the paper's number as context, without a comparison
        with our measurements. Such numbers stand in a separate list and are not counted.
        """
        return self.note.startswith("context:") or self.setting.startswith("CONTEXT ONLY")

    @property
    def tally(self) -> str:
        """Return the kind of comparison, one of TALLIES.

        "measured number": a number that stands in a paper or follows from numbers in the paper.

        "ordering or shape": a claim about which of two numbers is larger, or about the shape of a
        curve.

        "setting": the size of a layer, a constant of a recipe, or a number that follows from a
        definition or a formula.

        "claim tested by us": a claim of the paper or of a critic, stated in words; we chose the
        experiment that tests the claim.
        """
        if SETTING.search(self.id) or self.metric in ("parameters", "setting"):
            return "setting"
        if self.item == "critique" or self.item.startswith("claim-") or "/claim/" in self.id:
            return "claim tested by us"
        if self.compare in BOUNDS:
            return "claim tested by us" if self.kind == "claim" else "measured number"
        return "ordering or shape"

    @property
    def no_loss(self) -> bool:
        """Return whether an ordering only claims that the first number is not worse than the
        second, up to the tolerance.
        """
        return NO_LOSS.search(self.note) is not None


def read_targets(folder: Path) -> dict[str, Target]:
    """Return all targets in the files of a folder, by id and sorted by paper. The file same.csv, if
    there is one, lists the targets that repeat another target.

    Raises ValueError for an unknown column, paper, unit, kind, comparison or partner, for a bound
    without a number, and for an id that two rows have.
    """
    targets: dict[str, Target] = {}
    for file in sorted(folder.glob("*-targets.csv")):
        for where, row in read_rows(file, COLUMNS):
            target = _target(row, where)
            if target.id in targets:
                raise ValueError(f"{file.name}: the id {target.id} is listed twice")
            targets[target.id] = target
    if not targets:
        raise ValueError(f"no *-targets.csv found in {folder}")
    for target in targets.values():
        if target.partner is not None and target.partner not in targets:
            raise ValueError(f"{target.id} is compared with {target.partner}, which no target has")
    same = folder / "same.csv"
    for where, row in read_rows(same, ("id", "same_as")) if same.exists() else ():
        for id_ in row.values():
            if id_ not in targets:
                raise ValueError(f"{where}: no target has the id {id_!r}")
        targets[row["id"]] = replace(targets[row["id"]], same_as=row["same_as"])
    return dict(sorted(targets.items(), key=lambda pair: PAPERS.index(pair[1].paper)))


def read_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file, each with the name of the file and the number of the line.

    Raises ValueError if the columns of the file are not ``columns``. Raises ValueError too if a row
    has too few or too many fields, for example because a text with a comma is not quoted.
    """
    with file.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        _accept(file.name, "columns", tuple(reader.fieldnames or ()), (tuple(columns),))
        for row in reader:
            where = f"{file.name}, line {reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(
                    f"{where}: a row must have {len(columns)} fields, with quotes around a text "
                    f"that contains a comma, got {row}"
                )
            yield where, row


def _target(row: dict[str, str], where: str) -> Target:
    word, *rest = row["compare"].split(" ")
    if not row["name"]:
        raise ValueError(f"{where}: the column name must say in words what is compared")
    _accept(where, "paper", row["paper"], PAPERS)
    _accept(where, "unit", row["unit"], UNITS)
    _accept(where, "kind", row["kind"], KINDS)
    _accept(where, "compare", word, (*BOUNDS, *ORDERINGS, "shape"))
    _accept(where, "number of words after compare", len(rest), (int(word in ORDERINGS),))
    printed = _number(where, "printed", row["printed"]) if row["printed"] else None
    if word in BOUNDS and printed is None:
        raise ValueError(f"{where}: {word} needs a number in the column printed, which is empty")
    tolerance = _number(where, "tolerance", row["tolerance"])
    if tolerance < 0:
        raise ValueError(f"{where}: tolerance must be 0 or more, got {tolerance}")
    # The survey quotes tables of several papers, so "table-1" would not identify a table.
    item = row["id"].split("/")[1] if row["paper"] == "survey" else row["item"]
    return Target(
        id=row["id"],
        name=row["name"],
        paper=row["paper"],
        item=item,
        setting=row["setting"],
        metric=row["metric"],
        unit=row["unit"],
        printed=printed,
        as_printed=_grouped(row["printed"]),
        kind=row["kind"],
        compare=word,
        partner=rest[0] if rest else None,
        tolerance=tolerance,
        source=row["source"],
        note=row["note"],
    )


def _grouped(number: str) -> str:
    """Return a number as text, with commas if it is a whole number of four or more digits."""
    return f"{int(number):,}" if number.isdecimal() and len(number) > 3 else number


def _accept(where: str, name: str, given: object, accepted: tuple[object, ...]) -> None:
    if given not in accepted:
        raise ValueError(f"{where}: {name} must be one of {accepted}, got {given!r}")


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {name} must be a finite number, got {text!r}")
    return value
