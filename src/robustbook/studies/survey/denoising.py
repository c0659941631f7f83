"""Feature denoising (Xie et al. 2019, arXiv 1812.03411) on CIFAR-10: which filter gains robustness?

The paper reports ImageNet only. Here ResNet-18 for CIFAR-10 is adversarially trained without blocks
and with six kinds of blocks, from the same first weights and with the same random numbers. The null
block has no filter, so it controls for the block's parameters. Two more networks leave out the 1 x
1 convolution or the residual sum of the Gaussian block. Two networks are trained on clean images
only, because a robust accuracy of such a network would be a sign of gradient masking.

``paper``: full width, blocks after all four stages, PGD with 10 steps in training; needs a GPU.
``reduced``: an eighth of the width, 10,000 images, two epochs, one step with a random start in
training, and blocks after stages 2 to 4. At 32 x 32 positions the Gaussian takes many times as long
as the narrow network. ``quick``: embedded images, a quarter of the radius, few training steps, two
kinds of blocks after stages 3 and 4; the networks of ``quick`` hardly learn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.measures import Attack, feature_noise, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.training import Augmentation, Recipe

from . import settings
from .attack import attacked, fixed, percent, test_images
from .networks import PLAIN, Blocks, Defense, Model, pgd_training, train, trained
from .settings import PAPER

ITEM = "denoising"
TARGETS = f"{PAPER}/denoise-cifar"
EPS = 8 / 255
Parameters = settings.Parameters

VARIANTS: Mapping[str, Blocks | None] = {
    "baseline": None,
    "null": Blocks("null"),
    "mean": Blocks("mean"),
    "median": Blocks("median"),
    "bilateral": Blocks("bilateral"),
    "nonlocal-dot": Blocks("dot"),
    "nonlocal-gaussian": Blocks("gaussian"),
}
"""The seven networks, by the name in the targets' ids."""
BLOCKED = tuple(VARIANTS)[1:]
FILTERS = tuple(VARIANTS)[2:]
ABLATIONS: Mapping[str, Blocks] = {
    "no-1x1": Blocks("gaussian", convolution=False),
    "no-residual": Blocks("gaussian", residual=False),
}
ABLATED = {"no-1x1": "no-1x1-hurts", "no-residual": "no-residual-fails"}
"""The end of the target's id of each ablation."""
STANDARD = ("baseline", "nonlocal-gaussian")
"""The networks that are also trained on clean images only."""


@dataclass(frozen=True)
class Setting:
    """The item at one profile.

    model: the network without blocks; ``after``: the stages that get a block.
    variants, ablations: the networks to run.
    eps: the radius of all attacks on the trained networks.
    images: the number of test images; ``few``: of those for the stronger attacks.
    strong: the stronger attacks; an image counts as robust if it is classified correctly under all
        of them and under PGD with 20 steps.
    """

    model: Model
    defense: Defense
    recipe: Recipe
    after: tuple[str, ...]
    images: int
    few: int
    strong: tuple[Attack, ...]
    variants: tuple[str, ...] = tuple(VARIANTS)
    ablations: tuple[str, ...] = tuple(ABLATIONS)
    eps: float = EPS

    @property
    def attacks(self) -> dict[str, tuple[Attack, int]]:
        """Return each attack by name, with the number of images that it attacks."""
        strong = {f"strong {i}": attack for i, attack in enumerate(self.strong)}
        return {
            "clean": (Attack("none", self.eps), self.images),
            "pgd-20": (self.pgd, self.images),
            **{name: (self.scaled(attack), self.few) for name, attack in strong.items()},
        }

    @property
    def pgd(self) -> Attack:
        """Return PGD with 20 steps."""
        return self.scaled(PGD_20)

    def scaled(self, attack: Attack) -> Attack:
        """Return an attack with its radius and steps in proportion to ``eps``."""
        size = attack.step_size * self.eps / EPS
        return replace(attack, eps=self.eps, step_size=size)

    def network(self, blocks: Blocks | None, seed: int, defense: Defense | None = None) -> Call:
        """Return the call that trains the network with these blocks."""
        placed = None if blocks is None else replace(blocks, after=self.after)
        model = replace(self.model, blocks=placed)
        return train(model, self.defense if defense is None else defense, self.recipe, seed)


