"""Answer a question of Section 3.3 of Random Self-Ensemble: can the black-box attack ZOO estimate
gradients of a network with noise?

ZOO estimates the derivative of an output g of the network along a direction u, as (g(x + h u) - g(x
- h u)) / 2h. The two values of g have different noise, so the paper concludes that their difference
does not estimate the gradient, even as h goes to 0. However, the mean of the estimate over the
noise is the difference quotient of the noise-averaged g, so the estimate is unbiased up to O(h^2).
If each g is the average over n noise draws, the variance of the estimate is about Var(g) / (2 h^2
n). So the variance grows as h decreases, and averaging reduces it.

This study measures the mean and the variance of the estimate. It also attacks networks by ZOO with
a small and with a large h. Networks with noise are attacked with one noise draw per value of g.
With the large h, they are also attacked with an average over several noise draws. New noise alone
can make such a network misclassify an image. Therefore the same images are also classified again
without an attack.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from robustbook.attacks.losses import margin
from robustbook.attacks.zoo import zoo
from robustbook.ledger import Record, Row
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT
from robustbook.studies.rows import percent

from . import settings
from .adaptive import APART, JUDGED, SELECT
from .attack import FRESH, draws_noise, probabilities, test_images
from .networks import trained
from .settings import PAPER, TARGETS, Names

ITEM = "zoo"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
DEFENSES: tuple[Names, ...] = ("none", "rse")
STEPS = (0.0001, 0.001, 0.01, 0.1, 0.3, 1.0)
"""The values of h, by which a finite difference moves the image (l2). The paper of ZOO uses 1e-4.
"""
MODERATE = 0.1
"""The h at which the mean of the estimate is compared with the derivative, to test the paper's
claim.
"""
COUNTS = (1, 10, 50)
"""The numbers of noise draws over which each output g is averaged."""


@dataclass(frozen=True)
class Size:
    """The settings for one network: the numbers of images, steps and noise draws.

    ``images``: the number of correctly classified images for which derivatives are estimated.
    ``pairs``: the number of finite differences per image and h.
    ``gradients``: the number of noise draws over which the exact derivative is averaged.
    ``attacked``: the number of images that ZOO attacks.
    ``steps``: the number of steps of ZOO with one noise draw per output of the network. With more
        draws, ZOO makes fewer steps, so that the number of queries stays the same.
    ``coordinates``: the number of pixels that ZOO changes per step.
    ``step_size``: the step size of ZOO.
    ``c``: the weight of the hinge loss in ZOO (see `zoo`).
    ``averaged``: the number of noise draws per output in the attack that averages over draws.
    ``large``: the larger of the two values of h with which ZOO attacks.
    """

    images: int
    pairs: int
    gradients: int
    attacked: int
    steps: int
    coordinates: int
    c: float
    step_size: float = 0.05
    averaged: int = 10
    large: float = 0.1
    draws: int = 50
    repeats: int = 3


SIZES: Mapping[str, Mapping[str, Size]] = {
    "quick": {
        network: Size(3, 100, 100, 4, 32, 24, 1.0, averaged=4, draws=10, repeats=2)
        for network in ("vgg16", "resnext")
    },
    "reduced": {
        "vgg16": Size(10, 1000, 1000, 50, 200, 64, 1.0),
        "resnext": Size(10, 1000, 1000, 20, 100, 64, 1.0),
    },
    "paper": {
        "vgg16": Size(10, 1000, 1000, 100, 1000, 128, 1.0),
        "resnext": Size(10, 1000, 1000, 50, 1000, 128, 1.0),
        "model-a": Size(5, 500, 500, 10, 60, 64, 10.0),
    },
}


@checked(frozen=True, config=STRICT)
class Parameters(settings.OfNetworks):
    """The parameters that a reader of the book can set for the study of ZOO."""

    own_networks: ClassVar = settings.OWN


@step(version=1)
def estimated(
    network: Done, images: int, pairs: int, gradients: int, *, context: Context
) -> dict[str, object]:
    """Estimate the derivative of the margin by finite differences, for each h in `STEPS`.

    The margin g, which ZOO increases, is the largest logit of a wrong class minus the logit of the
    true class. The direction u of the derivative is the normalised mean of the margin's gradients
    over noise draws; ``slope`` uses other noise draws.

    ``slope``: the derivative of the noise-averaged margin along u, computed from gradients.
    ``slope_error``: the standard error of ``slope``.
    ``differences``: the finite differences (g(x + h u) - g(x - h u)) / 2h with independent noise,
        shape (images, values of h, pairs).
    ``variance``: the variance over noise draws of the margin of the image x.
    ``pixels``: the number of pixel values of an image.

    All results are for the first ``images`` test images that the network classifies correctly.
    """
    net: Any = trained(network, context.device).requires_grad_(False)
    x, y, keys = test_images(network, 0, 3 * images, context.device)
    rows = (probabilities(net, x, keys, 10, SELECT).argmax(1) == y).nonzero().squeeze(1)[:images]
    found: dict[str, list[Tensor]] = {}
    for i, row in enumerate(rows.tolist()):
        one, label, key = x[row], int(y[row]), int(keys[row])
        first, _ = _gradients(net, one, label, key, gradients, FRESH)
        u = (first.mean(0) / first.mean(0).norm()).to(one.dtype).view_as(one)
        other, values = _gradients(net, one, label, key, gradients, FRESH + gradients)
        along = other @ u.flatten().double()
        start, differences = FRESH + APART * 10, []
        for h in STEPS:
            high = _margins(net, one + h * u, label, key, pairs, start)
            low = _margins(net, one - h * u, label, key, pairs, start + pairs)
            differences.append((high - low) / (2 * h))
            start += 2 * pairs
        kept = {
            "slope": along.mean(),
            "slope_error": along.std() / math.sqrt(gradients),
            "differences": torch.stack(differences),
            "variance": values.var(),
        }
        for name, value in kept.items():
            found.setdefault(name, []).append(value.cpu())
        context.progress(i + 1, images)
    kept_all = {name: torch.stack(values) for name, values in found.items()}
    return {**kept_all, "pixels": x[0].numel()}


def _margins(net: Any, image: Tensor, label: int, key: int, draws: int, start: int) -> Tensor:
    """Return the margin of one image under each of ``draws`` noise draws, in float64."""
    found = []
    with torch.no_grad():
        for numbers in torch.split(torch.arange(start, start + draws, device=image.device), 50):
            many = image.expand(len(numbers), *image.shape)
            logits = net.at(torch.full_like(numbers, key), numbers)(many)
            found.append(margin(logits.double(), torch.full_like(numbers, label)))
    return torch.cat(found)


def _gradients(
    net: Any, image: Tensor, label: int, key: int, draws: int, start: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of one image's margin under each of ``draws`` noise draws, and the
    margins themselves.
    """
    rows, values = [], []
    for numbers in torch.split(torch.arange(start, start + draws, device=image.device), 50):
        leaf = image.expand(len(numbers), *image.shape).clone().requires_grad_()
        logits = net.at(torch.full_like(numbers, key), numbers)(leaf)
        value = margin(logits, torch.full_like(numbers, label))
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        rows.append(gradient.flatten(1).double())
        values.append(value.detach().double())
    return torch.cat(rows), torch.cat(values)


