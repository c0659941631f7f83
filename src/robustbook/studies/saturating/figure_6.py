"""Reproduce Figure 6 and Section 8 of Nayebi & Ganguli 2017.

Section 8 asks whether a linear classifier is more robust if its weights have high kurtosis. It
computes the scaled ratio of equation 14 for two random prototypes, vectors w1 and w2 of 20,000
components. In the figure these are drawn from Pearson type VII distributions with several values of
the excess kurtosis; in the text also from the weights of trained networks. The ratio is divided by
the mean of |w1|, as in the paper, and also by the median.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.measures import (
    Intensity,
    expected_ratio,
    layer_weights,
    pearson_vii,
    resampled,
    scaled_ratio,
    unit,
)
from robustbook.pearson import exact_gains
from robustbook.randomness import generator
from robustbook.runs import Call, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import train, trained
from .settings import METHODS, MLPS, mlps

PAPER, ITEM = "saturating", "figure-6"
INTENSITIES: tuple[Intensity, ...] = ("mean", "median")
LIMIT = 1e9  # stands for infinite kurtosis: 4.000000006 degrees of freedom
KURTOSES = (
    *(0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0),
    *(200.0, 500.0, 1000.0, LIMIT),
)
SHOWN = 100.0  # largest kurtosis in our figure; we do not know the range in the paper's figure
Labels = dict[str, str | float | int | bool]


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 6."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    n: Annotated[
        int, Field(ge=10, le=1_000_000, description="a number of components, 10 to 1000000")
    ] = 20_000
    draws: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="a whole number of pairs of prototypes behind each mean, 1 to 1000",
        ),
    ] = 20


@step(version=1)
def pearson(kurtoses: tuple[float, ...], n: int, draws: int, seed: int) -> dict[str, object]:
    """Return the scaled ratio of equation 14 for each random pair of prototypes and each kurtosis.

    The ratio is divided once by the mean and once by the median of |w1|. A pair is computed from
    the same uniform random numbers at every kurtosis, so that the curve shows only the effect of
    kurtosis.
    """
    found: dict[str, Tensor] = {name: torch.empty(len(kurtoses), draws) for name in INTENSITIES}
    for i in range(draws):
        for j, kurtosis in enumerate(kurtoses):
            w = pearson_vii(kurtosis, (2, n), generator(seed, "prototypes", i))
            for name, ratio in _ratios(w).items():
                found[name][j, i] = ratio
    return {**found}


@step(version=1)
def own_weights(network: Done, n: int, draws: int) -> dict[str, object]:
    """Return the scaled ratio of equation 14 for random prototypes w1 and w2 drawn from the weights
    of each layer, and the absolute cosine of the angle between them (``cosine``).

    The components are drawn with replacement from the layer's weights, without biases; their mean
    is not subtracted.
    """
    layers = layer_weights(trained(network, "cpu"))
    found = {name: torch.empty(len(layers), draws) for name in (*INTENSITIES, "cosine")}
    for i in range(draws):
        for j, weights in enumerate(layers):
            rows = generator(network.call.arguments["seed"], "own weights", i)
            w = resampled(weights.double(), (2, n), rows)
            for name, ratio in _ratios(w).items():
                found[name][j, i] = ratio
            found["cosine"][j, i] = torch.cosine_similarity(w[0], w[1], dim=0).abs()
    return {**found}


def _ratios(w: Tensor) -> dict[str, Tensor]:
    """Return the ratio of equation 14 for two prototypes, first scaled to l2 norm 1, divided once
    by the mean and once by the median of |w1|.
    """
    w1, w2 = unit(w)
    return {
        "mean": scaled_ratio(w1, w2, "mean"),
        "median": scaled_ratio(w1, w2, "median"),
    }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with keys ("pearson", seed) and
    (network, method, seed).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        found["pearson", seed] = pearson(KURTOSES, p.n, p.draws, seed)
        for (network, method), training in mlps(p.profile).items():
            found[network, method, seed] = own_weights(train(training, seed), p.n, p.draws)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, and the scaled ratios averaged
    over all random pairs of prototypes.
    """
    rows = [Row(value, "none", f"{PAPER}/text-8/l1-bounds/{k}") for k, value in _bounds(p.n)]
    for seed in p.seeds:
        tensors = results["pearson", seed].tensors
        curves: dict[str, list[float]]
        curves = {name: tensors[name].double().mean(1).tolist() for name in INTENSITIES}
        for name, curve in curves.items():
            for kurtosis, ratio in zip(KURTOSES, curve, strict=True):
                labels: Labels = {"intensity": name, "kurtosis": kurtosis}
                rows.append(Row(ratio, "ratio", None, "scaled ratio", seed, setting=labels))
        rows += _of_the_curve(curves, seed)
        rows += _of_own_weights(results, seed)
    return p.record(PAPER, ITEM, rows, _closed())


