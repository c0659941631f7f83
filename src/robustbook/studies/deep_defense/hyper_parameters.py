"""Reproduce Figure 3 of Deep Defense: how c, lambda and d change LeNet's accuracy and robustness
rho_2.

We could not read from the figure which values of c, lambda and d the paper tried. This study
fine-tunes LeNet with every pair of three values of lambda and nine values of c, which gives 27
networks. When this study varies d, it keeps lambda and c at the defaults of the released code. We
do not use d = 20, because fine-tuning diverged. It diverged on MNIST (seed 0, step 54), and on the
digits of profile ``quick`` (seed 2). With d = 20, a single misclassified image with a large
perturbation dominates the loss of its batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .methods import Method
from .readings import read
from .settings import PAPER, setting

ITEM = "figure-3"
USUAL = Method("deep-defense")
GRID = {  # for each profile: the values of c, the values of lambda, the values of d
    "quick": ((5.0, 25.0, 45.0), (5.0, 15.0), (5.0, 10.0)),
    "paper": (tuple(5.0 * i for i in range(1, 10)), (5.0, 15.0, 25.0), (1.0, 2.5, 5.0, 10.0)),
}
WEAK = 0.01  # a difference of rho_2 of at most this size counts as noise between seeds


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 3."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}


def methods(profile: str) -> list[Method]:
    """Return the different settings of Deep Defense (`Method`) with which LeNet is fine-tuned for
    the figure.
    """
    cs, lams, ds = GRID[profile]
    grid = [replace(USUAL, c=c, lam=lam) for lam in lams for c in cs]
    return list(dict.fromkeys([*grid, *(replace(USUAL, d=d) for d in ds)]))


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations of the study as a dict with keys (method or "reference", seed)."""
    assert p.seeds is not None
    lenet = setting("lenet", p.profile)
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        found["reference", seed] = read(lenet.start(seed), lenet.looked)
        for method in methods(p.profile):
            found[method, seed] = read(lenet.tuned(method, seed), lenet.looked)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracy and rho_2 of each network, and the tests whether our
    curves have the shapes that the paper describes.
    """
    assert p.seeds is not None
    rows: list[Row] = []
    for (method, seed), done in results.items():
        labels: dict[str, Any] = {"method": "reference"}
        if isinstance(method, Method):
            labels = {"c": method.c, "lam": method.lam, "d": method.d}
        rows.append(Row(done.values["accuracy"], "percent", None, "accuracy", seed, setting=labels))
        rows.append(Row(done.values["rho"], "ratio", None, "rho2", seed, setting=labels))
    for seed in p.seeds:
        rows += _shapes(
            seed, {key[0]: done.values for key, done in results.items() if key[1] == seed}, p
        )
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))


def _shapes(seed: int, of: Mapping[Any, Mapping[str, float]], p: Parameters) -> Iterator[Row]:
    """Yield the results of the tests whether our curves have the same shapes as the paper's curves.

    In the paper's curves, rho_2 falls and the accuracy does not fall as c rises from its smallest
    to its largest value. As lambda rises, rho_2 rises. The accuracy is lower with the largest
    lambda than with the default lambda. A change of d changes rho_2 by no more than the noise
    between seeds.
    """
    cs, lams, ds = GRID[p.profile]

    def at(**changed: Any) -> Mapping[str, float]:
        return of[replace(USUAL, **changed)]

    usual = of[USUAL]["rho"]
    low, high = at(c=cs[0]), at(c=cs[-1])
    falls = low["rho"] > high["rho"] and low["accuracy"] <= high["accuracy"]
    less, more = at(lam=lams[0]), at(lam=lams[-1])
    rises = less["rho"] < more["rho"] and more["accuracy"] <= of[USUAL]["accuracy"]
    over_d = [at(d=d)["rho"] for d in ds]
    weak = max(over_d) - min(over_d) <= WEAK
    for name, holds in (("c", falls), ("lambda", rises), ("d", weak)):
        target = f"{PAPER}/figure-hyper-parameters/lenet-{name}/rho2"
        yield Row(usual, "ratio", target, seed=seed, holds=bool(holds))
