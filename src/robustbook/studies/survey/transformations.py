"""Evaluate two transformations of the input as defenses: random resizing with padding, and JPEG
compression.

One network is trained without a defense. Oblivious attacks do not know the transformation: they
attack the network alone, and their adversarial images are then transformed and classified. The
adaptive attack is PGD on the composition of transformation and network. Against random resizing,
each of its steps averages the gradient over random draws of the transformation; against JPEG, the
backward pass treats the compression as the identity (BPDA).

With random resizing, the predicted class is the one with the largest mean probability over several
draws. The study also evaluates rounding to 8 bits as the only transformation, because common image
files store 8 bits per value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustbook.attacks import FRESH, Drawing, deepfool, fgsm, pgd
from robustbook.defenses import ensemble, jpeg, resize_and_pad
from robustbook.ledger import Record, Row
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.rows import percent, share_row
from robustbook.training import Augmentation, Recipe

from . import settings
from .attack import evaluated
from .networks import PLAIN, Model, train
from .settings import PAPER, cifar10_recipe
from .sizes import RADIUS

ITEM = "transformations"
TARGETS = f"{PAPER}/transform-cifar"
Front = Literal["none", "8 bits", "resize-pad", "jpeg"]
Unaware = Literal["clean", "fgsm", "deepfool", "pgd"]
FRONTS: tuple[Front, ...] = ("none", "8 bits", "resize-pad", "jpeg")
UNAWARE: tuple[Unaware, ...] = ("clean", "fgsm", "deepfool", "pgd")
QUALITY = 75
"""The JPEG quality, which is the default of libjpeg and the quality that Guo et al. 2018 use."""
EPS = RADIUS / 255
BOUNDED = ("fgsm", "pgd", "pgd aware")
"""The attacks that have a radius."""
TARGET: Mapping[tuple[str, str], str] = {
    ("none", "fgsm"): "none/fgsm-accuracy",
    ("resize-pad", "fgsm"): "resize-pad/oblivious-fgsm-accuracy",
    ("jpeg", "fgsm"): "jpeg/oblivious-fgsm-accuracy",
    ("jpeg", "deepfool"): "jpeg/oblivious-deepfool-accuracy",
    ("jpeg", "pgd aware"): "jpeg/bpda-accuracy",
    ("resize-pad", "pgd aware"): "resize-pad/eot-accuracy",
}
"""The target number for a transformation and an attack of radius `EPS`."""
RADII = (2 / 255, 4 / 255)
"""Smaller radii, at which FGSM and PGD are also run."""
Parameters = settings.Parameters


@dataclass(frozen=True)
class Size:
    """The settings of the study for one profile: the network, its training, and the numbers of
    images, attack steps and random draws.

    ``images``: the number of test images, the first ones of the test set.
    ``steps``: the number of steps of PGD.
    ``averaged``: the numbers of random draws over which each step of PGD averages the gradient; PGD
        is run once with each of these numbers.
    ``draws``: the number of random draws for a prediction with random resizing.
    """

    model: Model
    recipe: Recipe
    images: int
    steps: int
    averaged: tuple[int, ...]
    draws: int


SIZES: Mapping[str, Size] = {
    "quick": Size(
        Model("scenes", "resnet18", 8),
        Recipe(
            2 * (2794 // 50),
            50,
            3e-3,
            schedule="linear",
            channels_last=True,
            warmup=0.2,
            augmentation=Augmentation(padding=2),
        ),
        images=30,
        steps=6,
        averaged=(1, 4),
        draws=10,
    ),
    "reduced": Size(
        Model("cifar10", "resnet18", 8),
        cifar10_recipe(1000, 125),
        images=200,
        steps=20,
        averaged=(1, 10),
        draws=30,
    ),
    "paper": Size(
        Model("cifar10", "resnet18"),
        cifar10_recipe(30 * 390, 128),
        images=1000,
        steps=100,
        averaged=(1, 30),
        draws=30,
    ),
}


@step(version=1)
def unaware(
    network: Done,
    attack: Unaware,
    eps: float,
    steps: int,
    draws: int,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack the network without a transformation; then transform the attacked images and classify
    them.

    ``right/<front>``: which attacked images are classified correctly after the transformation
        ``front``.
    ``distance``: the l2 distance by which each image was changed.
    """
    net, x, y = evaluated(network, images, context.device)
    seed = network.call.arguments["seed"]
    keys = torch.arange(images, device=context.device)
    match attack:
        case "clean":
            moved = x
        case "fgsm":
            moved = fgsm(net, x, y, eps=eps).images
        case "deepfool":
            moved = deepfool(net, x, y).images
        case "pgd":
            moved = _climbed(net, x, y, keys, eps, steps, 1, seed)
    found: dict[str, object] = {"distance": (moved - x).flatten(1).norm(dim=1).cpu()}
    for i, front in enumerate(FRONTS):
        answers = classes(behind(net, front, seed), moved, keys, draws)
        found[f"right/{front}"] = (answers == y).cpu()
        context.progress(i + 1, len(FRONTS))
    return found


