"""Compute the tables, figures and sentences for the page on claims that the paper makes only in its
text.

The claims are about FGSM errors, about three training choices, and about targeted attacks with
Adam.
"""

from collections.abc import Iterator, Sequence
from math import log
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    array,
    entries,
    of_target,
    printed,
    record_of,
    settings,
    values,
)
from robustbook.chapters.wording import (
    from_to,
    listed,
    page_link,
    power,
    seeds_in_words,
    spread,
    spread_or,
)
from robustbook.counting import number_of
from robustbook.figures import Table, table
from robustbook.ledger import Entry, Record, counts
from robustbook.studies.saturating.sizes import ADAM_STEPS

from .names import NETWORKS, fgsm_target

ERROR, CLAIM, ADAM = (
    "saturating/text-1/error-range",
    "saturating/text-4/claim",
    "saturating/text-7/adam",
)
CLAIMED = {
    f"{ERROR}/low": (
        "Saturated networks have errors of 2 to 7 % under FGSM",
        "smallest error of the three networks (%)",
    ),
    f"{ERROR}/high": (
        "",
        "largest error of the three networks (%), which must be at most the paper's number",
    ),
    f"{CLAIM}/readout-penalised": (
        "The penalty should cover the last layer too",
        "FGSM accuracy (%) with the penalty on all layers, which must be larger than with the "
        "penalty on the hidden layers only",
    ),
    f"{CLAIM}/annealing-essential": (
        "Annealing lambda (raising it in steps) is essential",
        "by how many percentage points the clean or FGSM accuracy is lower if lambda has its "
        "maximum from the first step, without epochs without penalty; this must be more than "
        "{points:g}",
    ),
    f"{CLAIM}/alpha-half-best": (
        "Adversarial training works best with alpha = 0.5",
        "by how many percentage points the FGSM accuracy of the sigmoid MLP is lower than with the "
        "best alpha; this must be at most {points:g}",
    ),
    f"{ADAM}/vanilla-success": (
        "Adam fools the vanilla network, from the least and from the most confident image",
        "share of the 180 pairs of source image and target class on which Adam succeeds",
    ),
    f"{ADAM}/vanilla-iterations": (
        "Adam usually fools the vanilla network in less than 10 steps",
        "median number of steps, which must be at most the paper's number",
    ),
    f"{ADAM}/saturated-failures": (
        "Adam fails on the saturated network in several cases",
        "number of pairs (of 90) on which {steps:,} steps of Adam fail, which must be at least 2; "
        "the paper took up to {full:,} steps",
    ),
    f"{ADAM}/saturated-3-to-7": (
        "An example of these cases: Adam does not change a 3 into a 7",
        "number of seeds with which {steps:,} steps of Adam change one of two images of a 3 into "
        "a 7; an example from one network needs no verdict",
    ),
}
"""For each target number (a number or pattern in the paper) two texts: the claim in our words, and
the measurement that decides the claim.
"""
SEVERAL = f"{ADAM}/saturated-failures"
"""The claim for which the paper prints no number, only "several cases"."""
UNDONE = {
    ("penalty", "all layers"): "lambda rises every {every} steps, penalty on all layers (ours)",
    ("penalty", "hidden layers only"): "... penalty on the hidden layers only",
    ("lambda", "constant"): "... lambda at its maximum from the first step",
    ("lambda", "one jump"): "... lambda jumps to its maximum after the epochs without penalty",
}
"""The name of each network in the table. A key has two parts: which choice of the training was
changed, and how.
"""
READINGS = {"clean": "Clean", "float32": "FGSM", "float32, clipped": "FGSM, clipped"}
ALPHA = {"sigmoid": "alpha, sigmoid", "ReLU": "alpha, ReLU"}
SOURCES = {"least": "least confident source", "most": "most confident source"}
ENDS = {
    "reached": "target reached",
    "still": "at a fixed point",
    "steps": "all steps used, target not reached",
}
FULL = 30_000_000
"""The largest number of steps of Adam in the paper."""
EARLY = 1000
"""The number of steps that count as the first ones of a long run."""
EPSILON = 1e-8
"""The number that Adam adds to the divisor."""
POINTS = (0.5, 1.0, 3.0)
"""Thresholds for a difference of accuracies, in percentage points. The verdicts use the second
threshold.
"""


