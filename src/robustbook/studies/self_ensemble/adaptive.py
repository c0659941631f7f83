"""Attacks of today on Random Self-Ensemble as steps: an attack is data, and its images are judged
several times by draws that no attack has used.

An adaptive attack on a randomised network averages over draws of the noise (Athalye, Engstrom,
Ilyas and Kwok 2018, arXiv 1707.07397). Carlini et al. 2019 (arXiv 1902.06705) advise to show first
that the attack works if the randomness is fixed.
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
"""First numbers of the draws by which an attack selects, of those that judge, and the frozen one.

Attacks use numbers that are far below FRESH, or little above.
"""
APART = 10_000
"""Distance between the first draws of two selections or judgements."""


@dataclass(frozen=True)
class Strike:
    """An attack as data.

    kind: ``none`` leaves images as they are; ``search`` is `searched`; the others are attacks of
    the package. averaged: draws of the noise over which each step, or each query, averages. noise:
    the attack sees the network with ``fresh`` noise in each step, with the same ``frozen`` noise
    in all steps, or with the noise ``off``. c, hinge, keep: of Carlini-Wagner. eps: the radius of
    PGD and Square. steps: also the number of Square's queries. searches, kappa: of the search.
    """

    kind: Literal["none", "carlini-wagner", "search", "pgd-l2", "pgd-linf", "square"]
    steps: int = 0
    step_size: float = 0.01
    averaged: int = 1
    noise: Literal["fresh", "frozen", "off"] = "fresh"
    c: float = 1.0
    hinge: Literal["logits", "clamped"] = "logits"
    keep: Literal["nearest", "last"] = "last"
    eps: float = 0.0
    searches: int = 1
    kappa: float = 0.0


class Frozen:
    """A randomised network with one draw of the noise for all answers."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        """Return `Noisy.at` of the frozen draw, whatever draw is asked for."""
        found: Callable[[Tensor], Tensor] = self.net.at(keys, FROZEN)
        return found


@step(version=1)
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
    """Attack so many test images, and judge them ``repeats`` times by ``draws`` new draws each.

    ``right``: which are classified correctly, (repeats, images). ``distance``: how far each was
    moved in l2. ``seen``: which are classified correctly by the network that the attack saw, if its
    noise was frozen or off.

    Images that the network misclassifies from the start are not attacked, except where the attack
    sees another network that classifies them correctly. noise: other noise layers than those of the
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
    context.progress(1, 1)
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
    """Return for each image the nearest success of Carlini-Wagner over a search for its c.

    An iterate that succeeds on the draws of one step may fail on others. So the last iterate of
    each c counts, and it succeeds if ``net`` misclassifies it by ``draws`` new draws. c is
    multiplied by 10 until the first success; then the interval is halved. An image without success
    stays as it is.
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
            preset=CarliniWagner(strike.hinge, "last"),
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
    """Return the images after the attack on ``view``."""
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
                preset=CarliniWagner(strike.hinge, strike.keep),
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
    """Count hard votes of the noisy network on so many clean test images.

    ``choice``: the votes of the first draws, ``counts``: of ``trials`` further ones, both (images,
    classes). ``label``: the true classes.
    """
    net = _ready(network, context.device)
    x, y, keys = test_images(network, first, images, context.device)
    asked: Any = net
    found = {"label": y, "choice": votes(asked, x, keys, draws=choice, start=JUDGED)}
    found["counts"] = votes(asked, x, keys, draws=trials, start=JUDGED + choice)
    context.progress(1, 1)
    return {name: value.cpu() for name, value in found.items()}


@step(version=1)
def one_draw(
    network: Done,
    first: int,
    images: int,
    eps: float,
    steps: int,
    step_size: float,
    *,
    context: Context,
) -> dict[str, object]:
    """PGD in l-infinity as in the authors' logs of 2018: one draw a step and one that judges.

    ``clean``, ``right``: which images are classified correctly before and after. All are attacked.
    """
    net = _ready(network, context.device)
    x, y, keys = test_images(network, first, images, context.device)
    moved = pgd(net, x, y, eps=eps, steps=steps, step_size=step_size, keys=keys).images
    found = {"clean": _right(net, x, y, keys, 1, JUDGED), "right": _right(net, moved, y, keys, 1)}
    context.progress(1, 1)
    return {name: value.cpu() for name, value in found.items()}


def _ready(network: Done, device: str, noise: Noise | None = None) -> nn.Module:
    """Return the trained network without gradients of its weights, fast on a CPU."""
    net = trained(network, device, noise).requires_grad_(False)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@torch.no_grad()
def _answers(view: Any, images: Tensor, keys: Tensor) -> Tensor:
    """Return the classes that a frozen network, or one without noise, gives."""
    found: Tensor = view.at(keys, 0)(images).argmax(1)
    return found


def _right(
    net: nn.Module, images: Tensor, labels: Tensor, keys: Tensor, draws: int, start: int = JUDGED
) -> Tensor:
    """Return which images the network classifies correctly by so many draws."""
    return probabilities(net, images, keys, draws, start).argmax(1) == labels
