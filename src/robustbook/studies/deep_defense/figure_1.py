"""Reproduce Figure 1 of Deep Defense, as we remember it: the layers of a network and of its reverse
network.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from robustbook.ledger import Record, Row
from robustbook.networks import ChannelsLast, fc500_150_10_bn
from robustbook.networks.mlp import MLP
from robustbook.randomness import generator
from robustbook.runs import Call, Done
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

from .networks import Model, Networks, body
from .settings import NAMES, PAPER

ITEM = "figure-1"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set on the page of Figure 1: above all the network to be
    drawn. Nothing in this study is random.
    """

    own_seeds: ClassVar = {"quick": (0,), "paper": (0,)}
    profile: Annotated[
        Literal["published", "quick", "paper"],
        Field(description="published (the record), quick or paper (the same: nothing is trained)"),
    ] = "published"
    network: Annotated[Networks, Field(description="mlp, lenet, convnet or nin")] = "lenet"


def calls(p: Parameters) -> dict[Any, Call]:
    """Return an empty dict, because this study trains no network."""
    return {}


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    """Return the study's results: the number of parameters of each network and of each layer."""
    nets = {name: built(network) for network, name in NAMES.items()}
    nets["mnist-mlp-bn"] = fc500_150_10_bn(nn.Identity(), generator(0)).body
    rows = [
        Row(
            sum(parameter.numel() for parameter in net.parameters()),
            "count",
            f"{PAPER}/code-networks/{name}/parameters",
        )
        for name, net in nets.items()
    ]
    for network in NAMES:
        for place, (name, forward, back, kept, shape, count) in enumerate(layers(network)):
            setting: dict[str, str | float | int | bool] = {
                "network": network,
                "place": place,
                "layer": name,
                "forward": forward,
                "reverse": back,
                "kept": kept,
                "shape": " x ".join(map(str, shape)),
            }
            rows.append(Row(count, "count", None, "layer parameters", setting=setting))
    return Record(PAPER, ITEM, p.profile, p.plain(), (), tuple(rows))


def built(network: Networks) -> nn.Module:
    """Return one of the networks of Deep Defense, without the preprocessing of its images."""
    return body(Model("mnist" if network in ("mlp", "lenet") else "cifar10", network), 0)


def image_shape(network: Networks) -> tuple[int, ...]:
    """Return the shape of the network's input images."""
    return (1, 28, 28) if network in ("mlp", "lenet") else (3, 32, 32)


def layers(network: Networks) -> Iterator[tuple[str, str, str, str, tuple[int, ...], int]]:
    """Yield the layers in the order of a forward pass.

    For each layer, yield its name, the three descriptions from `reverse`, the shape of its output
    for one image, and its number of parameters.
    """
    net = built(network).eval()
    met: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    for name, module in net.named_modules():
        if not list(module.children()) and not isinstance(module, ChannelsLast):
            module.register_forward_hook(
                lambda module, _, out, name=name: met.append((name, module, tuple(out.shape[1:])))
            )
    with torch.no_grad():
        net(torch.zeros(1, *image_shape(network)))
    for place, (name, module, shape) in enumerate(met):
        count = sum(parameter.numel() for parameter in module.parameters())
        yield name, *reverse(module), shape, count
        if isinstance(net, MLP) and place + 1 < len(met):  # this layer's ReLU is not a module
            yield "activation", *reverse(nn.ReLU()), shape, 0


def reverse(layer: nn.Module) -> tuple[str, str, str]:
    """Return three descriptions in words: a layer's operation, the corresponding operation of the
    reverse network, and what this reverse operation needs from the forward pass.

    For example, the reverse operation of a ReLU needs its mask. If nothing is needed, the last
    description is empty.
    """
    match layer:
        case nn.Linear():
            return f"{layer.out_features} units", "transposed, no bias", "$W$"
        case nn.Conv2d(kernel_size=(height, width)):
            return f"{height} x {width} convolution", "transposed, no bias", "$W$"
        case nn.ReLU():
            return "max(0, h)", "times mask (h > 0)", "mask"
        case nn.MaxPool2d(kernel_size=int(size)):
            return f"{size} x {size} maximum", "un-pool: to the maximum", "positions"
        case nn.AvgPool2d(kernel_size=int(size)):
            return f"{size} x {size} mean", f"1/{size**2} to each pixel", ""
        case nn.Dropout():
            return f"drops {100 * layer.p:g} %", "times the same mask", "mask"
        case nn.Flatten():
            return "reshaped to one row", "reshaped to maps", ""
    raise ValueError(f"layer must be one of the chapter's networks, got a {type(layer).__name__}")
