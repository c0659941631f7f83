"""Compute the tables, figures and sentences for the page of Figure 2, on the pre-activations of the
vanilla and the saturated MLPs.
"""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, array, record_of, values
from robustbook.chapters.wording import from_to, listed, ranges, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .dissimilarity import three_digits
from .figure1 import longer_and_saturated
from .names import COMPARED, IN_SENTENCES, MLPS

LAYERS = (1, 2, 3)
MEASURED = (*COMPARED, "vanilla, longer", "saturated, stronger")
ORDERS = (
    ("sigmoid-mlp", "median_abs", "median absolute value", "larger"),
    ("relu-mlp", "median", "median", "lower"),
    ("relu-mlp", "active", "active units (%)", "fewer"),
)
"""For each ordering that the paper claims, four texts: the network, the name of the measurement,
its title, and how the saturated network should differ from the vanilla one.
"""


def answer(record: Record) -> str:
    """Return a sentence that states how many pre-activations of the saturated and of the vanilla
    sigmoid network are large, and whether fewer ReLU units are active. It ends with the page's
    verdicts.
    """
    vanilla, saturated = _large(record)
    active = _active(record)
    fewer = all(b < a for a, b in zip(active["vanilla"], active["saturated"], strict=True))
    yes = fewer and min(saturated) > max(vanilla)
    badges = of_page(
        "saturating/figure-2",
        {"sigmoid MLP": "sigmoid/", "ReLU MLP": "relu/"},
    )
    return (
        f"{'Yes' if yes else 'No'}: in each layer at least {min(saturated):.1f} % of inputs to "
        "saturated sigmoid units lie where a sigmoid is flat (vanilla: at most "
        f"{max(vanilla):.1f} %), and {'fewer' if fewer else 'not fewer'} ReLU units are active. "
        f"{badges}"
    )


def active_units(record: Record) -> str:
    """Return sentences that state how many ReLU units are active in the saturated and in the
    vanilla network.
    """
    active = _active(record)
    vanilla, saturated = (f"{min(active[m]):.0f} to {max(active[m]):.0f} %" for m in COMPARED)
    return (
        f"Depending on the layer, {saturated} of the units are active (have a positive input) in "
        f"the saturated ReLU network, and {vanilla} in the vanilla one. All numbers are means over "
        "the seeds."
    )


def equally_long(record: Record) -> str:
    """Return sentences that compare the share of active units in the saturated ReLU network and in
    a vanilla network of equally long training, layer by layer, with the first seed. They name the
    layers in which the difference exceeds the range over the seeds of the saturated network.
    """
    longer, saturated = (
        [_found(record, "active", "relu-mlp", method, layer)[0] for layer in LAYERS]
        for method in ("vanilla, longer", "saturated")
    )
    of_seeds = [_found(record, "active", "relu-mlp", "saturated", layer) for layer in LAYERS]
    clear = [
        layer
        for layer, a, seeds in zip(LAYERS, longer, of_seeds, strict=True)
        if a - seeds[0] > max(seeds) - min(seeds)
    ]
    return (
        "A vanilla ReLU network that trains for as many epochs as the saturated one has "
        f"{listed(f'{x:.1f}' for x in longer)} % active units in layers {listed(LAYERS)}. The "
        f"saturated one has {listed(f'{x:.1f}' for x in saturated)} % (seed {record.seeds[0]}). "
        "The saturated one has fewer, by more than the range over its seeds, "
        + (f"only in layer{'s' * (len(clear) > 1)} {listed(clear)}" if clear else "in no layer")
        + ". The longer training alone explains "
        f"{from_to(explained_by_length(), '.0f')} % of the change of the median, by layer."
    )


def longer_sigmoid(record: Record) -> str:
    """Return a sentence that compares the vanilla sigmoid network with longer training with the
    saturated one, and states their numbers of epochs.
    """
    flat = float(record.parameters["flat"])
    most, least = (
        pick(
            _found(record, "beyond", "sigmoid-mlp", method, layer, threshold=flat)[0]
            for layer in LAYERS
        )
        for method, pick in (("vanilla, longer", max), ("saturated", min))
    )
    longer, saturated = longer_and_saturated(record.profile, "sigmoid-mlp")
    return (
        f"A vanilla sigmoid network that trains for {longer} epochs has at most {most:.1f} % such "
        f"pre-activations in a layer, and the saturated one at least {least:.1f} % (seed "
        f"{record.seeds[0]}). But the saturated one trains for {saturated:,} epochs, so longer "
        "training may explain a part of the difference."
    )


