"""Compute what the page on verdicts shows: invented examples of how a paper's number is compared
with the results of runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

import numpy as np
from matplotlib.figure import Figure

from robustbook import ledger
from robustbook.chapters.wording import badge
from robustbook.figures import (
    BRIGHT,
    Curve,
    Frame,
    Look,
    Panel,
    Slider,
    Table,
    drawing,
    lines,
    panels,
    slider,
    style,
    table,
)
from robustbook.ledger import Judgement, Measurement, Row, Target

RUNS = {"quiet runs": (89.2, 90.1, 89.6, 90.5, 90.1), "noisy runs": (71.0, 96.0, 88.0, 99.0, 95.5)}
"""Invented accuracies of five runs, in percent; both groups of runs have the mean 89.9."""
TOLERANCE = 1.0
PRINTED = (60.0, 75.0, 85.0, 87.0, 89.0, 90.0, 91.0, 92.0, 93.0, 95.0, 99.0)
"""The printed numbers among which the slider chooses."""
SIZES = (2, 3, 4, 5, 7, 10, 15, 20, 30)
"""The numbers of runs from which the simulation computes intervals."""
WORLDS = 4000


def judged(
    runs: Sequence[float | int],
    printed: float | None,
    *,
    compare: str = "equal",
    tolerance: float = TOLERANCE,
    unit: str = "percent",
    images: int | None = None,
    partner: Sequence[float | int] = (),
    no_loss: bool = False,
    holds: Sequence[bool] = (),
) -> Judgement:
    """Return the verdict that the book's rules give if a paper's number is compared with invented
    runs. Each invented run counts as a run with its own seed, on the paper's network and data.

    ``compare``: the kind of comparison, such as "equal", "at_least" or "greater_than".
    ``partner``: if the paper says that one method is better than another, the invented results of
        the other method.
    ``no_loss``: whether the paper only says that the method is not worse than the other.
    ``holds``: if the paper states a pattern, such as a falling curve, whether each run shows the
        pattern.
    """
    marks: Sequence[bool | None] = holds or [None] * len(runs)
    rows = tuple(
        Row(value, unit, None, "made", seed, images, holds=mark)
        for seed, (value, mark) in enumerate(zip(runs, marks, strict=True))
    )
    others = tuple(Row(value, unit, None, "made", seed) for seed, value in enumerate(partner))
    target = Target(
        id="made/example",
        name="An invented number",
        paper="made",
        item="example",
        setting="",
        metric="accuracy",
        unit=unit,
        printed=printed,
        as_printed="",
        kind="claim" if compare == "shape" else "printed",
        compare=compare,
        partner="the other method" if partner else None,
        tolerance=tolerance,
        source="",
        note="no loss of accuracy" if no_loss else "",
    )
    other = Measurement("example", "paper", others) if partner else None
    return ledger.judge(target, Measurement("example", "paper", rows), other)


def answer() -> str:
    """Return a sentence that says which verdict a paper's number gets."""
    quiet, noisy = (judged(runs, 93.0).verdict for runs in RUNS.values())
    return (
        "**Answer.** When it is within the tolerance of our mean, and this mean is exact enough; "
        f"far outside the spread of our runs it is *{quiet}*, and otherwise *{noisy}*."
    )


def both_groups() -> str:
    """Return sentences that compare a paper's number with two groups of invented runs: the results
    of one group vary little (quiet), those of the other vary a lot (noisy). The sentences state the
    verdict for each group.
    """
    quiet, noisy = (judged(runs, 93.0).verdict for runs in RUNS.values())
    low, high = ledger.prediction_interval(RUNS["quiet runs"])
    return (
        f"The five quiet runs let us expect {low:.1f} to {high:.1f} % for one more run (the 95 % "
        f"prediction interval), so a printed 93 % is *{quiet}*. The noisy runs have the same mean, "
        "but their interval contains nearly any number, so for them the verdict on 93 % is "
        f"*{noisy}*."
    )


def slides() -> Slider:
    """Return a slider over the paper's number that shows invented runs, intervals and verdicts."""
    frames = [Frame(f"{printed:g}\N{NO-BREAK SPACE}%", _frame(printed)) for printed in PRINTED]
    return slider("slider-printed", "printed", frames, start=PRINTED.index(93.0))


def _frame(printed: float) -> str:
    """Return the slider's picture for one printed number: both groups of runs, the printed number,
    and both verdicts in words.
    """
    words = {name: judged(runs, printed).verdict for name, runs in RUNS.items()}
    alt = f"A line at {printed:g} %, two rows of five dots, and bars: a short and a long one."
    badges = "<br>".join(
        f"printed {printed:g} %, {name}: {badge(verdict)}" for name, verdict in words.items()
    )
    return f'{drawing(_strip(printed), alt)}<p class="frame-words">{badges}</p>'


