"""Compute what the page of the benchmarks shows: running times of attacks and training steps, in
this package and in other libraries.
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import benchmark
from robustbook.chapters.wording import power
from robustbook.figures import BRIGHT, Look, Table, table

ATTACKS = {"fgsm": "FGSM", "pgd-40": "PGD, 40 steps"}
COLUMNS = ("Library", "Seconds", "To ours", "To the floor", "Propagations", "Accuracy")
WAYS = {"ours": "ours", "ours, any network": "ours, Jacobians formed", "loop": "loop over points"}
OURS = "robustbook"
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
        ranges.append(f"{name} takes {min(others):.2f} to {max(others):.2f} times as long")
        floors += [f"{r['ratio_to_floor']:.2f}" for r in of if r["library"] == OURS]
        same = same and len({row["accuracy"] for row in of}) == 1
    accuracy = "the same accuracy" if same else "accuracies that differ"
    apart = 100 * (_disagreement(rows) - 1)
    equal = [name for name in _by_library(rows) if not _differ(rows, name)]
    faster = [n for n, ratio in _by_library(rows).items() if _differ(rows, n) and ratio < 1]
    unranked = (
        f"Differences of this size do not rank {_listed([*equal, 'ours'])}. "
        if equal
        else "Every library differs from ours by more. "
    )
    return (
        f"**Answer.** {'Yes' if faster else 'No'}. In other libraries {' and '.join(ranges)} as in "
        f"ours, with {accuracy}. Two ways to compare the times, described below, disagree by up to "
        f"{apart:.0f}\N{NO-BREAK SPACE}%. {unranked}"
        f"Our FGSM and PGD take {' and '.join(floors)} times as long as the network alone."
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


def _listed(names: list[str]) -> str:
    """Return names as text, such as "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


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
        f" Not timed: {ATTACKS[row['attack']]} of {row['library']} "
        f"({row['error'].split(': ', 1)[-1]})."
        for row in report["rows"]
        if "error" in row
    )
    return table(
        f"Seconds per 1000 images, medians of {report['rounds']} interleaved rounds on "
        f"{report['images']} images ({report['data']}, adversarially trained CNN), l-infinity, eps "
        f"0.25; {report['machine']['processor']}, {report['threads']} threads, {report['date']}. "
        "*To ours*: the time divided by our time. *To the floor*: the time divided by the time of "
        "the network alone. *Propagations*: the numbers of forward / backward passes per image."
        f"{untimed}",
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
        f"Seconds for {report['paths']} paths of {report['points']} points through a "
        f"{report['network']}, medians of {report['rounds']} interleaved rounds{busy}; "
        f"{report['machine']['processor']}, {report['threads']} threads, {report['date']}.",
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
        f"Seconds for {report['pairs']} runs of L-BFGS from the least confident images "
        f"({report['data']}, sigmoid MLP, float32), medians of {report['rounds']} interleaved "
        f"rounds, and medians of the ratio within a round; {report['machine']['processor']}, "
        f"{report['threads']} thread, {report['date']}, load {report['load_before']} from other "
        "work. *Found*: the number of successful runs. *Evaluations*: the number of forward and "
        "backward passes of single images.",
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
        f"DeepFool in l2, {report['images']} images ({report['data']}, small CNN), medians of "
        f"{report['rounds']} interleaved rounds; torchattacks, the adversarial-robustness-toolbox "
        "and our presets of both were timed once, on a tenth of the images; "
        f"{report['processor']}, {report['cores']} cores. *Seconds*: per 1000 images. *Faster*: "
        "how many times faster than adv-lib. *Succeeds*: the share of images on which the attack "
        "succeeds. *Mean l2*: the mean distance on these images. *Differs*: the largest difference "
        "between a pixel of our preset and of the library that it imitates.",
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
        f" {row['library']} was timed once, on {row['images']} images."
        for row in report["rows"]
        if "images" in row
    )
    return table(
        f"Carlini-Wagner in l2 with a fixed c of {report['c']:g} and {report['steps']} steps, "
        f"{report['images']} images ({report['data']}, small CNN), medians of {report['rounds']} "
        f"interleaved rounds{busy}; {report['processor']}, {report['threads']} threads, "
        f"{report['date']}.{few} *Seconds*: per 1000 images. *Propagations*: the numbers of "
        "forward / backward passes per image. *Succeeds*: the share of images that are "
        "misclassified at the end. *Mean l2*: the mean distance of the successful attacks.",
        "tab-benchmarks-carlini-wagner",
        ["Library", "Seconds", "To ours", "To the floor", "Propagations", "Succeeds", "Mean l2"],
        list(map(_carlini_wagner_row, report["rows"])),
    )


def noise() -> Table:
    """Return a table of the times of predictions and training steps of networks with noise
    layers.
    """
    report = benchmark("self_ensemble")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    return table(
        f"Random Self-Ensemble: milliseconds for a prediction with {report['draws']} draws, "
        "computed as one batch and in a loop, and for a forward and backward pass on 32 images. "
        f"The networks have 1/{report['narrow']} of the paper's width. *Ratio*: the time divided "
        "by the time in the first row of the group. Medians of "
        f"{report['rounds']} interleaved rounds{busy}; {report['processor']}, "
        f"{report['threads']} threads, {report['date']}.",
        "tab-benchmarks-noise",
        ["Network", "What", "Milliseconds", "Ratio"],
        [
            [row["network"], row["what"], f"{1000 * row['seconds']:.0f}", f"{row['ratio']:.2f}"]
            for row in report["rows"]
        ],
        align="llrr",
    )


def training() -> Table:
    """Return a table of the time of a training step in the package's `fit` and in a plain training
    loop.
    """
    report = benchmark("training")
    busy = " while other work was running" if report["load_before"] > 0.5 else ""
    return table(
        "Milliseconds of a training step on 50 images, through the package's `fit` and in a bare "
        f"PyTorch loop; medians of {report['rounds']} interleaved rounds of {report['steps']} "
        f"steps on one thread{busy}; {report['processor']}, {report['date']}.",
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
        f"Milliseconds of a training step of LeNet on {report['batch_size']} images "
        f"({report['data']}), medians of {report['rounds']} interleaved rounds, on one thread; "
        f"{report['processor']}. *To plain*: the time divided by the time of a training step "
        "without the regulariser. *All classes*: DeepFool computes the gradients of all classes. "
        "*Straightforward*: DeepFool also continues on images on which it has succeeded, and keeps "
        "the computation graph of every class.",
        "tab-benchmarks-deep-defense",
        ["Step", "Milliseconds", "To plain"],
        [
            [row["step"], f"{1000 * row['seconds']:.0f}", f"{row['times_plain']:.1f}"]
            for row in report["rows"]
        ],
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
        return [row["library"], *[""] * 5, row["error"]]
    floor = row.get("ratio_to_floor")
    return [
        row["library"],
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
        row["library"],
        f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}",
        f"{faster:.2f}" if faster else "",
        f"{row['fooled']:.1f} %",
        f"{row['mean_distance']:.4f}",
        power(apart) if apart is not None else "",
    ]
