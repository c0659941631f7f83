"""Reproduce Figures 5 and 8 of Nayebi & Ganguli 2017: targeted attacks by L-BFGS.

Each of ten source images is attacked nine times, once with each other class as the target class:
L-BFGS changes the image, to minimise the cross entropy of the target class, until the network
predicts it. The source images are the least confident test images of each class in Figure 5, and
the most confident ones in Figure 8.

The paper mentions neither a bound on the distance nor clipping, so the attack has neither. The
paper does not name its implementation of L-BFGS either. For the comparison with the paper, we use
scipy's default tolerances and float32, a likely choice in 2017. We fixed this before the runs of
the pages, but after a pilot on one network. The study also runs variants: without tolerances, in
float64, and with clipping.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from statistics import median
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.attacks import lbfgs
from robustbook.ledger import Record, Row
from robustbook.runs import Call, Context, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import AS_TUPLE, STRICT, BadParameter

from .networks import test_images, train, trained
from .settings import COMPARED, TEST, mlps
from .targeted import CLASSES, Rule, check_sources, pairs, sources, straight

PAPER = "saturating"


@dataclass(frozen=True)
class Search:
    """A variant of L-BFGS.

    ``precision``: the precision of all computations.
    ``tolerances``: whether L-BFGS stops at scipy's default tolerances; if False, they are 0.
    ``clip``: whether images are clipped to [0, 1].
    """

    precision: Literal["float32", "float64"] = "float32"
    tolerances: bool = True
    clip: bool = False


READINGS = {  # the results of the first variant are compared with the paper
    "float32": Search(),
    "float32, no tolerances": Search(tolerances=False),
    "float64, no tolerances": Search("float64", tolerances=False),
    "float32, in the box": Search(clip=True),
}
MAIN = next(iter(READINGS))
STRAIGHT = "straight line"  # a baseline without gradients: a straight line to another image


Sources = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=10_000)], ...],
    Field(min_length=CLASSES, max_length=CLASSES),
    AS_TUPLE,
]


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the pages of Figures 5 and 8."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    iterations: Annotated[
        int, Field(ge=1, le=100_000, description="a number of iterations at most, 1 to 100000")
    ] = 1000  # with profile quick 100
    sources: Annotated[
        Sources | None,
        Field(
            description="ten numbers of test images, of classes 0 to 9 in turn, or None (by rule)"
        ),
    ] = None


@step(version=1)
def attack(
    network: Done,
    rule: Rule,
    given: tuple[int, ...] | None,
    searches: tuple[Search, ...],
    iterations: int,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Run L-BFGS from each of ten source images towards the nine other classes.

    The source images are the test images whose numbers are in ``given``; with None, ``rule``
    chooses them among ``images`` test images. The first three results have one value for each
    variant of L-BFGS and each pair of a source image and a target class.

    ``found``: whether the attack succeeded.
    ``iterations``: the number of iterations of L-BFGS.
    ``distance``: the l2 norm of the perturbation.
    ``sources``: the row numbers of the source images.
    ``images``: a grid of the adversarial images that the first variant found, with one row per
        source class and one column per target class. The diagonal has the source images, and a
        failed attack has a black image. The images are clipped to [0, 1] and rounded to 256 grey
        levels.
    ``straight``: for comparison, the l2 norm of a perturbation that needs no gradients: the source
        image moves straight towards the nearest test image that the network classifies as the
        target class, until the network predicts this class (see `straight`).
    """
    net = trained(network, context.device)
    training = network.call.arguments["training"]
    name = f"the {training.method} {training.network}"
    x, y = test_images(training.data, images, context.device)
    rows = sources(net, x, y, rule, name) if given is None else torch.tensor(given, device=x.device)
    check_sources(net, x, y, rows, name)
    at, source, target = pairs(rows)
    values: dict[str, list[Any]] = {"found": [], "iterations": [], "distance": []}
    grid = torch.zeros(CLASSES, CLASSES, *x.shape[2:], dtype=torch.uint8)
    for i, search in enumerate(searches):
        dtype = getattr(torch, search.precision)
        search_to = partial(lbfgs, gtol=0.0, ftol=0.0) if not search.tolerances else lbfgs
        end = search_to(
            copy.deepcopy(net).to(dtype),
            x[at].to(dtype),
            source,
            targets=target,
            steps=iterations,
            clip=search.clip,
        )
        values["found"].append(end.found.tolist())
        values["iterations"].append(end.steps.tolist())
        values["distance"].append(end.distance.tolist())
        if i == 0:
            grid[source[end.found].cpu(), target[end.found].cpu()] = _gray(end.images[end.found])
        context.progress(i + 1, len(searches))
    grid[range(CLASSES), range(CLASSES)] = _gray(x[rows])
    nearest = straight(net, x[at], x, target).tolist()
    return {**values, "sources": rows.tolist(), "images": grid, "straight": nearest}


def _gray(images: Float[Tensor, "n 1 h w"]) -> UInt8[Tensor, "n h w"]:
    return (255 * images[:, 0].clamp(0, 1)).round().to(torch.uint8).cpu()