@step(version=2)
def black_box(
    network: Done,
    images: int,
    c: float,
    steps: int,
    coordinates: int,
    h: float,
    step_size: float,
    averaged: int,
    draws: int,
    repeats: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack the first ``images`` correctly classified test images by ZOO.

    ``right``: which attacked images are classified correctly in each evaluation with ``draws`` new
        noise draws, shape (repeats, images).
    ``distance``: the l2 distance by which each image was changed.
    ``queries``: the number of forward passes for each image.
    """
    net: Any = trained(network, context.device).requires_grad_(False)
    x, y, keys = _correct(net, network, images, draws, context.device)
    made = zoo(
        net,
        x,
        y,
        c=c,
        steps=steps,
        coordinates=coordinates,
        h=h,
        step_size=step_size,
        draws=averaged if draws_noise(net) else 1,
        judge=draws if draws_noise(net) else 1,
        keys=keys,
    )
    return {
        "right": _judged(net, made.images, y, keys, draws, repeats),
        "distance": (made.images - x).flatten(1).norm(dim=1).cpu(),
        "queries": made.forwards / len(x),
    }


@step(version=1)
def unattacked(
    network: Done, images: int, draws: int, repeats: int, *, context: Context
) -> dict[str, object]:
    """Classify again the test images that `black_box` attacks, without an attack.

    ``right``: which images are classified correctly, as `black_box` returns it.
    """
    net: Any = trained(network, context.device).requires_grad_(False)
    x, y, keys = _correct(net, network, images, draws, context.device)
    return {"right": _judged(net, x, y, keys, draws, repeats)}


def _correct(
    net: Any, network: Done, images: int, draws: int, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first ``images`` test images that are classified correctly with ``draws`` noise
    draws, their labels, and their keys.
    """
    x, y, keys = test_images(network, 0, 3 * images, device)
    known = probabilities(net, x, keys, draws, SELECT).argmax(1) == y
    rows = known.nonzero().squeeze(1)[:images]
    return x[rows], y[rows], keys[rows]


def _judged(net: Any, x: Tensor, y: Tensor, keys: Tensor, draws: int, repeats: int) -> Tensor:
    """Return which images are classified correctly in each of ``repeats`` evaluations with
    ``draws`` new noise draws, shape (repeats, images).
    """
    right = [
        probabilities(net, x, keys, draws, JUDGED + APART * r).argmax(1) == y
        for r in range(repeats)
    ]
    return torch.stack(right).cpu()


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, measurement). The measurement is "estimated" or "unattacked", and for an attack by ZOO the
    pair (h, number of noise draws per output).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        for network, own in p.chosen().items():
            size = SIZES[p.profile][network]
            for defense in DEFENSES:
                net, noisy = own.network(defense, seed), defense.startswith("rse")
                if noisy:
                    found[network, defense, seed, "estimated"] = estimated(
                        net, size.images, size.pairs, size.gradients
                    )
                    found[network, defense, seed, "unattacked"] = unattacked(
                        net, size.attacked, size.draws, size.repeats
                    )
                for h, averaged in options(size, noisy):
                    found[network, defense, seed, (h, averaged)] = black_box(
                        net,
                        size.attacked,
                        size.c,
                        size.steps // averaged,
                        size.coordinates,
                        h,
                        size.step_size,
                        averaged,
                        size.draws,
                        size.repeats,
                    )
    return found


