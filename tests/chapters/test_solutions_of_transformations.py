"""The solutions of the exercises on the pages of transformations and of certified accuracy."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from pytest import approx
from scipy.stats import beta, norm

from robustbook import notebooks

from .test_exercises import solutions

Names = dict[str, Any]
PAGES = ("survey/transformations", "survey/certified")
CHECKS: dict[str, Callable[[Names], bool]] = {
    "ex-survey-patterns": lambda s: (
        s["patterns"][37][0] == 90
        and s["patterns"][331][0] == 12_528
        and s["patterns"][37][1] == approx(36 / 90)
    ),
    "ex-survey-rounding": lambda s: (
        (s["kept"][0.05], s["kept"][0.1]) == approx((0, 0), abs=1e-5)
        and s["kept"][0.2] == approx(3072**0.5 / 255 / 0.2, rel=1e-3)
        and s["kept"][1.0] == approx(5 * 3072**0.5 / 255, rel=1e-3)
    ),
    "ex-survey-draws": lambda s: (
        all(
            noise * norm.ppf(0.001 ** (1 / n)) >= 1 > noise * norm.ppf(0.001 ** (1 / (n - 1)))
            for noise, n in s["needed"].items()
        )
        and s["needed"][1.0] < 100 < s["needed"][0.5] < 1000
        and s["needed"][0.25] > 200_000
    ),
    "ex-survey-abstain": lambda s: all(
        beta.ppf(0.001, k, n - k + 1) > 0.5 >= beta.ppf(0.001, k - 1, n - k + 2)
        and abs(k / n - 0.5 - 3.09 / (2 * math.sqrt(n))) < 2 / n
        for n, k in s["fewest"].items()
    ),
}
CODE = {label: (name, code) for name in PAGES for label, code in solutions(name)}


def test_each_solution_has_a_check() -> None:
    assert CODE.keys() == CHECKS.keys()


@pytest.mark.parametrize("label", CHECKS)
def test_a_solution_is_right(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, code = CODE[label]
    space: Names = {}
    for cell in notebooks.stored(name, ".md").cells:
        if "idea" in cell.metadata.get("tags", []):
            exec(cell.source, space)
    capsys.readouterr()
    exec(code, space)
    assert capsys.readouterr().out, "a solution shows its result"
    assert CHECKS[label](space)
