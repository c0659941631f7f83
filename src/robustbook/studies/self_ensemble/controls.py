"""Evaluate other forms of the defenses in Random Self-Ensemble's comparison.

Some defenses differ between the paper and the released code, and between their versions. So this
study trains and attacks these networks beside RSE and a network without a defense:

``adv``, ``adv paper``: adversarial retraining, from random weights as in the released code, and
    from a trained network as the paper says. ``adv twice`` is a control with as many training steps
    as ``adv paper``.
``pgd``: adversarial training with PGD, which the paper's first version does not have.
``distill``: distillation with temperature 40, as in the paper's Table 1. Three students approach
    the released code step by step: ``distill crops`` is trained on cropped and flipped images,
    ``distill 100`` also with temperature 100, and ``distill released`` also with a loss that is 10
    times smaller. ``distill teacher 100`` is the teacher of the last two.
``prototype``: the authors' first prototype, which adds noise only in training mode. NATTACK (Li et
    al. 2019, arXiv 1905.00441) attacked it as if it were RSE.

Each network is attacked by the paper's Carlini-Wagner attack with the values of c of Table 2, and
by PGD in two norms. The study also measures how long a training step takes with each defense.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done
from robustbook.studies.parameters import AS_TUPLE, STRICT

from . import settings
from .adaptive import Strike, struck
from .attack import joined
from .curves import interpolated
from .networks import Defense, Networks, Noise, step_times
from .settings import PAPER, TABLE_2, TARGETS, Names, Setting
from .sizes import AVERAGED
from .sweep import cell, points, swept

ITEM = "controls"
CONTROLS: tuple[Names, ...] = (
    "rse",
    "prototype",
    "pgd",
    "adv",
    "adv twice",
    "adv paper",
    "distill",
    "distill crops",
    "distill 100",
    "distill released",
    "distill teacher 100",
    "none",
)
"""The networks of this study, in the order of its tables."""
DISTORTION = 0.1
"""The distortion at which the accuracies under the paper's attack are compared."""
TIMED: tuple[Names, ...] = ("none", "rse", "pgd")
"""The defenses whose training time is compared, each without further networks."""


@dataclass(frozen=True)
class Size:
    """The settings of PGD and of the time measurement.

    ``piece``: the number of test images that one job attacks with PGD.
    ``linf``, ``l2``: the radii of l-infinity PGD and of l2 PGD.
    ``climb``: the number of PGD steps; a step has an eighth of the radius.
    ``averaged``: the number of noise draws over which PGD averages its loss on a network with
        noise.
    ``draws``, ``repeats``: the attacked images are evaluated ``repeats`` times, each time with
        ``draws`` new noise draws.
    ``steps``, ``rounds``: the number of training steps per time measurement, and the number of time
        measurements.
    """

    piece: int
    linf: float = 8 / 255
    l2: float = 0.5
    climb: int = 20
    averaged: int = AVERAGED["paper"]
    draws: int = 50
    repeats: int = 3
    steps: int = 10
    rounds: int = 5


SIZES: Mapping[str, Size] = {
    "quick": Size(12, 4 / 255, 0.25, 8, AVERAGED["quick"], 10, 2, steps=2, rounds=1),
    "reduced": Size(100),
    "paper": Size(100),
}


