"""Compute what the page of the benchmarks shows: running times of attacks and training steps, in
this package and in other libraries.
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import benchmark
from robustbook.chapters.wording import listed, power
from robustbook.figures import BRIGHT, Look, Table, table

ATTACKS = {"fgsm": "FGSM", "pgd-40": "PGD, 40 steps"}
COLUMNS = ("Library", "Seconds", "To ours", "To the floor", "Propagations", "Accuracy")
WAYS = {"ours": "ours", "ours, any network": "ours, Jacobians formed", "loop": "loop over points"}
OURS = "robustbook"
RATIOS = (
    "*To ours*: the median over the rounds of the time divided by our time in the same round. *To "
    "the floor*: the time divided by the estimated time of the network's passes alone."
)
"""The part of a table's caption that explains two columns."""
IN_ROUND = "in the same round, median over the rounds"
MARKS = {
    "this book": Look(BRIGHT["blue"], "o", "-"),
    "another library": Look(BRIGHT["purple"], "s", "-"),
}


def answer() -> str:
    """Return sentences that compare the running times of our attacks with those of other libraries,
    and with the time of the network's forward and backward passes alone.

    The sentences also name the libraries whose times do not differ clearly from ours.
    """
    rows = [row for row in benchmark("attacks")["rows"] if "error" not in row]
    ranges, floors, same = [], [], True
    for attack, title in ATTACKS.items():
        of = [row for row in rows if row["attack"] == attack]
        others = [row["ratio_to_ours"] for row in of if row["library"] != OURS]
        name = title.split(",")[0]
        ranges += [f"{name} takes {min(others):.2f} to {max(others):.2f}"]
        floors += [f"{r['ratio_to_floor']:.2f}" for r in of if r["library"] == OURS]
        same = same and len({row["accuracy"] for row in of}) == 1
    accuracy = "the same accuracy" if same else "different accuracies"
    apart = 100 * (_disagreement(rows) - 1)
    equal = [name for name in _by_library(rows) if not _differ(rows, name)]
    faster = [n for n, ratio in _by_library(rows).items() if _differ(rows, n) and ratio < 1]
    unranked = (
        f"The times of {listed(equal)} differ from ours by no more than this, so we do not rank "
        "them. "
        if equal
        else "The times of every other library differ from ours by more. "
    )
    return (
        f"**Answer.** {'Yes' if faster else 'No'}. In other libraries, {listed(ranges)} times as "
        f"long as in ours. All libraries give {accuracy}. "
        "Our two ways to compare the times (directly, or relative to the time of the network's "
        f"passes alone) disagree by up to {apart:.0f} %. {unranked}"
        f"Our FGSM takes {floors[0]} times as long as the passes of the network alone, and our PGD "
        f"{floors[1]} times."
    )


def _disagreement(rows: list[dict[str, Any]]) -> float:
    """Return the largest factor by which two comparisons of a library with ours disagree. One
    comparison is the ratio of both times. The other divides the library's ratio to the floor by
    our ratio to the floor.
    """
    ours = {row["attack"]: row["ratio_to_floor"] for row in rows if row["library"] == OURS}
    factors: list[float] = [
        row["ratio_to_ours"] * ours[row["attack"]] / row["ratio_to_floor"]
        for row in rows
        if row["library"] != OURS
    ]
    return max(max(factor, 1 / factor) for factor in factors)


