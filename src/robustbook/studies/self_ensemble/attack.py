"""Run the paper's attack on Random Self-Ensemble, and classify the attacked images with new noise
draws.

The attack is the l2 attack of Carlini and Wagner, in the form of the paper's released code: the
weight c of the hinge loss is fixed, each of the 300 steps (30 with profile ``quick``) has one noise
draw, and the last iterate is returned. The noise for an image depends on its position in the test
set.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE, carlini_wagner
from robustbook.attacks.propagation import JUDGE
from robustbook.data import as_float, load
from robustbook.defenses import Noisy, ensemble
from robustbook.runs import Context, Done, step
from robustbook.studies.rows import percent

from .networks import Noise, model_of, trained

FRESH = JUDGE
"""Noise draws are numbered; this is the number of the first draw for evaluation. The paper's attack
uses smaller numbers, and also this draw, but only for its own verdict, which we do not use.
"""


def test_images(network: Done, first: int, count: int, device: str) -> tuple[Tensor, ...]:
    """Return the test images ``first`` to ``first + count - 1`` in [0, 1], their labels, and their
    keys, which determine the noise.
    """
    keys = torch.arange(first, first + count)
    found = load(model_of(network).data, "test").subset(keys)
    return as_float(found.images).to(device), found.labels.to(device), keys.to(device)


def probabilities(
    net: nn.Module, images: Tensor, keys: Tensor, draws: int, start: int = FRESH
) -> Tensor:
    """Return the class probabilities: the softmax of the logits, for a network with noise its mean
    over ``draws`` noise draws.

    Raise ValueError if a probability is NaN, because its image would count as misclassified.
    """
    if draws_noise(net):
        found = ensemble(net, images, keys, draws=draws, start=start, box=False)  # type: ignore[arg-type]
    else:
        with torch.no_grad():
            found = torch.cat([net(piece).softmax(1) for piece in torch.split(images, 200)])
    if bool(found.isnan().any()):
        raise ValueError("the network's logits must be finite on test images, got NaN")
    return found


def draws_noise(net: nn.Module) -> bool:
    """Return whether the network uses noise in evaluation mode."""
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
    """Evaluate clean test images with several numbers of noise draws.

    ``right``: which images are classified correctly, with one row for each number of noise draws in
        ``draws`` and one column for each image.

    ``noise``: the noise layers during evaluation; with None, the noise layers of training.
    """
    net = trained(network, context.device, noise)
    x, y, keys = test_images(network, first, images, context.device)
    right = []
    for i, count in enumerate(draws):
        # Different numbers of draws share no noise draw.
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
    """Attack ``images`` test images as the paper does, with one value of c.

    ``right``: which attacked images are classified correctly with ``draws`` noise draws.
    ``single``: which attacked images are classified correctly with one noise draw.
    ``distance``: the l2 distance by which each image was changed.

    ``averaged``: the number of noise draws over which each step of the attack averages; the paper
        uses 1.

    If the network has no noise, misclassified images are not attacked, because the attack would not
    change them.
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
    return {"right": right.cpu(), "single": single.cpu(), "distance": distance.cpu()}


@dataclass(frozen=True)
class Swept:
    """The results of the paper's attack on all images, for one network and one value of c.

    ``differs``: how the network's training differs from the paper's (see `Row.differs`).
    """

    right: Tensor
    single: Tensor
    distance: Tensor
    differs: str = ""

    @property
    def accuracy(self) -> float:
        """Return the accuracy in percent under the attack, over all images, including images that
        are misclassified without any attack.
        """
        return percent(self.right)

    @property
    def distortion(self) -> float:
        """Return the distortion as the released code computes it: the root mean square of the l2
        distance over all images.
        """
        return self.distance.double().square().mean().sqrt().item()

    @property
    def distortion_error(self) -> float | None:
        """Return half the width of the 95 % interval of the distortion due to the choice of images,
        or None for a single image.

        The error of the mean square is that of a mean; the delta method divides it by twice the
        distortion.
        """
        squares = self.distance.double().square()
        if len(squares) < 2:
            return None
        if not self.distortion:
            return 0.0
        return 1.96 * squares.std().item() / (2 * self.distortion * math.sqrt(len(squares)))


def joined(pieces: list[Done]) -> Swept:
    """Join the results for all pieces of the test images, for one network and one value of c.

    The elements of ``pieces`` are results of `attacked` or of `clean`. Images of `clean` are not
    attacked, so their distance is 0. A result of `clean` has one row for each number of noise
    draws: the last row becomes ``right``, the first ``single``.
    """
    right = torch.cat(
        [p.tensors["right"].view(-1, p.call.arguments["images"]) for p in pieces], dim=1
    )
    if "distance" not in pieces[0].tensors:
        return Swept(right[-1], right[0], torch.zeros(right.shape[1]))
    single, distance = (torch.cat([p.tensors[x] for p in pieces]) for x in ("single", "distance"))
    return Swept(right[-1], single, distance)
