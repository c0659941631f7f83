"""Attack and evaluate the networks of the survey; several studies use these functions."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from robustbook.attacks import pgd
from robustbook.data import as_float, load
from robustbook.measures import Attack, survival
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step

from .networks import model_of, trained


def test_images(network: Done, images: int, device: str) -> tuple[Tensor, Tensor]:
    """Return the first ``images`` test images of the network's data set, in [0, 1], and their
    labels.
    """
    found = load(model_of(network).data, "test", at_least=images).subset(images)
    return as_float(found.images).to(device), found.labels.to(device)


def fixed(net: nn.Module) -> nn.Module:
    """Switch off the gradients of the network's parameters, which makes attacks faster; return the
    network.
    """
    return net.requires_grad_(False)


def evaluated(network: Done, images: int, device: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the trained network without gradients of its parameters, and the first ``images`` test
    images with their labels.
    """
    return fixed(trained(network, device)), *test_images(network, images, device)


@step(version=1)
def attacked(
    network: Done,
    attack: Attack,
    images: int,
    seed: int,
    source: Done | None = None,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack the first ``images`` test images.

    ``right``: which attacked images the network classifies correctly.

    ``seed``: the seed of the attack's random starts.
    ``source``: the network on which a transfer attack computes the adversarial images; with None,
        ``network`` itself.
    """
    net, x, y = evaluated(network, images, context.device)
    other = None if source is None else fixed(trained(source, context.device))
    found = survival(net, x, y, attack, seed=seed, source=other)
    return {"right": found.correct.cpu()}


@step(version=1)
def losses(
    network: Done, eps: float, images: int, starts: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Run PGD with 40 steps from several random starts for each image.

    ``loss``: the cross entropy that PGD reaches, shape (images, starts).
    """
    net, x, y = evaluated(network, images, context.device)
    found: list[Tensor] = []
    for image in range(images):
        rows = torch.arange(starts, device=y.device) + image * starts
        own: list[Tensor] = []
        for part in torch.split(rows, 250):
            made = pgd(
                net,
                x[image].expand(len(part), -1, -1, -1),
                y[image].expand(len(part)),
                eps=eps,
                steps=40,
                step_size=eps / 30,
                keys=part,
                generator=generator(seed, "starts"),
            ).images
            label = y[image].expand(len(part))
            own.append(torch.nn.functional.cross_entropy(net(made), label, reduction="none"))
        found.append(torch.cat(own))
        context.progress(image + 1, images)
    return {"loss": torch.stack(found).detach().cpu()}


def worst(results: Sequence[Done]) -> Tensor:
    """Return which images are classified correctly under all attacks."""
    return reduce(torch.logical_and, [done.tensors["right"] for done in results])
