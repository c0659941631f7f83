"""Test the last sentence in the caption of Figure 4 of Nayebi & Ganguli 2017: "A similar trend
occurs for the ReLU MLP (data not shown)".

The study measures the paths of Figure 4 for vanilla and saturated ReLU MLPs. The paper does not say
what is similar, so we test the two patterns of Figure 4 on average over the four paths. First, the
saturated network is flat on a larger fraction of the path. Second, at the peak of the length
element it has one large singular value, and the vanilla network at least two. The thresholds are
those of `figure_4`.
"""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.parameters import STRICT

from . import figure_4
from .figure_4 import FLAT_OURS, LARGE_OURS, PAIRS, drawn, flat, large, path, readings

PAPER, ITEM = "saturating", "figure-4-relu"
TARGET = f"{PAPER}/figure-4/relu"


@dataclass(frozen=True, config=STRICT)
class Parameters(figure_4.Parameters):
    """The parameters of Figure 4; by default fewer networks are trained."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2)}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per pair (method,
    seed).
    """
    return figure_4.calls(p, "relu-mlp")


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the measurements on each path, and the curves of the first seed. Return also two
    averages over the paper's four paths, which are compared with the paper's claims.
    """
    rows: list[Row] = []
    curves: dict[str, list[Any]] = {}
    for (method, seed), result in results.items():
        even = [path(result, i, "even") for i in range(len(p.pairs))]
        for i, pair in enumerate(p.pairs):
            rows += readings(even[i], pair, method, seed, "even")
            rows += readings(path(result, i, "resolved"), pair, method, seed, "resolved")
        if p.pairs == PAIRS:
            share = fmean(flat(found, FLAT_OURS) for found in even)
            count = fmean(large(found, LARGE_OURS) for found in even)
            rows.append(Row(share, "fraction", f"{TARGET}/flat-share-{method}", seed=seed))
            rows.append(Row(count, "count", f"{TARGET}/singular-values-{method}", seed=seed))
        if seed == p.seeds[0]:
            for found in even:
                for name, curve in drawn(found).items():
                    curves.setdefault(f"{method}/{name}", []).append(curve)
    return p.record(PAPER, ITEM, rows, curves)