def options(size: Size, noisy: bool) -> tuple[tuple[float, int], ...]:
    """Return for each attack by ZOO the pair (h, number of noise draws per output).

    Only networks with noise are attacked with an average over draws.
    """
    plain = ((STEPS[0], 1), (size.large, 1))
    return (*plain, (size.large, size.averaged)) if noisy else plain


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the tests of the two claims about ZOO's estimate, its variances,
    and the success rates of ZOO's attacks.
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {"h": STEPS, "counts": COUNTS}
    judged: set[int] = set()
    for (network, defense, seed, what), done in results.items():
        labels = {"network": network, "defense": defense}
        if what == "unattacked":
            right = done.tensors["right"]
            value, images = percent(~right), right.shape[1]
            rows.append(
                Row(value, "percent", None, "errors without attack", seed, images, setting=labels)
            )
            continue
        if what != "estimated":
            rows += _attacked(done, what, seed, labels)
            continue
        rows += _estimates(done, seed, labels)
        if seed not in judged:  # only the first network is compared with the paper
            rows += _answers(done, seed, labels)
            judged.add(seed)
        if seed == p.seeds[0]:
            found = grouped(done.tensors["differences"])
            arrays[f"{network}/{defense}/mean"] = done.tensors["differences"].mean(2)
            arrays[f"{network}/{defense}/variance"] = torch.stack(list(found.values()))
            for name in ("slope", "slope_error"):
                arrays[f"{network}/{defense}/{name}"] = done.tensors[name]
            arrays[f"{network}/{defense}/of margin"] = done.tensors["variance"]
    return p.record(PAPER, ITEM, rows, arrays)


Labels = Mapping[str, str | float | int | bool]