def _by_library(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return for each other library its ratio to ours that differs most from 1."""
    found: dict[str, float] = {}
    for row in rows:
        if row["library"] != OURS:
            ratios = (found.get(row["library"], 1.0), row["ratio_to_ours"])
            found[row["library"]] = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
    return found


def _differ(rows: list[dict[str, Any]], library: str) -> bool:
    """Return whether a library's time differs from ours by more than the two comparisons
    disagree.
    """
    ratio = _by_library(rows)[library]
    return max(ratio, 1 / ratio) > _disagreement(rows)


def relative_to_ours() -> Figure:
    """Draw the running time of each library's attacks, divided by ours."""
    rows = benchmark("attacks")["rows"]
    shown: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        mark = "this book" if row["library"] == OURS else "another library"
        ratio = [] if "error" in row else [row["ratio_to_ours"]]
        shown.setdefault(ATTACKS[row["attack"]], {})[row["library"]] = {mark: ratio}
    figure = figures.strips(shown, MARKS, "time / our time")
    ratios = [row["ratio_to_ours"] for row in rows if "error" not in row]
    for axis in figure.axes:  # the same scale for all, with room for the outer marks
        axis.set_xlim(min(0.8, min(ratios) - 0.05), max(ratios) + 0.05)
        axis.axvline(1, color="0.3", linewidth=1.2, zorder=1)
    return figure


def attacks() -> Table:
    """Return a table of the running times of FGSM and PGD in each library. The table also shows
    each running time divided by ours, and divided by the time of the network's passes alone.
    """
    report = benchmark("attacks")
    untimed = "".join(
        f" {ATTACKS[row['attack']]} of {row['library']} was not timed ({row['library']} "
        f"{row['error'].split(': ', 1)[-1]})."
        for row in report["rows"]
        if "error" in row
    )
    return table(
        f"Running times of attacks in l-infinity with eps 0.25, on {report['images']} images "
        f"({report['data']}, adversarially trained CNN); {report['machine']['processor']}, "
        f"{report['threads']} threads, {report['date']}. *Seconds*: the time per 1000 images, "
        f"median of {report['rounds']} interleaved rounds. {RATIOS} *Propagations*: the numbers of "
        f"forward / backward passes per image.{untimed}",
        "tab-benchmarks",
        COLUMNS,
        list(_attack_rows(report["rows"])),
    )


def geometry() -> Table:
    """Return a table of the time to compute the singular values of Jacobians along paths: with our
    code, and with a loop over the points of a path.
    """
    report = benchmark("geometry")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    return table(
        "Seconds to compute the singular values of all Jacobians along "
        f"{report['paths']} paths of {report['points']} points, for a {report['network']}; "
        f"medians of {report['rounds']} interleaved rounds{busy}. "
        f"{report['machine']['processor']}, {report['threads']} threads, {report['date']}. "
        f"*To ours*: the time divided by our time {IN_ROUND}.",
        "tab-benchmarks-geometry",
        ["Way", "Seconds", "To ours"],
        [
            [WAYS[row["way"]], f"{row['seconds']:.2f}", f"{row['ratio_to_ours']:.1f}"]
            for row in report["rows"]
        ],
    )


def lbfgs() -> Table:
    """Return a table of the time of 90 attacks with L-BFGS: with our code, which runs them as one
    batch, and with loops that call other libraries.
    """
    report = benchmark("lbfgs")
    return table(
        f"Running times of {report['pairs']} runs of L-BFGS from the least confident images "
        f"({report['data']}, sigmoid MLP, float32); {report['machine']['processor']}, "
        f"{report['threads']} thread, {report['date']}, load {report['load_before']} from other "
        f"work. *Seconds*: the time of all runs, median of {report['rounds']} interleaved rounds. "
        "*To ours*: the time divided by our time in the same round, median over the rounds. "
        "*Found*: the number of successful runs. *Evaluations*: the number of forward and backward "
        "passes of single images.",
        "tab-benchmarks-lbfgs",
        ["Network", "Way", "Seconds", "To ours", "Found", "Evaluations"],
        [
            [
                row["method"],
                row["way"],
                f"{row['seconds']:.2f}",
                f"{row['ratio_to_ours']:.2g}",
                "" if row["way"].startswith("network") else str(row["found"]),
                str(row["evaluations"]),
            ]
            for row in report["rows"]
        ],
        align="llrrrr",
    )


def deepfool() -> Table:
    """Return a table of the time, success rate and mean distance of each implementation of
    DeepFool.
    """
    report = benchmark("deepfool")
    return table(
        f"Running times of DeepFool in l2 on {report['images']} images ({report['data']}, small "
        f"CNN); {report['processor']}, {report['cores']} cores. *Seconds*: the time per 1000 "
        f"images, median of {report['rounds']} interleaved rounds. But torchattacks, the "
        "adversarial-robustness-toolbox and our presets of both were timed only once, on a tenth "
        "of the images. *Faster*: the time of adv-lib divided by the time of this row. *Succeeds*: "
        "the share of images on which the attack succeeds. *Mean l2*: the mean distance on these "
        "images. *Differs*: the largest difference between a pixel that our preset computes and "
        "the same pixel from the library that it imitates.",
        "tab-benchmarks-deepfool",
        ["Library", "Seconds", "Faster", "Succeeds", "Mean l2", "Differs"],
        list(map(_deepfool_row, report["rows"])),
    )


def carlini_wagner() -> Table:
    """Return a table of the time, success rate and mean distance of each library's Carlini-Wagner
    attack.
    """
    report = benchmark("carlini_wagner")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    few = "".join(
        f" All numbers of {name} are from one run on {images} images, and its *To ours* divides by "
        "our time on the same images."
        for name, images in {row["library"]: row.get("images") for row in report["rows"]}.items()
        if images
    )
    return table(
        "Running times of the Carlini-Wagner attack in l2 with a fixed c of "
        f"{report['c']:g} and {report['steps']} steps, on {report['images']} images "
        f"({report['data']}, small CNN); {report['processor']}, "
        f"{report['threads']} thread{'' if report['threads'] == 1 else 's'}, {report['date']}. "
        f"*Seconds*: the time per 1000 images, median of {report['rounds']} interleaved "
        f"rounds{busy}.{few} {RATIOS} *Propagations*: the numbers of forward / backward passes per "
        "image. *Succeeds*: the share of images that are misclassified at the end; a black image, "
        "which foolbox returns where it fails, counts as a failure. *Mean l2*: the mean distance "
        "of the successful attacks.",
        "tab-benchmarks-carlini-wagner",
        [
            "Library",
            "Step size",
            "Seconds",
            "To ours",
            "To the floor",
            "Propagations",
            "Succeeds",
            "Mean l2",
        ],
        list(map(_carlini_wagner_row, report["rows"])),
    )


def noise() -> Table:
    """Return a table of the times of predictions and training steps of networks with noise
    layers.
    """
    report = benchmark("self_ensemble")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    return table(
        "Running times of networks with the noise layers of Random Self-Ensemble, at "
        f"1/{report['narrow']} of the paper's width; {report['processor']}, {report['threads']} "
        f"threads, {report['date']}. *Draws*: a prediction with {report['draws']} draws of the "
        "noise. *Training step*: a forward and backward pass on 32 images. *Milliseconds*: median "
        f"of {report['rounds']} interleaved rounds{busy}. *Ratio*: the time divided by the time in "
        f"the first row of the group {IN_ROUND}. With {report['rounds']} rounds, this differs from "
        f"the ratio of the two medians by up to {100 * (_unlike(report['rows']) - 1):.0f} %.",
        "tab-benchmarks-noise",
        ["Network", "What", "Milliseconds", "Ratio"],
        [
            [row["network"], row["what"], f"{1000 * row['seconds']:.0f}", f"{row['ratio']:.2f}"]
            for row in report["rows"]
        ],
        align="llrr",
    )


def _unlike(rows: list[dict[str, Any]]) -> float:
    """Return the largest factor by which two ratios of a row differ. One is the ratio within a
    round, median over the rounds. The other is the ratio of the median times. Both compare with
    the row of the same group whose ratio is 1, which comes first.
    """
    factors: list[float] = []
    for row in rows:
        if row["ratio"] == 1:
            first = row["seconds"]
        factors.append(row["seconds"] / first / row["ratio"])
    return max(max(factor, 1 / factor) for factor in factors)


def early_stop() -> str:
    """Return sentences that compare our attack of Carlini and Wagner that stops early with the one
    that runs all steps, and the attacks with the smallest and the largest step size.
    """
    rows = {(row["step_size"], row["library"]): row for row in benchmark("carlini_wagner")["rows"]}
    every = f"{OURS}, all steps"
    small, large = (pick(step for step, _ in rows) for pick in (min, max))
    further = [
        100 * (rows[step, OURS]["mean_distance"] / rows[step, every]["mean_distance"] - 1)
        for step in (small, large)
    ]
    near, far = rows[large, every], rows[small, every]
    rivals = [
        row
        for (step, name), row in rows.items()
        if step == large and name not in (OURS, every) and "error" not in row
    ]
    best = min(rivals, key=lambda row: float(row["seconds_per_1000"]))
    return (
        f"In the rows *{OURS}*, the attack on an image stops if its loss no longer falls. The mean "
        f"distance is then {further[0]:.0f} to {further[1]:.0f} % larger than with all steps. "
        "Foolbox, adv-lib, torchattacks and cleverhans run all steps, so compare their times with "
        f"those of the rows *{every}*.\n\n"
        f"With the step size {small:g}, the default of several libraries, the attack has not "
        f"converged at the end: it succeeds on {far['fooled']:.0f} % of the images, and on "
        f"{near['fooled']:.0f} % with the step size {large:g}, at a mean distance of "
        f"{near['mean_distance']:.2f} instead of {far['mean_distance']:.2f}. With this larger step "
        "size the hinge loss is 0 more often, so our attack saves more backward passes: "
        f"{best['library']}, the fastest of the other libraries, takes "
        f"{best['seconds_per_1000'] / near['seconds_per_1000']:.2f} times as long as our attack "
        "with all steps."
    )


def training() -> Table:
    """Return a table of the time of a training step in the package's `fit` and in a plain training
    loop.
    """
    report = benchmark("training")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    return table(
        "Milliseconds per training step on 50 images, with the package's `fit` and with a bare "
        f"PyTorch loop. Medians of {report['rounds']} interleaved rounds of {report['steps']} "
        f"steps on one thread{busy}; {report['processor']}, {report['date']}. *Ratio*: the time of "
        f"`fit` divided by the time of the bare loop {IN_ROUND}.",
        "tab-benchmarks-training",
        ["Network", "fit", "Bare loop", "Ratio"],
        [
            [
                row["network"],
                f"{1000 * row['fit']:.1f}",
                f"{1000 * row['bare']:.1f}",
                f"{row['ratio']:.2f}",
            ]
            for row in report["rows"]
        ],
    )


def deep_defense() -> Table:
    """Return a table that compares the time of a training step of Deep Defense with the time of the
    same step without the regulariser.
    """
    report = benchmark("deep_defense")
    return table(
        f"Milliseconds per training step of LeNet on {report['batch_size']} images "
        f"({report['data']}). Medians of {report['rounds']} interleaved rounds on one thread; "
        f"{report['processor']}. *To plain*: the time divided by the time of a training step "
        f"without the regulariser {IN_ROUND}. *All classes*: DeepFool computes the "
        "gradients of all classes. "
        "*Straightforward*: DeepFool also continues on images on which it has succeeded, and keeps "
        "the computation graph of every class.",
        "tab-benchmarks-deep-defense",
        ["Step", "Milliseconds", "To plain"],
        [
            [row["step"], f"{1000 * row['seconds']:.0f}", f"{row['times_plain']:.1f}"]
            for row in report["rows"]
        ],
    )


def same_accuracy() -> str:
    """Return a sentence that names the attacks under which all libraries reach an accuracy of 0 %,
    where a weaker attack would pass the check too, or "" if there is none.
    """
    rows = [row for row in benchmark("attacks")["rows"] if "error" not in row]
    zero = [
        title.split(",")[0]
        for attack, title in ATTACKS.items()
        if not any(row["accuracy"] for row in rows if row["attack"] == attack)
    ]
    if not zero:
        return ""
    return (
        f"Under {listed(zero)} every library reaches an accuracy of 0 %. A weaker attack might "
        "reach it too, so the check says little there."
    )


def active_pixels() -> str:
    """Return a sentence that compares the time and the mean distance of our DeepFool that changes
    active pixels only with those of our default variant.
    """
    rows = {row["library"]: row for row in benchmark("deepfool")["rows"]}
    free, ours = rows[f"{OURS}, free"], rows[OURS]
    time = free["seconds_per_1000"] / ours["seconds_per_1000"]
    further = 100 * (free["mean_distance"] / ours["mean_distance"] - 1)
    return (
        f"The variant *active pixels* takes {time:.2f} times as long as our default variant, but "
        f"its mean distance is {further:.0f} % larger (the page on "
        "[DeepFool](./deep_defense/deepfool.ipynb) explains it)."
    )


def _attack_rows(rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    for attack, name in ATTACKS.items():
        yield [f"**{name}**", *[""] * (len(COLUMNS) - 1)]
        for row in (row for row in rows if row["attack"] == attack and "error" not in row):
            times = (row[k] for k in ("seconds_per_1000", "ratio_to_ours", "ratio_to_floor"))
            yield [
                row["library"],
                *(f"{each:.2f}" for each in times),
                f"{row['forwards_per_image']:.0f} / {row['backwards_per_image']:.0f}",
                f"{row['accuracy']:.1f} %",
            ]


def _carlini_wagner_row(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["library"], f"{row['step_size']:g}", *[""] * 5, row["error"]]
    floor = row.get("ratio_to_floor")
    return [
        row["library"],
        f"{row['step_size']:g}",
        f"{row['seconds_per_1000']:.0f}",
        f"{row['ratio_to_ours']:.2f}",
        "" if floor is None else f"{floor:.2f}",
        f"{row['forwards_per_image']:.0f} / {row['backwards_per_image']:.0f}",
        f"{row['fooled']:.0f} %",
        f"{row['mean_distance']:.3f}",
    ]


def _deepfool_row(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["library"], "", "", "", "", row["error"]]
    seconds, faster, apart = (
        row.get(k) for k in ("seconds_per_1000", "times_faster_than_adv_lib", "largest_difference")
    )
    assert seconds is not None
    return [
        row["library"].replace(" free", " active pixels"),  # as on the page on DeepFool
        f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}",
        f"{faster:.2f}" if faster else "",
        f"{row['fooled']:.1f} %",
        f"{row['mean_distance']:.4f}",
        power(apart) if apart is not None else "",
    ]
