"""Vary the training settings for Table 1 of Nayebi & Ganguli 2017, because the paper does not state
all settings.

One setting is changed at a time:

- of saturated sigmoid MLPs, the number of optimiser steps between two increases of the penalty's
  weight lambda; with 10 such steps, also the initialisation, the learning rate, the width, the
  final lambda, and the layers that the penalty includes;
- of saturated ReLU MLPs and CNNs, the penalty's weight lambda, by a factor;
- of saturated CNNs and vanilla MLPs, the number of epochs: longer training may also make the
  gradients of vanilla networks vanish, and so raise their accuracy under FGSM. The paper reports 0
  and 0.41 %.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row
from robustbook.measures import Attack
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import Anneal, Training, evaluate, inspect, train
from .settings import CONTROLS, MAIN, cnns, mlps, readings, saturated_relu, saturated_sigmoid
from .sizes import EPOCH, LONGEST

PAPER, ITEM = "saturating", "table-1-search"
SHOWN = (MAIN, "float64", "flushed", "probabilities", "signs", "pgd softened")
"""The attacks that this study runs on each network; the study of Table 1 runs these and more.
"""


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set in this study."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2)}


def cnn(profile: str, *, scale: float = 1.0, times: int = 1) -> Training:
    """Return the training settings of the saturated CNN, with the penalty's weight lambda
    multiplied by ``scale`` and the number of epochs multiplied by ``times``.
    """
    base = cnns(profile)["cnn", "saturated"]
    assert base.anneal is not None
    given = base.anneal
    anneal = Anneal(given.plain * times, given.rise * scale, given.rises, given.every * times)
    return replace(base, anneal=anneal, recipe=replace(base.recipe, steps=anneal.steps))


def variants(profile: str) -> dict[tuple[str, str], Training]:
    """Return all training settings that the study tries, as a dict with one entry per pair (changed
    setting, its new value).
    """
    paper = profile == "paper"
    short = 10 if paper else 1
    base = saturated_sigmoid(profile, short)
    found: dict[tuple[str, str], Training] = {}
    for every in (short, 40, 200) if paper else (short, 2):
        found["optimiser steps per step of lambda", str(every)] = saturated_sigmoid(profile, every)
    found["start", "Xavier"] = replace(base, start="xavier")
    found["learning rate", "0.001"] = saturated_sigmoid(profile, short, lr=1e-3)
    found["width", "500"] = replace(base, width=500)
    found["final lambda", "8.7"] = saturated_sigmoid(profile, short, times=5)
    found["penalty", "hidden layers only"] = replace(base, layers="hidden")
    for scale in (1e3, 1e5, 1e6):
        found["ReLU, lambda times", f"{scale:g}"] = saturated_relu(profile, scale)
    for scale in (1e1, 1e2, 1e3) if paper else (1e2,):
        found["CNN, lambda times", f"{scale:g}"] = cnn(profile, scale=scale)
    found["CNN, length times", "3"] = cnn(profile, times=3)
    for name, longest in LONGEST.items():
        vanilla = mlps(profile)[name, "vanilla"]
        for epochs in (1, 5, 20, longest) if paper else (1, 5):
            recipe = replace(vanilla.recipe, steps=epochs * EPOCH[profile])
            label = f"{name.removesuffix('-mlp')}, vanilla, epochs"
            found[label, str(epochs)] = replace(vanilla, recipe=recipe)
    return found


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (changed
    setting, its new value, seed, what is computed).
    """
    few = min(1000, CONTROLS[p.profile])
    attacks = (Attack("none"), *(readings(0.25)[name] for name in SHOWN))
    found: dict[tuple[Any, ...], Call] = {}
    for (varied, how), training in variants(p.profile).items():
        for seed in p.seeds:
            net = train(training, seed)
            found[varied, how, seed, "readings"] = evaluate(net, attacks, few)
            found[varied, how, seed, "inspect"] = inspect(net, few)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the accuracy for each training, attack and seed; none is compared with a number of the
    paper.
    """
    rows = []
    for (varied, how, seed, what), done in results.items():
        setting: dict[str, str | float | int | bool] = {"varied": varied, "how": how}
        if what == "inspect":
            certain = done.values["certain"]
            rows.append(Row(certain, "percent", None, "certain", seed, setting=setting))
            continue
        for i, reading in enumerate(("clean", *SHOWN)):
            labels = {**setting, "reading": reading}
            accuracy, unmoved = done.values["accuracy"][i], done.values["unmoved"][i]
            rows.append(Row(accuracy, "percent", None, "accuracy", seed, setting=labels))
            if reading != "clean":
                rows.append(Row(unmoved, "percent", None, "unmoved", seed, setting=labels))
    return p.record(PAPER, ITEM, rows)