def explained_by_length() -> list[float]:
    """Return for each layer of the ReLU network which percentage of the change of the median
    pre-activation, from the vanilla to the saturated network, longer training alone explains.
    """
    record = record_of("saturating/figure-2")
    vanilla, longer, saturated = (
        [_found(record, "median", "relu-mlp", method, layer)[0] for layer in LAYERS]
        for method in ("vanilla", "vanilla, longer", "saturated")
    )
    return [100 * (b - a) / (c - a) for a, b, c in zip(vanilla, longer, saturated, strict=True)]


def _large(record: Record) -> list[list[float]]:
    """Return for the vanilla and for the saturated sigmoid network, layer by layer, the percentage
    of pre-activations whose absolute value exceeds the parameter ``flat``.
    """
    flat = float(record.parameters["flat"])
    return [_means(record, "beyond", "sigmoid-mlp", m, threshold=flat) for m in COMPARED]


def _active(record: Record) -> dict[str, list[float]]:
    """Return for the vanilla and for the saturated ReLU network, layer by layer, the percentage of
    active units.
    """
    return {m: _means(record, "active", "relu-mlp", m) for m in COMPARED}


def preactivations(record: Record) -> Figure:
    """Draw a histogram of each layer's pre-activations.

    A grey area marks the inputs at which a unit still responds to small changes.
    """
    rows: dict[str, list[dict[str, figures.Bars]]] = {}
    bands: dict[str, tuple[float, float]] = {}
    flat = float(record.parameters["flat"])
    for network in MLPS:
        for method in COMPARED:
            label = f"{method} {IN_SENTENCES[network]}"
            bands[label] = (-flat, flat) if network == "sigmoid-mlp" else (0.0, float("inf"))
            rows[label] = [{method: _bars(record, network, method, layer)} for layer in LAYERS]
    return figures.histograms(rows, x_label="pre-activation $h$", bands=bands)


def orders(version: Version) -> Table:
    """Return a table of the measurements in which, according to the paper, the saturated network
    differs from the vanilla one.
    """
    return version.table(
        f": pre-activations of all units for all test images, mean{ranges(version.record)}. We "
        "could not see the paper's figure; its text states no numbers.",
        "figure-2",
        ["Measure", "The paper", "Vanilla", "Saturated"],
        [
            [
                f"{MLPS[network]}, layer {layer}: {words}",
                order,
                *(_text(name, _found(version.record, name, network, m, layer)) for m in COMPARED),
            ]
            for network, name, words, order in ORDERS
            for layer in LAYERS
        ],
        align="llrr",
    )


def layers(record: Record) -> Table:
    """Return a table with a row for each combination of network and layer. The columns are the
    medians of the pre-activations, and the percentages of pre-activations whose absolute values
    exceed thresholds.
    """
    sizes = sorted({5.0, float(record.parameters["flat"]), 100.0})
    return table(
        "Pre-activations of all units for all test images: the median, the median absolute value "
        "(*median size*), the share of positive pre-activations (*active* units), and the share of "
        "pre-activations whose absolute value exceeds a threshold (*beyond*). Shares are in per "
        "cent; mean (range over the seeds).",
        "tab-figure-2-layers",
        ["Network", "median", "median size", "active", *(f"beyond {size:g}" for size in sizes)],
        list(_layer_rows(record, sizes)),
    )


def _text(name: str, numbers: list[float]) -> str:
    """Return a measurement as text: a share in per cent with one decimal, a median with three
    digits.
    """
    return spread(numbers) if name == "active" else three_digits(numbers)


def _found(
    record: Record, name: str, network: str, method: str, layer: int, **setting: float
) -> list[float]:
    """Return the measurement ``name`` of the pre-activations in one layer of a network, one number
    per seed.
    """
    return values(record, name, network=network, method=method, layer=layer, **setting)


def _means(record: Record, name: str, network: str, method: str, **setting: float) -> list[float]:
    """Return the mean over the seeds of a measurement of pre-activations, one number per layer."""
    return [fmean(_found(record, name, network, method, layer, **setting)) for layer in LAYERS]


def _bars(record: Record, network: str, method: str, layer: int) -> figures.Bars:
    of = f"{network}/{method}/{layer}"
    low, high = array(record, f"ends/{of}")
    note = f"{_responding(record, network, method, layer):.1f} % in grey"
    return figures.Bars(low, high, array(record, f"density/{of}"), note)


def _responding(record: Record, network: str, method: str, layer: int) -> float:
    """Return the percentage of pre-activations at which a unit still responds to small changes, for
    the first seed.
    """
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
                    yield [
                        f"{title}, {method}, layer {layer}",
                        *(
                            _text(name, values(record, name, **of))
                            for name in ("median", "median_abs", "active")
                        ),
                        *(spread(values(record, "beyond", threshold=size, **of)) for size in sizes),
                    ]
