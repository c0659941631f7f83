r"""Compute two losses of adversarial training: a weighted sum of five terms, and the loss of
TRADES.

For clean logits z, logits z' of the adversarial images, and labels y, `weighted_training` minimises

.. math:: \lambda_1 L(z, y) + \lambda_2 L(z', y) + \lambda_3\,\mathrm{mean}_{ik}(z_{ik}-z'_{ik})^2
          + \lambda_4\,\mathrm{mean}_{ik}(z^{(1)}_{ik}-z^{(2)}_{ik})^2
          + \lambda_5\,\mathrm{mean}_i \|z_i\|_2.

This loss is from Mosbach, Andriushchenko, Trost, Hein and Klakow 2018 (arXiv 1810.12042).
Goodfellow et al. 2015 use the weights (alpha, 1 - alpha, 0, 0, 0), and Madry et al. 2018 (0, 1, 0,
0, 0). Each training step computes the adversarial images for the current network; the gradient of
the loss treats them as constants.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.buffers import running_statistics
from robustbook.attacks.checks import check_integers, check_positive, check_tolerance

from .inner_attacks import (
    InnerAttack,
    Network,
    SignedSteps,
    divergence,
    entropy,
    gradient_at_image,
    same_while_attacking,
)


@dataclass(frozen=True)
class Weights:
    """The weights of the five terms of `weighted_training`.

    ``clean``: weight of the cross entropy on clean images.
    ``adversarial``: weight of the cross entropy on adversarial images.
    ``pairing``: weight of adversarial logit pairing (ALP, Kannan et al. 2018), the mean squared
        difference between clean and adversarial logits. The gradient of this term flows through
        both.
    ``clean_pairing``: weight of clean logit pairing (CLP), the mean squared difference between the
        clean logits of the two halves of the batch.
    ``squeezing``: weight of logit squeezing (LSQ), the mean l2 norm of the clean logits.
    """

    clean: float = 0.0
    adversarial: float = 0.0
    pairing: float = 0.0
    clean_pairing: float = 0.0
    squeezing: float = 0.0

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, value in values.items():
            check_tolerance(name, value)
        if not any(values.values()):
            raise ValueError("weights must have at least one number above 0, got all 0")

    @property
    def need_attack(self) -> bool:
        """Return whether a loss term with a weight above 0 depends on adversarial images."""
        return self.adversarial > 0 or self.pairing > 0

    @property
    def need_clean(self) -> bool:
        """Return whether a loss term with a weight above 0 depends on clean images."""
        return any(value > 0 for name, value in asdict(self).items() if name != "adversarial")


def goodfellow(alpha: float = 0.5) -> Weights:
    """Return the weights of the loss terms of Goodfellow, Shlens and Szegedy 2015 (arXiv
    1412.6572). Raises ValueError unless ``alpha`` is in [0, 1].
    """
    if check_tolerance("alpha", alpha) > 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha!r}")
    return Weights(clean=alpha, adversarial=1 - alpha)


MOSBACH: Mapping[str, Weights] = MappingProxyType(
    {
        "Plain": Weights(clean=1.0),
        "CLP": Weights(clean=1.0, clean_pairing=0.5),
        "LSQ": Weights(clean=1.0, squeezing=0.5),
        "Plain + ALP": Weights(clean=1.0, pairing=1.0),
        "50% AT": Weights(clean=0.5, adversarial=0.5),
        "50% AT + ALP": Weights(clean=0.5, adversarial=0.5, pairing=1.0),
        "100% AT": Weights(adversarial=1.0),
        "100% AT + ALP": Weights(adversarial=1.0, pairing=1.0),
    }
)
"""Weights for each row of the tables of Mosbach et al. 2018. Those of CLP and LSQ are not from the
paper, but from a re-implementation and from the default of the authors' script. The script can add
noise to the images; by default it does not.
"""


def weighted_training(
    net: Network,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    weights: Weights,
    attack: InnerAttack | None = None,
    noise: float = 0.0,
    smoothing: float = 0.0,
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted loss terms, whose sum is to be minimised. Terms of weight 0 are not
    computed.

    ``labels``: the true classes, or the probabilities of the classes.
    ``attack``: the inner attack, which gets the images without noise. If no term of the loss
        depends on adversarial images, the attack is not run.
    ``noise``: standard deviation of normal noise on the clean images, which are then clipped to [0,
        1].
    ``smoothing``: label smoothing of the two cross entropies, in [0, 1).

    In the loss, batch norm layers use the statistics of the clean batch and of the adversarial
    batch separately. They update their running statistics first with the clean batch, then with the
    adversarial batch. For a batch of odd size, CLP leaves out the last image.

    The attack and the loss share one forward pass of the clean images if three conditions hold.
    First, the attack is a `SignedSteps` attack that starts at the clean image. Second, ``noise`` is
    0. Third, no batch norm or dropout layer is in training mode and no layer is random, so that
    attack and loss need the same logits. The adversarial images always need a forward pass for the
    loss, because the attack does not evaluate its last iterate.
    """
    if not isinstance(weights, Weights):
        raise ValueError(f"weights must be a Weights, got {weights!r}")
    if isinstance(attack, SignedSteps) and attack.loss != "cross_entropy":
        raise ValueError(f"attack must increase the cross entropy, got the loss {attack.loss!r}")
    if not weights.need_attack:
        attack = None
    elif attack is None:
        raise ValueError("attack must be given, because a term needs adversarial images; got None")
    check_tolerance("noise", noise)
    if check_tolerance("smoothing", smoothing) >= 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing}")
    _check_batch(images, labels)
    clean: Any = None
    moved = None
    if attack is not None:
        shared = weights.need_clean and not noise and same_while_attacking(net)
        if shared and isinstance(attack, SignedSteps) and attack.start == "image":
            clean, gradient = gradient_at_image(net, images, labels, attack.function)
            moved = attack(net, images, labels, gradient)
        else:
            moved = attack(net, images, labels)
    if weights.need_clean and clean is None:
        clean = net(_noisy(images, noise))
    adversarial: Any = None if moved is None else net(moved)

    terms = {}
    if weights.clean:
        terms["clean"] = entropy(clean, labels, label_smoothing=smoothing)
    if weights.adversarial:
        terms["adversarial"] = entropy(adversarial, labels, label_smoothing=smoothing)
    if weights.pairing:
        terms["pairing"] = (clean - adversarial).square().mean()
    if weights.clean_pairing:
        terms["clean_pairing"] = _halves_apart(clean)
    if weights.squeezing:
        terms["squeezing"] = torch.linalg.vector_norm(clean, dim=1).mean()
    return {name: getattr(weights, name) * value for name, value in terms.items()}


