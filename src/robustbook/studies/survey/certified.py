"""Compute certified accuracies by randomized smoothing (Cohen, Rosenfeld and Kolter 2019).

A network is trained on images with Gaussian noise of standard deviation sigma. The smoothed
classifier predicts the class that this network predicts most often when such noise is added to the
image. For each image, the paper's procedure CERTIFY returns a class and an l2 radius, or abstains.
The certified accuracy at radius r is the fraction of test images for which CERTIFY returns the true
class and a radius of at least r. This is a lower bound on the accuracy under every attack with the
radius r.

The paper's networks need a GPU. So by default, profile ``paper`` trains no network. It computes
only the largest radius that a given number of noise draws can certify; the parameter ``sigmas``
chooses the values of sigma for which networks are trained.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from robustbook.data import as_float, load
from robustbook.defenses import smoothed
from robustbook.ledger import Record, Row
from robustbook.measures import certified, votes
from robustbook.measures.certificate import ABSTAIN
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import AS_TUPLE, STRICT
from robustbook.training import Augmentation, Recipe

from . import settings
from .networks import Defense, Model, model_of, train, trained
from .settings import PAPER, cifar10_recipe

ITEM = "certified"
ALPHA = 0.001
"""For each image, the probability that its certified radius is too large, as in the paper."""
SIGMAS = (0.12, 0.25, 0.5, 1.0)
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""The l2 radii of the page's table."""
POINTS = 121
"""The number of points of each curve of certified accuracy; the curves reach from radius 0 to 3."""
CAPS = (100, 1000, 10_000, 100_000)
"""The numbers of noise draws for which the largest certifiable radius is computed."""
PRINTED = {0.12: 0.25, 0.25: 0.75, 0.5: 1.75, 1.0: 2.0}
"""For each sigma, the largest radius for which the book lists the authors' certified accuracy."""


@dataclass(frozen=True)
class Size:
    """The settings of the study for one profile: the network, its training, the number of images,
    and the numbers of noise draws.

    ``images``: the number of test images.
    ``every``: the distance between two images in the test set; 20 stands for every twentieth image.
    ``choice``: the number of noise draws that choose the class (the paper's n0).
    ``trials``: the number of noise draws that bound the probability of the chosen class (the
        paper's n).
    ``sigmas``: the standard deviations of the noise, with one network for each.
    """

    model: Model
    recipe: Recipe
    images: int
    every: int
    choice: int
    trials: int
    sigmas: tuple[float, ...] = SIGMAS


SIZES: Mapping[str, Size] = {
    "quick": Size(
        Model("digits", "wong"),
        Recipe(8 * 27, 50, 3e-3, schedule="linear", warmup=0.2),
        images=40,
        every=10,
        choice=20,
        trials=200,
    ),
    "reduced": Size(
        Model("cifar10", "resnet18", 8),
        cifar10_recipe(300, 125),
        images=100,
        every=100,
        choice=100,
        trials=1000,
    ),
    "paper": Size(
        Model("cifar10", "resnet110"),
        Recipe(
            90 * 125,
            400,
            0.1,
            "sgd",
            schedule=((30 * 125, 0.1), (60 * 125, 0.01)),
            weight_decay=1e-4,
            channels_last=True,
            augmentation=Augmentation(mirror=True, padding=4),
        ),
        images=500,
        every=20,
        choice=100,
        trials=100_000,
        sigmas=(),
    ),
}


