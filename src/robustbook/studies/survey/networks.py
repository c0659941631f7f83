"""Define the networks of the survey, and train them with a defense.

All studies of the survey train their networks with this module, so that a network that several
studies need is trained only once. The result of training contains the weights and the buffers of
the network, such as the running statistics of batch norm.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from robustbook import networks
from robustbook.attacks.buffers import running_statistics
from robustbook.attacks.checks import check_count, check_positive
from robustbook.attacks.inner import climb
from robustbook.data import load
from robustbook.defenses import (
    SignedSteps,
    Weights,
    denoised,
    inner_fgsm,
    inner_pgd,
    trades,
    weighted_training,
)
from robustbook.randomness import generator
from robustbook.runs import Context, Done, later, step
from robustbook.studies.fitting import fitted, history, part, weights
from robustbook.training import Objective, Recipe

Networks = Literal[
    "madry",
    "tramer-b",
    "wong",
    "mosbach",
    "madry-simple",
    "madry-wide",
    "resnet18",
    "preact18",
    "preact20",
    "resnet110",
    "softmax",
    "maxout",
    "maxout-large",
]
BUILDERS: Mapping[str, Callable[[torch.Generator, int], nn.Module]] = {
    "madry": networks.madry_mnist,
    "tramer-b": networks.tramer_b,
    "wong": networks.wong_mnist,
    "mosbach": networks.mosbach_mnist,
    "madry-simple": networks.madry_resnet,
    "madry-wide": partial(networks.madry_resnet, wide=10),
    "resnet18": networks.resnet18,
    "preact18": networks.preact18,
    "preact20": networks.preact20,
    "resnet110": networks.resnet110,
    "softmax": networks.softmax_regression,
    "maxout": networks.maxout,
    "maxout-large": networks.maxout_large,
}


@dataclass(frozen=True)
class Blocks:
    """The denoising blocks of a residual network: which filter they use, where they are placed, and
    which layers they have (see `robustbook.defenses.denoised`).
    """

    kind: Literal["gaussian", "dot", "bilateral", "mean", "median", "null"]
    after: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")
    convolution: bool = True
    residual: bool = True


@dataclass(frozen=True)
class Model:
    """A network and its training set.

    ``narrow``: the number by which the network's widths are divided.
    ``images``: the number of training images, taken from the start of the training set; with None,
        all images are used.
    ``blocks``: the denoising blocks of the network, if it has any.
    """

    data: str
    network: Networks
    narrow: int = 1
    images: int | None = None
    blocks: Blocks | None = later(None)


@dataclass(frozen=True)
class L2Steps:
    """PGD in the l2 norm as the inner attack of adversarial training.

    The attack starts at a random point inside the l2 ball of radius ``eps``, and takes ``steps``
    steps of length ``step_size`` along the gradient. After each step, images are projected onto the
    ball and clipped to [0, 1].
    """

    eps: float
    steps: int
    step_size: float

    def __post_init__(self) -> None:
        check_positive("eps", self.eps)
        check_count("steps", self.steps)
        check_positive("step_size", self.step_size)

    def __call__(self, net: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        away = torch.randn_like(images)
        length = away.flatten(1).norm(dim=1) / torch.rand_like(images.flatten(1)[:, 0])
        start = images + self.eps * away / length.view(-1, 1, 1, 1)
        with running_statistics(net):
            return climb(
                net,
                images,
                labels,
                eps=self.eps,
                steps=self.steps,
                step_size=self.step_size,
                norm=2,
                start=start,
            )


@dataclass(frozen=True)
class Defense:
    """The training objective of a network.

    ``weights``: the weights of the loss terms (see `robustbook.defenses.weighted_training`).
    ``noise``: the standard deviation of the noise that is added to the images in the weighted loss
        terms.
    ``smoothing``: the amount of label smoothing in the weighted loss terms.
    ``attack``: the attack in each training step; with None, no loss term uses adversarial images.
    ``beta``: if above 0, the objective is TRADES with this weight (see
        `robustbook.defenses.trades`), which ignores all fields but ``attack``.
    ``sigma``: the standard deviation of Gaussian noise on all training images, for randomized
        smoothing (Cohen et al. 2019). Images with noise are not clipped.
    ``rise``: the fraction of the training steps over which the radius and the step size of the
        attack (a `SignedSteps`) rise linearly to their values. With 0 they are constant.
    """

    weights: Weights = Weights(clean=1.0)
    attack: SignedSteps | L2Steps | None = None
    noise: float = 0.0
    smoothing: float = 0.0
    beta: float = 0.0
    sigma: float = 0.0
    rise: float = later(0.0)


PLAIN = Defense()
"""Training on clean images only."""


def pgd_training(eps: float, steps: int, step_size: float, rise: float = 0.0) -> Defense:
    """Return the defense of Madry et al. 2018: training only on adversarial images of PGD.

    PGD starts at a uniformly random point of the l-infinity ball. In the paper, the radius is
    constant (``rise`` 0).
    """
    return Defense(Weights(adversarial=1.0), inner_pgd(eps, steps, step_size), rise=rise)


def l2_training(attack: L2Steps) -> Defense:
    """Return the defense that trains only on adversarial images of an attack in the l2 norm."""
    return Defense(Weights(adversarial=1.0), attack)


def fgsm_training(eps: float) -> Defense:
    """Return the defense that trains only on adversarial images of FGSM, without a random start and
    with clipping to [0, 1].
    """
    return Defense(Weights(adversarial=1.0), inner_fgsm(eps, clip=True))


def objective(defense: Defense) -> Objective:
    """Return the function that computes the loss terms of training with this defense."""
    if defense.beta:
        assert isinstance(defense.attack, SignedSteps)
        return partial(_of_trades, defense.attack, defense.beta)
    return partial(_weighted, defense)


def _of_trades(
    attack: SignedSteps, beta: float, net: nn.Module, images: Tensor, labels: Tensor, _: Tensor
) -> Mapping[str, Tensor]:
    return trades(net, images, labels, attack=attack, beta=beta)


def _weighted(
    defense: Defense, net: nn.Module, images: Tensor, labels: Tensor, share: Tensor
) -> Mapping[str, Tensor]:
    attack = defense.attack
    if defense.rise and attack is not None:
        now = float(share)
        attack = replace(attack, eps=now * attack.eps, step_size=now * attack.step_size)
    if defense.sigma:
        images = images + defense.sigma * torch.randn_like(images)
    return weighted_training(
        net,
        images,
        labels,
        weights=defense.weights,
        attack=attack,
        noise=defense.noise,
        smoothing=defense.smoothing,
    )


def share_of_radius(defense: Defense, recipe: Recipe) -> Callable[[int], float]:
    """Return a function from the training step to the fraction of the attack's radius that it uses.
    The fraction rises linearly to 1 over the first part of the training, and is 1 after it. The
    field ``defense.rise`` is the length of this part, as a fraction of all steps.
    """
    return partial(_risen, defense.rise * recipe.steps)


def _risen(steps: float, step: int) -> float:
    return min(1.0, (step + 1) / max(steps, 1.0))


def built(model: Model, seed: int) -> nn.Module:
    """Return the network with its initial weights.

    Outside the denoising blocks, these are the same as in a network without blocks.
    """
    net = BUILDERS[model.network](generator(seed, "weights"), model.narrow)
    if model.blocks is None:
        return net
    return denoised(net, generator=generator(seed, "blocks"), **asdict(model.blocks))


@step(version=1)
def train(
    model: Model, defense: Defense, recipe: Recipe, seed: int, *, context: Context
) -> dict[str, object]:
    """Train a network.

    ``state/<name>``: the weights and buffers after training.
    ``history/<term>``: the mean of a loss term in each epoch.
    ``seconds``: the training time.
    """
    data = load(model.data, "train").subset(model.images)
    net = built(model, seed)
    done = fitted(
        net,
        data.images,
        data.labels,
        objective(defense),
        recipe,
        seed,
        context,
        coefficient=share_of_radius(defense, recipe),
        static=False,
    )
    return {**weights(net), **history(done), "seconds": done.seconds}


def model_of(result: Done) -> Model:
    """Return the `Model` of a result of `train`."""
    model: Model = result.call.arguments["model"]
    return model


def trained(result: Done, device: str) -> nn.Module:
    """Load the trained network from a result, in evaluation mode."""
    net = built(model_of(result), result.call.arguments["seed"])
    net.load_state_dict(part(result))
    return net.to(device).eval()
