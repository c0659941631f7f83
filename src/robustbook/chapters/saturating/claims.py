"""The page "The claims of the text": errors, three choices undone, Adam on the image."""

from collections.abc import Callable, Iterator, Sequence
from math import log
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import (
    Version,
    array,
    of_target,
    printed,
    settings,
    values,
    verdicts,
)
from robustbook.chapters.wording import spread, spread_or
from robustbook.figures import Table, table
from robustbook.ledger import Record

UNDONE = {
    ("penalty", "all layers"): "annealed, penalty on all layers (ours)",
    ("penalty", "hidden layers only"): "... penalty on the hidden layers only",
    ("lambda", "constant"): "... lambda at its maximum from the first step",
    ("lambda", "one jump"): "... lambda jumps to its maximum after the plain epochs",
}
"""What was varied and how, to the name of the network in the table."""
READINGS = {"clean": "Clean", "float32": "FGSM", "float32, clipped": "FGSM, clipped"}
ALPHA = {"sigmoid": "alpha, sigmoid", "ReLU": "alpha, ReLU"}
SOURCES = {"least": "least confident source", "most": "most confident source"}
ENDS = {
    "reached": "target reached",
    "still": "at a fixed point",
    "steps": "all steps used, target not reached",
}
FULL = 30_000_000
"""The steps that the paper tried."""
LARGE = 1.0
"""Points that a choice must cost; counts are given for half and three times as many too."""


def error_range(record: Record) -> str:
    """The smallest and the largest FGSM error of the saturated networks, with the verdicts."""
    verdict = verdicts("saturating")
    low, high = (f"saturating/text-1/error-range/{end}" for end in ("low", "high"))
    return (
        "Over the three saturated networks of Table 1 the smallest FGSM error is "
        f"{spread(of_target(record, low))} % (**{verdict[low]}**) and the largest "
        f"{spread(of_target(record, high))} % (**{verdict[high]}**). Which network makes which "
        "error, and why, is the subject of that page."
    )


def ablations(version: Version) -> Table:
    """Accuracies of the saturated sigmoid network with one choice undone at a time."""
    rows = []
    for (varied, how), words in UNDONE.items():
        cells = [
            values(version.record, "accuracy", varied=varied, how=how, reading=reading)
            for reading in READINGS
        ]
        if cells[0]:
            rows.append([words, *map(spread, cells), str(len(cells[0]))])
    return table(
        f"{version.heading}: accuracy in per cent of the saturated sigmoid network, mean (range).",
        _label("ablations", version),
        ["Network", *READINGS.values(), "Seeds"],
        rows,
    )


def alphas(version: Version) -> Table:
    """Accuracies after adversarial training, by the weight alpha of the clean images."""
    weights = settings(version.record, "accuracy", "how", varied=ALPHA["sigmoid"], reading="clean")
    rows = []
    for network, varied in ALPHA.items():
        for reading, words in READINGS.items():
            cells = [
                values(version.record, "accuracy", varied=varied, how=alpha, reading=reading)
                for alpha in weights
            ]
            if cells and cells[0]:
                rows.append([f"{network}: {words}", *map(spread, cells)])
    return table(
        f"{version.heading}: accuracy in per cent after adversarial training, by the weight of the "
        "clean images; mean (range). Sigmoid MLP over all seeds, ReLU MLP of the first.",
        _label("alpha", version),
        ["Accuracy", *(f"{float(alpha):g}" for alpha in weights)],
        rows,
    )


def undone_in_words(record: Record) -> str:
    """What each of the three choices is worth, how often it holds, and the verdicts."""
    verdict = verdicts("saturating")
    claim, adversarial = "saturating/text-4/claim", "saturating/table-1/sigmoid-adversarial"
    lost, behind, ours, hidden = (
        of_target(record, f"{claim}/{name}")
        for name in ("annealing-essential", "alpha-half-best", "readout-penalised", "hidden-only")
    )
    ahead = sum(a > b for a, b in zip(ours, hidden, strict=True))

    def at_alpha(how: str) -> str:
        clean, fgsm = (
            spread(values(record, "accuracy", varied=ALPHA["sigmoid"], how=how, reading=reading))
            for reading in ("clean", "float32")
        )
        return f"{clean} % and {fgsm} %"

    return "\n\n".join(
        [
            "*The read-out.* With the penalty on the read-out as well, FGSM leaves "
            f"{spread(ours)} %, without it {spread(hidden)} %, and it is ahead with {ahead} of "
            f"{len(ours)} seeds: **{verdict[f'{claim}/readout-penalised']}**. The logits are what "
            "the cross entropy is computed from; a penalty there pushes them far from zero, and so "
            "apart from each other.",
            "*Annealing.* What a constant lambda loses against the annealed one, the larger of the "
            f"losses of clean and of FGSM accuracy, is {spread(lost)} points: "
            f"**{verdict[f'{claim}/annealing-essential']}**. How often the claim holds, by the "
            f"points that must be lost: {_counts(lost, lambda n, p: n > p)}. A strong penalty from "
            "the first step probably pins the units before they have learned what to tell apart, "
            "and takes the slopes away that they would learn through.",
            f"*alpha.* With alpha = 0.5, FGSM accuracy lies {spread(behind)} points below the best "
            f"of the grid: **{verdict[f'{claim}/alpha-half-best']}**. How often it is within some "
            f"points of the best: {_counts(behind, lambda n, p: n <= p)}. The paper prints "
            f"{printed(f'{adversarial}/accuracy'):g} % clean and "
            f"{printed(f'{adversarial}/fgsm-accuracy'):g} % under FGSM for its sigmoid network "
            f"at 0.5. Ours has {at_alpha('0.5')} there, and {at_alpha('0.1')} at 0.1, where nine "
            "tenths of the loss are on adversarial images.",
        ]
    )