def _check_batch(images: Tensor, labels: Tensor) -> None:
    """Raise ValueError for an empty batch, and for labels that are neither int64 class numbers nor
    rows of probabilities.
    """
    if not len(images):
        raise ValueError("images must hold one image or more, got none")
    if labels.ndim != 2 or not labels.is_floating_point():
        check_integers("labels", labels, images)


def _noisy(images: Tensor, noise: float) -> Tensor:
    return (images + noise * torch.randn_like(images)).clamp(0, 1) if noise else images.clone()


def _halves_apart(logits: Tensor) -> Tensor:
    half = len(logits) // 2
    if not half:
        raise ValueError(f"clean pairing needs a batch of at least 2 images, got {len(logits)}")
    return (logits[:half] - logits[half : 2 * half]).square().mean()


def trades(
    net: Network,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    attack: SignedSteps,
    beta: float = 6.0,
) -> dict[str, Float[Tensor, ""]]:
    r"""Return the two loss terms of TRADES (Zhang et al. 2019, arXiv 1901.08573): ``clean`` is the
    cross entropy on clean images, and ``divergence`` is
    :math:`\beta\,\mathrm{mean}\,\mathrm{KL}(p(x)\,\|\,p(x'))`.

    ``attack``: the inner attack, from `inner_trades`, which increases the divergence from the clean
        image's probabilities.
    ``beta``: weight of the divergence, a number above 0. The gradient of the divergence flows
        through the clean and the adversarial probabilities.

    The attack needs the logits of the clean images. If the network gives the same logits in attack
    and loss, or if the attack uses batch statistics, the attack uses the logits of the loss.
    Otherwise, one more forward pass with running statistics computes the logits for the attack. In
    the released code, each step of the attack computes these logits again, in evaluation mode.
    """
    check_positive("beta", beta)
    if not isinstance(attack, SignedSteps):
        raise ValueError(f"attack must be a SignedSteps, such as inner_trades, got {attack!r}")
    if attack.loss != "divergence":
        raise ValueError(
            "attack must increase the divergence, as inner_trades does, "
            f"got the loss {attack.loss!r}"
        )
    _check_batch(images, labels)
    if same_while_attacking(net) or attack.statistics == "batch":
        clean = net(images.clone())  # a network may change its input in place
        adversarial = attack(net, images, clean.detach().log_softmax(1))
    else:
        with running_statistics(net), torch.no_grad():
            goal = net(images.clone()).log_softmax(1)
        adversarial = attack(net, images, goal)
        # This pass comes after the attack, because it updates the running statistics.
        clean = net(images.clone())
    apart = divergence(net(adversarial), clean.log_softmax(1)).mean()
    return {"clean": entropy(clean, labels), "divergence": beta * apart}
