"""Compute the content of the page on Figure 3: accuracy and rho2 of LeNet with different values of
c, lambda and d.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import exp

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import mean, record_of, settings, values
from robustbook.chapters.wording import listed, minus, page_link
from robustbook.figures import Table, table
from robustbook.ledger import Record

USUAL = {"c": 25.0, "lam": 15.0, "d": 5.0}
"""The values of c, lambda and d in the released code."""
DIVERGES = 20.0
"""A value of d with which the training diverged; the stored results do not contain it."""
IMAGES = 2000
"""The number of test images with profile ``paper``."""
WORDS = {"c": "c", "lam": "λ", "d": "d"}
RED = figures.LOOKS["adversarial"].color
LOOKS = [figures.LOOKS[name] for name in ("par-networks", "reference", "deep-defense")]
QUANTITIES = (
    ("accuracy", "accuracy", "accuracy (%)"),
    ("rho2", r"$\rho_2$", r"$\rho_2$"),
)
"""For each quantity three texts: its name in the stored results, the title of its panel, and the
label of its axis.
"""


def answer(record: Record) -> str:
    """Return a sentence that states rho2 at the smallest and the largest value of the parameter
    that changes rho2 most, and that the training diverged with the largest value of d.
    """
    (_, most, _, found), *_ = _ranges(record)
    badges = of_page("deep_defense/figure-3", {"results of a remembered figure": ""})
    return (
        f"Over the values that we tried, {most} changes $\\rho_2$ most, from {found[0]:.3f} with "
        f"the smallest to {found[-1]:.3f} with the largest; with the largest d, the training "
        f"diverged. {badges}"
    )


def _ranges(record: Record) -> list[tuple[float, str, list[float], list[float]]]:
    """Return for each parameter by how much it changes rho2, its symbol, the values that were
    tried, and rho2 for each of them. The parameter that changes rho2 most comes first.
    """
    ranges = []
    for name, word in WORDS.items():
        at = _tried(record, name)
        found = [mean(record, "rho2", **{**USUAL, name: value}) for value in at]
        ranges.append((max(found) - min(found), word, at, found))
    return sorted(ranges, reverse=True)


def each_parameter(record: Record) -> str:
    """Return sentences that state rho2 at the smallest and the largest value of the parameter that
    changes rho2 most, by how much at most each of the two other parameters changes rho2, and how
    much the accuracy differs from that of the reference network.
    """
    (_, most, at, found), *others = _ranges(record)
    rest = listed(f"{word} from {tried[0]:g} to {tried[-1]:g}" for _, word, tried, _ in others)
    least = max(span for span, *_ in others)
    start = mean(record, "rho2", method="reference")
    (usual,) = (f"{word} = {USUAL[name]:g}" for name, word in WORDS.items() if word == most)
    return (
        f"As {most} grows from {at[0]:g} to {at[-1]:g}, $\\rho_2$ falls from {found[0]:.3f} to "
        f"{found[-1]:.3f} (reference network: {start:.3f}). At {usual} the others ({rest}) change "
        f"it by at most {least:.3f}. {minus(_accuracies(record))} But with d = {DIVERGES:g} the "
        f"training diverged. Every number comes from one network ({_seeds(record)})."
    )


def _accuracies(record: Record) -> str:
    """Return a sentence that states how the accuracies of all fine-tuned networks differ from that
    of the reference network on the same images.
    """
    low, high = _changes(
        record,
        *(row.setting for row in record.rows if row.name == "accuracy" and "c" in row.setting),
    )
    start = mean(record, "accuracy", method="reference")
    return (
        f"The accuracy differs from that of the reference network ({start:.2f} %) by {low:+.2f} to "
        f"{high:+.2f} points on the same {IMAGES:,} images."
    )


def _changes(record: Record, *settings: Mapping[str, object]) -> tuple[float, float]:
    """Return the smallest and the largest difference of the accuracies from that of the reference
    network, in points, for networks with these values of c, lambda and d.
    """
    start = mean(record, "accuracy", method="reference")
    found = [mean(record, "accuracy", **of) - start for of in settings]
    return min(found), max(found)


def lost_in_words(record: Record) -> str:
    """Return sentences that state how much less accurate the networks with the smallest c are than
    the reference network on the same images. They compare this loss with differences between
    seeds, and state how the accuracy changes with larger values of c.
    """
    lams, (least, *rest) = _tried(record, "lam"), _tried(record, "c")
    worst, best = _changes(record, *({**USUAL, "c": least, "lam": lam} for lam in lams))
    low, high = _changes(record, *({**USUAL, "c": c, "lam": lam} for c in rest for lam in lams))
    table_1, figure_2 = (record_of(f"deep_defense/{item}") for item in ("table-1", "figure-2"))
    on_all = max(
        _range(table_1, method=m) for m in settings(table_1, "accuracy", "method", network="lenet")
    )
    last = max(settings(figure_2, "accuracy", "epoch", network="lenet", method="deep-defense"))
    on_few = max(
        _range(figure_2, method="reference"),
        *(
            _range(figure_2, method=m, epoch=last)
            for m in ("deep-defense", "adv-training-i", "par-networks")
        ),
    )
    end = (
        "So this loss may well be real, but one seed cannot settle it."
        if -best > max(on_all, on_few) and len(record.seeds) == 1
        else ""
    )
    return minus(
        f"At c = {least:g} the networks with all {len(lams)} values of λ are {-best:.2f} to "
        f"{-worst:.2f} points less accurate than the reference network on the same images. With "
        f"larger c the accuracy differs by {low:+.2f} to {high:+.2f} points. The seeds of one "
        f"method on LeNet differ by at most {on_all:.2f} points in {page_link('table1')} (10,000 "
        f"images). At the end of {page_link('figure2')} ({IMAGES:,} images) they differ by at most "
        f"{on_few:.2f} points. {end}"
    ).rstrip()


def _range(record: Record, **of: object) -> float:
    """Return by how much the accuracies of the seeds of LeNet differ."""
    found = values(record, "accuracy", network="lenet", **of)
    return max(found) - min(found)


def d_in_words(record: Record) -> str:
    """Return sentences that state how accuracy and rho2 change with the tried values of d."""
    tried = _tried(record, "d")
    low, high = _changes(record, *({**USUAL, "d": d} for d in tried))
    rho = listed(f"{mean(record, 'rho2', **{**USUAL, 'd': d}):.3f} (d = {d:g})" for d in tried)
    return minus(
        f"For d from {tried[0]:g} to {tried[-1]:g} the accuracy differs from that of the reference "
        f"network by {low:+.2f} to {high:+.2f} points. $\\rho_2$ is {rho}."
    )


def typical_in_words() -> str:
    """Return a sentence that states the relative size rho of the perturbation for a typical
    misclassified image, and the exponential of d times rho for the d at which training diverged.
    """
    rho = mean(record_of("deep_defense/claims"), "wrong", what="sides", method="reference")
    return (
        "This would need an unusual image: misclassified test images of the MLP have a mean "
        f"$\\rho$ of only {rho:.3f} ({page_link('claims')}), for which "
        f"$e^{{{DIVERGES:g} \\rho}}$ is {exp(DIVERGES * rho):.1f}."
    )


def falls_in_words(record: Record) -> str:
    """Return a sentence that states in how many of all steps to the next larger c rho2 falls, over
    all values of lambda.
    """
    lams, cs = _tried(record, "lam"), _tried(record, "c")
    steps = [
        mean(record, "rho2", c=b, lam=lam, d=USUAL["d"])
        - mean(record, "rho2", c=a, lam=lam, d=USUAL["d"])
        for lam in lams
        for a, b in pairwise(cs)
    ]
    return (
        "From each c to the next larger one, at the same λ, $\\rho_2$ falls in "
        f"{sum(step < 0 for step in steps)} of {len(steps)} steps."
    )


def lambda_in_words(record: Record) -> str:
    """Return a sentence that states how much rho2 changes between neighbouring values of lambda. It
    gives the largest change over all values of c.
    """
    lams, cs = _tried(record, "lam"), _tried(record, "c")
    parts = []
    for low, high in pairwise(lams):
        changes = [
            abs(mean(record, "rho2", **of, lam=high) - mean(record, "rho2", **of, lam=low))
            for of in ({"c": c, "d": USUAL["d"]} for c in cs)
        ]
        parts.append(f"by at most {max(changes):.3f} from λ = {low:g} to {high:g}")
    return f"At each of the {len(cs)} values of c, $\\rho_2$ changes {' and '.join(parts)}."


def grid(record: Record) -> Figure:
    """Draw accuracy and rho2, each against c (with a curve per lambda) and against d. A dotted line
    in each panel marks the value of the reference network, and a cross the d with which the
    training diverged.
    """
    panels = []
    for name, title, label in QUANTITIES:
        level = {"reference": mean(record, name, method="reference")}
        of_c = {
            rf"$\lambda$ = {lam:g}": _over(record, name, "c", look, lam=lam)
            for lam, look in zip(_tried(record, "lam"), LOOKS, strict=False)
        }
        of_d = _over(record, name, "d", figures.LOOKS["combination"])
        panels.append(figures.Panel(title, "c", label, of_c, level))
        panels.append(figures.Panel(title, "d", label, {r"$\lambda$ = 15, $c$ = 25": of_d}, level))
    figure = figures.lines(panels, share_y=True)
    with figures.style():
        for axis in figure.axes[1::2]:
            bottom, _ = axis.get_ylim()
            axis.plot([DIVERGES], [bottom], "x", color=RED, markersize=8, clip_on=False)
            axis.annotate(
                "diverged",
                (DIVERGES, bottom),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
                color=RED,
            )
            axis.set_xlim(right=DIVERGES + 3)
            axis.set_ylim(bottom=bottom)
    return figure


def grid_in_words(record: Record) -> str:
    """Return sentences that state how many networks are at least as accurate as the reference
    network, and the largest rho2 of these networks.
    """
    start = {"method": "reference"}
    tried = [
        {**USUAL, "c": c, "lam": lam} for lam in _tried(record, "lam") for c in _tried(record, "c")
    ]
    free = [
        of for of in tried if mean(record, "accuracy", **of) >= mean(record, "accuracy", **start)
    ]
    gain = (
        f"Of the {len(tried)} networks with different c and λ, {len(free)} classify at least "
        "as many images correctly as the reference network."
    )
    if free:
        best = max(free, key=lambda of: mean(record, "rho2", **of))
        times = mean(record, "rho2", **best) / mean(record, "rho2", **start)
        gain += (
            f" Of these {len(free)}, the one with c = {best['c']:g} and λ = {best['lam']:g} has "
            f"the largest $\\rho_2$, {times:.2f} times that of the reference network. This is a "
            f"choice among {len(tried)} networks of one seed by their accuracy on the test images, "
            "so it is too favourable."
        )
    return gain


def varied(record: Record) -> Table:
    """Return a table of rho2 and accuracy for several values of each parameter."""
    start = (mean(record, name, method="reference") for name in ("rho2", "accuracy"))
    rows = [["reference network", "", *_cells(*start)]]
    for name, word in WORDS.items():
        at = _tried(record, name)
        for value in at[::2] if name == "c" else at:
            of = {**USUAL, name: value}
            found = (mean(record, each, **of) for each in ("rho2", "accuracy"))
            rows.append([word, f"{value:g}", *_cells(*found)])
    return table(
        "ρ₂ and accuracy (%) of LeNet. In each row one parameter has the stated value, and the two "
        "others have their values in the released code. Each row is one network "
        f"({_seeds(record)}). The rows {listed(f'{w} = {USUAL[n]:g}' for n, w in WORDS.items())} "
        "show the same network.",
        "tab-dd-figure-3",
        ["Parameter", "Value", "ρ₂", "Accuracy"],
        rows,
    )


def _cells(rho: float, accuracy: float) -> list[str]:
    return [f"{rho:.3f}", f"{accuracy:.2f}"]


def spanned() -> str:
    """Return the smallest and the largest rho2 in the stored results, with their values of c,
    lambda and d.
    """
    record = record_of("deep_defense/figure-3")
    rows = sorted(
        (row for row in record.rows if row.name == "rho2" and "c" in row.setting),
        key=lambda row: row.value,
    )
    low, high = (
        f"{row.value:.3f} ({', '.join(f'{WORDS[n]} = {row.setting[n]:g}' for n in USUAL)})"
        for row in (rows[0], rows[-1])
    )
    return f"ρ₂ of LeNet lies between {low} and {high} ({_seeds(record)})"


def _seeds(record: Record) -> str:
    return "one seed" if len(record.seeds) == 1 else f"means over {len(record.seeds)} seeds"


def _tried(record: Record, name: str) -> list[float]:
    """Return the values of one parameter that were tried while the two other parameters had their
    default values, in ascending order.
    """
    others = {other: value for other, value in USUAL.items() if other != name}
    return sorted(map(float, settings(record, "rho2", name, **others)))


def _over(
    record: Record, name: str, parameter: str, look: figures.Look, **changed: float
) -> figures.Curve:
    """Return one curve per seed: the values of a quantity, such as rho2, against the values of one
    parameter.
    """
    at = _tried(record, parameter)
    each = [values(record, name, **{**USUAL, **changed, parameter: value}) for value in at]
    return figures.Curve(at, [list(seed) for seed in zip(*each, strict=True)], look)