@checked(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader of the book can set for the study of certified accuracy."""

    own_seeds: ClassVar = {"quick": (0,), "reduced": (0,), "paper": (0,)}
    selects: ClassVar = ("sigmas",)
    sigmas: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(
            min_length=1,
            description="a list of standard deviations above 0, or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the values of sigma for which networks are trained."""
        return {"sigmas": self.chosen()}

    def chosen(self) -> tuple[float, ...]:
        """Return the values of sigma that the reader chose, by default those of the profile."""
        return SIZES[self.profile].sigmas if self.sigmas is None else self.sigmas


@step(version=1)
def counted(
    network: Done,
    sigma: float,
    images: int,
    every: int,
    choice: int,
    trials: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Count for each image how often each class is predicted under noise, as CERTIFY does.

    ``label``: the true classes.
    ``choice``: how often each class is predicted in the noise draws that choose the class, shape
        (images, classes).
    ``counts``: how often each class is predicted in the noise draws that bound the probability of
        the chosen class, shape (images, classes).
    """
    keys = torch.arange(images) * every
    found = load(model_of(network).data, "test").subset(keys)
    x, keys = as_float(found.images).to(context.device), keys.to(context.device)
    net = smoothed(trained(network, context.device), sigma, seed=network.call.arguments["seed"])
    first: list[Tensor] = []
    second: list[Tensor] = []
    for i in range(images):  # one at a time, because all votes together need gigabytes
        one, key = x[i : i + 1], keys[i : i + 1]
        first.append(votes(net, one, key, draws=choice))
        second.append(votes(net, one, key, draws=trials, start=choice))
        context.progress(i + 1, images)
    return {
        "choice": torch.cat(first).cpu(),
        "counts": torch.cat(second).cpu(),
        "label": found.labels,
    }


def calls(p: Parameters) -> dict[tuple[float, int], Call]:
    """Return the jobs that the study runs, as a dict with one entry per pair (sigma, seed)."""
    own = SIZES[p.profile]
    return {
        (sigma, seed): counted(
            train(own.model, Defense(sigma=sigma), own.recipe, seed),
            sigma,
            own.images,
            own.every,
            own.choice,
            own.trials,
        )
        for sigma in p.chosen()
        for seed in p.seeds
    }


def condense(p: Parameters, results: Mapping[tuple[float, int], Done]) -> Record:
    """Return the study's results: certified accuracies, and the largest radii that can be
    certified.
    """
    rows = list(_caps())
    radii = [3 * i / (POINTS - 1) for i in range(POINTS)]
    arrays: dict[str, Any] = {"radii": radii}
    for (sigma, seed), done in results.items():
        answer, radius = certified(
            done.tensors["choice"], done.tensors["counts"], sigma=sigma, alpha=ALPHA
        )
        right = answer == done.tensors["label"]
        rows += _table(right, radius, answer, sigma, seed)
        rows += _votes(done, sigma, seed)
        curve = [_share(right & (radius >= r)) for r in radii]
        arrays.setdefault(f"sigma-{sigma:g}", []).append(curve)
    return p.record(PAPER, ITEM, rows, arrays)


def largest_radius(trials: int, alpha: float = ALPHA) -> float:
    """Return the radius, as a multiple of sigma, that CERTIFY gives if all ``trials`` votes are for
    one class.
    """
    counts = torch.tensor([[0, trials]])
    _, radius = certified(counts, counts, sigma=1.0, alpha=alpha)
    return float(radius)


def _caps() -> Iterator[Row]:
    for trials in CAPS:
        target = f"{PAPER}/cohen-theory/radius-cap/n-{trials}"
        yield Row(largest_radius(trials), "ratio", target, "cap", setting={"draws": trials})


def _table(right: Tensor, radius: Tensor, answer: Tensor, sigma: float, seed: int) -> Iterator[Row]:
    """Yield for one network the certified accuracy at each radius of the paper's table, the
    fraction of images on which CERTIFY abstains, and the mean certified radius. In this mean, the
    radius of an image counts as 0 if CERTIFY does not return its true class.
    """
    start = f"{PAPER}/cohen-cifar10/sigma-{sigma}"
    images, labels = len(right), {"sigma": sigma}
    for r in RADII:
        value, last = _share(right & (radius >= r)), PRINTED.get(sigma, -1)
        target = f"{start}/certified-accuracy-r-{r or 0}" if r <= last else None
        setting: dict[str, str | float | int | bool] = {**labels, "radius": r}
        yield Row(value, "fraction", target, "certified accuracy", seed, images, setting=setting)
    told = sigma in PRINTED
    share, mean = _share(answer == ABSTAIN), (radius * right).double().mean().item()
    target = f"{start}/abstain" if told else None
    yield Row(share, "fraction", target, "abstained", seed, images, setting=dict(labels))
    target = f"{start}/mean-radius" if told else None
    yield Row(mean, "l2", target, "mean radius", seed, setting=dict(labels))


def _votes(done: Done, sigma: float, seed: int) -> Iterator[Row]:
    """Yield the accuracy of predicting the class with the most votes, the fraction of images for
    which all votes agree, and the number of votes per image.
    """
    counts, label = done.tensors["counts"], done.tensors["label"]
    most, answer = counts.max(1)
    rows = {
        "accuracy of votes": answer == label,
        "all votes agree": most == counts.sum(1),
    }
    for name, found in rows.items():
        yield Row(_share(found), "fraction", None, name, seed, len(label), setting={"sigma": sigma})
    trials = int(counts[0].sum())
    yield Row(trials, "count", None, "draws", seed, setting={"sigma": sigma})


def _share(found: Tensor) -> float:
    return found.double().mean().item()
