"""Reproduce Table 1 of Madry et al. 2018 (arXiv 1706.06083): adversarial training with PGD on
MNIST.

Network A is trained on adversarial images of PGD. White-box attacks use the gradients of A itself.
Transfer attacks use those of A', an independently trained copy, or of B, a network of another
architecture that is trained like A. The study also measures how the accuracy depends on the number
of training steps and on the network's width. For a few images, it measures which losses PGD reaches
from many random starts.

``paper``: networks of the paper's width. A has 6,000 training steps of 7 PGD steps each, A' and B
    have 3,000. With the parameter ``schedule`` "printed", training has the paper's 100,000 steps of
    40 PGD steps, which need a GPU. The accuracy is then measured on all test images.
``reduced``: MNIST, networks of a quarter of the width, and fewer training steps than in the paper,
    each with 5 PGD steps that are larger than the paper's. For comparison, one network is trained
    with the paper's PGD steps.
``quick``: small images of digits that come with the book, networks of a sixteenth of the width, and
    a third of the radius.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from robustbook.attacks import pgd
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, logits_of
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.studies.parameters import STRICT, BadParameter
from robustbook.studies.rows import share_row
from robustbook.studies.shortened import reaches
from robustbook.training import Recipe

from . import settings
from .attack import attacked, evaluated, losses, worst
from .networks import PLAIN, Model, Networks, fgsm_training, pgd_training, train
from .settings import PAPER

ITEM = "madry"
FIRST_SEED = True  # arrays belong to the first seed, see `publishing.publishable`


@checked(frozen=True, config=STRICT)
class Parameters(settings.Parameters):
    """The parameters that a reader can set in this study."""

    schedule: Annotated[
        Literal["short", "printed"],
        Field(description="short, or printed (the paper's training, for profile paper)"),
    ] = "short"

    def setting(self) -> "Setting":
        """Return the settings of the study. Raises BadParameter for the paper's training with a
        profile other than ``paper``.
        """
        if self.schedule == "short":
            return SETTINGS[self.profile]
        if self.profile != "paper":
            raise BadParameter(
                f"schedule must be short for profile {self.profile}, got 'printed', which is for "
                "profile paper"
            )
        return PAPERS_OWN


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: the recipe, and the number (``inner``) and the size (``step_size``)
    of the PGD steps in each training step. Over the fraction ``rise`` of the training steps, the
    radius and the step size of PGD rise from 0.
    """

    inner: int
    step_size: float
    recipe: Recipe
    rise: float = 0.0


@dataclass(frozen=True)
class Setting:
    """The settings of the study for one profile.

    ``eps``: the l-infinity radius of the attacks, whose step size is a thirtieth of it.
    ``narrow``: the number by which the widths of the networks are divided; for network B, it is at
        most 8.
    ``images``: the number of test images.
    ``many``: the number of test images for the attacks that take long, such as PGD with 20
        restarts.
    ``schedules``: the training schedules by name; the first trains network A.
    ``sources``: the name of the schedule that trains A' and B, or "" for that of A.
    ``natural``: the recipe of training on clean images.
    ``widths``: the numbers by which the widths are divided, for the experiment on network capacity.
    ``starts``: the number of random starts per image, in the figure of the losses that PGD reaches.
    ``starting``: the number of images in this figure.
    ``restarts``: the number of random starts of the attacks with restarts.
    ``long``: the number of steps of the longest PGD attacks, and of APGD and FAB in AutoAttack.
    ``queries``: the number of queries of the Square attack, alone and in AutoAttack.
    ``auto``: whether AutoAttack is run, which takes as long as all other attacks together.
    """

    data: str
    narrow: int
    images: int
    many: int
    schedules: Mapping[str, Schedule]
    natural: Recipe
    widths: tuple[int, ...]
    capacity: Schedule
    starts: int
    starting: int = 5
    eps: float = 0.3
    restarts: int = 20
    long: int = 100
    queries: int = 5000
    auto: bool = False
    sources: str = ""


def _short(steps: int) -> Schedule:
    """Return a schedule with few training steps of 100 images, each with 5 large PGD steps, and a
    learning rate that falls to 0.
    """
    recipe = Recipe(steps, 100, 1e-3, schedule="linear", warmup=0.1, channels_last=True)
    return Schedule(5, 0.1, recipe)


