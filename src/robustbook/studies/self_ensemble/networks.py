"""Train the networks of Random Self-Ensemble with each defense.

All studies of this paper get their networks from this module, so each network is trained only once.
The result of training contains all weights and buffers of a network, including the running
statistics of batch norm. Noise layers do not change the names of weights and buffers, so a result
can also be loaded into a network with other noise layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.defenses import (
    Noisy,
    SignedSteps,
    Weights,
    bounded,
    distillation,
    inner_pgd,
    noisy,
    prototype,
    soft_targets,
    weighted_training,
)
from robustbook.networks import model_a, resnext29, vgg16
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done, later, step
from robustbook.studies.fitting import fitted, history, part, weights
from robustbook.training import Objective, Recipe, fit

Networks = Literal["vgg16", "resnext", "model-a"]
BUILDERS = {"vgg16": vgg16, "resnext": resnext29, "model-a": model_a}


@dataclass(frozen=True)
class Model:
    """A network and its training set.

    ``narrow``: the number by which the network's widths are divided.

    ``images``: the number of training images, taken from the start of the training set; with None,
    all images are used.
    """

    data: str
    network: Networks
    narrow: int = 1
    images: int | None = None


@dataclass(frozen=True)
class Noise:
    """The noise layers of a network: their places and their standard deviations (see
    `robustbook.defenses.noisy`). The placement ``prototype`` is that of the authors' first
    prototype (see `robustbook.defenses.prototype`), with the standard deviation ``inner``.
    """

    init: float
    inner: float
    placement: Literal["paper", "code", "2018", "prototype"] = "paper"
    when: Literal["always", "training", "test", "never"] = "always"


@dataclass(frozen=True)
class Defense:
    """The defense of a network, apart from its noise layers.

    ``none``: training without a defense.

    ``brelu``: a network with bounded ReLUs, which is trained on images with Gaussian noise of
        standard deviation ``sigma``.

    ``retraining``: adversarial training, in which each batch is attacked by FGSM with probability
        one half and otherwise left clean. As in the released code, the eps of FGSM is drawn
        uniformly from the interval ``eps``, the attacked images are not clipped, and the network
        stays in training mode during the attack.

    ``distill``: defensive distillation, which trains a student network at ``temperature`` on the
        class probabilities of a teacher network at the same temperature. If ``teacher`` is True,
        the network is the teacher, which is trained on the labels. The student's loss is multiplied
        by ``factor``.

    ``pgd``: adversarial training on the images of PGD (`MADRY`).
    """

    kind: Literal["none", "brelu", "retraining", "distill", "pgd"] = "none"
    sigma: float = 0.05
    eps: tuple[float, float] = (0.1, 0.3)
    temperature: float = 1.0
    teacher: bool = False
    factor: float = later(1.0)


MADRY = inner_pgd(8 / 256, 10, 0.007)
"""The attack of adversarial training with PGD, with the settings of the authors' later code (the
repository BayesianDefense, ``main_adv.py``), but with a random start, which that code lacks. Batch
norm uses its running statistics in this attack.
"""


def built(model: Model, defense: Defense, noise: Noise | None, seed: int) -> nn.Module:
    """Return the network with its initial weights; if ``noise`` is given, the network has noise
    layers (`Noisy`).
    """
    net: nn.Module = BUILDERS[model.network](generator(seed, "weights"), model.narrow)
    if defense.kind == "brelu":
        net = bounded(net)
    return net if noise is None else with_noise(net, noise, seed)


def with_noise(net: nn.Module, noise: Noise, seed: int) -> Noisy:
    """Return a copy of the network to which noise layers are added; ``seed`` determines the noise
    draws.
    """
    number = generator(seed, "noise").initial_seed()
    if noise.placement == "prototype":
        return prototype(net, sigma=noise.inner, seed=number)
    return noisy(
        net,
        init=noise.init,
        inner=noise.inner,
        placement=noise.placement,
        when=noise.when,
        seed=number,
    )


def inside(net: nn.Module) -> nn.Module:
    """Return the network without its wrapper for noise (`Noisy`). The ``state_dict`` of the
    returned network is stored.
    """
    return net.net if isinstance(net, Noisy) else net


@step(version=1)
def train(
    model: Model,
    defense: Defense,
    noise: Noise | None,
    recipe: Recipe,
    seed: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Train a network on the labels.

    ``state/<name>``: the weights and buffers after training.
    ``history/<term>``: the mean of a loss term in each epoch.
    ``seconds``: the training time.
    """
    data = load(model.data, "train").subset(model.images)
    net = built(model, defense, noise, seed)
    return _fitted(net, data.images, data.labels, objective(defense), recipe, seed, context)


