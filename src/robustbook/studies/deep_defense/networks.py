"""Train the networks of Deep Defense: the reference networks, and the networks that each method
fine-tunes.

All studies of Deep Defense take their networks from this module, so each network is trained only
once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.defenses import parseval
from robustbook.networks import Prepared, convnet, fc500_150_10, lenet, nin
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.studies.fitting import fitted, history, part, weights
from robustbook.training import Recipe

from .methods import Method, augmented, cross_entropy, fooled, form, objective, stepped
from .sets import COLOURED, numbers, preprocess

Networks = Literal["mlp", "lenet", "convnet", "nin"]


@dataclass(frozen=True)
class Model:
    """A network and its training set.

    ``narrow`` is the number by which the widths of a convolutional network are divided. ``images``
    is the number of training images, which are evenly spaced over the training set; with None, all
    images are used.
    """

    data: str
    network: Networks
    narrow: int = 1
    images: int | None = None


def body(model: Model, seed: int) -> nn.Module:
    """Return the network without its preprocessing, with its initial weights."""
    draws, before = generator(seed, "weights"), nn.Identity()
    built = {
        "mlp": lambda: fc500_150_10(before, draws),
        "lenet": lambda: lenet(before, draws, model.narrow),
        "convnet": lambda: convnet(before, draws, model.narrow),
        "nin": lambda: nin(before, draws, model.narrow),
    }[model.network]()
    return built.body


def rates(model: Model) -> dict[str, float]:
    """Return for each parameter the factor by which MatConvNet's recipes for CIFAR-10 multiply the
    learning rate. The factor depends on the layer, and differs between weights and biases.
    """
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
    """Train the reference network, from which every fine-tuning starts.

    ``weight/<name>``: the weights after training.
    ``history/cross_entropy``: the mean loss of each epoch.
    """
    images, labels = numbers(model.data, "train", model.images)
    net = body(model, seed)
    done = fitted(
        net,
        images,
        labels,
        augmented(cross_entropy, model.data),
        recipe,
        seed,
        context,
        rates=rates(model) if recipe.optimizer == "sgd" else {},
        # A GPU draws flips and dropout masks itself, so that a training step can be recorded as a
        # CUDA graph.
        static=context.device != "cpu" or (model.data not in COLOURED and model.network != "nin"),
    )
    return {**weights(net, "weight"), **history(done)}


@step(version=1)
def fine_tune(
    start: Done, method: Method, recipe: Recipe, seed: int, marks: int, *, context: Context
) -> dict[str, object]:
    """Fine-tune the network ``start``.

    ``weight/<name>``: the weights after the last epoch.
    ``epoch/<k>/<name>``: the weights after epoch k, for each k that is a multiple of ``marks``.
    ``history/<term>``: for each term of the loss, its mean over the training steps of each epoch.
    """
    model = model_of(start)
    net = trained(start, context.device)
    images, labels = numbers(model.data, "train", model.images)
    if method.kind == "adv-training-i":
        images = fooled(net, images, labels, model.data, context.device)
    elif method.kind == "fgs-set":
        images = stepped(net, images, labels, context.device)
    snapshots = _Snapshots(context, marks)
    own_form = form(model.network, context.device)
    done = fitted(
        net,
        images,
        labels,
        augmented(objective(method, model.data, own_form), model.data),
        recipe,
        seed,
        context,
        retract=partial(parseval, beta=method.beta, share=method.share)
        if method.kind == "par-networks"
        else None,
        each_epoch=snapshots.keep,
        static=own_form == "fixed" or (context.device != "cpu" and method.kind != "deep-defense"),
    )
    states = {**weights(net, "weight"), **snapshots.all()}
    return {**states, **history(done), "seconds": done.seconds}


@dataclass(frozen=True)
class _Snapshots:
    """Until training ends, keep the weights after some epochs in files next to the checkpoint."""

    context: Context
    marks: int

    def keep(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        # If training is killed while this file is written, the resumed training repeats the epoch,
        # because the checkpoint is older than the file.
        if epoch % self.marks == 0:
            held = {f"epoch/{epoch}/{name}": p.cpu().clone() for name, p in weights.items()}
            save_file(held, self.context.scratch / f"{epoch}.epoch")

    def all(self) -> dict[str, Tensor]:
        files = self.context.scratch.glob("*.epoch")
        return {name: p for file in files for name, p in load_file(file).items()}


def model_of(result: Done) -> Model:
    """Return the `Model` (the network and its training set) of a result of ``reference`` or
    ``fine_tune``.
    """
    arguments = result.call.arguments
    model: Model = (
        arguments["model"] if "model" in arguments else arguments["start"].arguments["model"]
    )
    return model


def trained(result: Done, device: str, epoch: int | None = None) -> nn.Module:
    """Load the trained network from a result of ``reference`` or ``fine_tune``, with its weights
    after ``epoch``, or with None after all epochs.
    """
    net = body(model_of(result), 0)
    net.load_state_dict(part(result, "weight" if epoch is None else f"epoch/{epoch}"))
    return net.to(device).eval()


def pixels(network: Done, images: int, device: str) -> tuple[Prepared, Tensor, Tensor]:
    """Return the trained network with its preprocessing in front, and test images in [0, 1], evenly
    spaced over the test set, with their labels.
    """
    data = model_of(network).data
    net = Prepared(preprocess(data), trained(network, device)).to(device).eval()
    test = load(data, "test")
    test = test.subset(torch.arange(images) * len(test) // images)
    return net, as_float(test.images).to(device), test.labels.to(device)
