"""Choose the source images and target classes for the targeted attacks of Nayebi & Ganguli 2017
(Section 7).

The source image of a class is the correctly classified test image with the lowest or the highest
softmax probability of this class. Each of the ten source images is attacked towards each of the
nine other classes.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.measures import logits_of, predict

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
    """Return for each class the row number of the least or the most confident of its correctly
    classified images.

    For most images a saturated network predicts a probability p that float32 rounds to 1. So images
    are ranked by log p - log (1 - p). This number increases with p, and it still differs between
    such images. Of several images that rank equally, the first is returned. Raise ValueError if no
    image of a class is classified correctly.
    """
    logits = logits_of(net, images).double()
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
    """Return three tensors with one value for each of the 90 pairs of classes, sorted by
    source class: the row number of the source image, the source class, and the target class.
    """
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
    """Raise ValueError unless ``rows`` has the row number of a correctly classified image of each
    class, in the order of the classes 0 to 9.

    An attack on a misclassified image would start on the wrong side of a class boundary.
    """
    if int(rows.max()) >= len(images):
        raise ValueError(
            f"sources must be below {len(images)}, the number of images, got {int(rows.max())}"
        )
    answers = predict(net, images[rows]).tolist()
    for c, row in enumerate(rows.tolist()):
        if labels[row] != c:
            raise ValueError(
                f"sources must be one image of each class from 0 to 9, in order, got image {row} "
                f"of class {int(labels[row])} for class {c}"
            )
        if answers[c] != c:
            raise ValueError(
                f"the source of class {c} must be an image that {name} classifies correctly, got "
                f"image {row}, which it classifies as {answers[c]}"
            )


@torch.no_grad()
def straight(
    net: nn.Module,
    starts: Float[Tensor, "p *shape"],
    images: Float[Tensor, "n *shape"],
    targets: Int[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """Return for each starting image how far, in l2 distance, it must move along a straight line
    until it is classified as the target class.

    The line ends at the nearest one of ``images`` that ``net`` classifies as the target class.
    Bisection finds a point on it where the predicted class becomes the target class.
    """
    answers = predict(net, images)
    away = torch.cdist(starts.flatten(1), images.flatten(1))
    away = away.masked_fill(answers != targets[:, None], torch.inf)
    distance, nearest = away.min(1)
    low, high = torch.zeros_like(distance), torch.ones_like(distance)
    for _ in range(20):
        middle = (low + high) / 2
        part = middle.view(-1, *[1] * (starts.ndim - 1))
        there = predict(net, torch.lerp(starts, images[nearest], part)) == targets
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return high * distance