PGD_20 = Attack("pgd", EPS, clip=True, steps=20, step_size=2 / 255)
MARGIN = replace(PGD_20, loss="margin", steps=40, step_size=1 / 255)
STAGES = ("stage1", "stage2", "stage3", "stage4")


def _recipe(steps: int, batch: int, augmentation: Augmentation | None = None) -> Recipe:
    """Return SGD with momentum; the learning rate rises to 0.1 and then falls to 0."""
    return Recipe(
        steps,
        batch,
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
        Model("scenes", "resnet18", 8),
        pgd_training(EPS / 4, 1, EPS / 4),
        _recipe(20, 32),
        STAGES[2:],
        20,
        10,
        (replace(MARGIN, steps=5),),
        ("baseline", "null", "nonlocal-gaussian"),
        (),
        EPS / 4,
    ),
    "reduced": Setting(
        Model("cifar10", "resnet18", 8, 10_000),
        pgd_training(EPS, 1, 10 / 255),
        _recipe(312, 64),
        STAGES[1:],
        500,
        200,
        (MARGIN,),
    ),
    "paper": Setting(
        Model("cifar10", "resnet18"),
        pgd_training(EPS, 10, 2 / 255),
        _recipe(30 * 390, 128, Augmentation(mirror=True, padding=4)),
        STAGES,
        10_000,
        1000,
        (
            replace(MARGIN, steps=100, restarts=5),
            Attack("square", EPS, queries=5000),
        ),
    ),
}


def networks(own: Setting, seed: int) -> dict[tuple[str, str], Call]:
    """Return the calls that train the networks, by training and variant."""
    every = {**VARIANTS, **ABLATIONS}
    shown = (*own.variants, *own.ablations)
    return {
        **{("adversarial", name): own.network(every[name], seed) for name in shown},
        **{("standard", name): own.network(every[name], seed, PLAIN) for name in STANDARD},
    }


def calls(p: settings.Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the function calls that the study needs, with keys (training, variant, attack, seed).

    The attack ``noise`` stands for the relative noise before and after each block.
    """
    assert p.seeds is not None
    own = SETTINGS[p.profile]
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        for (training, name), net in networks(own, seed).items():
            for attack, (how, images) in own.attacks.items():
                found[training, name, attack, seed] = attacked(net, how, images, seed)
            if training == "adversarial" and name in BLOCKED:
                found[training, name, "noise", seed] = noise(
                    net, around(own), own.pgd, own.few, seed
                )
    return found


def around(own: Setting) -> tuple[str, ...]:
    """Return the submodules before and after each block."""
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
    """Return ``noise/<layer>``, the relative noise of each test image at the image and after each
    of the submodules, under an attack on the network itself.
    """
    net = fixed(trained(network, context.device))
    x, y = test_images(network, images, context.device)
    made = strike(attack, net, x, y, generator=generator(seed, attack.kind)).images
    pieces = zip(x.split(250), made.split(250), strict=True)
    parts = [feature_noise(net, clean, moved, layers) for clean, moved in pieces]
    context.progress(1, 1)
    return {f"noise/{name}": torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def condense(p: settings.Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the record: accuracies of each network, paired differences, and relative noise."""
    assert p.seeds is not None
    rows: list[Row] = []
    for seed in p.seeds:
        of = {key[:-1]: done for key, done in results.items() if key[-1] == seed}
        rows += _accuracies(of, seed)
        rows += _differences(of, seed)
        rows += _noise(SETTINGS[p.profile], of, seed)
        rows += _claims(of, seed)
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))


Results = Mapping[tuple[Any, ...], Done]


def robust(of: Results, training: str, name: str) -> Tensor:
    """Return which of the few images are classified correctly under all attacks."""
    found = [done.tensors for key, done in of.items() if key[:2] == (training, name)]
    right = [tensors["right"] for tensors in found if "right" in tensors]
    few = min(map(len, right))
    return torch.stack([each[:few] for each in right]).all(0)


