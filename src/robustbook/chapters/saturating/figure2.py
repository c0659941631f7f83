"""The page of Figure 2: the pre-activations of the vanilla and the saturated MLPs."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import array, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED, MLPS

LAYERS = (1, 2, 3)
MEASURED = (*COMPARED, "vanilla, longer", "saturated, stronger")


def medians(record: Record) -> str:
    """The median pre-activation of each layer, vanilla and saturated."""
    sizes, middles = (
        {
            method: ", ".join(
                spread(values(record, name, layer=layer, network=network, method=method))
                for layer in LAYERS
            )
            for method in COMPARED
        }
        for network, name in (("sigmoid-mlp", "median_abs"), ("relu-mlp", "median"))
    )
    return (
        "Layers 1, 2, 3: the median size of the sigmoid network's pre-activations is "
        f"{sizes['vanilla']} in the vanilla and {sizes['saturated']} in the saturated network; the "
        f"median of the ReLU network's is {middles['vanilla']} and {middles['saturated']}."
    )


def preactivations(record: Record) -> Figure:
    """Histograms per layer, grey where a unit still responds."""
    rows: dict[str, list[dict[str, figures.Bars]]] = {}
    bands: dict[str, tuple[float, float]] = {}
    flat = float(record.parameters["flat"])
    for network, title in MLPS.items():
        for method in COMPARED:
            label = f"{method}\n{title}"
            bands[label] = (-flat, flat) if network == "sigmoid-mlp" else (0.0, float("inf"))
            rows[label] = [{method: _bars(record, network, method, layer)} for layer in LAYERS]
    return figures.histograms(rows, x_label="pre-activation $h$", bands=bands)


def layers(record: Record) -> Table:
    """Medians and shares of the pre-activations of each layer, and the controls."""
    sizes = sorted({5.0, float(record.parameters["flat"]), 100.0})
    return table(
        "Pre-activations over all units and test images: median, median size, share of positive "
        "values and shares beyond a size (per cent); mean (range over the seeds).",
        "tab-figure-2-layers",
        ["Network", "median", "median size", "active", *(f"beyond {size:g}" for size in sizes)],
        list(_layer_rows(record, sizes)),
    )


def _bars(record: Record, network: str, method: str, layer: int) -> figures.Bars:
    of = f"{network}/{method}/{layer}"
    low, high = array(record, f"ends/{of}")
    note = f"{_responding(record, network, method, layer):.1f} % in grey"
    return figures.Bars(low, high, array(record, f"density/{of}"), note)


def _responding(record: Record, network: str, method: str, layer: int) -> float:
    """Share (percent) of pre-activations at which a unit still responds, of the first seed."""
    of = {"network": network, "method": method, "layer": layer}
    if network == "relu-mlp":
        return values(record, "active", **of)[0]
    return 100 - values(record, "beyond", threshold=record.parameters["flat"], **of)[0]


def _layer_rows(record: Record, sizes: list[float]) -> Iterator[list[str]]:
    for network, title in MLPS.items():
        for method in MEASURED:
            for layer in LAYERS:
                of = {"network": network, "method": method, "layer": layer}
                if values(record, "median", **of):
                    cells = [
                        *(
                            values(record, name, **of)
                            for name in ("median", "median_abs", "active")
                        ),
                        *(values(record, "beyond", threshold=size, **of) for size in sizes),
                    ]
                    yield [f"{title}, {method}, layer {layer}", *map(spread, cells)]
