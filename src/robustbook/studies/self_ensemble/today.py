"""Evaluate networks of Random Self-Ensemble under today's attacks, which average their loss over
noise draws.

The paper's attack uses one noise draw per step, a fixed c and small steps, and returns the last
iterate. Other Carlini-Wagner attacks of this study use several noise draws per step, larger steps
or a search over c, or return the nearest adversarial iterate. Further attacks are l2 PGD,
l-infinity PGD, PGD on the network with its noise frozen (the same in every step) or switched off,
and the gradient-free Square attack. The network classifies the attacked images several times, each
time with new noise draws.

A majority vote over noise draws of a network with noise on the image is randomized smoothing, even
if there is more noise inside the network. So for networks with noise, the study also computes the
certified accuracy of the majority vote at each l2 radius. This certified accuracy is a lower bound
on the accuracy of the vote under any attack. The accuracy under the attacks of this study is an
upper bound on that under the strongest possible attack.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE, CarliniWagner
from robustbook.ledger import Record, Row
from robustbook.measures import certified
from robustbook.runs import Call, Done
from robustbook.studies.parameters import STRICT
from robustbook.studies.rows import percent, share_row

from . import settings
from .adaptive import Strike, counted, one_draw, struck
from .settings import PAPER, TARGETS, Names, Setting

ITEM = "today"
LATER: tuple[Names, ...] = ("none", "rse paper 0.2")
"""The defenses of VGG16 that occur in the logs that the authors published in 2018."""
ALPHA = 0.001
"""For each image, the probability that its certified radius is too large, as in Cohen et al."""
TRUE_LABEL = "our attack increases the loss of the true class, theirs that of the predicted class"
"""How the attack of a small run differs from that of the authors' later logs."""
POINTS = 81
"""The number of points of each curve, from radius 0 to twice the largest radius of l2 PGD."""
Key = tuple[str, int, float]
"""The key of an attack: its name, the number of noise draws that it averages over, and its radius
(0 for an attack without a radius).
"""


@dataclass(frozen=True)
class Size:
    """The settings for one network: the numbers of images, steps and noise draws.

    ``images``: the number of test images.
    ``piece``: the number of test images that one job attacks.
    ``repeats``: how many times the attacked images are evaluated, each time with ``draws`` new
        noise draws.
    ``averaged``: the numbers of noise draws over which an attack averages in each step; the attack
        is run once with each of these numbers.
    ``c``: the weight of the hinge loss in Carlini-Wagner attacks with a fixed c.
    ``steps``: the number of steps of the Carlini-Wagner attack with large steps.
    ``searches``: the number of values of c that the search over c tries.
    ``l2``, ``linf``: the radii of l2 PGD and of l-infinity PGD.
    ``climb``: the number of steps of PGD.
    ``queries``: the number of queries of the Square attack.
    ``choice``: for the certificate, the number of noise draws that choose the class.
    ``trials``: for the certificate, the number of noise draws that bound the probability of the
        chosen class.
    ``logged``: the number of images for the comparison with the authors' later logs; 0 means that
        nothing is compared.
    """

    images: int
    piece: int
    c: float
    l2: tuple[float, ...]
    linf: tuple[float, ...]
    draws: int = 50
    repeats: int = 3
    averaged: tuple[int, ...] = (1, 10, 50)
    steps: int = 40
    searches: int = 3
    climb: int = 20
    queries: int = 100
    choice: int = 100
    trials: int = 1000
    logged: int = 0

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Divide the test images into pieces; return the first image and the number of images of
        each.
        """
        starts = range(0, self.images, self.piece)
        return tuple((at, min(self.piece, self.images - at)) for at in starts)


QUICK = Size(
    images=8,
    piece=8,
    c=0.1,
    l2=(0.25, 0.5),
    linf=(4 / 255,),
    draws=10,
    repeats=2,
    averaged=(1, 4),
    steps=20,
    searches=2,
    climb=8,
    queries=20,
    choice=10,
    trials=100,
)
COLOURED = Size(
    images=200, piece=100, c=0.1, l2=(0.25, 0.5, 1.0), linf=(4 / 255, 8 / 255), logged=400
)
SIZES: Mapping[str, Mapping[str, Size]] = {
    "quick": {"vgg16": QUICK, "resnext": QUICK},
    "reduced": {"vgg16": COLOURED, "resnext": replace(COLOURED, images=50, piece=10, c=0.2)},
    "paper": {
        "vgg16": replace(COLOURED, images=400, logged=1000),
        "resnext": replace(COLOURED, images=400, piece=50, c=0.2),
        "model-a": Size(images=50, piece=10, c=3.0, l2=(0.5, 1.0, 2.0), linf=(2 / 255, 4 / 255)),
    },
}
OWN: Mapping[str, tuple[Names, ...]] = {"vgg16": ("none", "rse", "rse paper 0.4")}
"""The defenses that are attacked. One for VGG16 has the placement of noise that the paper's text
describes; for other networks, the released code already has this placement.
"""


@checked(frozen=True, config=STRICT)
class Parameters(settings.OfNetworks):
    """The parameters that a reader of the book can set for the study of today's attacks."""

    own_networks: ClassVar = settings.OWN
    images: settings.Images = None

    def size(self, network: str) -> Size:
        """Return the numbers of images, steps and draws for this network."""
        own = SIZES[self.profile][network]
        return own if self.images is None else replace(own, images=self.images)