def adam(version: Version) -> Table:
    """How the descents with Adam ended, by network, source, precision and step size."""
    return table(
        f"{version.heading}: Adam on the image, by network, source, precision and step size. Pairs "
        "of 90 that did not reach their target; seeds at which a 3 was classified as a 7; and the "
        "medians of the iterations that successes took, and of the mean absolute change of a "
        "pixel. Mean (range) over the seeds.",
        _label("adam", version),
        ["Descents", "Not fooled", "3 to 7", "Iterations", "Moved: fooled", "Moved: not"],
        list(_descents(version.record)),
    )


def adam_in_words(record: Record) -> str:
    """What the failures of Adam are evidence of: the step, the arithmetic, but not the distance."""
    verdict = verdicts("saturating")
    claim = "saturating/text-7/adam"
    main = {"precision": "float32", "step_size": record.parameters["step_size"]}
    longest = {
        "precision": "float32",
        "step_size": max(row.setting.get("step_size", 0) for row in record.rows),
    }

    def both(name: str, method: str, **setting: Any) -> str:
        """Of the least and of the most confident sources."""
        digits = 2 if name.startswith("moved") else 0
        least, most = (
            spread_or(
                values(record, name, method=method, rule=rule, **setting), digits, missing="(none)"
            )
            for rule in SOURCES
        )
        return f"{least} and {most}"

    threes = of_target(record, f"{claim}/saturated-3-to-7")
    return "\n\n".join(
        [
            "Four things are to be read from the table; where two numbers are given, they are those"
            " of the least and the most confident sources.",
            "*What is claimed.* Of 90 pairs the attack fails on "
            f"{both('failures', 'saturated', **main)} with the saturated network "
            f"(**{verdict[f'{claim}/saturated-failures']}**) and on "
            f"{both('failures', 'vanilla', **main)} with the vanilla one "
            f"(**{verdict[f'{claim}/vanilla-success']}**). The saturated network's 3 becomes a 7, "
            f"from at least one of the two sources, with {sum(map(bool, threes))} of {len(threes)} "
            f"seeds (**{verdict[f'{claim}/saturated-3-to-7']}**).",
            "*They are about the step.* With steps ten times as long and a tenth as many, which "
            f"may go equally far, {both('failures', 'saturated', **longest)} pairs are left. What "
            "a descent does not find in short steps, one in long steps may find: a failure is a "
            "fact about the descent first, and about the network only after that.",
            "*They are about arithmetic.* The same 90 descents in float64 end otherwise in "
            f"{both('precisions differ', 'saturated')} pairs on the saturated network, and in "
            f"{both('precisions differ', 'vanilla')} on the vanilla one. The descents amplify "
            "rounding: on the saturated network even the size of the batch, which changes the "
            "order of sums and with it the sixteenth digit, can decide about a pair. A single pair "
            "such as 3 to 7 says little, then; the counts say more.",
            "*They are not about distance.* Nothing bounds the image, so an attacker who needs no "
            "gradient always wins: the picture of the target class takes the place of the image. "
            f"That changes a pixel by {both('moved, swapped', 'saturated')} in the mean (the median"
            " over pairs). The failed descents with the longest steps changed it by "
            f"{both('moved, failed', 'saturated', **longest)}.",
        ]
    )


def long_figure(record: Record) -> Figure:
    """The path of each long descent: how far the image moved, and the target's probability."""
    return figures.descent(
        {
            name: {precision: _trail(record, rule, precision) for precision in _PRECISIONS}
            for rule, name in SOURCES.items()
        },
        {name: np.array(array(record, f"{rule} start")) for rule, name in SOURCES.items()},
    )


