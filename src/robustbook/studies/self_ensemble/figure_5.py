"""Reproduce Figure 5 of Random Self-Ensemble: how the accuracy on clean images depends on the
number n of noise draws.

Predictions with different n use different noise draws. Each network is trained with the noise
levels of Table 1, and VGG16 also with those of Figure 3. The code for the paper's Figure 5 is older
than that for its Table 2, and normalises the images before it adds noise.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import percent, share_row

from . import settings
from .settings import DRAWS, PAPER, TARGETS, Names, Setting
from .sweep import NUMBERS, counted

ITEM = "figure-5"
Parameters = settings.OfNetworks


def calls(p: settings.OfNetworks) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, noise
    configuration, seed, index of the job's first test image).
    """
    return {
        (network, noise, seed, first): call
        for network, own in p.chosen().items()
        for noise in named(own)
        for seed in p.seeds
        for (_, first), call in counted(own, noise, seed).items()
    }


def named(own: Setting) -> tuple[Names, ...]:
    """Return the names of the noise configurations with which Figure 5's networks are trained."""
    return ("rse", *own.levels)


def condense(p: settings.OfNetworks, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracy at each point of the figure, and the results that
    test the paper's comparisons.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        pieces: dict[tuple[str, str], list[Done]] = {}
        for (network, noise, at, _), done in results.items():
            if at == seed:
                pieces.setdefault((network, noise), []).append(done)
        found: dict[tuple[str, str, int], Tensor] = {}
        for (network, noise), parts in pieces.items():
            right = torch.cat([part.tensors["right"] for part in parts], 1)
            for n, of in zip(NUMBERS, right, strict=True):
                found[network, noise, n] = of
                labels: dict[str, str | float | int | bool]
                labels = {"network": network, "defense": noise, "draws": n}
                rows.append(share_row(of, None, "accuracy", seed, setting=labels))
        own = p.chosen().get("vgg16")
        if own is not None:
            of = {(noise, n): v for (net, noise, n), v in found.items() if net == "vgg16"}
            rows += _compared(of, own, seed)
    return p.record(PAPER, ITEM, rows)


def _compared(of: Mapping[tuple[str, int], Tensor], own: Setting, seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the paper's statements; all of them are for VGG16.

    The book's ledger orders the accuracies with 50, 10, 4 draws and one. The difference between the
    gains with the highest and the lowest noise level is only shown.

    ``of``: for each noise configuration and number of draws, which images are classified correctly.
    """
    start = f"{TARGETS}/{ITEM}"
    settled = percent(of["rse", DRAWS]) - percent(of["rse", 10])
    yield Row(settled, "percent", f"{start}/saturation", seed=seed)
    orders = {"gain": DRAWS, "monotone": 10, "four-above-one": 4, "one-draw": 1}
    for name, n in orders.items():
        yield share_row(of["rse", n], f"{start}/{name}", seed=seed)
    # With profile quick, the noise of RSE is the higher noise level.
    low, high = own.levels[0], own.levels[-1] if len(own.levels) > 1 else "rse"
    less, more = (percent(of[noise, DRAWS]) - percent(of[noise, 1]) for noise in (low, high))
    yield Row(more - less, "percent", f"{start}/less-noise-saturates-earlier", seed=seed)
