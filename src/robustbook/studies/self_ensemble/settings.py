"""Define for each profile the settings of Random Self-Ensemble: the networks, their noise, their
training, and the attack.

A profile selects the size of the experiments:

``paper``: the paper's networks at full width. By default only Model A on STL-10 is run, which a CPU
    can do: RSE and the network without a defense, on 200 images, with five of the sixteen values of
    c. The paper's other defenses are attacked on 100 images. VGG16 and ResNeXt on CIFAR-10 need a
    GPU.
``reduced``: networks on CIFAR-10 that are narrower than the paper's, with eight values of c, and by
    default with two of the five defenses.
``quick``: networks that are narrower than the paper's, on the small image set "scenes", which comes
    with the book.

All trainings are shorter than the 200 epochs of the released code. The learning rate rises from 0
and then falls linearly to 0, whereas that of the released code drops three times and is constant in
between. At full width, VGG16 is trained in float32 (TF32 on a GPU) and ResNeXt in bfloat16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.runs import Call
from robustbook.studies import parameters
from robustbook.studies.parameters import AS_TUPLE, STRICT
from robustbook.training import Augmentation, Recipe

from .networks import Defense, Model, Networks, Noise, distil, retrain, train
from .sizes import EPOCHS, STEPS, TRAINING_IMAGES

PAPER = "self_ensemble"
TARGETS = "self-ensemble"
"""The ids of all numbers of this paper begin with this text."""
CS = (0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8, 1.0, 2.0, 3.0, 4.0, 7.0, 10.0, 30.0, 70.0, 100.0)
"""The values of c, the weight of the loss term for success in the released code's attack; c = 0
stands for no attack.
"""
TABLE_2 = CS[:5]
EIGHT_CS = (*TABLE_2, 1.0, 10.0, 100.0)
DRAWS = 50
TEMPERATURE, RELEASED_TEMPERATURE = 40.0, 100.0
"""The temperature of distillation in the paper's Table 1, and in the released scripts."""
RELEASED_FACTOR = 0.1
"""The factor of the student's loss in the released code, which divides the sum over the images not
only by their number, but also by the number of classes.
"""
Names = Literal[
    "none",
    "rse",
    "brelu",
    "adv",
    "distill",
    "adv paper",
    "adv twice",
    "pgd",
    "distill crops",
    "distill 100",
    "distill released",
    "distill teacher 100",
    "prototype",
    "rse code 0.2",
    "rse paper 0.4",
    "rse paper 0.2",
    "rse paper 0.12/0.1",
    "rse paper 0.12/0.2",
    "rse paper 0.18/0.2",
    "rse code 0.1/0.05",
]
"""A name ``rse PLACEMENT INIT/INNER`` says where a network has noise layers, and gives the standard
deviations of the initial noise and of all other noise. Without INNER, the latter is 0.1. The
defenses from ``adv paper`` to ``prototype`` are other forms of the defenses:

``adv paper``: adversarial retraining that starts from a trained network, as the paper says.
``adv twice``: ``adv`` that is trained a second time, so it has as many steps as ``adv paper``.
``pgd``: adversarial training with PGD, which the paper's first version does not have.
``distill crops``: ``distill``, but the student is trained on cropped and flipped images, as in the
    released code.
``distill 100``: the same with the temperature of the released scripts.
``distill released``: the same with the loss of the released code too.
``distill teacher 100``: the teacher of the last two.
``prototype``: the authors' first prototype of RSE.
"""
PROTOTYPE = Noise(0.3, 0.3, "prototype", "training")
"""The noise layers of the authors' first prototype, which adds noise only in training mode."""
DEFENSES: tuple[Names, ...] = ("rse", "adv", "brelu", "distill", "none")
"""The defenses, in the order of the rows of Table 2."""
BASELINES: tuple[Names, ...] = ("adv", "brelu", "distill")
"""The defenses with which the paper compares RSE."""
LEVELS: tuple[Names, ...] = ("rse paper 0.12/0.1", "rse paper 0.12/0.2", "rse paper 0.18/0.2")
"""The names of the noise layers of Figure 3, ordered from low to high noise. The code for Figures 2
to 5 is older than that for Table 2. It divides images by their standard deviation of about 0.2 and
then adds initial noise of standard deviation 0.6 or 0.9, which is 0.12 or 0.18 for images in [0,
1]. The initial noise is added to the image; all other noise has the standard deviation 0.1 or 0.2.
"""


def noise_of(network: Networks) -> Noise:
    """Return the noise of the defense that the paper calls RSE.

    The noise levels are those of the paper's Table 1, and the noise layers are placed as in the
    released code: VGG16 adds the initial noise in front of the second convolution, all other
    networks add it to the image.
    """
    if network == "vgg16":
        return Noise(0.4, 0.1, "code")
    return Noise(0.4 if network == "model-a" else 0.1, 0.1)


