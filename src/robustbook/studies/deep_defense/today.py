"""Measure the robustness of Deep Defense's networks under attacks that are not used in training.

Deep Defense increases DeepFool's estimate of the smallest perturbation. DDN, which follows the
curved class boundary for 300 steps, tests whether Deep Defense increases this perturbation itself.
As we remember, the accuracies under FGS in the paper's Table 1 suggest that the method also helps
against l-infinity perturbations. PGD and the gradient-free Square attack test this. All norms are
for pixels in [0, 1], because the preprocessing is part of the attacked network. Attacks with "free"
in their names do not clip; all others clip images to [0, 1].
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from robustbook.attacks import ddn, deepfool
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, predict, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT

from . import settings
from .methods import released
from .networks import model_of, pixels
from .sets import COLOURED
from .settings import PAPER

ITEM = "today"
IMAGES = {"mlp": 1000, "lenet": 200, "convnet": 200, "nin": 100}
STEPS, CLIMB = 300, 40  # numbers of steps of DDN and of PGD
QUICK_IMAGES = {"mlp": 30, "lenet": 10, "convnet": 10, "nin": 5}
QUICK_STEPS, QUICK_CLIMB, QUICK_QUERIES = 25, 20, 20
SIZES = {False: (0.05, 0.1, 0.15, 0.2), True: (1 / 255, 2 / 255, 4 / 255, 8 / 255)}
"""The values of eps for the l-infinity attacks, for pixels in [0, 1]: for gray, then for colour
images.
"""
PGD = Attack("pgd", clip=True)
ATTACKS = {
    "fgsm": Attack("fgsm", clip=True),
    "pgd": PGD,
    "pgd margin": replace(PGD, loss="margin"),
    "square": Attack("square", clip=True),
}


@dataclass(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set on the page on today's attacks."""

    queries: Annotated[
        int, Field(ge=1, le=100_000, description="Square's queries per image, 1 to 100000")
    ] = 1000  # with profile quick 20


@step(version=1)
def nearest(network: Done, images: int, steps: int, *, context: Context) -> dict[str, object]:
    """Return for each attack and image the l2 norm of the smallest perturbation that the attack
    found, for pixels in [0, 1].

    ``distance/<attack>``: the norm for the attack ``deepfool`` or ``ddn``, or for ``best`` the
        smaller norm of the two. The norm is 0 if the network misclassifies the clean image, and
        infinite if the attack fails. For ``ddn``, DDN is run with two losses, the cross entropy and
        the margin, and the smaller norm counts. On gray images, two attacks without clipping are
        added: ``ddn free`` is DDN on the cross entropy, and ``deepfool free`` is the DeepFool of
        Deep Defense's released code.
    """
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
        inside, numbers = net.body, net.preprocess(x)
        made = deepfool(inside, numbers, y, preset=released(data))
        own = (made.distance / 255).masked_fill(~made.found, torch.inf)
        wrong = predict(inside, numbers) != y
        found["deepfool free"] = own.masked_fill(wrong, 0.0)
        found["ddn free"] = ddn(net, x, y, steps=steps, clip=False).distance
    return {f"distance/{name}": size.detach().cpu() for name, size in found.items()}


@step(version=1, later=("climb",))
def bounded(
    network: Done,
    sizes: tuple[float, ...],
    images: int,
    queries: int,
    climb: int = CLIMB,
    *,
    context: Context,
) -> dict[str, object]:
    """Return which images are still classified correctly under each attack in `ATTACKS`.

    ``right/<attack>``: a matrix with one row for each eps in ``sizes`` and one column for each
        image.

    PGD makes ``climb`` steps of size eps / 8.
    """
    net, x, y = pixels(network, images, context.device)
    seed = network.call.arguments["seed"]
    right: dict[str, list[Tensor]] = {attack: [] for attack in ATTACKS}
    for i, eps in enumerate(sizes):
        chance = generator(seed, "today", i)  # all attacks draw from this generator
        for name, attack in ATTACKS.items():
            sized = replace(attack, eps=eps, steps=climb, step_size=eps / 8, queries=queries)
            right[name].append(~strike(sized, net, x, y, generator=chance).found)
        context.progress(i + 1, len(sizes))
    return {f"right/{name}": torch.stack(rows).cpu() for name, rows in right.items()}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network,
    method, seed, purpose).
    """
    found: dict[tuple[Any, ...], Call] = {}
    quick = p.profile == "quick"
    for network, setting in p.chosen().items():
        images = (QUICK_IMAGES if quick else IMAGES)[network]
        sizes = SIZES[setting.model.data in COLOURED][: 3 if quick else None]
        steps, climb, queries = (
            (QUICK_STEPS, QUICK_CLIMB, min(p.queries, QUICK_QUERIES))
            if quick
            else (STEPS, CLIMB, p.queries)
        )
        for seed in p.seeds[: setting.seeds]:
            for method, net in setting.networks(seed).items():
                found[network, method, seed, "nearest"] = nearest(net, images, steps)
                found[network, method, seed, "bounded"] = bounded(
                    net, sizes, images, queries, climb
                )
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results for each network: the median l2 norm of the smallest
    perturbations, and the accuracy under each l-infinity attack at each eps.

    The paper has no numbers to compare with this study.
    """
    # These are the images that the networks of all methods classify correctly.
    shared: dict[tuple[str, int], Tensor] = {}
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
    return p.record(PAPER, ITEM, rows)


def _medians(done: Done, seed: int, labels: dict[str, Any], shared: Tensor) -> Iterator[Row]:
    """Yield for each attack the median norm of the smallest perturbations over all test images, and
    over the shared images, which the networks of all methods classify correctly. Yield also the
    percentage of images on which the attack fails.

    In the first median, an image that is misclassified without any attack counts as 0. The second
    median compares the methods on the same images, so it does not depend on the clean accuracy.
    """
    for name, sizes in done.tensors.items():
        setting = {**labels, "attack": name.removeprefix("distance/")}
        yield Row(sizes.median().item(), "l2", None, "median", seed, setting=setting)
        if shared.any():
            same = sizes[shared].median().item()
            yield Row(same, "l2", None, "shared median", seed, setting=setting)
        missed = 100 * sizes.isinf().double().mean().item()
        yield Row(missed, "percent", None, "missed", seed, setting=setting)


def _accuracies(done: Done, seed: int, labels: dict[str, Any]) -> Iterator[Row]:
    """Yield the accuracy under each attack, and under all attacks together (``worst``), where an
    image counts as correct only if no attack succeeds on it.
    """
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
