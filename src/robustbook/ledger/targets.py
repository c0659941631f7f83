"""Read the targets (numbers, orderings and patterns of the papers) from
`book/targets/*-targets.csv`, and check them.

A target is one number, ordering or pattern of a paper. The column `compare` of a target says how
our measurement is compared with the paper's number:

    equal with the printed number, up to the tolerance
    at_most/at_least with the printed number as a bound
    less_than ID with the target ID, both measured by us
    greater_than ID like less_than, in the other direction
    shape a pattern that the note states in words

The tolerance of a target is fixed before the run; the note of each row says how the tolerance was
chosen.
"""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

PAPERS = ("saturating", "deep_defense", "self_ensemble", "survey")
COLUMNS = tuple(
    "id paper item setting metric unit printed kind compare tolerance source note".split()
)
KINDS = ("printed", "derived", "claim", "none", "digitised")
UNITS = ("percent", "fraction", "ratio", "count", "l2", "none")
BOUNDS = ("equal", "at_most", "at_least")  # need a printed number
ORDERINGS = ("less_than", "greater_than")  # need a partner

TALLIES = ("measured number", "ordering or shape", "setting", "claim tested by us")
# Sizes of layers, constants of a recipe, and numbers that hold by definition. For example, eps_ref
# is defined as the eps at which Deep Defense has an error of 50 %.
SETTING = re.compile(
    r"/settings/|/code-networks/|^saturating/table-2/|/l1-bounds/|/deep-defense/fgs-1\.0$"
)

# Seven orderings ask for "no loss" instead of a gain, as their notes say. Their tolerance is the
# loss that is allowed. All other orderings are strict.
NO_LOSS = re.compile(r"no loss of accuracy|no degradation", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One number, ordering or pattern of a paper. `printed` is None if the paper states no number,
    and `partner` is None if the target is no ordering.
    """

    id: str
    paper: str
    item: str
    setting: str
    metric: str
    unit: str
    printed: float | None
    kind: str
    compare: str
    partner: str | None
    tolerance: float
    source: str
    note: str

    @property
    def context(self) -> bool:
        """Return whether the ledger only quotes the target as context. A target that is only quoted
        is listed separately, never run and never counted.
        """
        return self.note.startswith("context:") or self.setting.startswith("CONTEXT ONLY")

    @property
    def tally(self) -> str:
        """Return the kind of comparison, one of TALLIES.

        "measured number": a number that stands in a paper or follows from numbers in the paper.

        "ordering or shape": which of two numbers is larger, or which shape a curve has.

        "setting": the size of a layer, or a constant of a recipe; see SETTING.

        "claim tested by us": a claim in words, of the paper or of a critic, for which we chose the
        test.
        """
        if SETTING.search(self.id) or self.metric in ("parameters", "setting"):
            return "setting"
        if self.item == "critique" or self.item.startswith("claim-"):
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
    """Return all targets of a folder by id, paper after paper, in the order of the files.

    Raises ValueError for a row that cannot be judged. A row cannot be judged if its column, paper,
    unit, kind, comparison or partner is unknown, if a bound has no number, or if its id is
    repeated.
    """
    targets: dict[str, Target] = {}
    for file in sorted(folder.glob("*-targets.csv")):
        with file.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            _accept(file.name, "columns", tuple(reader.fieldnames or ()), (COLUMNS,))
            for row in reader:
                target = _target(row, f"{file.name}, line {reader.line_num}")
                if target.id in targets:
                    raise ValueError(f"{file.name}: the id {target.id} stands there twice")
                targets[target.id] = target
    if not targets:
        raise ValueError(f"no *-targets.csv found in {folder}")
    for target in targets.values():
        if target.partner is not None and target.partner not in targets:
            raise ValueError(f"{target.id} is compared with {target.partner}, which no target has")
    return dict(sorted(targets.items(), key=lambda pair: PAPERS.index(pair[1].paper)))


def _target(row: dict[str, str], where: str) -> Target:
    word, *rest = row["compare"].split(" ")
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
    # The survey quotes tables of several papers, so "table-1" would not name one of them.
    item = row["id"].split("/")[1] if row["paper"] == "survey" else row["item"]
    return Target(
        id=row["id"],
        paper=row["paper"],
        item=item,
        setting=row["setting"],
        metric=row["metric"],
        unit=row["unit"],
        printed=printed,
        kind=row["kind"],
        compare=word,
        partner=rest[0] if rest else None,
        tolerance=tolerance,
        source=row["source"],
        note=row["note"],
    )


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
