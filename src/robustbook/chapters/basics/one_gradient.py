"""Compute what the page on a first adversarial example shows: one image, one gradient, and a slider
over eps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from robustbook.attacks import fgsm, margin, random_signs
from robustbook.figures import (
    Frame,
    Picture,
    Slider,
    Table,
    addition,
    pictures,
    slider,
    table,
)

from .networks import accuracy, digits, network

IMAGE = 41
"""The index of the test image that the page attacks."""
SIZES = tuple(k / 100 for k in range(16))
"""The values of eps among which the slider chooses."""
EPS = 0.1


@dataclass(frozen=True)
class Moved:
    """An image after FGSM with radius ``eps``, and the network's prediction for it.

    ``probability``: the probability of the predicted class.
    ``right``: whether the predicted class is the true class.
    """

    eps: float
    image: Float[np.ndarray, "h w"]
    answer: int
    probability: float
    right: bool


@dataclass(frozen=True)
class Study:
    """The data of the page: the network, the test images, and a list with the page's image after
    FGSM with each eps.
    """

    net: nn.Module
    images: Float[Tensor, "n 1 28 28"]
    labels: Int[Tensor, " n"]
    sweep: tuple[Moved, ...]


def study() -> Study:
    """Load the plain network and the test images, and run FGSM on the page's image with each
    eps.
    """
    net = network("plain")
    images, labels = digits()
    one = slice(IMAGE, IMAGE + 1)
    return Study(net, images, labels, sweep(net, images[one], labels[one], SIZES))


@torch.no_grad()
def sweep(
    net: nn.Module,
    image: Float[Tensor, "1 1 h w"],
    label: Int[Tensor, " 1"],
    sizes: Sequence[float],
) -> tuple[Moved, ...]:
    """Return the image after FGSM with each eps. For eps 0 the result is the image itself."""
    found = []
    for eps in sizes:
        moved = fgsm(net, image, label, eps=eps).images if eps else image
        probabilities = net(moved).softmax(1)[0]
        top = int(probabilities.argmax())
        found.append(
            Moved(
                eps,
                moved[0, 0].numpy(),
                top,
                float(probabilities[top]),
                top == int(label),
            )
        )
    return tuple(found)


def answer(shown: Study) -> str:
    """Return a sentence that states the accuracy over all test images, without an attack and under
    FGSM.
    """
    with torch.no_grad():
        clean = accuracy(shown.net(shown.images).argmax(1) == shown.labels)
    left = accuracy(~fgsm(shown.net, shown.images, shown.labels, eps=EPS).found)
    return (
        "**Answer.** A small change is enough: changing pixels by at most a tenth of their "
        "range, along the sign of the loss's gradient, lowers the accuracy from "
        f"{clean:.1f} to {left:.1f} %."
    )


def on_the_image(shown: Study) -> str:
    """Return a sentence that states at which eps the page's image is misclassified."""
    first = shown.sweep[0]
    wrong = next((moved for moved in shown.sweep if not moved.right), None)
    if wrong is None:
        return "The image is still classified correctly at every eps of the slider."
    return (
        f"The network predicts a {first.answer} for the image of the slider (probability "
        f"{_percent(first.probability)}). If the fast gradient sign method (FGSM) changes every "
        f"pixel by at most {wrong.eps:.2f} of its range, the network predicts a {wrong.answer}."
    )


@dataclass(frozen=True)
class Growth:
    """How the margin grows if each pixel changes by eps along the sign of the margin's gradient.

    ``start``: the margin of the unchanged image.
    ``pixel``: the largest growth that a single pixel contributes in the linear approximation.
    ``predicted``: the growth in the linear approximation.
    ``true``: the growth of the margin.
    """

    start: float
    pixel: float
    predicted: float
    true: float


def growth(net: nn.Module, image: Tensor, label: Tensor, eps: float) -> Growth:
    """Return the growth of an image's margin, predicted and true. The image is not clipped."""
    with torch.enable_grad():
        leaf = image.detach().clone().requires_grad_()
        start = margin(net(leaf), label).sum()
        (gradient,) = torch.autograd.grad(start, leaf)
        moved = margin(net(leaf + eps * gradient.sign()), label).sum()
    each = eps * gradient.abs()
    return Growth(start.item(), each.max().item(), each.sum().item(), moved.item() - start.item())


