"""Does Deep Defense stand today? Its networks under attacks that it was not trained against.

Deep Defense makes DeepFool's estimate of the smallest perturbation larger. Whether the smallest
perturbation itself became larger, another attack has to say: DDN, which follows the curved boundary
for 300 steps. And whether that helps against a bounded change of every pixel, which the paper's FGS
columns suggest: PGD, and Square, which asks for no gradient. Everything here is in pixels of
[0, 1], with the preprocessing inside the network; images stay in that range unless it says "free".
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.attacks import ddn, deepfool, fgsm, pgd, square
from robustbook.ledger import Record, Row
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT

from . import settings
from .methods import released
from .networks import model_of, pixels, trained
from .sets import COLOURED, preprocess
from .settings import PAPER

ITEM = "today"
IMAGES = {"mlp": 1000, "lenet": 200, "convnet": 200, "nin": 100}
STEPS = 300  # of DDN
QUICK_IMAGES = {"mlp": 40, "lenet": 15, "convnet": 10, "nin": 5}
QUICK_STEPS, QUICK_QUERIES = 40, 20
SIZES = {False: (0.05, 0.1, 0.15, 0.2), True: (1 / 255, 2 / 255, 4 / 255, 8 / 255)}
"""Of the l-infinity attacks, in pixels of [0, 1]: on gray and on coloured images."""
ATTACKS = ("fgsm", "pgd", "pgd margin", "square")


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The choices a reader can make."""

    queries: Annotated[
        int, Field(ge=1, le=100_000, description="Square's queries per image, 1 to 100000")
    ] = 1000  # quick has 20


@step(version=1)
def nearest(network: Done, images: int, steps: int, *, context: Context) -> dict[str, object]:
    """``distance/<attack>``, the l2 size in pixels of the smallest perturbation each found of each
    test image (0 if it is wrong from the start, infinite if nothing was found): ``deepfool``,
    ``ddn``, and ``best`` of both; on gray images also ``deepfool free``, the paper's own, and
    ``ddn free``, both without the range of pixels."""
    net, x, y = pixels(network, images, context.device)
    found = {
        "deepfool": deepfool(net, x, y).distance,
        "ddn": torch.minimum(
            ddn(net, x, y, steps=steps).distance,
            ddn(net, x, y, steps=steps, loss="margin").distance,
        ),
    }
    found["best"] = torch.minimum(found["deepfool"], found["ddn"])
    data = model_of(network).data
    if data not in COLOURED:
        inside, numbers = trained(network, context.device), preprocess(data).to(context.device)(x)
        own = deepfool(inside, numbers, y, preset=released(data)).distance / 255
        wrong = inside(numbers).argmax(1) != y
        found["deepfool free"] = own.masked_fill(wrong, 0.0)
        found["ddn free"] = ddn(net, x, y, steps=steps, clip=False).distance
    return {f"distance/{name}": size.detach().cpu() for name, size in found.items()}


@step(version=1)
def bounded(
    network: Done, sizes: tuple[float, ...], images: int, queries: int, *, context: Context
) -> dict[str, object]:
    """``right/<attack>``: which images (sizes, images) are still named correctly after FGSM, PGD
    (40 steps of an eighth of eps, on the cross entropy and on the margin) and Square."""
    net, x, y = pixels(network, images, context.device)
    seed = network.call.arguments["seed"]
    right: dict[str, list[Tensor]] = {attack: [] for attack in ATTACKS}
    for i, eps in enumerate(sizes):
        climb = partial(pgd, net, x, y, eps=eps, steps=40, step_size=eps / 8)
        chance = generator(seed, "today", i)
        found = {
            "fgsm": fgsm(net, x, y, eps=eps),
            "pgd": climb(generator=chance),
            "pgd margin": climb(loss="margin", generator=chance),
            "square": square(net, x, y, eps=eps, queries=queries, generator=chance),
        }
        for name, result in found.items():
            right[name].append(~result.found)
        context.progress(i + 1, len(sizes))
    return {f"right/{name}": torch.stack(rows).cpu() for name, rows in right.items()}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """What is to be run, by (network, method, seed, what)."""
    assert p.seeds is not None
    found: dict[tuple[Any, ...], Call] = {}
    quick = p.profile == "quick"
    for network, setting in p.chosen().items():
        images = (QUICK_IMAGES if quick else IMAGES)[network]
        sizes = SIZES[setting.model.data in COLOURED][: 3 if quick else None]
        steps, queries = (
            (QUICK_STEPS, min(p.queries, QUICK_QUERIES)) if quick else (STEPS, p.queries)
        )
        for seed in p.seeds[: setting.seeds]:
            for method, net in setting.networks(seed).items():
                found[network, method, seed, "nearest"] = nearest(net, images, steps)
                found[network, method, seed, "bounded"] = bounded(net, sizes, images, queries)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Medians of the smallest perturbations, accuracies at each size; nothing is judged."""
    assert p.seeds is not None
    shared: dict[tuple[str, int], Tensor] = {}  # images that all methods' networks name correctly
    for (network, _, seed, what), done in results.items():
        if what == "nearest":
            right = done.tensors["distance/best"] > 0
            shared[network, seed] = shared.get((network, seed), right) & right
    rows = [
        Row(int(right.sum()), "count", None, "shared images", seed, setting={"network": network})
        for (network, seed), right in shared.items()
    ]
    for (network, method, seed, what), done in results.items():
        labels = {"network": network, "method": method}
        if what == "nearest":
            rows += _medians(done, seed, labels, shared[network, seed])
        else:
            rows += _accuracies(done, seed, labels)
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))


def _medians(done: Done, seed: int, labels: dict[str, Any], shared: Tensor) -> Iterator[Row]:
    """``median`` over all test images, where one that is wrong from the start counts 0; and
    ``shared median`` over the shared ones, so that methods are compared on the same images and not
    by how many they name correctly."""
    for name, sizes in done.tensors.items():
        setting = {**labels, "attack": name.removeprefix("distance/")}
        yield Row(sizes.median().item(), "l2", None, "median", seed, setting=setting)
        if shared.any():
            same = sizes[shared].median().item()
            yield Row(same, "l2", None, "shared median", seed, setting=setting)
        missed = 100 * sizes.isinf().double().mean().item()
        yield Row(missed, "percent", None, "missed", seed, setting=setting)


def _accuracies(done: Done, seed: int, labels: dict[str, Any]) -> Iterator[Row]:
    """Each attack's, and ``worst``: an image counts only if it withstood all of them."""
    right = {name.removeprefix("right/"): rows for name, rows in done.tensors.items()}
    right["worst"] = torch.stack(list(right.values())).all(0)
    for name, rows in right.items():
        for eps, row in zip(done.call.arguments["sizes"], rows, strict=True):
            setting = {**labels, "attack": name, "eps": round(eps, 5)}
            yield Row(
                100 * row.double().mean().item(),
                "percent",
                None,
                "accuracy",
                seed,
                len(row),
                setting=setting,
            )
