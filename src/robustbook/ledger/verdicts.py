"""Compute the verdict on a number or statement of a paper from our measurements.

The rules are the same for all papers, and the tests check every rule. Whenever a rule was changed,
the changelog lists the verdicts that changed with it.

equal. The verdict is *reproduced* if our mean differs from the paper's number by at most the
tolerance, and if the error of our mean is at most the tolerance too. This error is half the width
of the 95 % confidence interval of the mean. For shares of fewer than 10,000 test images, it also
contains the error from the choice of these images. The verdict is *inconclusive* if the error is
larger, or if the mean differs by more than the tolerance, but the prediction interval for another
run of ours, widened by the tolerance, contains the paper's number. Otherwise it is *not
reproduced*.

at_most, at_least. For an upper or lower bound, the rule of `equal` is applied with only one end of
the prediction interval: the end on the allowed side of the bound. The error of our mean counts only
if it may carry the mean across the bound.

shape, and whole numbers with tolerance 0 and at least two runs. Such a number is a count, or an
answer (1 for yes, 0 for no). Each run (one per seed) either agrees with the paper's claim or
contradicts it. The claim is *reproduced* if no run contradicts it, *not reproduced* if more runs
contradict it than chance explains, and otherwise *inconclusive*. We assume that one run in twenty
contradicts a true claim. Chance does not explain the contradicting runs if the probability of at
least so many is at most 5 %. With five seeds, one contradicting run makes the verdict inconclusive,
and two refute the claim.

less_than, greater_than. For an ordering of two numbers, the 95 % confidence interval of the
difference of the means decides. The interval is paired by seed, over the seeds with which both
numbers were measured. If there is no such seed, it is Welch's interval. For shares of fewer than
10,000 test images, the interval also contains the error from the choice of these images, because
all seeds use the same images. If the rows say which images count (`Row.outcomes`), and both numbers
are from equally many images, this error is computed image by image. Both numbers are then from the
same images: the first images of the test set. The ordering is *reproduced* if the whole interval
lies on the claimed side of 0. It is *inconclusive* if the interval only ends beyond 0 and beyond
the tolerance on the claimed side. Otherwise it is *not reproduced*: no difference in the interval
exceeds the tolerance on the claimed side. A few orderings only claim that the first number is not
worse than the second. Such an ordering is *reproduced* if the first mean is worse by at most the
tolerance, *not reproduced* if even the smallest loss in the interval exceeds the tolerance, and
otherwise *inconclusive*.

An experiment may differ from the paper's in more than its seeds: its profile may not be `paper`, or
its rows may say how it differs (`Row.differs`). The verdict is then *other setting*.

A single run does not show how much runs vary, so it has no prediction interval. But a share of
fewer than 10,000 test images also depends on the choice of these images, and this error counts as
the error of our mean. A number that is not a share may state this error itself (`Row.error`). If it
may explain the part of the difference that exceeds the tolerance, the verdict is *inconclusive*.
For an ordering, the error from this choice gives an interval for the difference. The ordering is
*reproduced* if the whole interval lies on the claimed side of 0 and the difference exceeds the
tolerance.

If ``compare`` is `shape` and ``kind`` is `none`, the paper states neither a number nor a pattern.
The verdict is then `no printed number`: the ledger shows our number without a comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .intervals import (
    FULL,
    WHOLE,
    binomial_tail,
    difference_interval,
    mean_error,
    prediction_interval,
    sampling_error,
)
from .numerals import measured as shown
from .numerals import runs_in_words
from .outcomes import paired_error
from .records import Row, rounded
from .targets import ORDERINGS, Target

VERDICTS = (
    "reproduced",
    "not reproduced",
    "inconclusive",
    "other setting",
    "no printed number",
    "not run",
)
EXCEPTIONS = 0.05
"""The assumed probability that a run contradicts a true claim: one in twenty."""


@dataclass(frozen=True)
class Measurement:
    """The rows of a record that measure one number of a paper, with one row per seed."""

    item: str  # the table or figure whose run measured the number
    profile: str
    rows: tuple[Row, ...]

    @property
    def values(self) -> list[float]:
        return [float(row.value) for row in self.rows]

    @property
    def seeds(self) -> list[int]:
        return [row.seed for row in self.rows if row.seed is not None]

    @property
    def images(self) -> int | None:
        """Return the smallest number of test images of any row, or None if no row is a share of
        them. A whole test set counts as `WHOLE` images or more.
        """
        shares = [row for row in self.rows if row.images]
        return min(
            (max(row.images or 0, WHOLE if row.error == 0 else 0) for row in shares), default=None
        )

    @property
    def differs(self) -> str:
        """Return in words how the experiment differs from the paper's, or "" (see `Row`)."""
        return next((row.differs for row in self.rows if row.differs), "")