def add_up(shown: Study) -> str:
    """Return sentences that state by how much each pixel and all pixels together increase the
    margin of the page's image.
    """
    one = slice(IMAGE, IMAGE + 1)
    found = growth(shown.net, shown.images[one], shown.labels[one], EPS)
    return (
        f"The image of the slider has the margin {_signed(found.start)}. We change each pixel by "
        f"{EPS:g} in the direction that increases it, without clipping. In the linear "
        f"approximation, each pixel adds at most {found.pixel:.2f}, and all pixels together add "
        f"{found.predicted:.1f}. The margin of the network itself grows by {found.true:.1f}."
    )


def slides(shown: Study) -> Slider:
    """Return a slider over eps. For each eps the slider shows the clean image, FGSM's perturbation,
    the perturbed image, and the predictions for both images.
    """
    clean, largest = shown.sweep[0], max(moved.eps for moved in shown.sweep)
    frames = []
    for moved in shown.sweep:
        change = np.clip((moved.image - clean.image) / largest, -1, 1)
        verb = "is" if moved.answer == clean.answer else "is now"
        parts = (
            (_bytes(clean.image), f"A handwritten {clean.answer}.", _words("image", clean)),
            (
                _bytes((1 + change) / 2),
                "Grey: no change." if not moved.eps else "Black and white speckles on grey.",
                "change<br>grey: none",
            ),
            (
                _bytes(moved.image),
                f"The image with speckles of size {moved.eps:.2f}; the predicted class {verb} "
                f"{moved.answer}.",
                _words(f"eps {moved.eps:.2f}", moved),
            ),
        )
        frames.append(Frame(f"{moved.eps:.2f}", addition(*parts)))
    start = next((i for i, moved in enumerate(shown.sweep) if not moved.right), len(frames) - 1)
    return slider("slider-eps", "eps", frames, start=start)


def ten(shown: Study) -> Figure:
    """Draw ten test images, one of each class. Below each test image is its adversarial image from
    FGSM. The title of each image is the network's prediction.
    """
    first = [int((shown.labels == k).nonzero()[0]) for k in range(10)]
    images, labels = shown.images[first], shown.labels[first]
    rows = []
    for name, moved in (
        ("image", images),
        (f"eps {EPS:g}", fgsm(shown.net, images, labels, eps=EPS).images),
    ):
        answers = shown.net(moved).argmax(1)
        row = [
            Picture(image[0].numpy(), str(int(own)), bool(own != label))
            for image, own, label in zip(moved, answers, labels, strict=True)
        ]
        rows.append((name, row))
    return pictures(rows)


def controls(shown: Study) -> Table:
    """Return a table of three accuracies: on unchanged images, after adding eps times random signs,
    and after FGSM with the same eps.
    """
    rows = [["no change", f"{accuracy(shown.net(shown.images).argmax(1) == shown.labels):.1f}"]]
    for name, attack in (("random signs", random_signs), ("signs of the gradient", fgsm)):
        found = attack(shown.net, shown.images, shown.labels, eps=EPS).found
        rows.append([f"{name}, eps {EPS:g}", f"{accuracy(~found):.1f}"])
    return table(
        f"Percentage of {len(shown.labels)} test images that are classified correctly. In the "
        "last two rows every pixel changes by eps, and the result is clipped to [0, 1].",
        "tab-one-gradient-controls",
        ["Change", "Correct"],
        rows,
    )


def _words(name: str, moved: Moved) -> str:
    """Return the HTML below an image: its name, the predicted class and its probability."""
    said = f"<b>{moved.answer}</b> ({_percent(moved.probability)})"
    return f"{name}<br>answer: {said}"


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f}\N{NO-BREAK SPACE}%"


def _bytes(image: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    grey: UInt8[np.ndarray, "h w"] = np.round(255 * image).astype(np.uint8)
    return grey
