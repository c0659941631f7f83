"""Train the networks of Szegedy et al. 2013, and compute adversarial images on them by L-BFGS.

FC100-100-10 has fully connected layers 784-100-100-10, sigmoid units and a softmax output. AE400-10
is a softmax layer on the 400 sigmoid units of an autoencoder.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import lbfgs, penalised_lbfgs
from robustbook.data import ImageSet, as_float, load
from robustbook.defenses import Pooled, pool_training
from robustbook.measures import predict
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator
from robustbook.runs import Context, Done, step
from robustbook.studies.fitting import fitted, part, weights
from robustbook.training import Recipe

Choice = Literal["random", "second"]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Classifier:
    """A network and its training set.

    ``sizes``: the number of units of each layer, from the pixels to the classes.
    ``decay``: the weight decay of each layer. A decay d adds d/2 times the sum of the layer's
        squared weights to the loss; biases are not included.
    ``half``: the half of the training images on which the network is trained, 0 or 1; with None,
        all images are used. The split into halves is random.
    """

    data: str
    sizes: tuple[int, ...]
    decay: tuple[float, ...]
    half: int | None = None


class Autoencoder(nn.Module):
    """An autoencoder: a layer of sigmoid units that encodes an image, and a layer of sigmoid units
    that decodes it.
    """

    def __init__(self, pixels: int, units: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(pixels, units), nn.Linear(units, pixels)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the decoded pixels (their values before the sigmoid)."""
        decoded: Tensor = self.decoder(self.encoder(images.flatten(1)).sigmoid())
        return decoded


@step(version=1)
def train(
    classifier: Classifier, recipe: Recipe, seed: int, *, context: Context
) -> dict[str, object]:
    """Train a classifier on the labels.

    ``state/<name>``: the weights after training.
    ``train_error``: the error rate on the training images, in percent.
    ``error``: the error rate on the test images, in percent.
    """
    data = training_images(classifier, seed)
    net = MLP(classifier.sizes, torch.sigmoid)
    initialise(net, "xavier", generator(seed, "weights"))
    goal = Decayed(classifier.decay)
    fitted(net, data.images, data.labels, goal, recipe, seed, context, static=False)
    return _finished(net, data, context.device)


@step(version=1)
def train_on_features(
    classifier: Classifier, encoding: Recipe, recipe: Recipe, seed: int, *, context: Context
) -> dict[str, object]:
    """Train an autoencoder on the images, and then a softmax layer on its fixed encoding; return
    results with the same names as those of `train`.

    The autoencoder minimises the cross entropy between the pixels and the decoded pixels.
    """
    data = training_images(classifier, seed)
    pixels, units, _ = classifier.sizes
    coder = Autoencoder(pixels, units)
    initialise(coder, "xavier", generator(seed, "weights"))
    fitted(
        coder,
        data.images,
        data.labels,
        _reconstruction,
        encoding,
        seed,
        context,
        checkpoint="autoencoder.safetensors",
        static=False,
    )
    with torch.no_grad():
        pieces = (as_float(x).to(context.device) for x in torch.split(data.images, 1000))
        units_of = torch.cat([coder.encoder(x.flatten(1)).sigmoid() for x in pieces])
    top = MLP(classifier.sizes[1:], torch.sigmoid)
    initialise(top, "xavier", generator(seed, "weights", "softmax"))
    goal = Decayed(classifier.decay[1:])
    fitted(top, units_of[:, :, None, None], data.labels, goal, recipe, seed, context, static=False)
    net = MLP(classifier.sizes, torch.sigmoid)
    net.layers[0].load_state_dict(coder.encoder.state_dict())
    net.layers[1].load_state_dict(top.layers[0].state_dict())
    return _finished(net.to(context.device).eval(), data, context.device)


