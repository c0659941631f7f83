"""Measurements of the page "Does it stand today?": attacks on a trained network that do not depend
on slopes which float32 cannot hold."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustbook.attacks import pgd, square
from robustbook.measures import (
    Attack,
    Strike,
    bypassed,
    median_lead,
    rescaled,
    smallest,
    softened,
    survival,
)
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step

from .networks import test_images, trained

SOFTER = (10.0, 20.0, 40.0)  # times, the slopes of the softened views; Table 1 has 10


@step(version=1)
def bypass(
    network: Done, attacks: tuple[Attack, ...], images: int, *, context: Context
) -> dict[str, object]:
    """``evaluate`` with gradients that leave out the last hidden layer's nonlinearity."""
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
    """Square on test images ``rows`` (from, to) of ``images``: which are still named ``correctly``,
    and the ``queries`` each took."""
    net = trained(network, context.device)
    x, y, keys = _piece(network, images, rows, context.device)
    chance = generator(network.call.arguments["seed"], "square")
    found = square(net, x, y, eps=eps, queries=queries, keys=keys, generator=chance)
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
    """``size/<attack>``: of the smallest perturbation that each attack alone found for test images
    ``rows``. ``grey``: how many of these have the label that the network gives to the constant
    grey image, all that may be left at size 0.5. ``source``: whose images are carried over."""
    net = trained(network, context.device)
    x, y, keys = _piece(network, images, rows, context.device)
    lead = median_lead(net, *test_images(_data(network), images, context.device))
    other = trained(source, context.device) if source is not None else None
    strikes = _strikes(net, other, lead, queries, network.call.arguments["seed"])
    sizes = {}
    for i, (name, strike) in enumerate(strikes.items()):
        sizes[f"size/{name}"] = smallest(net, x, y, strike, grid, keys=keys).cpu()
        context.progress(i + 1, len(strikes))
    with torch.no_grad():
        answer = net(torch.full_like(x[:1], 0.5)).argmax(1)
    return {**sizes, "grey": int((y == answer).sum())}


def _strikes(
    net: nn.Module, source: nn.Module | None, lead: float, queries: int, seed: int
) -> dict[str, Strike]:
    """The attacks of the curves by name, all inside the box."""

    def climb(
        name: str,
        model: Callable[[Tensor], Tensor],
        loss: str = "margin",
        dtype: torch.dtype = torch.float32,
    ) -> Strike:
        return lambda x, y, keys, eps: (
            pgd(
                model,
                x.to(dtype),
                y,
                eps=eps,
                steps=20,
                step_size=eps / 4,
                loss=loss,
                keys=keys,
                generator=generator(seed, "smallest", name),
            ).images
        )

    def search(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
        chance = generator(seed, "smallest", "square")
        return square(net, x, y, eps=eps, queries=queries, keys=keys, generator=chance).images

    found = {
        "plain": climb("plain", net, "cross_entropy"),
        "margin": climb("margin", net),
        "float64": climb("float64", copy.deepcopy(net).double(), dtype=torch.float64),
        "rescaled": climb("rescaled", rescaled(net, lead), "cross_entropy"),
        "bypassed": climb("bypassed", bypassed(net)),
    }
    for times in SOFTER:
        name = f"softened {times:g}"
        found[name] = climb(name, softened(net, times))
    if source is not None:
        found["transfer"] = climb("transfer", source)
    return {**found, "square": search}


def _data(network: Done) -> str:
    data: str = network.call.arguments["training"].data
    return data


def _piece(
    network: Done, images: int, rows: tuple[int, int], device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and row numbers of one piece of the evenly spaced test images."""
    x, y = test_images(_data(network), images, device)
    keys = torch.arange(*rows, device=x.device)
    return x[keys], y[keys], keys
