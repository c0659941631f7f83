"""Figure 4 of Random Self-Ensemble: one draw of the noise against an ensemble of 50.

Both predictions are of the same images, which the attack of Table 2 has moved once; the attack does
not know how many draws will judge. The one draw is the first of the 50. The paper's figure comes
from older code: normalised images, noise of deviation 0.9 and 0.2 in these units, and an attack
with batch norm in training mode.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done

from . import settings
from .attack import Swept
from .settings import PAPER, TARGETS
from .sweep import cell, counted, points, swept

ITEM = "figure-4"
WEAK, STRONG = 0.1, 0.4
"""The largest c of a weak attack by the target, and the smallest of a strong one by the text."""
Parameters = settings.OfNetworks


def calls(p: settings.OfNetworks) -> dict[tuple[Any, ...], Call]:
    """Return what is to be run, by (network, "rse", seed, c, first image); at c = 0 nothing
    attacks."""
    assert p.seeds is not None
    found: dict[tuple[Any, ...], Call] = {}
    for network, own in p.chosen().items():
        for seed in p.seeds:
            of = points(own, "rse", seed, own.cs) | counted(own, "rse", seed)
            found |= {(network, "rse", seed, c, first): call for (c, first), call in of.items()}
    return found


def condense(p: settings.OfNetworks, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return rows for each point of the figure, and the comparisons that the targets ask for."""
    assert p.seeds is not None
    rows: list[Row] = []
    for seed in p.seeds:
        found = swept(results, seed)
        for (network, defense, c), at in found.items():
            rows += cell(network, defense, c, seed, at, {}, single=True)
        of = {c: at for (network, _, c), at in found.items() if network == "vgg16"}
        rows += _compared(of, seed)
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))


def _compared(of: Mapping[float, Swept], seed: int) -> Iterator[Row]:
    """Return the rows of the targets, which are about VGG16.

    The paper says that 50 draws are better up to some c, about 0.4, and worse beyond it. So the
    gain is the mean over attacks with c below 0.4. That 50 draws are worse holds if they are so in
    the mean over the attacks with c from 0.4 on.
    """
    start = f"{TARGETS}/{ITEM}"
    gain = {c: at.accuracy - 100 * at.single.double().mean().item() for c, at in of.items() if c}
    weak, strong = ([gain[c] for c in gain if (c < STRONG) == side] for side in (True, False))
    if not weak or not strong:
        return
    yield Row(fmean(weak), "percent", f"{start}/gain-weak-attack", seed=seed)
    better = [gain[c] > 0 for c in gain if c <= WEAK]
    share = sum(better) / len(better)
    target = f"{start}/ensemble-better-weak"
    yield Row(share, "fraction", target, seed=seed, holds=all(better))
    worse = sum(g < 0 for g in strong) / len(strong)
    target = f"{start}/ensemble-worse-strong"
    yield Row(worse, "fraction", target, seed=seed, holds=fmean(strong) < 0)