@step(version=1)
def train_with_pool(
    classifier: Classifier, recipe: Recipe, size: int, replaced: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Train a classifier with a pool of adversarial images (see
    `robustbook.defenses.pool_training`); return results with the same names as those of `train`.

    ``size``: the number of images in the pool.
    ``replaced``: how many of the oldest images in the pool each training step replaces by new
        adversarial images of `short_lbfgs`.
    """
    data = training_images(classifier, seed)
    net = MLP(classifier.sizes, torch.sigmoid)
    initialise(net, "xavier", generator(seed, "weights"))
    pooled = Pooled(net, size, tuple(data.images.shape[1:]))
    goal = WithPool(Decayed(classifier.decay), replaced)
    fitted(pooled, data.images, data.labels, goal, recipe, seed, context, static=False)
    return _finished(net, data, context.device)


def short_lbfgs(net: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Return adversarial images of L-BFGS without a penalty on the distance.

    The attack on an image stops as soon as the image is misclassified. With the penalty, L-BFGS
    would take about ten times as long.
    """
    return lbfgs(net, images, labels, steps=20).images


@step(version=1)
def attacked(
    network: Done, images: int, choice: Choice, searches: int, seed: int, *, context: Context
) -> dict[str, object]:
    """Attack the first test images by L-BFGS with a penalty on the distance (`penalised_lbfgs`).

    ``choice``: whether the target class of an image is a random wrong class or the most probable
        wrong class.

    ``images``: the attacked images.
    ``found``: for each image, whether the attack succeeded.
    ``distortion``: for each image, the root mean square of the changes of its pixels.
    """
    net = trained(network, context.device)
    x, y = some(network.call.arguments["classifier"].data, "test", images, context.device)
    if choice == "random":
        targets = random_targets(y, seed)
    else:
        with torch.no_grad():
            targets = net(x).scatter(1, y[:, None], -math.inf).argmax(1)
    made = penalised_lbfgs(net, x, y, targets=targets, searches=searches)
    return {
        "images": made.images.cpu(),
        "found": made.found.cpu(),
        "distortion": (made.distance / made.images[0].numel() ** 0.5).cpu(),
    }


@step(version=1)
def fed(
    made: Done, networks: tuple[Done, ...], distortion: float | None, *, context: Context
) -> dict[str, object]:
    """Evaluate networks on attacked images; ``made`` is the result of `attacked`.

    ``right``: which images each network classifies correctly, shape (networks, images).

    ``distortion``: the distortion to which each perturbation is scaled, without clipping; with
        None, perturbations are not scaled.
    """
    source = made.call.arguments["network"]
    data, images = source.arguments["classifier"].data, made.call.arguments["images"]
    x, y = some(data, "test", images, context.device)
    changed = made.tensors["images"].to(context.device)
    if distortion is not None:
        changed = scaled(x, changed, distortion)
    return {"right": _right(networks, changed, y, context.device)}


@step(version=1)
def noisy(
    networks: tuple[Done, ...],
    split: Split,
    images: int,
    std: float,
    seed: int,
    *,
    context: Context,
) -> dict[str, object]:
    """Evaluate networks on images with Gaussian noise of standard deviation ``std``, without
    clipping.

    ``right``: which images each network classifies correctly, shape (networks, images).
    """
    data = networks[0].call.arguments["classifier"].data
    x, y = some(data, split, images, context.device)
    noise = torch.randn(x.shape, generator=generator(seed, "noise", split)).to(x.device)
    return {"right": _right(networks, x + std * noise, y, context.device)}


def random_targets(labels: Tensor, seed: int) -> Tensor:
    """Return a random wrong class for each label."""
    shift = torch.randint(1, 10, (len(labels),), generator=generator(seed, "targets"))
    return (labels + shift.to(labels.device)) % 10


def scaled(images: Tensor, changed: Tensor, distortion: float) -> Tensor:
    """Return the images, with each perturbation scaled so that its root mean square is
    ``distortion``; an image without a perturbation stays unchanged.
    """
    change = changed - images
    size = change.flatten(1).square().mean(1).sqrt()[:, None, None, None]
    return images + distortion * change / size.clamp(min=torch.finfo(size.dtype).tiny)


def training_images(classifier: Classifier, seed: int) -> ImageSet:
    """Return the training images of a classifier; ``seed`` determines the split into halves."""
    data = load(classifier.data, "train")
    if classifier.half is None:
        return data
    order = torch.randperm(len(data), generator=generator(seed, "halves"))
    return data.subset(order[classifier.half :: 2].sort().values)


def some(data: str, split: Split, images: int, device: str) -> tuple[Tensor, Tensor]:
    """Return the first images of the training or test set, with pixels in [0, 1], and their
    labels.
    """
    found = load(data, split).subset(images)
    return as_float(found.images).to(device), found.labels.to(device)


def trained(result: Done, device: str) -> MLP:
    """Load the trained network from a result, in evaluation mode."""
    net = MLP(result.call.arguments["classifier"].sizes, torch.sigmoid)
    net.load_state_dict(part(result))
    return net.to(device).eval()


@dataclass(frozen=True)
class Decayed:
    """The training objective: the cross entropy plus the weight decay of each layer."""

    decay: tuple[float, ...]

    def __call__(
        self, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
    ) -> Mapping[str, Tensor]:
        entropy = F.cross_entropy(net(images), labels)
        return {"cross_entropy": entropy, "decay": self.penalty(net)}

    def penalty(self, net: nn.Module) -> Tensor:
        """Return half the decay times the sum of the squared weights, summed over the layers."""
        assert isinstance(net, MLP)
        squares = torch.stack([layer.weight.square().sum() for layer in net.layers])  # type: ignore[operator]
        return squares @ squares.new_tensor(self.decay) / 2


@dataclass(frozen=True)
class WithPool:
    """The training objective with a pool: the mean of the cross entropies on the batch and on
    images from the pool, plus the weight decay of each layer.
    """

    decayed: Decayed
    replaced: int

    def __call__(
        self, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
    ) -> Mapping[str, Tensor]:
        assert isinstance(net, Pooled)
        terms = pool_training(net, images, labels, attack=short_lbfgs, replaced=self.replaced)
        return {**terms, "decay": self.decayed.penalty(net.net)}


def _reconstruction(
    net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    decoded = net(images)
    loss = F.binary_cross_entropy_with_logits(decoded, images.flatten(1), reduction="none")
    return {"reconstruction": loss.sum(1).mean()}


def _finished(net: MLP, data: ImageSet, device: str) -> dict[str, object]:
    test = load(data.name, "test")
    errors = {"train_error": _error(net, data, device), "error": _error(net, test, device)}
    return {**weights(net), **errors}


def _error(net: MLP, data: ImageSet, device: str) -> float:
    found = predict(net, as_float(data.images).to(device))
    return 100 * (found != data.labels.to(device)).double().mean().item()


def _right(networks: tuple[Done, ...], images: Tensor, labels: Tensor, device: str) -> Tensor:
    nets = [trained(each, device) for each in networks]
    return torch.stack([(predict(net, images) == labels).cpu() for net in nets])