@dataclass(frozen=True)
class Judgement:
    """A verdict on a number of a paper, and the measurements from which it follows.

    ``verdict``: one of VERDICTS.
    ``ours``: the mean of our runs.
    ``low``, ``high``: the ends of the prediction interval, which is not widened by the tolerance.
    ``seeds``: the number of seeds that were run (0 if the measurement is not random).
    ``difference``: for an ordering of two numbers, the difference of the means and its confidence
        interval, which decide the verdict.
    ``note``: a short explanation of the verdict.
    ``unsure``: if the verdict is *inconclusive*, the rule that leaves it open, in words; or "".
    ``held``: if the number of runs that agree with the paper decides the verdict, this number and
        the number of all runs; otherwise None.
    """

    verdict: str
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    note: str = ""
    difference: tuple[float, float, float] | None = None
    held: tuple[int, int] | None = None
    unsure: str = ""

    @property
    def span(self) -> tuple[float, float] | None:
        """Return the ends of the interval that a table shows: the prediction interval or, for an
        ordering of two numbers, the interval of the difference of their means. Return None for a
        number with fewer than two seeds, and for the difference of two single runs that do not
        depend on the choice of test images.
        """
        if self.difference is not None:
            _, low, high = self.difference
            return (low, high) if low < high else None
        if self.low is None or self.high is None or (self.seeds or 0) < 2:
            return None
        return self.low, self.high


def judge(
    target: Target, measured: Measurement | None, partner: Measurement | None = None
) -> Judgement:
    """Return the verdict on `target`, a number, ordering or pattern of a paper. For an ordering,
    `partner` is the measurement of the second number; without it, or with another profile than the
    first, the verdict is `not run`.

    Raises ValueError if the measured rows have another unit than `target`, or if rows for a pattern
    do not say whether it holds.
    """
    if measured is None:
        return Judgement("not run")
    for row in measured.rows:
        if row.unit != target.unit:
            raise ValueError(f"{target.id} must be measured in {target.unit}, got {row.unit}")
    images = measured.images
    interval = prediction_interval(measured.values, unit=target.unit, images=images)
    # The verdict is based on the rounded numbers, because these are shown.
    ours, low, high = (float(rounded(x)) for x in (fmean(measured.values), *interval))

    difference, held, unsure = None, None, ""
    if target.compare in ORDERINGS:
        if partner is None or partner.profile != measured.profile:
            verdict = "not run"
            note = (
                f"compared with {target.partner}, which has not been run with profile "
                f"{measured.profile}"
            )
        else:
            verdict, note, unsure, difference = _ordering(target, measured, partner)
    elif target.compare == "shape":
        marks = [row.holds for row in measured.rows]
        if target.kind == "none":
            verdict, note = "no printed number", ""
        elif None in marks:
            raise ValueError(f"{target.id} states a pattern: holds must be given for each seed")
        else:
            held = (marks.count(True), len(marks))
    elif _whole(target, measured):
        held = (sum(_beyond(target, v, v) == 0 for v in measured.values), len(measured.rows))
    else:
        verdict, note, unsure = _bound(target, measured, ours, low, high)
    if held is not None:
        verdict, note = _outcomes(*held), f"the claim {runs_in_words(*held)}"
        unsure = note if verdict == "inconclusive" else ""
    differs = measured.differs or partner and partner.differs or ""
    if verdict in JUDGED and (measured.profile != "paper" or differs):
        where = "at this setting the comparison " + DIRECTION[verdict]
        verdict, note = "other setting", "; ".join(filter(None, (differs, where, note)))
    return Judgement(verdict, ours, low, high, len(measured.seeds), note, difference, held, unsure)