@step(version=1, later=("factor", "augmented"))
def distil(
    teacher: Done,
    recipe: Recipe,
    seed: int,
    factor: float = 1.0,
    augmented: bool = False,
    *,
    context: Context,
) -> dict[str, object]:
    """Train a student of ``teacher`` by distillation; the results have the same names as those of
    `train`.

    The student has the teacher's architecture and temperature. Its loss is multiplied by
    ``factor``. If ``augmented`` is False, the teacher's class probabilities are computed once, for
    images without augmentation, and ``recipe`` must not augment images either. Otherwise the
    teacher classifies the augmented images of each training step.
    """
    arguments = teacher.call.arguments
    model, defense = arguments["model"], arguments["defense"]
    data = load(model.data, "train").subset(model.images)
    asked = trained(teacher, context.device).requires_grad_(False)
    student = replace(defense, teacher=False, factor=factor)
    net = built(model, student, None, seed)
    goal: Objective = objective(student)
    if augmented:
        goal = partial(_taught, goal, asked, defense.temperature)
        return _fitted(net, data.images, data.labels, goal, recipe, seed, context)
    pieces = (as_float(x).to(context.device) for x in torch.split(data.images, 500))
    soft = [soft_targets(asked, x, temperature=defense.temperature).cpu() for x in pieces]
    return _fitted(net, data.images, torch.cat(soft), goal, recipe, seed, context)


@step(version=1)
def retrain(
    start: Done, defense: Defense, recipe: Recipe, seed: int, *, context: Context
) -> dict[str, object]:
    """Continue the training of a network with the defense ``defense``, which must not add noise or
    change the layers; the results have the same names as those of `train`.
    """
    model = model_of(start)
    data = load(model.data, "train").subset(model.images)
    net = trained(start, context.device)
    return _fitted(net, data.images, data.labels, objective(defense), recipe, seed, context)


@step(version=1)
def step_times(
    model: Model,
    kinds: tuple[tuple[Defense, Noise | None], ...],
    recipe: Recipe,
    steps: int,
    rounds: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Measure how long a training step takes with each defense.

    ``seconds``: the time per step, with one row for each round and one column for each element of
        ``kinds``. A round trains one network with each defense for ``steps`` steps, so a change of
        the machine's speed affects all defenses alike.
    """
    data = load(model.data, "train").subset(recipe.batch_size * steps)
    short = replace(recipe, steps=steps)
    found = []
    for i in range(rounds + 1):
        of = [
            fit(
                built(model, defense, noise, 0),
                data.images,
                data.labels,
                objective(defense),
                short,
                seed=0,
                static=False,
                device=context.device,
            ).seconds
            for defense, noise in kinds
        ]
        found.append(torch.tensor(of) / steps)
        context.progress(i, rounds)
    return {"seconds": torch.stack(found[1:])}  # the first round only warms up


def _fitted(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    goal: Objective,
    recipe: Recipe,
    seed: int,
    context: Context,
) -> dict[str, object]:
    done = fitted(net, images, labels, goal, recipe, seed, context, static=False)
    return {**weights(inside(net)), **history(done), "seconds": done.seconds}


def model_of(result: Done) -> Model:
    """Return the `Model` of a result of `train`, `distil` or `retrain`."""
    model: Model = _first(result.call).arguments["model"]
    return model


def _first(call: Call) -> Call:
    """Return the job that trained a network from random weights for the job ``call``: the teacher
    of `distil`, the starting point of `retrain`, or else ``call`` itself.
    """
    before = call.arguments.get("teacher", call.arguments.get("start"))
    return call if before is None else _first(before)


def trained(result: Done, device: str, noise: Noise | None = None) -> nn.Module:
    """Load the trained network from a result, in evaluation mode.

    ``noise``: the noise layers of the returned network; with None, the noise layers of training.
    """
    call: Call = result.call
    arguments = _first(call).arguments
    seed = call.arguments["seed"]
    own = noise or call.arguments.get("noise")
    net = built(arguments["model"], arguments["defense"], own, seed)
    inside(net).load_state_dict(part(result))
    return net.to(device).eval()


def objective(defense: Defense) -> Objective:
    """Return the function that computes the loss terms of training with this defense."""
    if defense.kind == "brelu":
        return partial(_blurred, defense.sigma)
    if defense.kind == "retraining":
        return partial(_retrained, defense.eps)
    if defense.kind == "distill" and not defense.teacher:
        return partial(_soft, defense.temperature, defense.factor)
    if defense.kind == "pgd":
        return partial(_madry, MADRY)
    return partial(_tempered, defense.temperature)


def _tempered(
    temperature: float, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(images) / temperature, labels)}


def _soft(
    temperature: float, factor: float, net: nn.Module, images: Tensor, targets: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    terms = distillation(net, images, targets, temperature=temperature)
    return {name: factor * term for name, term in terms.items()}


def _taught(
    goal: Objective,
    teacher: nn.Module,
    temperature: float,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    share: Tensor,
) -> Mapping[str, Tensor]:
    """Return the loss terms ``goal`` for the teacher's class probabilities instead of labels."""
    return goal(net, images, soft_targets(teacher, images, temperature=temperature), share)


def _madry(
    attack: SignedSteps, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return weighted_training(net, images, labels, weights=Weights(adversarial=1.0), attack=attack)


def _blurred(
    sigma: float, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    blurred = images + sigma * torch.randn_like(images)
    return {"cross_entropy": F.cross_entropy(net(blurred), labels)}


def _retrained(
    eps: tuple[float, float], net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    coin, share = torch.rand(2).tolist()  # drawn on the CPU, so that the CPU never waits for a GPU
    if coin < 0.5:
        leaf = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(leaf), labels), leaf)
        images = images + (eps[0] + share * (eps[1] - eps[0])) * gradient.sign()
    return {"cross_entropy": F.cross_entropy(net(images), labels)}
