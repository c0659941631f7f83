"""Compare the settings that Nayebi & Ganguli 2017 state with the settings of our training.

The paper's introduction also states a range of error rates of saturated networks under FGSM. This
range is compared with the error rates of our saturated networks of Table 1.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from robustbook.defenses import sigmoid_penalty
from robustbook.ledger import Row
from robustbook.runs import Call, Done

from . import table_1
from .networks import Anneal, Training
from .settings import NETWORKS, TEST, cnns, mlps, readings


def rows(profile: str) -> Iterator[Row]:
    """Yield the settings of Sections 2 and 4: eps, alpha, the increase of lambda per step, and the
    maximum of the sigmoid penalty.
    """
    networks = {**mlps(profile), **cnns(profile)}
    eps = {t.eps for t in networks.values()} | {
        attack.eps for attack in readings(table_1.Parameters().eps).values()
    }
    alpha = {t.alpha for t in networks.values()}
    anneals = {network: _anneal(networks[network, "saturated"]) for network in NETWORKS}
    first = {anneal(0) for anneal in anneals.values()}
    highest = sigmoid_penalty(torch.linspace(-10, 10, 2001, dtype=torch.float64)).max().item()
    found = {"epsilon": eps, "alpha": alpha, "lambda-min": first, "penalty-max-sigmoid": {highest}}
    for network, anneal in anneals.items():
        short = network.removesuffix("-mlp")
        found[f"lambda-max-{short}"] = {anneal(anneal.steps - 1)}
        found[f"lambda-step-{short}"] = {anneal.rise}
    for name, values in found.items():
        (value,) = values  # eps is the same for all networks
        yield Row(value, "none", f"saturating/text-4/settings/{name}")


def _anneal(training: Training) -> Anneal:
    assert training.anneal is not None
    return training.anneal


def calls(profile: str, seeds: tuple[int, ...]) -> dict[tuple[Any, ...], Call]:
    """Return the computations that evaluate Table 1's saturated networks, as a dict with one entry
    per key ("error", network, seed).
    """
    wanted = table_1.calls(table_1.Parameters(profile=profile, seeds=seeds))  # type: ignore[arg-type]
    return {
        ("error", network, seed): call
        for (network, method, seed, what), call in wanted.items()
        if (method, what) == ("saturated", "main")
    }


def errors(
    results: Mapping[tuple[Any, ...], Done], profile: str, seeds: tuple[int, ...]
) -> Iterator[Row]:
    """Yield the smallest and the largest error rate of the three saturated networks under FGSM, for
    the comparison with Section 1.
    """
    for seed in seeds:
        found = [
            100 - results["error", network, seed].values["accuracy"][1] for network in NETWORKS
        ]
        for end, value in (("low", min(found)), ("high", max(found))):
            target = f"saturating/text-1/error-range/{end}"
            yield Row(value, "percent", target, seed=seed, images=TEST[profile])
