"""Reproduce Figure 3 of Random Self-Ensemble: how the accuracy of predictions from one noise draw
depends on c and on the noise level.

The noise levels (`settings.LEVELS`) come from the paper's script, which is older than the code for
Table 2. It adds the initial noise to the image, states its standard deviation for normalised
images, and attacks normalised pixels without clipping, with batch norm in training mode. We use the
attack of Table 2, and add networks with the noise levels of Table 1, placed as in the released
code.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import share_row

from . import settings
from .settings import LEVELS, PAPER, TARGETS, Names, Setting
from .sweep import CURVE, cell, counted, points, swept

ITEM = "figure-3"
Parameters = settings.OfNetworks


def calls(p: settings.OfNetworks) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, noise
    configuration, seed, c, index of the job's first test image).
    """
    return {
        (network, noise, seed, c, first): call
        for network, own in p.chosen().items()
        for noise in named(own)
        for seed in p.seeds
        for (c, first), call in _points(own, noise, seed).items()
    }


def named(own: Setting) -> tuple[Names, ...]:
    """Return the names of the noise configurations that Figure 3 compares, from no noise to the
    noise of RSE; an empty tuple if the settings have no noise levels.
    """
    return ("none", *own.levels, "rse") if own.levels else ()


def _points(own: Setting, noise: Names, seed: int) -> dict[tuple[float, int], Call]:
    attacked = points(own, noise, seed, [c for c in CURVE if c in own.cs])
    return attacked | counted(own, noise, seed)


def condense(p: settings.OfNetworks, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: accuracy and distortion at each point of the figure, and the
    results that test the paper's comparisons.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        found = swept(results, seed)
        for (network, noise, c), at in found.items():
            rows += cell(network, noise, c, seed, at, {}, single=True)
        of = {
            (noise, c): at.single for (network, noise, c), at in found.items() if network == "vgg16"
        }
        own = p.chosen().get("vgg16")
        if own is not None:
            rows += _compared(of, own, seed)
    return p.record(PAPER, ITEM, rows)


def _compared(of: Mapping[tuple[str, float], Tensor], own: Setting, seed: int) -> Iterator[Row]:
    """Yield the accuracies of one draw that the book's ledger orders, to test the paper's claims.

    The paper claims that more noise raises the robustness, which we test at c = 0.1, and lowers the
    accuracy under weak attacks. So some noise is compared with none, and the highest level with the
    lowest. At c = 0.01 only networks with noise are compared: there the network without noise
    already loses more accuracy than all networks with noise.

    ``of``: for each noise level and each c, which images one draw classifies correctly.
    """
    # With profile quick, RSE has the highest noise level; with the paper's levels, it is not
    # compared.
    low, high = own.levels[0], own.levels[-1] if len(own.levels) > 1 else "rse"
    claims: dict[str, tuple[str, float]] = {
        "none/c-0.1": ("none", 0.1),
        "some-noise-above-none/c-0.1": (low, 0.1),
        "noise-raises-robustness": (high, 0.1),
        "none/clean": ("none", 0.0),
        "some-noise-below-none/clean": (low, 0.0),
        "noise-lowers-clean": (high, 0.0),
        "low-noise/c-0.01": (low, 0.01),
        "noise-lowers-weak/c-0.01": (high, 0.01),
    }
    if own.levels == LEVELS:
        claims["inner-helps"] = (LEVELS[1], 0.1)
        claims["init-helps"] = (LEVELS[2], 0.1)
    for name, key in claims.items():
        if key in of:
            yield share_row(of[key], f"{TARGETS}/{ITEM}/{name}", seed=seed)
