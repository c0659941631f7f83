"""Reproduce Figure 3 of Random Self-Ensemble: how the accuracy of predictions from one noise draw
depends on c and on the noise level.

The noise levels (`settings.LEVELS`) come from the paper's script, which is older than the code for
Table 2. This script adds the initial noise to the image, states its standard deviation for
normalised images, and attacks normalised pixels without clipping, with batch norm in training mode.
We use the attack of Table 2, and add networks with the noise levels of Table 1, placed as in the
released code.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import percent

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
            (noise, c): percent(at.single)
            for (network, noise, c), at in found.items()
            if network == "vgg16"
        }
        own = p.chosen().get("vgg16")
        if own is not None:
            rows += _compared(of, own, seed)
    return p.record(PAPER, ITEM, rows)


def _compared(of: Mapping[tuple[str, float], float], own: Setting, seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the paper's numbers.

    For each claim of the paper, the result is the fraction of pairs of noise levels for which it
    holds. The paper claims that higher noise lowers the accuracy at c <= 0.01. At c = 0.01, the
    network without noise is left out, because it already loses more accuracy than all other
    networks. This holds in our results and in the paper's Table 2.
    """
    start = f"{TARGETS}/{ITEM}"
    # With profile quick, RSE has the highest noise level; with the paper's levels, it is not
    # compared.
    low, high = own.levels[0], own.levels[-1] if len(own.levels) > 1 else "rse"
    ends: Sequence[str] = ("none", low, high)
    rising = [((a, 0.1), (b, 0.1)) for a, b in pairwise(ends)]
    falling = [((b, 0.0), (a, 0.0)) for a, b in pairwise(ends)] + [((high, 0.01), (low, 0.01))]
    claims = {"noise-raises-robustness": rising, "noise-lowers-clean": falling}
    if own.levels == LEVELS:
        claims["inner-helps"] = [((LEVELS[0], 0.1), (LEVELS[1], 0.1))]
        claims["init-helps"] = [((LEVELS[1], 0.1), (LEVELS[2], 0.1))]
    for name, pairs in claims.items():
        if all(each in of for pair in pairs for each in pair):
            hold = [of[less] < of[more] for less, more in pairs]
            share = sum(hold) / len(hold)
            yield Row(share, "fraction", f"{start}/{name}", seed=seed, holds=all(hold))
