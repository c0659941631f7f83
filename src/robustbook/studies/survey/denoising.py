"""Test on CIFAR-10 which filters of feature denoising increase robustness (Xie et al. 2019, arXiv
1812.03411).

The paper reports results for ImageNet only. This study trains ResNet-18 adversarially on CIFAR-10,
once without denoising blocks and once with each of six kinds of blocks. All networks have the same
initial weights and random numbers. The null block has no filter, so it shows the effect of the
block's other layers. In two more networks, the Gaussian blocks lack the 1 x 1 convolution or the
residual connection. Two networks are trained on clean images only. If they stayed accurate under
attack, this would be a sign of gradient masking, so AutoAttack is run on them as well. The module
`denoising_networks` has the settings of each profile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from robustbook.defenses import Denoising
from robustbook.ledger import Record, Row
from robustbook.measures import feature_maps
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.rows import percent, share_row

from . import settings
from .attack import attacked, evaluated
from .denoising_networks import (
    ABLATIONS,
    BLOCKED,
    FILTERS,
    SETTINGS,
    STAGES,
    VARIANTS,
    Setting,
    around,
    networks,
    noise,
)
from .settings import PAPER

ITEM = "denoising"
TARGETS = f"{PAPER}/denoise-cifar"
Parameters = settings.Parameters
ABLATED = {"no-1x1": "no-1x1-hurts", "no-residual": "no-residual-fails"}
"""For each ablation (a block without one of its parts), the last part of the id of the paper's
claim about it.
"""
IMAGES = "our networks classify CIFAR-10, the paper's classify ImageNet"


def calls(p: settings.Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (training, variant,
    attack, seed).

    With ``noise`` in place of the attack, the job measures the relative noise in the feature maps
    before and after each denoising block. With ``change``, it measures how much each block and
    its filter change the feature maps.
    """
    own = SETTINGS[p.profile]
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        for (training, name), net in networks(own, seed).items():
            for attack, (how, images) in own.attacks.items():
                found[training, name, attack, seed] = attacked(net, how, images, seed)
            if training == "standard":
                auto = own.scaled(own.auto)
                found[training, name, "autoattack", seed] = attacked(net, auto, own.few, seed)
            if name in BLOCKED:
                found[training, name, "change", seed] = changes(net, own.after, own.few)
            if training == "adversarial" and name in BLOCKED:
                found[training, name, "noise", seed] = noise(
                    net, around(own), own.pgd, own.few, seed
                )
    return found


@step(version=1)
def changes(
    network: Done, stages: tuple[str, ...], images: int, *, context: Context
) -> dict[str, object]:
    """Return how much the denoising block after each stage changes its input, for each clean test
    image.

    ``block/<stage>``: the l2 norm of the block's output minus its input, divided by the l2 norm of
        the input.
    ``filter/<stage>``: the same for the block's output minus its output without the filter, so it
        is 0 for the null block.
    """
    net, x, _ = evaluated(network, images, context.device)
    found: dict[str, list[Tensor]] = {}
    for batch in torch.split(x, 100):
        maps = feature_maps(net, batch, [f"{stage}.layers" for stage in stages])
        for stage in stages:
            block, before = net.get_submodule(f"{stage}.denoising"), maps[f"{stage}.layers"]
            assert isinstance(block, Denoising)
            after = block(before)
            block.filter, kept = nn.Identity(), block.filter
            without = block(before)
            block.filter = kept
            for part, start in (("block", before), ("filter", without)):
                size = (after - start).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
                found.setdefault(f"{part}/{stage}", []).append(size)
    return {name: torch.cat(parts).cpu() for name, parts in found.items()}


