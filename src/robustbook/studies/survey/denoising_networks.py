"""Define the networks of feature denoising and their settings, which two studies of the survey
share.

A profile selects the size of the experiments:

``paper``: networks of full width with blocks after all four stages, trained with 10 steps of PGD;
    this profile needs a GPU.
``reduced``: networks of an eighth of the width with blocks after stages 2 to 4, trained on 10,000
    images for two epochs, with one attack step from a random start. Stage 1 has no block, because
    the Gaussian filter on its 32 x 32 positions would take many times as long as the whole narrow
    network.
``quick``: networks of an eighth of the width with two kinds of blocks after stages 3 and 4. The
    images are small and come with the book, the l-infinity radius of the attacks is 2/255 instead
    of 8/255, and training has so few steps that the networks hardly learn anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from robustbook.measures import Attack, feature_noise, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.training import Augmentation, Recipe

from .attack import evaluated
from .networks import PLAIN, Blocks, Defense, Model, pgd_training, train
from .sizes import DENOISING

EPS = 8 / 255
VARIANTS: Mapping[str, Blocks | None] = {
    "baseline": None,
    "null": Blocks("null"),
    "mean": Blocks("mean"),
    "median": Blocks("median"),
    "bilateral": Blocks("bilateral"),
    "nonlocal-dot": Blocks("dot"),
    "nonlocal-gaussian": Blocks("gaussian"),
}
"""The denoising blocks of the seven networks, by the name of the network in the ids of the paper's
numbers.
"""
BLOCKED = tuple(VARIANTS)[1:]
FILTERS = tuple(VARIANTS)[2:]
ABLATIONS: Mapping[str, Blocks] = {
    "no-1x1": Blocks("gaussian", convolution=False),
    "no-residual": Blocks("gaussian", residual=False),
}
STANDARD = ("baseline", "nonlocal-gaussian")
"""The networks that are also trained on clean images only."""


@dataclass(frozen=True)
class Setting:
    """The settings of the study for one profile.

    ``model``: the network without blocks.
    ``after``: the stages of the network that are followed by a block.
    ``variants``: the names of the trained networks, which differ in their denoising blocks.
    ``ablations``: the names of the trained networks whose blocks lack one part.
    ``eps``: the l-infinity radius of all attacks on the trained networks.
    ``images``: the number of test images.
    ``few``: the number of test images for the attacks in ``strong`` and for AutoAttack.
    ``strong``: the attacks that are stronger than PGD with 20 steps. An image counts as robust if
        it is classified correctly under these and under PGD.
    ``auto``: AutoAttack, with the number of steps of APGD and FAB, and the number of queries of
        Square. It is run on the networks that are trained on clean images, on which it should
        succeed.
    """

    model: Model
    defense: Defense
    recipe: Recipe
    after: tuple[str, ...]
    images: int
    few: int
    strong: tuple[Attack, ...]
    auto: Attack
    variants: tuple[str, ...] = tuple(VARIANTS)
    ablations: tuple[str, ...] = tuple(ABLATIONS)
    eps: float = EPS

    @property
    def attacks(self) -> dict[str, tuple[Attack, int]]:
        """Return the attacks by name, each with the number of images that it attacks."""
        strong = {f"strong {i}": attack for i, attack in enumerate(self.strong)}
        return {
            "clean": (Attack("none", self.eps), self.images),
            "pgd-20": (self.pgd, self.images),
            **{name: (self.scaled(attack), self.few) for name, attack in strong.items()},
        }

    @property
    def pgd(self) -> Attack:
        """Return PGD with 20 steps and the radius of this profile."""
        return self.scaled(PGD_20)

    def scaled(self, attack: Attack) -> Attack:
        """Return the attack with radius ``eps`` and a step size in proportion to ``eps``."""
        size = attack.step_size * self.eps / EPS
        return replace(attack, eps=self.eps, step_size=size)

    def network(self, blocks: Blocks | None, seed: int, defense: Defense | None = None) -> Call:
        """Return the job that trains the network with the denoising blocks ``blocks``."""
        placed = None if blocks is None else replace(blocks, after=self.after)
        model = replace(self.model, blocks=placed)
        return train(model, self.defense if defense is None else defense, self.recipe, seed)


PGD_20 = Attack("pgd", EPS, clip=True, steps=20, step_size=2 / 255)
MARGIN = replace(PGD_20, loss="margin", steps=40, step_size=1 / 255)
AUTO = Attack("autoattack", EPS, steps=100, queries=5000)
STAGES = ("stage1", "stage2", "stage3", "stage4")


def _model(data: str, profile: str) -> Model:
    own = DENOISING[profile]
    return Model(data, "resnet18", own.narrow, own.images)


def _recipe(profile: str, augmentation: Augmentation | None = None) -> Recipe:
    """Return a training recipe: SGD with momentum, and a learning rate that rises to 0.1 and then
    falls to 0.
    """
    own = DENOISING[profile]
    return Recipe(
        own.steps,
        own.batch,
        0.1,
        "sgd",
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="linear",
        warmup=0.2,
        augmentation=augmentation,
    )


SETTINGS: Mapping[str, Setting] = {
    "quick": Setting(
        _model("scenes", "quick"),
        pgd_training(EPS / 4, DENOISING["quick"].inner, EPS / 4),
        _recipe("quick"),
        STAGES[2:],
        16,
        8,
        (replace(MARGIN, steps=5),),
        replace(AUTO, steps=5, queries=20),
        ("baseline", "null", "nonlocal-gaussian"),
        (),
        EPS / 4,
    ),
    "reduced": Setting(
        _model("cifar10", "reduced"),
        pgd_training(EPS, DENOISING["reduced"].inner, 10 / 255),
        _recipe("reduced"),
        STAGES[1:],
        400,
        100,
        (MARGIN,),
        AUTO,
    ),
    "paper": Setting(
        _model("cifar10", "paper"),
        pgd_training(EPS, DENOISING["paper"].inner, 2 / 255),
        _recipe("paper", Augmentation(mirror=True, padding=4)),
        STAGES,
        10_000,
        1000,
        (
            replace(MARGIN, steps=100, restarts=5),
            Attack("square", EPS, queries=5000),
        ),
        AUTO,
    ),
}


def networks(own: Setting, seed: int) -> dict[tuple[str, str], Call]:
    """Return the jobs that train the networks, as a dict with one entry per pair (training,
    variant).
    """
    every = {**VARIANTS, **ABLATIONS}
    shown = (*own.variants, *own.ablations)
    return {
        **{("adversarial", name): own.network(every[name], seed) for name in shown},
        **{("standard", name): own.network(every[name], seed, PLAIN) for name in STANDARD},
    }


def around(own: Setting) -> tuple[str, ...]:
    """Return for each block the names of the two layers whose outputs are its input and its
    output.
    """
    return tuple(name for stage in own.after for name in (f"{stage}.layers", stage))


@step(version=1)
def noise(
    network: Done,
    layers: tuple[str, ...],
    attack: Attack,
    images: int,
    seed: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Return the relative noise that an attack on the network causes in the feature maps of each
    test image.

    ``noise/<layer>``: the relative noise in the output of a layer in ``layers``.
    ``noise/images``: the relative noise of the attacked images themselves.
    """
    net, x, y = evaluated(network, images, context.device)
    made = strike(attack, net, x, y, generator=generator(seed, attack.kind)).images
    pieces = zip(torch.split(x, 250), torch.split(made, 250), strict=True)
    parts = [feature_noise(net, clean, moved, layers) for clean, moved in pieces]
    return {f"noise/{name}": torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
