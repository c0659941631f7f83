"""Fine-tune AlexNet and ResNet-18 with Deep Defense on ImageNet, and evaluate them; the images are
read from disk batch by batch.

Images are center crops of the photographs; training images are mirrored with probability one half,
validation images never. Norms and eps are in units of the normalised images that the networks
receive.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import MATLAB
from robustbook.data import FolderSet, data_root
from robustbook.defenses import deep_defense
from robustbook.measures import accuracy_along, gradient_signs, predict
from robustbook.networks import Architecture, Prepared, imagenet_network
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.studies.fitting import fitted, history
from robustbook.training import Objective, Recipe

from .methods import mirrored, own_generator
from .readings import SHARES

SECTIONS = 32
PIECE = 100
OFFSET = 1e-5  # as in the released code for CIFAR-10; much smaller than the norm of a gradient


@dataclass(frozen=True)
class Model:
    """A pretrained network (see `imagenet_network`), together with the photographs on which it is
    fine-tuned and evaluated.

    The photographs are in the folders ``train`` and ``val`` of ``root`` and are cropped to ``crop``
    pixels. If ``root`` is None, the folder `imagenet` among the data files is used. The key of a
    stored result contains the paths in ``root`` and ``weights``, but not the content of the files:
    if a photograph changes, the old result is still used.
    """

    architecture: Architecture
    weights: str = "IMAGENET1K_V1"
    root: str | None = None
    crop: int = 224

    def photographs(self, split: str) -> FolderSet:
        root = Path(self.root).expanduser() if self.root else data_root() / "imagenet"
        return FolderSet(root / split, self.crop)


@dataclass(frozen=True)
class Tuning:
    """The settings of fine-tuning with Deep Defense.

    ``candidates``: the number of classes besides the predicted one that DeepFool considers.
    """

    epochs: int
    batch_size: int = 100
    lam: float = 15.0
    c: float = 1000.0
    d: float = 5.0
    candidates: int = 9
    lr: float = 5e-4


@step(version=1)
def fine_tune(model: Model, tuning: Tuning, seed: int, *, context: Context) -> dict[str, object]:
    """Fine-tune the pretrained network with Deep Defense.

    ``weight/<name>``: the weights after fine-tuning.
    ``history/<term>``: for each term of the loss, its mean over the training steps of each epoch.
    """
    photographs = model.photographs("train")
    if photographs.classes != (shown := model.photographs("val").classes):
        raise ValueError(
            f"root must hold the same classes in train and val, got {len(photographs.classes)} "
            f"in train and {len(shown)} in val, whose names are not all the same"
        )
    net = network(model, None, "cpu")
    steps = tuning.epochs * max(1, len(photographs) // tuning.batch_size)
    halved = ((round(0.8 * steps), 0.5),)
    recipe = Recipe(
        steps, tuning.batch_size, tuning.lr, "sgd", halved, momentum=0.9, weight_decay=5e-4
    )
    goal, labels = objective(tuning), photographs.labels
    done = fitted(net, photographs, labels, goal, recipe, seed, context, static=False)
    weights = {f"weight/{name}": p.detach().cpu() for name, p in net.named_parameters()}
    return {**weights, **history(done)}


@step(version=1)
def read(
    model: Model, tuned: Done | None, images: int | None, candidates: int, *, context: Context
) -> dict[str, object]:
    """Measure the accuracy, and the perturbations that the released code's DeepFool finds, on
    ``images`` validation images.

    ``accuracy``: the accuracy on clean images, in percent.
    ``rho``: the mean ratio of the perturbation's norm to the image's norm.
    ``iterations``: the mean number of DeepFool steps.
    ``unfooled``: the percentage of images whose predicted class DeepFool did not change.

    If ``tuned`` is None, the reference network is measured.
    """
    net = network(model, tuned, context.device)
    authors = replace(MATLAB, steps=5, component_offset=OFFSET, candidates=candidates)
    right, ratio, spent, still = [], [], [], []
    for x, y in batches(model, net, images, context):
        found = deepfool(net.body, x, y, preset=authors)
        clean, moved = predict(net.body, x), predict(net.body, found.images)
        right.append(clean == y)
        ratio.append(found.distance / x.flatten(1).norm(dim=1))
        spent.append(found.steps)
        still.append(clean == moved)
    accuracy, rho, iterations, unfooled = (
        torch.cat(values).double().mean().item() for values in (right, ratio, spent, still)
    )
    return {
        "accuracy": 100 * accuracy,
        "rho": rho,
        "iterations": iterations,
        "unfooled": 100 * unfooled,
        "images": len(torch.cat(right)),
        "ratio": torch.cat(ratio).cpu(),
    }


@step(version=1)
def scale(model: Model, tuned: Done, images: int | None, *, context: Context) -> dict[str, object]:
    """Return ``eps``, the value of eps_ref: the smallest eps at which at most half of the images
    are classified correctly under FGS.
    """
    net = network(model, tuned, context.device)
    return {"eps": halving(lambda sizes: under(model, net, images, sizes, context))}


@step(version=1)
def under_fgs(
    model: Model, tuned: Done | None, scale: Done, images: int | None, *, context: Context
) -> dict[str, object]:
    """Return ``plain``, the accuracy in percent under FGS at 0.2, 0.5 and 1 times eps_ref."""
    net = network(model, tuned, context.device)
    sizes = [share * scale.values["eps"] for share in SHARES]
    return {"plain": under(model, net, images, sizes, context)}


def network(model: Model, tuned: Done | None, device: str) -> Prepared:
    """Return the fine-tuned network, or the reference network if ``tuned`` is None."""
    net = imagenet_network(
        model.architecture,
        weights=model.weights,
        classes=len(model.photographs("val").classes),
        generator=generator(0, "weights") if model.weights == "random" else None,
    )
    if tuned is not None:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(tuned.tensors[f"weight/{name}"])
    return net.to(device).eval()


def objective(tuning: Tuning) -> Objective:
    """Return the function that computes the loss terms of Deep Defense on mirrored images."""

    def terms(net: nn.Module, images: Tensor, labels: Tensor, _: Tensor) -> Mapping[str, Tensor]:
        return deep_defense(
            net,
            mirrored(images),
            labels,
            lam=tuning.lam,
            c=tuning.c,
            d=tuning.d,
            offset=OFFSET,
            candidates=tuning.candidates,
            generator=own_generator(images),
        )

    return terms


def batches(
    model: Model, net: Prepared, images: int | None, context: Context
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield preprocessed images, evenly spaced over the validation set, and their labels in
    batches, because all together would not fit into memory.
    """
    photographs = model.photographs("val")
    n = min(images or len(photographs), len(photographs))
    rows = torch.arange(n) * len(photographs) // n
    for i, part in enumerate(torch.split(rows, PIECE)):
        pixels = photographs[part].to(context.device).float() / 255
        yield net.preprocess(pixels), photographs.labels[part].to(context.device)
        context.progress(i * PIECE + len(part), n)


