"""Table 1 of Madry et al. 2018 (arXiv 1706.06083): adversarial training with PGD on MNIST.

Network A is trained on the adversarial images of PGD. A is attacked with its own gradients, with
the gradients of A', an independent copy, and with those of B, another architecture. B is trained
like A. The study also shows how accuracy depends on the length of the training and on the network's
width, and the losses that PGD reaches from many random starts.

``paper``: the printed schedule of 100,000 steps with PGD of 40 steps each, which needs a GPU.
``reduced``: MNIST with a quarter of the widths, fewer steps, and 5 larger PGD steps in training.
``quick``: embedded digits with a sixteenth of the widths and a third of the radius.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from robustbook.attacks import pgd
from robustbook.ledger import Record, Row
from robustbook.measures import Attack, logits_of
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, step
from robustbook.training import Recipe

from . import settings
from .attack import attacked, fixed, losses, percent, test_images, worst
from .networks import PLAIN, Model, Networks, fgsm_training, pgd_training, train, trained
from .settings import PAPER

ITEM = "madry"
Parameters = settings.Parameters


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: PGD's ``inner`` steps per training step, and the recipe."""

    inner: int
    step_size: float
    recipe: Recipe


@dataclass(frozen=True)
class Setting:
    """The settings of the study at one profile.

    ``eps``: the radius. The step size of the attacks is a thirtieth of it.
    ``narrow``: the divisor of the widths.
    ``images``: the number of test images.
    ``many``: the number of test images for the attacks with 20 restarts.
    ``schedules``: the schedules by name. The first one trains the networks of the table.
    ``natural``: the recipe of training without an attack.
    ``widths``: the divisors of the widths of the capacity sweep.
    ``starts``: the number of random starts for each image in the figure of the losses.
    ``starting``: the number of images in this figure.
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


def _short(steps: int) -> Schedule:
    """Return a short schedule: 5 large PGD steps, batches of 100, and a larger learning rate that
    falls to 0.
    """
    recipe = Recipe(steps, 100, 1e-3, schedule="linear", warmup=0.1, channels_last=True)
    return Schedule(5, 0.1, recipe)


PRINTED = Schedule(40, 0.01, Recipe(100_000, 50, 1e-4))
"""The schedule of the released code."""


def _cut(steps: int) -> Schedule:
    return replace(PRINTED, recipe=replace(PRINTED.recipe, steps=steps))


QUICK = Schedule(3, 0.05, Recipe(120, 50, 5e-3, schedule="linear", warmup=0.1))

SETTINGS: Mapping[str, Setting] = {
    "quick": Setting(
        "digits",
        16,
        50,
        30,
        {"short": QUICK},
        QUICK.recipe,
        (16,),
        QUICK,
        20,
        3,
        eps=0.1,
        restarts=2,
        long=50,
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
    ),
    "paper": Setting(
        "mnist",
        1,
        10_000,
        10_000,
        {"printed 100000": PRINTED},
        Recipe(100_000, 50, 1e-4),
        (16, 8, 4, 2, 1),
        PRINTED,
        10_000,
    ),
}


def attacks(own: Setting) -> dict[str, Attack]:
    """Return the attacks of Table 1 by name, and those of our strongest evaluation.

    ``cw`` is PGD on the margin, which stops at success. ``cw-plus`` continues after success. The
    paper does not state the step size of PGD with 100 steps, so we use that of 40 steps.
    """
    eps = own.eps
    pgd40 = Attack("pgd", eps, clip=True, steps=40, step_size=eps / 30)
    long = replace(pgd40, steps=own.long)
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
        "square": Attack("square", eps, queries=1000 if own.narrow > 1 else 5000),
    }


MANY = ("pgd-40-restarts", "pgd-100-restarts", "margin-100-restarts", "square")
"""The attacks that are run on fewer images."""
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
"""The name in the target's id of each attack on network A itself."""
COPY = {
    "fgsm": "copy-fgsm",
    "pgd-40": "copy-pgd-40",
    "pgd-100-restarts": "copy-pgd-100-20",
    "cw": "copy-cw",
    "cw-plus": "copy-cw-plus",
}
OTHER = {"fgsm": "b-fgsm", "pgd-40": "b-pgd-40", "cw-plus": "b-cw-plus"}
SWEPT = ("clean", "fgsm", "pgd-40")
"""The attacks of the capacity sweep."""
COPY_SEED = 1000
"""What is added to the seed for the independent copy A'."""


def network(
    own: Setting, schedule: Schedule, seed: int, name: Networks = "madry", narrow: int = 0
) -> Call:
    """Return the call that trains a network with PGD."""
    defense = pgd_training(own.eps, schedule.inner, schedule.step_size)
    return train(Model(own.data, name, narrow or own.narrow), defense, schedule.recipe, seed)


def calls(p: settings.Parameters) -> dict[tuple[Any, ...], Call]:
    """Return the computations of the study; the key begins with the part of the study."""
    assert p.seeds is not None
    own = SETTINGS[p.profile]
    kinds = attacks(own)
    (_, main), *others = own.schedules.items()
    found: dict[tuple[Any, ...], Call] = {}
    for seed in p.seeds:
        a = network(own, main, seed)
        natural = train(Model(own.data, "madry", own.narrow), PLAIN, own.natural, seed)
        sources = {
            "copy": (network(own, main, seed + COPY_SEED), COPY),
            "other": (network(own, main, seed, "tramer-b", min(own.narrow, 8)), OTHER),
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
    """Return ``right``: which test images are classified correctly under targeted PGD of 40 steps.

    The paper does not say how it chooses targets. Here the target of an image is a wrong class,
    drawn uniformly.
    """
    net = fixed(trained(network, context.device))
    x, y = test_images(network, images, context.device)
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
    context.progress(1, 1)
    return {"right": (logits_of(net, torch.cat(made)).argmax(1) == y).cpu()}


def condense(p: settings.Parameters, results: Mapping[tuple[Any, ...], Done]) -> Record:
    """Return the study's results: the rows of Table 1, the sweeps, and the losses of the random
    starts.
    """
    assert p.seeds is not None
    own = SETTINGS[p.profile]
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
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows), arrays)


def _row(
    done: Sequence[Done], seed: int, target: str | None, **labels: str | float | int | bool
) -> Row:
    """Return a row with the accuracy under the worst of the attacks for each image."""
    right = worst(done)
    return Row(percent(right), "percent", target, "accuracy", seed, len(right), setting=labels)


def _table(of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the rows of Table 1, and those of the network trained without attacks."""
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
    """Return the accuracy of network A under the worst of the strong attacks."""
    return _row([of["white", name] for name in MANY], seed, None, source="white", attack="worst")


def _sweeps(own: Setting, of: Mapping[tuple[Any, ...], Done], seed: int) -> Iterator[Row]:
    """Yield the rows of the schedules and of the capacity sweep."""
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
