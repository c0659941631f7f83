"""The verdict on one target, as a pure function of the target and what was measured.

The rules, fixed before anything was run:

equal. The prediction interval, widened by the tolerance on both sides, contains the printed
number: the paper's run may have been one of ours.

at_most, at_least. The same with a bound in place of a number: the end of the widened interval
that lies on the allowed side decides (the low end for at_most). So `equal` is at_most and
at_least together. Where only the spread reaches and our mean does not, the note says so.

less_than, greater_than. Strict: the 95 % confidence interval of the difference of the means,
paired by seed where both were run with the same seeds and Welch's otherwise, lies wholly on the
named side of 0. The tolerances of orderings stand for seed noise (their notes say so), so they
count only where seeds cannot show it: with a single run on either side the difference must exceed
the tolerance. The few orderings that ask for "no loss" hold unless the interval, widened by the
tolerance, lies wholly on the wrong side.

shape. The study decides per seed whether the pattern holds (`Row.holds`) and reports the number
it looked at as the value; the verdict is that of more than half of the seeds. A shape without
`holds` is a number to be reported, with nothing to compare it with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .intervals import difference_interval, prediction_interval
from .records import Row, rounded
from .targets import BOUNDS, ORDERINGS, Target

VERDICTS = ("reproduced", "not reproduced", "other setting", "no printed number", "not run")


@dataclass(frozen=True)
class Measurement:
    """The rows of one record that answer one target: one row per seed."""

    item: str  # of the record, mostly the target's own
    profile: str
    rows: tuple[Row, ...]

    @property
    def values(self) -> list[float]:
        return [float(row.value) for row in self.rows]

    @property
    def seeds(self) -> list[int]:
        return [row.seed for row in self.rows if row.seed is not None]


@dataclass(frozen=True)
class Judgement:
    """verdict: one of VERDICTS. ours, low, high: mean and interval. note: what the rule saw."""

    verdict: str
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    note: str = ""


def judge(
    target: Target, measured: Measurement | None, partner: Measurement | None = None
) -> Judgement:
    """The verdict on `target`; `partner` is what was measured for the target it names, if any.

    Raises ValueError where the rows cannot answer the target: another unit, a claimed pattern
    without `holds`.
    """
    if measured is None:
        return Judgement("not run")
    for row in measured.rows:
        if row.unit != target.unit:
            raise ValueError(f"{target.id} is asked for in {target.unit}, got {row.unit}")
    images = min((row.images for row in measured.rows if row.images), default=None)
    interval = prediction_interval(measured.values, unit=target.unit, images=images)
    # Judged as shown: the rounded numbers.
    ours, low, high = (float(rounded(x)) for x in (fmean(measured.values), *interval))

    def answer(verdict: str, note: str) -> Judgement:
        return Judgement(verdict, ours, low, high, len(measured.seeds), note)

    profiles = {measured.profile}
    if target.compare in ORDERINGS:
        if partner is None:
            return answer("not run", f"compared with {target.partner}, which has not been run")
        profiles.add(partner.profile)
        holds, note = _ordering(target, measured, partner)
    elif target.compare == "shape":
        marks = [row.holds for row in measured.rows if row.holds is not None]
        if not marks and target.kind != "claim":
            return answer("no printed number", "")
        if len(marks) != len(measured.rows):
            raise ValueError(f"{target.id} states a pattern: holds must be given for each seed")
        holds, note = 2 * sum(marks) > len(marks), f"holds in {sum(marks)} of {len(marks)}"
    else:
        assert target.compare in BOUNDS
        holds, note = _bound(target, ours, low, high, len(measured.rows))
    if profiles != {"paper"}:
        where = "at this setting the comparison " + ("holds" if holds else "does not hold")
        return answer("other setting", f"{where}; {note}" if note else where)
    return answer("reproduced" if holds else "not reproduced", note)


def _bound(target: Target, ours: float, low: float, high: float, n: int) -> tuple[bool, str]:
    assert target.printed is not None
    printed, tolerance = target.printed, target.tolerance
    # How far the printed number lies outside on the side that counts; decimals such as 0.1 have
    # no exact binary form, so equality is taken up to rounding.
    rounding = 1e-9 * max(abs(printed), tolerance)

    def beyond(bottom: float, top: float) -> float:
        under = bottom - tolerance - printed if target.compare != "at_least" else 0.0
        over = printed - top - tolerance if target.compare != "at_most" else 0.0
        gap = max(under, over)
        return gap if gap > rounding else 0.0

    bound = {"at_most": "printed as an upper bound", "at_least": "printed as a lower bound"}
    notes = [bound[target.compare]] if target.compare in bound else []
    gap = beyond(low, high)
    if gap:
        side = "above" if ours > printed else "below"
        limit = "tolerance allows" if n == 1 else "interval and tolerance allow"
        notes.append(f"ours lies {side}, by {gap:.3g} more than {limit}")
    elif beyond(ours, ours):
        notes.append("only the spread over seeds reaches the printed number, the mean does not")
    return not gap, "; ".join(notes)


def _ordering(target: Target, measured: Measurement, partner: Measurement) -> tuple[bool, str]:
    sign = 1 if target.compare == "greater_than" else -1
    ours, partners, paired = _aligned(measured, partner)
    low, high = difference_interval(ours, partners, paired=paired)
    bottom, top = sorted((sign * low, sign * high))  # the claim is: above 0
    single = min(len(ours), len(partners)) < 2
    if target.no_loss:
        holds = top >= -target.tolerance
    else:
        holds = bottom > (target.tolerance if single else 0)
    asked = "not lost against" if target.no_loss else target.compare.replace("_", " ")
    text = f"asked: {asked} {target.partner}; difference {fmean(ours) - fmean(partners):.3g}"
    if single:
        return holds, f"{text}, a single run"
    return holds, f"{text} [{low:.3g}, {high:.3g}], {'paired' if paired else 'unpaired'}"


def _aligned(
    measured: Measurement, partner: Measurement
) -> tuple[Sequence[float], Sequence[float], bool]:
    if sorted(measured.seeds) != sorted(partner.seeds) or None in (
        row.seed for row in (*measured.rows, *partner.rows)
    ):
        return measured.values, partner.values, False
    theirs = {row.seed: float(row.value) for row in partner.rows}
    return measured.values, [theirs[row.seed] for row in measured.rows], True