def grouped(differences: Tensor) -> dict[int, Tensor]:
    """Return the variance of ZOO's estimate for each number n of averaged noise draws; each
    variance has the shape (images, values of h).

    With n noise draws for each output of the network, ZOO's estimate is the mean of n independent
    finite differences.
    """
    images, steps, pairs = differences.shape
    found = {}
    for n in COUNTS:
        if pairs // n > 1:
            whole = differences[:, :, : pairs // n * n]
            found[n] = whole.reshape(images, steps, -1, n).mean(3).var(2)
    return found


def _estimates(done: Done, seed: int, labels: Labels) -> Iterator[Row]:
    """Yield two ratios for each h: the variance of ZOO's estimate divided by the predicted
    variance, for each number of noise draws in `COUNTS`, and the mean estimate divided by the exact
    derivative, with its standard error.

    In both ratios, numerator and denominator are sums over the images. In the second ratio, each
    image is weighted by its derivative, so that images with a large derivative count more.

    Yield also the number of noise draws per output at which the standard error of ZOO's estimate
    equals the derivative, as the median over the images. Yield it once for the derivative along the
    gradient, and once for the root mean square derivative along a single pixel.
    """
    slope, of_margin = done.tensors["slope"], done.tensors["variance"]
    means = done.tensors["differences"].mean(2)
    for i, h in enumerate(STEPS):
        for n, variance in grouped(done.tensors["differences"]).items():
            ratio = (variance[:, i].sum() / (of_margin / (2 * h**2 * n)).sum()).item()
            setting = {**labels, "h": h, "draws": n}
            yield Row(ratio, "ratio", None, "variance over prediction", seed, setting=setting)
        ratio = ((means[:, i] * slope).sum() / slope.square().sum()).item()
        setting = {**labels, "h": h}
        yield Row(ratio, "ratio", None, "mean over derivative", seed, setting=setting)
        error = _error(done, i)
        yield Row(error, "ratio", None, "standard error", seed, setting=setting)
        # At this number of noise draws, the standard error of the estimate equals the derivative.
        needed = (of_margin / (2 * h**2 * slope.square())).median().item()
        yield Row(needed, "none", None, "draws along the gradient", seed, setting=setting)
        each = needed * done.values["pixels"]
        yield Row(each, "none", None, "draws along a pixel", seed, setting=setting)


def _error(done: Done, i: int) -> float:
    """Return for one h the standard error of a ratio: the mean estimate divided by the exact
    derivative. It is computed from the standard errors of both.
    """
    slope, each = done.tensors["slope"], done.tensors["differences"][:, i]
    error = each.var(1) / each.shape[1] + done.tensors["slope_error"].square()
    return float((error * slope.square()).sum().sqrt() / slope.square().sum())


def _answers(done: Done, seed: int, labels: Labels) -> Iterator[Row]:
    """Yield the results that are compared with the paper's numbers.

    The first result is the scaled variance at the smallest h: the variance of the estimate times 2
    h^2 / Var(g). The paper's claim that small h does not help holds if the scaled variance is
    positive and agrees within 20 % at the two smallest h. The second result is the mean of ZOO's
    estimate divided by the exact derivative, at a moderate h (`MODERATE`). The claim that the
    estimate is unbiased holds if this ratio differs from 1 by at most 0.1 plus 3 standard errors.
    """
    of_margin, variance = done.tensors["variance"], grouped(done.tensors["differences"])[1]
    small, next_ = (
        (variance[:, i].sum() * 2 * STEPS[i] ** 2 / of_margin.sum()).item() for i in (0, 1)
    )
    yield Row(
        small,
        "ratio",
        f"{TARGETS}/text-3.3/zoo-no-gradient",
        seed=seed,
        holds=small > 0 and abs(small / next_ - 1) < 0.2,
        setting=dict(labels),
    )
    i = STEPS.index(MODERATE)
    slope, means = done.tensors["slope"], done.tensors["differences"].mean(2)
    ratio = ((means[:, i] * slope).sum() / slope.square().sum()).item()
    yield Row(
        ratio,
        "ratio",
        f"{TARGETS}/text-3.3/zoo-unbiased",
        seed=seed,
        holds=abs(ratio - 1) <= 3 * _error(done, i) + 0.1,
        setting=dict(labels),
    )


def _attacked(done: Done, what: tuple[float, int], seed: int, labels: Labels) -> Iterator[Row]:
    """Yield the success rate of one attack by ZOO in percent, the number of queries per image, and
    the median l2 distance over the successful attacks.
    """
    h, averaged = what
    setting = {**labels, "h": h, "draws": averaged}
    wrong = ~done.tensors["right"]
    images = wrong.shape[1]
    value = percent(wrong)
    yield Row(value, "percent", None, "success", seed, images, setting=setting)
    yield Row(done.values["queries"], "count", None, "queries", seed, setting=setting)
    moved = wrong.double().mean(0) > 0.5
    if bool(moved.any()):
        distance = done.tensors["distance"][moved].median().item()
        yield Row(distance, "l2", None, "distance", seed, setting=setting)
