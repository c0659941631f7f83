"""The networks of Deep Defense: references, and what each method makes of them by fine-tuning.

Every page of the chapter names its networks by the calls made here, so each is trained once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import AUTHORS, Variant
from robustbook.defenses import adversarial_training, deep_defense, parseval
from robustbook.measures import eps_leaving, gradient_signs
from robustbook.networks import convnet, fc500_150_10, lenet, nin
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.training import Objective, Recipe, fit

from .sets import COLOURED, numbers

Kind = Literal[
    "clean", "fgs-set", "adv-training-i", "adv-training-ii", "par-networks", "deep-defense"
]
Networks = Literal["mlp", "lenet", "convnet", "nin"]


@dataclass(frozen=True)
class Model:
    """A network and what it is trained on. ``narrow`` divides the widths of a colour network;
    ``images``: so many of the training set, evenly spaced; None: all."""

    data: str
    network: Networks
    narrow: int = 1
    images: int | None = None


@dataclass(frozen=True)
class Method:
    """What fine-tuning minimises, in the networks' numbers (see `sets`).

    deep-defense: ``lam``, ``c``, ``d``; ``terms`` drops the one of correct or of wrong images;
    ``layer`` names the only layer that the regulariser changes; ``eps`` above 0 puts Goodfellow's
    objective in the place of the cross entropy (the combination). adv-training-i: on DeepFool's
    images of the network it starts from, made once. fgs-set: on FGS images of that network, made
    once, at the size that makes 90 per cent of them wrong. adv-training-ii: Goodfellow's objective
    with ``eps`` and ``alpha``. par-networks: ``beta``, and a ``share`` of each layer's units.
    clean: the control.
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


def body(model: Model, seed: int) -> nn.Module:
    """The network behind the preprocessing, with its first weights."""
    draws, before = generator(seed, "weights"), nn.Identity()
    built = {
        "mlp": lambda: fc500_150_10(before, draws),
        "lenet": lambda: lenet(before, draws),
        "convnet": lambda: convnet(before, draws, model.narrow),
        "nin": lambda: nin(before, draws, model.narrow),
    }[model.network]()
    return built.body


def released(data: str) -> Variant:
    """The authors' DeepFool in the networks' numbers: their offset on MNIST, on CIFAR-10."""
    return replace(AUTHORS, component_offset=offset(data))


def offset(data: str) -> float:
    """What the released code adds to each component of a gradient inside its norm."""
    return 1e-5 if data in COLOURED else 5e-6


def rates(model: Model) -> dict[str, float]:
    """MatConvNet's multipliers of the learning rate, by which its CIFAR-10 recipes are to be read:
    of weights and biases, and of those of the last layer."""
    if model.network not in ("convnet", "nin"):
        return {}
    usual, last = {"convnet": ((0.1, 2.0), (0.01, 0.2)), "nin": ((1.0, 10.0), (0.001, 0.01))}[
        model.network
    ]
    names = [name for name, _ in body(model, 0).named_parameters()]
    final = names[-1].rpartition(".")[0]
    found = {}
    for name in names:
        layer, _, kind = name.rpartition(".")
        found[name] = (last if layer == final else usual)[kind == "bias"]
    return found


@step(version=1)
def reference(model: Model, recipe: Recipe, seed: int, *, context: Context) -> dict[str, object]:
    """The network that the others start from: ``weight/<name>``, ``history/cross_entropy``."""
    images, labels = numbers(model.data, "train", model.images)
    net = body(model, seed)
    fitted = fit(
        [net],
        images,
        labels,
        _augmented(_cross_entropy, model),
        recipe,
        seeds=[seed],
        rates=rates(model) if recipe.optimizer == "sgd" else {},
        static=model.data not in COLOURED and model.network != "nin",
        device=context.device,
        checkpoint=context.scratch / "checkpoint.safetensors",
        progress=context.progress,
    )
    weights = {f"weight/{name}": p.detach().cpu() for name, p in net.named_parameters()}
    return {**weights, "history/cross_entropy": fitted.terms["cross_entropy"][:, 0]}


