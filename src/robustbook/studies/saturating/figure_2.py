"""Reproduce Figure 2 of Nayebi & Ganguli 2017: the distribution of the pre-activations h^l over all
units of a layer and the test images.

The paper does not say whether the figure's first row shows the vanilla sigmoid MLP or the vanilla
ReLU MLP, so both are measured.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.measures import activity, histogram, preactivations
from robustbook.networks import MLP
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import test_images, train, trained
from .settings import COMPARED, MLPS, TEST, compared

PAPER, ITEM = "saturating", "figure-2"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 2."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    flat: Annotated[
        float,
        Field(gt=0, le=1000, description="a size of pre-activation, above 0, at most 1000"),
    ] = 17.0  # for larger |h|, the derivative of the sigmoid is zero in float32
    bins: Annotated[int, Field(ge=10, le=200, description="a number of bins, 10 to 200")] = 80

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the thresholds for |h|: 5, 100 and the parameter ``flat``, in ascending order and
        without repetition.
        """
        return tuple(sorted({5.0, self.flat, 100.0}))


@step(version=1)
def activities(
    network: Done, images: int, thresholds: tuple[float, ...], bins: int, *, context: Context
) -> dict[str, object]:
    """Measure the pre-activations h of each layer, over all units of the layer and ``images`` test
    images.

    ``median``, ``median_abs``: the median of h, and the median of |h|.
    ``beyond``: for each threshold, the fraction of pre-activations with |h| above the threshold.
    ``active``: the fraction of pre-activations h that are above 0.
    ``min``, ``max``: the range of the histogram.
    ``density``: for each layer, the histogram of h with ``bins`` bins.
    """
    net = trained(network, context.device)
    assert isinstance(net, MLP)
    x, _ = test_images(network.call.arguments["training"].data, images, context.device)
    hs = preactivations(net, x)
    found = [activity(h, thresholds) for h in hs]
    bars = [histogram(h, bins) for h in hs]
    return {
        "median": [a.median for a in found],
        "median_abs": [a.median_abs for a in found],
        "beyond": [list(a.beyond) for a in found],
        "active": [a.active for a in found],
        "min": [b.low for b in bars],
        "max": [b.high for b in bars],
        "density": torch.stack([b.density for b in bars]).cpu(),
    }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (network,
    method, seed).
    """
    return {
        (network, method, seed): activities(
            train(training, seed), TEST[p.profile], p.thresholds, p.bins
        )
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
        rows += _layers(p, network, method, seed, done.values)
        if seed == p.seeds[0] and method in COMPARED:
            for i, density in enumerate(done.tensors["density"].tolist()):
                of = f"{network}/{method}/{i + 1}"
                arrays[f"density/{of}"] = [float(f"{value:.3g}") for value in density]
                arrays[f"ends/{of}"] = [done.values[end][i] for end in ("min", "max")]
    for seed in p.seeds:
        sigmoid, relu = (
            [results[network, method, seed].values for method in COMPARED] for network in MLPS
        )
        rows += [_larger(seed, *sigmoid), _lower(seed, *relu)]
    return p.record(PAPER, ITEM, rows, arrays)


def _layers(
    p: Parameters, network: str, method: str, seed: int, values: Mapping[str, Any]
) -> Iterator[Row]:
    for i, shares in enumerate(values["beyond"]):
        labels: dict[str, str | float | int | bool] = {
            "network": network,
            "method": method,
            "layer": i + 1,
        }
        for name in ("median", "median_abs", "min", "max"):
            yield Row(values[name][i], "none", None, name, seed, setting=labels)
        active = 100 * values["active"][i]
        yield Row(active, "percent", None, "active", seed, setting=labels)
        for threshold, share in zip(p.thresholds, shares, strict=True):
            setting = {**labels, "threshold": threshold}
            yield Row(100 * share, "percent", None, "beyond", seed, setting=setting)


def _larger(seed: int, vanilla: Mapping[str, Any], saturated: Mapping[str, Any]) -> Row:
    """Return a row that says whether the saturated network has a larger median of |h| in each layer
    than the vanilla network.

    In each layer, the saturated network's median of |h| is divided by that of the vanilla network.
    The value of the row is the smallest of these ratios.
    """
    pairs = zip(saturated["median_abs"], vanilla["median_abs"], strict=True)
    factor = min(ours / theirs for ours, theirs in pairs)
    target = f"{PAPER}/{ITEM}/sigmoid/extreme-preactivations"
    return Row(factor, "none", target, seed=seed, holds=factor > 1)


def _lower(seed: int, vanilla: Mapping[str, Any], saturated: Mapping[str, Any]) -> Row:
    """Return a row that says whether the saturated network has, in each layer, a lower median of h
    and fewer active units than the vanilla network.

    In each layer, the vanilla network's median of h is subtracted from that of the saturated
    network. The value of the row is the largest of these differences.
    """
    medians = zip(saturated["median"], vanilla["median"], strict=True)
    largest = max(ours - theirs for ours, theirs in medians)
    shares = zip(saturated["active"], vanilla["active"], strict=True)
    holds = largest < 0 and all(ours < theirs for ours, theirs in shares)
    target = f"{PAPER}/{ITEM}/relu/extreme-preactivations"
    return Row(largest, "none", target, seed=seed, holds=holds)
