"""The page of Figure 1: the weights of each layer of the vanilla and the saturated MLPs."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import array, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED, MLPS

PANELS = {"sigmoid-mlp": "A  Sigmoid MLP", "relu-mlp": "B  ReLU MLP"}
LAYERS = (1, 2, 3)
MEASURED = (*COMPARED, "vanilla, longer", "saturated, stronger")


def kurtoses(record: Record) -> str:
    """The excess kurtosis of each layer, vanilla and saturated."""
    parts = (
        f"{title} {', '.join(_kurtosis(record, network, 'vanilla'))} and "
        f"{', '.join(_kurtosis(record, network, 'saturated'))}"
        for network, title in MLPS.items()
    )
    return (
        "Excess kurtosis of layers 1, 2, 3, vanilla and then saturated: " + "; ".join(parts) + "."
    )


def weights(record: Record, *, in_deviations: bool = False) -> Figure:
    """Histograms of the weights, as they are or in standard deviations of their layer."""
    rows = {
        PANELS[network]: [
            {method: _bars(record, network, method, layer, in_deviations) for method in COMPARED}
            for layer in LAYERS
        ]
        for network in MLPS
    }
    label = "weight, in standard deviations of its layer" if in_deviations else "weight"
    return figures.histograms(rows, x_label=label, normal=in_deviations)


shapes = partial(weights, in_deviations=True)


def layers(record: Record) -> Table:
    """Kurtosis and reach of each layer, and the controls."""
    return table(
        "Excess kurtosis of each layer, mean (range over the seeds); of layer 1 over only those "
        "pixels that any training image lights; and the largest absolute weight of each layer.",
        "tab-figure-1-layers",
        [
            "Network",
            *(f"kurtosis, {layer}" for layer in LAYERS),
            "1, lit pixels",
            *(f"largest, {layer}" for layer in LAYERS),
        ],
        list(_layer_rows(record)),
    )


def epochs(record: Record) -> str:
    """How long each network of the table was trained."""
    from robustbook.studies.saturating import settings  # here, as it imports torch

    epoch = settings.EPOCH[record.profile]
    trained = {
        key: round(training.recipe.steps / epoch)
        for key, training in settings.compared(record.profile, 0).items()
    }
    parts = (
        f"{title} {trained[network, 'vanilla']} (vanilla), "
        f"{trained[network, 'vanilla, longer']} (vanilla, longer), "
        f"{trained[network, 'saturated']} (saturated)"
        for network, title in MLPS.items()
    )
    return f"Epochs of training: {', '.join(parts)}."


def _kurtosis(record: Record, network: str, method: str) -> list[str]:
    """Of each layer, as text."""
    return [
        spread(values(record, "kurtosis", layer=layer, network=network, method=method))
        for layer in LAYERS
    ]


def _bars(
    record: Record, network: str, method: str, layer: int, in_deviations: bool
) -> figures.Bars:
    low, high, sd = array(record, f"ends/{network}/{method}/{layer}")
    unit = sd if in_deviations else 1
    density = [value * unit for value in array(record, f"density/{network}/{method}/{layer}")]
    first = values(record, "kurtosis", network=network, method=method, layer=layer)[0]
    return figures.Bars(low / unit, high / unit, density, rf"$\gamma_2$ = {first:.1f}")


def _layer_rows(record: Record) -> Iterator[list[str]]:
    for network, title in MLPS.items():
        for method in MEASURED:
            of = {"network": network, "method": method}
            if not values(record, "kurtosis", layer=1, **of):
                continue
            reach = (
                max(
                    abs(end)
                    for name in ("min", "max")
                    for end in values(record, name, layer=layer, **of)
                )
                for layer in LAYERS
            )
            yield [
                f"{title}, {method}",
                *_kurtosis(record, network, method),
                spread(values(record, "kurtosis, lit pixels", **of)),
                *(f"{each:.3g}" for each in reach),
            ]
