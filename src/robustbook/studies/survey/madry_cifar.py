"""Reproduce Tables 2 and 5 and Figure 6 of Madry et al. 2018 (arXiv 1706.06083): CIFAR-10 with eps
8/255.

A simple and a wide residual network are each trained on clean images, on adversarial images of
FGSM, and on those of PGD. In Table 5, all of them are attacked by FGSM, FGSM from a random start,
and PGD. In Table 2, only the wide network trained with PGD is attacked. The attack uses the
gradients of this network, those of an independently trained copy, or those of the wide network
trained on clean images. Figure 6 shows the mean training loss at the end of training.

The only profile is ``paper``, with 80,000 training steps for each network, which need a GPU. By
default only the simple network is run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.defenses import Weights, inner_fgsm, inner_pgd
from robustbook.ledger import Record, Row
from robustbook.measures import Attack
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import AS_TUPLE, STRICT
from robustbook.studies.rows import share_row
from robustbook.training import Augmentation, Recipe

from . import networks
from .attack import attacked
from .networks import PLAIN, Defense, Model, train
from .settings import PAPER

ITEM = "madry-cifar"
EPS = 8 / 255
Networks = Literal["simple", "wide"]
NAMES: Mapping[Networks, networks.Networks] = {"simple": "madry-simple", "wide": "madry-wide"}
ADVERSARIAL = Weights(adversarial=1.0)
TRAININGS: Mapping[str, Defense] = {
    "natural": PLAIN,
    "fgsm": Defense(ADVERSARIAL, replace(inner_fgsm(EPS, clip=True), statistics="batch")),
    "pgd": Defense(ADVERSARIAL, inner_pgd(EPS, 7, 2 / 255, statistics="batch")),
}
"""The training objectives. The paper trains with 7 steps of PGD; the configuration in its released
code has 10 steps. As in this code, batch norm uses batch statistics during the attack. There, the
attack also changes the running statistics; here it does not.
"""
ATTACKS: Mapping[str, Attack] = {
    "clean": Attack("none", EPS),
    "fgsm": Attack("fgsm", EPS, clip=True),
    "fgsm-random": Attack("pgd", EPS, clip=True, steps=1, step_size=EPS),
    "pgd-7": Attack("pgd", EPS, clip=True, steps=7, step_size=2 / 255),
    "pgd-20": Attack("pgd", EPS, clip=True, steps=20, step_size=2 / 255),
    "cw-30": Attack("pgd", EPS, clip=True, loss="margin", steps=30, step_size=2 / 255),
}
"""The attacks of both tables. The paper does not state the step size of CW."""
TABLE_5 = ("clean", "fgsm", "fgsm-random", "pgd-7", "pgd-20")
TABLE_2 = {
    "white": ("clean", "fgsm", "pgd-7", "pgd-20", "cw-30"),
    "copy": ("fgsm", "pgd-7", "cw-30"),
    "natural": ("fgsm", "pgd-7"),
}
"""The attacks of Table 2, by the network whose gradients they use: the attacked network itself
(``white``) or another one.
"""
COPY_SEED = 1000
"""The independent copy is trained with the seed of the attacked network plus this number."""


RECIPE = Recipe(
    80_000,
    128,
    0.1,
    "sgd",
    schedule=((40_000, 0.1), (60_000, 0.01)),
    weight_decay=2e-4,
    decay="weights",
    channels_last=True,
    augmentation=Augmentation(mirror=True, padding=2),
)
"""The training recipe. As in the released code, images are padded by 2 pixels on each side before
they are cropped.
"""
IMAGES = 10_000


@checked(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set: among them the networks, by default only the simple
    one.
    """

    own_seeds: ClassVar = {"paper": (0,)}
    profile: Annotated[
        Literal["published", "paper"],
        Field(description="published (show the record) or paper (a GPU)"),
    ] = "published"
    selects: ClassVar = ("networks",)
    networks: Annotated[
        tuple[Networks, ...] | None,
        Field(min_length=1, description="a list of simple, wide, or None for simple"),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the names of the chosen networks."""
        return {"networks": self.networks or ("simple",)}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, training,
    source, attack, seed). The source is the network whose gradients the attack uses. With
    ``trained`` in place of the attack, the job trains the network.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network in p.parts()["networks"]:
        model = Model("cifar10", NAMES[network])
        for seed in p.seeds:
            nets = {name: train(model, d, RECIPE, seed) for name, d in TRAININGS.items()}
            nets["copy"] = train(model, TRAININGS["pgd"], RECIPE, seed + COPY_SEED)
            for training in TRAININGS:
                for name in TABLE_5:
                    key = (network, training, "white", name, seed)
                    found[key] = attacked(nets[training], ATTACKS[name], IMAGES, seed)
                found[network, training, "white", "trained", seed] = nets[training]
            for source, names in TABLE_2.items():
                other = None if source == "white" else nets[source]
                for name in names:
                    key = (network, "pgd", source, name, seed)
                    found[key] = attacked(nets["pgd"], ATTACKS[name], IMAGES, seed, other)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracies of both tables, and the training losses of Figure
    6.
    """
    rows: list[Row] = []
    for (network, training, source, name, seed), done in results.items():
        labels: dict[str, str | float | int | bool] = {"network": network, "training": training}
        if name == "trained":
            (term,) = [v for k, v in done.tensors.items() if k.startswith("history/")]
            target = f"{PAPER}/madry-figure-6/{network}-{training}/train-loss"
            rows.append(Row(term[-1].item(), "none", target, "loss", seed, setting=labels))
            continue
        right = done.tensors["right"]
        labels |= {"source": source, "attack": name}
        answered: list[str | None] = [*_targets(network, training, source, name)]
        for i, of in enumerate(answered or [None]):
            word = "" if i else "accuracy"  # the paper prints this accuracy in two tables
            rows.append(share_row(right, of, word, seed, setting=labels))
    return p.record(PAPER, ITEM, rows)


def _targets(network: str, training: str, source: str, name: str) -> Iterator[str]:
    """Yield the ids of the paper's numbers with which one of our accuracies is compared."""
    if source == "white" and name in TABLE_5:
        yield f"{PAPER}/madry-table-5/{network}-{training}-trained/{name}-accuracy"
        if training == "fgsm" and name == "pgd-20" and network == "simple":
            yield f"{PAPER}/madry-table-5/claim/fgsm-training-gives-no-pgd-robustness"
    if network == "wide" and training == "pgd":
        if source == "white" and name in TABLE_2["white"]:
            word = "natural/" if name == "clean" else f"white-box/{name}-"
            yield f"{PAPER}/madry-table-2/{word}accuracy"
        elif source != "white":
            yield f"{PAPER}/madry-table-2/black-box/{source}-{name}-accuracy"