JUDGED = VERDICTS[:3]
DIRECTION = dict(zip(JUDGED, ("holds", "does not hold", "is inconclusive"), strict=True))


def _whole(target: Target, measured: Measurement) -> bool:
    """Return whether the rule for whole numbers applies: the tolerance is 0, there are two or more
    runs, and all values are whole numbers.
    """
    assert target.printed is not None
    numbers = [target.printed, *measured.values]
    return (
        target.unit in ("count", "none")
        and target.tolerance == 0
        and len(measured.rows) > 1
        and all(number.is_integer() for number in numbers)
    )


def _outcomes(agree: int, n: int) -> str:
    """Return the verdict on a claim with which ``agree`` of ``n`` runs agree."""
    if agree == n:
        return "reproduced"
    refuted = binomial_tail(n - agree, n, EXCEPTIONS) <= 0.05 + 1e-12
    return "not reproduced" if refuted else "inconclusive"


def _beyond(target: Target, bottom: float, top: float) -> float:
    """Return by how much the distance from the paper's number to the interval [bottom, top] exceeds
    the tolerance, or 0. For a bound, only the end on the allowed side is used.
    """
    assert target.printed is not None
    printed, tolerance = target.printed, target.tolerance
    under = bottom - tolerance - printed if target.compare != "at_least" else 0.0
    over = printed - top - tolerance if target.compare != "at_most" else 0.0
    gap = max(under, over)
    # Decimals such as 0.1 have no exact binary form, so equality allows for rounding.
    return gap if gap > 1e-9 * max(abs(printed), tolerance) else 0.0


def _bound(
    target: Target, measured: Measurement, ours: float, low: float, high: float
) -> tuple[str, str, str]:
    """Return the verdict on a number or a bound of a paper, a note that explains it, and the rule
    that leaves it open, if any. ``low`` and ``high`` are the ends of the prediction interval.
    """
    bound = {
        "at_most": "the paper states an upper bound",
        "at_least": "the paper states a lower bound",
    }
    notes = [bound[target.compare]] if target.compare in bound else []
    n, images = len(measured.rows), measured.images
    gap, verdict, unsure = _beyond(target, low, high), "reproduced", ""
    unit = " percentage points" if target.unit == "percent" else ""
    if gap:
        assert target.printed is not None
        side = "above" if ours > target.printed else "below"
        distance = "the difference" if n == 1 else "the distance of our interval from it"
        notes.append(
            f"our result is {side} the paper's number, and {distance} exceeds the tolerance by "
            f"{shown(rounded(gap), None)}{unit}"
        )
        verdict = "not reproduced"
        if n == 1 and gap <= _of_choice(target, measured):
            count = f"{images} " if images else ""
            notes.append(f"the choice of our {count}test images may explain the part beyond it")
            verdict = "inconclusive"
            unsure = (
                "the difference exceeds the tolerance, but by less than the sampling error of our "
                "test images"
            )
    elif _beyond(target, ours, ours):
        verdict = "inconclusive"
        unsure = (
            "our mean differs by more than the tolerance, but the prediction interval, widened by "
            "the tolerance, contains the printed number"
        )
        notes.append(unsure)
    elif (error := _of_mean(target, measured)) > target.tolerance and _beyond(
        target, ours + error, ours - error
    ):
        notes.append(
            f"the error of our result (± {shown(rounded(error), None)}{unit}) is larger than the "
            "tolerance"
        )
        verdict = "inconclusive"
        unsure = (
            "our result is within the tolerance, but its own error is larger than the tolerance"
        )
    return verdict, "; ".join(notes), unsure


