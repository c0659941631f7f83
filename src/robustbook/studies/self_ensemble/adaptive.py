"""Run today's attacks on Random Self-Ensemble.

The class `Strike` holds the settings of an attack. After the attack, the network classifies the
attacked images several times, with noise draws that the attack has not used.

An adaptive attack on a randomised network averages its loss over noise draws (Athalye, Engstrom,
Ilyas and Kwok 2018, arXiv 1707.07397). Carlini et al. 2019 (arXiv 1902.06705) recommend first
attacking the network with noise that is the same in every step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustbook.attacks import pgd, square
from robustbook.attacks.carlini_wagner import CarliniWagner, carlini_wagner
from robustbook.attacks.result import nearer
from robustbook.measures import votes
from robustbook.runs import Context, Done, step

from .attack import FRESH, probabilities, test_images
from .networks import Noise, trained

SELECT, JUDGED, FROZEN = FRESH + 2**30, FRESH + 2**31, FRESH + 2**32
"""Noise draws are numbered: from SELECT, those that decide within an attack whether it succeeds;
from JUDGED, those of the final evaluation; FROZEN is the draw of the frozen noise. The draws in the
steps of attacks have other numbers: below or slightly above FRESH or, in attacks with a generator,
far above FROZEN.
"""
APART = 10_000
"""The distance between the first draws of two evaluations, so that they share no draw."""


@dataclass(frozen=True)
class Strike:
    """The settings of an attack.

    ``kind``: the kind of attack. With ``none``, images stay unchanged. With ``search``, the
        Carlini-Wagner attack also searches for the weight c (see `searched`). All other values of
        ``kind`` name an attack of the module `robustbook.attacks`.
    ``averaged``: the number of noise draws over which each step or query of the attack averages.
    ``noise``: whether the attacked network has new noise in each step (``fresh``), the same noise
        in all steps (``frozen``), or no noise (``off``).
    ``c``: the weight of the hinge loss in the Carlini-Wagner attack.
    ``preset``: the version of the Carlini-Wagner attack. With the kind ``search``, this must be a
        version that returns the last iterate.
    ``eps``: the radius of PGD and of the Square attack.
    ``steps``: the number of steps; for the Square attack, the number of queries.
    ``searches``: the number of values of c that the function `searched` tries.
    ``kappa``: the confidence margin of the hinge loss in the function `searched`.
    """

    kind: Literal["none", "carlini-wagner", "search", "pgd-l2", "pgd-linf", "square"]
    steps: int = 0
    step_size: float = 0.01
    averaged: int = 1
    noise: Literal["fresh", "frozen", "off"] = "fresh"
    c: float = 1.0
    preset: CarliniWagner = CarliniWagner(keep="last")
    eps: float = 0.0
    searches: int = 1
    kappa: float = 0.0


class Frozen:
    """A randomised network that uses the same noise draw in every forward pass."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        """Return the network as a function of images, which always uses the noise draw FROZEN and
        ignores ``draw``.
        """
        found: Callable[[Tensor], Tensor] = self.net.at(keys, FROZEN)
        return found


@step(version=2)
def struck(
    network: Done,
    strike: Strike,
    first: int,
    images: int,
    draws: int,
    repeats: int,
    noise: Noise | None = None,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack ``images`` test images, and evaluate the network on them ``repeats`` times, each time
    with ``draws`` new noise draws.

    ``right``: which attacked images are classified correctly in each evaluation, with shape
        (repeats, images).
    ``distance``: the l2 distance by which each image was changed.
    ``seen``: which attacked images the network classifies correctly with the noise of the attack;
        returned only if the noise was frozen or switched off.

    Images that are misclassified without any attack are not attacked. There is one exception: if
    the attack freezes the noise or switches it off, it also attacks images that are classified
    correctly in this state.

    ``noise``: the noise layers during attack and evaluation; with None, the noise layers of
        training.
    """
    net = _ready(network, context.device, noise)
    x, y, keys = test_images(network, first, images, context.device)
    view: Any = net
    if strike.noise == "frozen":
        view = Frozen(net)
    elif strike.noise == "off":
        own = noise or network.call.arguments["noise"]
        view = _ready(network, context.device, replace(own, when="never"))
    known = _right(net, x, y, keys, draws, SELECT)
    if strike.noise != "fresh":
        known |= _answers(view, x, keys) == y
    moved, rows = x.clone(), known.nonzero().squeeze(1)
    if len(rows):
        moved[rows] = _moved(strike, view, net, x[rows], y[rows], keys[rows], draws)
    right = [_right(net, moved, y, keys, draws, JUDGED + APART * r) for r in range(repeats)]
    found = {"right": torch.stack(right), "distance": (moved - x).flatten(1).norm(dim=1)}
    if strike.noise != "fresh":
        found["seen"] = _answers(view, moved, keys) == y
    return {name: value.cpu() for name, value in found.items()}


