"""Reproduce Figure 4 of Random Self-Ensemble: the accuracy of predictions from one noise draw,
compared with predictions from 50 noise draws.

Each image is attacked once, by the attack of Table 2, and then classified with 50 noise draws and
with the first of them alone. The code for the paper's Figure 4 is older than that for its Table 2:
it normalises the images, its initial noise has the standard deviation 0.9 and all other noise 0.2,
and batch norm is in training mode during the attack.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.rows import percent, share_row

from . import settings
from .attack import Swept
from .settings import PAPER, TARGETS
from .sweep import cell, counted, points, swept

ITEM = "figure-4"
WEAK, TURN, STRONG = 0.1, 0.4, 1.0
"""The values of c of a weak and of a strong attack, and the value between them above which 50 draws
are worse than one, according to our memory of a later version of the paper. All settings of VGG16
have the first and the third.
"""
Parameters = settings.OfNetworks


def calls(p: settings.OfNetworks) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, "rse",
    seed, c, index of the job's first test image). The value c = 0 stands for clean images.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, own in p.chosen().items():
        for seed in p.seeds:
            of = points(own, "rse", seed, own.cs) | counted(own, "rse", seed)
            found |= {(network, "rse", seed, c, first): call for (c, first), call in of.items()}
    return found


def condense(p: settings.OfNetworks, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: accuracy and distortion at each point of the figure, and the
    results that test the paper's comparisons.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        found = swept(results, seed)
        for (network, defense, c), at in found.items():
            rows += cell(network, defense, c, seed, at, {}, single=True)
        of = {c: at for (network, _, c), at in found.items() if network == "vgg16"}
        rows += _compared(of, seed)
    return p.record(PAPER, ITEM, rows)


def _compared(of: Mapping[float, Swept], seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the paper's statements; all of them are for VGG16.

    According to the paper, 50 draws give a higher accuracy than one draw under weak attacks, and a
    lower one under strong attacks. The book's ledger orders the two accuracies at `WEAK` and at
    `STRONG`. The mean difference over all c below `TURN` is only shown.
    """
    start = f"{TARGETS}/{ITEM}"
    gain = [at.accuracy - percent(at.single) for c, at in of.items() if 0 < c < TURN]
    if gain:
        yield Row(fmean(gain), "percent", f"{start}/gain-weak-attack", seed=seed)
    for c, name in ((WEAK, "ensemble-better-weak"), (STRONG, "ensemble-worse-strong")):
        if at := of.get(c):
            yield share_row(at.right, f"{start}/{name}", seed=seed)
            yield share_row(at.single, f"{start}/one-draw/c-{c:g}", seed=seed)
