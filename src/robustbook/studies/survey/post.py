"""Test the claims of a blog post on defenses, and reproduce its two pictures of feature maps.

The post explains adversarial training and feature denoising (Xie et al. 2019), and prints no
numbers of its own. The study measures how much an attack changes the feature maps after each stage
of two ResNet-18, one trained on clean images, the other adversarially. For a few test images, the
study also stores the feature maps. The post's last paragraph names two weaknesses of adversarial
training, which the study measures: attacks that were not used in training, and a lower accuracy on
clean images. All networks come from the study on feature denoising, except one that is trained with
an attack in the l2 norm.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from robustbook.attacks import pgd
from robustbook.ledger import Record, Row
from robustbook.ledger.intervals import clearly_above
from robustbook.measures import Attack, feature_maps, logits_of, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.rows import percent, share_row

from . import settings
from .attack import attacked, evaluated
from .denoising_networks import (
    EPS,
    SETTINGS,
    STAGES,
    Setting,
    around,
    networks,
    noise,
)
from .networks import L2Steps, l2_training
from .settings import PAPER

ITEM = "post"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
Parameters = settings.Parameters
EPS_L2 = 0.5
RANDOM = Attack("random-signs", EPS, clip=True)
SHOWN = 4
KEPT = 2
"""The feature maps of SHOWN test images are computed, and those of KEPT of them stored."""
GAUSSIAN = "nonlocal-gaussian"


def l2_network(own: Setting, seed: int) -> Call:
    """Return the job that adversarially trains the network without denoising blocks, with an attack
    in the l2 norm.
    """
    given = own.defense.attack
    assert given is not None
    length = EPS_L2 * given.step_size / given.eps
    return own.network(None, seed, l2_training(L2Steps(EPS_L2, given.steps, length)))


def calls(p: settings.Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (training,
    measurement, seed).
    """
    own = SETTINGS[p.profile]
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        nets = networks(own, seed)
        for training in ("standard", "adversarial"):
            net = nets[training, "baseline"]
            found[training, "attack", seed] = noise(net, STAGES, own.pgd, own.few, seed)
            found[training, "random", seed] = noise(net, STAGES, own.scaled(RANDOM), own.few, seed)
            found[training, "maps", seed] = maps(net, STAGES, own.pgd, SHOWN, seed)
            found[training, "clean", seed] = attacked(
                net, Attack("none", own.eps), own.images, seed
            )
        found["adversarial", "l2", seed] = attacked_l2(
            nets["adversarial", "baseline"], own.few, seed
        )
        found["l2", "l2", seed] = attacked_l2(l2_network(own, seed), own.few, seed)
        found["l2", "linf", seed] = attacked(l2_network(own, seed), own.pgd, own.few, seed)
        found["adversarial", "linf", seed] = attacked(
            nets["adversarial", "baseline"], own.pgd, own.few, seed
        )
        found["denoised", "maps", seed] = maps(
            nets["adversarial", GAUSSIAN], around(own), own.pgd, SHOWN, seed
        )
    return found


@step(version=1)
def attacked_l2(network: Done, images: int, seed: int, *, context: Context) -> dict[str, object]:
    """Attack test images by l2 PGD with 40 steps and radius 0.5.

    ``right``: which test images are classified correctly under the attack.
    """
    net, x, y = evaluated(network, images, context.device)
    made = [
        pgd(
            net,
            x[rows],
            y[rows],
            eps=EPS_L2,
            steps=40,
            step_size=EPS_L2 / 10,
            norm=2,
            keys=rows,
            generator=generator(seed, "l2"),
        ).images
        for rows in torch.split(torch.arange(len(x), device=y.device), 250)
    ]
    return {"right": (logits_of(net, torch.cat(made)).argmax(1) == y).cpu()}


