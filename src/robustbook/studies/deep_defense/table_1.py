"""Reproduce Table 1 of Deep Defense: the clean accuracy, the robustness rho_2, and the accuracy
under FGS of every network and method.

For each seed, eps_ref is the eps of FGS at which the Deep Defense network has an accuracy of 50 %.
So its accuracy at eps_ref is 50 % by definition; a more robust Deep Defense network has a larger
eps_ref, at which all other methods have lower accuracies.

The study adds three methods to the paper's table. The first is adversarial training II, which
trains on new FGS images in every batch. The second combines it with Deep Defense. As we remember,
the paper reports these two only in a supplement. The third is fine-tuning on clean images, which
shows the effect of fine-tuning without a defense.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done

from .readings import SHARES, read, scale, under_fgs
from .settings import NAMES, PAPER, Parameters

ITEM = "table-1"
METHODS = ("reference", "par-networks", "adv-training-i", "deep-defense")
"""The methods in the rows of Table 1, in the paper's order as we remember it."""


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network,
    method, seed, purpose).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, setting, seed in p.runs():
        networks = setting.networks(seed)
        eps = scale(networks["deep-defense"], setting.test)
        found[network, "deep-defense", seed, "scale"] = eps
        for method, net in networks.items():
            found[network, method, seed, "read"] = read(net, setting.test)
            found[network, method, seed, "fgs"] = under_fgs(net, eps, setting.test)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, and the other measurements."""
    rows: list[Row] = []
    for network, setting, seed in p.runs():
        of = {key[1:]: done for key, done in results.items() if key[0] == network}
        for method in setting.networks(seed):
            rows += _network(network, method, seed, of, setting.test)
        rows += _compared(network, seed, of)
    return p.record(PAPER, ITEM, rows)


def _network(
    network: str, method: str, seed: int, of: Mapping[tuple[Any, ...], Done], images: int
) -> Iterator[Row]:
    """Yield the measurements of one network and method, which make one row of Table 1, and the
    accuracies under other variants of FGS.
    """
    name = NAMES[network]  # type: ignore[index]
    labels: dict[str, str | float | int | bool] = {"network": network, "method": method}
    seen, fgs = of[method, seed, "read"].values, of[method, seed, "fgs"].values
    target = f"{PAPER}/{ITEM}/{name}/{method}" if method in METHODS else None

    def cell(what: str) -> str | None:
        return target and f"{target}/{what}"

    yield Row(
        seen["accuracy"], "percent", cell("accuracy"), "accuracy", seed, images, setting=labels
    )
    if method in ("adv-training-ii", "combination"):
        # We could not read what the supplement says, so no pattern is tested.
        other = f"{PAPER}/supplement/{name}/{method}/rho2"
        yield Row(seen["rho"], "ratio", other, "rho2", seed, setting=labels)
    else:
        yield Row(seen["rho"], "ratio", cell("rho2"), "rho2", seed, setting=labels)
    for reading, values in fgs.items():
        for share, value in zip(SHARES, values, strict=True):
            setting = {**labels, "reading": reading, "share": share}
            judged = cell(f"fgs-{share}") if reading == "plain" else None
            yield Row(value, "percent", judged, "fgs", seed, images, setting=setting)
    for what in ("iterations", "unfooled"):
        unit = "percent" if what == "unfooled" else "count"
        yield Row(seen[what], unit, None, what, seed, setting=labels)


def _compared(network: str, seed: int, of: Mapping[tuple[Any, ...], Done]) -> Iterator[Row]:
    """Yield eps_ref, and our improvements over the reference network. No pattern is tested, because
    we could not read the improvements that the paper's text states.
    """
    name = NAMES[network]  # type: ignore[index]
    rho = {m: of[m, seed, "read"].values["rho"] for m in METHODS}
    last = {m: of[m, seed, "fgs"].values["plain"][-1] for m in METHODS}
    gain = rho["deep-defense"] / rho["reference"]
    yield Row(gain, "ratio", f"{PAPER}/text-results/{name}/rho2-gain", seed=seed)
    for method, suffix in (("deep-defense", ""), ("adv-training-i", "-adv-training-i")):
        less = last[method] - last["reference"]
        target = f"{PAPER}/text-results/{name}/fgs-error-decrease{suffix}"
        yield Row(less, "percent", target, seed=seed)
    labels: dict[str, str | float | int | bool] = {"network": network}
    for reading, eps in of["deep-defense", seed, "scale"].values.items():
        target = f"{PAPER}/{ITEM}/{name}/eps-ref" if reading == "eps" else ""
        setting = {**labels, "reading": reading}
        yield Row(eps, "linf", target or None, "eps_ref", seed, setting=setting)
