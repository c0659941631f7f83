"""Reproduce Table 2 of Random Self-Ensemble: the accuracy of VGG16 under the paper's attack, for
five values of c.

Our row RSE, which is compared with the paper's, places the initial noise as in the released code.
We add rows for variants of RSE: the noise placement that the paper's text describes, and the noise
level of a later release of the code.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.parameters import STRICT
from robustbook.studies.rows import share_row

from . import settings
from .attack import Swept
from .settings import DEFENSES, PAPER, TABLE_2, TARGETS, Names
from .sweep import cell, clean_cost, points, swept

ITEM = "table-2"
JUDGES = ("table-2", "abstract")
READINGS: tuple[Names, ...] = ("rse code 0.2", "rse paper 0.2", "rse paper 0.4")


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.OfImages):
    """The parameters that a reader of the book can set for Table 2: the networks (by default
    VGG16), the defenses, and the number of test images.
    """

    own_networks: ClassVar = settings.VGG16

    def more(self) -> tuple[Names, ...]:
        """Return the names of the variants of RSE that place the noise differently or have another
        noise level.
        """
        return {"quick": (), "reduced": READINGS[-1:], "paper": READINGS}[self.profile]


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, c, index of the job's first test image). The value c = 0 stands for clean images.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, own in p.chosen().items():
        for defense in own.defenses:
            for seed in p.seeds:
                found |= {
                    (network, defense, seed, c, first): call
                    for (c, first), call in points(own, defense, seed, TABLE_2).items()
                }
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, the accuracies of the variants
    of RSE, and the distortions.
    """
    rows: list[Row] = []
    runs = {seed: swept(results, seed, paper=p.profile == "paper") for seed in p.seeds}
    for seed, cells in runs.items():
        for (network, defense, c), found in cells.items():
            rows += cell(network, defense, c, seed, found, _targets(network, defense, c))
        rows += _compared(cells, seed)
    rows += _caption(runs)
    return p.record(PAPER, ITEM, rows)


def _targets(network: str, defense: str, c: float) -> dict[str, str]:
    if c and network == "vgg16" and defense in DEFENSES:
        return {"accuracy": f"{TARGETS}/{ITEM}/{defense}/c-{c:g}"}
    return {}


def _compared(cells: Mapping[tuple[str, str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield the results for VGG16 that test the claims of the abstract, whether RSE has the highest
    accuracy in Table 2, and how much accuracy it costs on clean images.

    The order of RSE and BReLU has the name ``rse-first``, because BReLU is the second best defense
    at every c of the printed table. The book's ledger looks up the second number of each order.
    """
    of = {(defense, c): s for (net, defense, c), s in cells.items() if net == "vgg16"}
    for c in TABLE_2:
        if ("rse", c) in of:
            others = [other for other in ("none", "adv", "distill") if (other, c) in of]
            for order in ("rse-first", *(f"rse-above-{other}" for other in others)):
                yield _row(of["rse", c], f"{ITEM}/{order}/c-{c:g}", seed)
    yield from clean_cost("clean-cost", of, seed)
    told = {
        "vgg16-clean": ("none", 0.0),
        "no-defense-under-attack": ("none", 0.03),
        "best-previous-under-attack": ("brelu", 0.03),
        "rse-under-attack": ("rse", 0.03),
        "rse-beats-best-previous": ("rse", 0.03),
    }
    for name, at in told.items():
        if at in of:
            yield _row(of[at], f"abstract/{name}", seed)


def _row(at: Swept, target: str, seed: int) -> Row:
    """Return the accuracy ``at`` as the measurement of a number of the paper."""
    return share_row(at.right, f"{TARGETS}/{target}", seed=seed, differs=at.differs)


def _caption(runs: Mapping[int, Mapping[tuple[str, str, float], Swept]]) -> Iterator[Row]:
    """Yield the results for VGG16 that test the caption of Table 2. For each seed, the result is
    the accuracy of RSE at the smallest c at which the mean accuracy of every other defense is below
    30 %. The mean is over the seeds that were run with that defense. Yield nothing if a defense was
    not run.
    """
    of = {
        (d, c): {
            seed: cells[key] for seed, cells in runs.items() if (key := ("vgg16", d, c)) in cells
        }
        for d in DEFENSES
        for c in TABLE_2
    }
    if not all(of.values()):
        return
    mean = {key: fmean(s.accuracy for s in found.values()) for key, found in of.items()}
    low = [c for c in TABLE_2 if all(mean[d, c] < 30 for d in DEFENSES if d != "rse")]
    for seed, found in of["rse", low[0]].items() if low else ():
        yield _row(found, f"{ITEM}/caption-75", seed)
