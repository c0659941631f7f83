"""Compare our networks with the numbers that the DeepFool paper prints for the same architectures.

On MNIST, the released code of Deep Defense uses the architectures of the DeepFool paper
(Moosavi-Dezfooli, Fawzi and Frossard 2016). It measures rho_2 in the same way, but stops DeepFool
after five steps. Therefore the numbers of the DeepFool paper are a check of our reference networks
and of our implementation of DeepFool. Table 1 of the DeepFool paper reports the test error and
rho_2 of several networks. Table 3 reports how fine-tuning on perturbed images changes the test
error, and the text reports how it changes rho_2.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done

from .methods import Method
from .readings import read
from .settings import PAPER, Parameters

ITEM = "anchors"
NAMES = {
    "mlp": "fc500-150-10-mnist",
    "lenet": "lenet-mnist",
    "convnet": "lenet-cifar10",
    "nin": "nin-cifar10",
}
"""For each of our networks, its name in the ids of the DeepFool paper's numbers. That paper's
networks for CIFAR-10 use the 3 x 3 pooling of MatConvNet.
"""

SETS = {"adv-training-i": "deepfool-set", "fgs-set": "fgs-set", "clean": "clean-set"}
"""For each method of fine-tuning, the name of its training images in Table 3 of the DeepFool paper.
"""

GAINS = {
    network: f"{PAPER}/anchor-deepfool-text/{NAMES[network]}/rho2-gain"
    for network in ("mlp", "lenet", "nin")
}
"""For each of our networks for which the DeepFool paper's text states the increase in rho_2, the id
of this number. The paper states one number for both networks on MNIST.
"""


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (network,
    method, seed).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, setting, seed in p.runs():
        networks = setting.networks(seed)
        networks["fgs-set"] = setting.tuned(Method("fgs-set"), seed)
        for method in ("reference", *SETS):
            found[network, method, seed] = read(networks[method], setting.test)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the test error and rho_2 of each network. Return also how much fine-tuning increases
    rho_2, for comparison with the increase that the DeepFool paper states.
    """
    rows: list[Row] = []
    for (network, method, seed), done in results.items():
        rows += _network(network, method, seed, done.values)
    for seed in p.seeds:
        for network in p.chosen():
            target = GAINS.get(network)
            if target and (network, "reference", seed) in results:
                rows.append(Row(_gain(results, network, seed), "percent", target, seed=seed))
    return p.record(PAPER, ITEM, rows)


def _network(network: str, method: str, seed: int, values: Mapping[str, Any]) -> Iterator[Row]:
    labels: dict[str, Any] = {"network": network, "method": method}
    error = 100 - values["accuracy"]
    if method == "reference":
        target = f"{PAPER}/anchor-deepfool-table-1/{NAMES[network]}"
        yield Row(error, "percent", f"{target}/test-error", "error", seed, setting=labels)
        yield Row(values["rho"], "ratio", f"{target}/rho2", "rho2", seed, setting=labels)
    else:
        target = f"{PAPER}/anchor-deepfool-table-3/{NAMES[network]}/{SETS[method]}"
        yield Row(error, "percent", target, "error", seed, setting=labels)
        yield Row(values["rho"], "ratio", None, "rho2", seed, setting=labels)


def _gain(results: Mapping[tuple[Any, ...], Done], network: str, seed: int) -> float:
    """Return by how many percent fine-tuning on adversarial images of DeepFool increases the
    robustness rho_2.
    """
    tuned, start = (
        results[network, method, seed].values["rho"] for method in ("adv-training-i", "reference")
    )
    return float(100 * (tuned / start - 1))
