"""The solutions of the exercises on the pages of the papers: each runs and its numbers are right.

A solution runs after the code of its page's idea. No other cell of the page is executed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytest import approx
from scipy.stats import binom, norm

from robustbook import catalogue, ledger, notebooks

from .solutions_of_survey import SURVEY
from .test_exercises import PAPER_PAGES, solutions

Names = dict[str, Any]
Check = Callable[[Names], bool]


def reproduced(paper: str) -> int:
    """Return how many comparisons of a paper are reproduced, each counted once as in the ledger."""
    lines = ledger.build(catalogue.BOOK, paper=paper).counted
    return sum(line.verdict == "reproduced" for line in lines)


SELF_ENSEMBLE: dict[str, Check] = {
    "ex-rse-profiles": lambda s: (
        {profile for profile, verdict in s["counted"] if verdict.endswith("reproduced")}
        == {"paper"}
        and s["counted"]["paper", "reproduced"] == reproduced("self_ensemble")
    ),
    "ex-rse-votes": lambda s: (s["by_sum"], s["by_votes"]) == (0, 1),
    "ex-rse-first-layer": lambda s: (
        s["ratios"]["image"] < 1
        and s["ratios"]["second convolution"]
        == approx((1 / 2 - 1 / (2 * np.pi)) ** 0.5 / 0.4, rel=0.01)
    ),
    "ex-rse-evidence": lambda s: {metric for metric, _ in s["found"]} <= {"setting", "count"},
    "ex-rse-balance": lambda s: (
        s["distance"][0].item() == approx(0.01 * 17**0.5 / 2, rel=0.001)
        and s["distance"][1] < s["expected"][1] < s["distance"][2]
        and torch.allclose(s["expected"][1:], torch.tensor(0.5 / 17**0.5))
    ),
    "ex-rse-pgd-time": lambda s: (
        s["cheaper"][10] == approx(23 / 3) and s["cheaper"][10] < s["ratios"][10] == 11
    ),
    "ex-rse-student": lambda s: (
        s["nearly"][40] == approx(s["exact"][40], rel=0.01)
        and s["nearly"][100] == approx(s["exact"][100], rel=0.001)
        and s["exact"][1] > 2 * s["nearly"][1]
    ),
    "ex-rse-reach": lambda s: (
        s["reach"][0.5] == approx(np.tanh(0.3) / 2) and s["reach"][0.99] < 0.01
    ),
    "ex-rse-ridge": lambda s: np.allclose(s["noisy"], s["ridge"], atol=0.01),
    "ex-rse-shift": lambda s: (
        np.allclose(s["measured"], s["expected"], atol=0.004)
        and bool((s["expected"] > np.maximum(s["h"], 0)).all())
        and s["expected"][1] == approx(0.4 / (2 * np.pi) ** 0.5)
    ),
    "ex-rse-one-draw": lambda s: (
        bool((np.diff(s["accuracy"][1]) < -2).all())
        and s["accuracy"][50][-1] > s["accuracy"][50][0] - 1
    ),
    "ex-rse-best-of": lambda s: s["gain"] == approx(1.03 * 100 * (0.24 / 400) ** 0.5, rel=0.03),
    "ex-rse-mixture": lambda s: s["result"] == approx({1: 55, 51: 50}, abs=0.01),
    "ex-rse-even": lambda s: all(
        s["fair"](p, n) == approx(s["majority"](p, n - 1)) for p in (0.3, 0.6) for n in (2, 4, 50)
    ),
    "ex-rse-how-many": lambda s: all(
        binom.sf(n // 2, n, p) >= 0.99 > binom.sf(n // 2 - 1, n - 2, p)
        for p, n in s["needed"].items()
    ),
    "ex-rse-mcnemar": lambda s: (
        s["chance"] == approx(2 * sum(binom.pmf(range(14, 21), 20, 0.5))) and s["chance"] > 0.05
    ),
    "ex-rse-zeros": lambda s: s["distortion"](s["A"]) / s["distortion"](s["B"]) == approx(2**0.5),
    "ex-rse-networks": lambda s: (
        bool((s["lead"]["model-a"] < 0).all())
        and bool((np.array([s["lead"]["vgg16"], s["lead"]["resnext"]]) > 30).all())
    ),
    "ex-rse-squared": lambda s: (
        s["ratios"][0] == approx(s["ratios"][1] ** 2) and s["ratios"][0] > 4
    ),
    "ex-rse-nine": lambda s: s["larger"] == 9,
    "ex-rse-rank-one": lambda s: s["trace2"] == approx(s["norm2"]) == approx(0.16 * 25),
    "ex-rse-confident": lambda s: np.allclose(s["ratios"], np.exp(5 * s["t"]), rtol=0.001),
    "ex-rse-length": lambda s: (
        s["share"] > 0.9 and s["cosines"]["of length 1"] > s["cosines"]["as they are"] + 0.05
    ),
    "ex-rse-certificate": lambda s: (
        s["radius"][0.4, 1000] == approx(0.4 * norm.isf(1 - np.exp(np.log(0.001) / 1000)))
        and s["radius"][0.4, 1000] / s["radius"][0.1, 1000] == approx(4)
        and s["radius"][0.1, 100_000] < 2 * s["radius"][0.1, 1000]
    ),
    "ex-rse-same-noise": lambda s: all(
        value == approx(4 * s["sigma"] ** 2, rel=0.02) for value in s["variances"].values()
    ),
    "ex-rse-best-h": lambda s: all(
        best == approx((0.3 / (4 * n)) ** (1 / 6), rel=0.002) for n, best in s["best"].items()
    ),
}

DEEP_DEFENSE: dict[str, Check] = {
    "ex-dd-minimum": lambda s: (
        s["bounds"] == approx((0.3, 0.6)) and s["both"] == approx(0.7 * 0.6, abs=0.02)
    ),
    "ex-dd-tally": lambda s: (
        sum(s["found"].values()) == len(s["rows"]) == reproduced("deep_defense")
        and len(s["measured"]) > len(s["rows"]) / 2
        and s["own"] == []
    ),
    "ex-dd-bias": lambda s: np.array_equal(s["w0"], s["w1"]) and s["margin0"] != s["margin1"],
    "ex-dd-detached": lambda s: (
        s["longer"]["whole"] == approx(0, abs=1e-6)
        and s["longer"]["detached"] == approx(1.3 / 5**0.5)
    ),
    "ex-dd-offset": lambda s: s["same"] and s["rho_moved"] < s["rho_2"],
    "ex-dd-older": lambda s: s["low"] < s["high"] < 0,
    "ex-dd-epoch": lambda s: all(0.5 < share < 1 for share in s["share"].values()),
    "ex-dd-best-epoch": lambda s: (
        s["compared"]["deep-defense"][0] - s["compared"]["adv-training-i"][0]
        > 2 * (s["compared"]["deep-defense"][1] - s["compared"]["adv-training-i"][1])
        > 0
    ),
    "ex-dd-own-c": lambda s: all(c == approx(1 / rho, abs=0.06) for rho, c in s["best"].items()),
    "ex-dd-seeds": lambda s: (
        s["largest"] == approx(4.303 * np.std(s["three"], ddof=1) * 2**0.5, rel=1e-3)
        and (abs(s["steps"][:3]) > s["largest"]).all()
        and (abs(s["steps"][3:]) < s["largest"]).all()
    ),
    "ex-dd-scale": lambda s: (
        s["rhos"][2:] == approx([s["rhos"][0]] * 2) and abs(s["rhos"][1] - s["rhos"][0]) > 0.1
    ),
    "ex-dd-sum": lambda s: 0 < s["total"] < s["gain"]["all"] / 2,
    "ex-dd-overshoot": lambda s: (
        s["gaps"][1] == approx(0, abs=1e-12)
        and s["gaps"][1.02] == approx(2 * s["gaps"][1.01])
        and s["logits"].argmax() != s["s"]
    ),
    "ex-dd-counted": lambda s: (
        s["counted"]["ours"] == approx(199, abs=0.01) and s["counted"]["torchattacks"] > 200
    ),
    "ex-dd-binomial": lambda s: (
        s["by_images"] == approx(100 * binom.std(10_000, s["p"]) / 10_000)
        and s["by_images"] < 3 * s["stdev"](s["errors"])
    ),
    "ex-dd-rounded": lambda s: (
        max(s["rounding"], key=s["rounding"].get) == "fc500-150-10-mnist"
        and s["rounding"]["lenet-mnist"] == approx(2.5)
    ),
    "ex-dd-directions": lambda s: all(
        share == approx(norm.sf(28 / r), abs=0.01) for r, share in s["share"].items()
    ),
    "ex-dd-yes-no": lambda s: (
        s["tail"][1] == approx(1 - 0.95**5) and s["tail"][2] < 0.05 < s["tail"][1]
    ),
    "ex-dd-adam": lambda s: (
        s["reached"]["Adam", 1] == approx(s["reached"]["Adam", 10])
        and s["reached"]["SGD", 1] == approx(1 - 0.98**20)
        and s["reached"]["SGD", 10] == approx(1 - 0.8**20)
    ),
    "ex-dd-control": lambda s: (
        s["largest"]["without-constant"] == 0 < s["largest"]["fine-tuned-deepfool-set"]
    ),
    "ex-dd-exact": lambda s: (
        s["exact"] <= s["nearest"] < 1.01 * s["exact"] < np.linalg.norm(s["r"])
    ),
    "ex-dd-worst": lambda s: all(worst <= least for least, worst in s["both"].values()),
}

SATURATING: dict[str, Check] = {
    "ex-sat-chance": lambda s: s["chance"] == approx(sum(binom.pmf(range(15, 21), 20, 0.5))),
    "ex-sat-rounds": lambda s: (
        s["first"][24] == approx(24 * np.log(2), abs=0.01)
        and s["first"][53] == approx(53 * np.log(2), abs=0.01)
    ),
    "ex-sat-cheap": lambda s: (
        s["found"][1][0] > 100 * s["found"][10][0] > 100 * s["found"][100][0]
        and len({round(distance, 9) for _, distance in s["found"].values()}) == 1
        and s["found"][1][1] == approx(1.5 / 5**0.5)
    ),
    "ex-sat-unmoved": lambda s: (
        all(0 <= a - b < 1 for a, b in s["shares"]["relu-mlp"])
        and max(a - b for a, b in s["shares"]["sigmoid-mlp"]) > 20
    ),
    "ex-sat-padding": lambda s: [p for p, n in s["totals"].items() if n == s["asked"]] == [2],
    "ex-sat-work": lambda s: (
        max(s["work"], key=s["work"].get) == "convolution 2"
        and sum(n for n, _ in s["layers"].values()) + 32 + 64 + 1024 + 10 == sum(s["parameters"](2))
    ),
    "ex-sat-core": lambda s: (
        s["kurtosis"](s["w"]) == approx(s["expected"], abs=0.08) and s["expected"] > 0.7
    ),
    "ex-sat-few": lambda s: (
        s["scatter"]["normal"] == approx((24 / 2000) ** 0.5, rel=0.15)
        and s["scatter"]["Laplace"] > 3 * s["scatter"]["normal"]
    ),
    "ex-sat-rewrite": lambda s: np.allclose(
        s["repaired"](s["h"]), s["slope"](-np.abs(s["h"]).astype(float)), rtol=1e-5, atol=0
    ),
    "ex-sat-product": lambda s: (
        -10 < s["power"]["vanilla"] < 0 and -324 < s["power"]["saturated"] < -45
    ),
    "ex-sat-often": lambda s: all(
        found == approx(2 * q * (1 - q), abs=0.01) for q, found in s["dissimilarity_of"].items()
    ),
    "ex-sat-constant": lambda s: (
        s["by"][0] == approx((0.2, 0.2), abs=0.001) and s["by"][20] == approx((0, 0.2), abs=0.001)
    ),
    "ex-sat-shortest": lambda s: all(
        a == approx(b, rel=1e-4) and a < 3.15 for a, b in s["compared"].values()
    ),
    "ex-sat-grid": lambda s: (
        s["lengths"][11] > 10 * np.pi > 50 * s["lengths"][100]
        and s["lengths"][1001] == approx(np.pi, abs=0.01) == approx(s["lengths"][100_001])
    ),
    "ex-sat-line": lambda s: (
        (s["W"] @ (s["source"] + s["high"] * s["line"])).argmax() == 1
        and (s["W"] @ (s["source"] + s["low"] * s["line"])).argmax() != 1
        and np.linalg.norm(s["high"] * s["line"]) < np.linalg.norm(s["x"] - s["source"])
    ),
    "ex-sat-limit": lambda s: (
        s["ends"]["float32"][2] == 0 < s["ends"]["float64, no tolerances"][2]
        and all(sum(each) == approx(90) for each in s["ends"].values())
    ),
    "ex-sat-closed": lambda s: (
        all(s["measured"][name] == approx(limit, rel=0.02) for name, limit in s["limits"].items())
        and s["measured"]["Laplace"] > s["R"](*s["heavy"])
    ),
    "ex-sat-absolute": lambda s: 1 < s["gains"][0] < 1.1 < s["gains"][1],
    "ex-sat-amplified": lambda s: s["ratios"][1.0] == approx(s["ratios"][10.0]),
    "ex-sat-own-scale": lambda s: (
        min(s["factors"]["between"]) > 10 and 1 < max(s["factors"]["within over between"]) < 1.5
    ),
    "ex-sat-units": lambda s: list(s["stops"].values()) == [True, True, False],
    "ex-sat-ties": lambda s: s["ties"]["probability"] > 500 and s["ties"]["lead"] == 1,
    "ex-sat-epsilon": lambda s: (
        np.allclose(s["moves"]["smaller epsilon"], [-0.1, 0.1])
        and np.allclose(s["moves"]["larger loss"], [-0.1, 0.1])
        and np.abs(s["moves"]["as it is"]).max() < 0.01
    ),
    "ex-sat-memory": lambda s: (
        s["half"] == approx(1000 * np.log(0.001 / 3e-8), rel=0.01) and s["length"][800] < 0.01
    ),
    "ex-sat-soft": lambda s: (
        s["found"][1][0] > 0 > s["found"][10][0] and s["found"][1000][1] == approx(1, abs=1e-3)
    ),
    "ex-sat-overstated": lambda s: (
        s["by_attack"]["plain"][1] > 3 * s["by_attack"]["plain"][0]
        and s["by_attack"]["float64"][1] > 2 * s["by_attack"]["float64"][0]
        and s["by_attack"]["all"][1] == approx(s["by_attack"]["all"][0], rel=0.1)
    ),
}

CHECKS = SELF_ENSEMBLE | DEEP_DEFENSE | SATURATING | dict(SURVEY)
CODE = {label: (name, code) for name in PAPER_PAGES for label, code in solutions(name)}


def test_each_solution_has_a_check() -> None:
    assert CODE.keys() == CHECKS.keys()


@pytest.mark.parametrize("label", CHECKS)
def test_a_solution_is_right(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, code = CODE[label]
    space: Names = {}
    for cell in notebooks.stored(name, ".ipynb").cells:
        if "idea" in cell.metadata.get("tags", []):
            exec(cell.source, space)
    capsys.readouterr()
    exec(code, space)
    assert capsys.readouterr().out, "a solution shows its result"
    assert CHECKS[label](space)
