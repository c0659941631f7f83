"""Reproduce the evaluation of logit pairing by Mosbach et al. 2018 (arXiv 1810.12042) on MNIST and
CIFAR-10.

The study compares eight ways of training, under a baseline attack (with profile ``paper``, this is
also the attack in training) and several stronger ones. Heat maps show how the accuracy depends on
the number and the size of PGD's steps. The study also computes loss surfaces as in Engstrom et al.
2018 (arXiv 1807.10272), and the losses that PGD reaches from many random starts.

``paper``: MNIST with the paper's network, by default only the networks whose training needs no
    attack. CLP and LSQ are trained for 100 epochs with Adam's epsilon 1e-6, as in the paper's
    script. For comparison, they are also trained like the network without a penalty, for 10 epochs
    with epsilon 1e-8. All other networks for MNIST, and all for CIFAR-10, need a GPU.
``reduced``: all eight networks for MNIST, with a quarter of the width. Training without an attack
    has 15 epochs; training with an attack has 4,000 steps, each with 5 PGD steps that are larger
    than those of ``paper``.
``quick``: small images of digits that come with the book, networks of an eighth of the width, a
    third of the radius, and less noise on training images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from torch import Tensor, nn

from robustbook.defenses import MOSBACH, Weights, inner_pgd
from robustbook.ledger import Record, Row
from robustbook.ledger.intervals import sampling_error
from robustbook.ledger.outcomes import paired_error
from robustbook.measures import Attack, logits_of
from robustbook.measures.answers import gradients
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import AS_TUPLE, STRICT, require
from robustbook.studies.rows import percent, share_row
from robustbook.training import Augmentation, Recipe

from . import settings
from .attack import attacked, evaluated, losses, worst
from .networks import Defense, Model, train
from .settings import PAPER
from .sizes import SURFACES

ITEM = "pairing"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`
WEIGHTS: Mapping[str, Weights] = {
    "plain": MOSBACH["Plain"],
    "clp": MOSBACH["CLP"],
    "lsq": MOSBACH["LSQ"],
    "plain-alp": MOSBACH["Plain + ALP"],
    "at50-alp": MOSBACH["50% AT + ALP"],
    "at50": MOSBACH["50% AT"],
    "at100-alp": MOSBACH["100% AT + ALP"],
    "at100": MOSBACH["100% AT"],
}
INDEPENDENT = "resnet18:standard"
"""A network for CIFAR-10 that is trained on clean images; an independent repository reports its
accuracies.
"""
SHORT = "-short"
"""The end of the name of a network that is trained for 10 instead of 100 epochs, and with Adam's
epsilon 1e-8 instead of 1e-6.
"""
TRAINED = "trained for 10 epochs with Adam's epsilon 1e-8, the authors' script has 100 and 1e-6"
"""How the training of the networks for MNIST differs from the paper's, except for CLP and LSQ."""
Network = Literal[
    "plain",
    "clp",
    "lsq",
    "clp-short",
    "lsq-short",
    "plain-alp",
    "at50-alp",
    "at50",
    "at100-alp",
    "at100",
    "cifar10:plain",
    "cifar10:clp",
    "cifar10:lsq",
    "cifar10:plain-alp",
    "cifar10:at50-alp",
    "cifar10:at50",
    "cifar10:at100-alp",
    "cifar10:at100",
    "resnet18:standard",
]
METHODS: tuple[Network, ...] = (
    "plain",
    "clp",
    "lsq",
    "plain-alp",
    "at50-alp",
    "at50",
    "at100-alp",
    "at100",
)
"""The rows of the paper's tables, in the paper's order."""
PENALISED = ("clp", "lsq")
"""The methods with a penalty on logits that need no attack in training."""
MASKED = ("clp", "lsq", "plain-alp")
"""The methods whose loss surfaces Engstrom et al. (ALP) and Mosbach et al. (CLP, LSQ) show to be
rough. We compare them with that of adversarial training.
"""
GUESSING = 10.0
"""The accuracy of guessing one of ten classes, in percent."""
ROUGHER = 1.1
"""A loss surface is called rougher if its roughness is larger by at least 10 %. The threshold is
ours, and allows for the error of a mean over few images.
"""
CLOSER = ("plain", "clp", "lsq", "at100")
"""The networks for which heat maps and the losses from many random starts are computed."""


