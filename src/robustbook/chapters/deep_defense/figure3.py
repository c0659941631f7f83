"""Compute the content of the page on Figure 3: accuracy and rho2 of LeNet with different values of
c, lambda and d.
"""

from itertools import pairwise

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import mean, record_of, settings, values
from robustbook.chapters.wording import listed, minus
from robustbook.figures import Table, table
from robustbook.ledger import Record

USUAL = {"c": 25.0, "lam": 15.0, "d": 5.0}
"""The values of c, lambda and d in the released code."""
DIVERGES = 20.0
"""A value of d with which the training diverged; the stored results do not contain it."""
IMAGES = 2000
"""The number of test images with profile ``paper``."""
WORDS = {"c": "c", "lam": "λ", "d": "d"}
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
    badges = of_page("deep_defense/figure-3", {"results of the paper's figure": ""})
    return (
        f"The parameter {most} changes $\\rho_2$ most, from {found[0]:.3f} with its smallest value "
        f"to {found[-1]:.3f} with its largest; with the largest d that we tried, the training "
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
    return (
        f"As {most} grows from {at[0]:g} to {at[-1]:g}, $\\rho_2$ falls from {found[0]:.3f} to "
        f"{found[-1]:.3f} (reference network: {start:.3f}). "
        f"The others ({rest}) change it by at most {least:.3f}. {_accuracies(record)} But with "
        f"d = {DIVERGES:g} the training diverged. Every number comes from one network "
        f"({_seeds(record)})."
    )


def _accuracies(record: Record) -> str:
    """Return a sentence that compares the accuracies of all fine-tuned networks with that of the
    reference network. A difference of at most two standard errors may be chance.
    """
    start, furthest = mean(record, "accuracy", method="reference"), _furthest(record)
    chance, error = _chance(record), _error(start)
    return (
        f"The accuracy differs from that of the reference network ({start:.2f} %) by at most "
        f"{furthest:.2f} points, {'less' if chance else 'more'} than "
        f"two standard errors ({2 * error:.2f} points)."
    )


def _furthest(record: Record) -> float:
    """Return the largest difference of a fine-tuned network's accuracy from that of the reference
    network, in points.
    """
    start = mean(record, "accuracy", method="reference")
    found = [row.value for row in record.rows if row.name == "accuracy" and "c" in row.setting]
    return max(abs(each - start) for each in found)


def _chance(record: Record) -> bool:
    """Return whether all these differences are within two standard errors."""
    return _furthest(record) <= 2 * _error(mean(record, "accuracy", method="reference"))


def _error(accuracy: float) -> float:
    """Return the standard error of an accuracy that is measured on `IMAGES` images, in points."""
    return float((accuracy * (100 - accuracy) / IMAGES) ** 0.5)


def lost_in_words(record: Record) -> str:
    """Return sentences that state how much less accurate the networks with the smallest c are than
    the reference network. They also state how the accuracy changes with larger values of c.
    """
    start = mean(record, "accuracy", method="reference")
    lams, (least, *rest) = _tried(record, "lam"), _tried(record, "c")

    def lost(*cs: float) -> tuple[float, float]:
        found = [
            start - mean(record, "accuracy", **{**USUAL, "c": c, "lam": lam})
            for c in cs
            for lam in lams
        ]
        return min(found), max(found)

    low, high = lost(least)
    better, worse = lost(*rest)
    chance = "One seed does not show whether this is chance." if len(record.seeds) == 1 else ""
    return minus(
        f"With c = {least:g} the accuracy is {low:.2f} to {high:.2f} points lower than that of the "
        f"reference network ({len(lams)} values of λ); with larger c it differs by "
        f"{-worse:+.2f} to {-better:+.2f} points. One of the {IMAGES:,} test images corresponds to "
        f"{100 / IMAGES:.2f} points, and two standard errors of an accuracy are "
        f"{2 * _error(start):.2f} points. {chance}"
    ).rstrip()


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
    in each panel marks the value of the reference network.
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
    return figures.lines(panels, share_y=True)


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
            f"the largest $\\rho_2$, {times:.2f} times that of the reference network."
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
