"""Reproduce Table 1 of Nayebi & Ganguli 2017: the accuracy of nine networks, on clean images and
under FGSM.

The table combines three architectures (sigmoid MLP, ReLU MLP, CNN) with three ways of training
(vanilla, adversarial, saturated). The comparison with the paper uses all test images, and FGSM with
eps 0.25, without clipping, in float32, and with the cross entropy computed from the logits. We
fixed this variant before the runs of the page, but after pilot runs. The study also runs attacks
that the paper does not use, to explain the accuracies.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.measures import Attack
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import Method, evaluate, inspect, train
from .settings import CONTROLS, MAIN, METHODS, NETWORKS, TEST, cnns, mlps, readings

PAPER, ITEM = "saturating", "table-1"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader of the book can set for Table 1."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    eps: Annotated[
        float,
        Field(gt=0, le=1, description="a size of attack in pixels of [0, 1], above 0, at most 1"),
    ] = 0.25  # for attacks; adversarial training always uses eps 0.25
    controls: Annotated[
        int, Field(ge=1, le=10_000, description="a number of test images, 1 to 10000")
    ] = 1000  # for the attacks that only explain; with profile quick 40


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network,
    training method, seed, what is computed).
    """
    found: dict[tuple[Any, ...], Call] = {}
    main = (Attack("none"), readings(p.eps)[MAIN])
    fgsm = Attack("fgsm", p.eps, clip=True)
    size = TEST[p.profile]
    few = min(p.controls, CONTROLS[p.profile])
    trainings = {**cnns(p.profile), **mlps(p.profile)}
    for (network, method), training in trainings.items():
        for seed in p.seeds:
            net = train(training, seed)
            vanilla = train(trainings[network, "vanilla"], seed)
            key = (network, method, seed)
            found[*key, "main"] = evaluate(net, main, size)
            found[*key, "readings"] = evaluate(net, tuple(readings(p.eps).values()), few)
            found[*key, "inspect"] = inspect(net, few)
            if method != "vanilla":
                found[*key, "transfer"] = evaluate(net, (fgsm,), few, source=vanilla)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, and the accuracies under the
    other attacks.
    """
    size = TEST[p.profile]
    rows: list[Row] = []
    for seed in p.seeds:
        main = {
            (network, method): results[network, method, seed, "main"].values["accuracy"]
            for network in NETWORKS
            for method in METHODS
        }
        for (network, method), (clean, fgsm) in main.items():
            short = network.removesuffix("-mlp")
            target = f"{PAPER}/{ITEM}/{short}-{method}"
            rows.append(Row(clean, "percent", f"{target}/accuracy", seed=seed, images=size))
            rows.append(Row(fgsm, "percent", f"{target}/fgsm-accuracy", seed=seed, images=size))
            if method == "saturated":
                order = f"{PAPER}/{ITEM}/order/{short}-saturated-over-adversarial"
                rows.append(Row(fgsm, "percent", order, seed=seed))
                error = f"{target}/fgsm-error"
                rows.append(Row(100 - fgsm, "percent", error, seed=seed, images=size))
                loss = main[network, "vanilla"][0] - clean
                rows.append(Row(loss, "percent", f"{target}/clean-loss", seed=seed))
            rows += _controls(p, results, network, method, seed)
    return p.record(PAPER, ITEM, rows)


def _controls(
    p: Parameters,
    results: Mapping[tuple[Any, ...], Done],
    network: str,
    method: Method,
    seed: int,
) -> Iterator[Row]:
    labels: dict[str, str | float | int | bool] = {"network": network, "method": method}
    values = results[network, method, seed, "readings"].values
    for i, reading in enumerate(readings(p.eps)):
        setting = {**labels, "reading": reading}
        yield Row(values["accuracy"][i], "percent", None, "accuracy", seed, setting=setting)
        yield Row(values["unmoved"][i], "percent", None, "unmoved", seed, setting=setting)
    if method != "vanilla":
        (accuracy,) = results[network, method, seed, "transfer"].values["accuracy"]
        setting = {**labels, "reading": "transfer"}
        yield Row(accuracy, "percent", None, "accuracy", seed, setting=setting)
    for name, value in results[network, method, seed, "inspect"].values.items():
        unit = "percent" if name == "certain" else "none"
        yield Row(value, unit, None, name, seed, setting=labels)