@dataclass(frozen=True)
class Setting:
    """The settings for one data set and one profile.

    ``eps``: the l-infinity radius of all attacks.
    ``steps``, ``step_size``: the number and the size of the steps of the baseline attack.
    ``inner``: the number and the size of PGD's steps in training.
    ``clean``: the number of test images for the clean accuracy.
    ``images``: the number of test images for the baseline attack.
    ``few``: the number of test images for the strong attacks.
    ``long``: the number of steps of the strong attacks.
    ``sizes``: the step sizes of the strong attacks.
    ``restarts``: the number of restarts of the strong attacks.
    ``queries``: the number of queries of the Square attack.
    ``middle``: whether to run one more attack, with as many steps as the strong attacks, but only
        one random start.
    ``heat``: for the heat map, the numbers of steps, the step sizes, and the number of attacked
        images.
    ``starts``: the number of random starts from which PGD attacks each of five images.
    ``surfaces``: the number of images for which a loss surface is computed.
    ``side``: the number of points along each side of a loss surface.
    ``pairing``: the recipe for CLP and LSQ. With None, and for their short trainings, the recipe
        ``plain`` is used.
    ``statistics``: whether batch norm uses running or batch statistics in the attacks of training.
    ``noise``: the standard deviation of the noise on training images, for the methods CLP and LSQ.
    """

    data: str
    network: Literal["mosbach", "preact20", "resnet18"]
    narrow: int
    eps: float
    steps: int
    step_size: float
    inner: tuple[int, float]
    plain: Recipe
    adversarial: Recipe
    clean: int
    images: int
    few: int
    long: int
    sizes: tuple[float, ...]
    restarts: int
    queries: int
    middle: bool = False
    heat: tuple[tuple[int, ...], tuple[float, ...], int] = ((), (), 0)
    starts: int = 0
    surfaces: int = SURFACES["paper"]
    side: int = 21
    statistics: str = "running"
    noise: float = 0.5
    pairing: Recipe | None = None

    def defense(self, method: str) -> Defense:
        """Return the training objective of a method."""
        kind = method.removesuffix(SHORT)
        weights = WEIGHTS[kind]
        attack = None
        if weights.need_attack:
            attack = replace(inner_pgd(self.eps, *self.inner), statistics=self.statistics)
        return Defense(weights, attack, noise=self.noise if kind in ("clp", "lsq") else 0.0)

    def shorter(self, method: str) -> bool:
        """Return whether a method has another recipe than CLP and LSQ, which have that of the
        authors' script.
        """
        return self.pairing is not None and method not in PENALISED

    def training(self, method: str, seed: int) -> Call:
        """Return the job that trains the network with a training method."""
        defense = self.defense(method)
        recipe = self.plain if defense.attack is None else self.adversarial
        if method in PENALISED and self.pairing is not None:
            recipe = self.pairing
        return train(Model(self.data, self.network, self.narrow), defense, recipe, seed)

    def attacks(self) -> dict[str, tuple[Attack, int]]:
        """Return the attacks by name, each with the number of images that it attacks."""
        baseline = Attack("pgd", self.eps, clip=True, steps=self.steps, step_size=self.step_size)
        found = {
            "clean": (Attack("none", self.eps), self.clean),
            "baseline": (baseline, self.images),
        }
        for size in self.sizes:
            strong = replace(baseline, steps=self.long, step_size=size, restarts=self.restarts)
            found[f"entropy {size:.3g}"] = (strong, self.few)
            found[f"margin {size:.3g}"] = (replace(strong, loss="margin"), self.few)
        if self.middle:
            middle = replace(baseline, steps=self.long, step_size=self.sizes[0])
            found["middle"] = (middle, self.few)
        found["square"] = (Attack("square", self.eps, queries=self.queries), self.few)
        return found


