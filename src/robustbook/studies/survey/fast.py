"""Reproduce adversarial training with a single FGSM step (Wong, Rice and Kolter 2020, arXiv
2001.03994; N-FGSM: de Jorge et al. 2022, arXiv 2202.01181).

Networks are trained on adversarial images of FGSM, FGSM with a random start, N-FGSM or PGD, with
several radii. The accuracy under FGSM and under PGD is measured after each epoch. This accuracy
shows catastrophic overfitting: from one epoch to the next, PGD suddenly succeeds on all images,
while FGSM fails.

``paper``: MNIST, with the network and the training schedule of Wong et al. With
    ``sets=["cifar10"]`` the study uses CIFAR-10 instead, and needs a GPU.
``reduced``: the first 10,000 training images of MNIST; with ``sets=["cifar10"]``, those of CIFAR-10
    and networks of an eighth of the width.
``quick``: small images of digits that come with the book, and networks of half the width.

On MNIST with eps 0.3, a network learns nothing from PGD's images in so short a training. So there
the radius of PGD rises from 0 over the first two fifths of the steps, as the learning rate does.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from robustbook.data import as_float, load
from robustbook.defenses import SignedSteps, Weights, inner_fgsm, inner_fgsm_rs, inner_n_fgsm
from robustbook.defenses import inner_pgd as pgd_steps
from robustbook.files import write_whole
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, survival
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.fitting import fitted, weights
from robustbook.studies.parameters import AS_TUPLE, STRICT, BadParameter, require
from robustbook.studies.rows import percent, share_row
from robustbook.training import Augmentation, Recipe

from . import settings
from .attack import attacked, fixed, worst
from .networks import Defense, Model, built, objective, share_of_radius
from .settings import PAPER
from .sizes import FOLLOWED, INNER, RESTARTS

ITEM = "fast"
Sets = Literal["mnist", "cifar10"]
Methods = Literal["fgsm", "fgsm-rs", "n-fgsm", "pgd", "fgsm-rs-2", "pgd-constant", "n-fgsm-rising"]

METHODS: tuple[Methods, ...] = get_args(Methods)
"""The training methods: FGSM from the clean image, FGSM with a random start, N-FGSM, PGD, and FGSM
with a random start and a step of twice the radius. Two are controls for the rising radius on MNIST:
PGD whose radius does not rise, and N-FGSM whose radius rises.
"""
CONTROLS = ("pgd-constant", "n-fgsm-rising")
ONLY_MAIN = ("pgd", "fgsm-rs-2", *CONTROLS)
"""The methods that are run only with the radius ``main``."""


@checked(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set: ``sets`` chooses the image sets, by default MNIST, and
    ``methods`` the training methods, by default all.
    """

    selects: ClassVar = ("sets", "methods")
    sets: Annotated[
        tuple[Sets, ...] | None,
        Field(description="a list of mnist, cifar10, or None for mnist", min_length=1),
        AS_TUPLE,
    ] = None
    methods: Annotated[
        tuple[Methods, ...] | None,
        Field(
            description="a list of training methods, such as fgsm-rs, or None for all", min_length=1
        ),
        AS_TUPLE,
    ] = None

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the chosen image sets and training methods."""
        return {"sets": self.sets or ("mnist",), "methods": self.methods or METHODS}


@dataclass(frozen=True)
class Setting:
    """The settings of the study for one profile and one image set.

    ``recipe``: the recipe with which the networks are trained.
    ``long``: the recipe of the methods in ``lengthened``, and of all methods with other radii than
        ``main``; with None, they use ``recipe``.
    ``radii``: the l-infinity radii with which networks are trained, as multiples of ``unit``.
    ``main``: the training radius of the networks that are attacked with restarts.
    ``inner``: the number of PGD steps in training; the step size is a quarter of the radius.
    ``rise``: for the methods ``pgd`` and ``n-fgsm-rising``, the fraction of the training steps over
        which the radius and the step size rise from 0; with 0 they are constant.
    ``step_size``: the step size of the attacks in the evaluation, for the radius ``main``.
    ``followed``: the number of test images that are attacked after each epoch.
    ``images``: the number of test images in the final evaluation.
    ``strong``: the number of test images for the strong attacks, some of which have many restarts.
    ``queries``: the number of queries of the Square attack, alone and in AutoAttack.
    ``auto_steps``: the number of steps of APGD and of FAB in AutoAttack.
    ``left_out``: the methods that are not run.
    ``statistics``: whether batch norm uses batch or running statistics in the attacks of training.
    ``clip_start``: whether the random start of the attack in training is clipped to [0, 1] (see
        `inner_fgsm_rs`).
    """

    model: Model
    recipe: Recipe
    radii: tuple[float, ...]
    main: float
    step_size: float
    followed: int
    images: int
    strong: int
    inner: int
    restarts: int
    unit: float = 1.0
    rise: float = 0.0
    queries: int = 5000
    auto_steps: int = 100
    clip_start: bool = False
    statistics: str = "running"
    long: Recipe | None = None
    lengthened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = CONTROLS


def _mnist(epochs: int, images: int) -> Recipe:
    """Return the released code's recipe for MNIST: Adam, and a learning rate that rises for two
    fifths of the steps and then falls to 0.
    """
    return Recipe(
        epochs * images // 100, 100, 5e-3, schedule="linear", warmup=0.4, channels_last=True
    )


def _cifar10(epochs: int, images: int = 50_000) -> Recipe:
    return Recipe(
        epochs * (images // 128),
        128,
        0.2,
        "sgd",
        schedule="linear",
        warmup=0.5,
        weight_decay=5e-4,
        augmentation=Augmentation(mirror=True, padding=4),
        channels_last=True,
    )


SETTINGS: Mapping[tuple[str, str], Setting] = {
    ("quick", "mnist"): Setting(
        Model("digits", "wong", 2),
        Recipe(5 * 27, 50, 5e-3, schedule="linear", warmup=0.4, channels_last=True),
        (0.1,),
        0.1,
        0.01,
        FOLLOWED["quick", "mnist"],
        100,
        30,
        inner=INNER["quick", "mnist"],
        restarts=RESTARTS["quick", "mnist"],
        queries=100,
        auto_steps=5,
        left_out=("fgsm-rs-2", *CONTROLS),
    ),
    ("reduced", "mnist"): Setting(
        Model("mnist", "wong", 1, 10_000),
        _mnist(10, 10_000),
        (0.1, 0.2, 0.3, 0.4),
        0.3,
        0.01,
        FOLLOWED["reduced", "mnist"],
        500,
        200,
        inner=INNER["reduced", "mnist"],
        rise=0.4,
        left_out=(),
        restarts=RESTARTS["reduced", "mnist"],
        queries=1000,
    ),
    ("paper", "mnist"): Setting(
        Model("mnist", "wong"),
        _mnist(10, 60_000),
        (0.1, 0.2, 0.3, 0.4),
        0.3,
        0.01,
        FOLLOWED["paper", "mnist"],
        2000,
        1000,
        inner=INNER["paper", "mnist"],
        restarts=RESTARTS["paper", "mnist"],
        rise=0.4,
    ),
    ("reduced", "cifar10"): Setting(
        Model("cifar10", "preact18", 8, 10_000),
        _cifar10(15, 10_000),
        (8.0, 16.0),
        8.0,
        2 / 255,
        FOLLOWED["reduced", "cifar10"],
        500,
        200,
        unit=1 / 255,
        inner=INNER["reduced", "cifar10"],
        restarts=RESTARTS["reduced", "cifar10"],
        queries=1000,
        clip_start=True,
        statistics="batch",
        long=_cifar10(30, 10_000),
        lengthened=("fgsm", "n-fgsm"),
    ),
    ("paper", "cifar10"): Setting(
        Model("cifar10", "preact18"),
        _cifar10(15),
        (8.0, 16.0),
        8.0,
        2 / 255,
        FOLLOWED["paper", "cifar10"],
        10_000,
        10_000,
        unit=1 / 255,
        inner=INNER["paper", "cifar10"],
        restarts=RESTARTS["paper", "cifar10"],
        clip_start=True,
        statistics="batch",
        long=_cifar10(30),
        lengthened=("fgsm", "n-fgsm"),
    ),
}
"""The settings for each profile and image set."""
PRINTED = "fgsm-rs"


def setting(profile: str, data: str) -> Setting:
    """Return the settings for an image set. Raises BadParameter if the profile has no settings for
    this image set.
    """
    require("sets", [data], [of for name, of in SETTINGS if name == profile], profile)
    return SETTINGS[profile, data]


def inner(own: Setting, method: str, eps: float) -> SignedSteps:
    """Return the inner attack of a training method: the attack that makes its training images."""
    if method == "fgsm":
        return replace(inner_fgsm(eps, clip=True), statistics=own.statistics)
    if method in ("n-fgsm", "n-fgsm-rising"):
        return inner_n_fgsm(eps, statistics=own.statistics)
    if method in ("pgd", "pgd-constant"):
        return pgd_steps(eps, own.inner, eps / 4, statistics=own.statistics)
    length = (2.0 if method == "fgsm-rs-2" else 1.25) * eps
    return inner_fgsm_rs(eps, length, clip_start=own.clip_start, statistics=own.statistics)


def _long_pgd(own: Setting, eps: float, restarts: int = 1) -> Attack:
    """Return the attack of the released code's evaluation: PGD with 50 steps, whose size is in
    proportion to the radius.
    """
    length = own.step_size * eps / (own.main * own.unit)
    return Attack("pgd", eps, clip=True, steps=50, step_size=length, restarts=restarts)


@step(version=1)
def followed(
    model: Model,
    defense: Defense,
    recipe: Recipe,
    seed: int,
    eps: float,
    images: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Train a network; after each epoch, measure its accuracy under attack on the first ``images``
    test images.

    ``state/<name>``: the weights and buffers after training.
    ``seconds``: the training time.
    ``fgsm``: the accuracy in percent under FGSM after each epoch.
    ``pgd``: the accuracy in percent under PGD with 10 steps after each epoch.
    """
    data = load(model.data, "train").subset(model.images)
    test = load(model.data, "test", at_least=images).subset(images)
    x, y = as_float(test.images).to(context.device), test.labels.to(context.device)
    net, judge = built(model, seed), fixed(built(model, seed).to(context.device))
    kinds = {
        "fgsm": Attack("fgsm", eps, clip=True),
        "pgd": Attack("pgd", eps, clip=True, steps=10, step_size=eps / 4),
    }

    def look(epoch: int, state: Mapping[str, Tensor]) -> None:
        # A resumed training repeats only the epochs after its checkpoint, so the accuracies of
        # earlier epochs are kept in files.
        judge.load_state_dict(dict(state))
        judge.eval()
        found = {k: survival(judge, x, y, a, seed=seed).accuracy for k, a in kinds.items()}
        write_whole(context.scratch / f"epoch-{epoch}.json", json.dumps(found).encode())

    done = fitted(
        net,
        data.images,
        data.labels,
        objective(defense),
        recipe,
        seed,
        context,
        coefficient=share_of_radius(defense, recipe),
        static=False,
        each_epoch=look,
    )
    epochs = recipe.steps // (len(data.images) // recipe.batch_size)
    told = [
        json.loads((context.scratch / f"epoch-{epoch + 1}.json").read_text())
        for epoch in range(epochs)
    ]
    return {
        **weights(net),
        **{kind: torch.tensor([each[kind] for each in told]) for kind in kinds},
        "seconds": done.seconds,
    }


