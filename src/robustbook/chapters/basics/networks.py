"""Train the four networks of the chapter on the embedded digits within seconds.

Three of the networks are fully connected, with two hidden layers of 64 ReLU units. The three fully
connected networks differ only in their training. The fourth network has two convolutions. In front
of each convolution is a noise layer of Random Self-Ensemble. Each network is trained only once, and
its weights are stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.data import as_float, load
from robustbook.defenses import Noisy, adversarial_training, noisy
from robustbook.ledger.intervals import binomial_tail
from robustbook.networks import draw_first_weights, relu_mlp
from robustbook.randomness import generator
from robustbook.runs import Context, run, step
from robustbook.training import Recipe, fit


@dataclass(frozen=True)
class Training:
    """The training of a network: ``steps`` steps of Adam on batches of 64 digits.

    The learning rate starts at ``lr`` and falls to 0.

    ``eps``: the radius of adversarial training, or 0 for training without adversarial images.

    ``temperature``: the number by which the logits are divided during training. After training, the
        network returns its logits undivided.
    ``noise``: the standard deviation of all noise layers, or 0 for a fully connected network
        without noise.
    """

    steps: int = 300
    lr: float = 4e-3
    eps: float = 0.0
    temperature: float = 1.0
    noise: float = 0.0


TRAININGS: Mapping[str, Training] = {
    "plain": Training(),
    "adversarial": Training(eps=0.2),
    "masked": Training(lr=0.02, temperature=50.0),
    "noisy": Training(noise=0.3),
}


def digits(count: int = 400) -> tuple[Float[Tensor, "n 1 28 28"], Int[Tensor, " n"]]:
    """Return the first ``count`` (at most 400) test images, in [0, 1], and their labels.

    The images are scikit-learn's handwritten digits, enlarged to 28 x 28 pixels. The digits come
    with the package.
    """
    test = load("digits", "test").subset(count)
    return as_float(test.images), test.labels


def network(kind: str) -> nn.Module:
    """Return a trained network in evaluation mode. The network maps images in [0, 1] to ten logits.

    ``kind``: the kind of network, which is "plain", "adversarial", "masked" or "noisy". For
        "adversarial", half of the training loss is on images after FGSM. The network "masked" has
        about 50 times larger logits than the network "plain". The network "noisy" has noise layers.
        The first call trains the network and stores its weights.
    """
    if kind not in TRAININGS:
        raise ValueError(f"kind must be one of {', '.join(TRAININGS)}, got {kind!r}")
    training = TRAININGS[kind]
    (done,) = run([train(training)], workers=0, device="cpu", progress=False)
    net = _built(training)
    _inner(net).load_state_dict(done.tensors)
    return net.eval()


@step(version=1)
def train(training: Training, *, context: Context) -> dict[str, object]:
    """Train a network and return its weights."""
    data = load("digits", "train")
    net = _built(training)

    def objective(net: nn.Module, images: Tensor, labels: Tensor, _: Tensor) -> dict[str, Tensor]:
        if training.eps:
            return adversarial_training(net, images, labels, eps=training.eps)
        return {"cross_entropy": F.cross_entropy(net(images) / training.temperature, labels)}

    recipe = Recipe(training.steps, 64, training.lr, schedule="linear")
    fit(
        net,
        data.images,
        data.labels,
        objective,
        recipe,
        seed=0,
        static=False,
        device=context.device,
    )
    return {name: weight.detach().cpu() for name, weight in _inner(net).state_dict().items()}


def _built(training: Training) -> nn.Module:
    net: nn.Module = relu_mlp(64)
    if training.noise:
        net = nn.Sequential(
            nn.Conv2d(1, 8, 6, stride=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 10),
        )
    draw_first_weights(net, generator(0, "weights"), "torch")
    if training.noise:
        return noisy(net, init=training.noise, inner=training.noise)
    return net


def _inner(net: nn.Module) -> nn.Module:
    """Return the part of the network whose weights are stored: the network without its noise
    layers.
    """
    return net.net if isinstance(net, Noisy) else net


def accuracy(correct: Tensor) -> float:
    """Return the percentage of images for which ``correct`` is true."""
    return 100 * correct.double().mean().item()


def apart(one: Tensor, other: Tensor) -> tuple[int, int]:
    """Return how many images only ``one`` marks as correct, and how many only ``other``."""
    return int((one & ~other).sum()), int((other & ~one).sum())


def in_order(counts: tuple[int, int]) -> bool:
    """Return whether one of two networks or attacks is significantly better than the other, judged
    by the images on which they differ.

    ``counts``: the result of `apart`. A sign test at the level 5 % decides. Its null hypothesis is
    that each of these images favours either side with probability 1/2.
    """
    return sum(counts) > 0 and 2 * binomial_tail(max(counts), sum(counts), 0.5) <= 0.05