@step(version=1)
def fine_tune(
    start: Done, method: Method, recipe: Recipe, seed: int, marks: int, *, context: Context
) -> dict[str, object]:
    """``start``'s network trained on: ``weight/<name>``; ``epoch/<k>/<name>`` for every k that
    ``marks`` divides; each loss term per epoch as ``history/<term>``."""
    model = model_of(start)
    net = trained(start, context.device)
    images, labels = numbers(model.data, "train", model.images)
    if method.kind == "adv-training-i":
        images = fooled(net, images, labels, model.data, context.device)
    elif method.kind == "fgs-set":
        images = stepped(net, images, labels, context.device)
    snapshots = _Snapshots(context, marks)
    fitted = fit(
        [net],
        images,
        labels,
        _augmented(objective(method, model.data), model),
        recipe,
        seeds=[seed],
        retract=partial(parseval, beta=method.beta, share=method.share)
        if method.kind == "par-networks"
        else None,
        each_epoch=snapshots.keep,
        static=False,
        device=context.device,
        checkpoint=context.scratch / "checkpoint.safetensors",
        progress=context.progress,
    )
    weights = {f"weight/{name}": p.detach().cpu() for name, p in net.named_parameters()}
    history = {f"history/{name}": values[:, 0] for name, values in fitted.terms.items()}
    return {**weights, **snapshots.all(), **history, "seconds": fitted.seconds}


@dataclass(frozen=True)
class _Snapshots:
    """Weights after some epochs, kept beside the checkpoint until the result is stored."""

    context: Context
    marks: int

    def keep(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        # A run that is killed in this write does the epoch again: its checkpoint is older.
        if epoch % self.marks == 0:
            held = {f"epoch/{epoch}/{name}": p.cpu().clone() for name, p in weights.items()}
            save_file(held, self.context.scratch / f"{epoch}.epoch")

    def all(self) -> dict[str, Tensor]:
        files = self.context.scratch.glob("*.epoch")
        return {name: p for file in files for name, p in load_file(file).items()}


def model_of(result: Done) -> Model:
    """Of a ``reference`` or a ``fine_tune``."""
    arguments = result.call.arguments
    model: Model = (
        arguments["model"] if "model" in arguments else arguments["start"].arguments["model"]
    )
    return model


def trained(result: Done, device: str, epoch: int | None = None) -> nn.Module:
    """The network that a call left behind, at its end or after an epoch that it kept."""
    net = body(model_of(result), 0)
    prefix = "weight/" if epoch is None else f"epoch/{epoch}/"
    own = {k.removeprefix(prefix): v for k, v in result.tensors.items() if k.startswith(prefix)}
    net.load_state_dict(own)
    return net.to(device).eval()


def fooled(
    net: nn.Module, images: Tensor, labels: Tensor, data: str, device: str, piece: int = 1000
) -> Tensor:
    """DeepFool's perturbed image of each, overshoot included; no classes are skipped."""
    net.eval()
    parts = [
        deepfool(net, x.to(device), y.to(device), preset=released(data)).images.cpu()
        for x, y in zip(torch.split(images, piece), torch.split(labels, piece), strict=True)
    ]
    return torch.cat(parts)


def stepped(net: nn.Module, images: Tensor, labels: Tensor, device: str) -> Tensor:
    """FGS's perturbed image of each, at the smallest size that makes 90 per cent of them wrong."""
    net.eval()
    x, y = images.to(device), labels.to(device)
    signs = gradient_signs(net, x, y)
    return (x + eps_leaving(net, x, y, signs, accuracy=10.0) * signs).cpu()


def objective(method: Method, data: str) -> Objective:
    """The loss terms that ``method`` minimises."""
    if method.kind == "deep-defense":
        return partial(_regularised, method, offset(data))
    if method.kind == "adv-training-ii":
        goodfellow = partial(adversarial_training, eps=method.eps, alpha=method.alpha)
        return lambda net, images, labels, _: goodfellow(net, images, labels)
    return _cross_entropy


def _cross_entropy(
    net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(images), labels)}


def _regularised(
    method: Method, offset: float, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    terms = deep_defense(
        net,
        images,
        labels,
        lam=method.lam,
        c=method.c,
        d=method.d,
        offset=offset,
        generator=torch.default_generator,  # which `fit` seeds for each step
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
    """The same number with a gradient for these parameters only."""
    gradients = torch.autograd.grad(value, parameters, retain_graph=True)
    pairs = zip(parameters, gradients, strict=True)
    return value.detach() + sum(((p - p.detach()) * g).sum() for p, g in pairs)


def _augmented(inner: Objective, model: Model) -> Objective:
    """Colour images are mirrored with probability one half, each for itself.

    MatConvNet mirrors whole batches when it trains the references, the released code single images
    in fine-tuning, and at test time too; here the test images stay as they are.
    """
    if model.data not in COLOURED:
        return inner

    def flipped(net: nn.Module, images: Tensor, labels: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        mirrored = (torch.rand(len(images)) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return inner(net, images, labels, c)

    return flipped