@checked(frozen=True, config=STRICT)
class Parameters(settings.OfImages):
    """The parameters that a reader of the book can set: the networks (by default VGG16), the
    defenses, and the number of test images.
    """

    own_networks: ClassVar = settings.VGG16
    defenses: Annotated[
        tuple[Names, ...] | None,
        Field(
            min_length=1,
            description="a list of defenses, such as pgd, or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None

    def chosen(self) -> dict[Networks, Setting]:
        """Return the settings of the chosen networks, with the defenses to run on each of them."""
        own: tuple[Names, ...] = CONTROLS
        if self.profile == "quick":
            own = ("rse", "prototype", "none")
        return {
            name: replace(of, defenses=self.defenses or own)
            for name, of in super().chosen().items()
        }


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (network, defense,
    seed, measurement, index of the job's first test image). The measurement is a value of c, the
    name of a PGD attack, or ``times``. The value c = 0 stands for clean images.
    """
    size = SIZES[p.profile]
    found: dict[tuple[Any, ...], Call] = {}
    for network, own in p.chosen().items():
        for seed in p.seeds:
            for defense in own.defenses:
                for (c, first), call in points(own, defense, seed, TABLE_2).items():
                    found[network, defense, seed, c, first] = call
                k = size.averaged if defense.startswith("rse") else 1
                net = own.network(defense, seed)
                for strike in (
                    Strike("pgd-linf", size.climb, size.linf / 8, k, eps=size.linf),
                    Strike("pgd-l2", size.climb, size.l2 / 8, k, eps=size.l2),
                ):
                    for first, count in replace(own, piece=size.piece).pieces(defense):
                        found[network, defense, seed, strike.kind, first] = struck(
                            net, strike, first, count, size.draws, size.repeats
                        )
        found[network, "all", p.seeds[0], "times", 0] = step_times(
            own.model, tuple(timed(own).values()), own.recipe, size.steps, size.rounds
        )
    return found


def timed(own: Setting) -> dict[Names, tuple[Defense, Noise | None]]:
    """Return the defense and the noise layers of each network whose training time is compared."""
    found = {}
    for defense in TIMED:
        arguments = own.network(defense, 0).arguments
        found[defense] = arguments["defense"], arguments["noise"]
    return found


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: accuracies and distortions for each c, the accuracies at equal
    distortion and under PGD, and the training times relative to those of a network without a
    defense.
    """
    rows: list[Row] = []
    cells = {key: done for key, done in results.items() if isinstance(key[3], float)}
    for seed in p.seeds:
        found = swept(cells, seed)
        for (network, defense, c), at in found.items():
            rows += cell(network, defense, c, seed, at, {})
        for network, defense in dict.fromkeys(key[:2] for key in found):
            of = [at for key, at in found.items() if key[:2] == (network, defense)]
            value = interpolated(sorted((at.distortion, at.accuracy) for at in of), DISTORTION)
            if value is not None:
                labels: dict[str, str | float | int | bool]
                labels = {"network": network, "defense": defense, "distortion": DISTORTION}
                name = "accuracy at distortion"
                rows.append(Row(value, "percent", None, name, seed, setting=labels))
    for network, defense, seed in dict.fromkeys(key[:3] for key in results):
        for name in ("pgd-linf", "pgd-l2"):
            parts = [d for k, d in results.items() if k[:4] == (network, defense, seed, name)]
            if parts:
                rows += _under_pgd(network, defense, seed, parts)
    for network, own in p.chosen().items():
        done = results.get((network, "all", p.seeds[0], "times", 0))
        if done is not None:
            rows += _times(network, list(timed(own)), done, p.seeds[0])
        for seed in p.seeds:
            rows += _fooled(network, seed, results)
    return p.record(PAPER, ITEM, rows)


def _under_pgd(network: str, defense: str, seed: int, parts: Sequence[Done]) -> Iterator[Row]:
    """Yield the accuracy under PGD, a mean over the repeated evaluations."""
    right = torch.cat([part.tensors["right"] for part in parts], 1).double()
    strike = parts[0].call.arguments["strike"]
    labels: dict[str, str | float | int | bool]
    labels = {"network": network, "defense": defense, "attack": strike.kind, "eps": strike.eps}
    value, n = 100 * right.mean().item(), right.shape[1]
    yield Row(value, "percent", None, "accuracy under PGD", seed, n, setting=labels)


def _fooled(network: str, seed: int, results: Mapping[tuple[Any, ...], Done]) -> Iterator[Row]:
    """Yield the success rate of PGD on the images that the prototype classifies correctly.

    NATTACK uses the same radius: 0.031 is 8/255, rounded.
    """
    key = network, "prototype", seed
    clean, parts = (
        [done for k, done in results.items() if k[:4] == (*key, name)] for name in (0.0, "pgd-linf")
    )
    if network == "vgg16" and clean and parts:
        before = joined(clean).right
        after = torch.cat([part.tensors["right"][0] for part in parts])
        known = int(before.sum())
        value = 100 * (before & ~after).sum().item() / max(known, 1)
        target = f"{TARGETS}/later/nattack-success"
        differs = "our attack is PGD, not NATTACK, and the network is our own"
        yield Row(value, "percent", target, seed=seed, images=known, differs=differs)


def _times(network: str, defenses: list[Names], done: Done, seed: int) -> Iterator[Row]:
    """Yield for each defense the time of a training step divided by that without a defense. For
    VGG16, yield also the time with adversarial training by PGD divided by that with RSE. Each ratio
    is the median over the rounds.
    """
    seconds = dict(zip(defenses, done.tensors["seconds"].double().unbind(1), strict=True))
    for defense in defenses[1:]:
        ratio = (seconds[defense] / seconds["none"]).median().item()
        labels: dict[str, str | float | int | bool] = {"network": network, "defense": defense}
        yield Row(ratio, "ratio", None, "time per step", seed, setting=labels)
    if network == "vgg16":
        ratio = (seconds["pgd"] / seconds["rse"]).median().item()
        yield Row(ratio, "ratio", f"{TARGETS}/claim-pgd-training-time", seed=seed)