def answer(record: Record) -> str:
    """Return a sentence that states how many long runs of Adam change a 3 into a 7, and for how
    many pairs of classes the shorter runs in ``record`` fail. It ends with the page's verdicts,
    which judge the shorter runs.
    """
    runs, reached = long_runs(record_of("saturating/long-descent"))
    share = "every long run" if len(reached) == runs else f"{len(reached)} of {runs} long runs"
    badges = of_page(
        "saturating/claims",
        {
            "attacks with Adam": "text-7/",
            "errors under FGSM": "text-1/",
            "choices of training": "text-4/claim/",
            "": "text-4/settings/",
        },
    )
    return (
        f"{'No' if reached else 'Yes'}: without clipping, {share} of Adam on one network "
        f"{'changes' if len(reached) == runs else 'change'} a 3 into an image classified as a 7; "
        f"shorter runs fail for {fmean(of_target(record, SEVERAL)):.0f} of 90 pairs. {badges}"
    )


def long_runs(record: Record) -> tuple[int, list[float]]:
    """Return the number of long runs of Adam, and the numbers of steps of those that reached the
    target class.
    """
    rows = [row for row in record.rows if row.name == "iterations"]
    return len(rows), [float(row.value) for row in rows if row.setting["ended"] == "reached"]


def verdicts() -> Table:
    """Return a table with a row for each claim. The columns are the measurement that decides the
    claim, the paper's number, our number, and the verdict.
    """
    found = {entry.id: entry for entry in entries("saturating")}
    used = record_of("saturating/claims").parameters
    steps, points = used["steps"], used["points"]
    same = [entry for name, entry in found.items() if name.startswith("saturating/text-4/settings")]
    rows = [
        [
            claim,
            decides.format(steps=steps, full=FULL, points=points),
            "several" if name == SEVERAL else found[name].target.as_printed or "",
            _ours(found[name]),
            found[name].verdict,
        ]
        for name, (claim, decides) in CLAIMED.items()
    ]
    equal = sum(entry.verdict == "reproduced" for entry in same)
    settings_row = ["Settings", "number of our settings that equal those of the paper"]
    return table(
        "For each claim of the paper's text: the measurement that decides the claim, the paper's "
        "number, our number, and the verdict.",
        "tab-claims-verdicts",
        ["Claim", "Decided by", "The paper", "Ours", "Verdict"],
        [*rows, [*settings_row, str(len(same)), str(equal), _common(same)]],
        align="llrrl",
    )


def _ours(entry: Entry) -> str:
    """Return our number as text. The share of seeds with which Adam changes a 3 into a 7 is written
    as a number of seeds.
    """
    if entry.id == f"{ADAM}/saturated-3-to-7":
        threes = of_target(record_of("saturating/claims"), entry.id)
        return f"{sum(map(bool, threes))} of {len(threes)}"
    return "" if entry.ours is None else f"{entry.ours:.3g}"


def error_range(record: Record) -> str:
    """Return sentences with the smallest and the largest FGSM error of the saturated networks, in
    our runs and in the paper's own table.
    """
    low, high = (spread(of_target(record, f"{ERROR}/{end}")) for end in ("low", "high"))
    least, most = (f"{printed(f'{ERROR}/{end}'):g}" for end in ("low", "high"))
    table_1 = [
        100 - accuracy
        for network in NETWORKS
        if (accuracy := printed(fgsm_target(network, "saturated"))) is not None
    ]
    return (
        "*Error rates under FGSM.* The smallest FGSM error of the three saturated networks of "
        f"[Table 1](./table1.ipynb) is {low} %, and the largest {high} %. That page explains them. "
        f"The paper's own Table 1 gives errors of {from_to(table_1, '.2f')} %, and not "
        f"{least} to {most} %."
    )


