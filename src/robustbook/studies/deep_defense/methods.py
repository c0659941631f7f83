"""Define the methods of fine-tuning, each with its training objective and its training images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import AUTHORS, Variant
from robustbook.defenses import adversarial_training, deep_defense
from robustbook.defenses.deep_defense import Form
from robustbook.measures import eps_leaving, gradient_signs
from robustbook.training import Objective

from .sets import COLOURED

Kind = Literal[
    "clean", "fgs-set", "adv-training-i", "adv-training-ii", "par-networks", "deep-defense"
]


@dataclass(frozen=True)
class Method:
    """A method of fine-tuning and its parameters; the radius ``eps`` is in units of the
    preprocessed images (see `sets`).

    "clean" fine-tunes on clean images without a defense, for comparison.

    "deep-defense" adds the regulariser of Deep Defense to the loss, with the parameters ``lam``,
    ``c`` and ``d``. ``terms`` says whether the regulariser has both its terms, or only that for
    correctly classified or that for misclassified images. ``layer`` says whether the regulariser
    changes all layers or only one. If ``eps`` is above 0, Deep Defense is combined with adversarial
    training: the loss of "adv-training-ii" replaces the cross entropy.

    "adv-training-i" trains on adversarial images that DeepFool computes once, on the network before
    fine-tuning.

    "fgs-set" trains on adversarial images that FGS computes once, on the network before
    fine-tuning, with the smallest eps at which this network misclassifies 90 per cent of the
    images.

    "adv-training-ii" is the adversarial training of Goodfellow et al. with ``eps`` and ``alpha``.

    "par-networks" is Parseval training. A Parseval step has the step size ``beta``, and changes the
    fraction ``share`` of the units of each layer.
    """

    kind: Kind
    lam: float = 15.0
    c: float = 25.0
    d: float = 5.0
    terms: Literal["both", "correct", "wrong"] = "both"
    layer: str | None = None
    eps: float = 0.0
    alpha: float = 0.5
    beta: float = 1e-4
    share: float = 0.3


def released(data: str) -> Variant:
    """Return the released code's variant of DeepFool for an image set; the variants for MNIST and
    CIFAR-10 differ in their `offset`.
    """
    return replace(AUTHORS, component_offset=offset(data))


def offset(data: str) -> float:
    """Return the small number that the released code adds to each component of a gradient before it
    computes the norm.
    """
    return 1e-5 if data in COLOURED else 5e-6


def fooled(
    net: nn.Module, images: Tensor, labels: Tensor, data: str, device: str, piece: int = 1000
) -> Tensor:
    """Return an adversarial image of DeepFool for each image; the perturbation includes the
    overshoot.
    """
    parts = [
        deepfool(net, x.to(device), y.to(device), preset=released(data)).images.cpu()
        for x, y in zip(torch.split(images, piece), torch.split(labels, piece), strict=True)
    ]
    return torch.cat(parts)


def stepped(net: nn.Module, images: Tensor, labels: Tensor, device: str) -> Tensor:
    """Return adversarial images of FGS with the smallest eps at which 90 per cent of the images are
    misclassified.
    """
    x, y = images.to(device), labels.to(device)
    signs = gradient_signs(net, x, y)
    return (x + eps_leaving(net, x, y, signs, accuracy=10.0) * signs).cpu()


def form(network: str, device: str) -> Form:
    """Return the implementation (``form``) of Deep Defense's loss that we expect to be the fastest
    for this network on this device.

    On a CPU, this is "rows". On a GPU, there are two candidates, whose training times have not been
    measured yet (`benchmarks.gpu`). With "fixed", all batches of DeepFool have the same size, so
    `fit` can record a training step as a CUDA graph. With "padded", images that need no more steps
    of DeepFool leave the batch, so that no CUDA graph can be recorded. But "padded" computes less:
    on NIN, where the arithmetic takes most of the time, "fixed" needs about two and a half times as
    many operations.
    """
    if torch.device(device).type == "cpu":
        return "rows"
    return "padded" if network == "nin" else "fixed"


def objective(method: Method, data: str, form: Form = "auto") -> Objective:
    """Return the function that computes the loss terms of ``method``; ``form`` names the
    implementation of Deep Defense's loss (see `deep_defense`).
    """
    if method.kind == "deep-defense":
        return partial(_regularised, method, offset(data), form)
    if method.kind == "adv-training-ii":
        goodfellow = partial(adversarial_training, eps=method.eps, alpha=method.alpha)
        return lambda net, images, labels, _: goodfellow(net, images, labels)
    return cross_entropy


def cross_entropy(
    net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(images), labels)}


def _regularised(
    method: Method,
    offset: float,
    form: Form,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    _: Tensor,
) -> Mapping[str, Tensor]:
    terms = deep_defense(
        net,
        images,
        labels,
        lam=method.lam,
        c=method.c,
        d=method.d,
        offset=offset,
        generator=own_generator(images),
        form=form,
    )
    if method.terms != "both":
        terms = {name: terms[name] for name in ("cross_entropy", method.terms)}
    if method.layer is not None:
        only = [p for name, p in net.named_parameters() if name.startswith(f"{method.layer}.")]
        regulariser = confined(terms.pop("correct") + terms.pop("wrong"), only)
        terms["regulariser"] = regulariser
    if method.eps > 0:
        del terms["cross_entropy"]
        terms |= adversarial_training(net, images, labels, eps=method.eps, alpha=method.alpha)
    return terms


def confined(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return ``value`` unchanged, but with a gradient only with respect to the tensors in
    ``parameters``.
    """
    gradients = torch.autograd.grad(value, parameters, retain_graph=True)
    pairs = zip(parameters, gradients, strict=True)
    return value.detach() + sum(((p - p.detach()) * g).sum() for p, g in pairs)


def augmented(inner: Objective, data: str) -> Objective:
    """Return an objective that mirrors colour images at random before it computes the loss
    ``inner``. For gray images, return ``inner`` itself.

    Each training image is mirrored independently with probability one half, as in the fine-tuning
    of the released code. The released code also mirrors test images; we do not. When MatConvNet
    trains the reference networks, it mirrors either all images of a batch or none.
    """
    if data not in COLOURED:
        return inner

    return lambda net, images, labels, c: inner(net, mirrored(images), labels, c)


def mirrored(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability one half.

    The random numbers come from torch's global generator of the images' device, which `fit` seeds
    for each step.
    """
    chosen = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def own_generator(images: Tensor) -> torch.Generator | None:
    """Return torch's global CPU generator, or None for images on a GPU."""
    return None if images.is_cuda else torch.default_generator
