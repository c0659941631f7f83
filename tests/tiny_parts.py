"""A study of several networks for the tests of merging: weights, and measurements of them."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

PAPER, ITEM = "saturating", "tiny"
SEEDS = {"large": 2}  # of those asked for; of the others all


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """Three networks; two of them belong to the profile by default."""

    own_seeds: ClassVar = {"paper": (0, 1, 2)}
    selects: ClassVar = ("networks",)
    networks: Annotated[
        tuple[str, ...] | None,
        Field(description="a list of small, middle, large, or None for the first two"),
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    ] = None
    height: Annotated[float, Field(gt=0, description="a number above 0")] = 3.0

    def parts(self) -> dict[str, tuple[str, ...]]:
        return {"networks": self.networks or ("small", "middle")}


@step(version=1)
def train(network: str, seed: int) -> dict[str, object]:
    return {"weights": torch.arange(4.0) + seed + len(network)}


@step(version=1)
def measure(net: Done, height: float) -> dict[str, object]:
    return {"height": height + net.tensors["weights"].mean().item() / 7}


def calls(p: Parameters) -> dict[tuple[str, int], Call]:
    assert p.seeds is not None
    return {
        (network, seed): measure(train(network, seed), p.height)
        for network in p.parts()["networks"]
        for seed in p.seeds[: SEEDS.get(network)]
    }


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    assert p.seeds is not None
    rows = []
    for (network, seed), done in results.items():
        labels: dict[str, Any] = {"network": network}
        if network == "small":
            rows.append(Row(done.values["height"], "none", "saturating/tiny/height", seed=seed))
        for name in ("height", "depth"):
            rows.append(Row(done.values["height"], "none", None, name, seed, setting=labels))
    arrays = {network: [len(network), 1 / 3] for network in p.parts()["networks"]}
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows), arrays)