PRINTED = Schedule(40, 0.01, Recipe(100_000, 50, 1e-4))
"""The training schedule of the released code."""


def _rising(steps: int) -> Schedule:
    """Return a short schedule for the network at the paper's width. With a constant radius, the
    loss would stay on a plateau for long. So the radius rises from 0 over the first two fifths of
    the steps.
    """
    recipe = Recipe(steps, 100, 2e-3, schedule="linear", warmup=0.1, channels_last=True)
    return Schedule(7, 0.1, recipe, rise=0.4)


def _cut(steps: int) -> Schedule:
    return replace(PRINTED, recipe=replace(PRINTED.recipe, steps=steps))


QUICK = Schedule(3, 0.05, Recipe(80, 50, 5e-3, schedule="linear", warmup=0.1))

SETTINGS: Mapping[str, Setting] = {
    "quick": Setting(
        "digits",
        16,
        40,
        20,
        {"short": QUICK},
        QUICK.recipe,
        (16,),
        QUICK,
        10,
        3,
        eps=0.1,
        restarts=2,
        long=50,
        queries=1000,
    ),
    "reduced": Setting(
        "mnist",
        4,
        500,
        200,
        {
            "short 4000": _short(4000),
            "short 2000": _short(2000),
            "short 1000": _short(1000),
            "short 500": _short(500),
            "printed 500": _cut(500),
        },
        _short(1000).recipe,
        (16, 8, 4),
        _short(2000),
        100,
        queries=1000,
    ),
    "paper": Setting(
        "mnist",
        1,
        2000,
        100,
        {
            "rising 6000": _rising(6000),
            "rising 3000": _rising(3000),
            "rising 1000": _rising(1000),
            "constant 1000": replace(_rising(1000), rise=0.0),
        },
        _short(2000).recipe,
        (),
        _rising(1000),
        100,
        sources="rising 3000",
    ),
}


PAPERS_OWN = Setting(
    "mnist",
    1,
    10_000,
    10_000,
    {"printed 100000": PRINTED},
    Recipe(100_000, 50, 1e-4),
    (16, 8, 4, 2, 1),
    PRINTED,
    10_000,
    auto=True,
)
"""The settings with the paper's training and all test images."""


def attacks(own: Setting) -> dict[str, Attack]:
    """Return by name the attacks of Table 1, and stronger attacks that are not in the paper.

    ``cw`` and ``cw-plus`` are PGD on the margin of the logits. ``cw`` stops moving an image once it
    is misclassified, and ``cw-plus`` continues. The paper does not state the step size of PGD with
    100 steps, so we use that of PGD with 40 steps.
    """
    eps = own.eps
    pgd40 = Attack("pgd", eps, clip=True, steps=40, step_size=eps / 30)
    long = replace(pgd40, steps=own.long)
    auto = Attack("autoattack", eps, steps=own.long, queries=own.queries)
    return {
        "clean": Attack("none", eps),
        "fgsm": Attack("fgsm", eps, clip=True),
        "pgd-40": pgd40,
        "pgd-100": long,
        "pgd-40-restarts": replace(pgd40, restarts=own.restarts),
        "pgd-100-restarts": replace(long, restarts=own.restarts),
        "cw": replace(pgd40, loss="hinge"),
        "cw-plus": replace(pgd40, loss="margin"),
        "margin-100-restarts": replace(long, loss="margin", restarts=own.restarts),
        "square": Attack("square", eps, queries=own.queries),
        **({"autoattack": auto} if own.auto else {}),
    }


MANY = ("pgd-40-restarts", "pgd-100-restarts", "margin-100-restarts", "square", "autoattack")
"""The attacks that are run on only ``many`` test images (see `Setting`), because they take long."""
WHITE_BOX = {
    "fgsm": "fgsm",
    "pgd-40": "pgd-40-1",
    "pgd-100": "pgd-100-1",
    "pgd-40-restarts": "pgd-40-20",
    "pgd-100-restarts": "pgd-100-20",
    "targeted": "targeted-40",
    "cw": "cw-40",
    "cw-plus": "cw-plus-40",
}
"""For each white-box attack on network A, its name in the ids of the paper's numbers."""
COPY = {
    "fgsm": "copy-fgsm",
    "pgd-40": "copy-pgd-40",
    "pgd-100-restarts": "copy-pgd-100-20",
    "cw": "copy-cw",
    "cw-plus": "copy-cw-plus",
}
OTHER = {"fgsm": "b-fgsm", "pgd-40": "b-pgd-40", "cw-plus": "b-cw-plus"}
SWEPT = ("clean", "fgsm", "pgd-40")
"""The attacks in the experiment on network capacity."""
COPY_SEED = 1000
"""The independent copy A' is trained with the seed of A plus this number."""


