"""Reproduce Figure 2 of Deep Defense, as we remember it: how the accuracy and the robustness rho_2
change from epoch to epoch of fine-tuning, for each method.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done

from .readings import read
from .settings import NAMES, PAPER, Parameters

ITEM = "figure-2"
METHODS = ("par-networks", "adv-training-i", "deep-defense")


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network,
    method, seed, epoch). Epoch 0 means the reference network.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, setting, seed in p.runs():
        networks = setting.networks(seed)
        found[network, "reference", seed, 0] = read(networks["reference"], setting.looked)
        for method in METHODS:
            for epoch in setting.kept:
                found[network, method, seed, epoch] = read(networks[method], setting.looked, epoch)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the points of the curves, and the values after the last epoch."""
    rows: list[Row] = []
    for (network, method, seed, epoch), done in results.items():
        labels = {"network": network, "method": method, "epoch": epoch}
        rows.append(Row(done.values["accuracy"], "percent", None, "accuracy", seed, setting=labels))
        rows.append(Row(done.values["rho"], "ratio", None, "rho2", seed, setting=labels))
    for network, setting, seed in p.runs():
        of = {key[1::2]: d.values for key, d in results.items() if key[::2] == (network, seed)}
        rows += _last(network, seed, of, setting.kept)
    return p.record(PAPER, ITEM, rows)


def _last(
    network: str, seed: int, of: Mapping[tuple[str, int], Mapping[str, Any]], kept: tuple[int, ...]
) -> Iterator[Row]:
    """Yield rho_2 and the accuracy of Deep Defense after the last epoch. No pattern is tested,
    because we could not read the curves in the paper's figure.
    """
    name = NAMES[network]  # type: ignore[index]
    target = f"{PAPER}/figure-convergence-{name.partition('-')[0]}/{name}"
    end = of["deep-defense", kept[-1]]
    yield Row(end["rho"], "ratio", f"{target}/rho2", seed=seed)
    yield Row(end["accuracy"], "percent", f"{target}/accuracy", seed=seed)
