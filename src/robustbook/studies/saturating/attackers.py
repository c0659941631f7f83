"""Run attacks whose gradients do not vanish in float32, for the study of today's attacks
(`critique`).
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from robustbook.measures import (
    Attack,
    Strike,
    bypassed,
    median_lead,
    predict,
    rescaled,
    smallest,
    strike,
    survival,
)
from robustbook.measures.answers import Model
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step

from .networks import test_images, trained

# Factors by which nonlinearities are stretched in the backward pass; Table 1 uses 10.
SOFTER = (10.0, 20.0, 40.0)


@step(version=1)
def bypass(
    network: Done, attacks: tuple[Attack, ...], images: int, *, context: Context
) -> dict[str, object]:
    """Measure the accuracy under attacks that compute gradients without the nonlinearity of the
    last hidden layer.
    """
    net = trained(network, context.device)
    x, y = test_images(network.call.arguments["training"].data, images, context.device)
    seed, view = network.call.arguments["seed"], bypassed(net)
    return {"accuracy": [survival(net, x, y, a, seed=seed, source=view).accuracy for a in attacks]}


@step(version=1)
def search(
    network: Done,
    eps: float,
    queries: int,
    images: int,
    rows: tuple[int, int],
    *,
    context: Context,
) -> dict[str, object]:
    """Run the Square attack on some of the test images.

    ``images``: the number of test images, which are evenly spaced over the test set.
    ``rows``: a pair (a, b): the images with numbers a to b - 1 are attacked.

    ``correctly``: for each attacked image, whether the network still classifies it correctly.
    ``queries``: for each attacked image, the number of queries.
    """
    net = trained(network, context.device)
    x, y, keys = _piece(network, images, rows, context.device)
    chance = generator(network.call.arguments["seed"], "square")
    found = strike(Attack("square", eps, queries=queries), net, x, y, keys=keys, generator=chance)
    return {"correctly": (~found.found).cpu(), "queries": found.steps.cpu()}


@step(version=1)
def minimal(
    network: Done,
    source: Done | None,
    grid: tuple[float, ...],
    queries: int,
    images: int,
    rows: tuple[int, int],
    *,
    context: Context,
) -> dict[str, object]:
    """Return for each attack and test image the l-infinity norm of the smallest perturbation that
    this attack found.

    ``size/<attack>``: the norms for one attack, on the test images with numbers in the range
        ``rows``.

    ``grey``: the number of attacked images whose true class is the one that the network predicts
        for a uniformly grey image. An l-infinity attack with eps 0.5 can turn every image into this
        grey image, so it can succeed on all images of other classes.

    ``source``: the network on which the transfer attack computes its adversarial images.
    """
    net = trained(network, context.device)
    x, y, keys = _piece(network, images, rows, context.device)
    lead = median_lead(net, *test_images(_data(network), images, context.device))
    other = trained(source, context.device) if source is not None else None
    strikes = _strikes(net, other, lead, queries, network.call.arguments["seed"])
    sizes = {}
    for i, (name, attack) in enumerate(strikes.items()):
        sizes[f"size/{name}"] = smallest(net, x, y, attack, grid, keys=keys).cpu()
        context.progress(i + 1, len(strikes))
    answer = predict(net, torch.full_like(x[:1], 0.5))
    return {**sizes, "grey": int((y == answer).sum())}


def _strikes(
    net: nn.Module, source: nn.Module | None, lead: float, queries: int, seed: int
) -> dict[str, Strike]:
    """Return, by name, the attacks that give the curves of accuracy against eps; all clip images to
    [0, 1].

    ``lead``: the median over all test images of the absolute difference between the true class's
        logit and the highest other logit (see `median_lead`).
    """
    climb = Attack("pgd", loss="margin", clip=True, steps=20)
    plain = replace(climb, loss="cross_entropy")
    named: dict[str, tuple[Model, Attack]] = {
        "plain": (net, plain),
        "margin": (net, climb),
        "float64": (net, replace(climb, precision="float64")),
        "rescaled": (rescaled(net, lead), plain),
        "bypassed": (bypassed(net), climb),
        **{f"softened {times:g}": (net, replace(climb, slope=times)) for times in SOFTER},
        **({} if source is None else {"transfer": (source, climb)}),
        "square": (net, Attack("square", clip=True, queries=queries)),
    }

    def of_size(name: str) -> Strike:
        model, attack = named[name]

        def made(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
            sized = replace(attack, eps=eps, step_size=eps / 4)
            chance = generator(seed, "smallest", name)
            return strike(sized, model, x, y, keys=keys, generator=chance).images

        return made

    return {name: of_size(name) for name in named}


def _data(network: Done) -> str:
    data: str = network.call.arguments["training"].data
    return data


def _piece(
    network: Done, images: int, rows: tuple[int, int], device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the test images with numbers in the range ``rows``, their labels, and these
    numbers.
    """
    x, y = test_images(_data(network), images, device)
    keys = torch.arange(*rows, device=x.device)
    return x[keys], y[keys], keys
