"""Compute the figures and tables that the pages of Figures 3 and 7 share.

The figures show dissimilarity matrices: how different the representations of two images are in each
layer. The tables state the mean dissimilarity within and between classes, and test two patterns
that the paper describes.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, values
from robustbook.chapters.wording import minus, ranges
from robustbook.figures import Table, table
from robustbook.ledger import Record, Row

from .names import COMPARED

LAYERS = {"1": "layer 1", "2": "layer 2", "3": "layer 3", "softmax": "softmax"}
DECADES = {"figure-3": None, "figure-7": 6}
"""For each figure, the number of powers of ten that the colour scale covers; None means a linear
scale.
"""
LAST = {"3": "φ of the logits", "softmax": "softmax"}
"""The functions of the last layer's inputs: for each name in the records, the name in a table."""
DECIDED = "decided by this variant"
CONTROLS = {
    "figure-3": "The network *vanilla, longer* was trained with one seed only.",
    "figure-7": (
        "The networks *vanilla, longer* and *saturated, stronger* were trained with one seed only."
    ),
}


def matrices(record: Record, *, shared: bool = True) -> Figure:
    """Draw the dissimilarity matrices of each layer of the vanilla and the saturated network, for
    the first seed. If ``shared`` is true, all matrices use one colour scale; otherwise each matrix
    has a scale of its own.
    """
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


def orders(version: Version) -> Table:
    """Return a table of the mean dissimilarity between classes in each layer.

    The paper says for Figure 3 that the dissimilarity between classes is larger in the saturated
    network than in the vanilla network.
    """
    record = version.record
    said = "larger" if record.item == "figure-3" else "not stated"
    return version.table(
        f": mean dissimilarity of two images of different classes{ranges(record)}. "
        "We could not see the paper's figure; its text states no numbers.",
        record.item,
        ["Layer", "The paper", "Vanilla", "Saturated"],
        [
            [
                title,
                said,
                *(three_digits(values(record, "between", method=m, layer=layer)) for m in COMPARED),
            ]
            for layer, title in LAYERS.items()
            if layer != "softmax"
        ],
        align="llrr",
    )


def layers(record: Record) -> Table:
    """Return a table of the mean dissimilarity of two images of one class, and of two images of
    different classes. There is one row for each combination of network and layer.
    """
    return table(
        "Mean dissimilarity of two images of one class (*within*) and of two images of different "
        "classes (*between*), and the ratio of these two means; mean (range over the seeds). "
        f"{CONTROLS[record.item]}",
        f"tab-{record.item}-layers",
        ["Network and layer", "within", "between", "within / between"],
        list(_layer_rows(record)),
    )


def patterns(record: Record) -> Table:
    """Return a table of how many seeds show each of the two patterns that the paper describes.
    There is one row for each of several definitions of a pattern. The paper describes the patterns
    of Figure 3 only, so only this figure has a column that says which variants decide a verdict.
    """
    head = ["Pattern and variant", "Number", "Holds", "Verdict"]
    if record.item != "figure-3":
        head.pop()
    return table(
        "Two patterns that the paper describes for Figure 3, each in several variants. *Holds*: "
        "the number of seeds with which a variant holds. *Within near zero*: the number is the "
        "mean dissimilarity within classes divided by that between classes, in the layer and "
        "network in which this ratio is largest. *Grows with depth*: the number is the smallest "
        "ratio of a layer's measure (such as *between*) to the previous layer's measure. *Last "
        "layer*: the number is the dissimilarity between classes of the saturated network divided"
        " by that of the vanilla network.",
        f"tab-{record.item}-patterns",
        head,
        [row[: len(head)] for row in _pattern_rows(record)],
        align="lrrl"[: len(head)],
    )


def three_digits(numbers: Sequence[float]) -> str:
    """Return as text the mean of the numbers to three digits, followed by the range if the numbers
    differ.

    Numbers between -1e-9 and 1e-9 are shown as 0.
    """
    ends = (sum(numbers) / len(numbers), min(numbers), max(numbers))
    mean, low, high = (_digits(end if abs(end) > 1e-9 else 0.0) for end in ends)
    return mean if low == high else f"{mean} ({low} to {high})"


def _digits(value: float) -> str:
    short = float(f"{value:.3g}")
    return minus(f"{short:,.0f}" if abs(short) >= 1000 else f"{short:g}")


def _layer_rows(record: Record) -> Iterator[list[str]]:
    for method in (*COMPARED, "vanilla, longer", "saturated, stronger"):
        for layer, title in LAYERS.items():
            names = ("within", "between", "within over between")
            cells = [values(record, name, method=method, layer=layer) for name in names]
            if cells[0]:
                yield [f"{method}, {title}", *map(three_digits, cells)]


def _pattern_rows(record: Record) -> Iterator[list[str]]:
    """Yield table rows for the two patterns that the paper describes, and for the order of the two
    networks in the last layer. The name of the pattern comes first, and then one row for each
    definition of it. A row states the definition, the measured number, and the number of seeds that
    show the pattern.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in record.rows:
        if row.holds is not None:
            words = ", ".join(
                f"at most {value:g}" if label == "threshold" else str(value).replace("phi", "φ")
                for label, value in row.setting.items()
            )
            found.setdefault(row.name, {}).setdefault(words, []).append(row)
    for name, variants in found.items():
        yield [f"**{name}**", "", "", ""]
        for words, rows in variants.items():
            yield [
                words,
                three_digits([row.value for row in rows]),
                f"{sum(bool(row.holds) for row in rows)} of {len(rows)}",
                DECIDED if rows[0].target else "",
            ]
    yield ["**last layer: larger between classes with saturation**", "", "", ""]
    for layer, words in LAST.items():
        vanilla, saturated = (values(record, "between", method=m, layer=layer) for m in COMPARED)
        ratios = [a / b for a, b in zip(saturated, vanilla, strict=True)]
        yield [
            words,
            three_digits(ratios),
            f"{sum(ratio > 1 for ratio in ratios)} of {len(ratios)}",
            DECIDED if layer == "3" else "",
        ]