@dataclass(frozen=True)
class Setting:
    """The settings of one network for one profile.

    ``recipe``: the recipe with which every network is trained.
    ``images``: the number of test images that are attacked; they are the first images of the test
        set.
    ``few``: the number of test images for the defenses in `BASELINES`; 0 stands for ``images``.
    ``piece``: the number of test images that one job attacks, chosen so that it takes a few
        minutes.
    ``steps``: the number of steps of the attack.
    ``cs``: the values of c in Figure 6.
    ``noise``: the noise layers of RSE in this profile; with None, the paper's (see `noise_of`).
    ``levels``: the names of the noise layers of Figures 3 and 5, ordered from low to high noise.
    """

    model: Model
    recipe: Recipe
    images: int
    piece: int
    steps: int = STEPS["paper"]
    cs: tuple[float, ...] = CS
    defenses: tuple[Names, ...] = DEFENSES
    noise: Noise | None = None
    levels: tuple[Names, ...] = ()
    few: int = 0

    @property
    def rse(self) -> Noise:
        """Return the noise layers of a network with the defense ``rse``."""
        return self.noise or noise_of(self.model.network)

    def network(self, defense: Names, seed: int) -> Call:
        """Return the job that trains the network with the defense ``defense``."""
        if defense.startswith("distill"):
            return self._distillation(defense, seed)
        if defense in ("adv paper", "adv twice"):
            start = self.network("none" if defense == "adv paper" else "adv", seed)
            return retrain(start, Defense("retraining"), self.recipe, seed)
        kinds = {"brelu": Defense("brelu"), "adv": Defense("retraining"), "pgd": Defense("pgd")}
        noise = PROTOTYPE if defense == "prototype" else None
        if defense == "rse":
            noise = self.rse
        elif defense.startswith("rse "):
            _, placement, levels = defense.split()
            init, _, inner = levels.partition("/")
            noise = Noise(float(init), float(inner or 0.1), placement)  # type: ignore[arg-type]
        return train(self.model, kinds.get(defense, Defense()), noise, self.recipe, seed)

    def _distillation(self, defense: str, seed: int) -> Call:
        """Return the job that trains the student, or the teacher ``distill teacher 100``."""
        heat = TEMPERATURE if defense in ("distill", "distill crops") else RELEASED_TEMPERATURE
        kind = Defense("distill", temperature=heat, teacher=True)
        teacher = train(self.model, kind, None, self.recipe, seed)
        if defense == "distill teacher 100":
            return teacher
        if defense == "distill":
            return distil(teacher, replace(self.recipe, augmentation=None), seed)
        factor = RELEASED_FACTOR if defense == "distill released" else 1.0
        return distil(teacher, self.recipe, seed, factor, augmented=True)

    def draws(self, defense: Names) -> int:
        """Return the number of noise draws for one prediction."""
        return DRAWS if defense.startswith("rse") else 1

    def pieces(self, defense: Names) -> tuple[tuple[int, int], ...]:
        """Divide the test images on which a defense is attacked into pieces; return the first image
        and the number of images of each.
        """
        images = self.few if self.few and defense in BASELINES else self.images
        return tuple((at, min(self.piece, images - at)) for at in range(0, images, self.piece))


def setting(network: Networks, profile: str) -> Setting:
    """Return the settings of a network for profile quick, reduced or paper."""
    return _SETTINGS[profile][network]


