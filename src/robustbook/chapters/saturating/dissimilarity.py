"""What the pages of Figures 3 and 7 share: dissimilarity matrices and their two patterns."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import array, values
from robustbook.figures import Table, table
from robustbook.ledger import Record, Row

from .names import COMPARED

LAYERS = {"1": "layer 1", "2": "layer 2", "3": "layer 3", "softmax": "softmax"}
DECADES = {"figure-3": None, "figure-7": 6}
"""Powers of ten of the colour scale; None: it is linear."""
CONTROLS = {
    "figure-3": "The longer-trained network is of one seed.",
    "figure-7": "The networks trained for longer and with a stronger penalty are of one seed.",
}


def between_classes(record: Record) -> str:
    """The mean dissimilarity between classes, layer by layer."""
    vanilla, saturated = (
        ", ".join(_number(values(record, "between", method=m, layer=layer)) for layer in "123")
        for m in COMPARED
    )
    return (
        f"Mean dissimilarity between classes in layers 1, 2, 3: {vanilla} in the vanilla network, "
        f"{saturated} in the saturated one."
    )


def matrices(record: Record, *, shared: bool = True) -> Figure:
    """The matrices of the first seed on one colour scale, or each on its own."""
    rows = {
        method: {
            title: figures.unfold(array(record, f"matrix/{method}/{layer}"))
            for layer, title in LAYERS.items()
        }
        for method in COMPARED
    }
    return figures.matrices(
        rows,
        classes=[str(digit) for digit in range(10)],
        scale="dissimilarity",
        shared=shared,
        decades=DECADES[record.item],
    )


own_scales = partial(matrices, shared=False)


def layers(record: Record) -> Table:
    """Dissimilarity within and between classes, layer by layer."""
    return table(
        "Mean dissimilarity of two images of one class (without the diagonal) and of two classes, "
        f"and their ratio; mean (range over the seeds). {CONTROLS[record.item]}",
        f"tab-{record.item}-layers",
        ["Network and layer", "within", "between", "within / between"],
        list(_layer_rows(record)),
    )


def patterns(record: Record) -> Table:
    """The paper's two patterns under each reading of them: how often each holds."""
    return table(
        "The two patterns under each reading: the number that decides (the largest ratio over "
        "layers and networks; the smallest factor from one layer to the next), and in how many "
        "seeds they hold.",
        f"tab-{record.item}-patterns",
        ["Pattern", "Number", "Holds", ""],
        list(_pattern_rows(record)),
        align="lrrl",
    )


def _number(numbers: Sequence[float]) -> str:
    """The mean to three digits or more, and the range where there are several; 0 below 1e-9."""
    ends = (sum(numbers) / len(numbers), min(numbers), max(numbers))
    mean, low, high = (_digits(end if end > 1e-9 else 0.0) for end in ends)
    return mean if low == high else f"{mean} ({low} to {high})"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _layer_rows(record: Record) -> Iterator[list[str]]:
    for method in (*COMPARED, "vanilla, longer", "saturated, stronger"):
        for layer, title in LAYERS.items():
            names = ("within", "between", "within over between")
            cells = [values(record, name, method=method, layer=layer) for name in names]
            if cells[0]:
                yield [f"{method}, {title}", *map(_number, cells)]


def _pattern_rows(record: Record) -> Iterator[list[str]]:
    """Each pattern under each reading: the number that decides, and how often it holds."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in record.rows:
        if row.holds is not None:
            words = ", ".join(
                f"at most {value:g}" if label == "threshold" else str(value)
                for label, value in row.setting.items()
            )
            found.setdefault((row.name, words), []).append(row)
    for (name, words), rows in found.items():
        yield [
            f"{name}: {words}",
            _number([row.value for row in rows]),
            f"{sum(bool(row.holds) for row in rows)} of {len(rows)}",
            "judged" if rows[0].target else "",
        ]