def _of_mean(target: Target, measured: Measurement) -> float:
    """Return half the width of the 95 % confidence interval of our mean. It contains the choice of
    test images, because all seeds use the same images. For a single run, only this choice counts.
    """
    choice = _of_choice(target, measured)
    return math.hypot(mean_error(measured.values), choice) if len(measured.rows) > 1 else choice


def _of_choice(target: Target, measured: Measurement) -> float:
    """Return the part of the error of our mean that comes from the choice of test images. Return 0
    for a whole test set.
    """
    errors = [row.error for row in measured.rows if row.error is not None]
    if errors:
        return float(max(errors))
    if measured.images is not None and measured.images >= WHOLE:
        return 0.0
    return sampling_error(fmean(measured.values), target.unit, measured.images)


def _paired_choice(measured: Measurement, partner: Measurement) -> float | None:
    """Return the part of the error of a difference that comes from the choice of test images, for
    two shares of the same images. Return None if the rows do not say which images count, or have
    different numbers of images.
    """
    rows = (*measured.rows, *partner.rows)
    if not all(row.outcomes for row in rows) or len({row.images for row in rows}) > 1:
        return None
    ours, theirs, _ = _aligned(measured.rows, partner.rows)
    error = paired_error([row.each for row in ours], [row.each for row in theirs])
    return error * FULL[rows[0].unit] / 100


def _ordering(
    target: Target, measured: Measurement, partner: Measurement
) -> tuple[str, str, str, tuple[float, float, float]]:
    """Return the verdict on an ordering, a note that explains it, the rule that leaves it open, if
    any, and the difference of the means with its confidence interval.
    """
    sign = 1 if target.compare == "greater_than" else -1
    first, second, paired = _aligned(measured.rows, partner.rows)
    ours, partners = ([float(row.value) for row in rows] for rows in (first, second))
    low, high = difference_interval(ours, partners, paired=paired)
    mean = fmean(ours) - fmean(partners)
    single = min(len(ours), len(partners)) < 2
    error = _paired_choice(measured, partner)
    if error is None:
        error = math.hypot(_of_choice(target, measured), _of_choice(target, partner))
    half = error if single else math.hypot((high - low) / 2, error)
    low, high = mean - half, mean + half
    # Without rounding, 99.4 - 99.3 would exceed 0.1.
    mean, low, high = (float(rounded(x)) for x in (mean, low, high))
    bottom, top = sorted((sign * low, sign * high))  # the claim is a difference above 0
    if target.no_loss:
        lost = -sign * mean > target.tolerance
        failed = top < -target.tolerance
        verdict = "not reproduced" if failed else "inconclusive" if lost else "reproduced"
    elif bottom > 0 and (not single or sign * mean > target.tolerance):
        verdict = "reproduced"
    elif top > max(target.tolerance, 0):
        verdict = "inconclusive"
    else:
        verdict = "not reproduced"
    text = f"the first number minus the second is {shown(mean, None)} in our runs"
    if low != high:
        text += f" (interval {shown(low, None)} to {shown(high, None)})"
    how = "a single run" if single else "seed by seed" if paired else "with different seeds"
    unsure = ""
    if verdict == "inconclusive":
        unsure = "the interval of the difference contains 0"
        if target.no_loss:
            unsure = (
                "the loss exceeds the tolerance, but its interval reaches to the tolerance or below"
            )
        elif bottom > 0:
            unsure = "the difference of single runs does not exceed the tolerance clearly"
    return verdict, f"{text}, {how}", unsure, (mean, low, high)


def _aligned(
    ours: Sequence[Row], theirs: Sequence[Row]
) -> tuple[Sequence[Row], Sequence[Row], bool]:
    """Return the rows of two measurements that are compared, and whether they are pairs of the same
    seed.
    """
    first, second = (
        {row.seed: row for row in rows if row.seed is not None} for rows in (ours, theirs)
    )
    both = [seed for seed in first if seed in second]
    if not both:
        return ours, theirs, False
    return [first[seed] for seed in both], [second[seed] for seed in both], True