def _epochs(images: int, epochs: int, batch: int) -> int:
    return epochs * (images // batch)


_MNIST = Setting(
    "mnist",
    "mosbach",
    1,
    0.3,
    40,
    0.01,
    (40, 0.01),
    Recipe(_epochs(60_000, 10, 256), 256, 1e-3),
    Recipe(_epochs(60_000, 10, 256), 256, 1e-3),
    clean=10_000,
    images=1000,
    few=200,
    long=200,
    sizes=(0.01, 0.1),
    restarts=3,
    queries=1000,
    heat=((5, 20, 40, 100), (0.01, 0.03, 0.1, 0.3), 100),
    starts=50,
    pairing=Recipe(_epochs(60_000, 100, 256), 256, 1e-3, epsilon=1e-6),
)
_QUICK = Setting(
    "digits",
    "mosbach",
    8,
    0.1,
    10,
    0.01,
    (3, 0.04),
    Recipe(_epochs(1397, 6, 50), 50, 5e-3, schedule="linear"),
    Recipe(_epochs(1397, 4, 50), 50, 5e-3, schedule="linear"),
    clean=400,
    images=40,
    few=20,
    long=30,
    sizes=(0.01,),
    restarts=2,
    queries=100,
    heat=((5, 20), (0.01, 0.05), 20),
    starts=5,
    surfaces=SURFACES["quick"],
    side=9,
    noise=0.2,
)
_CIFAR = Setting(
    "cifar10",
    "preact20",
    1,
    16 / 255,
    10,
    2 / 255,
    (10, 2 / 255),
    Recipe(_epochs(50_000, 100, 256), 256, 1e-3, channels_last=True),
    Recipe(_epochs(50_000, 100, 256), 256, 1e-3, channels_last=True),
    clean=10_000,
    images=1000,
    few=1000,
    long=400,
    sizes=(4 / 255,),
    restarts=100,
    queries=5000,
    middle=True,
    statistics="batch",
)
_RESNET = Recipe(
    _epochs(50_000, 200, 128),
    128,
    0.1,
    "sgd",
    schedule=((_epochs(50_000, 100, 128), 0.1), (_epochs(50_000, 150, 128), 0.01)),
    weight_decay=5e-4,
    channels_last=True,
    augmentation=Augmentation(mirror=True, padding=4),
)
_INDEPENDENT = Setting(
    "cifar10",
    "resnet18",
    1,
    8 / 255,
    10,
    2 / 255,
    (10, 2 / 255),
    _RESNET,
    _RESNET,
    clean=10_000,
    images=10_000,
    few=1000,
    long=40,
    sizes=(2 / 255,),
    restarts=1,
    queries=5000,
)
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "quick": {"mnist": _QUICK},
    "reduced": {
        "mnist": replace(
            _MNIST,
            narrow=4,
            pairing=None,
            inner=(5, 0.1),
            plain=Recipe(_epochs(60_000, 15, 128), 128, 1e-3),
            adversarial=Recipe(4000, 100, 1e-3, schedule="linear", warmup=0.1, channels_last=True),
            images=300,
            few=100,
            long=100,
            restarts=3,
            queries=500,
            surfaces=SURFACES["reduced"],
        )
    },
    "paper": {"mnist": _MNIST, "cifar10": _CIFAR, "resnet18": _INDEPENDENT},
}
"""The settings, by profile and by the first word of a network's name (before the colon), which is
missing for MNIST.
"""
OWN: Mapping[str, tuple[Network, ...]] = {
    "quick": ("plain", "clp", "lsq", "plain-alp", "at100"),
    "reduced": METHODS,
    "paper": ("plain", "clp", "lsq", "clp-short", "lsq-short"),
}
"""The networks that each profile runs by default."""