def calls(rule: Rule, p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per triple (network,
    method, seed).

    The caption of Figure 5 says of the ReLU MLP only that "a similar trend occurs". So it is
    attacked only by the variant of L-BFGS that is compared with the paper.
    """
    most = p.iterations if p.profile == "paper" else min(p.iterations, 100)
    networks = mlps(p.profile)
    if p.sources is not None:
        _check_classes(p.sources, networks["sigmoid-mlp", "vanilla"].data, TEST[p.profile])
    searches = {"sigmoid-mlp": tuple(READINGS.values()), "relu-mlp": (READINGS[MAIN],)}
    return {
        (network, method, seed): attack(
            train(networks[network, method], seed), rule, p.sources, ways, most, TEST[p.profile]
        )
        for network, ways in searches.items()
        for method in COMPARED
        for seed in p.seeds
    }


def _check_classes(given: tuple[int, ...], data: str, images: int) -> None:
    """Raise BadParameter unless the reader's ``sources`` are the row numbers of test images of the
    classes 0 to 9 in turn. This check comes first, because the trainings before the attack take a
    while.
    """
    if max(given) >= images:
        raise BadParameter(
            f"sources must be below {images}, the number of test images, got {given}"
        )
    classes = test_images(data, images, "cpu")[1][list(given)].tolist()
    if classes != list(range(CLASSES)):
        raise BadParameter(f"sources must have the classes 0 to 9 in turn, got images of {classes}")


def condense(item: str, p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, the numbers of successes and
    failures of every variant of L-BFGS, and the images of the first seed.
    """
    rows: list[Row] = []
    for (network, method, seed), done in results.items():
        labels: dict[str, str | float | int | bool] = {"network": network, "method": method}
        most = done.call.arguments["iterations"]
        for reading, outcome in zip(READINGS, _outcomes(done), strict=False):
            rows += _counts(outcome, most, seed, {**labels, "reading": reading})
        away = median(done.values["straight"])
        setting = {**labels, "reading": STRAIGHT}
        rows.append(Row(away, "l2", None, "distance, found", seed, setting=setting))
        if network == "sigmoid-mlp":
            rows += _answers(item, method, seed, _outcomes(done)[0])
        elif method == "saturated" and item == "figure-5":
            found = sum(_outcomes(done)[0]["found"])
            target = f"{PAPER}/{item}/relu-saturated/successes"
            rows.append(Row(found, "count", target, seed=seed))
    arrays: dict[str, Any] = {
        method: _written(results["sigmoid-mlp", method, p.seeds[0]].tensors["images"])
        for method in COMPARED
    }
    return p.record(PAPER, item, rows, arrays)


def _written(images: UInt8[Tensor, "k k h w"]) -> list[list[str]]:
    """Return each image as two hexadecimal digits per pixel, or "" if L-BFGS found no image."""
    return [[bytes(i.flatten().tolist()).hex() if i.any() else "" for i in row] for row in images]


def _outcomes(done: Done) -> list[dict[str, list[Any]]]:
    """Return for each variant of L-BFGS three lists with one value per pair: ``found``,
    ``iterations`` and ``distance`` (see `attack`).
    """
    names = ("found", "iterations", "distance")
    columns = zip(*(done.values[name] for name in names), strict=True)
    return [dict(zip(names, column, strict=True)) for column in columns]


def _split(outcome: Mapping[str, list[Any]], what: str, found: bool) -> list[Any]:
    return [v for v, f in zip(outcome[what], outcome["found"], strict=True) if f is found]


def _counts(
    outcome: Mapping[str, list[Any]],
    most: int,
    seed: int,
    setting: dict[str, str | float | int | bool],
) -> Iterator[Row]:
    """Yield on how many pairs L-BFGS succeeded, stopped early without success, or ran out of
    iterations.

    L-BFGS counts as "stalled" if it failed and stopped before the maximum number of iterations,
    because a tolerance was reached, the gradient is zero, or the line search found no lower loss.
    """
    failed = _split(outcome, "iterations", False)
    ends = {
        "found": sum(outcome["found"]),
        "stalled": sum(n < most for n in failed),
        "stalled at once": failed.count(0),
        "limit": sum(n == most for n in failed),
    }
    for name, count in ends.items():
        yield Row(count, "count", None, name, seed, setting=setting)
    for what, unit in (("iterations", "count"), ("distance", "l2")):
        for end, found in (("found", True), ("failed", False)):
            if several := _split(outcome, what, found):
                name = f"{what}, {end}"
                yield Row(median(several), unit, None, name, seed, setting=setting)


def _answers(item: str, method: str, seed: int, outcome: Mapping[str, list[Any]]) -> Iterator[Row]:
    """Yield the results of the first variant of L-BFGS that are compared with the paper's
    numbers.
    """
    target, successes = f"{PAPER}/{item}/{method}", sum(outcome["found"])
    yield Row(successes, "count", f"{target}/successes", seed=seed)
    if method == "vanilla" and successes:
        taken = median(_split(outcome, "iterations", True))
        yield Row(taken, "count", f"{target}/iterations", seed=seed)
    if method == "saturated" and item == "figure-8":
        yield Row(successes, "count", f"{target}/fewer-than-least-confident", seed=seed)
