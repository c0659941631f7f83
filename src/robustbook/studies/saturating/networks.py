"""Train the networks of Nayebi & Ganguli 2017: three architectures, each with vanilla training,
with adversarial training, and with the saturation penalty.

All studies of the paper get their networks from this module, so each network is trained only once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.defenses import (
    adversarial_training,
    linear_penalty,
    relu_penalty,
    saturation,
    sigmoid_penalty,
)
from robustbook.measures import Attack, gradient_sizes, logits_of, median_lead, survival
from robustbook.networks import Name, Start, build, initialise
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.studies.fitting import fitted, history, part, weights
from robustbook.training import Objective, Recipe

Method = Literal["vanilla", "adversarial", "saturated"]


@dataclass(frozen=True)
class Anneal:
    """The schedule of lambda, the weight of the saturation penalty.

    Lambda is 0 in the first ``plain`` optimiser steps; then it rises by ``rise`` once in ``every``
    steps, ``rises`` times in total.
    """

    plain: int
    rise: float
    rises: int
    every: int

    def __call__(self, step: int) -> float:
        return self.rise * min(max(0, (step - self.plain) // self.every + 1), self.rises)

    @property
    def steps(self) -> int:
        return self.plain + self.rises * self.every


@dataclass(frozen=True)
class Training:
    """The settings with which a network is trained.

    ``width``: the number of units in each hidden layer, or in the CNN's last hidden layer (see
        `build`).
    ``eps``: the radius of FGSM in adversarial training.
    ``alpha``: the weight of the loss on clean images in adversarial training.
    ``layers``: the layers that the saturation penalty includes: "all", or "hidden" for all except
        the output layer.
    """

    data: str
    network: Name
    width: int
    start: Start
    method: Method
    recipe: Recipe
    anneal: Anneal | None = None
    eps: float = 0.25
    alpha: float = 0.5
    layers: Literal["all", "hidden"] = "all"


def objective(training: Training) -> Objective:
    """Return the function that computes the loss terms of training with the given settings."""
    if training.method == "adversarial":
        goodfellow = partial(adversarial_training, eps=training.eps, alpha=training.alpha)
        return lambda net, images, labels, lam: goodfellow(net, images, labels)
    if training.method == "saturated":
        hidden = sigmoid_penalty if training.network == "sigmoid-mlp" else relu_penalty
        readout = linear_penalty if training.network == "cnn" else hidden
        return partial(saturation, hidden=hidden, readout=readout, layers=training.layers)
    return _cross_entropy


def _cross_entropy(
    net: nn.Module, images: Tensor, labels: Tensor, lam: Tensor
) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(images), labels)}


def fresh(training: Training, seed: int) -> nn.Module:
    """Return the network that ``training`` describes, with its initial weights."""
    net = build(training.network, training.width)
    initialise(net, training.start, generator(seed, "weights"))
    return net


@step(version=1)
def train(training: Training, seed: int, *, context: Context) -> dict[str, object]:
    """Train one network.

    ``weight/<name>``: the weights after training.
    ``history/<term>``: the mean of a loss term in each epoch.
    """
    data = load(training.data, "train")
    net = fresh(training, seed)
    done = fitted(
        net,
        data.images,
        data.labels,
        objective(training),
        training.recipe,
        seed,
        context,
        coefficient=training.anneal or (lambda step: 0.0),
    )
    return {**weights(net, "weight"), **history(done), "training_seconds": done.seconds}


def trained(result: Done, device: str) -> nn.Module:
    """Load the trained network from a result of `train`."""
    training: Training = result.call.arguments["training"]
    net = build(training.network, training.width)
    net.load_state_dict(part(result, "weight"))
    return net.to(device).eval()


@step(version=1)
def evaluate(
    network: Done,
    attacks: tuple[Attack, ...],
    images: int,
    source: Done | None = None,
    *,
    context: Context,
) -> dict[str, object]:
    """Return for each attack the percentage of images that are classified correctly (``accuracy``),
    and the percentage of images that the attack did not change (``unmoved``).

    ``images``: the number of test images, evenly spaced over the test set, because the first half
        of MNIST's test set is easier.
    ``source``: the network on which a transfer attack computes the adversarial images; with None,
        ``network`` itself.

    The seed of ``network`` also determines the random signs and random starts of the attacks. An
    attack that flushes denormal numbers to zero runs on the CPU, because a GPU has no such setting.
    """
    given, outcomes = network.call.arguments, []
    places = {"cpu" if attack.flush else context.device for attack in attacks}
    nets = {place: trained(network, place) for place in places}
    seen = {place: None if source is None else trained(source, place) for place in places}
    tests = {place: test_images(given["training"].data, images, place) for place in places}
    for i, attack in enumerate(attacks):
        place = "cpu" if attack.flush else context.device
        outcomes.append(
            survival(nets[place], *tests[place], attack, seed=given["seed"], source=seen[place])
        )
        context.progress(i + 1, len(attacks))
    return {"accuracy": [o.accuracy for o in outcomes], "unmoved": [o.unmoved for o in outcomes]}


@step(version=1)
def inspect(network: Done, images: int, *, context: Context) -> dict[str, object]:
    """Measure on test images whether the gradients of the loss vanish.

    ``gradient``: the l-infinity norm of the gradient of the loss; the median over images.
    ``lead``: the median over images of the absolute difference between the true class's logit and
        the highest other logit (see `median_lead`).
    ``certain``: the percentage of images whose true class has the probability exactly 1 in float32.
    """
    net = trained(network, context.device)
    x, y = test_images(network.call.arguments["training"].data, images, context.device)
    p = logits_of(net, x).softmax(1)
    certain = p.gather(1, y[:, None]) == 1
    return {
        "gradient": gradient_sizes(net, x, y).median().item(),
        "lead": median_lead(net, x, y),
        "certain": 100 * certain.double().mean().item(),
    }


def test_images(data: str, images: int, device: str) -> tuple[Tensor, Tensor]:
    """Return ``images`` test images in [0, 1] with their labels, evenly spaced over the test
    set.
    """
    test = load(data, "test")
    rows = torch.arange(images) * len(test.images) // images
    return as_float(test.images[rows]).to(device), test.labels[rows].to(device)
