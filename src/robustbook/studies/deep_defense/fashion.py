"""Train the networks of Deng, Zhao and Zhang 2019, a replication of Deep Defense by students, and
some more networks for comparison.

All networks are MLPs with layers 784-100-10, whose inputs are the images of Fashion-MNIST with
pixels in [0, 1]. The initial weights and biases are drawn from a normal distribution with standard
deviation 0.01, truncated at two standard deviations. The optimiser is Adam. The replication
computes the regulariser of Deep Defense from perturbations that are made before training, so this
regulariser is a constant without a gradient.

Our training differs from the replication's in two ways. First, the parameter eps of Adam is
PyTorch's 1e-8 instead of Keras's 1e-7. With the one seed for which we tried both, rho_2 differed by
0.0003. Second, we drop an incomplete last batch: with batches of 64, an epoch leaves out 32 of the
60,000 images. Training one network takes less than a minute on one core, so no checkpoints are
stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import AUTHORS, Variant
from robustbook.data import as_float, load
from robustbook.defenses import deep_defense
from robustbook.measures import accuracy_along, gradient_signs, predict
from robustbook.networks import MLP
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.studies.fitting import part
from robustbook.training import Objective, Recipe, fit

from .methods import cross_entropy, form
from .readings import SHARES

SIX_STEPS = Variant(
    steps=6, each_step=True, clip=False, distance_offset=1e-4, attack_wrong=True, keep_failures=True
)
"""The replication's DeepFool, in which each step overshoots, and the next starts from the overshot
image.
"""

GRID = tuple(k / 1000 for k in range(50))
"""The values of eps for FGS, for pixels in [0, 1]."""
PRINTED_EPS = 0.028
"""The eps_ref of FGS that the replication reports."""

Loss = Literal["mean", "sum", "constant", "deep-defense"]
PAIRED = ("sum", "constant")
"""Losses that need the perturbation of each image in the batch."""


@dataclass(frozen=True)
class Tuning:
    """The settings with which a network is fine-tuned.

    ``images``: the training images: "clean" for the original images; "deepfool" for adversarial
        images that DeepFool computes once, on the network before fine-tuning.
    ``loss``: "mean" or "sum" of the cross entropy over the batch; "constant" for the sum plus the
        replication's constant regulariser; "deep-defense" for the loss of Deep Defense, with the
        gradient of its regulariser.
    ``shuffle``: whether the images are put into a new random order in each epoch.
    """

    images: Literal["clean", "deepfool"]
    batch_size: int
    epochs: int
    loss: Loss = "mean"
    shuffle: bool = True
    lr: float = 5e-4
    lam: float = 15.0
    c: float = 25.0
    d: float = 5.0


@cache
def pixels(data: str, split: str) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, " n"]]:
    """Return the images in [0, 1] and the labels of a split of an image set. All callers share
    these tensors, so do not change them in place.
    """
    found = load(data, split)
    return as_float(found.images), found.labels


@torch.no_grad()
def body(draws: torch.Generator) -> MLP:
    """Return the MLP 784-100-10 with its initial weights."""
    net = MLP((784, 100, 10), torch.relu)
    for values in net.parameters():
        nn.init.trunc_normal_(values, std=0.01, a=-0.02, b=0.02, generator=draws)
    return net


def fooled(
    net: nn.Module, images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "n *shape"]:
    """Return an adversarial image of DeepFool for each image. DeepFool tries to change the
    predicted class even if the original image is already misclassified.
    """
    pieces = zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True)
    return torch.cat([deepfool(net, x, y, preset=SIX_STEPS).images for x, y in pieces])


def objective(tuning: Tuning) -> Objective:
    """Return the function that computes the loss terms of fine-tuning."""
    if tuning.loss == "mean":
        return cross_entropy
    return partial(_genuine if tuning.loss == "deep-defense" else _summed, tuning)


def _genuine(
    tuning: Tuning, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    """Return the loss terms of Deep Defense, whose regulariser has a gradient.

    The released code adds a small offset to each component of a gradient; its pixels are in 0..255.
    Here pixels are in [0, 1], so the gradients and the offset are 255 times as large.
    """
    return deep_defense(
        net,
        images,
        labels,
        lam=tuning.lam,
        c=tuning.c,
        d=tuning.d,
        offset=AUTHORS.component_offset,
        form=form("mlp", images.device.type),
    )


def _summed(
    tuning: Tuning, net: nn.Module, pairs: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    """Return the loss terms: the summed cross entropy and, for the loss "constant", also the
    replication's regulariser.

    The channels of ``pairs`` are the adversarial image and its perturbation, which DeepFool
    computed before fine-tuning. The regulariser has one term for correctly classified images, and
    one for misclassified images. As in the replication, each image also adds exp(0) = 1 to the term
    to which it does not belong. This constant has no effect on training.
    """
    images, moved = pairs[:, :1], pairs[:, 1:]
    logits = net(images)
    terms = {"cross_entropy": F.cross_entropy(logits, labels, reduction="sum")}
    if tuning.loss == "constant":
        rho = moved.flatten(1).norm(dim=1) / images.flatten(1).norm(dim=1)
        right = logits.argmax(1) == labels
        each = torch.exp(-tuning.c * rho * right) + torch.exp(tuning.d * rho * ~right)
        terms["regulariser"] = tuning.lam * each.sum()
    return terms


@step(version=1)
def vanilla(
    data: str, epochs: int, marks: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Train the undefended network by Adam with learning rate 1e-3 and batches of 64.

    ``epoch/<k>/<name>``: the weights after epoch k, for each k that is a multiple of ``marks``.
    ``steps``: the number of training steps per epoch.
    """
    images, labels = pixels(data, "train")
    tuning = Tuning("clean", 64, epochs, lr=1e-3)
    return _fitted(body(generator(seed, "weights")), images, labels, tuning, marks, seed, context)


