"""Reproduce Table 1 and Figure 1 of Random Self-Ensemble: the settings of the paper and the noise
layers of its networks.

No network is trained: the noise levels, the number of noise draws and the attack come from the
settings that all studies of the chapter share, and the parameters and noise layers of each network
are counted.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.defenses import Noisy
from robustbook.defenses.self_ensemble import Noise
from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import Defense, Networks, built
from .settings import DRAWS, PAPER, TARGETS, TEMPERATURE, noise_of, setting

ITEM = "table-1"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader of the book can set for Table 1. Only the profile matters,
    because nothing in the table is random.
    """

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}
    profile: Annotated[
        Literal["published", "quick", "paper"],
        Field(description="published (the record), quick or paper (the same: nothing is trained)"),
    ] = "published"


def calls(p: Parameters) -> dict[Any, Call]:
    """Return an empty dict, because nothing has to be trained."""
    return {}


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    """Return the study's results: the settings of profile ``paper``, and for each network the
    number of parameters and the number of noise layers.
    """
    rows = [
        Row(TEMPERATURE, "none", f"{TARGETS}/{ITEM}/distill/temperature"),
    ]
    for network in get_args(Networks):
        rows += _of(network)
    low, high = Defense("retraining").eps
    target = f"{TARGETS}/{ITEM}/adv/epsilon-range"
    rows.append(Row(high, "none", target, "largest eps", setting={"smallest": low}))
    return Record(PAPER, ITEM, p.profile, p.plain(), (), tuple(rows))


def _of(network: Networks) -> Iterator[Row]:
    """Yield the settings of one network, its numbers of parameters and of noise layers, and a
    description of each noise layer.
    """
    own, noise = setting(network, "paper"), noise_of(network)
    start = f"{TARGETS}/{ITEM}/rse-{network}"
    of: dict[str, str | float | int | bool] = {"network": network}
    yield Row(noise.init, "none", f"{start}/init-noise", setting={**of, "place": noise.placement})
    yield Row(noise.inner, "none", f"{start}/inner-noise", setting=of)
    yield Row(DRAWS, "count", f"{start}/n", setting=of)
    net = built(own.model, Defense(), noise, 0)
    assert isinstance(net, Noisy)
    count = sum(p.numel() for p in net.parameters())
    yield Row(count, "count", f"{TARGETS}/setup/params-{network}", "parameters", setting=of)
    layers = noise_layers(net, 96 if own.model.data == "stl10" else 32)
    target = f"{TARGETS}/figure-1/noise-before-each-conv" if network == "vgg16" else None
    yield Row(len(layers), "count", target, "noise layers", setting=of)
    drawn = sum(numbers for _, _, numbers in layers)
    yield Row(drawn, "count", None, "normal numbers per pass", setting=of)
    for place, (name, sigma, numbers) in enumerate(layers):
        labels = {**of, "place": place, "layer": name, "sigma": sigma}
        yield Row(numbers, "count", None, "noise of a layer", setting=labels)
    # The study of Figure 6 counts the images and the values of c, because its runs may use fewer.
    yield Row(own.images, "count", None, "test images", setting=of)
    yield Row(len(own.cs) + 1, "count", None, "values of c", setting=of)
    told = f"{TARGETS}/setup/attack-steps" if network == "vgg16" else None  # as in Table 2
    yield Row(own.steps, "count", told, "attack steps", setting=of)


def noise_layers(net: Noisy, side: int) -> list[tuple[str, float, int]]:
    """Return the noise layers in the order of a forward pass of one square colour image: for each,
    its name, its standard deviation, and how many normal random numbers it draws.
    """
    met: list[tuple[str, float, int]] = []
    for name, layer in net.named_modules():
        if isinstance(layer, Noise):
            layer.register_forward_hook(
                lambda layer, _, out, name=name: met.append(
                    (name.removeprefix("net.").removesuffix(".noise"), layer.sigma, out[0].numel())
                )
            )
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, side, side))
    return met