def _under_pgd(of: Results) -> dict[str, Tensor]:
    """Return for each adversarially trained network which images PGD leaves classified
    correctly.
    """
    return {
        name: of["adversarial", name, "pgd-20"].tensors["right"]
        for name in {**VARIANTS, **ABLATIONS}
        if ("adversarial", name, "pgd-20") in of
    }


def _accuracies(of: Results, seed: int) -> Iterator[Row]:
    for (training, name, attack), done in of.items():
        if attack in ("clean", "pgd-20"):
            right = done.tensors["right"]
            labels: dict[str, str | float | int | bool]
            labels = {"training": training, "variant": name, "attack": attack}
            yield Row(percent(right), "percent", None, "accuracy", seed, len(right), setting=labels)
            if attack == "pgd-20":
                right = robust(of, training, name)
                labels = {**labels, "attack": "worst"}
                yield Row(
                    percent(right), "percent", None, "accuracy", seed, len(right), setting=labels
                )


def _differences(of: Results, seed: int) -> Iterator[Row]:
    """Yield the difference of each variant's accuracy under PGD to that of two others, over the
    same test images, and half the width of its 95 % interval over test images.
    """
    right = {name: each.double() for name, each in _under_pgd(of).items()}
    for against in ("baseline", "null"):
        for name in right:
            if name == against:
                continue
            change = right[name] - right[against]
            half = 196 * change.std().item() / len(change) ** 0.5
            setting: dict[str, str | float | int | bool]
            setting = {"variant": name, "against": against}
            yield Row(
                100 * change.mean().item(), "percent", None, "difference", seed, setting=setting
            )
            yield Row(half, "percent", None, "half width", seed, setting=setting)


def _noise(own: Setting, of: Results, seed: int) -> Iterator[Row]:
    """Yield the mean relative noise before and after each block, and the mean of their ratio."""
    for name in BLOCKED:
        if ("adversarial", name, "noise") not in of:
            continue
        found = of["adversarial", name, "noise"].tensors
        for stage in own.after:
            before, after = (found[f"noise/{each}"] for each in (f"{stage}.layers", stage))
            setting: dict[str, str | float | int | bool] = {"variant": name, "stage": stage}
            for words, value in (
                ("noise before", before),
                ("noise after", after),
                ("ratio", after / before),
            ):
                yield Row(value.double().mean().item(), "ratio", None, words, seed, setting=setting)


def _claims(of: Results, seed: int) -> Iterator[Row]:
    """Yield the rows that are compared with the paper's claims."""
    right = _under_pgd(of)
    own = {name: percent(each) for name, each in right.items()}
    images = len(right["baseline"])
    for name in (name for name in VARIANTS if name in own):
        for ending in ("", "-against-null") if name in FILTERS else ("",):
            target = f"{TARGETS}/{name}{ending}/pgd-20-accuracy"
            yield Row(own[name], "percent", target, seed=seed, images=images)
    for name, ending in ((name, ending) for name, ending in ABLATED.items() if name in own):
        target = f"{TARGETS}/claim/{ending}"
        yield Row(own[name], "percent", target, seed=seed, images=images)
    if "nonlocal-dot" in own:
        apart = abs(own["nonlocal-gaussian"] - own["nonlocal-dot"])
        target = f"{TARGETS}/claim/gaussian-close-to-dot"
        yield Row(apart, "percent", target, seed=seed, holds=apart <= 1.5)
    left = robust(of, "standard", "nonlocal-gaussian")
    target = f"{TARGETS}/claim/standard-training-no-robustness"
    value = percent(left)
    yield Row(value, "percent", target, seed=seed, images=len(left), holds=value <= 1)
    found = of["adversarial", "nonlocal-gaussian", "noise"].tensors
    ratios = [
        (found[f"noise/{name}"] / found[f"noise/{name}.layers"]).double().mean().item()
        for name in STAGES
        if f"noise/{name}" in found
    ]
    target = f"{TARGETS}/claim/block-lowers-feature-noise"
    yield Row(max(ratios), "ratio", target, seed=seed, holds=max(ratios) < 1)