def _recipe(images: int, epochs: int, batch: int, lr: float) -> Recipe:
    """Return a training recipe with SGD and Nesterov momentum.

    The learning rate rises over the first fifth of the steps and then falls.
    """
    return Recipe(
        epochs * (images // batch),
        batch,
        lr,
        "sgd",
        schedule="linear",
        momentum=0.9,
        weight_decay=5e-4,
        channels_last=True,
        nesterov=True,
        warmup=0.2,
        augmentation=Augmentation(mirror=True, padding=4),
    )


def _scenes(network: Networks) -> Setting:
    """Return the settings of a network with an eighth of its usual channels for the image set
    "scenes".

    With the paper's noise, so narrow a network learns almost nothing in a short training. So VGG16
    has half the paper's noise, and ResNeXt the same levels as VGG16. The optimiser is Adam, because
    SGD would need more steps. The images show digits, so they are not mirrored in training.
    """
    recipe = Recipe(
        EPOCHS["quick", network] * (2794 // 32),
        32,
        2e-3,
        schedule="linear",
        channels_last=True,
        warmup=0.3,
        augmentation=Augmentation(padding=2),
    )
    return Setting(
        Model("scenes", network, 8),
        recipe,
        images=12,
        piece=12,
        steps=STEPS["quick"],
        cs=(0.01, 0.1, 1.0, 10.0),
        defenses=("rse", "none"),
        noise=Noise(0.2, 0.05, "code" if network == "vgg16" else "paper"),
        levels=("rse code 0.1/0.05",) if network == "vgg16" else (),
    )


_SETTINGS: Mapping[str, Mapping[Networks, Setting]] = {
    "quick": {"vgg16": _scenes("vgg16"), "resnext": _scenes("resnext")},
    "reduced": {
        "vgg16": Setting(
            Model("cifar10", "vgg16", 8),
            _recipe(TRAINING_IMAGES["reduced", "vgg16"], EPOCHS["reduced", "vgg16"], 125, 0.1),
            images=200,
            piece=200,
            cs=EIGHT_CS,
            defenses=("rse", "none"),
            levels=LEVELS,
        ),
        "resnext": Setting(
            Model("cifar10", "resnext", 8, TRAINING_IMAGES["reduced", "resnext"]),
            _recipe(TRAINING_IMAGES["reduced", "resnext"], EPOCHS["reduced", "resnext"], 125, 0.1),
            images=100,
            piece=100,
            cs=EIGHT_CS,
            defenses=("rse", "none"),
        ),
    },
    "paper": {
        "vgg16": Setting(
            Model("cifar10", "vgg16"),
            replace(
                _recipe(TRAINING_IMAGES["paper", "vgg16"], EPOCHS["paper", "vgg16"], 125, 0.1),
                precision="tf32",
            ),
            images=1600,
            piece=200,
            levels=LEVELS,
        ),
        "resnext": Setting(
            Model("cifar10", "resnext"),
            replace(
                _recipe(TRAINING_IMAGES["paper", "resnext"], EPOCHS["paper", "resnext"], 500, 0.3),
                precision="bfloat16",
            ),
            images=1600,
            piece=200,
        ),
        "model-a": Setting(
            Model("stl10", "model-a"),
            _recipe(TRAINING_IMAGES["paper", "model-a"], EPOCHS["paper", "model-a"], 64, 0.1),
            images=200,
            few=100,
            piece=50,
            cs=(0.01, 0.1, 0.4, 1.0, 100.0),
            defenses=("rse", "none"),
        ),
    },
}
OWN: Mapping[str, tuple[Networks, ...]] = {
    "quick": ("vgg16",),
    "reduced": ("vgg16", "resnext"),
    "paper": ("model-a",),
}
"""The networks that each profile runs by default. In profile ``paper``, all others need a GPU, so
they are run only if a reader chooses them.
"""
VGG16: Mapping[str, tuple[Networks, ...]] = dict.fromkeys(_SETTINGS, ("vgg16",))
"""VGG16 for each profile, as in the paper's Table 2 and Figures 2 to 5."""


Images = Annotated[
    int | None,
    Field(
        ge=1,
        le=1600,
        description="a number of test images, 1 to 1600, or None for the profile's own",
    ),
]


@checked(frozen=True, config=STRICT)
class OfNetworks(parameters.Parameters):
    """The parameters that a reader can set in a study of several networks; by default, only VGG16
    is run.
    """

    own_networks: ClassVar = VGG16
    own_seeds: ClassVar = {"quick": (0,), "reduced": (0, 1, 2), "paper": (0, 1, 2)}
    selects: ClassVar[tuple[str, ...]] = ("networks",)
    profile: Annotated[
        Literal["published", "quick", "reduced", "paper"],
        Field(description="published (the record), quick (embedded), reduced (small) or paper"),
    ] = "published"  # type: ignore[assignment]
    networks: Annotated[
        tuple[Networks, ...] | None,
        Field(
            min_length=1,
            description="a list of vgg16, resnext, model-a, or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the names of the chosen networks."""
        return {"networks": tuple(self.chosen())}

    def chosen(self) -> dict[Networks, Setting]:
        """Return the settings of the chosen networks. Raises BadParameter if the profile has no
        settings for a chosen network.
        """
        there = _SETTINGS[self.profile]
        names = self.networks or self.own_networks[self.profile]
        parameters.require("networks", names, there, self.profile)
        return {name: there[name] for name in names}


@checked(frozen=True, config=STRICT)
class Parameters(OfNetworks):
    """The parameters that a reader can set in a study of several networks and defenses."""

    own_networks: ClassVar = OWN
    selects: ClassVar[tuple[str, ...]] = ("networks", "defenses")

    defenses: Annotated[
        tuple[Names, ...] | None,
        Field(
            min_length=1,
            description=f"a list of {', '.join(DEFENSES)}, or None for the profile's own",
        ),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the names of the chosen networks and of all defenses that are run on any of
        them.
        """
        each = [own.defenses for own in self.chosen().values()]
        return {**super().parts(), "defenses": tuple(dict.fromkeys(chain(*each)))}

    def chosen(self) -> dict[Networks, Setting]:
        """Return the settings of the chosen networks, with the defenses to run on each of them."""
        return {
            name: replace(own, defenses=self.defenses or (*own.defenses, *self.more()))
            for name, own in super().chosen().items()
        }

    def more(self) -> tuple[Names, ...]:
        """Return the defenses that this study runs in addition to the profile's defenses."""
        return ()


@checked(frozen=True, config=STRICT)
class OfImages(Parameters):
    """The parameters that a reader can set in a study that attacks many test images.

    More images than the profile's own add jobs, and leave the other jobs unchanged.
    """

    sizes: ClassVar[tuple[str, ...]] = ("images",)

    images: Images = None

    def chosen(self) -> dict[Networks, Setting]:
        """Return the settings of the chosen networks, with the chosen number of test images."""
        found = super().chosen()
        if self.images is None:
            return found
        return {name: replace(own, images=self.images, few=0) for name, own in found.items()}
