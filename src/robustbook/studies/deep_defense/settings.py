"""Define for each profile the settings of Deep Defense: the networks, their training, and the
number of test images.

A profile selects the size of the experiments:

``paper``: the reference networks are trained with MatConvNet's recipes, and fine-tuned with the
    defaults of the released code. We could not read the paper's own tables of settings.
``reduced``: networks for CIFAR-10 that train on two CPU cores: narrower than the paper's, with
    fewer training images and training steps.
``quick``: small networks on small image sets that need no download.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.runs import Call
from robustbook.studies import parameters
from robustbook.studies.parameters import AS_TUPLE, STRICT
from robustbook.training import Recipe

from .methods import Method
from .networks import Model, Networks, fine_tune, reference
from .sizes import LOOKED

PAPER = "deep_defense"
NAMES: Mapping[Networks, str] = {
    "mlp": "mnist-mlp",
    "lenet": "mnist-lenet",
    "convnet": "cifar10-convnet",
    "nin": "cifar10-nin",
}
"""For each of our networks, its name in the ids of the paper's numbers, whatever image set it is
trained on.
"""

OWN: Mapping[str, tuple[Networks, ...]] = {
    "quick": ("mlp", "lenet"),
    "reduced": ("convnet", "nin"),
    "paper": ("mlp", "lenet"),
}
"""The networks that each profile runs by default; a reader can also choose others. The networks for
colour images need minutes with profile ``quick``, and a GPU with profile ``paper``.
"""


@checked(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set in a study of several networks."""

    own_seeds: ClassVar = {"quick": (0,), "reduced": (0, 1, 2), "paper": (0, 1, 2, 3, 4)}
    selects: ClassVar = ("networks",)
    profile: Annotated[
        Literal["published", "quick", "reduced", "paper"],
        Field(description="published (the record), quick (embedded), reduced (small) or paper"),
    ] = "published"  # type: ignore[assignment]
    networks: Annotated[
        tuple[Networks, ...] | None,
        Field(
            min_length=1,
            description="a list of mlp, lenet, convnet, nin, or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None
    lam: Annotated[float, Field(gt=0, description="a weight of the regulariser, above 0")] = 15.0
    c: Annotated[
        float | None,
        Field(
            gt=0,
            description="a scale for correct images, above 0, or None for the network's own",
        ),
    ] = None
    d: Annotated[float, Field(gt=0, description="a scale for wrong images, above 0")] = 5.0

    def parts(self) -> dict[str, tuple[str, ...]]:
        """Return the networks that the reader chose, by default those of the profile."""
        return {"networks": tuple(self.networks or OWN[self.profile])}

    def runs(self) -> Iterator[tuple[Networks, "Setting", int]]:
        """Yield a triple (name, settings, seed) for each chosen network and each of its seeds."""
        for network, own in self.chosen().items():
            for seed in self.seeds[: own.seeds]:
                yield network, own, seed

    def chosen(self) -> dict[Networks, "Setting"]:
        """Return the settings of the chosen networks, with the reader's values of lam, c and d."""
        found = {n: setting(n, self.profile) for n in self.networks or OWN[self.profile]}
        return {
            network: replace(own, lam=self.lam, c=self.c or own.c, d=self.d)
            for network, own in found.items()
        }


@dataclass(frozen=True)
class Setting:
    """The settings of one network for one profile.

    ``reference``: the recipe with which the reference network is trained.
    ``tuning``: the recipe of fine-tuning, which is the same for all methods.
    ``epoch``: the number of training steps in one epoch of fine-tuning.
    ``marks``: weights are stored after each epoch whose number is a multiple of ``marks``.
    ``c``: the parameter c in the regulariser of Deep Defense (see `Method`).
    ``eps``: the l-infinity radius of the perturbations in adversarial training (see `Method`).
    ``beta``: the step size of Parseval training (see `Method`).
    ``test``: the number of test images on which networks are measured after the last epoch.
    ``looked``: a smaller number of test images, for measurements after earlier epochs and in
        studies of many networks.
    ``seeds``: the largest number of seeds with which this network is run, even if the reader chose
        more.
    """

    model: Model
    reference: Recipe
    tuning: Recipe
    epoch: int
    marks: int
    c: float
    eps: float
    beta: float
    test: int
    looked: int
    seeds: int = 5
    lam: float = 15.0
    d: float = 5.0

    @property
    def kept(self) -> tuple[int, ...]:
        """Return the epochs of fine-tuning after which weights are stored."""
        return tuple(range(self.marks, self.tuning.steps // self.epoch + 1, self.marks))

    def methods(self) -> dict[str, Method]:
        """Return the methods of fine-tuning that the chapter compares, by name."""
        ours = Method("deep-defense", lam=self.lam, c=self.c, d=self.d)
        return {
            "clean": Method("clean"),
            "par-networks": Method("par-networks", beta=self.beta),
            "adv-training-i": Method("adv-training-i"),
            "adv-training-ii": Method("adv-training-ii", eps=self.eps),
            "deep-defense": ours,
            "combination": replace(ours, eps=self.eps),
        }

    def start(self, seed: int) -> Call:
        return reference(self.model, self.reference, seed)

    def tuned(self, method: Method, seed: int) -> Call:
        return fine_tune(self.start(seed), method, self.tuning, seed, self.marks)

    def networks(self, seed: int) -> dict[str, Call]:
        """Return by name the computations that train the reference network and the fine-tuned
        network of each method.
        """
        tuned = {name: self.tuned(method, seed) for name, method in self.methods().items()}
        return {"reference": self.start(seed), **tuned}


def setting(network: Networks, profile: str) -> Setting:
    """Return the settings of a network for profile quick, reduced or paper."""
    return (_gray if network in ("mlp", "lenet") else _coloured)(network, profile)


def _gray(network: Networks, profile: str) -> Setting:
    mlp = network == "mlp"
    if profile == "quick":  # 400 images make 16 steps per epoch of fine-tuning
        return Setting(
            Model("digits", network, 1 if mlp else 2, 400),
            reference=_sgd(300, 3e-3, 50) if mlp else _sgd(150, 2e-3, 25),
            tuning=_halved(_sgd(2 * 16, 5e-4, 25)),
            epoch=16,
            marks=1,
            c=25.0,
            eps=25.5,
            beta=1e-4,
            test=400 if mlp else 200,
            looked=200 if mlp else 100,
        )
    return Setting(
        Model("mnist", network),
        reference=_sgd(20 * 600, 1e-3),
        tuning=_halved(_sgd(5 * 600, 5e-4)),
        epoch=600,
        marks=1,
        c=25.0,
        eps=25.5,  # a tenth of the range of grey levels; we do not know the paper's
        beta=1e-4,
        test=10_000,
        looked=LOOKED[network],
        seeds=5 if mlp else 3,
    )


def _coloured(network: Networks, profile: str) -> Setting:
    convnet = network == "convnet"
    if profile == "quick":  # 2,794 images make 27 steps per epoch; Adam needs few epochs
        epochs = 12 if convnet else 20
        return Setting(
            Model("scenes", network, 2 if convnet else 4),
            reference=Recipe(epochs * 27, 100, 3e-3 if convnet else 1e-3, schedule="linear"),
            tuning=_halved(_sgd(27, 5e-4)),
            epoch=27,
            marks=1,
            c=70.0,
            eps=2.0,
            beta=3e-4,
            test=100,
            looked=100,
        )
    model, epoch, epochs, tuned = Model("cifar10", network), 500, 45, 10
    if profile == "reduced":  # NIN's regulariser takes ten times as long as ConvNet's
        model, epoch, epochs, tuned = Model("cifar10", network, 4, 20_000), 200, 30, 10
        if not convnet:
            model, epoch, epochs, tuned = Model("cifar10", network, 8, 10_000), 100, 60, 5
    # As in MatConvNet, the learning rate falls after 30 and 40 of 45 epochs.
    falls = (2 * epochs // 3, 8 * epochs // 9)
    stairs = [(at * epoch, 0.1**i) for i, at in enumerate(falls, 1)]
    if not convnet:  # as in MatConvNet, one epoch for each of 0.002, 0.01 and 0.02
        stairs = [(0, 0.05), (epoch, 0.25), (2 * epoch, 0.5), (3 * epoch, 1.0), *stairs]
    reference = _sgd(epochs * epoch, 0.05 if convnet else 0.04, decay=1e-4 if convnet else 5e-4)
    return Setting(
        model,
        reference=replace(reference, schedule=tuple(stairs)),
        tuning=_halved(_sgd(tuned * epoch, 5e-4)),
        epoch=epoch,
        marks=tuned // 5,
        c=70.0,
        eps=2.0,
        beta=3e-4,
        test=2000 if profile == "reduced" else 10_000,
        looked=LOOKED[network],
        seeds=3,
    )


def _sgd(steps: int, lr: float, batch_size: int = 100, *, decay: float = 5e-4) -> Recipe:
    return Recipe(steps, batch_size, lr, "sgd", momentum=0.9, weight_decay=decay)


def _halved(recipe: Recipe) -> Recipe:
    """Return the recipe with the learning rate halved in the last fifth of the steps."""
    return replace(recipe, schedule=((round(0.8 * recipe.steps), 0.5),))
