"""Measure how c, lambda and d change LeNet's accuracy and robustness rho_2.

As we remember, Deep Defense has such a figure. We know neither its number (we call it Figure 3) nor
which values of c, lambda and d the paper tried. This study fine-tunes LeNet with every pair of
three values of lambda and nine values of c, which gives 27 networks. When the study varies d,
lambda and c have the defaults of the released code. We do not use d = 20, because a single
misclassified image with a large perturbation then dominates the loss of its batch. With d = 20,
fine-tuning diverged on MNIST (seed 0, step 54) and on the digits of profile ``quick`` (seed 2).
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 3."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}


def methods(profile: str) -> list[Method]:
    """Return the settings of Deep Defense (`Method`) with which LeNet is fine-tuned for the
    figure.
    """
    cs, lams, ds = GRID[profile]
    grid = [replace(USUAL, c=c, lam=lam) for lam in lams for c in cs]
    return list(dict.fromkeys([*grid, *(replace(USUAL, d=d) for d in ds)]))


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per pair (method or
    "reference", seed).
    """
    lenet = setting("lenet", p.profile)
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        found["reference", seed] = read(lenet.start(seed), lenet.looked)
        for method in methods(p.profile):
            found[method, seed] = read(lenet.tuned(method, seed), lenet.looked)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the accuracy and rho_2 of each network. For the comparison with the paper's figure,
    return rho_2 with the c, lambda and d of the released code.

    We could not read this figure, so no pattern is tested.
    """
    rows: list[Row] = []
    for (method, seed), done in results.items():
        labels: dict[str, Any] = {"method": "reference"}
        if isinstance(method, Method):
            labels = {"c": method.c, "lam": method.lam, "d": method.d}
        rows.append(Row(done.values["accuracy"], "percent", None, "accuracy", seed, setting=labels))
        rows.append(Row(done.values["rho"], "ratio", None, "rho2", seed, setting=labels))
    for seed in p.seeds:
        usual = results[USUAL, seed].values["rho"]
        for name in ("c", "lambda", "d"):
            target = f"{PAPER}/figure-hyper-parameters/lenet-{name}/rho2"
            rows.append(Row(usual, "ratio", target, seed=seed))
    return p.record(PAPER, ITEM, rows)