def network(
    own: Setting, schedule: Schedule, seed: int, name: Networks = "madry", narrow: int = 0
) -> Call:
    """Return the job that trains a network on adversarial images of PGD."""
    defense = pgd_training(own.eps, schedule.inner, schedule.step_size, schedule.rise)
    return train(Model(own.data, name, narrow or own.narrow), defense, schedule.recipe, seed)


def calls(p: Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the jobs that the study runs, as a dict whose keys begin with the name of the
    experiment and end with the seed.
    """
    own = p.setting()
    kinds = attacks(own)
    (_, main), *others = own.schedules.items()
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        a = network(own, main, seed)
        natural = train(Model(own.data, "madry", own.narrow), PLAIN, own.natural, seed)
        shared = own.schedules[own.sources] if own.sources else main
        sources = {
            "copy": (network(own, shared, seed + COPY_SEED), COPY),
            "other": (network(own, shared, seed, "tramer-b", min(own.narrow, 8)), OTHER),
        }
        for name, attack in kinds.items():
            images = own.many if name in MANY else own.images
            found["white", name, seed] = attacked(a, attack, images, seed)
            for source, (net, shown) in sources.items():
                if name in shown:
                    found[source, name, seed] = attacked(a, attack, images, seed, net)
        found["white", "targeted", seed] = targeted(a, own.eps, own.images, seed)
        for name in SWEPT:
            found["natural", name, seed] = attacked(natural, kinds[name], own.images, seed)
        for label, net in (("adversarial", a), ("natural", natural)):
            found["starts", label, seed] = losses(net, own.eps, own.starting, own.starts, seed)
        for label, schedule in others:
            net = network(own, schedule, seed)
            for name in ("clean", "pgd-40"):
                found["schedule", label, name, seed] = attacked(net, kinds[name], own.images, seed)
        for narrow in own.widths:
            model = Model(own.data, "madry", narrow)
            recipe = own.capacity.recipe
            trainings = {
                "natural": train(model, PLAIN, recipe, seed),
                "fgsm": train(model, fgsm_training(own.eps), recipe, seed),
                "pgd": network(own, own.capacity, seed, narrow=narrow),
            }
            for label, net in trainings.items():
                for name in SWEPT:
                    found["capacity", narrow, label, name, seed] = attacked(
                        net, kinds[name], own.images, seed
                    )
    return found


@step(version=1)
def targeted(
    network: Done, eps: float, images: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Attack test images by targeted PGD with 40 steps.

    ``right``: which test images are classified correctly under the attack.

    The paper does not say how it chooses target classes; here they are drawn uniformly from the
    wrong classes.
    """
    net, x, y = evaluated(network, images, context.device)
    shift = torch.randint(1, 10, (len(y),), generator=generator(seed, "targets")).to(y.device)
    made = [
        pgd(
            net,
            x[rows],
            y[rows],
            eps=eps,
            steps=40,
            step_size=eps / 30,
            targets=(y[rows] + shift[rows]) % 10,
            keys=rows,
            generator=generator(seed, "targeted"),
        ).images
        for rows in torch.split(torch.arange(len(x), device=y.device), 250)
    ]
    return {"right": (logits_of(net, torch.cat(made)).argmax(1) == y).cpu()}


def condense(p: Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the accuracies of Table 1, the accuracies for each training
    schedule and width, and the losses that PGD reaches from random starts.
    """
    own = p.setting()
    rows: list[Row] = []
    arrays: dict[str, Any] = {}
    for seed in p.seeds:
        of = {key[:-1]: done for key, done in results.items() if key[-1] == seed}
        rows += _table(of, seed)
        rows += _sweeps(own, of, seed)
        rows.append(_strongest(of, seed))
        if seed == p.seeds[0]:
            for label in ("adversarial", "natural"):
                arrays[f"losses/{label}"] = of["starts", label].tensors["loss"].tolist()
    if p.profile == "paper" and p.schedule == "short":
        rows = shorter(own, rows)
    return p.record(PAPER, ITEM, rows, arrays)


CLEAN = {
    f"{PAPER}/madry-table-1/": ("natural/accuracy", 98.8),
    f"{PAPER}/madry-mnist/": ("naturally-trained/accuracy", 99.2),
}
"""The beginning of the ids of the paper's numbers for each network; the rest of the id, and the
value, of its printed accuracy on clean images.
"""


def shorter(own: Setting, rows: Sequence[Row]) -> list[Row]:
    """Return the rows, and say in each how our training differs from the paper's, if the network
    does not reach the paper's accuracy on clean images (see `shortened.reaches`). Transfer attacks
    always differ, because A' and B have an even shorter training, and are not tested themselves.
    """
    main, steps = next(iter(own.schedules.values())), PRINTED.recipe.steps
    sources = own.schedules[own.sources].recipe.steps
    transfer = (
        f"our training of A has {main.recipe.steps:,} steps and that of the network that the "
        f"attack uses {sources:,}, the paper's has {steps:,}"
    )
    adversarial, natural = CLEAN
    texts = {
        adversarial: f"our training has {main.recipe.steps:,} steps with {main.inner} PGD steps "
        f"each, the paper's has {steps:,} with {PRINTED.inner}",
        natural: f"our training on clean images has {own.natural.steps:,} steps, the paper's "
        f"schedule has {steps:,}",
    }
    clean = {(row.target, row.seed): row.value for row in rows}

    def differs(row: Row) -> str:
        if row.setting.get("source") in ("copy", "other"):
            return transfer
        for start, (end, printed) in CLEAN.items():
            if (row.target or "").startswith(start):
                return "" if reaches(clean[start + end, row.seed], printed) else texts[start]
        return ""

    return [replace(row, differs=differs(row)) for row in rows]


def _row(
    done: Sequence[Done], seed: int, target: str | None, **labels: str | float | int | bool
) -> Row:
    """Return the accuracy under several attacks together: an image counts as correct only if every
    attack fails on it.
    """
    return share_row(worst(done), target, "accuracy", seed, setting=labels)


def _table(of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the accuracies of Table 1, and those of a network that is trained on clean images."""
    for key, done in of.items():
        part, name = key[0], key[1]
        target = None
        if part == "white" and name == "clean":
            target = "madry-table-1/natural/accuracy"
        elif part == "white" and name in WHITE_BOX:
            target = f"madry-table-1/white-box/{WHITE_BOX[name]}-accuracy"
        elif part == "copy":
            target = f"madry-table-1/black-box/{COPY[name]}-accuracy"
        elif part == "other":
            target = f"madry-table-1/black-box/{OTHER[name]}-accuracy"
        elif part == "natural" and name in ("clean", "fgsm"):
            word = "accuracy" if name == "clean" else "fgsm-accuracy"
            target = f"madry-mnist/naturally-trained/{word}"
        if part in ("white", "copy", "other", "natural"):
            target = target and f"{PAPER}/{target}"
            yield _row([done], seed, target, source=part, attack=name)


def _strongest(of: Mapping[tuple[Any, ...], Done], seed: int) -> Row:
    """Return the accuracy of network A under all strong attacks together."""
    strong = [of["white", name] for name in MANY if ("white", name) in of]
    return _row(strong, seed, None, source="white", attack="worst")


def _sweeps(own: Setting, of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the accuracies for each training schedule, and for each width in the experiment on
    network capacity.
    """
    first, *_ = own.schedules
    every = {
        **{("schedule", first, name): of["white", name] for name in ("clean", "pgd-40")},
        **{key: done for key, done in of.items() if key[0] == "schedule"},
    }
    for (_, label, name), done in every.items():
        schedule = own.schedules[label]
        yield _row(
            [done],
            seed,
            None,
            schedule=label.split()[0],
            steps=schedule.recipe.steps,
            attack=name,
        )
    for key, done in of.items():
        if key[0] == "capacity":
            _, narrow, training, name = key
            yield _row([done], seed, None, units=1024 // narrow, training=training, attack=name)
