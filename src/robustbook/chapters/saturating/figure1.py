"""Compute the tables, figures and sentences for the page of Figure 1, on the weights of the vanilla
and the saturated MLPs.
"""

from collections.abc import Iterator
from functools import partial
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, array, record_of, values
from robustbook.chapters.wording import from_to, listed, minus, ranges, spread
from robustbook.counting import number_of
from robustbook.figures import Table, table
from robustbook.ledger import Record
from robustbook.studies.saturating.sizes import ANNEALS, EPOCH, EPOCHS, LONGEST, STRONGER

from .names import COMPARED, IN_SENTENCES, MLPS

PANELS = {"sigmoid-mlp": "A  Sigmoid MLP", "relu-mlp": "B  ReLU MLP"}
LAYERS = (1, 2, 3)
MEASURED = (*COMPARED, "vanilla, longer", "saturated, stronger")


def answer(record: Record) -> str:
    """Return a sentence that states in how many layers of each MLP the weights have a larger
    kurtosis in the saturated network than in the vanilla network. It ends with the page's verdicts.

    A layer is counted only if the kurtosis is larger in the saturated network with every seed.
    """
    ahead = {
        network: sum(all(_ahead(record, network, layer)) for layer in LAYERS) for network in MLPS
    }
    where = listed(
        f"in {'all' if number == len(LAYERS) else f'{number} of {len(LAYERS)}'} layers of the "
        f"{IN_SENTENCES[network]}"
        for network, number in ahead.items()
    )
    badges = of_page(
        "saturating/figure-1",
        {"larger kurtosis, layer by layer": "kurtosis", "more extreme weights": "range|extremes"},
    )
    return (
        f"{'Yes' if sum(ahead.values()) > len(_EACH) / 2 else 'No'}, {where} the weights have a "
        f"larger excess kurtosis with saturation, with every seed. {badges}"
    )


def largest_gain(record: Record) -> str:
    """Return a sentence that names the layer in which the kurtosis differs most between the two
    networks.
    """
    network, layer = max(_EACH, key=lambda each: _gain(record, *each))
    vanilla, saturated = (fmean(_kurtosis(record, network, method, layer)) for method in COMPARED)
    return (
        f"The kurtosis differs most in layer {layer} of the {IN_SENTENCES[network]}, with "
        f"{saturated:.1f} in the saturated and {vanilla:.1f} in the vanilla network (means over "
        "the seeds)."
    )


def negative(record: Record) -> str:
    """Return sentences that name the layers in which the kurtosis of the saturated network is
    negative with every seed, or "" if there are none.
    """
    found = [
        f"In {words} the excess kurtosis of the saturated network is negative with every seed "
        f"({minus(from_to(_kurtosis(record, network, 'saturated', layer), '.1f'))}), where the "
        "paper says that it is positive. The verdict only asks whether it is larger than in the "
        "vanilla network."
        for (network, layer), words in _light(record).items()
    ]
    return " ".join(found)


def _light(record: Record) -> dict[tuple[str, int], str]:
    """Return the names of the layers in which the weights of the saturated network have lighter
    tails than a Gaussian: a negative excess kurtosis with every seed.
    """
    return {
        (network, layer): f"layer {layer} of the {IN_SENTENCES[network]}"
        for network, layer in _EACH
        if max(_kurtosis(record, network, "saturated", layer)) < 0
    }


def heavy() -> dict[tuple[str, int], float]:
    """Return the mean kurtosis of the weights of the saturated network for each layer in which they
    have heavier tails than a Gaussian with every seed.
    """
    record = record_of("saturating/figure-1")
    found = {each: _kurtosis(record, each[0], "saturated", each[1]) for each in _EACH}
    return {each: fmean(seeds) for each, seeds in found.items() if min(seeds) > 0}


def controls(record: Record) -> str:
    """Return sentences that compare the kurtosis of the first-layer weights of three ReLU networks:
    vanilla, vanilla with longer training, and saturated, all with the first seed. The comparison
    separates the effect of longer training from the effect of the penalty.
    """
    networks = ("vanilla", "vanilla, longer", "saturated")
    vanilla, longer, saturated = (
        _kurtosis(record, "relu-mlp", method, 1)[0] for method in networks
    )
    return (
        f"With seed {record.seeds[0]}, the excess kurtosis in the first layer of the ReLU MLP is "
        f"{vanilla:.1f} in the vanilla network. It is {longer:.1f} in a vanilla network that is "
        f"trained for as many epochs as the saturated one, and {saturated:.1f} in the saturated "
        "network."
    )