def attacked_ones(p: Parameters, network: str) -> tuple[Names, ...]:
    """Return the defenses that are attacked on this network."""
    return ("none", "rse") if p.profile == "quick" else OWN.get(network, ("none", "rse"))


def strikes(own: Setting, size: Size, defense: str) -> dict[Key, Strike]:
    """Return the attacks on one network, as a dict with one entry per tuple (name, number of noise
    draws per step, radius).

    For a network without noise, the dict has no attacks that average over noise draws, freeze the
    noise or switch it off.
    """
    noisy = defense.startswith("rse")
    counts = size.averaged if noisy else (1,)
    several = counts[min(1, len(counts) - 1)]
    paper = Strike("carlini-wagner", own.steps, 1e-3, c=size.c, preset=RANDOM_SELF_ENSEMBLE)
    large = Strike("carlini-wagner", size.steps, c=size.c)
    found = {("clean", 1, 0.0): Strike("none"), ("paper", 1, 0.0): paper}
    for k in counts:
        found["large steps", k, 0.0] = replace(large, averaged=k)
    if noisy:
        found["paper", several, 0.0] = replace(paper, averaged=several)
    found["nearest", several, 0.0] = replace(
        large, averaged=several, preset=CarliniWagner(keep="nearest")
    )
    found["search", several, 0.0] = replace(
        large, kind="search", averaged=several, searches=size.searches
    )
    middle = size.l2[len(size.l2) // 2]
    for norm, radii in (("l2", size.l2), ("linf", size.linf)):
        for eps in radii:
            climb = Strike(f"pgd-{norm}", size.climb, eps / 8, eps=eps)  # type: ignore[arg-type]
            for k in dict.fromkeys((1, several)):
                found[f"pgd {norm}", k, eps] = replace(climb, averaged=k)
            if norm == "l2" and eps == middle and noisy:
                found["pgd l2", counts[-1], eps] = replace(climb, averaged=counts[-1])
                found["frozen", 1, eps] = replace(climb, noise="frozen")
                found["off", 1, eps] = replace(climb, noise="off")
    eps = size.linf[-1]
    found["square", several, eps] = Strike("square", size.queries, averaged=several, eps=eps)
    return found


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, measurement, index of the job's first test image), in the order of the images.
    """
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        for network, own in p.chosen().items():
            size = p.size(network)
            for first, count in size.pieces:
                for defense in attacked_ones(p, network):
                    net = own.network(defense, seed)
                    for key, strike in strikes(own, size, defense).items():
                        found[network, defense, seed, key, first] = struck(
                            net, strike, first, count, size.draws, size.repeats
                        )
                    if defense.startswith("rse"):
                        found[network, defense, seed, "votes", first] = counted(
                            net, first, count, size.choice, size.trials
                        )
            if network == "vgg16" and size.logged:
                for defense in LATER:
                    found[network, defense, seed, "one draw", 0] = one_draw(
                        own.network(defense, seed),
                        0,
                        size.logged,
                        0.05,
                        10,
                        0.007,
                        predicted=p.profile == "paper",
                    )
    return found


@dataclass(frozen=True)
class Outcome:
    """The result of one attack on all images.

    ``right``: which attacked images are classified correctly in each evaluation, with shape
        (repeats, images).
    ``distance``: the l2 distance by which each image was changed.
    ``seen``: which attacked images the network classifies correctly with the noise of the attack,
        if it was frozen or switched off; otherwise None.
    """

    right: Tensor
    distance: Tensor
    seen: Tensor | None = None

    def inside(self, radius: float) -> Tensor:
        """Return which images were changed by an l2 distance of at most ``radius``, or a millionth
        more, because attacks can exceed their radius by rounding.
        """
        return self.distance <= radius * (1 + 1e-6)

    @property
    def accuracies(self) -> list[float]:
        """Return the accuracy in each evaluation, in percent."""
        return (100 * self.right.double().mean(1)).tolist()


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracy under each attack, the curves of accuracy against
    the l2 radius, and the certified accuracies.
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for network, defense, seed in dict.fromkeys(key[:3] for key in results):
        pieces: dict[Any, list[Done]] = {}
        for key, done in results.items():
            if key[:3] == (network, defense, seed):
                pieces.setdefault(key[3], []).append(done)
        labels = {"network": network, "defense": defense}
        rows += _targets(pieces, defense, seed)
        found = {k: _outcome(parts) for k, parts in pieces.items() if isinstance(k, tuple)}
        if not found:
            continue
        for key, outcome in found.items():
            rows += _struck(key, outcome, seed, labels)
        if (network, defense) == ("vgg16", "rse"):
            rows += _averaged(found, seed)
        size = p.size(network)
        radii = [2 * size.l2[-1] * i / (POINTS - 1) for i in range(POINTS)]
        arrays[f"radii/{network}"] = radii
        curves = _curves(found, radii)
        if "votes" in pieces:
            sigma = deviation(pieces["votes"][0])
            curves["certified"], more = _certified(pieces["votes"], sigma, radii, seed, labels)
            rows += more
        for name, curve in curves.items():
            arrays.setdefault(f"{network}/{defense}/{name}", []).append(curve)
            for eps in size.l2:
                setting = {**labels, "attack": name, "eps": eps}
                value = curve[round((POINTS - 1) * eps / radii[-1])]
                rows.append(Row(value, "percent", None, "accuracy within", seed, setting=setting))
    return p.record(PAPER, ITEM, rows, arrays)


def deviation(done: Done) -> float:
    """Return the standard deviation of the noise on the image; ``done`` is a result of
    `counted`.
    """
    noise = done.call.arguments["network"].arguments["noise"]
    return float(noise.inner if noise.placement == "code" else noise.init)


def within(clean: Outcome, one: Outcome, radius: float) -> Tensor:
    """Return which images are classified correctly under one attack, limited to the l2 distance
    ``radius``: if the attack changed an image by more, the result without an attack is used.
    """
    return torch.where(one.inside(radius), one.right, clean.right)


def together(clean: Outcome, others: Sequence[Outcome], radius: float) -> Tensor:
    """Return which images are classified correctly in each evaluation under the strongest attack
    with an l2 distance of at most ``radius``; shape (repeats, images).

    For each image and evaluation, the strongest attack is the one under which the other evaluations
    classify the image correctly least often. Of several such attacks, it is the one with the
    largest distance. The evaluation itself has no influence on the choice. Otherwise an image would
    count as misclassified because one of many noisy evaluations was wrong by chance.
    """
    inside = torch.stack([other.inside(radius) for other in others])
    tried = torch.where(inside[:, None], torch.stack([o.right for o in others]), clean.right)
    right = torch.cat([clean.right[None], tried])  # attacks, repeats, images
    moved = torch.where(inside, torch.stack([o.distance for o in others]), 0.0)
    distance = torch.cat([clean.distance[None], moved])
    elsewhere = right.sum(1, keepdim=True) - right.int()  # correct in the other evaluations
    order = elsewhere + 1 / (1 + distance[:, None])  # the fraction decides between equal counts
    return right.gather(0, order.argmin(0)[None])[0]


def _outcome(parts: Sequence[Done]) -> Outcome:
    right = torch.cat([part.tensors["right"] for part in parts], 1)
    distance = torch.cat([part.tensors["distance"] for part in parts])
    seen = [part.tensors["seen"] for part in parts if "seen" in part.tensors]
    return Outcome(right, distance, torch.cat(seen) if seen else None)


def _struck(
    key: Key, outcome: Outcome, seed: int, labels: Mapping[str, str | float | int | bool]
) -> Iterator[Row]:
    """Yield three results of one attack: the mean and the range (largest minus smallest) of the
    accuracies over the evaluations, and the root mean square l2 distance.

    If the noise was frozen or switched off during the attack, yield also the accuracy in that
    state.
    """
    name, averaged, eps = key
    setting = {**labels, "attack": name, "averaged": averaged, "eps": round(eps, 5)}
    each = outcome.accuracies
    images = len(outcome.distance)
    yield Row(sum(each) / len(each), "percent", None, "accuracy", seed, images, setting=setting)
    yield Row(max(each) - min(each), "percent", None, "spread", seed, setting=setting)
    root = outcome.distance.double().square().mean().sqrt().item()
    yield Row(root, "l2", None, "distortion", seed, setting=setting)
    if outcome.seen is not None:
        yield share_row(outcome.seen, None, "accuracy as seen", seed, setting=setting)


def _averaged(found: Mapping[Key, Outcome], seed: int) -> Iterator[Row]:
    """Yield the accuracies under the paper's attack, with one noise draw per step and with several
    draws per step.
    """
    for (name, averaged, _), outcome in found.items():
        if name == "paper":
            target = f"{TARGETS}/later/{'one-draw-rse' if averaged == 1 else 'eot-lowers-rse'}"
            images = len(outcome.distance)
            yield Row(fmean(outcome.accuracies), "percent", target, seed=seed, images=images)


def _curves(found: Mapping[Key, Outcome], radii: Sequence[float]) -> dict[str, list[float]]:
    """Return two curves of the accuracy in percent at each l2 radius: one under the paper's attack,
    and one under all l2 attacks together.

    Adversarial images within a smaller radius also lie within a larger one, so the expected curves
    do not rise. The published record contains the running minimum of each curve, which is biased:
    it keeps every chance fall of a curve that is flat.
    """
    clean, elsewhere = found["clean", 1, 0.0], ("clean", "pgd linf", "square")
    bounded = [one for (name, _, _), one in found.items() if name not in elsewhere]
    paper = found["paper", 1, 0.0]
    return {
        "paper": [percent(within(clean, paper, r)) for r in radii],
        "all": [percent(together(clean, bounded, r)) for r in radii],
    }


def _certified(
    parts: Sequence[Done],
    sigma: float,
    radii: Sequence[float],
    seed: int,
    labels: Mapping[str, str | float | int | bool],
) -> tuple[list[float], list[Row]]:
    """Return the certified accuracy in percent at each l2 radius, and two result rows: the accuracy
    of the majority vote, and the standard deviation of the noise on the image.
    """
    choice, counts, label = (
        torch.cat([part.tensors[name] for part in parts]) for name in ("choice", "counts", "label")
    )
    answer, radius = certified(choice, counts, sigma=sigma, alpha=ALPHA)
    right = answer == label
    curve = [percent(right & (radius >= r)) for r in radii]
    return curve, [
        share_row(counts.argmax(1) == label, None, "accuracy of votes", seed, setting=labels),
        Row(sigma, "none", None, "deviation on the image", seed, setting=dict(labels)),
    ]


def _targets(pieces: Mapping[Any, Sequence[Done]], defense: str, seed: int) -> Iterator[Row]:
    """Yield the results for VGG16 that are compared with numbers in the authors' later logs."""
    start = f"{TARGETS}/later"
    if "one draw" in pieces:
        (done,) = pieces["one draw"]
        clean, right = done.tensors["clean"], done.tensors["right"]
        short = defense.partition(" ")[0]
        differs = "" if done.call.arguments["predicted"] else TRUE_LABEL
        yield share_row(right, f"{start}/pgd10-eps-0.05/{short}", seed=seed, differs=differs)
        if short == "rse":
            yield share_row(clean, f"{start}/single-draw-clean/rse", seed=seed)