@step(version=1)
def aware(
    network: Done,
    front: Front,
    averaged: int,
    eps: float,
    steps: int,
    draws: int,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Run PGD on the composition of a transformation and the network.

    ``right``: which attacked images the composition of transformation and network classifies
        correctly.

    ``averaged``: the number of random draws over which each step of PGD averages the gradient.
    """
    net, x, y = evaluated(network, images, context.device)
    seed = network.call.arguments["seed"]
    keys = torch.arange(images, device=context.device)
    whole = behind(net, front, seed)
    moved = _climbed(whole, x, y, keys, eps, steps, averaged, seed)
    return {"right": (classes(whole, moved, keys, draws) == y).cpu()}


def behind(net: nn.Module, front: Front, seed: int) -> nn.Module:
    """Return the composition of a transformation and the network, as one network."""
    if front == "8 bits":
        return nn.Sequential(Rounded(), net)
    if front == "resize-pad":
        return resize_and_pad(net, seed=seed)
    return jpeg(net, QUALITY) if front == "jpeg" else net


class Rounded(nn.Module):
    """A layer that rounds images in [0, 1] to 8 bits."""

    def forward(self, images: Tensor) -> Tensor:
        return (images * 255).round() / 255


@torch.no_grad()
def classes(net: nn.Module, images: Tensor, keys: Tensor, draws: int) -> Tensor:
    """Return the predicted classes; for a randomised network, the classes with the largest mean
    probability over draws.
    """
    if isinstance(net, Drawing):
        return ensemble(net, images, keys, draws=draws, start=FRESH).argmax(1)
    return torch.cat([net(piece).argmax(1) for piece in torch.split(images, 100)])


def _climbed(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    keys: Tensor,
    eps: float,
    steps: int,
    averaged: int,
    seed: int,
) -> Tensor:
    """Return the adversarial images of PGD, whose step size is a quarter of the radius."""
    chance = generator(seed, "transformations")
    return pgd(
        net,
        images,
        labels,
        eps=eps,
        steps=steps,
        step_size=eps / 4,
        draws=averaged,
        keys=keys,
        generator=chance,
    ).images


def calls(p: settings.Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (seed,
    transformation, attack, number of random draws per step, radius). For an oblivious attack, the
    transformation is an empty string.
    """
    found: dict[tuple[Any, ...], Call] = {}
    own = SIZES[p.profile]
    most = max(own.averaged)
    sizes = (own.steps, own.draws, own.images)
    for seed in p.seeds:
        network = train(own.model, PLAIN, own.recipe, seed)
        for attack in UNAWARE:
            found[seed, "", attack, 1, EPS] = unaware(network, attack, EPS, *sizes)
        for front, averaged in (("jpeg", 1), *(("resize-pad", k) for k in own.averaged)):
            call = aware(network, front, averaged, EPS, *sizes)
            found[seed, front, "pgd", averaged, EPS] = call
        for eps in RADII:
            for attack in ("fgsm", "pgd"):
                found[seed, "", attack, 1, eps] = unaware(network, attack, eps, *sizes)
            for front, averaged in (("jpeg", 1), ("resize-pad", most)):
                call = aware(network, front, averaged, eps, *sizes)
                found[seed, front, "pgd", averaged, eps] = call
    return found


def condense(p: settings.Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracy with each transformation under each attack, and the
    median l2 distance of each oblivious attack.
    """
    rows: list[Row] = []
    most = max(SIZES[p.profile].averaged)
    for (seed, front, attack, averaged, eps), done in results.items():
        label = "pgd aware" if front else attack
        for name in [front] if front else FRONTS:
            right = done.tensors["right" if front else f"right/{name}"]
            target = TARGET.get((name, label), "") if eps == EPS else ""
            if name == "resize-pad" and front and averaged != most:
                target = ""
            rows.append(_row(right, name, label, averaged, eps, seed, target))
        if not front:
            distance = done.tensors["distance"].median().item()
            setting = _setting(attack, eps)
            rows.append(Row(distance, "l2", None, "median distance", seed, setting=setting))
    return p.record(PAPER, ITEM, rows)


def _row(
    right: Tensor, front: str, attack: str, averaged: int, eps: float, seed: int, target: str
) -> Row:
    setting = {"front": front, "averaged": averaged, **_setting(attack, eps)}
    # The claim that accuracy is "mostly restored" holds if it is at least 50 %.
    holds = percent(right) >= 50 if attack == "deepfool" and target else None
    name = f"{TARGETS}/{target}" if target else None
    return share_row(right, name, "accuracy", seed, holds=holds, setting=setting)


def _setting(attack: str, eps: float) -> dict[str, str | float | int | bool]:
    """Return the labels of an attack. If the attack has a radius, it is one of the labels, in units
    of 1/255.
    """
    return {"attack": attack} | ({"eps": round(255 * eps)} if attack in BOUNDED else {})
