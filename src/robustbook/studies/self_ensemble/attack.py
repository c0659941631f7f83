"""The attack of Random Self-Ensemble as steps: images moved once, judged by fresh draws.

Carlini and Wagner's l2 attack as the paper ran it (its released code): a fixed weight c of the
success term, 300 steps, one draw of the noise a step, the last iterate. An image's noise belongs to
its place in the test set.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE, carlini_wagner
from robustbook.data import as_float, load
from robustbook.defenses import Noisy, ensemble
from robustbook.runs import Context, Done, step

from .networks import Noise, model_of, trained

FRESH = 2**40
"""The first draw that judges; an attack's draws are far below."""


def test_images(network: Done, first: int, count: int, device: str) -> tuple[Tensor, ...]:
    """Images in [0, 1], labels and keys of test images ``first`` to ``first + count - 1``."""
    keys = torch.arange(first, first + count)
    found = load(model_of(network).data, "test").subset(keys)
    return as_float(found.images).to(device), found.labels.to(device), keys.to(device)


def probabilities(
    net: nn.Module, images: Tensor, keys: Tensor, draws: int, start: int = FRESH
) -> Tensor:
    """Return the mean over draws of a network with noise, the softmax of one without.

    Raises ValueError for a probability that is NaN: its image would count as misclassified.
    """
    if draws_noise(net):
        found = ensemble(net, images, keys, draws=draws, start=start)  # type: ignore[arg-type]
    else:
        with torch.no_grad():
            found = torch.cat([net(piece).softmax(1) for piece in torch.split(images, 200)])
    if bool(found.isnan().any()):
        raise ValueError("the network's logits must be finite on test images, got NaN")
    return found


def draws_noise(net: nn.Module) -> bool:
    """Return whether the network in evaluation mode gives another answer at each draw."""
    return isinstance(net, Noisy) and net.when not in ("training", "never")


@step(version=1)
def clean(
    network: Done,
    first: int,
    images: int,
    draws: tuple[int, ...],
    noise: Noise | None = None,
    *,
    context: Context,
) -> dict[str, object]:
    """``right``: which test images are classified correctly by so many draws, (draws, images).

    noise: other noise layers than those of the training.
    """
    net = trained(network, context.device, noise)
    x, y, keys = test_images(network, first, images, context.device)
    right = []
    for i, count in enumerate(draws):
        # Ensembles of different sizes share no draw.
        start = FRESH + sum(draws[:i])
        right.append(probabilities(net, x, keys, count, start).argmax(1) == y)
        context.progress(i + 1, len(draws))
    return {"right": torch.stack(right).cpu()}


@step(version=1)
def attacked(
    network: Done,
    c: float,
    first: int,
    images: int,
    steps: int,
    draws: int,
    noise: Noise | None = None,
    averaged: int = 1,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack so many test images at one c, as the paper does.

    ``right``: which are classified correctly afterwards by ``draws`` draws. ``single``: by one of
    them. ``distance``: how far each was moved in l2.
    averaged: draws that each of the attack's steps averages over; the paper's: 1.

    An image that a network without noise misclassifies has no active hinge and stays as it is, so
    it is not attacked.
    """
    net = trained(network, context.device, noise)
    for p in net.parameters():
        p.requires_grad_(False)
    x, y, keys = test_images(network, first, images, context.device)
    rows = torch.arange(len(x), device=x.device)
    if not draws_noise(net):
        rows = (probabilities(net, x, keys, 1).argmax(1) == y).nonzero().squeeze(1)
    moved = x.clone()
    moved[rows] = carlini_wagner(
        net,
        x[rows],
        y[rows],
        c=c,
        steps=steps,
        preset=RANDOM_SELF_ENSEMBLE,
        draws=averaged,
        keys=keys[rows],
    ).images
    right = probabilities(net, moved, keys, draws).argmax(1) == y
    single = probabilities(net, moved, keys, 1).argmax(1) == y
    distance = (moved - x).flatten(1).norm(dim=1)
    context.progress(1, 1)
    return {"right": right.cpu(), "single": single.cpu(), "distance": distance.cpu()}


@dataclass(frozen=True)
class Swept:
    """One network under the attack at one c, all images together."""

    right: Tensor
    single: Tensor
    distance: Tensor

    @property
    def accuracy(self) -> float:
        """In percent, of all images, those misclassified from the start included."""
        return 100 * self.right.double().mean().item()

    @property
    def distortion(self) -> float:
        """The root of the mean over all images of the squared l2 distance, as the paper has it."""
        return self.distance.double().square().mean().sqrt().item()


def joined(pieces: list[Done]) -> Swept:
    """Return what the pieces of one network and c say together.

    Of `clean` the distance is 0, ``right`` is by its last number of draws and ``single`` by its
    first.
    """
    right = torch.cat(
        [p.tensors["right"].view(-1, p.call.arguments["images"]) for p in pieces], dim=1
    )
    if "distance" not in pieces[0].tensors:
        return Swept(right[-1], right[0], torch.zeros(right.shape[1]))
    single, distance = (torch.cat([p.tensors[x] for p in pieces]) for x in ("single", "distance"))
    return Swept(right[-1], single, distance)