def searched(
    strike: Strike,
    view: Any,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    keys: Tensor,
    draws: int,
) -> Tensor:
    """Run the Carlini-Wagner attack with several values of c; return for each image the nearest
    adversarial image.

    An iterate that is misclassified with the noise draws of one step may be classified correctly
    with new ones. So only the last iterate is tested: the attack with a given c succeeds if ``net``
    misclassifies it with ``draws`` new noise draws. The weight c is multiplied by 10 until the
    first success; then the interval that contains the smallest successful c is halved repeatedly.
    If the attack fails with every c, the image is returned unchanged.
    """
    c = torch.full((len(images),), strike.c, device=images.device)
    low, high = torch.zeros_like(c), torch.full_like(c, math.inf)
    best, nearest = images.clone(), high.clone()
    for search in range(strike.searches):
        moved = carlini_wagner(
            view,
            images,
            labels,
            c=c,
            steps=strike.steps,
            step_size=strike.step_size,
            kappa=strike.kappa,
            preset=strike.preset,
            draws=strike.averaged,
            keys=keys,
            generator=torch.Generator().manual_seed(search),
        ).images
        found = ~_right(net, moved, labels, keys, draws, SELECT + APART * (search + 1))
        distance = (moved - images).flatten(1).norm(dim=1)
        best, nearest = nearer(best, nearest, moved, distance, found)
        high = torch.where(found, c.minimum(high), high)
        low = torch.where(found, low, c.maximum(low))
        c = torch.where(high < math.inf, (low + high) / 2, 10 * c)
    return best


def _moved(
    strike: Strike,
    view: Any,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    keys: Tensor,
    draws: int,
) -> Tensor:
    """Return the attacked images. The attack uses ``view``, which is ``net`` itself, or ``net``
    with its noise frozen or switched off.
    """
    given: dict[str, Any] = {"draws": strike.averaged, "keys": keys}
    sized: dict[str, Any] = {"steps": strike.steps, "step_size": strike.step_size, **given}
    match strike.kind:
        case "none":
            return images
        case "search":
            return searched(strike, view, net, images, labels, keys, draws)
        case "carlini-wagner":
            return carlini_wagner(
                view,
                images,
                labels,
                c=strike.c,
                preset=strike.preset,
                judge=draws,
                **sized,
            ).images
        case "pgd-l2":
            return pgd(view, images, labels, eps=strike.eps, norm=2.0, **sized).images
        case "pgd-linf":
            return pgd(view, images, labels, eps=strike.eps, **sized).images
        case "square":
            return square(
                view, images, labels, eps=strike.eps, queries=strike.steps, **given
            ).images


@step(version=1)
def counted(
    network: Done, first: int, images: int, choice: int, trials: int, *, context: Context
) -> dict[str, object]:
    """Count for each of ``images`` clean test images how often each class is predicted; each noise
    draw gives one vote.

    ``choice``: the votes for each class in the first ``choice`` noise draws, which choose the
        class; shape (images, classes).
    ``counts``: the votes for each class in the next ``trials`` noise draws, which bound the
        probability of the chosen class; shape (images, classes).
    ``label``: the true classes.
    """
    net = _ready(network, context.device)
    x, y, keys = test_images(network, first, images, context.device)
    asked: Any = net
    found = {"label": y, "choice": votes(asked, x, keys, draws=choice, start=JUDGED)}
    found["counts"] = votes(asked, x, keys, draws=trials, start=JUDGED + choice)
    return {name: value.cpu() for name, value in found.items()}


@step(version=1, later=("predicted",))
def one_draw(
    network: Done,
    first: int,
    images: int,
    eps: float,
    steps: int,
    step_size: float,
    predicted: bool = False,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack images by l-infinity PGD with one noise draw per step, as in the logs that the authors
    published in 2018, and classify them with one new noise draw.

    ``clean``: which images are classified correctly before the attack.
    ``right``: which images are classified correctly after the attack.

    All images are attacked, including images that are misclassified without an attack.

    ``predicted``: whether the attack increases the loss of the class that the network predicts with
        one noise draw (True, as in the logs) or the loss of the true class (False).
    """
    net = _ready(network, context.device)
    x, y, keys = test_images(network, first, images, context.device)
    labels = probabilities(net, x, keys, 1, SELECT).argmax(1) if predicted else y
    moved = pgd(net, x, labels, eps=eps, steps=steps, step_size=step_size, keys=keys).images
    found = {"clean": _right(net, x, y, keys, 1, JUDGED), "right": _right(net, moved, y, keys, 1)}
    return {name: value.cpu() for name, value in found.items()}


def _ready(network: Done, device: str, noise: Noise | None = None) -> nn.Module:
    """Return the trained network, without gradients for its weights and in a memory layout
    (channels last) that is fast on a CPU.
    """
    net = trained(network, device, noise).requires_grad_(False)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@torch.no_grad()
def _answers(view: Any, images: Tensor, keys: Tensor) -> Tensor:
    """Return the predicted classes of a network whose noise is frozen or switched off."""
    found: Tensor = view.at(keys, 0)(images).argmax(1)
    return found


def _right(
    net: nn.Module, images: Tensor, labels: Tensor, keys: Tensor, draws: int, start: int = JUDGED
) -> Tensor:
    """Return which images the network classifies correctly with ``draws`` noise draws."""
    return probabilities(net, images, keys, draws, start).argmax(1) == labels