@step(version=1)
def maps(
    network: Done,
    layers: tuple[str, ...],
    attack: Attack,
    images: int,
    seed: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Return the first test images and one of their feature maps in each layer, without and under
    an attack.

    ``clean``, ``attacked``: the images without and under the attack.
    ``clean/<layer>``, ``attacked/<layer>``: one feature map of each image in a layer, without and
        under the attack.

    For each image and layer, this is the channel that the attack changes most in the l2 norm. If
    several layers have the same number of channels, the channel is chosen in the first of these
    layers, so that the feature maps before and after a denoising block are from the same channel.

    ``label``: the true class of each image.
    ``predicted``: the class that the network predicts for the attacked image.
    """
    net, x, y = evaluated(network, images, context.device)
    made = strike(attack, net, x, y, generator=generator(seed, attack.kind)).images
    clean, moved = feature_maps(net, x, layers), feature_maps(net, made, layers)
    found: dict[str, object] = {"clean": x.cpu(), "attacked": made.cpu()}
    chosen: dict[int, torch.Tensor] = {}
    for name in layers:
        change = (moved[name] - clean[name]).flatten(2).norm(dim=2)
        channel = chosen.setdefault(change.shape[1], change.argmax(1))
        rows = torch.arange(images, device=y.device)
        found[f"clean/{name}"] = clean[name][rows, channel].cpu()
        found[f"attacked/{name}"] = moved[name][rows, channel].cpu()
    return {**found, "label": y.cpu(), "predicted": logits_of(net, made).argmax(1).cpu()}


def condense(p: settings.Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the relative noise in each layer, the accuracies, and the
    pictures of the first seed.
    """
    own = SETTINGS[p.profile]
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for seed in p.seeds:
        of = {key[:-1]: done for key, done in results.items() if key[-1] == seed}
        rows += _noise(of, seed)
        rows += _accuracies(of, seed)
        rows += _claims(of, seed)
        if seed == p.seeds[0]:
            arrays |= _pictures(own, of)
    return p.record(PAPER, ITEM, rows, arrays)


Results = Mapping[tuple[Any, ...], Done]


def levels(done: Done) -> dict[str, float]:
    """Return the mean relative noise in the image and in the feature maps after each stage."""
    return {
        name: done.tensors[f"noise/{name}"].double().mean().item() for name in ("images", *STAGES)
    }


def _noise(of: Results, seed: int) -> Iterator[Row]:
    for training in ("standard", "adversarial"):
        for perturbation in ("attack", "random"):
            for layer, value in levels(of[training, perturbation]).items():
                setting: dict[str, str | float | int | bool]
                setting = {"training": training, "perturbation": perturbation, "layer": layer}
                yield Row(value, "ratio", None, "relative noise", seed, setting=setting)


def _accuracies(of: Results, seed: int) -> Iterator[Row]:
    for (training, measurement), done in of.items():
        if measurement in ("clean", "l2", "linf"):
            right = done.tensors["right"]
            setting: dict[str, str | float | int | bool]
            setting = {"training": training, "attack": measurement}
            yield Row(
                percent(right), "percent", None, "accuracy", seed, len(right), setting=setting
            )


def _claims(of: Results, seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the post's claims.

    The claim that adversarial training lowers the clean accuracy holds if the fall is larger than
    the half-width of its 95 % interval. Both networks classify the same test images, so the
    interval is computed from the differences for each image. The claim that an attack that was not
    used in training is stronger holds if the accuracies differ by more than their binomial error.
    """
    start = f"{PAPER}/blog"
    standard, adversarial = (
        levels(of[training, "attack"]) for training in ("standard", "adversarial")
    )
    stages = [standard[name] for name in STAGES]
    grown = stages[-1] / standard["images"]
    rising = all(a < b for a, b in zip(stages, stages[1:], strict=False))
    target = f"{start}/figure-1/noise-grows-with-depth"
    yield Row(grown, "ratio", target, seed=seed, holds=grown > 1 and rising)
    less = adversarial[STAGES[-1]] / standard[STAGES[-1]]
    target = f"{start}/figure-1/noise-smaller-after-adversarial-training"
    yield Row(less, "ratio", target, seed=seed, holds=less < 1)
    unseen, seen = (of[training, "l2"].tensors["right"] for training in ("adversarial", "l2"))
    holds = clearly_above(percent(seen), percent(unseen), len(seen))
    yield share_row(unseen, f"{start}/claim/unseen-attacks", seed=seed, holds=holds)
    before, after = (
        of[training, "clean"].tensors["right"] for training in ("standard", "adversarial")
    )
    fall = before.double() - after.double()
    error = 1.96 * fall.std().item() / len(fall) ** 0.5
    target = f"{start}/claim/clean-drop"
    holds = fall.mean().item() > error
    yield share_row(after, target, seed=seed, holds=holds)


def _pictures(own: Setting, of: Results) -> dict[str, Any]:
    """Return the images and the feature maps as nested lists; the pixels of the images are whole
    numbers from 0 to 255.
    """
    arrays: dict[str, Any] = {}
    middle = own.after[0] if own.after[0] != "stage1" else "stage2"
    shown = {
        "standard": (middle,),
        "adversarial": (middle,),
        "denoised": (f"{middle}.layers", middle),
    }
    for network, layers in shown.items():
        found = of[network, "maps"].tensors
        for name in ("clean", "attacked"):
            if (network, name) in (
                ("standard", "clean"),
                ("standard", "attacked"),
                ("adversarial", "attacked"),
                ("denoised", "attacked"),
            ):
                images = (255 * found[name][:KEPT]).round().long().movedim(1, 3)
                arrays[f"{network}/{name}"] = images.tolist()
            for layer in layers:
                values = found[f"{name}/{layer}"][:KEPT].double()
                where = {middle: "stage", f"{middle}.layers": "before"}[layer]
                arrays[f"{network}/{name}/{where}"] = [
                    [[float(f"{v:.4g}") for v in row] for row in image] for image in values.tolist()
                ]
        arrays[f"{network}/label"] = found["label"][:KEPT].tolist()
        arrays[f"{network}/predicted"] = found["predicted"][:KEPT].tolist()
    arrays["stage"] = [middle]
    return arrays
