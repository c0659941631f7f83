"""Compute what the page on threat models shows: images after attacks of bounded size in two norms,
and the accuracy against this size (eps).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor, nn

from robustbook.attacks import Adversarial, fgsm, pgd
from robustbook.figures import LOOKS, Curve, Panel, Picture, Table, lines, pictures, table

from .networks import accuracy, apart, digits, in_order, network
from .one_gradient import EPS, IMAGE

SIZES: Mapping[float, tuple[float, ...]] = {
    math.inf: (0.0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3),
    2.0: (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
}
"""For each norm, the values of eps at which the curves are computed."""
SHOWN: Mapping[float, tuple[float, ...]] = {
    math.inf: (0.05, 0.1, 0.2, 0.3),
    2.0: (0.5, 1.0, 2.0, 3.0),
}
"""For each norm, the values of eps for which pictures are shown."""
TITLES = {math.inf: "l-infinity", 2.0: "l2"}
NETWORKS = {"plain": LOOKS["vanilla"], "adversarially trained": LOOKS["adversarial"]}
STEPS = 20
COUNT = 200
"""The number of test images from which the curves are computed."""


@dataclass(frozen=True)
class Study:
    """The data of the page: the networks, the test images, and for each combination of norm and
    network the accuracy in percent at each eps.
    """

    nets: Mapping[str, nn.Module]
    images: Float[Tensor, "n 1 28 28"]
    labels: Int[Tensor, " n"]
    curves: Mapping[float, Mapping[str, tuple[float, ...]]]


def study() -> Study:
    """Load the plain and the adversarially trained network, and attack each network at each eps in
    each norm.
    """
    nets = {"plain": network("plain"), "adversarially trained": network("adversarial")}
    images, labels = digits(COUNT)
    curves = {
        norm: {name: curve(net, images, labels, norm, sizes) for name, net in nets.items()}
        for norm, sizes in SIZES.items()
    }
    return Study(nets, images, labels, curves)


def curve(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    norm: float,
    sizes: Sequence[float],
) -> tuple[float, ...]:
    """Return the accuracy under PGD in percent for each eps of an increasing sequence.

    An adversarial image within a small eps is also within every larger eps. So if the attack
    succeeds on an image at one eps, the image counts as misclassified at all larger eps too. The
    accuracy therefore never rises with eps.
    """
    fooled = net(images).argmax(1) != labels
    found = []
    for eps in sizes:
        if eps:
            fooled = fooled | _attacked(net, images, labels, norm, eps).found
        found.append(accuracy(~fooled))
    return tuple(found)


def _attacked(
    net: nn.Module, images: Tensor, labels: Tensor, norm: float, eps: float
) -> Adversarial:
    return pgd(net, images, labels, eps=eps, steps=STEPS, step_size=eps / 4, norm=norm)


def in_both_norms(shown: Study) -> str:
    """Return sentences that state, for one radius in each norm, the accuracy under PGD of the plain
    and of the adversarially trained network.
    """
    at = SIZES[math.inf].index(EPS)
    plain, trained = (shown.curves[math.inf][name][at] for name in NETWORKS)
    at_2 = SIZES[2.0].index(1.0)
    return (
        f"Under our attack with the l-infinity radius {EPS:g}, a plain network has an accuracy of "
        f"{plain:.1f} %, and an adversarially trained network {trained:.1f} %. With the l2 radius "
        f"1, the plain network has an accuracy of {shown.curves[2.0]['plain'][at_2]:.1f} %, and "
        "the adversarially trained network "
        f"{shown.curves[2.0]['adversarially trained'][at_2]:.1f} %."
    )


def curves(shown: Study) -> Figure:
    """Draw accuracy against eps, with a panel for each norm and a curve for each network."""
    return lines(
        [
            Panel(
                f"{TITLES[norm]} norm",
                "eps",
                "classified correctly (%)",
                {name: Curve(SIZES[norm], [own[name]], NETWORKS[name]) for name in NETWORKS},
                {"guessing": 10.0},
            )
            for norm, own in shown.curves.items()
        ],
        height=2.9,
    )


def budgets(shown: Study) -> Figure:
    """Draw one image after PGD with several eps, with a row for the l-infinity norm and a row for
    the l2 norm. The title of each image is the predicted class.
    """
    images, labels = (each[IMAGE : IMAGE + 1] for each in digits())
    net = shown.nets["plain"]
    rows = []
    for norm, sizes in SHOWN.items():
        row = [Picture(images[0, 0].numpy(), f"eps 0: {int(net(images).argmax())}")]
        for eps in sizes:
            moved = _attacked(net, images, labels, norm, eps).images
            said = int(net(moved).argmax())
            row.append(Picture(moved[0, 0].numpy(), f"eps {eps:g}: {said}", said != int(labels)))
        rows.append((TITLES[norm], row))
    return pictures(rows)


def measured(shown: Study) -> Table:
    """Return a table of the mean size of the perturbations of three attacks, measured in three
    ways.
    """
    net, images, labels = shown.nets["plain"], shown.images, shown.labels
    attacked = {
        f"FGSM, l-infinity, eps {EPS:g}": fgsm(net, images, labels, eps=EPS),
        f"PGD, l-infinity, eps {EPS:g}": _attacked(net, images, labels, math.inf, EPS),
        "PGD, l2, eps 1": _attacked(net, images, labels, 2.0, 1.0),
    }
    rows = []
    for name, result in attacked.items():
        delta = (result.images - images).flatten(1)
        pixels = (delta != 0).sum(1).double().mean()
        rows.append(
            [
                name,
                f"{delta.abs().amax(1).mean():.2f}",
                f"{delta.norm(dim=1).mean():.2f}",
                f"{pixels:.0f}",
                f"{accuracy(~result.found):.1f}",
            ]
        )
    return table(
        "Mean size of the perturbations that attacks on the plain network find for "
        f"{len(labels)} test images. *l-infinity* and *l2*: the norms of the perturbation. "
        "*Pixels*: how many of the 784 pixels change. *Correct*: the accuracy under the attack in "
        "percent.",
        "tab-threat-models-sizes",
        ["Attack", "l-infinity", "l2", "Pixels", "Correct"],
        rows,
    )


@torch.no_grad()
def crossing(shown: Study) -> str:
    """Return sentences that compare both networks on clean images and at the smallest eps at which
    the adversarially trained network is more accurate.
    """
    right = (net(shown.images).argmax(1) == shown.labels for net in shown.nets.values())
    only = apart(*right)
    plain, trained = (shown.curves[math.inf][name] for name in NETWORKS)
    order = "" if in_order(only) else " These images are too few to rank the networks."
    ahead = next(i for i in range(1, len(plain)) if trained[i] > plain[i])
    return (
        f"Without an attack the plain network classifies {plain[0]:.1f} % of {len(shown.labels)} "
        f"images correctly, and the adversarially trained network {trained[0]:.1f} %. Only the "
        f"plain network is correct on {only[0]} of them, and only the other on {only[1]}.{order} "
        f"Under the attack with l-infinity eps {SIZES[math.inf][ahead]:g}, the accuracy of the "
        f"plain network is {plain[ahead]:.1f} %, "
        f"and that of the adversarially trained network {trained[ahead]:.1f} %."
    )


@torch.no_grad()
def clipping(shown: Study) -> str:
    """Return sentences that state two results: how many of FGSM's pixel changes remain after
    clipping to [0, 1], and the accuracy under FGSM with and without clipping.
    """
    net, images, labels = shown.nets["plain"], shown.images, shown.labels
    inside = fgsm(net, images, labels, eps=EPS)
    free = fgsm(net, images, labels, eps=EPS, clip=False)
    kept = ((inside.images - images).abs() > 0).double().mean() / (
        ((free.images - images).abs() > 0).double().mean()
    )
    black = (images == 0).double().mean()
    return (
        f"In the test images, {100 * black:.0f} % of the pixels are exactly 0. FGSM would change "
        "about half of these pixels to values below 0, which are not valid. Clipping to [0, 1] "
        f"undoes such changes, and {100 * kept:.0f} % of FGSM's pixel changes remain. After FGSM "
        f"with clipping, {accuracy(~inside.found):.1f} % of the images are classified correctly, "
        f"and after FGSM without clipping {accuracy(~free.found):.1f} %."
    )
