"""Compute the content of the page on Figure 3: accuracy and rho2 of LeNet with different values of
c, lambda and d.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import mean, record_of, settings, values
from robustbook.chapters.wording import minus, whole_percent
from robustbook.ledger import Record

USUAL = {"c": 25.0, "lam": 15.0, "d": 5.0}
"""The values of c, lambda and d in the released code."""
WORDS = {"c": "c", "lam": "lambda", "d": "d"}
LOOKS = [figures.LOOKS[name] for name in ("par-networks", "reference", "deep-defense")]
QUANTITIES = (
    ("accuracy", "accuracy", "accuracy (%)"),
    ("rho2", r"$\rho_2$", r"$\rho_2$"),
)
"""For each quantity three texts: its name in the stored results, the title of its panel, and the
label of its axis.
"""


def answer(record: Record) -> str:
    """Return sentences that state rho2 at both ends of the parameter that changes rho2 most. The
    sentences also state how much rho2 changes with the two other parameters.
    """
    ranges = []
    for name, word in WORDS.items():
        at = _tried(record, name)
        found = [mean(record, "rho2", **{**USUAL, name: value}) for value in at]
        ranges.append((max(found) - min(found), word, at, found))
    (_, most, at, found), *others = sorted(ranges, reverse=True)
    rest = " and ".join(f"{span:.3f} with {word}" for span, word, _, _ in others)
    start = mean(record, "rho2", method="reference")
    return (
        f"The parameter {most} changes rho2 most: from {found[0]:.3f} with {most} = {at[0]:g} to "
        f"{found[-1]:.3f} with {most} = {at[-1]:g} (reference network: {start:.3f}). Between the "
        f"values that we tried, rho2 changes only by {rest}. Every number comes from one network "
        f"({_seeds(record)})."
    )


def lost_in_words(record: Record) -> str:
    """Return sentences that state for the smallest values of c how much less accurate the networks
    are than the reference network, and how accurate they are with larger values of c.
    """
    start = mean(record, "accuracy", method="reference")
    lams, (first, second, *rest) = _tried(record, "lam"), _tried(record, "c")

    def lost(*cs: float) -> tuple[float, float]:
        found = [
            start - mean(record, "accuracy", **{**USUAL, "c": c, "lam": lam})
            for c in cs
            for lam in lams
        ]
        return min(found), max(found)

    ends = {c: lost(c) for c in (first, second)}
    told = " and ".join(
        f"{low:.2f} to {high:.2f} points with c = {c:g}" for c, (low, high) in ends.items()
    )
    better, worse = lost(*rest)
    return minus(
        f"For the {len(lams)} values of lambda, the accuracy falls by {told}, compared with the "
        "reference network. "
        f"With larger c it changes by {-worse:+.2f} to {-better:+.2f} points. "
        "One of the 2,000 test images is 0.05 points."
    )


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
    return figures.lines(panels)


def grid_in_words(record: Record) -> str:
    """Return sentences that state rho2 and the accuracy for several values of c, lambda and d. The
    sentences also state the largest rho2 of the networks that are at least as accurate as the
    reference network.
    """
    start = {"method": "reference"}
    tried = [
        {**USUAL, "c": c, "lam": lam} for lam in _tried(record, "lam") for c in _tried(record, "c")
    ]
    free = [
        of for of in tried if mean(record, "accuracy", **of) >= mean(record, "accuracy", **start)
    ]
    gain = (
        f"Of the {len(tried)} networks with different c and lambda, {len(free)} classify at least "
        "as many images correctly as the reference network."
    )
    if free:
        best = max(free, key=lambda of: mean(record, "rho2", **of))
        times = mean(record, "rho2", **best) / mean(record, "rho2", **start)
        gain += (
            f" The largest rho2 of these {len(free)} networks is {times:.2f} times that of the "
            f"reference network, with c = {best['c']:g} and lambda = {best['lam']:g}."
        )
    cs = _tried(record, "c")
    lines = [
        f"The reference network has a rho2 of {mean(record, 'rho2', **start):.3f} at an accuracy "
        f"of {mean(record, 'accuracy', **start):.2f} %. {gain}",
        "If we vary c (value in brackets) and keep lambda and d as in the released code, rho2 and "
        "accuracy are: "
        f"{_told(record, 'c', (cs[0], USUAL['c'], cs[-1]))}",
        "If we vary lambda (value in brackets) and keep c and d as in the released code, rho2 and "
        "accuracy are: "
        f"{_told(record, 'lam', _tried(record, 'lam'))}",
        "If we vary d (value in brackets) and keep c and lambda as in the released code, rho2 and "
        "accuracy are: "
        f"{_told(record, 'd', _tried(record, 'd'))}",
    ]
    return whole_percent("\n".join(f"- {line}" for line in lines))


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
        f"{row.value:.3f} ({', '.join(f'{name} {row.setting[name]:g}' for name in USUAL)})"
        for row in (rows[0], rows[-1])
    )
    return f"rho2 lies between {low} and {high}, for the profile `{record.profile}`"


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


def _told(record: Record, parameter: str, at: Sequence[float]) -> str:
    """Return text that states rho2 and the accuracy for each of several values of a parameter. For
    the value 5, for example, "0.386 at 98.80 % (5)" means a rho2 of 0.386 and an accuracy of 98.80
    %.
    """
    found = [(value, {**USUAL, parameter: value}) for value in at]
    return ", ".join(
        f"{mean(record, 'rho2', **of):.3f} at {mean(record, 'accuracy', **of):.2f} % ({value:g})"
        for value, of in found
    )