def ablations(version: Version) -> Table:
    """Return a table of the accuracies of the saturated sigmoid network. Each row except the first
    shows the effect of one changed choice in the training of the network.
    """
    rows = []
    for (varied, how), words in UNDONE.items():
        cells = [
            values(version.record, "accuracy", varied=varied, how=how, reading=reading)
            for reading in READINGS
        ]
        if cells[0]:
            words = words.format(every=version.record.parameters["every"])
            rows.append([words, *map(spread, cells), str(len(cells[0]))])
    return version.table(
        ": accuracy in per cent of the saturated sigmoid network, mean (range). The page on "
        f"{page_link('table1')} shows the first two trainings too, with fewer seeds and images.",
        "claims-ablations",
        ["Network", *READINGS.values(), "Seeds"],
        rows,
    )


def alphas(version: Version) -> Table:
    """Return a table of accuracies after adversarial training, with a column for each value of
    alpha, the weight of the clean images in the loss.
    """
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
    return version.table(
        ": accuracy in per cent after adversarial training, by the weight alpha of the clean "
        "images in the loss; mean (range). The sigmoid MLP was trained with all seeds."
        + " The ReLU MLP was trained with the first seed."
        * (len(rows) > len(READINGS)),
        "claims-alpha",
        ["Accuracy", *(f"{float(alpha):g}" for alpha in weights)],
        rows,
    )


def undone_in_words(record: Record) -> str:
    """Return a paragraph for each of three training choices. Each paragraph states by how much one
    training choice changes the accuracy, and how many seeds show this change.
    """
    lost, behind, ours, hidden = (
        of_target(record, f"{CLAIM}/{name}")
        for name in ("annealing-essential", "alpha-half-best", "readout-penalised", "hidden-only")
    )
    ahead = sum(a > b for a, b in zip(ours, hidden, strict=True))
    adversarial = "saturating/table-1/sigmoid-adversarial"
    clean, fgsm = (printed(f"{adversarial}/{name}") for name in ("accuracy", "fgsm-accuracy"))

    def at_alpha(how: str) -> str:
        clean, fgsm = (
            spread(values(record, "accuracy", varied=ALPHA["sigmoid"], how=how, reading=reading))
            for reading in ("clean", "float32")
        )
        return f"{clean} % and {fgsm} %"

    paragraphs = "\n\n".join(
        [
            "*The penalty on the last layer.* With the penalty on all layers, the network "
            f"classifies {spread(ours)} % of the images correctly under FGSM. With the penalty on "
            f"the hidden layers only, it classifies {spread(hidden)} %. The first accuracy is "
            f"higher with {ahead} of {len(ours)} seeds.",
            "*Annealing lambda.* One training has the maximum of lambda from the first step, and "
            "no epochs without penalty. Its clean or its FGSM accuracy (whichever falls more) is "
            f"{spread(lost)} percentage points lower than with a rise in steps. {_exceeding(lost)} "
            "But this training changes two things at once, and the verdict rests on it. Another "
            "training lacks only the rise in steps: lambda jumps to its maximum after the epochs "
            "without penalty. Then the FGSM accuracy is "
            f"{spread(_lost_by_a_jump(record, 'float32'))} points and the "
            f"clean accuracy {spread(_lost_by_a_jump(record, 'clean'))} points lower "
            f"({_jumps_in_words(record)}). Perhaps "
            "a strong penalty from the first step saturates units before they have learned "
            "anything, so that their slopes vanish.",
            "*The weight alpha.* With alpha = 0.5 the FGSM accuracy of the sigmoid network is "
            f"{spread(behind)} percentage points lower than with the best alpha. "
            f"{_exceeding(behind)} {_alpha_of_relu(record)} "
            "For its sigmoid network with alpha = 0.5, the paper reports a clean accuracy of "
            f"{clean:.3g} % and an FGSM accuracy of {fgsm:.3g} %. Ours has {at_alpha('0.5')} with "
            f"alpha = 0.5, and {at_alpha('0.1')} with alpha = 0.1.",
        ]
    )
    return paragraphs


