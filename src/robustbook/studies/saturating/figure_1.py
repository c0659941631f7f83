"""Reproduce Figure 1 of Nayebi & Ganguli 2017: the distribution of the weights of vanilla and
saturated MLPs.

The study measures the range, the excess kurtosis and a histogram of each layer's weights, without
biases. With seed 0 it adds three networks. Saturated networks are trained with more optimiser steps
than vanilla ones, and more steps alone already change the weights. So a vanilla sigmoid MLP and a
vanilla ReLU MLP are also trained with more steps. Because the paper's penalty for the ReLU MLP is
tiny, one saturated ReLU MLP is trained with 100,000 times this penalty.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.data import load
from robustbook.ledger import Record, Row
from robustbook.measures import excess_kurtosis, histogram, layer_weights
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import train, trained
from .settings import COMPARED, MLPS, compared

PAPER, ITEM = "saturating", "figure-1"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 1."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    bins: Annotated[int, Field(ge=10, le=200, description="a number of bins, 10 to 200")] = 80


@step(version=1)
def weights(network: Done, bins: int, *, context: Context) -> dict[str, object]:
    """Measure the weights of one network.

    ``kurtosis``: the excess kurtosis of the weights of each layer.
    ``min``, ``max``: the smallest and the largest weight of each layer.
    ``sd``: the standard deviation of the weights of each layer.
    ``density``: for each layer, the histogram of the weights, with ``bins`` bins between ``min``
        and ``max``.
    ``lit``: the excess kurtosis of the first-layer weights whose input pixel is above 0 in some
        training image. Training changes none of the other first-layer weights.
    """
    layers = layer_weights(trained(network, context.device))
    bars = [histogram(w, bins) for w in layers]
    data = load(network.call.arguments["training"].data, "train")
    lit = (data.images > 0).flatten(1).any(0).to(context.device)
    return {
        "kurtosis": [excess_kurtosis(w) for w in layers],
        "lit": excess_kurtosis(layers[0][:, lit]),
        "min": [b.low for b in bars],
        "max": [b.high for b in bars],
        "sd": [w.double().std().item() for w in layers],
        "density": torch.stack([b.density for b in bars]).cpu(),
    }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (network,
    method, seed).
    """
    return {
        (network, method, seed): weights(train(training, seed), p.bins)
        for seed in p.seeds
        for (network, method), training in compared(p.profile, seed).items()
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the measurements of each layer, the results that are compared with the paper, and the
    histograms of the first seed.
    """
    rows: list[Row] = []
    arrays: dict[str, object] = {}
    for (network, method, seed), done in results.items():
        rows += _layers(network, method, seed, done.values)
        if seed == p.seeds[0] and method in COMPARED:
            for i, density in enumerate(done.tensors["density"].tolist()):
                of = f"{network}/{method}/{i + 1}"
                arrays[f"density/{of}"] = [float(f"{value:.3g}") for value in density]
                arrays[f"ends/{of}"] = [done.values[end][i] for end in ("min", "max", "sd")]
    for seed in p.seeds:
        for network, pattern in zip(MLPS, (_two_sided, _negative), strict=True):
            ours, theirs = (
                results[network, method, seed].values for method in ("saturated", "vanilla")
            )
            rows.append(pattern(seed, ours, theirs))
    return p.record(PAPER, ITEM, rows, arrays)


def _layers(network: str, method: str, seed: int, values: Mapping[str, Any]) -> Iterator[Row]:
    setting: dict[str, str | float | int | bool] = {"network": network, "method": method}
    for i, kurtosis in enumerate(values["kurtosis"]):
        labels = {**setting, "layer": i + 1}
        layer = f"{PAPER}/{ITEM}/{network.removesuffix('-mlp')}-layer-{i + 1}"
        target = f"{layer}/kurtosis-{method}" if method in COMPARED else None
        yield Row(kurtosis, "none", target, "kurtosis", seed, setting=labels)
        for name in ("min", "max", "sd"):
            yield Row(values[name][i], "none", None, name, seed, setting=labels)
    yield Row(values["lit"], "none", None, "kurtosis, lit pixels", seed, setting=setting)


def _two_sided(seed: int, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Row:
    """Return a row that says whether the saturated network's weights have a wider range in each
    layer than the vanilla network's.

    The saturated network's largest and smallest weight of each layer are divided by those of the
    vanilla network. The value of the row is the smallest of these ratios.
    """
    factors = [
        ours[end][i] / theirs[end][i] for i in range(len(ours["min"])) for end in ("min", "max")
    ]
    target = f"{PAPER}/{ITEM}/sigmoid/two-sided-range"
    return Row(min(factors), "none", target, seed=seed, holds=min(factors) > 1)


def _negative(seed: int, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Row:
    """Return a row that says whether the saturated network has extreme negative weights in each
    layer.

    The absolute value of each layer's smallest weight is divided by its largest weight, and by the
    absolute value of the vanilla network's smallest weight. The value of the row is the smallest of
    these ratios; the weights count as extreme if it is above 1.
    """
    factors = [
        factor
        for low, high, other in zip(ours["min"], ours["max"], theirs["min"], strict=True)
        for factor in (low / other, abs(low) / high)
    ]
    target = f"{PAPER}/{ITEM}/relu/negative-extremes"
    return Row(min(factors), "none", target, seed=seed, holds=min(factors) > 1)
