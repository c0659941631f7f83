"""Attack a network and evaluate it on the adversarial images.

An `Attack` describes an attack: its algorithm, its options, and how its gradients are computed.
`strike` runs an `Attack`. `survival` evaluates a network on the images that `strike` returns.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.arithmetic import arithmetic
from robustbook.attacks import Adversarial, autoattack, fgsm, margin, pgd, random_signs, square
from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import (
    check_choice,
    check_count,
    check_images,
    check_integers,
    check_range,
    described,
)
from robustbook.attacks.propagation import JUDGE
from robustbook.randomness import generator as generator_of
from robustbook.runs import later

from .answers import (
    PIECE,
    Model,
    asked,
    check_classes,
    check_set,
    gradients,
    logits_of,
    predict,
    rows_of,
)
from .views import rescaled, softened

Kind = Literal["none", "random-signs", "fgsm", "pgd", "square", "autoattack"]
Loss = Literal["cross_entropy", "clipped_probabilities", "squared_error", "margin", "hinge"]
Precision = Literal["float32", "float64"]
FUNCTIONS: Mapping[Kind, tuple[Callable[..., Adversarial], tuple[str, ...]]] = {
    "random-signs": (random_signs, ("eps", "clip")),
    "fgsm": (fgsm, ("eps", "clip", "loss")),
    "pgd": (pgd, ("eps", "steps", "step_size", "restarts", "loss", "clip")),
    "square": (square, ("eps", "queries")),
    "autoattack": (autoattack, ("eps", "steps", "queries")),
}
"""For each kind of attack, its function and the fields of `Attack` that are passed to it."""


@dataclass(frozen=True)
class Attack:
    """The description of an attack: an algorithm of `robustbook.attacks`, its options, and how
    gradients are computed.

    ``eps``: l-infinity radius for pixels in [0, 1].
    ``loss``: the loss that FGSM and PGD maximise.
    ``clip``: whether adversarial images are clipped to [0, 1]; the Square attack and AutoAttack
        always clip.

    ``steps``, ``step_size`` and ``restarts`` are options of PGD. The Square attack makes at most
    ``queries`` queries for each image. AutoAttack uses ``steps`` and ``queries``.

    The options ``precision``, ``flush``, ``rescale`` and ``slope`` change only the attack's
    gradients, not the evaluated network.

    ``precision``: the dtype in which gradients are computed.
    ``flush``: whether float32 numbers below 1.2e-38 become zero, as in TensorFlow's CPU kernels. On
        a GPU, ``flush`` raises an error, because GPUs lack this setting.
    ``rescale``: whether the logits are divided by a constant, their `median_lead`, so that the
        softmax does not saturate.
    ``slope``: the softness of the derivatives that the backward pass uses for sigmoids and ReLUs
        (see `softened`). With None, the backward pass uses their true derivatives.

    Raises ValueError for an unknown kind, loss or precision.
    """

    kind: Kind
    eps: float = 0.25
    loss: Loss = "cross_entropy"
    precision: Precision = "float32"
    clip: bool = False
    flush: bool = False
    rescale: bool = False
    slope: float | None = None
    steps: int = 20
    step_size: float = 0.0625
    queries: int = later(5000)
    restarts: int = later(1)

    def __post_init__(self) -> None:
        for name, accepted in (("kind", Kind), ("loss", Loss), ("precision", Precision)):
            check_choice(name, getattr(self, name), get_args(accepted))


@dataclass(frozen=True)
class Survival:
    """The result of an attack on a set of images: which images the network still classifies
    correctly.

    ``correct``: for each image, whether the network still classifies it correctly.
    ``still``: for each image, whether the adversarial image equals the clean image. Without
        clipping, a gradient attack leaves an image unchanged only if the gradient of its loss is
        zero. With clipping, it also leaves an image unchanged if the gradient points out of [0, 1]
        in every pixel.
    """

    correct: Tensor
    still: Tensor

    @property
    def accuracy(self) -> float:
        """Return the accuracy under attack, in percent."""
        return 100 * self.correct.double().mean().item()

    @property
    def unmoved(self) -> float:
        """Return the percentage of images that the attack did not change."""
        return 100 * self.still.double().mean().item()


def survival(
    net: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    attack: Attack,
    *,
    seed: int = 0,
    source: Model | None = None,
    batch_size: int = PIECE,
) -> Survival:
    """Attack a network, and evaluate ``net`` on the adversarial images. The attacked network is
    ``source`` if it is given, and ``net`` otherwise.

    ``images``: in [0, 1].
    ``seed``: seed of random signs, PGD's random starts and Square's windows.
    ``batch_size``: how many images are attacked together; the result does not depend on the batch
        size.

    The networks are not changed.

    Raises the errors that `strike` raises.
    """
    check_attack(attack)
    attacked = net if source is None else source
    chance = generator_of(seed, attack.kind)
    made = strike(attack, attacked, images, labels, generator=chance, batch_size=batch_size)
    found = made.found
    if source is not None:
        found = predict(net, made.images, batch_size, draw=JUDGE) != labels
    return Survival(~found, made.distance == 0)


def strike(
    attack: Attack,
    model: Model,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    keys: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
    batch_size: int = PIECE,
) -> Adversarial:
    """Run ``attack`` on ``model``, and evaluate ``model`` on the adversarial images. Options that
    change the attack's gradients do not change this evaluation.

    ``images``: in [0, 1], in the model's dtype; adversarial images have the same dtype.
    ``keys``: one number for each image, which determines the image's random numbers (see
        `robustbook.attacks.pgd`); by default the row number.
    ``generator``: a torch generator, from which the seed of all random numbers of the attack is
        drawn.
    ``batch_size``: how many images are attacked together; the result does not depend on the batch
        size.

    A randomised model is evaluated with a noise draw that no step of the attack uses. The model is
    not changed. If the attack's ``precision`` differs from the dtype of the images, the attack uses
    a copy of the model in this precision. Raises ValueError for an invalid argument, for ``flush``
    on a GPU, for an option that the model does not support, and for logits that are not finite.
    """
    check_attack(attack)
    check_images(images)
    check_set(images, labels)
    if keys is not None:
        check_integers("keys", keys, images)
    check_count("batch_size", batch_size)
    if attack.kind == "none":  # attacks check the range themselves
        low, high = torch.stack(images.detach().aminmax()).tolist()
        check_range(low, high, box=True)
    state = None if generator is None else generator.get_state()
    made: list[Adversarial] = []
    with unchanged(model), torch.inference_mode(False):
        images, labels = images.detach().clone(), labels.clone()
        if keys is None:
            keys = rows_of(images)
        view = _view(attack, model, images, labels)
        dtype = getattr(torch, attack.precision)
        with arithmetic(images.device, flush=attack.flush):
            for rows in torch.split(rows_of(images), batch_size):
                if generator is not None and state is not None:
                    generator.set_state(state)  # every batch uses the same seed
                x = images[rows].to(dtype)
                made.append(_launch(attack, view, x, labels[rows], keys[rows], generator))
        adversarial = torch.cat([part.images for part in made]).to(images.dtype)
        logits = logits_of(model, adversarial, batch_size, keys=keys, draw=JUDGE)
        check_classes(labels, logits)
    return Adversarial(
        images=adversarial,
        found=logits.argmax(1) != labels,
        distance=torch.cat([part.distance for part in made]).to(images.dtype),
        steps=torch.cat([part.steps for part in made]),
        forwards=sum(part.forwards for part in made) + len(images),
        backwards=sum(part.backwards for part in made),
    )


def check_attack(attack: Any) -> None:
    """Raise ValueError unless the value is an `Attack`."""
    if not isinstance(attack, Attack):
        raise ValueError(f"attack must be an Attack, got {described(attack)}")


def _view(attack: Attack, model: Model, images: Tensor, labels: Tensor) -> Model:
    """Return a model that has the same predictions as ``model``, and the gradients that the options
    of ``attack`` describe.
    """
    if attack.slope is not None:
        model = softened(model, attack.slope)
    lead = median_lead(model, images, labels) if attack.rescale else None
    dtype = getattr(torch, attack.precision)
    if images.dtype != dtype:
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"precision must be that of the images, {images.dtype}, for a model that is not an "
                f"nn.Module and so cannot be converted, got {attack.precision}"
            )
        try:
            model = copy.deepcopy(model).to(dtype)
            with torch.no_grad():
                asked(model, images[:2].to(dtype))
        except RuntimeError as error:
            raise ValueError(
                f"precision must be one that the model can compute in, got {attack.precision}, "
                f"which fails: {str(error).splitlines()[0]}"
            ) from error
    return model if lead is None else rescaled(model, lead)


def _launch(
    attack: Attack,
    model: Model,
    images: Tensor,
    labels: Tensor,
    keys: Tensor,
    generator: torch.Generator | None,
) -> Adversarial:
    """Run the algorithm that ``attack`` describes on a batch of images."""
    if attack.kind == "none":
        nothing = torch.zeros_like(labels)
        still = images.new_zeros(len(images))
        return Adversarial(images, nothing.bool(), still, nothing, forwards=0, backwards=0)
    function, names = FUNCTIONS[attack.kind]
    options = {name: getattr(attack, name) for name in names}
    return function(model, images, labels, keys=keys, generator=generator, **options)


def median_lead(net: Model, images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]) -> float:
    """Return the median over all images of the absolute value of the lead. The lead is the label's
    logit minus the highest logit of all wrong classes; it is negative for a misclassified image.
    The result is at least 1e-6, because callers divide logits by the result.
    """
    check_set(images, labels)
    logits = logits_of(net, images)
    check_classes(labels, logits)
    sizes = margin(logits, labels).abs()
    return max(sizes.median().item(), 1e-6)


def gradient_sizes(
    net: Model, images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return for each image the largest absolute component of the gradient of the cross entropy."""
    return gradients(net, images, labels).flatten(1).abs().amax(1)