def network(own: Setting, method: str, radius: float, seed: int) -> Call:
    """Return the job that trains a network and measures its accuracy after each epoch."""
    eps = radius * own.unit
    rise = own.rise if method in ("pgd", "n-fgsm-rising") else 0.0
    defense = Defense(Weights(adversarial=1.0), inner(own, method, eps), rise=rise)
    longer = method in own.lengthened or radius != own.main
    recipe = own.long if own.long is not None and longer else own.recipe
    return followed(own.model, defense, recipe, seed, eps, own.followed)


def trained_methods(own: Setting, first: bool) -> Iterator[tuple[str, float]]:
    """Yield the pairs (training method, radius) for which a network is trained with one seed: with
    the first seed all pairs of the study, later only the paper's method with the radius ``main``.
    """
    for method in METHODS if first else (PRINTED,):
        for radius in own.radii if method not in own.left_out else ():
            if radius == own.main or (first and method not in ONLY_MAIN):
                yield method, radius


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict with one entry per tuple (image set, training
    method, radius, part, seed). The part is ``training`` or the name of an attack.
    """
    found: dict[tuple[Any, ...], Call] = {}
    left_out = [own.left_out for (profile, _), own in SETTINGS.items() if profile == p.profile]
    there = [m for m in METHODS if any(m not in each for each in left_out)]
    require("methods", p.methods or (), there, p.profile)
    for data in p.parts()["sets"]:
        own = setting(p.profile, data)
        for seed in p.seeds:
            for method, radius in trained_methods(own, seed == p.seeds[0]):
                if method not in p.parts()["methods"]:
                    continue
                net = network(own, method, radius, seed)
                eps = radius * own.unit
                of = (data, method, radius)
                found[*of, "training", seed] = net
                plain = Attack("none", eps)
                found[*of, "clean", seed] = attacked(net, plain, own.images, seed)
                found[*of, "pgd-50", seed] = attacked(net, _long_pgd(own, eps), own.images, seed)
                many = _long_pgd(own, eps, own.restarts)
                if radius != own.main and data == "cifar10" and method in STRONGLY:
                    found[*of, "pgd-50-10", seed] = attacked(net, many, own.strong, seed)
                if radius == own.main:
                    strong = {
                        "pgd-50-10": many,
                        "margin-50-10": replace(many, loss="margin"),
                        "square": Attack("square", eps, queries=own.queries),
                        "autoattack": Attack(
                            "autoattack", eps, steps=own.auto_steps, queries=own.queries
                        ),
                    }
                    for name in STRONG if method in STRONGLY else STRONG[:1]:
                        found[*of, name, seed] = attacked(net, strong[name], own.strong, seed)
    return found


STRONG = ("pgd-50-10", "margin-50-10", "square", "autoattack")
STRONGLY = ("fgsm-rs", "n-fgsm", "pgd", "pgd-constant")
"""The training methods whose networks are attacked with all attacks in `STRONG`."""


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracies of all networks, and the curves over the
    epochs.
    """
    if not results:  # a method of another image set is no mistake if other methods are run too
        raise BadParameter(
            f"methods must have one that profile {p.profile} runs on {', '.join(p.parts()['sets'])}"
            f", got {', '.join(p.parts()['methods'])}"
        )
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for (data, method, radius, part, seed), done in results.items():
        labels: dict[str, Any] = {"set": data, "method": method, "eps": radius}
        if part == "training":
            if seed == p.seeds[0]:
                for kind in ("fgsm", "pgd"):
                    arrays[f"{data}/{method}/{radius:g}/{kind}"] = done.tensors[kind].tolist()
            continue
        right = done.tensors["right"]
        target = _target(p.profile, data, method, radius, part)
        labels["attack"] = part
        rows.append(share_row(right, target, "accuracy", seed, setting=labels))
    for data in p.parts()["sets"]:
        for seed in p.seeds:
            of = {k[1:4]: done for k, done in results.items() if (k[0], k[4]) == (data, seed)}
            rows += _worst(data, of, seed)
            rows += _times(data, of, seed)
            if data == "cifar10" and seed == p.seeds[0]:
                rows += _claims(of, seed)
    return p.record(PAPER, ITEM, rows, arrays)


