"""List the claims of the papers in plain words, and compute from the verdicts whether each
survives.

A claim is a hand-written row of `book/claims.csv`. It contains the paper, the claim in words, and
the page that tests the claim ("" if there is no page yet). Three further columns contain ids of the
paper's numbers, separated by spaces: numbers that support the claim, numbers that refute it, and
numbers that show that it holds only in float32. From the verdicts on these numbers, `status`
computes whether the claim survives:

    fails            a supporting number was not reproduced, or a refuting number was reproduced
    only in float32  the claim does not fail, a supporting number was reproduced, and also a
                     number that shows that the effect shrinks if the attack is in float64
    inconclusive     none of these, but our runs of a supporting number vary too much to tell
    survives         none of these, and at least half of the numbers that support or refute the
                     claim were measured with the paper's setting
    survives so far  none of these, but fewer than half of the numbers were measured
    untested         no number was measured with the paper's setting
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .targets import PAPERS, Target, read_rows
from .verdicts import JUDGED

STATUSES = ("survives", "survives so far", "only in float32", "inconclusive", "fails", "untested")
COLUMNS = ("paper", "claim", "page", "supported_by", "refuted_by", "lost_in_float64")


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, and the ids of the paper's numbers that, if reproduced, support it,
    refute it, or show that it holds only in float32.
    """

    paper: str
    words: str
    page: str
    supported_by: tuple[str, ...] = ()
    refuted_by: tuple[str, ...] = ()
    lost_in_float64: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the ids of all numbers of the paper on which the claim depends."""
        return (*self.supported_by, *self.refuted_by, *self.lost_in_float64)


def read_claims(path: Path, targets: Mapping[str, Target]) -> tuple[Claim, ...]:
    """Return the claims of a file, in their order in the file.

    Raises ValueError for wrong columns, an unknown paper, an unknown id, a repeated claim, or a
    claim without ids.
    """
    claims: dict[str, Claim] = {}
    for where, row in read_rows(path, COLUMNS):
        lists = (tuple(row[name].split()) for name in COLUMNS[3:])
        claim = Claim(row["paper"], row["claim"], row["page"], *lists)
        if claim.paper not in PAPERS:
            raise ValueError(f"{where}: paper must be one of {PAPERS}, got {claim.paper!r}")
        if claim.words in claims:
            raise ValueError(f"{where}: the claim {claim.words!r} is listed twice")
        if not (claim.supported_by or claim.refuted_by):
            raise ValueError(f"{where}: no target supports or refutes {claim.words!r}")
        for target in claim.targets:
            if target not in targets:
                raise ValueError(f"{where}: no target has the id {target!r}")
        claims[claim.words] = claim
    return tuple(claims.values())


def status(claim: Claim, verdicts: Mapping[str, str]) -> str:
    """Return whether a claim survives (one of STATUSES), computed from the verdicts by the rules in
    the module's docstring.
    """
    supporting = _judged(claim.supported_by, verdicts)
    refuting = _judged(claim.refuted_by, verdicts)
    if "not reproduced" in supporting or "reproduced" in refuting:
        return "fails"
    if not supporting and not refuting:
        return "untested"
    lost = _judged(claim.lost_in_float64, verdicts)
    if "reproduced" in supporting and "reproduced" in lost:
        return "only in float32"
    judged = (*supporting, *refuting)
    if "inconclusive" in judged:
        return "inconclusive"
    half = (len(claim.supported_by) + len(claim.refuted_by)) / 2
    return "survives" if len(judged) >= half else "survives so far"


def sides(claim: Claim, verdicts: Mapping[str, str]) -> dict[str, int]:
    """Return how many comparisons speak for a claim ("for"), speak against it ("against"), leave it
    open ("open"), were run only in another setting than the paper's, and were not run. A smaller
    effect in float64 does not refute a claim on float32, so it is not counted.
    """
    found = {"for": 0, "against": 0, "open": 0, "only in another setting": 0, "not run": 0}
    either = {"inconclusive": "open", "other setting": "only in another setting"}
    words = {"reproduced": "for", "not reproduced": "against", **either}
    turned = {"reproduced": "against", "not reproduced": "for", **either}
    for ids, of in ((claim.supported_by, words), (claim.refuted_by, turned)):
        for each in ids:
            found[of.get(verdicts.get(each, ""), "not run")] += 1
    return found


def _judged(ids: Iterable[str], verdicts: Mapping[str, str]) -> list[str]:
    """Return the verdicts on those numbers that were measured with the paper's setting."""
    return [verdicts[each] for each in ids if verdicts.get(each) in JUDGED]