def under(
    model: Model, net: Prepared, images: int | None, sizes: Sequence[float], context: Context
) -> list[float]:
    """Return the accuracy in percent under FGS at each eps in ``sizes``. The direction of the step
    does not depend on eps, so each image is read, and its gradient computed, only once.
    """
    seen, right = 0, [0] * len(sizes)
    for x, y in batches(model, net, images, context):
        signs = gradient_signs(net.body, x, y)
        for i, eps in enumerate(sizes):
            right[i] += round(accuracy_along(net.body, x, y, signs, eps) * len(y) / 100)
        seen += len(y)
    return [100 * count / seen for count in right]


def halving(curve: Callable[[Sequence[float]], list[float]]) -> float:
    """Return the smallest eps at which the accuracy is at most 50 %, up to a relative error of
    about 0.1 %.

    The search makes three passes over the images. In each pass, ``curve`` computes the accuracy in
    percent for several values of eps. The first pass uses 0 and powers of 2. Each later pass
    divides the interval in which the accuracy falls to 50 % into 32 parts, and uses the ends of
    these parts. If the accuracy on clean images is already at most 50 %, return 0.
    """
    sizes = [0.0, *(2.0**k for k in range(-12, 6))]
    for _ in range(3):
        fallen = [accuracy <= 50 for accuracy in curve(sizes)]
        if fallen[0]:
            return 0.0
        if not any(fallen):
            raise ValueError(
                "half of the images must be misclassified under FGS with eps up to "
                f"{sizes[-1]:g}, got fewer"
            )
        low, high = sizes[fallen.index(True) - 1 : fallen.index(True) + 1]
        sizes = [low + (high - low) * i / SECTIONS for i in range(SECTIONS + 1)]
    return high
