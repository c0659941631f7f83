"""Table 1 of Nayebi & Ganguli 2017: clean and FGSM accuracy of nine networks; what it hangs on.

Three shapes (sigmoid MLP, ReLU MLP, CNN) times three trainings (vanilla, adversarial, saturated).
The verdicts are on one reading, chosen before looking: FGSM at eps 0.25 without clipping, in
float32, on the cross entropy from logits, on all test images. Every other reading is measured
beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.measures import Attack
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT
from robustbook.training import Recipe

from .networks import Anneal, Method, Training, evaluate, inspect, train

PAPER, ITEM = "saturating", "table-1"
NETWORKS = ("sigmoid-mlp", "relu-mlp", "cnn")
METHODS: tuple[Method, ...] = ("vanilla", "adversarial", "saturated")
MAIN = "float32"  # the reading that the verdicts are on
Networks = dict[tuple[str, Method], Training]
EVIDENCE = {
    "one_step": MAIN,
    "one_step_clipped": f"{MAIN}, clipped",
    "random_signs": "signs",
    "many_steps": "pgd",
    "repaired": "pgd softened",
    "float64": "float64",
    "rescaled": "rescaled",
    "transfer": "transfer",
}
"""Which reading answers for which accuracy of `measures.diagnose`."""


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The choices a reader can make."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    eps: Annotated[
        float,
        Field(gt=0, le=1, description="a size of attack in pixels of [0, 1], above 0, at most 1"),
    ] = 0.25  # of attacks; adversarial training keeps 0.25
    controls: Annotated[
        int, Field(ge=1, le=10_000, description="a number of test images, 1 to 10000")
    ] = 1000  # behind every control; quick has 100


# quick: 28 x 28 digits, training cut to seconds. paper: MNIST, one step of lambda per epoch.
EPOCH = {"quick": 21, "paper": 937}  # optimiser steps on batches of 64
TEST = {"quick": 400, "paper": 10_000}  # test images
CONTROLS = {"quick": 100, "paper": 10_000}


def mlps(profile: str) -> Networks:
    """The six fully connected networks."""
    epoch, paper = EPOCH[profile], profile == "paper"
    data, width = ("mnist", 200) if paper else ("digits", 200)
    plain = 5 * epoch if paper else 300
    usual = Recipe(steps=10 * epoch if paper else 600, batch_size=64, lr=1e-3)
    # Sec. 4: lambda rises to 1.74 by 0.001 (sigmoid), to 3.99e-8 by 1e-10 (ReLU).
    sigmoid = Anneal(plain, 0.001, 1740, epoch if paper else 2)
    relu = Anneal(plain, 1e-10, 399, epoch if paper else 2)
    networks: Networks = {}
    for name in ("sigmoid-mlp", "relu-mlp"):
        vanilla = Training(data, name, width, "xavier", "vanilla", usual)
        networks[name, "vanilla"] = vanilla
        networks[name, "adversarial"] = replace(vanilla, method="adversarial")
    networks["sigmoid-mlp", "saturated"] = Training(
        data, "sigmoid-mlp", width, "normal", "saturated", Recipe(sigmoid.steps, 64, 3e-3), sigmoid
    )
    networks["relu-mlp", "saturated"] = Training(
        data, "relu-mlp", width, "xavier", "saturated", Recipe(relu.steps, 64, 1e-3), relu
    )
    return networks


def cnns(profile: str) -> Networks:
    """The three convolutional networks; lambda makes its single step, to 1e-5, after two epochs."""
    epoch, data = (600, "mnist") if profile == "paper" else (20, "digits")
    anneal = Anneal(plain=2 * epoch, rise=1e-5, rises=1, every=3 * epoch)

    def of(method: Method, steps: int, schedule: Anneal | None = None) -> Training:
        batch = 100 if profile == "paper" else 50
        recipe = Recipe(steps=steps, batch_size=batch, lr=1e-3, schedule="linear")
        return Training(data, "cnn", 0, "truncated", method, recipe, schedule)

    return {
        ("cnn", "vanilla"): of("vanilla", 4 * epoch),
        ("cnn", "adversarial"): of("adversarial", 3 * epoch),
        ("cnn", "saturated"): of("saturated", anneal.steps, anneal),
    }


def readings(eps: float) -> dict[str, Attack]:
    """Every way of attacking that the page shows, by name; PGD and transfer are clipped."""
    fgsm = Attack("fgsm", eps)
    pgd = Attack("pgd", eps, clip=True, steps=20, step_size=eps / 4)
    plain = {
        MAIN: fgsm,
        "flushed": replace(fgsm, flush=True),
        "float64": replace(fgsm, precision="float64"),
        "rescaled": replace(fgsm, rescale=True),
        "probabilities": replace(fgsm, loss="clipped_probabilities"),
        "squared": replace(fgsm, loss="squared_error"),
        "margin": replace(fgsm, loss="margin"),
        "signs": Attack("random-signs", eps),
    }
    clipped = {f"{name}, clipped": replace(attack, clip=True) for name, attack in plain.items()}
    return {
        **plain,
        **clipped,
        "pgd": pgd,
        "pgd margin": replace(pgd, loss="margin"),
        "pgd softened": replace(pgd, loss="margin", slope=10.0),
    }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """What is to be run, by (network, method, seed, what)."""
    assert p.seeds is not None
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
    """The rows that the ledger judges, and one row per control."""
    assert p.seeds is not None
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
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))


def evidence(record: Record, network: str, method: Method = "saturated") -> dict[str, float]:
    """What `measures.diagnose` is asked about one network of a record: means over seeds."""

    def mean(name: str, reading: str) -> float:
        setting = {"network": network, "method": method, "reading": reading}
        return fmean(r.value for r in record.rows if r.name == name and r.setting == setting)

    found = {name: mean("accuracy", reading) for name, reading in EVIDENCE.items()}
    return found | {"zero_gradients": mean("unmoved", MAIN)}


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