def condense(p: settings.Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracies of each network, the differences of accuracy
    between networks, and the relative noise in feature maps.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        of = {key[:-1]: done for key, done in results.items() if key[-1] == seed}
        rows += _accuracies(of, seed)
        rows += _differences(of, seed)
        rows += _noise(SETTINGS[p.profile], of, seed)
        rows += _changes(of, seed)
        rows += [replace(row, differs=IMAGES) for row in _claims(of, seed)]
    return p.record(PAPER, ITEM, rows)


Results = Mapping[tuple[Any, ...], Done]


def robust(of: Results, training: str, name: str) -> Tensor:
    """Return which images are classified correctly under all attacks. Only images that every attack
    has attacked are included, because the strong attacks are run on fewer images than PGD.
    """
    found = [done.tensors for key, done in of.items() if key[:2] == (training, name)]
    right = [tensors["right"] for tensors in found if "right" in tensors]
    few = min(map(len, right))
    return torch.stack([each[:few] for each in right]).all(0)


def _under_pgd(of: Results) -> dict[str, Tensor]:
    """Return for each adversarially trained network which images are classified correctly under
    PGD.
    """
    return {
        name: of["adversarial", name, "pgd-20"].tensors["right"]
        for name in {**VARIANTS, **ABLATIONS}
        if ("adversarial", name, "pgd-20") in of
    }


def _accuracies(of: Results, seed: int) -> Iterator[Row]:
    for (training, name, attack), done in of.items():
        if attack in ("clean", "pgd-20", "autoattack"):
            right = done.tensors["right"]
            labels: dict[str, str | float | int | bool]
            labels = {"training": training, "variant": name, "attack": attack}
            yield share_row(right, None, "accuracy", seed, setting=labels)
            if attack == "pgd-20":
                right = robust(of, training, name)
                labels = {**labels, "attack": "worst"}
                yield share_row(right, None, "accuracy", seed, setting=labels)


def _differences(of: Results, seed: int) -> Iterator[Row]:
    """Yield for each variant its accuracy under PGD minus that of the network without blocks, and
    minus that of the network with null blocks. For the variants whose Gaussian blocks lack a part,
    yield also the difference from the network with complete Gaussian blocks.

    The two accuracies of a difference are measured on the same test images. Yield also half the
    width of the 95 % confidence interval of each difference, which describes the random choice of
    these images.
    """
    right = {name: each.double() for name, each in _under_pgd(of).items()}
    for against in ("baseline", "null", "nonlocal-gaussian"):
        for name in right:
            if name == against or (against == "nonlocal-gaussian" and name not in ABLATIONS):
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
    """Yield for each block three means over the images: of the relative noise in the feature maps
    before the block, of that after the block, and of the second noise divided by the first.
    """
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


def _changes(of: Results, seed: int) -> Iterator[Row]:
    """Yield for each block two means over the images, in per cent of the norm of the block's input:
    of the change by the block, and of the change by its filter alone.
    """
    for (training, name, attack), done in of.items():
        if attack == "change":
            for which, found in done.tensors.items():
                part, stage = which.split("/")
                setting: dict[str, str | float | int | bool]
                setting = {"training": training, "variant": name, "stage": stage}
                value = 100 * found.double().mean().item()
                yield Row(value, "percent", None, f"change by {part}", seed, setting=setting)


def _claims(of: Results, seed: int) -> Iterator[Row]:
    """Yield the results that are compared with the paper's claims."""
    right = _under_pgd(of)
    own = {name: percent(each) for name, each in right.items()}
    for name in (name for name in VARIANTS if name in own):
        for ending in ("", "-against-null") if name in FILTERS else ("",):
            target = f"{TARGETS}/{name}{ending}/pgd-20-accuracy"
            yield share_row(right[name], target, seed=seed)
    for name, ending in ((name, ending) for name, ending in ABLATED.items() if name in own):
        target = f"{TARGETS}/claim/{ending}"
        yield share_row(right[name], target, seed=seed)
    if "nonlocal-dot" in own:
        apart = abs(own["nonlocal-gaussian"] - own["nonlocal-dot"])
        target = f"{TARGETS}/claim/gaussian-close-to-dot"
        yield Row(apart, "percent", target, seed=seed, holds=apart <= 1.5)
    left = of["standard", "nonlocal-gaussian", "autoattack"].tensors["right"]
    target = f"{TARGETS}/claim/standard-training-no-robustness"
    yield share_row(left, target, seed=seed, holds=percent(left) <= 1)
    found = of["adversarial", "nonlocal-gaussian", "noise"].tensors
    ratios = [
        (found[f"noise/{name}"] / found[f"noise/{name}.layers"]).double().mean().item()
        for name in STAGES
        if f"noise/{name}" in found
    ]
    target = f"{TARGETS}/claim/block-lowers-feature-noise"
    yield Row(max(ratios), "ratio", target, seed=seed, holds=max(ratios) < 1)
