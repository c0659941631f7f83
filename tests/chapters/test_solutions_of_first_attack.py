"""The solutions of the exercises on Szegedy et al. 2013 and on logit pairing are right."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest import approx

from robustbook import notebooks

from .test_exercises import solutions

Names = dict[str, Any]
PAGES = ("survey/szegedy", "survey/pairing")
CHECKS: dict[str, Callable[[Names], bool]] = {
    "ex-survey-szegedy-c": lambda s: (
        1
        <= (s["perturb"](s["V"], s["grey"], s["other"], s["low"]) - s["grey"]).norm() / s["nearest"]
        < 1.001
    ),
    "ex-survey-szegedy-noise": lambda s: (
        s["attack_norm"] < s["noise_norm"]
        and s["along"] == approx(0.1, rel=0.03)
        and s["noise_norm"] / s["along"] == approx(28, rel=0.03)
    ),
    "ex-survey-pairing-scale": lambda s: bool((s["signs"][1] == s["signs"][100]).all()),
    "ex-survey-pairing-ln10": lambda s: 2 < s["largest"] < s["log"](10),
}
CODE = {label: (name, code) for name in PAGES for label, code in solutions(name)}


def test_each_solution_has_a_check() -> None:
    assert CODE.keys() == CHECKS.keys()


@pytest.mark.parametrize("label", CHECKS)
def test_a_solution_is_right(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, code = CODE[label]
    assert len([line for line in code.splitlines() if line and "import " not in line]) <= 10
    space: Names = {}
    for cell in notebooks.stored(name, ".md").cells:
        if "idea" in cell.metadata.get("tags", []):
            exec(cell.source, space)
    capsys.readouterr()
    exec(code, space)
    assert capsys.readouterr().out, "a solution shows its result"
    assert CHECKS[label](space)