@checked(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set in this study."""

    selects: ClassVar[tuple[str, ...]] = ("networks",)
    networks: Annotated[
        tuple[Network, ...] | None,
        Field(
            min_length=1,
            description="a list of names (see the page), or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Network, ...]]:
        """Return the names of the chosen networks."""
        return {"networks": tuple(self.chosen())}

    def chosen(self) -> dict[Network, tuple[Setting, str]]:
        """Return the settings and the training method of each chosen network. Raises BadParameter
        if the profile has no settings for a chosen network.
        """
        own = SETTINGS[self.profile]
        there: dict[Network, tuple[Setting, str]] = {}
        for network in get_args(Network):
            first, _, method = network.rpartition(":")
            if (first or "mnist") in own:
                there[network] = own[first or "mnist"], method
        names = self.networks or OWN[self.profile]
        require("networks", names, there, self.profile)
        return {name: there[name] for name in names}


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict whose keys begin with the kind of job, the
    network and the seed.
    """
    return {
        (kind, network, seed, *rest): call
        for network, (own, method) in p.chosen().items()
        for seed in p.seeds
        for (kind, *rest), call in _of(own, method, seed).items()
    }


def _of(own: Setting, method: str, seed: int) -> dict[tuple[Any, ...], Call]:
    net = own.training("plain" if method == "standard" else method, seed)
    if method == "standard":
        pgd = Attack("pgd", own.eps, clip=True, steps=10, step_size=own.step_size)
        attacks = {
            "clean": (Attack("none", own.eps), own.clean),
            "fgsm": (Attack("fgsm", own.eps, clip=True), own.images),
            "pgd-10": (pgd, own.images),
            "pgd-40": (replace(pgd, steps=40), own.images),
            "autoattack": (
                Attack("autoattack", own.eps, steps=100, queries=own.queries),
                own.images,
            ),
        }
    else:
        attacks = own.attacks()
    found: dict[tuple[Any, ...], Call] = {
        ("attacked", name): attacked(net, attack, images, seed)
        for name, (attack, images) in attacks.items()
    }
    if own.starts:
        found["surface",] = surfaces(net, own.surfaces, own.eps, own.side, seed)
        if method.removesuffix(SHORT) in CLOSER:
            found["starts",] = losses(net, own.eps, 5, own.starts, seed)
            baseline, _ = attacks["baseline"]
            every, sizes, images = own.heat
            for steps in every:
                for size in sizes:
                    attack = replace(baseline, steps=steps, step_size=size)
                    found["heat", steps, size] = attacked(net, attack, images, seed)
    return found


@step(version=1)
def surfaces(
    network: Done, images: int, radius: float, side: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Compute the cross entropy on a two-dimensional plane through each image in pixel space.

    ``loss``: the cross entropy at each point of the plane, shape (images, side, side).

    The first axis of the plane is the sign of the gradient, the second a random vector of signs.
    Along both, the plane reaches from -``radius`` to ``radius`` around the image, without clipping
    to [0, 1].
    """
    net, x, y = evaluated(network, images, context.device)
    ascent = gradients(net, x, y).sign()
    random = torch.randint(0, 2, x.shape, generator=generator(seed, "signs")).to(x) * 2 - 1
    at = torch.linspace(-radius, radius, side).to(x)
    found = []
    for image, label, along, across in zip(x, y, ascent, random, strict=True):
        plane = at[:, None, None, None, None] * along + at[None, :, None, None, None] * across
        points = (image + plane).flatten(0, 1)
        entropy = nn.functional.cross_entropy(
            logits_of(net, points), label.expand(side * side), reduction="none"
        )
        found.append(entropy.view(side, side).cpu())
    return {"loss": torch.stack(found)}


def roughness(loss: Tensor) -> float:
    """Return the mean roughness of the loss surfaces of all images; ``loss`` has the shape (images,
    side, side).

    The roughness of a surface is the mean absolute second difference between neighbouring points,
    along both axes, divided by its range (maximum minus minimum). Constant surfaces do not count.
    """
    loss = loss.double()
    found = [
        (surface.diff(n=2, dim=0).abs().mean() + surface.diff(n=2, dim=1).abs().mean())
        / 2
        / (surface.max() - surface.min())
        for surface in loss
        if surface.max() > surface.min()
    ]
    return torch.stack(found).mean().item() if found else 0.0


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the rows for the tables, the heat maps and the claims, and the
    data of the figures.
    """
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for seed in p.seeds:
        strongest: dict[str, Row] = {}
        falls: dict[str, float] = {}
        rough: dict[str, float] = {}
        for network, (setting, method) in p.chosen().items():
            differs = TRAINED if setting.shorter(method) else ""
            of = {
                (kind, *rest): done
                for (kind, name, at, *rest), done in results.items()
                if (name, at) == (network, seed)
            }
            own = list(_rows(network, of, seed, differs))
            rows += own
            for row in own:
                if row.setting.get("attack") == "strongest":
                    strongest[network] = row
                if row.name == "fall":
                    falls[network] = float(row.value)
            if ("surface",) in of:
                loss = of["surface",].tensors["loss"]
                rough[network] = roughness(loss)
                rows.append(
                    Row(
                        rough[network],
                        "ratio",
                        None,
                        "roughness",
                        seed,
                        setting={"network": network},
                    )
                )
                if seed == p.seeds[0]:
                    arrays[f"surface/{network}"] = loss[0].tolist()
            if ("starts",) in of and seed == p.seeds[0]:
                arrays[f"starts/{network}"] = of["starts",].tensors["loss"].tolist()
        rows += _claims(strongest, falls, rough, seed)
    return p.record(PAPER, ITEM, rows, arrays)


def _rows(
    network: str, of: Mapping[tuple[Any, ...], Done], seed: int, differs: str
) -> Iterator[Row]:
    """Yield the accuracies of one network: without an attack, and under each attack. ``differs``
    says how its training differs from the paper's (see `Row.differs`).
    """
    first, _, method = network.rpartition(":")
    start = f"{PAPER}/mosbach-{first or 'mnist'}/{method}"
    targets = {
        "clean": f"{start}/accuracy",
        "baseline": f"{start}/baseline-attack-accuracy",
        "strongest": f"{start}/strongest-attack-accuracy",
    }
    if method not in ("plain", "at100-alp", "at100"):
        targets["middle"] = f"{start}/middle-attack-accuracy"
    if network == INDEPENDENT:
        start = f"{PAPER}/independent-cifar10/standard-resnet18"
        names = ("clean", "fgsm", "pgd-10", "pgd-40", "autoattack")
        targets = {name: f"{start}/{name}-accuracy" for name in names}
    if network.endswith(SHORT):
        targets = {}
    found = {key[1]: done for key, done in of.items() if key[0] == "attacked"}
    right = {name: done.tensors["right"] for name, done in found.items()}
    if network != INDEPENDENT:
        strong = [done for name, done in found.items() if name not in ("clean", "baseline")]
        right["strongest"] = worst(strong)
        # The baseline attack also counts: an image is robust only if all attacks fail.
        same = right["baseline"][: len(right["strongest"])]
        right["strongest"] = right["strongest"] & same
        fall = percent(same) - percent(right["strongest"])
        yield Row(fall, "percent", None, "fall", seed, setting={"network": network})
        if method in PENALISED:
            target = f"{PAPER}/mosbach-{first or 'mnist'}/claim/{method}-falls"
            yield from _halved(same, worst(strong), target, seed)
    for name, correct in right.items():
        labels: dict[str, str | float | int | bool] = {"network": network, "attack": name}
        answered = targets.get(name)
        differ = differs if answered else ""
        yield share_row(correct, answered, "accuracy", seed, setting=labels, differs=differ)
    for key, done in of.items():
        if key[0] == "heat":
            correct = done.tensors["right"]
            labels = {"network": network, "steps": key[1], "step size": key[2]}
            yield Row(percent(correct), "percent", None, "heat", seed, len(correct), setting=labels)
        if key[0] == "starts":
            loss = done.tensors["loss"]
            labels = {"network": network}
            above = (loss > -torch.tensor(0.1).log()).double().mean().item()
            yield Row(above, "fraction", None, "starts above ln 10", seed, setting=labels)


def _halved(baseline: Tensor, others: Tensor, target: str, seed: int) -> Iterator[Row]:
    """Yield the fall of the accuracy from the baseline attack to all other attacks together, in
    percentage points. Yield also whether the accuracy at least halves.

    ``baseline``, ``others``: which of the same images are classified correctly. The accuracy counts
        as halved only if it halves even with the smallest fall in the confidence interval. There is
        no row if the accuracy under the baseline attack is not clearly above that of guessing.
    """
    before = percent(baseline)
    if before - sampling_error(before, "percent", len(baseline)) > GUESSING:
        fall = before - percent(others)
        least = fall - paired_error([baseline.numpy()], [others.numpy()])
        yield Row(fall, "percent", target, "", seed, holds=least >= before / 2)


def _claims(
    strongest: Mapping[str, Row],
    falls: Mapping[str, float],
    rough: Mapping[str, float],
    seed: int,
) -> Iterator[Row]:
    """Yield the results that test claims of Mosbach et al. and of Engstrom et al.

    A claim is tested only if all networks that it compares were run. The claim on adversarial logit
    pairing is tested only if, on the same images, the baseline attack leaves an accuracy clearly
    above that of guessing.
    """
    row = strongest.get("cifar10:plain-alp")
    if row is not None:
        before = float(row.value) + falls["cifar10:plain-alp"]
        if before - sampling_error(before, "percent", row.images) > GUESSING:
            target = f"{PAPER}/mosbach-cifar10/claim/alp-not-broken-by-strongest"
            yield Row(row.value, "percent", target, "", seed, row.images)
    if all(method in rough for method in (*MASKED, "at100")) and rough["at100"]:
        ratios = [rough[method] / rough["at100"] for method in MASKED]
        target = f"{PAPER}/engstrom/claim/bumpy-landscape"
        yield Row(min(ratios), "ratio", target, "", seed, holds=min(ratios) > ROUGHER)