@step(version=1)
def fine_tune(
    start: Done, epoch: int, tuning: Tuning, marks: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Fine-tune a network of `vanilla`, from its weights after ``epoch``; the results have the same
    names as those of `vanilla`.
    """
    net = trained(start, epoch, context.device)
    images, labels = pixels(start.call.arguments["data"], "train")
    if tuning.images == "deepfool":
        x, y = images.to(context.device), labels.to(context.device)
        made = fooled(net, x, y)
        images = torch.cat((made, made - x), 1) if tuning.loss in PAIRED else made
    return _fitted(net, images, labels, tuning, marks, seed, context)


def _fitted(
    net: MLP,
    images: Tensor,
    labels: Tensor,
    tuning: Tuning,
    marks: int,
    seed: int,
    context: Context,
) -> dict[str, object]:
    found: dict[str, object] = {"steps": len(images) // tuning.batch_size}

    def keep(epoch: int, weights: Mapping[str, Tensor]) -> None:
        if epoch % marks == 0:
            found.update({f"epoch/{epoch}/{name}": p.cpu().clone() for name, p in weights.items()})

    fit(
        net,
        images,
        labels,
        objective(tuning),
        Recipe(tuning.epochs * (len(images) // tuning.batch_size), tuning.batch_size, tuning.lr),
        seed=seed,
        each_epoch=keep,
        shuffle=tuning.shuffle,
        static=tuning.loss != "deep-defense" or context.device != "cpu",
        device=context.device,
        progress=context.progress,
    )
    return found


def trained(network: Done, epoch: int, device: str) -> MLP:
    """Return a network with its stored weights after ``epoch``."""
    net = body(generator(0))
    net.load_state_dict(part(network, f"epoch/{epoch}"))
    return net.to(device).eval()


@step(version=1)
def read(network: Done, epochs: tuple[int, ...], *, context: Context) -> dict[str, object]:
    """Measure the network after each epoch in ``epochs``, on all test images.

    ``accuracy``: the clean accuracy in percent after each epoch in ``epochs``.
    ``rho``: the robustness rho_2 after each epoch in ``epochs``: the norm of DeepFool's
        perturbation divided by the image's norm, averaged over the images.
    ``unfooled``: after the last epoch, the percentage of images on which DeepFool fails.
    ``along``: the accuracies after the last epoch under FGS without clipping, for each eps in
        `GRID`.
    ``printed``: the same for 0.2, 0.5 and 1 times the replication's eps_ref.
    ``images``: the number of test images.
    """
    x, y = _test(network, context.device)
    accuracy, rho = [], []
    for epoch in epochs:
        net = trained(network, epoch, context.device)
        made = fooled(net, x, y)
        answers, after = (predict(net, points, batch_size=len(x)) for points in (x, made))
        ratio = (made - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
        accuracy.append(100 * (answers == y).double().mean().item())
        rho.append(ratio.double().mean().item())
        context.progress(len(rho), len(epochs))
    signs = gradient_signs(net, x, y)
    return {
        "accuracy": accuracy,
        "rho": rho,
        "unfooled": 100 * (answers == after).double().mean().item(),
        "printed": [accuracy_along(net, x, y, signs, share * PRINTED_EPS) for share in SHARES],
        "along": [accuracy_along(net, x, y, signs, eps) for eps in GRID],
        "images": len(x),
    }


@step(version=1)
def under_fgs(network: Done, epoch: int, scale: Done, *, context: Context) -> dict[str, object]:
    """Return the accuracy in percent under FGS at 0.2, 0.5 and 1 times eps_ref.

    ``scale``: the result of `read` from whose accuracies under FGS eps_ref is computed.
    """
    x, y = _test(network, context.device)
    net = trained(network, epoch, context.device)
    signs, eps = gradient_signs(net, x, y), eps_ref(scale)
    return {"own": [accuracy_along(net, x, y, signs, share * eps) for share in SHARES]}


def eps_ref(reading: Done) -> float:
    """Return eps_ref: the eps in `GRID` at which the accuracy under FGS is nearest to 50 %. If two
    values of eps are equally near, return the smaller one.
    """
    return min(zip(GRID, reading.values["along"], strict=True), key=lambda at: abs(at[1] - 50))[0]


def _test(network: Done, device: str) -> tuple[Tensor, Tensor]:
    given = network.call.arguments
    data = given["data"] if "data" in given else given["start"].arguments["data"]
    x, y = pixels(data, "test")
    return x.to(device), y.to(device)
