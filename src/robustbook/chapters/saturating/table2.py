"""Compute the tables, figures and sentences for the page of Table 2, on the layers of the CNN.

All numbers for our network, such as its numbers of filters and units, come from stored results.
"""

import math
from collections.abc import Iterator

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, of_target, printed
from robustbook.figures import BRIGHT, Look, Table
from robustbook.ledger import Record

CNN = "saturating/table-2/cnn"
SIDE = 28
"""The side of an image in pixels."""
LAYERS = {
    "convolution 1": {"conv1-filters": "filters", "conv1-kernel": "wide"},
    "max pooling 1": {"pool1": "wide"},
    "convolution 2": {"conv2-filters": "filters", "conv2-kernel": "wide"},
    "max pooling 2": {"pool2": "wide"},
    "fully connected": {"fc-units": "units"},
    "softmax": {"outputs": "units"},
}
"""The layers in the paper's table. For each layer: the counts that the paper states, and the units
of these counts.
"""
PADDINGS = {"padding 2": 2, "no padding": 0}
LOOKS = {
    "padding 2": Look(BRIGHT["purple"], "D", "-"),
    "no padding": Look(BRIGHT["yellow"], "v", "--"),
}


def answer(record: Record) -> str:
    """Return a sentence that states how many of the numbers in the paper's table are the same for
    our network. It ends with the page's verdicts.
    """
    names = [name for counts in LAYERS.values() for name in counts]
    same = [_count(record, name) == printed(f"{CNN}/{name}") for name in names]
    badges = of_page(
        "saturating/table-2",
        {"parameters and inputs that follow from it": "padding", "counts in the table": ""},
    )
    return (
        f"{'Yes' if all(same) else 'No'}: our network agrees with "
        f"{'all' if all(same) else f'{sum(same)} of the'} {len(same)} counts in the paper's table. "
        f"{badges}"
    )


def paddings(record: Record) -> str:
    """Return a sentence that states how the padding of the convolutions changes the number of
    parameters.
    """
    padded, bare = (_count(record, f"parameters-{kind}-padding") for kind in ("same", "valid"))
    return (
        "The paper does not state the padding of the convolutions: with a padding of 2 our network "
        f"has {padded:,} parameters, and without padding it would have {bare:,}."
    )


def parameters(record: Record) -> Figure:
    """Draw the number of trainable parameters of each layer, for both paddings of the convolutions.
    The axis is logarithmic.
    """
    found = {words: _parameters(record, padding) for words, padding in PADDINGS.items()}
    rows = {
        name: {words: [float(each[name])] for words, each in found.items()}
        for name in LAYERS
        if not name.startswith("max")
    }
    figure = figures.strips({"": rows}, LOOKS, "trainable parameters")
    (axis,) = figure.axes
    axis.set(xscale="log", xlim=(100, 1e7))
    return figure


def layers(version: Version) -> Table:
    """Return a table with one row for each layer of the CNN. The columns are the layer in the
    paper, our layer, the shape of its output, and its number of parameters.
    """
    record, shapes = version.record, dict(_shapes(version.record))
    found = [_parameters(record, padding) for padding in PADDINGS.values()]
    rows = [
        [
            name,
            ", ".join(
                f"{printed(f'{CNN}/{count}'):g} / **{_count(record, count)}** {of}"
                for count, of in counts.items()
            ),
            " x ".join(map(str, shapes[name])),
            *(f"{each[name]:,}" for each in found),
        ]
        for name, counts in LAYERS.items()
    ]
    sums = (sum(each.values()) for each in found)
    return version.table(
        ": for each layer, the paper's numbers / **ours**, the shape of the output for one image "
        "with a padding of 2, and the number of trainable parameters with and without padding.",
        "table-2-layers",
        ["Layer", "Paper / **ours**", "Output", *(f"Parameters, {words}" for words in PADDINGS)],
        [*rows, ["all", "", "", *(f"{n:,}" for n in sums)]],
        align="llrrr",
    )


def _count(record: Record, name: str) -> int:
    (value,) = of_target(record, f"{CNN}/{name}")
    return int(value)


def _shapes(record: Record, padding: int = 2) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the shape of each layer's output for one image; the convolutions have stride 1."""
    side = SIDE
    for i in (1, 2):
        filters, kernel, pool = (
            _count(record, name) for name in (f"conv{i}-filters", f"conv{i}-kernel", f"pool{i}")
        )
        side += 2 * padding - kernel + 1
        yield f"convolution {i}", (filters, side, side)
        side //= pool
        yield f"max pooling {i}", (filters, side, side)
    yield "fully connected", (_count(record, "fc-units"),)
    yield "softmax", (_count(record, "outputs"),)


def _parameters(record: Record, padding: int) -> dict[str, int]:
    """Return each layer's number of trainable parameters: weights and one bias per output."""
    found = {}
    channels, inputs = 1, 0
    for name, (units, *sides) in _shapes(record, padding):
        if name.startswith("convolution"):
            weights = channels * _count(record, f"conv{name[-1]}-kernel") ** 2
            channels = units
        else:
            weights = inputs
        found[name] = 0 if name.startswith("max") else units * (weights + 1)
        inputs = math.prod((units, *sides))
    return found
