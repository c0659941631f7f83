"""Define the settings that several studies of Nayebi & Ganguli 2017 share: how the networks are
trained, how many test images are attacked, and by which attacks.

A profile selects the size of the experiments:

``quick``: scikit-learn's digits, resized to 28 x 28 pixels, and trainings that take seconds.
``paper``: MNIST; the weight lambda of the penalty rises once per epoch.
"""

from dataclasses import replace

from robustbook.measures import Attack
from robustbook.networks import Name
from robustbook.training import Recipe

from .networks import Anneal, Method, Training
from .sizes import ANNEALS, EPOCH, EPOCHS, LONGEST, STRONGER

MLPS: tuple[Name, ...] = ("sigmoid-mlp", "relu-mlp")
NETWORKS: tuple[Name, ...] = (*MLPS, "cnn")
METHODS: tuple[Method, ...] = ("vanilla", "adversarial", "saturated")
COMPARED: tuple[Method, ...] = ("vanilla", "saturated")
"""The two ways of training that the figures compare."""
MAIN = "float32"
"""The name of the variant of FGSM whose accuracies are compared with the paper's Table 1."""
Networks = dict[tuple[str, Method], Training]

BATCH = {"quick": 32, "paper": 64}  # batch size of the fully connected networks
TEST = {"quick": 400, "paper": 10_000}  # number of test images
CONTROLS = {"quick": 40, "paper": 10_000}


def mlps(profile: str) -> Networks:
    """Return the training settings of the six fully connected networks."""
    batch, paper = BATCH[profile], profile == "paper"
    data, width = "mnist" if paper else "digits", 200
    lr = 1e-3 if paper else 3e-3
    usual = Recipe(EPOCHS[profile] * EPOCH[profile], batch, lr)
    sigmoid, relu = (Anneal(*ANNEALS[profile][name]) for name in MLPS)
    networks: Networks = {}
    for name in MLPS:
        vanilla = Training(data, name, width, "xavier", "vanilla", usual)
        networks[name, "vanilla"] = vanilla
        networks[name, "adversarial"] = replace(vanilla, method="adversarial")
    networks["sigmoid-mlp", "saturated"] = Training(
        data,
        "sigmoid-mlp",
        width,
        "normal",
        "saturated",
        Recipe(sigmoid.steps, batch, 3e-3 if paper else 1e-2),
        sigmoid,
    )
    networks["relu-mlp", "saturated"] = Training(
        data, "relu-mlp", width, "xavier", "saturated", Recipe(relu.steps, batch, lr), relu
    )
    return networks


def cnns(profile: str) -> Networks:
    """Return the training settings of the three convolutional networks.

    For the saturated CNN, the penalty's weight lambda is 0 in the first two epochs, then 1e-5.
    """
    paper = profile == "paper"
    epoch, data, width = (600, "mnist", 0) if paper else (30, "digits", 256)
    anneal = Anneal(plain=2 * epoch, rise=1e-5, rises=1, every=3 * epoch)

    def of(method: Method, steps: int, schedule: Anneal | None = None) -> Training:
        batch, lr = (100, 1e-3) if paper else (32, 2e-3)
        recipe = Recipe(steps=steps, batch_size=batch, lr=lr, schedule="linear")
        return Training(data, "cnn", width, "truncated", method, recipe, schedule)

    return {
        ("cnn", "vanilla"): of("vanilla", 4 * epoch),
        ("cnn", "adversarial"): of("adversarial", 3 * epoch),
        ("cnn", "saturated"): of("saturated", anneal.steps, anneal),
    }


def saturated_sigmoid(
    profile: str, every: int, *, lr: float | None = None, times: int = 1
) -> Training:
    """Return the training settings of Table 1's saturated sigmoid network with another schedule of
    the penalty's weight lambda.

    Lambda rises once in ``every`` optimiser steps, to ``times`` its final value in Table 1. The
    learning rate is ``lr``, or that of Table 1 with None.
    """
    base = mlps(profile)["sigmoid-mlp", "saturated"]
    assert base.anneal is not None
    anneal = replace(base.anneal, rise=base.anneal.rise * times, every=every)
    recipe = replace(base.recipe, steps=anneal.steps, lr=lr or base.recipe.lr)
    return replace(base, anneal=anneal, recipe=recipe)


def saturated_relu(profile: str, scale: float) -> Training:
    """Return the training settings of the saturated ReLU network, with the penalty's weight lambda
    multiplied by ``scale``.

    Lambda rises once in 10 optimiser steps, or with profile ``quick`` in every step.
    """
    base = mlps(profile)["relu-mlp", "saturated"]
    assert base.anneal is not None
    anneal = replace(base.anneal, rise=base.anneal.rise * scale, every=STRONGER[profile])
    return replace(base, anneal=anneal, recipe=replace(base.recipe, steps=anneal.steps))


def compared(profile: str, seed: int) -> dict[tuple[str, str], Training]:
    """Return the training settings of the four networks of Figures 1, 2, 3 and 7, as a dict with
    keys (network, method).

    With seed 0, three networks are added for comparison: the two vanilla networks trained with more
    optimiser steps, and a saturated ReLU network with 100,000 times the usual penalty.
    """
    nets = mlps(profile)
    found: dict[tuple[str, str], Training] = {
        (network, method): nets[network, method] for network in MLPS for method in COMPARED
    }
    if seed == 0:
        for network, epochs in LONGEST.items():
            vanilla, saturated = nets[network, "vanilla"], nets[network, "saturated"]
            steps = min(saturated.recipe.steps, epochs * EPOCH[profile])
            longer = replace(vanilla, recipe=replace(vanilla.recipe, steps=steps))
            found[network, "vanilla, longer"] = longer
        found["relu-mlp", "saturated, stronger"] = saturated_relu(profile, 1e5)
    return found


def readings(eps: float) -> dict[str, Attack]:
    """Return the attacks of the study of Table 1, by name.

    PGD clips images to [0, 1]. Every other attack occurs twice: without clipping, and with clipping
    under a name that ends in "clipped".
    """
    fgsm = Attack("fgsm", eps)
    pgd = Attack("pgd", eps, clip=True, steps=20, step_size=eps / 4)
    plain = {
        MAIN: fgsm,
        "flushed": replace(fgsm, flush=True),
        "float64": replace(fgsm, precision="float64"),
        "rescaled": replace(fgsm, rescale=True),
        "probabilities": replace(fgsm, loss="clipped_probabilities"),
        "squared": replace(fgsm, loss="squared_error"),
        "margin": replace(fgsm, loss="margin"),
        "signs": Attack("random-signs", eps),
    }
    clipped = {f"{name}, clipped": replace(attack, clip=True) for name, attack in plain.items()}
    return {
        **plain,
        **clipped,
        "pgd": pgd,
        "pgd margin": replace(pgd, loss="margin"),
        "pgd softened": replace(pgd, loss="margin", slope=10.0),
    }