def _target(profile: str, data: str, method: str, radius: float, part: str) -> str | None:
    """Return the id of the paper's number with which an accuracy is compared, or None if the paper
    prints no such number.
    """
    ends = {
        "clean": "accuracy",
        "pgd-50-10": "pgd-50-10-accuracy",
        "autoattack": "autoattack-accuracy",
    }
    if part not in ends or radius != setting(profile, data).main:
        return None
    if method == "n-fgsm" and data == "cifar10" and part == "pgd-50-10":
        return f"{PAPER}/n-fgsm/cifar10-eps-8/pgd-50-10-accuracy"
    names = {("mnist", "fgsm-rs"), ("cifar10", "fgsm-rs"), ("cifar10", "pgd")}
    if (data, method) not in names or (method, part) == ("pgd", "autoattack"):
        return None
    word = {"fgsm-rs": "fgsm-rs", "pgd": "pgd-7"}[method]
    return f"{PAPER}/wong/{data}-{word}/{ends[part]}"


def _worst(data: str, of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the accuracy under all strong attacks together: an image counts as correct only if
    every attack fails on it.
    """
    for method, radius, part in of:
        if part == "square":
            right = worst([of[method, radius, name] for name in STRONG])
            labels = {"set": data, "method": method, "eps": radius, "attack": "worst"}
            yield share_row(right, None, "accuracy", seed, setting=labels)


def _times(data: str, of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the time per epoch of training by FGSM with a random start, divided by that of training
    by PGD.

    Both times include the attacks after each epoch, which use few images.
    """
    per_epoch = {
        method: done.values["seconds"] / len(done.tensors["pgd"])
        for (method, radius, part), done in of.items()
        if part == "training"
        and method in ("fgsm-rs", "pgd")
        and (method, radius, "pgd-50-10") in of
    }
    if len(per_epoch) == 2:
        target = f"{PAPER}/wong/claim/time" if data == "cifar10" else None
        ratio = per_epoch["fgsm-rs"] / per_epoch["pgd"]
        yield Row(ratio, "ratio", target, "time ratio", seed, setting={"set": data})


def _claims(of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the results that test the claims about catastrophic overfitting on CIFAR-10, as far as
    their training methods were run.
    """
    found = {
        (method, radius, part): percent(done.tensors["right"])
        for (method, radius, part), done in of.items()
        if part != "training"
    }
    strong = "pgd-50-10"
    if ("fgsm", 8.0, strong) in found:
        collapsed = found["fgsm", 8.0, strong]
        fgsm = float(of["fgsm", 8.0, "training"].tensors["fgsm"][-1])
        target = f"{PAPER}/wong/claim/plain-fgsm-collapses"
        holds = collapsed <= 1 and fgsm > 50
        yield Row(collapsed, "percent", target, "accuracy", seed, holds=holds)
    if ("fgsm-rs-2", 8.0, strong) in found:
        longer = found["fgsm-rs-2", 8.0, strong]
        target = f"{PAPER}/wong/claim/alpha-16-collapses"
        yield Row(longer, "percent", target, "accuracy", seed, holds=longer <= 1)
    if ("n-fgsm", 16.0, strong) in found:
        kept = found["n-fgsm", 16.0, strong]
        target = f"{PAPER}/n-fgsm/cifar10-eps-16/no-collapse"
        yield Row(kept, "percent", target, "accuracy", seed, holds=kept >= 15)
    if ("fgsm-rs", 8.0, "clean") in found:
        clean, lost = found["fgsm-rs", 8.0, "clean"], found["fgsm-rs", 16.0, strong]
        yield Row(clean, "percent", f"{PAPER}/wong/cifar10-fgsm-rs/accuracy-readme", seed=seed)
        yield Row(lost, "percent", f"{PAPER}/fgsm-rs/cifar10-eps-16/collapse", seed=seed)
