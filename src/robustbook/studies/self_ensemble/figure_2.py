"""Reproduce Figure 2 of Random Self-Ensemble: the accuracy of networks with noise only in training,
only at test time, in both, or in neither.

The network ``rse`` has noise layers in training and at test time. The network ``train only`` is
``rse`` with the noise switched off in the attack and in the prediction. The undefended network
without noise is ``none``. For ``test only``, noise layers are added to this network after training.
These layers are on in the attack and in the prediction, which averages over 50 draws.

This study uses the noise of Table 1 and the attack of Table 2. The code for the paper's Figure 2 is
older than that for its Table 2: it normalises the images, its initial noise has the standard
deviation 0.9 and all other noise 0.2, its attack does not clip pixels, and batch norm is in
training mode during the attack.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import share_row

from . import settings
from .attack import Swept
from .settings import PAPER, TARGETS, Names, Setting
from .sweep import CURVE, cell, points, swept

ITEM = "figure-2"
WHEN: Mapping[str, Literal["training", "test"]] = {"train only": "training", "test only": "test"}
REGIMES = ("rse", "train only", "test only", "none")
Parameters = settings.OfNetworks


def calls(p: settings.OfNetworks) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, regime,
    seed, c, index of the job's first test image). The regime says whether the noise is on in
    training, at test time, in both, or in neither.
    """
    return {
        (network, regime, seed, c, first): call
        for network, own in p.chosen().items()
        for regime in REGIMES
        for seed in p.seeds
        for (c, first), call in _points(own, regime, seed).items()
    }


def _points(own: Setting, regime: str, seed: int) -> dict[tuple[float, int], Call]:
    trained: Names = "rse" if regime in ("rse", "train only") else "none"
    noise = replace(own.rse, when=WHEN[regime]) if regime in WHEN else None
    return points(own, trained, seed, [c for c in CURVE if c in own.cs], noise)


def condense(p: settings.OfNetworks, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: accuracy and distortion at each point of the figure, and the
    results that test the paper's comparisons.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        found = swept(results, seed)
        for (network, regime, c), at in found.items():
            rows += cell(network, regime, c, seed, at, {})
        rows += _compared({(r, c): at for (net, r, c), at in found.items() if net == "vgg16"}, seed)
    return p.record(PAPER, ITEM, rows)


def _compared(of: Mapping[tuple[str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the paper's numbers; all of them are for VGG16."""
    start = f"{TARGETS}/{ITEM}"
    if ("test only", 0.0) in of:
        yield share_row(of["test only", 0.0].right, f"{start}/test-noise-only/clean", seed=seed)
    claims = {
        "train-test-vs-train-only/small-c": ("train only", 0.1),
        "train-test-above-test-only": ("test only", 0.2),
        "train-test-above-baseline": ("none", 0.4),
    }
    for name, (other, last) in claims.items():
        at = [c for r, c in of if r == "rse" and 0 < c <= last]
        above = [of["rse", c].accuracy > of[other, c].accuracy for c in at]
        if not at:
            continue
        holds = all(above)
        if other == "train only":  # the mean over all c that the paper calls "smaller"
            holds = sum(of["rse", c].accuracy - of[other, c].accuracy for c in at) > 0
        share = sum(above) / len(above)
        yield Row(share, "fraction", f"{start}/{name}", seed=seed, holds=holds)
