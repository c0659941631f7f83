"""Compute what the page on randomised defenses shows: attacks on a network with noise layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from robustbook.attacks import fgsm, pgd
from robustbook.chapters.wording import from_to
from robustbook.defenses import Noisy, ensemble
from robustbook.figures import BRIGHT, MISSING, Curve, Look, Panel, Table, lines, table

from .networks import accuracy, apart, digits, in_order, network

EPS = 0.1
COUNT = 120
STEPS = 10
AVERAGED = (1, 4, 16)
"""The numbers of noise draws over which attacks average each gradient."""
JUDGES = 20
"""The number of new noise draws whose average prediction decides whether an image is classified
correctly.
"""
FRESH = 2**40
"""Noise draws are numbered. Evaluations use draws from this number on. The attacks use smaller
numbers, and also this draw, but only for their own verdict, which we do not use.
"""
FGSM, PGD, OFF = "FGSM", f"PGD, {STEPS} steps", "PGD, gradient without noise"
LOOKS = {FGSM: Look(BRIGHT["blue"], "o", "-"), PGD: Look(BRIGHT["red"], "s", "--")}


@dataclass(frozen=True)
class Judged:
    """Which attacked images a randomised network classifies correctly, in three evaluations with
    different noise draws.

    ``own``: which images are classified correctly with the first noise draw that the attack used.
    ``single``: which images are classified correctly with each of `JUDGES` new noise draws.
    ``many``: which images are classified correctly with the average over `JUDGES` new noise draws.
    """

    own: Bool[Tensor, " n"]
    single: Bool[Tensor, "draws n"]
    many: Bool[Tensor, " n"]


@dataclass(frozen=True)
class Study:
    """The data of the page: the network, the test images, the probabilities of the true class, and
    the results of the attacks.

    ``probabilities``: the probability of the true class, for 50 noise draws on each test image.
    ``attacked``: for each attack, which attacked images are classified correctly. A key is the
        attack's name and the number of noise draws over which the attack averages its gradients.
    """

    net: Noisy
    images: Float[Tensor, "n 1 28 28"]
    labels: Int[Tensor, " n"]
    probabilities: Float[Tensor, "draws n"]
    attacked: Mapping[tuple[str, int], Judged]


def study() -> Study:
    """Load the network with noise, compute its predictions with 50 noise draws, and run the
    attacks.
    """
    net = network("noisy")
    assert isinstance(net, Noisy)
    images, labels = digits(COUNT)
    keys = torch.arange(len(images))
    options = {"steps": STEPS, "step_size": EPS / 4, "random_start": False}
    attacked = {("none", 0): judged(net, images, images, labels)}
    for draws in AVERAGED:
        step = fgsm(net, images, labels, eps=EPS, draws=draws).images
        climb = pgd(net, images, labels, eps=EPS, draws=draws, **options).images  # type: ignore[arg-type]
        attacked[FGSM, draws] = judged(net, step, images, labels)
        attacked[PGD, draws] = judged(net, climb, images, labels)
    net.when = "never"
    still = pgd(net, images, labels, eps=EPS, **options).images  # type: ignore[arg-type]
    net.when = "always"
    attacked[OFF, 0] = judged(net, still, images, labels)
    with torch.no_grad():
        asked = [net.at(keys, FRESH + j)(images).softmax(1) for j in range(50)]
    own = torch.stack([each.gather(1, labels[:, None]).squeeze(1) for each in asked])
    return Study(net, images, labels, own, attacked)


@torch.no_grad()
def judged(
    net: Noisy,
    moved: Float[Tensor, "n 1 28 28"],
    images: Float[Tensor, "n 1 28 28"],
    labels: Int[Tensor, " n"],
) -> Judged:
    """Classify attacked images in three ways: with the first noise draw of the attack, with each of
    `JUDGES` new noise draws, and with the average over these new noise draws.
    """
    keys = torch.arange(len(images))
    new = [net.at(keys, FRESH + j)(moved).argmax(1) == labels for j in range(JUDGES)]
    return Judged(
        own=net.at(keys, 0)(moved).argmax(1) == labels,
        single=torch.stack(new),
        many=ensemble(net, moved, keys, draws=JUDGES, start=FRESH).argmax(1) == labels,
    )


def answer(shown: Study) -> str:
    """Return a sentence that states the accuracy under FGSM with one noise draw, and under PGD with
    averaged gradients.
    """
    weak, strong = (accuracy(shown.attacked[key].many) for key in ((FGSM, 1), (PGD, AVERAGED[-1])))
    return (
        "**Answer.** The attack takes many steps and averages gradients over draws of the noise, "
        f"which together lower the accuracy from {weak:.0f} to {strong:.0f} %; new draws decide "
        "whether it succeeded."
    )


def each_attack(shown: Study) -> str:
    """Return sentences that state how many images are classified correctly after FGSM and after
    PGD, each with one noise draw and with averaged gradients. For FGSM with one draw, they also
    state the number if the image is classified with the attack's own draw, and the mean and the
    range of this number over single new draws.
    """
    most = AVERAGED[-1]
    one = shown.attacked[FGSM, 1]
    step, averaged, climb, both = (
        int(shown.attacked[key].many.sum())
        for key in ((FGSM, 1), (FGSM, most), (PGD, 1), (PGD, most))
    )
    own, new = int(one.own.sum()), one.single.sum(1).double()
    return (
        f"Of {len(shown.labels)} test images, {step} are classified "
        f"correctly after FGSM with one draw at eps {EPS:g}. Averaging the gradient over {most} "
        f"draws lowers this number to {averaged}, taking {STEPS} steps of PGD to {climb}, and both "
        f"together to {both}. We decide with new draws whether an attack succeeded. After FGSM "
        f"with one draw, {own} images are classified correctly with the attack's own draw. With a "
        f"single new draw it is {new.mean():.0f} on average (range over {JUDGES} new draws: "
        f"{from_to(new.tolist(), '.0f')}; one network)."
    )


def compared(shown: Study) -> str:
    """Return sentences that say on how many images the results of attacks differ. They also say by
    how many images the number of correct images changes if new noise draws replace the attack's own
    draw.
    """
    most = AVERAGED[-1]
    best = shown.attacked[PGD, most].many
    lost, won = apart(shown.attacked[FGSM, 1].many, best)
    rest = {key: of for key, of in shown.attacked.items() if key[0] in LOOKS and key != (FGSM, 1)}
    others = [apart(of.many, best) for of in rest.values()]
    gaps = [abs(int(of.own.sum()) - float(of.single.sum()) / JUDGES) for of in rest.values()]
    ranked = "" if any(map(in_order, others)) else ", too few to rank the attacks"
    return (
        f"PGD with {most} draws succeeds and FGSM with one draw fails on {lost} of the images, and "
        f"the reverse on {won}. Each other attack in the figure gives a different result "
        f"from PGD with {most} draws on at most {max(map(sum, others))} of them{ranked}. For each "
        "of these other attacks, the number of correct images with its own draw differs from the "
        f"mean over {JUDGES} single new draws by less than {int(max(gaps)) + 1}."
    )


def draws(shown: Study) -> Figure:
    """Draw two panels about noise draws. The first panel shows the probability of one image's true
    class for each draw. The second panel shows the accuracy under attack against the number of
    draws per gradient.
    """
    image = int(shown.probabilities.std(0).argmax())
    own = shown.probabilities[:, image].double().numpy()
    count = np.arange(1.0, len(own) + 1)
    left = Panel(
        "One image",
        "draw",
        "probability of the true class",
        {
            "one draw": Curve(count.tolist(), [own.tolist()], Look(BRIGHT["grey"], "o", " ")),
            "average up to here": Curve(
                count.tolist(), [(own.cumsum() / count).tolist()], Look(BRIGHT["green"], "", "-")
            ),
        },
        {},
    )
    right = Panel(
        f"All images, eps {EPS:g}",
        "draws averaged in each gradient",
        "classified correctly (%)",
        {
            name: Curve(
                [float(m) for m in AVERAGED],
                [[accuracy(shown.attacked[name, m].many) for m in AVERAGED]],
                LOOKS[name],
            )
            for name in LOOKS
        },
        {OFF: accuracy(shown.attacked[OFF, 0].many)},
        log=True,
        ticks=[float(m) for m in AVERAGED],
    )
    return lines([left, right], height=2.9)


def judges(shown: Study) -> Table:
    """Return a table of the accuracy after each attack, with a column for each of the three
    evaluations in `Judged`. With single new draws, the accuracy is the mean over the draws. An
    attack that uses no draw has a dash in the first of these columns.
    """
    rows = []
    for (name, averaged), found in shown.attacked.items():
        title = name + (f", {averaged} draws" if averaged > 1 else "")
        title += ", 1 draw" if averaged == 1 else ""
        own, *new = (f"{accuracy(each):.0f}" for each in (found.own, found.single, found.many))
        rows.append([title, own if averaged else MISSING, *new])
    return table(
        f"Accuracy on {COUNT} test images at eps {EPS:g}, in percent. *Own draw*: the network uses "
        "the first draw that the attack has used. *A new draw*: the network uses a single new draw "
        f"(mean of {JUDGES} accuracies). *Average of {JUDGES}*: the predictions are averaged over "
        f"{JUDGES} new draws. A dash: the attack uses no draw.",
        "tab-randomised-judges",
        ["Attack", "Own draw", "A new draw", f"Average of {JUDGES}"],
        rows,
    )
