"""Reproduce Sections 4 to 9 and Appendix A of Goodfellow, Shlens and Szegedy 2015 (arXiv
1412.6572) on MNIST: FGSM and adversarial training with it.

The loss of adversarial training is a weighted sum of the losses on clean images and on adversarial
images of FGSM. The study trains maxout networks with and without adversarial training, and linear
networks without it. For comparison, it trains networks on images with random noise of the size of
FGSM's perturbation. The study goes beyond the paper in two ways: it varies the weight alpha of the
loss on clean images, and attacks the networks by PGD and the Square attack.

``paper``: MNIST; the network with 1600 units takes hours on a CPU, so it is trained only with the
    setting ``networks=["maxout-large"]``.
``reduced``: the first 10,000 training images of MNIST.
``quick``: small images of digits that come with the book, and networks with a quarter of the units.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from torch import Tensor, nn

from robustbook.data import ImageSet, as_float, load
from robustbook.defenses import goodfellow, inner_fgsm, weighted_training
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, logits_of, strike
from robustbook.networks import draw_first_weights
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.fitting import fitted, weights
from robustbook.studies.parameters import AS_TUPLE, STRICT
from robustbook.studies.rows import percent, share_row
from robustbook.training import Recipe

from . import settings
from .attack import evaluated, fixed, test_images
from .networks import Model, built, trained
from .settings import PAPER

ITEM = "goodfellow"
EPS = 0.25
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
Chosen = Literal["maxout", "maxout-large"]


@checked(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set: among them the maxout networks, by default only the
    small one.
    """

    selects: ClassVar = ("networks",)
    networks: Annotated[
        tuple[Chosen, ...] | None,
        Field(description="a list of maxout, maxout-large, or None for maxout", min_length=1),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the names of the maxout networks that are trained."""
        return {"networks": self.networks or ("maxout",)}


@dataclass(frozen=True)
class Training:
    """The loss on which a network is trained.

    ``alpha``: the weight of the loss on clean images; that on adversarial images is 1 - alpha.
    ``noise``: the random noise on the images: ``none``, ``sign`` (plus or minus EPS for each pixel)
        or ``uniform`` (between -EPS and EPS).
    ``sigmoid``: whether the output layer has a sigmoid for each class instead of a softmax over all
        classes.
    """

    alpha: float = 1.0
    noise: Literal["none", "sign", "uniform"] = "none"
    sigmoid: bool = False


@dataclass(frozen=True)
class Setting:
    """The settings of the study for one profile.

    ``model``, ``linear``: the maxout and the linear network.
    ``images``: the number of test images.
    ``strong``: the number of test images for the attacks with many steps.
    ``members``: the number of networks of the ensemble.
    """

    model: Model
    linear: Model
    recipe: Recipe
    images: int
    strong: int
    members: int = 12
    restarts: int = 5
    queries: int = 2000


def _recipe(epochs: int, images: int) -> Recipe:
    return Recipe(epochs * images // 100, 100, 1e-3, schedule="linear")


SETTINGS: Mapping[str, Setting] = {
    "quick": Setting(
        Model("digits", "maxout", 4),
        Model("digits", "softmax"),
        Recipe(100, 50, 3e-3, schedule="linear"),
        200,
        30,
        members=2,
        restarts=2,
        queries=100,
    ),
    "reduced": Setting(
        Model("mnist", "maxout", 1, 10_000),
        Model("mnist", "softmax", 1, 10_000),
        _recipe(10, 10_000),
        10_000,
        300,
        restarts=2,
        queries=1000,
    ),
    "paper": Setting(
        Model("mnist", "maxout"), Model("mnist", "softmax"), _recipe(20, 60_000), 10_000, 1000
    ),
}


def attacks(own: Setting) -> dict[str, Attack]:
    """Return the attacks by name.

    As in the paper, FGSM does not clip images to [0, 1]; all other attacks do.
    """
    pgd = Attack("pgd", EPS, clip=True, steps=40, step_size=EPS / 25)
    many = replace(pgd, steps=100, restarts=own.restarts)
    return {
        "clean": Attack("none", EPS),
        "fgsm": Attack("fgsm", EPS),
        "pgd-40": pgd,
        "pgd-100": many,
        "margin-100": replace(many, loss="margin"),
        "square": Attack("square", EPS, queries=own.queries),
    }


STRONG = ("pgd-100", "margin-100", "square")
FEW = ("pgd-40", *STRONG)
"""The attacks that are run on only ``strong`` test images (see `Setting`), because they take longer
than FGSM.
"""
OTHER_WIDTH = "the paper probably used networks with 1,600 units in a layer, and ours are narrower"
"""How the networks between which images are transferred differ from the paper's."""
SAME = "fgsm on the images of pgd-40"
"""The name of FGSM if only the images count that PGD attacks too."""
NOISES: tuple[Literal["sign", "uniform"], ...] = ("sign", "uniform")


@step(version=1)
def learn(
    model: Model, training: Training, recipe: Recipe, seed: int, *, context: Context
) -> dict[str, object]:
    """Train a network.

    ``state/<name>``: the weights after training.
    ``seconds``: the training time.
    """
    data = load(model.data, "train").subset(model.images)
    net = built(model, seed)
    seconds = _fit(net, data, training, recipe, seed, context)
    return {**weights(net), "seconds": seconds}


def _fit(
    net: nn.Module,
    data: ImageSet,
    training: Training,
    recipe: Recipe,
    seed: int,
    context: Context,
) -> float:
    goal = partial(_terms, training)
    return fitted(net, data.images, data.labels, goal, recipe, seed, context, static=False).seconds


def _terms(
    training: Training, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    images = images + EPS * _noise(training.noise, images)
    if training.sigmoid:
        goal = F.one_hot(labels, 10).to(images.dtype)
        logits = net(images)
        return {"clean": F.binary_cross_entropy_with_logits(logits, goal, reduction="none").mean()}
    weights = goodfellow(training.alpha)
    return weighted_training(net, images, labels, weights=weights, attack=inner_fgsm(EPS))


def _noise(kind: str, images: Tensor) -> Tensor:
    if kind == "none":
        return torch.zeros_like(images)
    uniform = 2 * torch.rand_like(images) - 1
    return uniform.sign() if kind == "sign" else uniform


@step(version=1)
def struck(
    network: Done,
    attack: Attack,
    images: int,
    seed: int,
    source: Done | None = None,
    *,
    context: Context,
) -> dict[str, object]:
    """Attack the first test images, and evaluate ``network`` on the attacked images.

    ``right``: for each attacked image, whether it is classified correctly.
    ``confidence``: for each attacked image, the probability of the predicted class.

    ``source``: the network on which the attack computes the adversarial images; with None,
        ``network`` itself.
    """
    net, x, y = evaluated(network, images, context.device)
    attacked = net if source is None else fixed(trained(source, context.device))
    return _measured(net, attacked, x, y, attack, seed)


def _measured(
    net: nn.Module, attacked: nn.Module, x: Tensor, y: Tensor, attack: Attack, seed: int
) -> dict[str, object]:
    made = strike(attack, attacked, x, y, generator=generator(seed, attack.kind))
    confidence, answers = logits_of(net, made.images).softmax(1).max(1)
    return {"right": (answers == y).cpu(), "confidence": confidence.cpu()}


class _Mean(nn.Module):
    """An ensemble whose logits are the logarithm of the networks' mean class probabilities, up to a
    constant.
    """

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, images: Tensor) -> Tensor:
        found = torch.stack([net(images).log_softmax(1) for net in self.nets])
        return found.logsumexp(0)


@step(version=1)
def ensemble(networks: tuple[Done, ...], images: int, *, context: Context) -> dict[str, object]:
    """Return which test images an ensemble of networks classifies correctly under FGSM.

    FGSM attacks the whole ensemble for the result ``all``, and only its first network for ``one``.
    """
    nets = [fixed(trained(done, context.device)) for done in networks]
    x, y = test_images(networks[0], images, context.device)
    whole = _Mean(nets).eval()
    attack = Attack("fgsm", EPS)
    return {
        name: _measured(whole, attacked, x, y, attack, 0)["right"]
        for name, attacked in (("all", whole), ("one", nets[0]))
    }


@step(version=1)
def rubbish(network: Done, sigmoid: bool, count: int, *, context: Context) -> dict[str, object]:
    """Return the network's highest class probability for each of ``count`` noise images, whose
    pixels are standard normal random numbers without clipping.
    """
    net = fixed(trained(network, context.device))
    noise = torch.randn(count, 1, 28, 28, generator=generator(0, "rubbish")).to(context.device)
    logits = logits_of(net, noise)
    probability = logits.sigmoid() if sigmoid else logits.softmax(1)
    return {"probability": probability.amax(1).cpu()}


@step(version=1)
def binary(model: Model, recipe: Recipe, seed: int, *, context: Context) -> dict[str, object]:
    """Train a linear network to distinguish the digits 3 and 7.

    ``clean``: which test images the network classifies correctly without an attack.
    ``fgsm``: which test images the network classifies correctly under FGSM.
    """
    train = _two(load(model.data, "train").subset(model.images))
    net = nn.Sequential(nn.Flatten(), nn.utils.skip_init(nn.Linear, 784, 2))  # type: ignore[no-untyped-call]
    draw_first_weights(net, generator(seed, "weights"), "torch")
    _fit(net, train, Training(), recipe, seed, context)
    test = _two(load(model.data, "test"))
    x, y = as_float(test.images).to(context.device), test.labels.to(context.device)
    fixed(net.eval())
    return {
        "clean": _measured(net, net, x, y, Attack("none"), seed)["right"],
        "fgsm": _measured(net, net, x, y, Attack("fgsm", EPS), seed)["right"],
    }


def _two(data: ImageSet) -> ImageSet:
    """Return the images of the digits 3 and 7, with the labels 0 and 1."""
    found = data.subset((data.labels == 3) | (data.labels == 7))
    return replace(found, labels=(found.labels == 7).long(), classes=2)


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict whose keys end with the seed."""
    own = SETTINGS[p.profile]
    kinds = attacks(own)
    found: dict[tuple[Any, ...], Call] = {}

    def judge(
        label: str, net: Call, names: Sequence[str], seed: int, source: Call | None = None
    ) -> None:
        for name in names:
            images = own.strong if name in FEW else own.images
            found[label, name, seed] = struck(net, kinds[name], images, seed, source)

    for seed in p.seeds:
        for name in p.parts()["networks"]:
            model = replace(own.model, network=name)
            nets = {
                alpha: learn(model, Training(alpha), own.recipe, seed)
                for alpha in (ALPHAS if name == "maxout" else (0.5, 1.0))
            }
            for alpha, net in nets.items():
                judge(f"{name} {alpha:g}", net, ("clean", "fgsm", "pgd-40", *STRONG), seed)
            if name == "maxout-large":
                continue
            judge("original-to-adversarial", nets[0.5], ("fgsm",), seed, nets[1.0])
            judge("adversarial-to-original", nets[1.0], ("fgsm",), seed, nets[0.5])
            for noise in NOISES:
                net = learn(model, Training(noise=noise), own.recipe, seed)
                judge(f"noise {noise}", net, ("clean", "fgsm"), seed)
            sigmoid = learn(model, Training(sigmoid=True), own.recipe, seed)
            linear = learn(own.linear, Training(), own.recipe, seed)
            judge("softmax", linear, ("clean", "fgsm"), seed)
            found["rubbish", "maxout-softmax", seed] = rubbish(nets[1.0], False, 10_000)
            found["rubbish", "maxout-sigmoid", seed] = rubbish(sigmoid, True, 10_000)
            found["rubbish", "softmax-regression", seed] = rubbish(linear, False, 10_000)
            found["binary", "", seed] = binary(own.linear, _binary_recipe(own.recipe), seed)
            if seed == 0:  # its members have the seeds 0 to 11, so other ensembles would share them
                members = tuple(learn(model, Training(), own.recipe, i) for i in range(own.members))
                found["ensemble", "", seed] = ensemble(members, own.images)
    return found


def _binary_recipe(recipe: Recipe) -> Recipe:
    """Return ``recipe`` with a fifth of its steps, because the digits 3 and 7 make up a fifth of
    all images.
    """
    return replace(recipe, steps=recipe.steps // 5)


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the error rate and the mean confidence on misclassified images,
    for each network and each value of alpha.
    """
    rows: list[Row] = []
    for seed in p.seeds:
        rows += _rows({key[:-1]: done for key, done in results.items() if key[-1] == seed}, seed)
    return p.record(PAPER, ITEM, rows)


NAMES: Mapping[str, str] = {
    "softmax": "softmax-regression",
    "maxout 1": "maxout",
    "maxout 0.5": "maxout-adversarial",
    "maxout-large 1": "maxout-large",
    "maxout-large 0.5": "maxout-large-adversarial",
    "noise sign": "noise-control/sign",
    "noise uniform": "noise-control/uniform",
}
"""The name of each network in the ids of the paper's numbers."""
MEASURED = frozenset(
    (
        "softmax-regression/fgsm-error",
        "softmax-regression/fgsm-confidence",
        "maxout/fgsm-error",
        "maxout/fgsm-confidence",
        "maxout/clean-error",
        "maxout-adversarial/clean-error",
        "maxout-large-adversarial/clean-error",
        "maxout-large/clean-error",
        "maxout-large-adversarial/fgsm-error",
        "maxout-large-adversarial/fgsm-confidence",
        "noise-control/sign/fgsm-error",
        "noise-control/uniform/fgsm-error",
    )
)
"""The ids of the paper's numbers that state an error rate or a confidence of one network under one
attack.
"""
CLAIMS: Mapping[tuple[str, str], str] = {
    ("maxout 0.5", "fgsm"): "adversarial-training-lowers-fgsm-error",
    ("maxout 0.5", "clean"): "adversarial-training-lowers-clean-error",
    ("noise sign", "fgsm"): "noise-does-not",
}
"""For a network and an attack, the claim on its error. The ledger looks up the error with which it
is compared.
"""


def _target(name: str) -> str:
    return f"{PAPER}/{ITEM}/{name}"


def _error(
    right: Tensor, seed: int, target: str | None, **setting: str | float | int | bool
) -> Row:
    return share_row(~right, target, "error", seed, setting=setting)


def _rows(of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    for (label, name), done in of.items():
        if label == "rubbish":
            yield from _of_rubbish(name, done, seed)
        elif label == "binary":
            for kind in ("clean", "fgsm"):
                wrong = ~done.tensors[kind]
                target = _target(f"logistic-3-vs-7/{kind}-error")
                labels = {"network": "3 or 7", "attack": kind}
                yield share_row(wrong, target, "error", seed, setting=labels, whole=True)
        elif label == "ensemble":
            ids = {"all": "fgsm-error", "one": "fgsm-on-one-member-error"}
            for kind, end in ids.items():
                target = _target(f"ensemble/{end}")
                yield _error(done.tensors[kind], seed, target, network="ensemble", attack=kind)
        elif "-to-" in label:
            yield share_row(
                ~done.tensors["right"],
                _target(f"transfer/{label}/error"),
                "error",
                seed,
                setting={"transfer": label},
                differs=OTHER_WIDTH,
            )
        else:
            yield from _of_network(label, name, done, seed)
    for label in sorted({label for label, _ in of if (label, STRONG[0]) in of}):
        worst = torch.stack([of[label, name].tensors["right"] for name in STRONG]).all(0)
        yield _error(worst, seed, None, network=label, attack="worst")
    for key, claim in CLAIMS.items():
        if key in of:
            right = of[key].tensors["right"]
            yield _error(right, seed, _target(f"claim/{claim}"), claim=claim)
    if ("maxout 0.5", "pgd-40") in of:
        right = of["maxout 0.5", "pgd-40"].tensors["right"]
        same = of["maxout 0.5", "fgsm"].tensors["right"][: len(right)]
        yield _error(same, seed, None, network="maxout 0.5", attack=SAME)
        fgsm = percent(same)
        target = _target("claim/fgsm-training-not-pgd-robust")
        yield share_row(right, target, "accuracy", seed, holds=percent(right) <= fgsm - 10)


def _of_network(label: str, name: str, done: Done, seed: int) -> Iterator[Row]:
    """Yield the error rate of a network under an attack, and the mean confidence on misclassified
    images.
    """
    right, confidence = done.tensors["right"], done.tensors["confidence"]
    setting: dict[str, Any] = {"network": label, "attack": name}
    target = f"{NAMES.get(label, '')}/{name}-error"
    yield _error(right, seed, _target(target) if target in MEASURED else None, **setting)
    if not bool(right.all()):
        sure = 100 * confidence[~right].double().mean().item()
        target = f"{NAMES.get(label, '')}/{name}-confidence"
        found = _target(target) if target in MEASURED else None
        yield Row(sure, "percent", found, "confidence", seed, setting=setting)


def _of_rubbish(name: str, done: Done, seed: int) -> Iterator[Row]:
    """Yield the percentage of noise images for which some class has a probability above one half,
    and the mean of this probability over these images.
    """
    probability = done.tensors["probability"]
    sure = probability > 0.5
    yield _error(~sure, seed, _target(f"rubbish/{name}/error"), rubbish=name)
    if bool(sure.any()):
        mean = 100 * probability[sure].double().mean().item()
        yield Row(mean, "percent", None, "confidence", seed, setting={"rubbish": name})
