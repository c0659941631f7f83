"""Test by measurements which steps of the theory in Section 3.1 of Random Self-Ensemble hold.

The first step is Jensen's bound: for each image and any number of noise draws, the loss of the
averaged probabilities is at most the mean loss over the draws. The second is a Taylor expansion for
small noise with standard deviation s sigma_l in layer l. By this expansion, the mean loss exceeds
the loss without noise by s^2/2 times a weighted trace of the Hessian: the sum over layers of
sigma_l^2 times the trace with respect to the noise of layer l. The paper speaks of the Frobenius
norm of the Hessian instead of the trace, and replaces it by the Lipschitz constant of the loss.
This study measures for each image the trace and the norm of the Hessian, and the norm of the
gradient.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass as checked
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.defenses import Noisy, noisy
from robustbook.defenses.self_ensemble import Noise as NoiseLayer
from robustbook.ledger import Record, Row
from robustbook.measures import curvature
from robustbook.networks.first_weights import draw_first_weights
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT
from robustbook.studies.rows import share_row

from . import settings
from .attack import FRESH, test_images
from .networks import trained
from .settings import PAPER, TARGETS, Names

ITEM = "theory"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
DEFENSES: tuple[Names, ...] = ("none", "rse")
COUNTS = (1, 2, 5, 10, 50)
"""The numbers of noise draws over which losses and probabilities are averaged. With one draw both
sides of Jensen's first inequality are equal, so the record has only the larger numbers.
"""
SCALES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""The noise scales: multiples of the standard deviations of the noise in training."""
SMALL = (0.003, 0.01, 0.03, 0.1, 0.3)
"""The standard deviations of the noise in all layers of the small smooth network. The comparison
with the paper uses 0.01.
"""
AT = 0.01
PIECE = 10  # number of images whose Hessians are computed together


@dataclass(frozen=True)
class Size:
    """The settings for one network: the numbers of images, noise draws and random vectors.

    ``images``: the number of test images that the functions `averaged` and `steep` use.
    ``bent``: the number of test images that the function `bent` uses.
    ``draws``: the number of noise draws for each image in `bent`, and also the number of random
        vectors with which `bent` estimates the Hessian's trace and norm.
    ``probes``: the number of random vectors for each image with which `steep` estimates the trace
        and the norm of the Hessian.
    """

    images: int
    bent: int
    draws: int
    probes: int


SIZES = {
    "quick": Size(24, 6, 12, 6),
    "reduced": Size(400, 40, 100, 40),
    "paper": Size(100, 20, 40, 20),
}


@checked(frozen=True, config=STRICT)
class Parameters(settings.OfNetworks):
    """The parameters that a reader of the book can set for the study of the theory."""

    own_networks: ClassVar = settings.OWN


@step(version=1)
def averaged(network: Done, images: int, *, context: Context) -> dict[str, object]:
    """Compare the mean loss over noise draws with the loss of the averaged probabilities.

    ``mean``: the mean cross entropy over draws.
    ``together``: the cross entropy of the probabilities averaged over draws.
    ``confidence``: minus the logarithm of the largest averaged probability.
    ``right``: which images are classified correctly with the largest number of draws.

    ``mean``, ``together`` and ``confidence`` have the shape (counts, images), with one row for each
    number of draws in `COUNTS`.
    """
    net: Any = trained(network, context.device)
    x, y, keys = test_images(network, 0, images, context.device)
    logs = []
    with torch.no_grad():
        for draw in range(max(COUNTS)):
            parts = zip(torch.split(x, 100), torch.split(keys, 100), strict=True)
            logits = torch.cat([net.at(k, FRESH + draw)(part) for part, k in parts])
            logs.append(logits.double().log_softmax(1))
            context.progress(draw + 1, max(COUNTS))
    single = torch.stack(logs)
    own = -single.gather(2, y.expand(len(single), -1)[..., None]).squeeze(2)
    found: dict[str, list[Tensor]] = {"mean": [], "together": [], "confidence": []}
    for n in COUNTS:
        average = single[:n].logsumexp(0) - torch.tensor(n).log()
        found["mean"].append(own[:n].mean(0))
        found["together"].append(-average.gather(1, y[:, None]).squeeze(1))
        found["confidence"].append(-average.amax(1))
    right = average.argmax(1) == y
    return {
        **{name: torch.stack(parts).cpu() for name, parts in found.items()},
        "right": right.cpu(),
    }