def _bounds(n: int) -> Iterator[tuple[str, float]]:
    """Yield two bounds on the l1 norm of vectors whose l2 norm is 1: the lower is reached by a
    vector with one nonzero component, the upper by one whose components are equal.
    """
    yield "lower", unit(torch.eye(1, n, dtype=torch.float64)).abs().sum().item()
    yield "upper", unit(torch.ones(1, n, dtype=torch.float64)).abs().sum().item()


def _of_the_curve(curves: Mapping[str, list[float]], seed: int) -> Iterator[Row]:
    at = dict(zip(KURTOSES, curves["mean"], strict=True))
    at_median = dict(zip(KURTOSES, curves["median"], strict=True))
    gain = 100 * (at[LIMIT] / at[0.0] - 1)
    figure, text = f"{PAPER}/{ITEM}", f"{PAPER}/text-8/pearson"
    yield Row(at[0.0], "ratio", f"{figure}/gaussian/scaled-ratio", seed=seed)
    yield Row(at[LIMIT], "ratio", f"{figure}/pearson-limit/scaled-ratio", seed=seed)
    yield Row(at[10.0], "ratio", f"{figure}/pearson/gamma-10", seed=seed)
    yield Row(max(at.values()), "ratio", f"{figure}/pearson/shape", seed=seed, holds=rising(at))
    top = max(ratio for kurtosis, ratio in at.items() if kurtosis <= SHOWN)
    yield Row(top, "ratio", f"{figure}/pearson/y-example", seed=seed)
    yield Row(gain, "percent", f"{text}/gain", seed=seed)
    yield Row(gain, "percent", f"{text}/gain-recomputed", seed=seed)
    gain = 100 * (at_median[LIMIT] / at_median[0.0] - 1)
    yield Row(gain, "percent", f"{text}/gain-median-scaling", seed=seed)


def rising(curve: Mapping[float, float]) -> bool:
    """Return whether the curve, which maps each excess kurtosis to a scaled ratio, rises from each
    point to the next, as the paper says.
    """
    ratios = [curve[kurtosis] for kurtosis in sorted(curve)]
    return all(b > a for a, b in pairwise(ratios))


def _of_own_weights(results: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    gains, exact = [], []
    for network in MLPS:
        means: dict[str, dict[str, list[float]]] = {}
        for method in METHODS:
            tensors = results[network, method, seed].tensors
            means[method] = {k: v.double().mean(1).tolist() for k, v in tensors.items()}
            for name, layers in means[method].items():
                for layer, value in enumerate(layers, 1):
                    labels: Labels = {"network": network, "method": method, "layer": layer}
                    labels |= {"measure": name}
                    yield Row(value, "ratio", None, "own weights", seed, setting=labels)
        for name in INTENSITIES:
            pairs = zip(means["vanilla"][name], means["saturated"][name], strict=True)
            for layer, (vanilla, saturated) in enumerate(pairs, 1):
                gain = 100 * (saturated / vanilla - 1)
                labels = {"network": network, "layer": layer, "intensity": name}
                yield Row(gain, "percent", None, "gain", seed, setting=labels)
                if name == "mean":
                    gains.append(gain)
        exact += exact_gains(means["vanilla"], means["saturated"])
    for target, gain in (("gain", max(gains)), ("every-layer", min(exact))):
        yield Row(gain, "percent", f"{PAPER}/text-8/own-weights/{target}", seed=seed)


def _closed() -> dict[str, Any]:
    """Return the theoretical curves for prototypes with infinitely many components, which our
    figure also shows.
    """
    kurtoses = [round(SHOWN * (i / 100) ** 3, 6) for i in range(101)]
    closed = {name: [expected_ratio(k, name) for k in kurtoses] for name in INTENSITIES}
    return {"closed/kurtosis": kurtoses, **{f"closed/{k}": v for k, v in closed.items()}}