def adam(version: Version) -> Table:
    """Return a table of how the attacks with Adam ended. There is one row for each combination of
    network, source images, floating-point precision and step size.
    """
    return version.table(
        ": attacks that optimise the pixels with Adam, by network, source, precision and step "
        "size. *Failed*: the number of pairs (of 90) on which Adam fails. *3 to 7*: the number of "
        "seeds with which Adam changes a 3 into a 7. *Steps*: the median number of steps of "
        "successful attacks. *Change*: the median of the mean absolute change of a pixel. Mean "
        f"(range) over the seeds. The largest number of steps is {_largest_steps(version.record)}.",
        "claims-adam",
        [
            *("Network", "Source", "Precision", "Step size"),
            *("Failed", "3 to 7", "Steps", "Change: successful", "Change: failed"),
        ],
        list(_descents(version.record)),
        align="lll" + 6 * "r",
    )


def _steps_at(record: Record, size: float) -> int:
    """Return the largest number of steps of Adam with the step size ``size``. If the step size is
    multiplied, the number of steps is divided. It is limited by the profile.
    """
    steps, step_size = (record.parameters[name] for name in ("steps", "step_size"))
    most = min(int(steps), ADAM_STEPS[record.profile])
    return max(1, most // round(size / float(step_size)))


def _largest_steps(record: Record) -> str:
    """Return as text the largest number of steps of Adam for each step size."""
    sizes = sorted(settings(record, "failures", "step_size"))
    return listed(f"{_steps_at(record, size):,} for the step size {size:g}" for size in sizes)


def adam_in_words(record: Record) -> str:
    """Return paragraphs which show that Adam's failures depend on the step size and on rounding
    errors. The last paragraph says with which step size the failed attacks changed the image by
    more than the distance to an image of the target class.
    """
    main = {"precision": "float32", "step_size": record.parameters["step_size"]}
    size = float(max(settings(record, "failures", "step_size")))
    longest = {"precision": "float32", "step_size": size}

    def both(name: str, method: str, **setting: Any) -> str:
        """Return on how many pairs something happens, from each kind of source image."""
        least, most = (
            values(record, name, method=method, rule=rule, **setting) for rule in SOURCES
        )
        if not any(least + most):
            return "no pair"
        return (
            f"{spread(least, 0)} of 90 pairs from the least confident images and "
            f"{spread(most, 0)} from the most confident ones"
        )

    def moved(which: str, **setting: Any) -> str:
        """Return the mean change of a pixel, from one kind of source image to the other."""
        found = [
            values(record, f"moved, {which}", method="saturated", rule=rule, **setting)
            for rule in SOURCES
        ]
        return from_to([fmean(each) for each in found if each], ".2f") if any(found) else "nothing"

    threes = of_target(record, f"{ADAM}/saturated-3-to-7")
    least, most = (values(record, "3 to 7", method="saturated", rule=k, **main) for k in SOURCES)
    return "\n\n".join(
        [
            f"*How often Adam fails.* On the saturated network, {record.parameters['steps']:,} "
            f"steps of Adam fail for {both('failures', 'saturated', **main)}. On the vanilla "
            f"network they fail for {both('failures', 'vanilla', **main)}.",
            "*A 3 into a 7.* Within as many steps, Adam changes a 3 into a 7 with "
            f"{_with_seeds(least)} from the least confident image. It does so with "
            f"{_with_seeds(most)} "
            "from the most confident one. It succeeds from at least one of the two images with "
            f"{_with_seeds(threes)}. The "
            "paper names this pair as an example of several failures on its network. Adam fails "
            f"on {_failing(record)} of our 90 pairs (least confident images). So a success on one "
            "pair contradicts nothing in the paper, and we give no verdict.",
            "*Failures depend on the settings of Adam.* We also ran Adam with a step size of "
            f"{size:g} instead of {main['step_size']:g}, and with {_steps_at(record, size):,} "
            f"instead of {record.parameters['steps']:,} steps. On the saturated network it then "
            f"fails for {both('failures', 'saturated', **longest)}. So a failure may be due to the "
            "attack and not to the network.",
            "*Failures depend on the arithmetic.* On the saturated network the results in float32 "
            f"and float64 disagree for {both('precisions differ', 'saturated')}. On the vanilla "
            f"network they disagree for {both('precisions differ', 'vanilla')}. So rounding can "
            "decide whether Adam succeeds on a pair, and the counts are more reliable than the "
            "result of a single pair such as 3 and 7.",
            "*Are the failed attacks too short?* The attack may change the image by any amount. "
            "So it would always succeed if it replaced the image by the source image of the target "
            f"class. This would change a pixel by {moved('swapped')} (mean absolute change, median "
            f"over pairs). With the step size {main['step_size']:g}, which decides the verdicts, "
            f"the failed attacks changed a pixel by {moved('failed', **main)}, so they may have "
            f"stopped too early. With the step size {size:g} they changed it by "
            f"{moved('failed', **longest)} and failed all the same.",
        ]
    )


def _failing(record: Record) -> str:
    """Return as text on how many pairs the attack fails that decides the verdict on Adam."""
    return spread(of_target(record, SEVERAL), 0)


def first_gradients(record: Record) -> str:
    """Return a sentence that states how large the gradient is at the start of the long runs of
    Adam: its largest component from each source image, in each floating-point precision.
    """
    parts = []
    for rule, name in SOURCES.items():
        sizes = {
            precision: array(record, f"{rule} {precision} gradient")[0] for precision in _PRECISIONS
        }
        texts = {precision: _in_digits(size) for precision, size in sizes.items()}
        told = (
            texts["float32"]
            if len({*texts.values()}) == 1
            else " and ".join(f"{text} in {precision}" for precision, text in texts.items())
        )
        parts.append(f"{told} from the {name}")
    return (
        "In our long runs below, the largest component of the first gradient is "
        f"{'. It is '.join(parts)}."
    )


def _in_digits(size: float) -> str:
    """Return a size as text, without a power of ten if it is 1 or more."""
    return f"{float(f'{size:.2g}'):,.0f}" if size >= 1 else power(size)


def _with_seeds(marks: Sequence[float]) -> str:
    """Return as text in how many runs, one per seed, a mark is not 0."""
    return f"{sum(map(bool, marks))} of {number_of('seed', len(marks))}"


def long_figure(record: Record) -> Figure:
    """Draw two quantities over the steps of each long run of Adam: the change of the image, and the
    probability of the target class.
    """
    return figures.descent(
        {
            name: {precision: _trail(record, rule, precision) for precision in _PRECISIONS}
            for rule, name in SOURCES.items()
        },
        {name: np.array(array(record, f"{rule} start")) for rule, name in SOURCES.items()},
    )


def long_ends(record: Record) -> Table:
    """Return a table of how each long run of Adam ended."""
    return table(
        f"How each long run of Adam ended (profile {record.profile}, seed {record.seeds[0]}): the "
        "mean absolute change of a pixel, the decimal logarithm of the probability p of the target "
        "class, the largest component of the gradient, and the microseconds that a step took.",
        "tab-claims-long-descent",
        ["Run of Adam", "Steps", "End", "Change", "log10 p", "Gradient", "Microseconds"],
        list(_ends(record)),
        align="lrlrrrr",
    )


def plateaus(record: Record) -> str:
    """Return sentences on the plateaus of the long runs of Adam: for which share of the steps the
    logarithm of the probability of the target class hardly changes, and which causes are possible.
    They separate the runs with a large gradient in the first `EARLY` steps from those in which it
    stays below the epsilon in Adam's divisor.
    """
    first, early, ends, still = {}, {}, {}, []
    for row in (row for row in record.rows if row.name == "iterations"):
        rule, precision = map(str, _of(row.setting))
        name, at = f"{SOURCES[rule]}, {precision}", f"{rule} {precision}"
        trace = zip(array(record, f"{at} iterations"), array(record, f"{at} gradient"), strict=True)
        first[name] = array(record, f"{at} moved")[1]
        early[name] = max(size for step, size in trace if step <= EARLY)
        ends[name] = float(row.value)
        still.append(_plateau(*(array(record, f"{at} {each}") for each in ("iterations", "loss"))))
    large = [name for name in early if early[name] > 1]
    tiny = [name for name in early if early[name] < EPSILON]
    soon = [name for name in ends if ends[name] <= _soon()]
    words = [
        "*A long attack may still succeed.* In each long run of Adam there is a plateau, on which "
        "the logarithm of the probability of the target class changes by at most 1 %. It takes "
        f"{from_to([100 * share for share in still], '.0f')} % of the steps, by run "
        "({numref}`fig-claims-long-descent`). We did not test why."
    ]
    if large:
        same = f" (those that succeed within {_soon():,} steps)" * (large == soon)
        words.append(
            f"In {len(large)} of the {len(early)} runs{same}, some early gradients are large. We "
            f"stored some of the first {EARLY:,} steps: the largest gradient component in them is "
            f"{from_to([early[name] for name in large], ',.0f')}, by run. Adam divides the "
            "gradient by the square root of a running mean of squared gradients, and one large "
            "gradient keeps this mean large for thousands of steps. This is a possible cause."
        )
    words += [
        f"In the run from the {name}, the gradient is far smaller than "
        r"$\varepsilon = 10^{-8}$: the first step changes the pixels by only "
        f"{power(first[name])} on average."
        for name in tiny
    ]
    words.append(
        "So attacks that we stopped and counted as failed might have succeeded later, and the "
        "number of failed attacks depends on where we stop."
    )
    return " ".join(words)


def _plateau(steps: Sequence[float], losses: Sequence[float]) -> float:
    """Return the length of the longest piece of a run in which the loss changes by at most 1 %, as
    a share of all steps between the first and the last stored one.
    """
    longest = max(
        steps[end] - steps[begin]
        for end in range(len(steps))
        for begin in range(end + 1)
        if max(losses[begin : end + 1]) <= 1.01 * min(losses[begin : end + 1])
    )
    return longest / (steps[-1] - steps[0])


def long_in_words(record: Record) -> str:
    """Return sentences that state how many long runs of Adam reached the target class, and how the
    remaining long runs ended.
    """
    rows = [row for row in record.rows if row.name == "iterations"]

    def named(ended: str) -> list[str]:
        return [
            f"{SOURCES[str(row.setting['rule'])]} in {row.setting['precision']}"
            for row in rows
            if row.setting["ended"] == ended
        ]

    words = [_arrived(record)]
    whole = [row for row in rows if row.setting["ended"] == "steps"]
    if whole:
        shares = (
            f"{name}: {_late_share(record, *map(str, _of(row.setting))):.0f} %"
            for name, row in zip(named("steps"), whole, strict=True)
        )
        words.append(
            f"Starting from the {' and from the '.join(named('steps'))}, Adam took all "
            f"{max(int(row.value) for row in whole):,} steps without success. This share of the "
            f"image's change happened in the last nine tenths of the steps: {'; '.join(shares)}."
        )
    if named("still"):
        words.append(
            f"Starting from the {' and from the '.join(named('still'))}, Adam stopped without "
            "success, because the gradient and the momentum became exactly zero."
        )
    return " ".join(words)


def outside(record: Record) -> str:
    """Return a sentence that states which share of the pixels leaves [0, 1] in the long runs."""
    shares = []
    for row in (row for row in record.rows if row.name == "iterations"):
        rule, precision = map(str, _of(row.setting))
        image = np.array(array(record, f"{rule} {precision} image"))
        shares.append(100 * float(((image < 0) | (image > 1)).mean()))
    return (
        f"These attacks do not clip pixels: {from_to(shares, '.0f')} % of the pixels of the final "
        "images lie outside [0, 1]. The record does not say how the network classifies the "
        "clipped images."
    )


def _arrived(record: Record) -> str:
    """Return sentences that state how many long runs of Adam reached the target class, and how
    many steps these runs took.
    """
    rows = [row for row in record.rows if row.name == "iterations"]
    steps = [int(row.value) for row in rows if row.setting["ended"] == "reached"]
    precisions = len({row.setting["precision"] for row in rows})
    limit = _soon()
    soon = sum(n <= limit for n in steps)
    share = f"all {len(rows)}" if len(steps) == len(rows) else f"{len(steps)} of {len(rows)}"
    after = ""
    if steps:
        after = f", after {min(steps):,} to {max(steps):,} steps ({soon} within {limit:,} steps)"
    return (
        f"{share[0].upper()}{share[1:]} longer runs of Adam reach the target class{after}. "
        f"They attack the network of seed {record.seeds[0]}, from two source images, in "
        f"{precisions} floating-point precision{'s' * (precisions > 1)}. The paper took up to "
        f"{FULL:,} steps."
    )


def _soon() -> int:
    """Return a number of steps, a tenth larger than that of the shorter runs of Adam."""
    return round(1.1 * int(record_of("saturating/claims").parameters["steps"]))


def _lost_by_a_jump(record: Record, reading: str) -> list[float]:
    """Return by how many percentage points the accuracy ``reading`` ("clean" or "float32") is
    lower if lambda jumps to its maximum after the epochs without penalty, one number for each seed
    of this training.
    """
    accuracies = {
        (row.setting["varied"], row.setting["how"], row.setting["reading"], row.seed): row.value
        for row in record.rows
        if row.name == "accuracy"
    }
    return [
        accuracies["penalty", "all layers", reading, seed]
        - accuracies["lambda", "one jump", reading, seed]
        for seed in record.seeds
        if ("lambda", "one jump", "clean", seed) in accuracies
    ]


def _jumps_in_words(record: Record) -> str:
    return seeds_in_words(len(_lost_by_a_jump(record, "clean")))


def _alpha_of_relu(record: Record) -> str:
    """Return a sentence that compares the FGSM accuracies of the ReLU network for the values of
    alpha. The ReLU network was trained with fewer seeds than the sigmoid network.
    """
    of = {"varied": ALPHA["ReLU"], "reading": "float32"}
    found = {
        str(alpha): values(record, "accuracy", how=alpha, **of)
        for alpha in settings(record, "accuracy", "how", **of)
    }
    half = fmean(found.pop("0.5"))
    other, most = max(((k, fmean(v)) for k, v in found.items()), key=lambda pair: pair[1])
    return (
        f"But for the ReLU network ({seeds_in_words(len(found[other]))}) the FGSM accuracy is "
        f"{half:.1f} % with alpha = 0.5, and at most {most:.1f} % with the other values."
    )


def _common(lines: Sequence[Entry]) -> str:
    """Return the verdict on several target numbers (numbers printed in the paper), if they all have
    the same verdict. If the verdicts differ, return how often each verdict occurs.
    """
    found = {line.verdict for line in lines}
    return found.pop() if len(found) == 1 else counts(lines)


_PRECISIONS = ("float32", "float64")


def _exceeding(numbers: Sequence[float]) -> str:
    """Return a sentence that states with how many seeds the numbers exceed each threshold in
    ``POINTS``.
    """
    counts = [sum(number > points for number in numbers) for points in POINTS]
    low, used, high = (f"{points:g}" for points in POINTS)
    exceeds = f"This difference exceeds the verdict's threshold of {used} percentage point with"
    if min(counts) == len(numbers):
        return f"{exceeds} every seed; with {low} or {high} points it would do so too."
    return (
        f"{exceeds} {counts[1]} of {len(numbers)} seeds; it exceeds {low} points with {counts[0]} "
        f"and {high} points with {counts[2]} of them."
    )


def _descents(record: Record) -> Iterator[list[str]]:
    """Yield a table row for each combination of network, source images, floating-point precision
    and step size.
    """
    keys = ("method", "rule", "precision", "step_size")
    kinds = dict.fromkeys(
        tuple(row.setting[key] for key in keys) for row in record.rows if row.name == "failures"
    )
    for kind in kinds:
        of: dict[str, Any] = dict(zip(keys, kind, strict=True))
        fooled = values(record, "3 to 7", **of)
        yield [
            *(of["method"], f"{of['rule']} confident", of["precision"], f"{of['step_size']:g}"),
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
            f"{-loss / log(10):.1f}".replace("-0.0", "0.0"),
            f"{gradient:.1g}",
            f"{1e6 * seconds / max(row.value, 1):.0f}",
        ]


def _late_share(record: Record, rule: str, precision: str) -> float:
    """Return the percentage of the image's change that a long run of Adam makes after the first
    tenth of its steps.
    """
    moved = array(record, f"{rule} {precision} moved")
    iterations = array(record, f"{rule} {precision} iterations")
    tenth = next(i for i, n in enumerate(iterations) if n >= iterations[-1] / 10)
    return 100 * float(moved[-1] - moved[tenth]) / moved[-1] if moved[-1] else 0.0
