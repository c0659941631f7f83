"""Reproduce the tables of Szegedy et al. 2013, "Intriguing properties of neural networks" (arXiv
1312.6199), on MNIST.

Table 1 lists the training error, the test error and the mean minimum distortion for six networks.
Table 2 lists the error rates of all networks on adversarial images computed on each of them. Tables
3 and 4 list error rates on adversarial images for networks that were trained on disjoint halves of
the training set.

We could not read the paper's tables themselves, only transcriptions that others made of them. The
paper does not name the optimiser. As weight decay, we add decay/2 times the sum of the squared
weights to the loss. With this form, the exact solution of FC10's convex training problem has the
error rates that the paper prints.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.rows import share_row
from robustbook.studies.survey.sizes import DEEP_EPOCHS, POOLED_EPOCHS, PRINTED_HALVES
from robustbook.studies.survey.szegedy_networks import (
    Classifier,
    attacked,
    fed,
    noisy,
    random_targets,
    some,
    train,
    train_on_features,
    train_with_pool,
)
from robustbook.training import Recipe

PAPER, ITEM = "survey", "szegedy"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
NETWORKS: Mapping[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "fc10-1e-4": ((784, 10), (1e-4,)),
    "fc10-1e-2": ((784, 10), (1e-2,)),
    "fc10-1": ((784, 10), (1.0,)),
    "fc100-100-10": ((784, 100, 100, 10), (1e-5, 1e-5, 1e-6)),
    "fc200-200-10": ((784, 200, 200, 10), (1e-5, 1e-5, 1e-6)),
    "ae400-10": ((784, 400, 10), (0.0, 1e-6)),
}
"""The layers and weight decays of the networks of Table 1; we chose the decays of FC200-200-10 and
AE400-10 ourselves.
"""
COLUMNS = ("fc10-1e-4", "fc100-100-10", "ae400-10")
"""The networks whose columns of Table 2 we could read."""
POOLED = "fc100-100-10"
"""The network that is also trained with a pool of adversarial images."""
STDS = (0.1, 0.3)
TRAINING = " on training images"
"""The end of the name of images with noise that are training images."""
AMPLIFIED = 0.1
Labels = dict[str, str | float | int | bool]
SHOWN = 6
"""The number of images that are stored for the figure."""


@dataclass(frozen=True)
class Setting:
    """The settings of the study for one profile.

    ``linear``: the training recipe of the linear classifier FC10.
    ``deep``: the training recipe of the classifiers with hidden layers.
    ``encoding``: the training recipe of the autoencoder.
    ``softmax``: the training recipe of the softmax layer on the autoencoder's units.
    ``half``: the training recipe of the networks in Tables 3 and 4.
    ``pooled``: the training recipe of the network with a pool of adversarial images.
    ``images``: the number of test images that are attacked, the first ones of the test set.
    ``pool``: the number of adversarial images in the pool.
    ``replaced``: the number of images in the pool that are replaced in each training step.
    """

    data: str
    linear: Recipe
    deep: Recipe
    encoding: Recipe
    softmax: Recipe
    half: Recipe
    pooled: Recipe
    images: int
    searches: int
    pool: int
    replaced: int


def _recipe(images: int, epochs: int, batch: int, lr: float) -> Recipe:
    return Recipe(epochs * (images // batch), batch, lr, schedule="linear")


SETTINGS: Mapping[str, Setting] = {
    "quick": Setting(
        "digits",
        _recipe(1397, 8, 50, 1e-2),
        _recipe(1397, DEEP_EPOCHS["quick"], 50, 1e-2),
        _recipe(1397, 6, 50, 3e-3),
        _recipe(1397, 8, 50, 1e-2),
        _recipe(698, 8, 25, 1e-2),
        _recipe(1397, POOLED_EPOCHS["quick"], 50, 1e-2),
        images=20,
        searches=4,
        pool=200,
        replaced=1,
    ),
    "paper": Setting(
        "mnist",
        _recipe(60_000, 20, 500, 5e-3),
        _recipe(60_000, DEEP_EPOCHS["paper"], 500, 5e-3),
        _recipe(60_000, 15, 500, 2e-3),
        _recipe(60_000, 20, 500, 2e-2),
        _recipe(30_000, 15, 250, 5e-3),
        _recipe(60_000, POOLED_EPOCHS["paper"], 500, 5e-3),
        images=200,
        searches=10,
        pool=5000,
        replaced=10,
    ),
}
HALVES: Mapping[str, tuple[str, int]] = {
    "fc100-100-10 first half": ("fc100-100-10", 0),
    "fc100-100-10 other half": ("fc100-100-10", 1),
    "fc123-456-10 first half": ("fc123-456-10", 0),
    "fc123-456-10 other half": ("fc123-456-10", 1),
}
"""The networks of Tables 3 and 4, and for each the half of the training set on which it is trained.
Adversarial images are computed on the first one.
"""
_OF_HALVES = {**NETWORKS, "fc123-456-10": ((784, 123, 456, 10), (1e-5, 1e-5, 1e-6))}


@checked(frozen=True, config=parameters.STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set in this study."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2)}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict whose keys begin with what is computed and the
    seed.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        found |= {(kind, seed, *rest): call for (kind, *rest), call in _of(p.profile, seed).items()}
    return found


def _of(profile: str, seed: int) -> dict[tuple[Any, ...], Call]:
    own = SETTINGS[profile]
    nets: dict[str, Call] = {}
    for name, (sizes, decay) in NETWORKS.items():
        of = Classifier(own.data, sizes, decay)
        if name == "ae400-10":
            nets[name] = train_on_features(of, own.encoding, own.softmax, seed)
        else:
            nets[name] = train(of, own.linear if len(sizes) == 2 else own.deep, seed)
    halves = {
        words: train(Classifier(own.data, *_OF_HALVES[name], half), own.half, seed)
        for words, (name, half) in HALVES.items()
    }
    found: dict[tuple[Any, ...], Call] = {("trained", name): net for name, net in nets.items()}
    found |= {("trained half", words): net for words, net in halves.items()}
    for name, net in nets.items():
        for choice in ("random", "second"):
            made = attacked(net, own.images, choice, own.searches, seed)
            found["attacked", name, choice] = made
            if choice == "random":
                found["fed", name] = fed(made, tuple(nets.values()), None)
    for std in STDS:
        for split in ("test", "train"):
            found["noisy", split, std] = noisy(
                tuple(nets.values()),
                split,
                own.images,
                std,
                seed,
            )
    of = Classifier(own.data, *NETWORKS[POOLED])
    found["trained with pool",] = train_with_pool(of, own.pooled, own.pool, own.replaced, seed)
    source, *_ = halves.values()
    made = attacked(source, own.images, "random", own.searches, seed)
    found["attacked half",] = made
    for distortion in (None, AMPLIFIED):
        found["fed half", distortion] = fed(made, tuple(halves.values()), distortion)
    found["noisy half",] = noisy(tuple(halves.values()), "test", own.images, STDS[0], seed)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: our value for each number in the tables, and the images of the
    figure.
    """
    rows = [row for seed in p.seeds for row in _rows(p.profile, seed, results)]
    arrays = _pictures(p.profile, p.seeds[0], results)
    return p.record(PAPER, ITEM, rows, arrays)


