"""Run attacks whose gradients do not vanish in float32, for the page that applies today's
attacks.
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

SOFTER = (10.0, 20.0, 40.0)  # softness of the softened networks; Table 1 uses 10


@step(version=1)
def bypass(
    network: Done, attacks: tuple[Attack, ...], images: int, *, context: Context
) -> dict[str, object]:
    """Evaluate attacks whose backward pass skips the last hidden layer's nonlinearity."""
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
    """Run the Square attack on a part of ``images`` evenly spaced test images, which ``rows`` gives
    as (from, to).

    Return which images the network still classifies ``correctly``, and the number of ``queries``
    for each image.
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
    """Return for each attack and test image the size of the smallest perturbation that this attack
    alone found.

    The result ``size/<attack>`` has the sizes for the test images with numbers in ``rows``.

    ``grey``: how many of the attacked images belong to the class that the network predicts for a
        uniform grey image. An l-infinity attack of size 0.5 can turn every image into the grey
        image, so it can succeed on all images of other classes.
    ``source``: the network for which the transfer attack makes its images.
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
    """Return by name the attacks that give the curves of accuracy against size; all attacked images
    are clipped to [0, 1].

    ``lead``: the median, over all test images, of the label's logit minus the highest other logit
        (see `median_lead`).
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
    """Return images, labels and row numbers of a part of the evenly spaced test images."""
    x, y = test_images(_data(network), images, device)
    keys = torch.arange(*rows, device=x.device)
    return x[keys], y[keys], keys