@step(version=1)
def bent(network: Done, images: int, draws: int, *, context: Context) -> dict[str, object]:
    """Compare the increase of the mean loss under noise in all layers with the trace of the
    Hessian.

    ``gap``: for each image and each noise scale in `SCALES`, the mean loss minus the loss without
        noise.
    ``trace``, ``frobenius``: the trace and the Frobenius norm of the Hessian of the loss, with
        respect to the standard normal numbers that the noise layers multiply by their standard
        deviations.
    """
    net = trained(network, context.device).double().requires_grad_(False)
    assert isinstance(net, Noisy)
    x, y, _ = test_images(network, 0, images, context.device)
    x = x.double()
    found: dict[str, list[Tensor]] = {"gap": [], "trace": [], "frobenius": []}
    chance = generator(0, "theory")  # for random vectors and noise
    for i in range(images):
        one, label = x[i : i + 1], y[i : i + 1]
        size = noise_count(net, one)
        loss, zero = loss_under(net, one, label), torch.zeros(1, size, dtype=x.dtype)
        many = loss_under(net, one.expand(draws, -1, -1, -1), label.expand(draws))
        gaps = [gap(many, zero.expand(draws, -1), s, 1, chance).mean(0) for s in SCALES]
        found["gap"].append(torch.stack(gaps)[None])
        bend = curvature(loss, zero, probes=draws, generator=chance)
        found["trace"].append(bend.trace)
        found["frobenius"].append(bend.frobenius)
        context.progress(i + 1, images)
    return {name: torch.cat(parts) for name, parts in found.items()}


@step(version=1)
def steep(network: Done, images: int, probes: int, *, context: Context) -> dict[str, object]:
    """Measure the gradient and the Hessian of the loss with respect to the image, without noise.

    ``trace``, ``frobenius``: the trace and the Frobenius norm of the Hessian.
    ``slope``: the l2 norm of the gradient.
    ``right``: which images are classified correctly.
    ``loss``: the cross entropy.
    """
    noise = network.call.arguments["noise"]
    quiet = None if noise is None else replace(noise, when="never")
    net = trained(network, context.device, quiet).requires_grad_(False)
    x, y, _ = test_images(network, 0, images, context.device)
    chance = torch.Generator(x.device).manual_seed(0)
    found: dict[str, list[Tensor]] = {}
    for part, label in zip(torch.split(x, PIECE), torch.split(y, PIECE), strict=True):

        def loss(z: Tensor, label: Tensor = label) -> Tensor:
            return F.cross_entropy(net(z), label, reduction="none")

        bend = curvature(loss, part, probes=probes, generator=chance)
        with torch.no_grad():
            logits = net(part)
        rows = {
            "trace": bend.trace,
            "frobenius": bend.frobenius,
            "slope": bend.slope,
            "right": logits.argmax(1) == label,
            "loss": F.cross_entropy(logits, label, reduction="none"),
        }
        for name, values in rows.items():
            found.setdefault(name, []).append(values)
        context.progress(len(found["trace"]) * PIECE, images)
    return {name: torch.cat(parts).cpu() for name, parts in found.items()}


