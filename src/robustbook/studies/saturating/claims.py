"""Test the quantitative claims that Nayebi & Ganguli 2017 make only in their text.

`printed_settings` compares our training settings and error rates with the paper's. `ablations`
tests three training choices that Section 4 recommends. `descents` tests the claims of Section 7
about attacks by Adam, except the attack with 30 million steps (`long_descent`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.items import judged
from robustbook.studies.parameters import STRICT

from . import ablations, descents, printed_settings
from .sizes import ADAM_STEPS

PAPER, ITEM = "saturating", "claims"
JUDGES = tuple(item.partition("/")[2] for item in judged(f"{PAPER}/{ITEM}"))
EVERY = {"quick": 1, "paper": 937}  # the largest value of ``every``


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page on the paper's claims."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    every: Annotated[
        int, Field(ge=1, le=937, description="optimiser steps per step of lambda, 1 to 937")
    ] = 10  # in the ablations only; with profile quick 1
    points: Annotated[
        float,
        Field(ge=0, le=100, description="percentage points that count as a difference, 0 to 100"),
    ] = 1.0
    step_size: Annotated[
        float, Field(gt=0, le=1, description="Adam's rate in pixels of [0, 1], above 0, at most 1")
    ] = 0.01
    steps: Annotated[
        int, Field(ge=1, le=1_000_000, description="Adam's steps per image, 1 to 1000000")
    ] = 10_000  # with profile quick at most 300


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict whose keys are tuples that begin with
    "ablation", "error", "descents" or "apart".
    """
    return {
        **printed_settings.calls(p.profile, p.seeds),
        **ablations.calls(p.profile, p.seeds, _every(p)),
        **descents.calls(p.profile, p.seeds, p.step_size, min(p.steps, ADAM_STEPS[p.profile])),
    }


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, and those of further variants
    of training and of the attack by Adam.
    """
    rows = (
        *printed_settings.rows(p.profile),
        *printed_settings.errors(results, p.profile, p.seeds),
        *ablations.rows(results, p.profile, p.seeds, _every(p), p.points),
        *descents.rows(results, p.seeds, p.step_size),
    )
    return p.record(PAPER, ITEM, rows)


def _every(p: Parameters) -> int:
    return min(p.every, EVERY[p.profile])
