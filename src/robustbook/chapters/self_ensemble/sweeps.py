"""Show measurements for several values of the attack's constant c, as curves in figures or as rows
of tables.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from robustbook import figures
from robustbook.chapters.published import values
from robustbook.chapters.wording import spread_or
from robustbook.figures import LOOKS, MISSING, Curve, Look
from robustbook.ledger import Record
from robustbook.studies.self_ensemble import printed

from . import names

C = "c"
ACCURACY = "accuracy (%)"
STRONG = ("rse", "none")
"""The defenses that a figure with all defenses shows strongly, with the paper's points behind them.
"""
TICKS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""The values of c with a label on the x axis."""


def curve(
    record: Record, network: str, defense: str, look: Look, name: str = "accuracy"
) -> Curve | None:
    """Return the curve of a quantity against the attack's constant c, with one line per seed.
    Return None if the quantity was not measured.
    """
    of = {"network": network, "defense": defense}
    cs = names.strengths(record, network, defense, name)
    each = [values(record, name, c=c, **of) for c in cs]
    if not each or len({len(found) for found in each}) > 1:
        return None
    return Curve(cs, [list(seed) for seed in zip(*each, strict=True)], look)


def panel(
    record: Record | None,
    network: str,
    shown: Mapping[str, str],
    *,
    title: str,
    name: str = "accuracy",
    label: str = ACCURACY,
    looks: Mapping[str, Look] = LOOKS,
    theirs: Mapping[str, Curve] | None = None,
    thin: Collection[str] = (),
) -> figures.Panel:
    """Return a panel of a figure. The panel has one curve for each of the ``shown`` defenses for
    which results are stored, and those in ``thin`` have thin curves.
    """
    found = {
        words: curve(record, network, defense, looks[defense], name)
        for defense, words in shown.items()
        if record is not None
    }
    faint = {shown[defense] for defense in thin}
    curves = {
        words: replace(each, thin=words in faint)
        for words, each in found.items()
        if each is not None
    }
    at = ticks([*curves.values(), *(theirs or {}).values()])
    return figures.Panel(title, C, label, curves, {}, theirs or {}, log=True, ticks=at)


def ticks(curves: Sequence[Curve]) -> list[float]:
    """Return the values of c with a label on the x axis: those within the range of the curves."""
    drawn = [c for curve in curves for c in curve.x]
    return [c for c in TICKS if drawn and min(drawn) <= c <= max(drawn)]


def printed_curves(network: str, quantity: int) -> dict[str, Curve]:
    """Return the authors' own results of Figure 6: accuracy (``quantity`` 0) or distortion (1)
    against c, for RSE and no defense.
    """
    found = {}
    for defense in STRONG:
        points = {c: of for c, of in printed.points()[network, defense].items() if c}
        y = [of[quantity] for of in points.values()]
        found[names.DEFENSES[defense]] = Curve(list(points), [y], LOOKS[defense])
    return found


def rows(
    record: Record,
    network: str,
    shown: Mapping[str, str],
    cs: Sequence[float],
    name: str = "accuracy",
    digits: int = 1,
) -> list[list[str]]:
    """Return the rows of a table of the quantity ``name``. There is one row per defense and one
    column per value of c. A cell contains the mean over the seeds and the range.
    """
    return [
        [
            words,
            *(
                spread_or(
                    values(record, name, network=network, defense=defense, c=c),
                    digits,
                    missing=MISSING,
                )
                for c in cs
            ),
        ]
        for defense, words in shown.items()
        if defense in names.defenses(record, network, list(shown))
    ]
