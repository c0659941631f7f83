"""Checks of the solutions on the survey's pages; test_solutions.py runs them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest import approx
from scipy.stats import beta, norm

SURVEY: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "ex-survey-levels": lambda s: (
        s["values"][8][0] > 0 > s["values"][8][1]
        and s["values"][64][0] == approx(float(s["w"] @ s["x"] - s["b"]), abs=0.03)
    ),
    "ex-survey-oblivious": lambda s: (
        s["found"]["clean"] >= s["found"]["fgsm"] and s["found"]["pgd aware"] <= s["found"]["fgsm"]
    ),
    "ex-survey-madry-linear": lambda s: (
        (s["loss"](s["fgsm"]) - s["loss"](s["many"])).abs().max().item() < 1e-4
    ),
    "ex-survey-madry-cost": lambda s: (
        s["units"][40] == 205_000_000 and s["units"][7] == 8 * s["units"][0]
    ),
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
    "ex-survey-goodfellow-l1": lambda s: s["formula"] == approx(s["measured"], rel=1e-4),
    "ex-survey-goodfellow-noise": lambda s: (
        s["share"][784] < 0.05 < s["share"][10] and s["share"][784] == approx(784**-0.5, rel=0.15)
    ),
    "ex-survey-fast-corner": lambda s: all(
        share == approx(ratio / 2, abs=0.02) for ratio, share in s["corner"].items()
    ),
    "ex-survey-fast-noise": lambda s: (
        s["change"][1.0].max() <= 0.1 + 1e-6
        and 0.1 < s["change"][2.0].mean() < s["change"][2.0].max() <= 0.3 + 1e-6
        and s["change"][1.0].mean() < 0.1
    ),
    "ex-survey-scale": lambda s: (
        s["largest"][4096, 1.0] > 0.9
        and all(s["largest"][c, (c / 2) ** -0.5] < 0.7 for c in (16, 256, 4096))
        and s["largest"][16, 1.0] < s["largest"][4096, 1.0]
    ),
    "ex-survey-border": lambda s: (
        s["padded"][0, 0].item() == approx(4 / 9)
        and s["padded"][0, 1].item() == approx(6 / 9)
        and bool((s["inside"] == 1).all())
    ),
    "ex-survey-gain": lambda s: (
        s["ratios"][0] == approx(0.1, rel=0.4) and s["ratios"][1] > 1.3 * s["ratios"][0]
    ),
    "ex-survey-offset": lambda s: (
        s["shifted"][0] > 1.5 * s["shifted"][1] > 7 * s["shifted"][10] > 0
    ),
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
        and s["factors"][0] == approx(7.5, abs=0.1)
        and 700 < s["factors"][1] < 750
    ),
    "ex-survey-abstain": lambda s: all(
        beta.ppf(0.001, k, n - k + 1) > 0.5 >= beta.ppf(0.001, k - 1, n - k + 2)
        and abs(k / n - 0.5 - 3.09 / (2 * math.sqrt(n))) < 2 / n
        for n, k in s["fewest"].items()
    ),
}