def long_ends(record: Record) -> Table:
    """How each long descent ended."""
    return table(
        f"How each descent ended (profile {record.profile}, seed {record.seeds[0]}): the mean "
        "absolute change of a pixel, the power of ten of the target's probability, the largest "
        "component of the gradient, and the microseconds that a step took.",
        "tab-claims-long-descent",
        ["Descent", "Steps", "End", "Moved", "log10 p", "Gradient", "Microseconds"],
        list(_ends(record)),
        align="lrlrrrr",
    )


def long_in_words(record: Record) -> str:
    """Which long descents reached the target, and how far the others still moved."""
    rows = [row for row in record.rows if row.name == "iterations"]

    def named(ended: str) -> list[str]:
        return [
            f"{SOURCES[str(row.setting['rule'])]} in {row.setting['precision']}"
            for row in rows
            if row.setting["ended"] == ended
        ]

    whole = [row for row in rows if row.setting["ended"] == "steps"]
    words = []
    if whole:
        longest = max(int(row.value) for row in whole)
        of = "all that the paper tried" if longest >= FULL else f"of the paper's {FULL:,}"
        words.append(f"The longest descent has {longest:,} steps, {of}.")
    if named("reached"):
        words.append(f"The target was reached from the {', the '.join(named('reached'))}.")
    if whole:
        moved = (_late_share(record, *map(str, _of(row.setting))) for row in whole)
        shares = (
            f"{name}: {share:.0f} %" for name, share in zip(named("steps"), moved, strict=True)
        )
        words.append(
            f"It was not from the {', the '.join(named('steps'))}. Of the way that these went, the "
            f"share that belongs to the last nine tenths of the steps: {'; '.join(shares)}."
        )
    if named("still"):
        words.append(
            "Nothing can move any more in the descent from the "
            + ", the ".join(named("still"))
            + "."
        )
    return " ".join(words)


_PRECISIONS = ("float32", "float64")


def _label(stem: str, version: Version) -> str:
    return f"tab-claims-{stem}" + ("-run" if version.fresh else "")


def _counts(numbers: Sequence[float], holds: Callable[[float, float], bool]) -> str:
    """Of how many seeds a pattern holds, at half, one and three times the points that count."""
    at = [f"{sum(holds(n, p) for n in numbers)} at {p:g}" for p in (LARGE / 2, LARGE, 3 * LARGE)]
    return f"of {len(numbers)} seed{'s' * (len(numbers) > 1)} {', '.join(at)} points"


def _descents(record: Record) -> Iterator[list[str]]:
    """A row per network, source, precision and step size."""
    keys = ("method", "rule", "precision", "step_size")
    kinds = dict.fromkeys(
        tuple(row.setting[key] for key in keys) for row in record.rows if row.name == "failures"
    )
    for kind in kinds:
        of: dict[str, Any] = dict(zip(keys, kind, strict=True))
        fooled = values(record, "3 to 7", **of)
        yield [
            f"{of['method']}, {of['rule']} confident, {of['precision']}, {of['step_size']:g}",
            spread(values(record, "failures", **of), 0),
            f"{sum(map(int, fooled))} of {len(fooled)}",
            *(
                spread_or(values(record, name, **of), digits, missing="none")
                for name, digits in (("iterations", 0), ("moved, found", 3), ("moved, failed", 3))
            ),
        ]


def _of(setting: dict[str, str | float | int | bool]) -> tuple[object, object]:
    return setting["rule"], setting["precision"]


def _trail(record: Record, rule: str, precision: str) -> figures.Trail:
    columns = {
        name: array(record, f"{rule} {precision} {name}")
        for name in ("iterations", "moved", "loss")
    }
    (reached,) = values(record, "reached", rule=rule, precision=precision)[:1]
    image = np.array(array(record, f"{rule} {precision} image"))
    return figures.Trail(**columns, image=image, reached=reached == 1)


def _ends(record: Record) -> Iterator[list[str]]:
    for row in (row for row in record.rows if row.name == "iterations"):
        rule, precision = map(str, _of(row.setting))
        moved, loss, gradient, seconds = (
            values(record, name, rule=rule, precision=precision)[0]
            for name in ("moved", "loss", "gradient", "seconds")
        )
        yield [
            f"{SOURCES[rule]}, {precision}",
            f"{row.value:,}",
            ENDS[str(row.setting["ended"])],
            f"{moved:.2g}",
            f"{-loss / log(10):.1f}",
            f"{gradient:.1g}",
            f"{1e6 * seconds / max(row.value, 1):.0f}",
        ]


def _late_share(record: Record, rule: str, precision: str) -> float:
    """By how much the last nine tenths of the steps moved the image, in percent of its way."""
    moved = array(record, f"{rule} {precision} moved")
    iterations = array(record, f"{rule} {precision} iterations")
    tenth = next(i for i, n in enumerate(iterations) if n >= iterations[-1] / 10)
    return 100 * float(moved[-1] - moved[tenth]) / moved[-1] if moved[-1] else 0.0
