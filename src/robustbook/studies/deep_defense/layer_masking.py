"""Reproduce Figure 4 of Deep Defense, as we remember it: LeNet is fine-tuned, and the regulariser's
gradient changes only one layer.

The gradient of the cross entropy still changes all layers. The study fine-tunes 20 networks, one
for each of 4 layers with each of 5 values of c. For comparison, it fine-tunes 5 networks in which
the regulariser may change all layers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .methods import Method
from .readings import read
from .settings import PAPER, setting

ITEM = "figure-4"
LAYERS = ("conv1", "conv2", "fc1", "fc2")
CS = {"quick": (5.0, 45.0), "paper": (5.0, 15.0, 25.0, 35.0, 45.0)}
LOSS = 0.2  # the accuracy may fall by this many percentage points


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 4."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (layer, c,
    seed). With layer "all", the regulariser may change all layers.
    """
    lenet = setting("lenet", p.profile)
    usual = Method("deep-defense")
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        found["reference", 0.0, seed] = read(lenet.start(seed), lenet.looked)
        for c in CS[p.profile]:
            for layer in (None, *LAYERS):
                net = lenet.tuned(replace(usual, c=c, layer=layer), seed)
                found[layer or "all", c, seed] = read(net, lenet.looked)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the accuracy and rho_2 of each network and, for each layer, its best rho_2. No pattern
    is tested, because we could not read the paper's figure.
    """
    rows: list[Row] = []
    for (layer, c, seed), done in results.items():
        labels = {"layer": layer, "c": c}
        rows.append(Row(done.values["accuracy"], "percent", None, "accuracy", seed, setting=labels))
        rows.append(Row(done.values["rho"], "ratio", None, "rho2", seed, setting=labels))
    for seed in p.seeds:
        of = {key[:2]: done.values for key, done in results.items() if key[2] == seed}
        rows += _best(seed, of, CS[p.profile])
    return p.record(PAPER, ITEM, rows)


def _best(
    seed: int, of: Mapping[tuple[str, float], Mapping[str, float]], cs: tuple[float, ...]
) -> Iterator[Row]:
    """Yield for each layer the largest rho_2 of the networks that keep the accuracy of the
    reference network.

    A network keeps the accuracy if it loses at most 0.2 percentage points. If no network keeps the
    accuracy, yield the rho_2 of the reference network.
    """
    start = of["reference", 0.0]
    for layer in LAYERS:
        fair = [of[layer, c] for c in cs if of[layer, c]["accuracy"] >= start["accuracy"] - LOSS]
        best = max((found["rho"] for found in fair), default=start["rho"])
        target = f"{PAPER}/figure-layer-masking/lenet-{layer}/rho2"
        yield Row(best, "ratio", target, seed=seed)
