"""Evaluate the networks of Nayebi & Ganguli 2017 (Table 1) under stronger attacks.

According to Brendel & Bethge 2017 (arXiv 1704.01547), the paper's attacks failed because
of numerical limits in computing the gradients. Three groups of attacks avoid this. The first
computes in float64, rescales the logits, or uses a difference of two logits as the loss. The second
changes the backward pass: it skips the last nonlinearity, or smooths all of them. The third needs
no gradients of the attacked network: it transfers adversarial images from another network, or
queries only the outputs. For each image, the study also measures the norm of the smallest
adversarial perturbation that any attack finds, which gives the accuracy under attack for every eps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.ledger import Record, Row
from robustbook.measures import Attack, surviving
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .attackers import bypass, minimal, search
from .networks import Method, evaluate, train
from .settings import CONTROLS, cnns, mlps, readings

PAPER, ITEM = "saturating", "critique"
FEW = 10.0
"""The accuracy in percent under all attacks up to which a network counts as not robust: our choice,
made after the runs.
"""
DRAWN = tuple(i / 100 for i in range(51))  # values of eps at which the curves are stored
FINE = tuple(i / 100 for i in range(1, 11))  # values of eps at which most attacks first succeed
GRID = {"quick": (0.05, 0.2, 0.5), "paper": (*FINE, 0.12, 0.14, 0.17, 0.2, 0.3, 0.4, 0.5)}
QUICK_QUERIES, QUICK_CNN = 100, 10
SEARCHED = {"quick": 20, "paper": 300}  # Square's queries per image at each eps of the curves
# The number of images that one computation attacks, which takes about a minute.
PIECE = {"sigmoid-mlp": 250, "relu-mlp": 250, "cnn": 10}
OWN = ("float32", "float64", "rescaled", "margin", "signs", "pgd", "pgd margin", "pgd softened")
"""The attacks of Table 1's page whose results this study shows again, those of the first five also
with clipping to [0, 1].
"""


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page on stronger attacks."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2, 3, 4)}
    eps: Annotated[
        float,
        Field(gt=0, le=1, description="a size of attack in pixels of [0, 1], above 0, at most 1"),
    ] = 0.25  # for the table only; the curves reach from 0 to 0.5
    controls: Annotated[
        int, Field(ge=1, le=10_000, description="a number of test images, 1 to 10000")
    ] = 1000  # test images, for MLPs and for Table 1's attacks; 40 for profile quick
    cnn_images: Annotated[
        int, Field(ge=1, le=10_000, description="a number of test images for the CNNs, 1 to 10000")
    ] = 30  # test images, for attacks that Table 1's page lacks; 10 for profile quick
    queries: Annotated[
        int, Field(ge=1, le=100_000, description="Square's queries per image, 1 to 100000")
    ] = 5000  # at eps; 100 for profile quick; 300 for the curves


def more(eps: float) -> dict[str, Attack]:
    """Return, by name, the attacks that this study adds to those of the study of Table 1."""
    climb = readings(eps)["pgd"]
    return {
        "pgd float64": replace(climb, precision="float64"),
        "pgd rescaled": replace(climb, rescale=True),
        "pgd float64 margin": replace(climb, precision="float64", loss="margin"),
    }


def bypasses(eps: float) -> dict[str, Attack]:
    """Return by name the attacks that skip the last nonlinearity in the backward pass."""
    table = readings(eps)
    named = {"bypassed": "float32", "bypassed, clipped": "float32, clipped"}
    return {k: table[v] for k, v in named.items()} | {"pgd bypassed": table["pgd margin"]}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network,
    method, seed, purpose).
    """
    found: dict[tuple[Any, ...], Call] = {}
    quick = p.profile == "quick"
    table = readings(p.eps)
    few = min(p.controls, CONTROLS[p.profile])
    queries = min(p.queries, QUICK_QUERIES) if quick else p.queries
    trainings = {**cnns(p.profile), **mlps(p.profile)}
    for (network, method), training in trainings.items():
        n = few
        if network == "cnn":
            n = min(p.cnn_images, QUICK_CNN if quick else CONTROLS[p.profile])
        for seed in p.seeds:
            net = train(training, seed)
            vanilla = train(trainings[network, "vanilla"], seed) if method != "vanilla" else None
            key = (network, method, seed)
            found[*key, "readings"] = evaluate(net, tuple(table.values()), few)
            found[*key, "more"] = evaluate(net, tuple(more(p.eps).values()), n)
            found[*key, "bypass"] = bypass(net, tuple(bypasses(p.eps).values()), n)
            if vanilla is not None:
                fgsm = (table["float32, clipped"],)
                found[*key, "transfer"] = evaluate(net, fgsm, few, source=vanilla)
                climb = (table["pgd margin"],)
                found[*key, "pgd transfer"] = evaluate(net, climb, n, source=vanilla)
            for rows in _pieces(n, PIECE[network]):
                found[*key, "square", *rows] = search(net, p.eps, queries, n, rows)
                grid, asked = GRID[p.profile], SEARCHED[p.profile]
                found[*key, "minimal", *rows] = minimal(net, vanilla, grid, asked, n, rows)
    return found


