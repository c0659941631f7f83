"""Compare lengths of training, which the paper does not do: the accuracy on clean images and under
the paper's attack after a short and after a long training.

The networks are trained with RSE and without a defense. All trainings have the recipe of the other
studies; only the number of epochs differs. In a longer training, the learning rate falls more
slowly.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.parameters import STRICT

from . import settings
from .attack import joined
from .networks import Networks
from .settings import PAPER, Names, Setting
from .sizes import EPOCHS, LENGTHS
from .sweep import CURVE, cell, points

ITEM = "schedule"
DEFENSES: tuple[Names, ...] = ("rse", "none")
IMAGES = {"quick": 12, "reduced": 1600, "paper": 1600}
"""The number of clean test images; the authors' code evaluates on 1600. The attack changes only
the first of them, as in the other studies.
"""
PIECE = 400
"""The number of clean test images that one job evaluates."""


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.OfNetworks):
    """The parameters that a reader of the book can set for the comparison of training lengths: the
    networks, by default one that a CPU can train.
    """

    own_networks: ClassVar = {
        "quick": ("vgg16",),
        "reduced": ("vgg16",),
        "paper": ("model-a",),
    }
    own_seeds: ClassVar = {"quick": (0,), "reduced": (0,), "paper": (0,)}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, number of epochs, c, index of the job's first test image). The value c = 0 stands for
    clean images.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for (network, own), defense, seed in product(p.chosen().items(), DEFENSES, p.seeds):
        for epochs in LENGTHS[p.profile, network]:
            longer = trained_for(own, network, p.profile, epochs)
            every = replace(longer, images=IMAGES[p.profile], few=0, piece=PIECE)
            curve = [c for c in CURVE if c in own.cs]
            under_attack = points(longer, defense, seed, curve)
            parts = {at: call for at, call in under_attack.items() if at[0]}
            for at, call in (points(every, defense, seed, ()) | parts).items():
                found[network, defense, seed, epochs, *at] = call
    return found


def trained_for(own: Setting, network: Networks, profile: str, epochs: int) -> Setting:
    """Return the settings of a network with another number of training epochs."""
    steps = own.recipe.steps // EPOCHS[profile, network]
    return replace(own, recipe=replace(own.recipe, steps=steps * epochs))


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: for each number of epochs, the accuracy of each network on clean
    images, and the accuracy and the distortion under the attack.
    """
    pieces: dict[tuple[Any, ...], list[Done]] = {}
    for (*key, _), done in results.items():
        pieces.setdefault(tuple(key), []).append(done)
    rows: list[Row] = []
    for (network, defense, seed, epochs, c), parts in pieces.items():
        for row in cell(network, defense, c, seed, joined(parts), {}):
            rows.append(replace(row, setting={**row.setting, "epochs": epochs}))
    return p.record(PAPER, ITEM, rows)