@step(version=1)
def smooth(images: int, draws: int, seed: int) -> dict[str, object]:
    """Train a small smooth network on digits. Then measure how much noise increases its loss for
    each noise scale in `SMALL`. Measure also the trace and the Frobenius norm of the Hessian.

    The network has two convolutions with softplus and a linear layer, and noise in front of both
    convolutions. Because all layers are smooth, the loss has a Hessian everywhere.
    """
    data = load("digits", "train")
    x, y = as_float(data.images).double(), data.labels
    net = noisy(_small(seed), init=1.0, inner=1.0, seed=0)
    quiet = net.net
    net.when = "never"
    optimizer = torch.optim.Adam(quiet.parameters(), 3e-3)
    chance = generator(seed, "batches")
    for _ in range(200):
        rows = torch.randint(len(x), (100,), generator=chance)
        optimizer.zero_grad()
        F.cross_entropy(quiet(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    net.requires_grad_(False)
    test = load("digits", "test").subset(images)
    x, y = as_float(test.images).double(), test.labels
    size = noise_count(net, x)
    loss = loss_under(net, x, y)
    zero = torch.zeros(images, size, dtype=torch.float64)
    bend = curvature(loss, zero, probes=draws, generator=generator(seed, "probes"))
    chance = generator(seed, "theory")
    gaps = torch.stack([gap(loss, zero, s, draws, chance) for s in SMALL], 1)
    return {"gap": gaps, "trace": bend.trace, "frobenius": bend.frobenius, "slope": bend.slope}


def _small(seed: int) -> nn.Sequential:
    """Return a small network of smooth layers for gray 28x28 images and 10 classes."""
    net = nn.Sequential(
        nn.AvgPool2d(4),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Softplus(beta=4.0),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.Softplus(beta=4.0),
        nn.Flatten(),
        nn.Linear(256, 10),
    ).double()
    draw_first_weights(net, generator(seed, "weights"), "torch")
    return net


def gap(
    loss: Callable[[Tensor], Tensor],
    zero: Tensor,
    scale: float,
    draws: int,
    chance: torch.Generator,
) -> Tensor:
    """Return how much the mean loss under normal noise of standard deviation ``scale`` exceeds the
    loss without noise.

    ``zero``: a tensor of zeros with the shape of the noise.

    The function ``loss`` returns one number per row of the noise, and different rows have
    independent noise. Each noise draw is used with both signs, so the linear term of the loss
    cancels.
    """
    total = torch.zeros_like(zero[:, 0])
    with torch.no_grad():
        for _ in range(draws):
            z = scale * torch.randn(zero.shape, generator=chance, dtype=zero.dtype)
            total += (loss(z) + loss(-z)) / 2
        found: Tensor = total / draws - loss(zero)
        return found


def loss_under(net: Noisy, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that computes the loss of each image, given the noise on this image.

    The argument of this function has one row per image. A row contains the standard normal numbers
    for the first noise layer, then those for the second, and so on. Each layer multiplies its
    numbers by its standard deviation.
    """

    def loss(numbers: Tensor) -> Tensor:
        position = 0

        def add(layer: Any, _: Any, output: Tensor) -> Tensor:
            nonlocal position
            start, position = position, position + output[0].numel()
            added = layer.sigma * numbers[:, start:position].view_as(output)
            return torch.add(output, added)

        return F.cross_entropy(_hooked(net, add, images), labels, reduction="none")

    return loss


def noise_count(net: Noisy, images: Tensor) -> int:
    """Return how many random numbers all noise layers together need for one image."""
    counts: list[int] = []
    with torch.no_grad():
        _hooked(net, lambda layer, _, output: counts.append(output[0].numel()), images[:1])
    return sum(counts)


def _hooked(net: Noisy, hook: Callable[..., Any], images: Tensor) -> Tensor:
    """Return the logits with all noise switched off; ``hook`` is called after every noise layer and
    can change its output.
    """
    before, net.when = net.when, "never"
    layers = [layer for layer in net.modules() if isinstance(layer, NoiseLayer)]
    hooks = [layer.register_forward_hook(hook) for layer in layers]
    try:
        logits: Tensor = net(images)
    finally:
        net.when = before
        for each in hooks:
            each.remove()
    return logits


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, measurement). The small smooth network has the name ``digits``.
    """
    found: dict[tuple[Any, ...], Call] = {}
    size = SIZES[p.profile]
    for seed in p.seeds:
        few = p.profile == "quick"
        found["digits", "smooth", seed, "smooth"] = smooth(20, 100 if few else 2000, seed)
        for network, own in p.chosen().items():
            for defense in DEFENSES:
                net = own.network(defense, seed)
                found[network, defense, seed, "steep"] = steep(net, size.images, size.probes)
                if defense.startswith("rse"):
                    found[network, defense, seed, "averaged"] = averaged(net, size.images)
                    found[network, defense, seed, "bent"] = bent(net, size.bent, size.draws)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the results that are compared with the paper's numbers, and for each equation of the
    theory its left side divided by its right side. For the first seed, return also the measurements
    of each image, which the figures show.
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {"counts": COUNTS, "scales": SCALES, "small": SMALL}
    judged: set[int] = set()
    for (network, defense, seed, what), done in results.items():
        labels = {"network": network, "defense": defense}
        if what == "averaged":
            # The book's ledger compares the results of the first network with the paper.
            rows += _jensen(done, seed, labels, judges=seed not in judged)
            judged.add(seed)
        elif what == "steep":
            rows += _steep(done, seed, labels)
        else:
            rows += _taylor(done, seed, labels, SMALL if what == "smooth" else SCALES)
        if seed == p.seeds[0]:
            for name, values in done.tensors.items():
                arrays[f"{network}/{defense}/{what}/{name}"] = values
    return p.record(PAPER, ITEM, rows, arrays)


Labels = Mapping[str, str | float | int | bool]


def _jensen(done: Done, seed: int, labels: Labels, judges: bool) -> Iterator[Row]:
    """Yield for each inequality in Jensen's bound the minimum and the mean over the images of a
    difference: the side that should be larger minus the other side. Only numbers of noise draws
    from two on are used.

    The differences are at least 0 for any class probabilities, so they test only this code.

    Yield also the percentage of misclassified images, and the mean ``confidence`` (see `averaged`)
    of the correctly classified and of the misclassified images.
    """
    mean, together, confidence = (done.tensors[k][1:] for k in ("mean", "together", "confidence"))
    steps = {"claim-jensen": mean - together, "claim-jensen-b": together - confidence}
    for name, difference in steps.items():
        if judges:
            value = difference.min().item()
            yield Row(value, "fraction", f"{TARGETS}/{name}", seed=seed, setting=dict(labels))
        for n, row in zip(COUNTS[1:], difference, strict=True):
            setting = {**labels, "draws": n}
            yield Row(row.mean().item(), "none", None, f"mean {name}", seed, setting=setting)
    right = done.tensors["right"]
    yield share_row(~right, None, "misclassified", seed, setting=labels)
    for name, chosen in {"right": right, "wrong": ~right}.items():
        if bool(chosen.any()):
            value = confidence[-1][chosen].mean().item()
            yield Row(value, "none", None, f"confidence {name}", seed, setting=dict(labels))


def _ratio(gap: Tensor, predicted: Tensor) -> tuple[float, float]:
    """Return the sum of the gaps over the images divided by the sum of the predicted gaps, and the
    standard error of this ratio.
    """
    ratio = gap.sum() / predicted.sum()
    spread = (gap - ratio * predicted).std()  # between the images
    error = len(gap) ** 0.5 * spread / predicted.sum().abs()
    return ratio.item(), error.item()


def _taylor(done: Done, seed: int, labels: Labels, scales: tuple[float, ...]) -> Iterator[Row]:
    """Yield two ratios for each noise scale s: the increase of the loss divided by s^2/2 times the
    trace of the Hessian, and the same with the Frobenius norm in place of the trace. After each
    ratio, yield its standard error.

    Yield also the percentage of images for which the trace of the Hessian is negative.
    """
    trace = done.tensors["trace"]
    for s, gap in zip(scales, done.tensors["gap"].T, strict=True):
        setting = {**labels, "scale": s}
        for name, size in {"trace": trace, "norm": done.tensors["frobenius"]}.items():
            ratio, error = _ratio(gap, s**2 / 2 * size)
            judged = labels["network"] == "digits" and (name, s) == ("trace", AT)
            target = f"{TARGETS}/claim-taylor-trace" if judged else None
            yield Row(ratio, "ratio", target, f"gap over {name}", seed, setting=setting)
            yield Row(error, "ratio", None, f"error over {name}", seed, setting=setting)
    yield share_row(trace < 0, None, "negative trace", seed, setting=labels)


def _steep(done: Done, seed: int, labels: Labels) -> Iterator[Row]:
    """Yield the median trace of the Hessian and the median gradient norm: for the correctly
    classified images, for the misclassified ones, and for all.

    ``rank correlation``: the rank correlation of the gradient norm and the trace of the Hessian,
        over all images.
    """
    trace, slope, right = (done.tensors[k] for k in ("trace", "slope", "right"))
    for name, chosen in {"right": right, "wrong": ~right, "all": right | ~right}.items():
        if bool(chosen.any()):
            setting = {**labels, "images": name}
            yield Row(trace[chosen].median().item(), "none", None, "trace", seed, setting=setting)
            yield Row(slope[chosen].median().item(), "none", None, "slope", seed, setting=setting)
    ranks = torch.stack([trace.argsort().argsort(), slope.argsort().argsort()]).double()
    value = torch.corrcoef(ranks)[0, 1].item()
    yield Row(value, "none", None, "rank correlation", seed, setting=dict(labels))
    yield share_row(right, None, "accuracy", seed, setting=labels)
