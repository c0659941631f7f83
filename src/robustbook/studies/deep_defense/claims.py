"""Test claims of the authors' blog post on Deep Defense (Intel, 2018) by measurements.

Most claims of the post have no numbers, so we chose the thresholds that decide whether a claim
holds. Claim 1, that perturbations are a thousand times smaller than the image, is about large
images, so it is tested in the study on ImageNet (`imagenet`). Claims 5 to 7 are about Table 1: each
compares two numbers of the MLP. Of claim 4 only a consequence is tested. For statements 8 and 9 we
report numbers without a test. Statement 8 is about very strong attacks against Parseval training,
which five epochs of fine-tuning cannot decide. Statement 9 says what the regulariser encourages,
but reports no result.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.defenses import deep_defense
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, accuracy_along, eps_leaving, logits_of, predict, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step

from .methods import Method, offset, released
from .networks import model_of, pixels, trained
from .readings import read
from .sets import numbers
from .settings import PAPER, Parameters

ITEM = "claims"
MAIN = "mlp"  # the network on which the claims are tested
SURE = 0.7  # a mean confidence in a wrong class above this value counts as high
LESS_HARM = 5.0  # claim 3 holds if noise needs at least so many times DeepFool's norm
ABLATIONS: tuple[Literal["correct", "wrong"], ...] = ("correct", "wrong")


@step(version=1)
def confidence(network: Done, eps: float, images: int, *, context: Context) -> dict[str, object]:
    """Measure how confident the network is about adversarial images of FGSM and PGD (40 steps).

    ``fgsm turned``, ``pgd turned``: the percentage of images that are misclassified after the
        attack.
    ``fgsm``, ``pgd``: the mean highest class probability of these images.
    ``clean``: the mean highest class probability of correctly classified clean images.
    """
    net, x, y = pixels(network, images, context.device)
    clean = logits_of(net, x)
    found: dict[str, object] = {}
    found["clean"] = clean[clean.argmax(1) == y].softmax(1).amax(1).mean().item()
    for attack in (
        Attack("fgsm", eps, clip=True),
        Attack("pgd", eps, clip=True, steps=40, step_size=eps / 8),
    ):
        chance = generator(network.call.arguments["seed"], "claims", "pgd")
        made = strike(attack, net, x, y, generator=chance)
        certain = logits_of(net, made.images[made.found]).softmax(1).amax(1)
        found[attack.kind] = certain.mean().item() if len(certain) else 0.0
        found[f"{attack.kind} turned"] = 100 * made.found.double().mean().item()
    return found


@step(version=1)
def noise(network: Done, images: int, *, context: Context) -> dict[str, object]:
    """Measure the accuracy under Gaussian noise whose l2 norm on each image equals the norm of
    DeepFool's perturbation.

    ``accuracy``: the accuracy under the Gaussian noise.
    ``under deepfool``: the accuracy under DeepFool.
    ``clean``: the accuracy without a perturbation.
    ``ratio``: the factor by which the noise must be multiplied for the accuracy to fall to 50 %.
    """
    net = trained(network, context.device)
    data, seed = model_of(network).data, network.call.arguments["seed"]
    x, y = (t.to(context.device) for t in numbers(data, "test", images))
    found = deepfool(net, x, y, preset=released(data))
    draws = torch.randn(x.shape, generator=generator(seed, "claims", "noise")).to(x)
    sizes = found.distance / draws.flatten(1).norm(dim=1)
    directions = draws * sizes.reshape(-1, *[1] * (x.ndim - 1))
    moved = found.images - x
    return {
        "accuracy": accuracy_along(net, x, y, directions, 1.0),
        "under deepfool": accuracy_along(net, x, y, moved, 1.0),
        "clean": accuracy_along(net, x, y, moved, 0.0),
        "ratio": eps_leaving(net, x, y, directions),
    }


@step(version=1)
def sides(network: Done, start: Done, images: int, *, context: Context) -> dict[str, object]:
    """Return the mean norm of DeepFool's perturbations, relative to the norm of the image, on two
    sets of test images.

    ``correct``: the mean over images that ``start`` classifies correctly; DeepFool perturbs them
        until they are misclassified.
    ``wrong``: the mean over images that ``start`` misclassifies; DeepFool perturbs them until they
        are classified correctly. If ``network`` already classifies the clean image correctly, the
        norm counts as 0.
    ``images``: the number of images that ``start`` misclassifies.

    Only ``start`` determines the two sets, so all fine-tuned networks are compared on the same
    images.
    """
    net, first = trained(network, context.device), trained(start, context.device)
    data = model_of(network).data
    x, y = (t.to(context.device) for t in numbers(data, "test", images))
    right = predict(first, x) == y
    size = x.flatten(1).norm(dim=1)
    away = deepfool(net, x[right], y[right], preset=released(data)).distance / size[right]
    wrong, labels = x[~right], y[~right]
    answers = predict(net, wrong)
    rest = answers != labels
    back = torch.zeros_like(size[~right])
    if rest.any():
        # The label is the target class; each step moves away from the predicted class.
        found = deepfool(
            net, wrong[rest], answers[rest], targets=labels[rest], preset=released(data)
        )
        back[rest] = found.distance / size[~right][rest]
    return {
        "correct": away.mean().item(),
        "wrong": back.mean().item(),
        "images": int((~right).sum()),
    }


@step(version=1)
def exactness(network: Done, images: int, *, context: Context) -> dict[str, object]:
    """Return ``error``, the relative error of the gradient of Deep Defense's regulariser: the
    median along nine random directions in weight space. The gradient is compared with central
    differences in float64.
    """
    data, seed = model_of(network).data, network.call.arguments["seed"]
    net = copy.deepcopy(trained(network, "cpu")).double()
    x, y = (t.double() if t.is_floating_point() else t for t in numbers(data, "test", images))
    weights = list(net.parameters())

    def regulariser() -> Tensor:
        terms = deep_defense(net, x, y, offset=offset(data))
        return terms["correct"] + terms["wrong"]

    gradients = torch.autograd.grad(regulariser(), weights)
    errors = []
    for i in range(9):
        draws = generator(seed, "claims", "direction", i)
        ways = [torch.randn(p.shape, generator=draws, dtype=p.dtype) * p.std() for p in weights]
        slope = sum((g * w).sum().item() for g, w in zip(gradients, ways, strict=True))
        errors.append(abs(_difference(regulariser, weights, ways) - slope) / abs(slope))
    return {"error": sorted(errors)[4]}


def _difference(
    value: Any, weights: list[nn.Parameter], ways: list[Tensor], h: float = 1e-6
) -> float:
    """Return the derivative of ``value`` along the direction ``ways``, by a central difference with
    step ``h``.
    """
    ends = []
    for sign in (1, -2, 1):  # forward, then backward beyond the start, then back to the start
        with torch.no_grad():
            for p, way in zip(weights, ways, strict=True):
                p.add_(sign * h * way)
        ends.append(value().item())
    return float((ends[0] - ends[1]) / (2 * h))


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations that the study runs, as a dict with one entry per key (network, seed,
    purpose, method).
    """
    found: dict[tuple[Any, ...], Call] = {}
    for network, setting, seed in p.runs():
        nets = setting.networks(seed)
        for method in ("reference", "clean", "par-networks", "adv-training-i", "deep-defense"):
            found[network, seed, "read", method] = read(nets[method], setting.test)
        found[network, seed, "noise", "reference"] = noise(nets["reference"], setting.looked)
        if network != MAIN:
            continue
        usual: Method = setting.methods()["deep-defense"]
        for term in ABLATIONS:
            nets[term] = setting.tuned(replace(usual, terms=term), seed)
        for method in ("reference", "clean", "deep-defense", *ABLATIONS):
            found[network, seed, "sides", method] = sides(
                nets[method], nets["reference"], setting.test
            )
        certain = confidence(nets["reference"], 0.1, min(setting.looked, 1000))
        found[network, seed, "confidence", "reference"] = certain
        found[network, seed, "exactness", "deep-defense"] = exactness(nets["deep-defense"], 20)
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return for each seed one row for every claim, and one for every measured number."""
    rows: list[Row] = []
    for (network, seed, what, method), done in results.items():
        labels = {"network": network, "method": method, "what": what}
        for name, value in done.values.items():
            rows.append(Row(value, "none", None, name, seed, setting=labels))
    for seed in p.seeds:
        of = {key[2:]: d.values for key, d in results.items() if key[:2] == (MAIN, seed)}
        if of:
            rows += _verdicts(seed, of)
    return p.record(PAPER, ITEM, rows)


def _verdicts(seed: int, of: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each claim with a measurement. All rows measure the same network, `MAIN`.
    The rows of statements 8 and 9 do not say whether a claim holds.
    """

    def row(claim: int, value: float, unit: str, holds: bool | None = None) -> Row:
        return Row(value, unit, f"{PAPER}/claim-{claim}/check", seed=seed, holds=holds)

    rho = {method: values["rho"] for (what, method), values in of.items() if what == "read"}
    sure = of["confidence", "reference"]["pgd"]
    yield row(2, sure, "fraction", bool(sure >= SURE))
    longer = of["noise", "reference"]["ratio"]
    yield row(3, longer, "ratio", bool(longer >= LESS_HARM))
    steps = of["read", "reference"]["iterations"]
    yield row(4, steps, "count", bool(steps < 3))
    yield row(5, rho["deep-defense"], "ratio")
    yield row(6, of["read", "deep-defense"]["accuracy"], "percent")
    yield row(7, rho["deep-defense"], "ratio")
    gain = {method: value - rho["reference"] for method, value in rho.items()}
    part = gain["par-networks"] / gain["deep-defense"] if gain["deep-defense"] else 1.0
    yield row(8, part, "ratio")
    before, after = of["sides", "reference"], of["sides", "deep-defense"]
    yield row(9, after["correct"] / before["correct"], "ratio")
    error = of["exactness", "deep-defense"]["error"]
    alone = gain["clean"] < 0.1 * gain["deep-defense"]  # the gain of plain fine-tuning
    yield row(10, error, "fraction", bool(error < 1e-2 and alone))
