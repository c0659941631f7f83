"""Targeted attacks of Nayebi & Ganguli 2017, section 7: from which images, towards which classes.

A source per class, the test image that the network classifies correctly with the lowest or the
highest softmax probability; from each of the ten sources to each of the nine other classes.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CLASSES = 10
Rule = Literal["least", "most"]
RULES: tuple[Rule, ...] = ("least", "most")
Precision = Literal["float32", "float64"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float64")


@torch.no_grad()
def sources(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    rule: Rule,
    name: str = "the network",
) -> Int[Tensor, " 10"]:
    """For each class the row of its correctly classified image of the ``least`` or ``most``
    softmax probability.

    A saturated network gives probability 1, rounded to float32, to most of its images. So they are
    ranked by log p - log (1 - p), a strictly growing function of p without that rounding. Of equal
    ones the first counts. ``ValueError`` names the class that has no correctly classified image.
    """
    logits = torch.cat([net(batch) for batch in torch.split(images, 1000)]).double()
    own = labels[:, None]
    others = logits.scatter(1, own, -torch.inf).logsumexp(1)
    odds = logits.gather(1, own).squeeze(1) - others
    correct = logits.argmax(1) == labels
    rows = []
    for c in range(CLASSES):
        of_class = (correct & (labels == c)).nonzero().squeeze(1)
        if not len(of_class):
            raise ValueError(
                f"class {c} must have a test image that {name} classifies correctly to start "
                f"from, got none among {int((labels == c).sum())}"
            )
        best = odds[of_class].argmin() if rule == "least" else odds[of_class].argmax()
        rows.append(of_class[best])
    return torch.stack(rows)


def pairs(
    rows: Int[Tensor, " 10"],
) -> tuple[Int[Tensor, " 90"], Int[Tensor, " 90"], Int[Tensor, " 90"]]:
    """Of each pair of two classes, source after source: the row of the source's image, the source's
    class, the target class."""
    source, target = (~torch.eye(CLASSES, dtype=torch.bool, device=rows.device)).nonzero().T
    return rows[source], source, target


@torch.no_grad()
def check_sources(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    rows: Int[Tensor, " 10"],
    name: str = "the network",
) -> None:
    """``ValueError`` unless the rows are images of the classes 0 to 9 in turn that ``net`` gives
    these classes: an attack on another would start beyond the boundary that it is to cross."""
    if int(rows.max()) >= len(images):
        raise ValueError(f"sources must be below {len(images)}, the images, got {int(rows.max())}")
    answers = net(images[rows]).argmax(1).tolist()
    for c, row in enumerate(rows.tolist()):
        if labels[row] != c:
            raise ValueError(
                f"sources must be one image of each class from 0 to 9, in turn, got image {row} of "
                f"class {int(labels[row])} for class {c}"
            )
        if answers[c] != c:
            raise ValueError(
                f"the source of class {c} must be an image that {name} classifies correctly, got "
                f"image {row}, which it calls {answers[c]}"
            )


@torch.no_grad()
def straight(
    net: nn.Module,
    starts: Float[Tensor, "p *shape"],
    images: Float[Tensor, "n *shape"],
    targets: Int[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """How far each start is from the target class on the straight line to the nearest of the
    ``images`` that ``net`` gives that class: a place where its answer changes, by bisection."""
    answers = torch.cat([net(batch).argmax(1) for batch in torch.split(images, 1000)])
    away = torch.cdist(starts.flatten(1), images.flatten(1))
    away = away.masked_fill(answers != targets[:, None], torch.inf)
    distance, nearest = away.min(1)
    low, high = torch.zeros_like(distance), torch.ones_like(distance)
    for _ in range(20):
        middle = (low + high) / 2
        there = (
            net(
                torch.lerp(starts, images[nearest], middle.view(-1, *[1] * (starts.ndim - 1)))
            ).argmax(1)
            == targets
        )
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return high * distance