def weights(record: Record, *, in_deviations: bool = False) -> Figure:
    """Draw histograms of the weights, or of the weights divided by the standard deviation of their
    layer.
    """
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


def orders(version: Version) -> Table:
    """Return a table of the kurtosis of each layer's weights in the vanilla and in the saturated
    networks.

    The paper says that the kurtosis is larger in the saturated networks.
    """
    record = version.record
    return version.table(
        f": mean excess kurtosis of the weights{ranges(record)}. The paper says that the "
        "kurtosis is larger in the saturated network; we could not read its numbers.",
        "figure-1",
        ["Layer", "The paper", "Vanilla", "Saturated", "Larger with"],
        [
            [
                f"{MLPS[network]}, layer {layer}",
                "larger",
                *(minus(spread(_kurtosis(record, network, method, layer))) for method in COMPARED),
                f"{sum(won := _ahead(record, network, layer))} of {number_of('seed', len(won))}",
            ]
            for network, layer in _EACH
        ],
        align="llrrr",
    )


def layers(record: Record) -> Table:
    """Return a table with one row for each network. The columns are the kurtosis of the weights of
    each layer, and the largest absolute weight of each layer.
    """
    return table(
        "Excess kurtosis of the weights of each layer, mean (range over the seeds). *1, lit "
        "pixels*: the excess kurtosis in layer 1 without the weights of pixels that are dark in "
        "all training images. The last three columns show the largest absolute weight of each "
        "layer.",
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
    """Return a sentence with the number of training epochs of each network."""
    parts = []
    for network, title in MLPS.items():
        plain, _, rises, _ = ANNEALS[record.profile][network]
        longer, saturated = longer_and_saturated(record.profile, network)
        stronger = round((plain + rises * STRONGER[record.profile]) / EPOCH[record.profile])
        last = f", {stronger} (saturated, stronger)" if network == "relu-mlp" else ""
        parts.append(
            f"{title} {EPOCHS[record.profile]} (vanilla), {longer} (vanilla, longer), "
            f"{saturated:,} (saturated){last}"
        )
    return f"The networks were trained for these numbers of epochs: {'; '.join(parts)}."


def longer_and_saturated(profile: str, network: str) -> tuple[int, int]:
    """Return the number of training epochs of the vanilla network with longer training, and that of
    the saturated network.
    """
    plain, _, rises, every = ANNEALS[profile][network]
    saturated = round((plain + rises * every) / EPOCH[profile])
    return min(saturated, LONGEST[network]), saturated


def tails() -> str:
    """Return in how many layers the weights of the saturated network have a higher excess kurtosis
    than those of the vanilla network with every seed. Also name the layers in which the saturated
    network's weights have lighter tails than a Gaussian.
    """
    record = record_of("saturating/figure-1")
    ahead = sum(all(_ahead(record, network, layer)) for network, layer in _EACH)
    light = listed(_light(record).values())
    return f"In {ahead} of {len(_EACH)} layers with every seed" + (
        f". In {light} the saturated network's weights have lighter tails than a Gaussian"
        if light
        else ""
    )


_EACH = [(network, layer) for network in MLPS for layer in LAYERS]


def _kurtosis(record: Record, network: str, method: str, layer: int) -> list[float]:
    """Return the kurtosis of the weights of a layer, one number per seed."""
    return values(record, "kurtosis", layer=layer, network=network, method=method)


def _gain(record: Record, network: str, layer: int) -> float:
    vanilla, saturated = (fmean(_kurtosis(record, network, method, layer)) for method in COMPARED)
    return saturated - vanilla


def _ahead(record: Record, network: str, layer: int) -> list[bool]:
    """Return for each seed whether a layer's weights have a larger kurtosis in the saturated
    network than in the vanilla network.
    """
    pairs = zip(*(_kurtosis(record, network, method, layer) for method in COMPARED), strict=True)
    return [saturated > vanilla for vanilla, saturated in pairs]


def _bars(
    record: Record, network: str, method: str, layer: int, in_deviations: bool
) -> figures.Bars:
    low, high, sd = array(record, f"ends/{network}/{method}/{layer}")
    unit = sd if in_deviations else 1
    density = [value * unit for value in array(record, f"density/{network}/{method}/{layer}")]
    first = values(record, "kurtosis", network=network, method=method, layer=layer)[0]
    return figures.Bars(low / unit, high / unit, density, minus(rf"$\gamma_2$ = {first:.1f}"))


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
                *(minus(spread(_kurtosis(record, network, method, layer))) for layer in LAYERS),
                spread(values(record, "kurtosis, lit pixels", **of)),
                *(f"{each:.3g}" for each in reach),
            ]
