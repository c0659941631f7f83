"""A study with two parameters that choose parts, networks and heights, for the tests of merging."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import tiny_parts
from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.parameters import AS_TUPLE, STRICT

PAPER, ITEM = "saturating", "tiny"


@dataclass(frozen=True, config=STRICT)
class Parameters(tiny_parts.Parameters):
    selects: ClassVar = ("networks", "heights")
    heights: Annotated[
        tuple[float, ...] | None, Field(description="a list of numbers, or None for 1.0"), AS_TUPLE
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        return {**super().parts(), "heights": self.heights or (1.0,)}


def calls(p: Parameters) -> dict[tuple[str, float, int], Call]:
    assert p.seeds is not None
    return {
        (network, height, seed): tiny_parts.measure(tiny_parts.train(network, seed), height)
        for network in p.parts()["networks"]
        for height in p.parts()["heights"]
        for seed in p.seeds
    }


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    assert p.seeds is not None
    rows = [
        Row(d.values["height"], "none", None, "h", seed, setting={"network": net, "height": height})
        for (net, height, seed), d in results.items()
    ]
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))