def _rows(profile: str, seed: int, results: Mapping[tuple[Any, ...], Done]) -> Iterator[Row]:
    tests = {"quick": 400, "paper": 10_000}[profile]
    of: Labels
    for name in NETWORKS:
        of = {"network": name}
        start = f"{PAPER}/szegedy-table-1/{name}"
        more: dict[str, Any] = {"seed": seed, "setting": of, "differs": unlike(name)}
        done = results["trained", seed, name]
        error = done.values["train_error"]
        yield Row(error, "percent", f"{start}/train-error", "training error", **more)
        error = done.values["error"]
        yield Row(error, "percent", f"{start}/test-error", "test error", images=tests, **more)
        for choice, target in (("random", f"{start}/distortion"), ("second", None)):
            made = results["attacked", seed, name, choice].tensors
            there: Labels = {**of, "target": choice}
            found = made["found"]
            yield share_row(found, None, "found", seed, setting=there)
            if bool(found.any()):
                mean = made["distortion"][found].double().mean().item()
                yield Row(
                    mean, "none", target, "distortion", seed, setting=there, differs=unlike(name)
                )
    for source in NETWORKS:
        right = results["fed", seed, source].tensors["right"]
        yield from _fed(source, tuple(NETWORKS), right, seed, COLUMNS)
    for std in STDS:
        # The paper's Table 2 is on training images.
        for split, columns in (("test", ()), ("train", COLUMNS)):
            right = results["noisy", seed, split, std].tensors["right"]
            named = f"gaussian-{std:g}" + ("" if split == "test" else TRAINING)
            yield from _fed(named, tuple(NETWORKS), right, seed, columns)
    error = results["trained with pool", seed].values["error"]
    target = f"{PAPER}/szegedy/adversarial-pool/test-error"
    differs = shortened(profile)
    yield Row(error, "percent", target, "test error with a pool", seed, tests, differs=differs)
    made = results["attacked half", seed].tensors
    yield Row(
        made["distortion"][made["found"]].double().mean().item(),
        "none",
        None,
        "distortion of the half",
        seed,
    )
    for words in HALVES:
        error, of = results["trained half", seed, words].values["error"], {"network": words}
        yield Row(error, "percent", None, "test error of the half", seed, tests, setting=of)
    for source, key in {
        "fc100-100-10 first half": ("fed half", seed, None),
        "amplified": ("fed half", seed, AMPLIFIED),
        "noise": ("noisy half", seed),
    }.items():
        for words, correct in zip(HALVES, results[key].tensors["right"], strict=True):
            of = {"source": source, "network": words}
            target = None
            if words in PRINTED_HALVES and source != "noise":
                end = "-amplified" if source == "amplified" else ""
                target = f"{PAPER}/szegedy-tables-3-4/{PRINTED_HALVES[words]}{end}/error"
            yield share_row(~correct, target, "error across halves", seed, setting=of)


