"""Compute what the page on gradient masking shows: a network that masks its gradients, the
diagnosis of this network, and attacks that succeed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor, nn

from robustbook import figures
from robustbook.figures import BRIGHT, Curve, Look, Panel, Table, table
from robustbook.measures import Attack, battery, diagnose, evidence, survival

from .networks import accuracy, digits, network

EPS = 0.1
COUNT = 100
QUERIES = 300
LOOKS = {
    "plain network": Look(BRIGHT["blue"], "o", "-"),
    "masked network": Look(BRIGHT["red"], "s", "--"),
}
ROWS = {
    "clean": "no attack",
    "one_step": "FGSM",
    "random_signs": "random signs",
    "many_steps": "PGD",
    "repaired": "PGD, repaired",
    "float64": "FGSM, float64",
    "rescaled": "FGSM, rescaled",
    "gradient_free": "Square",
    "transfer": "FGSM, transfer",
    "chance": "a guess",
    "unlimited": "PGD, eps 1",
    "zero_gradients": "zero gradients",
    "changed_answers": "changed answers",
}
"""For each measurement in the result of `evidence`, the label of its row in figures and tables."""
SHORT = {
    "Are gradients exactly zero?": "Are gradients exactly zero?",
    "Does the attack beat random signs?": "Are random signs as strong?",
    "Do many steps beat one?": "Are many steps weaker?",
    "Does repairing the gradient change anything?": "Does a repair help the attack?",
    "Does the accuracy depend on the precision of the gradient?": "Does the precision matter?",
    "Does the accuracy depend on the scale of the logits?": "Does the logit scale matter?",
    "Does an attack without gradients do more harm?": "More harm without gradients?",
    "Do another network's adversarial images do more harm?": "More harm by transfer?",
    "Does a larger budget do less harm?": "Less harm with a larger eps?",
    "Is the accuracy above chance where every pixel may change to any value?": (
        "Better than a guess at eps 1?"
    ),
    "Is the output random?": "Is the output random?",
    "Does the accuracy change when it is measured again?": "Does a second run differ?",
}
"""For each question of `diagnose`, a short name. The answer yes to a short name is a warning."""
ACCURACIES = (
    "clean",
    "one_step",
    "random_signs",
    "many_steps",
    "float64",
    "rescaled",
    "repaired",
    "gradient_free",
    "transfer",
)
"""The measurements that are the rows of the table of attacks."""
GRADIENTS = {
    "Are gradients exactly zero?": ("zero_gradients",),
    "Are random signs as strong?": ("one_step", "random_signs"),
    "Are many steps weaker?": ("one_step", "many_steps"),
    "Does a repair help the attack?": ("many_steps", "repaired"),
    "Does the precision matter?": ("one_step", "float64"),
    "Does the logit scale matter?": ("one_step", "rescaled"),
}
ATTACKS = {
    "More harm without gradients?": ("many_steps", "gradient_free"),
    "More harm by transfer?": ("one_step", "transfer"),
    "Better than a guess at eps 1?": ("chance", "unlimited"),
    "Is the output random?": ("changed_answers",),
}
"""For each question that a panel of a figure asks, the names of the measurements that answer it."""


@dataclass(frozen=True)
class Study:
    """The data of the page: the plain and the masked network, the test images, and for each network
    the measurements that the function `evidence` makes.

    ``survived``: for each network, which images are classified correctly without an attack and
        under every attack in the page's table.
    """

    nets: Mapping[str, nn.Module]
    images: Float[Tensor, "n 1 28 28"]
    labels: Int[Tensor, " n"]
    evidence: Mapping[str, Mapping[str, Any]]
    survived: Mapping[str, Bool[Tensor, " n"]]


def study() -> Study:
    """Load the plain and the masked network, and run the attacks of the function `evidence` on both
    networks. The transfer attack on one network uses adversarial images of the other network.
    """
    nets = {"plain network": network("plain"), "masked network": network("masked")}
    images, labels = digits(COUNT)
    sources = dict(zip(nets, reversed(nets.values()), strict=True))
    found = {
        name: evidence(net, images, labels, EPS, source=sources[name], queries=QUERIES)
        for name, net in nets.items()
    }
    survived = {name: survivors(net, images, labels, sources[name]) for name, net in nets.items()}
    return Study(nets, images, labels, found, survived)


def survivors(
    net: nn.Module,
    images: Float[Tensor, "n 1 28 28"],
    labels: Int[Tensor, " n"],
    source: nn.Module,
) -> Bool[Tensor, " n"]:
    """Return which images a network classifies correctly under every attack in the page's table. An
    image on which one attack succeeds does not count as correct.

    ``source``: the network for which the transfer attack computes its images.
    """
    own: list[tuple[Attack, nn.Module | None]] = [
        (attack, None) for attack in battery(EPS, QUERIES).values()
    ]
    attacks = [*own, (Attack("fgsm", EPS, clip=True), source)]
    correct = [survival(net, images, labels, of, source=at).correct for of, at in attacks]
    return torch.stack(correct).all(0)


def answer(shown: Study) -> str:
    """Return a sentence that states the accuracies of the masked network under PGD and under all
    attacks together.
    """
    seen = shown.evidence["masked network"]["many_steps"]
    left = accuracy(shown.survived["masked network"])
    return (
        f"**Answer.** No: under PGD alone the masked network of this page has an accuracy of "
        f"{seen:.0f} %, but under all attacks of this page together only {left:.0f} %."
    )


def both_networks(shown: Study) -> str:
    """Return sentences that state the accuracies of both networks under PGD and under all attacks
    together.
    """
    plain, masked = shown.evidence.values()
    red = sum(finding.red for finding in diagnose(masked))
    left = {name: accuracy(right) for name, right in shown.survived.items()}
    return (
        f"Under PGD with eps {EPS:g} a plain network has an accuracy of only "
        f"{plain['many_steps']:.0f} %, and the masked network of this page "
        f"{masked['many_steps']:.0f} %. But its gradient is exactly zero on "
        f"{masked['zero_gradients']:.0f} % of the {COUNT} test images, and the diagnosis gives "
        f"{red} warnings. Under all attacks of this page together, it classifies only "
        f"{left['masked network']:.0f} % of the images correctly, and the plain network "
        f"{left['plain network']:.0f} %."
    )


def gradients(shown: Study) -> Figure:
    """Draw a panel for each question about gradients, such as whether many steps of PGD beat one
    step. A panel shows the measurements that answer its question.
    """
    return _panels(shown, GRADIENTS)


def attacks(shown: Study) -> Figure:
    """Draw a panel for each question about attacks other than PGD, and for the question whether the
    network's output is random.
    """
    return _panels(shown, ATTACKS)


def curves(shown: Study) -> Figure:
    """Draw the accuracy under PGD against eps, with a curve for each network. The largest eps is 1,
    at which the attack may set every pixel to any value.
    """
    shapes = {
        name: Curve(list(of["curve"]), [list(of["curve"].values())], LOOKS[name])
        for name, of in shown.evidence.items()
    }
    panel = Panel("PGD", "eps", "classified correctly (%)", shapes, {"guessing": 10.0})
    return figures.lines([panel], columns=1, height=2.6)


def findings(shown: Study) -> Table:
    """Return a table of the questions that diagnose gradient masking. The answer yes warns that the
    accuracy under attack overstates the network's robustness.
    """
    found = [diagnose(each) for each in shown.evidence.values()]
    marks = {True: "**yes**", False: "no"}
    return table(
        "The answers of the diagnosis for both networks. A *yes* warns that the accuracy under "
        "attack may overstate the robustness of the network.",
        "tab-gradient-masking-findings",
        ["Question", "Plain", "Masked"],
        [
            [SHORT[own.question], marks[own.red], marks[other.red]]
            for own, other in zip(*found, strict=True)
        ],
        align="lll",
    )


def broken(shown: Study) -> Table:
    """Return a table of the accuracy of the plain and the masked network under each attack."""
    return table(
        f"Accuracy on {COUNT} test images under each attack with eps {EPS:g}, in percent. *All "
        "together*: an image counts as correct only if every attack fails. This accuracy is the "
        "lowest upper bound on the robust accuracy that these attacks give.",
        "tab-gradient-masking-attacks",
        ["Attack", "Plain", "Masked"],
        [
            [ROWS[name], *(f"{each[name]:.0f}" for each in shown.evidence.values())]
            for name in ACCURACIES
        ]
        + [["all together", *(f"{accuracy(each):.0f}" for each in shown.survived.values())]],
    )


def _panels(shown: Study, questions: Mapping[str, tuple[str, ...]]) -> Figure:
    """Draw a panel for each question. Each row of a panel shows one of the measurements that answer
    the question, for both networks. The title is red if the answer for the masked network is yes.
    """
    values = {
        question: {
            ROWS[name]: {net: [of[name]] for net, of in shown.evidence.items()} for name in names
        }
        for question, names in questions.items()
    }
    figure = figures.strips(values, LOOKS, "images (%)", own_rows=True, hollow=("masked network",))
    red = {SHORT[each.question] for each in diagnose(shown.evidence["masked network"]) if each.red}
    for axis, question in zip(figure.axes, questions, strict=True):
        axis.set_xlim(-3, 103)
        if question in red:
            axis.title.set(text=f"{question} Yes", color="#C00020")
    return figure
