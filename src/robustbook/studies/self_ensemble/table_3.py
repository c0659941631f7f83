"""Reproduce Table 3 and Figure 7 of Random Self-Ensemble: how much a targeted attack must change
one image.

The attacked image is the second of the test set; in CIFAR-10 it shows a ship. Where the paper
leaves a setting open, we follow the released program: the distortion is the squared l2 distance,
the attacked network is ResNeXt, and it is in evaluation mode. The caption of Figure 7 states a
value of c, but in our copy of the paper this value is missing. We use c = 100, the last value in
the released script. With profile quick, the images show digits, and the network is VGG16, which
other studies train too.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.ledger.intervals import mostly
from robustbook.runs import Call, Done
from robustbook.studies.parameters import STRICT

from . import settings
from .networks import Networks
from .settings import DEFENSES, PAPER, TARGETS
from .sizes import TARGETED_STEPS
from .targeted import targeted

ITEM = "table-3"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
IMAGE, C = 1, 100.0
TABLE: Mapping[str, tuple[Networks, ...]] = {
    "quick": ("vgg16",),
    "reduced": ("resnext",),
    "paper": ("resnext",),
}
"""The networks whose results are compared with the paper's numbers, by profile."""
CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The names of CIFAR-10's classes as Table 3 prints them, in the order of the class numbers."""


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader of the book can set for Table 3: networks and defenses."""

    own_networks: ClassVar = TABLE


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed).
    """
    return {
        (network, defense, seed): targeted(
            setting.network(defense, seed),
            C,
            IMAGE,
            TARGETED_STEPS[p.profile],
            setting.draws(defense),
        )
        for network, setting in p.chosen().items()
        for defense in setting.defenses
        for seed in p.seeds
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the squared l2 distance in each cell of the table, the mean distance for each defense,
    and the results that test the paper's comparisons.

    The pictures of Figure 7 for seed 0 are stored as arrays (see `_pictures`).
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for seed in p.seeds:
        for network, setting in p.chosen().items():
            of = {k[1]: d for k, d in results.items() if (k[0], k[2]) == (network, seed)}
            photographs = setting.model.data == "cifar10"
            far = {defense: _distances(done, photographs) for defense, done in of.items()}
            reached = {defense: done.tensors["reached"].tolist() for defense, done in of.items()}
            judged = network in TABLE[p.profile]
            rows += _cells(network, far, reached, judged, photographs, seed)
            if judged:
                rows += _compared(far, photographs, seed)
            if seed == 0:
                arrays |= _pictures(network, of)
    return p.record(PAPER, ITEM, rows, arrays)


def _distances(done: Done, photographs: bool) -> dict[str, float]:
    """Return the squared l2 distance for each target class; the keys are class names for CIFAR-10,
    and class numbers for other image sets.
    """
    found = done.tensors["change"].double().square().flatten(1).sum(1).tolist()
    classes = done.tensors["classes"].tolist()
    return {CLASSES[k] if photographs else str(k): d for k, d in zip(classes, found, strict=True)}


def _cells(
    network: str,
    far: Mapping[str, Mapping[str, float]],
    reached: Mapping[str, Sequence[bool]],
    judged: bool,
    photographs: bool,
    seed: int,
) -> Iterator[Row]:
    """Yield the squared l2 distance in each cell of the table and, for each defense, its mean and
    the number of successful attacks.

    ``judged``: whether the results for this network are compared with the paper's numbers.
    """
    for defense, cells in far.items():
        start = f"{TARGETS}/{ITEM}"
        told = judged and defense in DEFENSES
        of: dict[str, str | float | int | bool] = {"network": network, "defense": defense}
        for (name, value), success in zip(cells.items(), reached[defense], strict=True):
            target = f"{start}/{defense}/{name}" if told and photographs else None
            labels = {**of, "class": name, "reached": bool(success)}
            yield Row(value, "none", target, "squared distance", seed, setting=labels)
        target = f"{start}/mean/{defense}" if told else None
        mean = fmean(cells.values())
        yield Row(mean, "none", target, "mean squared distance", seed, setting=of)
        hits = sum(reached[defense])
        yield Row(hits, "count", None, "targets reached", seed, setting=of)


def _compared(
    far: Mapping[str, Mapping[str, float]], photographs: bool, seed: int
) -> Iterator[Row]:
    """Yield the results that test whether the distances are larger for RSE than for the other
    defenses. All target classes share one image and one network, so they count as one comparison.
    """
    start = f"{TARGETS}/{ITEM}"
    if {"rse", "none"} <= far.keys() and photographs:
        larger = [value > far["none"][name] for name, value in far["rse"].items()]
        yield Row(sum(larger), "count", f"{start}/rse-above-none-count", seed=seed)
        # Figure 7's caption claims that perturbations of RSE show more change: we test whether they
        # are larger for most target classes, by a one-sided sign test.
        target = f"{TARGETS}/figure-7/more-spots"
        yield Row(
            fmean(larger), "fraction", target, seed=seed, holds=mostly(sum(larger), len(larger))
        )
    if set(DEFENSES) <= far.keys():
        largest = [value == max(far[d][k] for d in DEFENSES) for k, value in far["rse"].items()]
        yield Row(sum(largest), "count", f"{start}/rse-largest-count", seed=seed)


def _pictures(network: str, of: Mapping[str, Done]) -> dict[str, list[str]]:
    """Return pictures as hexadecimal bytes, channel by channel.

    ``NETWORK image`` is the clean image, and ``NETWORK DEFENSE`` are the perturbations for all
    target classes. These are in steps of 1/255; the byte 128 stands for an unchanged pixel.
    """
    found = {}
    for defense, done in of.items():
        found[f"{network} {defense}"] = [_hex(128 + 255 * x) for x in done.tensors["change"]]
        found[f"{network} image"] = [_hex(255 * done.tensors["image"])]
    return found


def _hex(pixels: Tensor) -> str:
    return pixels.round().clamp(0, 255).to(torch.uint8).numpy().tobytes().hex()