def _pieces(n: int, size: int) -> list[tuple[int, int]]:
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the accuracy of each network under each attack, the curves of accuracy against eps,
    and the results that have a verdict in the book.
    """
    rows: list[Row] = []
    curves: dict[str, list[list[float]]] = {}
    for key in dict.fromkeys(key[:3] for key in results):
        network, method, seed = key
        labels: dict[str, str | float | int | bool] = {"network": network, "method": method}
        own = dict(_accuracies(p, results, key))
        sizes, grey = _sizes(results, key)
        curve = surviving(sizes["all"], torch.tensor([*DRAWN, p.eps])).tolist()
        own["worst"] = curve.pop()
        curves.setdefault(f"{network}/{method}", []).append(curve)
        for reading, accuracy in own.items():
            setting = {**labels, "reading": reading}
            rows.append(Row(accuracy, "percent", None, "accuracy", seed, setting=setting))
        still = results[*key, "readings"].values["unmoved"]
        unmoved = dict(zip(readings(p.eps), still, strict=True))
        for reading in ("float32", "float64", "probabilities"):
            setting = {**labels, "reading": reading}
            rows.append(Row(unmoved[reading], "percent", None, "unmoved", seed, setting=setting))
        for attack, found in sizes.items():
            # If the attacks fail on half of the images or more, the median norm is unknown; the
            # largest eps that was tried stands for it.
            median = min(found.median().item(), GRID[p.profile][-1])
            setting = {**labels, "attack": attack}
            rows.append(Row(median, "none", None, "median", seed, setting=setting))
        share, n = 100 * grey / len(sizes["all"]), len(sizes["all"])
        rows.append(Row(share, "percent", None, "grey", seed, setting=labels))
        rows.append(Row(n, "count", None, "images", seed, setting=labels))
        if method == "saturated":
            target = f"{PAPER}/{ITEM}/{network.removesuffix('-mlp')}-all-attacks"
            few, worst = own["worst"] <= FEW, own["worst"]
            rows.append(Row(worst, "percent", target, seed=seed, images=n, holds=few))
        if (network, method) == ("sigmoid-mlp", "saturated"):
            rows += _answers(own, unmoved["float32"], seed, min(p.controls, CONTROLS[p.profile]))
    return p.record(PAPER, ITEM, rows, {"eps": DRAWN, **curves})


def _accuracies(
    p: Parameters, results: Mapping[tuple[Any, ...], Done], key: tuple[str, Method, int]
) -> Iterator[tuple[str, float]]:
    """Yield the name of each attack on one network, and the accuracy in percent under it."""
    table = dict(zip(readings(p.eps), results[*key, "readings"].values["accuracy"], strict=True))
    for reading in OWN:
        yield reading, table[reading]
        if f"{reading}, clipped" in table:
            yield f"{reading}, clipped", table[f"{reading}, clipped"]
    yield from zip(more(p.eps), results[*key, "more"].values["accuracy"], strict=True)
    yield from zip(bypasses(p.eps), results[*key, "bypass"].values["accuracy"], strict=True)
    for reading in ("transfer", "pgd transfer"):
        if (*key, reading) in results:
            yield reading, results[*key, reading].values["accuracy"][0]
    pieces = [done.tensors["correctly"] for k, done in results.items() if k[:4] == (*key, "square")]
    yield "square", 100 * torch.cat(pieces).double().mean().item()


def _sizes(
    results: Mapping[tuple[Any, ...], Done], key: tuple[str, Method, int]
) -> tuple[dict[str, Tensor], int]:
    """Return for one network the norms of each attack's smallest perturbations, by the attack's
    name. Return also the number of images ``grey`` (see `minimal`).

    The entry ``all`` has for each image the smallest norm over all attacks.
    """
    pieces = [done for k, done in results.items() if k[:4] == (*key, "minimal")]
    found = {
        name.removeprefix("size/"): torch.cat([done.tensors[name] for done in pieces])
        for name in pieces[0].tensors
    }
    found["all"] = torch.stack(list(found.values())).amin(0)
    return found, sum(done.values["grey"] for done in pieces)


def _answers(own: Mapping[str, float], still: float, seed: int, images: int) -> Iterator[Row]:
    """Yield the results for the saturated sigmoid network that have a verdict in the book."""

    def row(name: str, value: float, holds: bool | None = None) -> Row:
        target = f"{PAPER}/{ITEM}/{name}"
        return Row(value, "percent", target, seed=seed, images=images, holds=holds)

    yield row("zero-gradient-share", still)
    yield row("clipped-fgsm", own["float32, clipped"])  # the next two attacks are clipped too
    yield row("transfer-fgsm", own["transfer"])
    yield row("surrogate-slope-pgd", own["pgd softened"])
    yield row("float64-fgsm", own["float64"])
    # The claim holds if the accuracy under FGSM exceeds that under random signs by at most 2
    # percentage points.
    yield row("random-sign-control", own["signs"], own["float32"] <= own["signs"] + 2)
