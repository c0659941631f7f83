"""The settings that several pages of Nayebi & Ganguli 2017 share, by profile.

The settings say which networks are trained and how, how many test images are attacked, and by which
attacks. ``quick``: digits of 28 x 28 pixels, and trainings that take seconds. ``paper``: MNIST;
lambda rises once per epoch.
"""

from dataclasses import replace

from robustbook.measures import Attack
from robustbook.networks import Name
from robustbook.training import Recipe

from .networks import Anneal, Method, Training

MLPS: tuple[Name, ...] = ("sigmoid-mlp", "relu-mlp")
NETWORKS: tuple[Name, ...] = (*MLPS, "cnn")
METHODS: tuple[Method, ...] = ("vanilla", "adversarial", "saturated")
COMPARED: tuple[Method, ...] = ("vanilla", "saturated")
"""The trainings that the figures compare."""
MAIN = "float32"
"""The attack variant of Table 1 on which the verdicts are based."""
Networks = dict[tuple[str, Method], Training]

EPOCH = {"quick": 21, "paper": 937}  # optimiser steps on batches of 64
TEST = {"quick": 400, "paper": 10_000}  # test images
CONTROLS = {"quick": 100, "paper": 10_000}


def mlps(profile: str) -> Networks:
    """Return the six fully connected networks."""
    epoch, paper = EPOCH[profile], profile == "paper"
    data, width = ("mnist", 200) if paper else ("digits", 200)
    plain = 5 * epoch if paper else 300
    usual = Recipe(steps=10 * epoch if paper else 600, batch_size=64, lr=1e-3)
    # Section 4: lambda rises to 1.74 by 0.001 (sigmoid), and to 3.99e-8 by 1e-10 (ReLU).
    sigmoid = Anneal(plain, 0.001, 1740, epoch if paper else 2)
    relu = Anneal(plain, 1e-10, 399, epoch if paper else 2)
    networks: Networks = {}
    for name in MLPS:
        vanilla = Training(data, name, width, "xavier", "vanilla", usual)
        networks[name, "vanilla"] = vanilla
        networks[name, "adversarial"] = replace(vanilla, method="adversarial")
    networks["sigmoid-mlp", "saturated"] = Training(
        data, "sigmoid-mlp", width, "normal", "saturated", Recipe(sigmoid.steps, 64, 3e-3), sigmoid
    )
    networks["relu-mlp", "saturated"] = Training(
        data, "relu-mlp", width, "xavier", "saturated", Recipe(relu.steps, 64, 1e-3), relu
    )
    return networks


def cnns(profile: str) -> Networks:
    """Return the three convolutional networks.

    In the saturated CNN lambda rises once, to 1e-5, after two epochs.
    """
    epoch, data = (600, "mnist") if profile == "paper" else (20, "digits")
    anneal = Anneal(plain=2 * epoch, rise=1e-5, rises=1, every=3 * epoch)

    def of(method: Method, steps: int, schedule: Anneal | None = None) -> Training:
        batch = 100 if profile == "paper" else 50
        recipe = Recipe(steps=steps, batch_size=batch, lr=1e-3, schedule="linear")
        return Training(data, "cnn", 0, "truncated", method, recipe, schedule)

    return {
        ("cnn", "vanilla"): of("vanilla", 4 * epoch),
        ("cnn", "adversarial"): of("adversarial", 3 * epoch),
        ("cnn", "saturated"): of("saturated", anneal.steps, anneal),
    }


def saturated_sigmoid(profile: str, every: int, *, lr: float = 3e-3, times: int = 1) -> Training:
    """Return the saturated sigmoid network of Table 1 with another schedule of lambda.

    lambda rises once in ``every`` optimiser steps, and its final value is multiplied by ``times``.
    """
    base = mlps(profile)["sigmoid-mlp", "saturated"]
    assert base.anneal is not None
    anneal = Anneal(base.anneal.plain, 0.001 * times, 1740, every)
    return replace(base, anneal=anneal, recipe=Recipe(anneal.steps, 64, lr))


def saturated_relu(profile: str, scale: float) -> Training:
    """Return the saturated ReLU network with every lambda multiplied by ``scale``.

    lambda rises once in 10 optimiser steps (quick: 1).
    """
    base = mlps(profile)["relu-mlp", "saturated"]
    assert base.anneal is not None
    every = 10 if profile == "paper" else 1
    anneal = Anneal(base.anneal.plain, 1e-10 * scale, 399, every)
    return replace(base, anneal=anneal, recipe=Recipe(anneal.steps, 64, 1e-3))


LONGEST = {"sigmoid-mlp": 100, "relu-mlp": 404}  # epochs, the longest training in Table 1's search


def compared(profile: str, seed: int) -> dict[tuple[str, str], Training]:
    """Return the four networks of Figures 1, 2, 3 and 7, and with seed 0 three more networks for
    comparison.

    The keys are (network, method). The networks for comparison are two vanilla networks that train
    for longer, and a ReLU network with a penalty 100,000 times as large.
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
    """Return all attacks of the page of Table 1, by name; PGD and transfer are clipped to
    [0, 1].
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