def unlike(name: str) -> str:
    """Return how one of our networks differs from the paper's network of the same name, or "" if we
    know of no difference.
    """
    if name != "ae400-10":
        return ""
    return "our autoencoder has no sparsity penalty, and its errors are larger than the paper's"


def shortened(profile: str) -> str:
    """Return how the training with a pool differs from that of the same network without a pool, or
    "" if both have the same number of epochs. A shorter training alone raises the test error.
    """
    pooled, without = POOLED_EPOCHS[profile], DEEP_EPOCHS[profile]
    if pooled == without:
        return ""
    return (
        f"our training with the pool has {pooled} epochs, and the same network without a pool has "
        f"{without}"
    )


def _fed(
    source: str, networks: tuple[str, ...], right: Tensor, seed: int, columns: tuple[str, ...]
) -> Iterator[Row]:
    """Yield the error rates of all networks on one kind of images: adversarial images that were
    computed on the network ``source``, or images with noise.

    Only the error rates of the networks in ``columns`` are compared with the paper's numbers. The
    row for adversarial images of AE400-10 is not compared, because we could not read it in the
    paper.
    """
    for name, correct in zip(networks, right, strict=True):
        target = None
        if name in columns and source != "ae400-10":
            there = source.removesuffix(TRAINING)
            target = f"{PAPER}/szegedy-table-2/{there}-on-{name}/error"
        of: Labels = {"source": source, "network": name}
        differs = unlike(name)
        yield share_row(~correct, target, "transfer error", seed, setting=of, differs=differs)


def _pictures(
    profile: str, seed: int, results: Mapping[tuple[Any, ...], Done]
) -> dict[str, list[Any]]:
    """Return the first test images, clean and attacked, as hexadecimal bytes, with their labels and
    target classes.
    """
    setting = SETTINGS[profile]
    clean, labels = some(setting.data, "test", setting.images, "cpu")
    targets = random_targets(labels, seed)[:SHOWN]
    shown = {"clean": clean}
    for name in COLUMNS:
        shown[name] = results["attacked", seed, name, "random"].tensors["images"]
    found: dict[str, list[Any]] = {
        name: [_hex(each) for each in images[:SHOWN]] for name, images in shown.items()
    }
    return {**found, "labels": labels[:SHOWN].tolist(), "targets": targets.tolist()}


def _hex(pixels: Tensor) -> str:
    return (255 * pixels).round().clamp(0, 255).to(torch.uint8).numpy().tobytes().hex()