def _strip(printed: float) -> Figure:
    """Draw the results of the runs as dots, together with their prediction interval, the tolerance
    and the printed number.
    """
    with style():
        figure, (axis,) = panels(width=4.0, height=1.6)
        for row, runs in enumerate(RUNS.values()):
            low, high = ledger.prediction_interval(runs)
            axis.barh(row, min(high, 100.0) - low, 0.3, low, color=BRIGHT["blue"], alpha=0.3)
            axis.plot(runs, [row] * len(runs), "o", color=BRIGHT["blue"])
            axis.plot([fmean(runs)] * 2, [row - 0.25, row + 0.25], color=BRIGHT["blue"])
        axis.axvspan(printed - TOLERANCE, printed + TOLERANCE, color="0.8", zorder=0)
        axis.axvline(printed, color="black", linewidth=1.2)
        axis.set(xlim=(56, 101), ylim=(1.5, -0.5), xlabel="accuracy (%)")
        axis.set_yticks(range(len(RUNS)), list(RUNS))
    return figure


@dataclass(frozen=True)
class Coverage:
    """How often each kind of interval contains the result of a new run, in percent of the
    simulations. Each interval is computed from a few runs; there is one percentage for each number
    of runs in `SIZES`.
    """

    prediction: tuple[float, ...]
    confidence: tuple[float, ...]


@cache
def coverage() -> Coverage:
    """Simulate runs with normally distributed results. Count how often an interval that is computed
    from a few runs contains the result of one more run.
    """
    chance = np.random.default_rng(0)
    prediction, confidence = [], []
    for n in SIZES:
        runs, more = chance.normal(size=(WORLDS, n)), chance.normal(size=WORLDS)
        mean, s = runs.mean(1), runs.std(1, ddof=1)
        low, high = ledger.prediction_interval([-1.0, 1.0] + [0.0] * (n - 2))
        unit = (high - low) / 2 / stdev([-1.0, 1.0] + [0.0] * (n - 2))  # half-width over s
        off = np.abs(more - mean) / s
        prediction.append(100 * float((off <= unit).mean()))
        confidence.append(100 * float((off <= unit / math.sqrt(n + 1)).mean()))
    return Coverage(tuple(prediction), tuple(confidence))


def coverage_figure() -> Figure:
    """Draw how often each interval contains the result of a new run, against the number of runs
    from which the interval is computed.
    """
    found = coverage()
    sizes = [float(n) for n in SIZES]
    shapes = {
        "prediction interval": Curve(sizes, [found.prediction], Look(BRIGHT["blue"], "o", "-")),
        "confidence interval of the mean": Curve(
            sizes, [found.confidence], Look(BRIGHT["red"], "s", "--")
        ),
    }
    panel = Panel("", "number of runs", "contains one more run (%)", shapes, {"95 %": 95.0})
    return lines([panel], columns=1, height=2.7)


def examples() -> Table:
    """Return invented examples of every kind of comparison, with the verdicts that the rules
    give.
    """
    rows = []
    for kind, stated, measured, judgement in _examples():
        rows.append([kind, stated, measured, f"**{judgement.verdict}**"])
    return table(
        "Invented examples. *Our runs*: the lowest, the highest and the mean accuracy of five runs "
        "in percent, or the accuracy of a single run. For a pattern: in how many runs it holds. "
        "Each verdict is computed by the function that judges the book's real numbers. Where "
        f"accuracies are compared, the tolerance is {TOLERANCE:g} percentage point.",
        "tab-verdicts-examples",
        ["Comparison", "The paper states", "Our runs", "Verdict"],
        rows,
        align="llll",
    )


def _examples() -> list[tuple[str, str, str, Judgement]]:
    quiet, noisy = RUNS.values()
    ahead, close = (91.2, 92.0, 91.7, 93.1, 92.2), (89.4, 90.9, 89.2, 91.6, 90.5)
    behind = (87.1, 88.4, 87.9, 89.0, 88.2)
    yes, once, twice = (True,) * 5, (True,) * 4 + (False,), (True,) * 3 + (False,) * 2
    words = {yes: "yes in 5 of 5", once: "yes in 4 of 5", twice: "yes in 3 of 5"}
    groups = (quiet, noisy, ahead, close, behind)
    shown = {runs: f"{min(runs):g} to {max(runs):g}, mean {fmean(runs):.1f}" for runs in groups}
    found = [
        ("number", "90 %", shown[quiet], judged(quiet, 90.0)),
        ("number", "93 %", shown[quiet], judged(quiet, 93.0)),
        ("number", "93 %", shown[noisy], judged(noisy, 93.0)),
        ("number", "93 %", "90", judged([90.0], 93.0)),
        ("bound", "at least 85 %", shown[quiet], judged(quiet, 85.0, compare="at_least")),
    ]
    for runs in (ahead, close, behind):
        order = judged(runs, None, compare="greater_than", partner=quiet)
        found.append(("order", "A above B", f"A: {shown[runs]}<br>B: {shown[quiet]}", order))
    kept = judged(close, None, compare="greater_than", partner=quiet, no_loss=True)
    found.append(("order", "A not below B", f"A: {shown[close]}<br>B: {shown[quiet]}", kept))
    for marks in (yes, once, twice):
        values = [float(mark) for mark in marks]
        shape = judged(values, None, compare="shape", unit="none", tolerance=0.0, holds=marks)
        found.append(("pattern", "the curve falls", words[marks], shape))
    return found
