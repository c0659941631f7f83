"""Define the inner attacks of adversarial training, which compute adversarial images in each
training step.

An inner attack is a function from (network, images, labels) to adversarial images, which the
training loss treats as constants. `SignedSteps` implements FGSM, PGD and the single-step attacks
with a random start. `inner_attack` turns any attack of `robustbook.attacks` into an inner attack.
An inner attack never changes the buffers of the network. By default, batch norm layers use their
running statistics during the attack; dropout and all other layers keep their mode (training or
evaluation).
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from robustbook.attacks.buffers import batch_statistics, running_statistics
from robustbook.attacks.checks import (
    check_choice,
    check_count,
    check_eps,
    check_positive,
    check_range,
)
from robustbook.attacks.inner import climb
from robustbook.attacks.losses import Loss
from robustbook.attacks.result import Adversarial

from .freezing import varies

Network = Callable[[Tensor], Tensor]
InnerAttack = Callable[[Network, Tensor, Tensor], Tensor]
Start = Literal["image", "uniform", "gaussian"]
Statistics = Literal["running", "batch"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of each image. Unlike in `robustbook.attacks`, labels may also be
    probabilities of the classes.
    """
    return entropy(logits, labels, reduction="none")


def entropy(logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
    """Return torch's cross entropy, but treat the label -100 as wrong. (By default, torch leaves
    out images with this label.) Raises ValueError if ``labels`` are probabilities whose shape is
    not that of the logits. For a label that is no class of the logits, ValueError is raised only on
    a CPU.
    """
    if labels.ndim == 2 and labels.shape != logits.shape:
        raise ValueError(
            f"labels must have the shape of the logits, {tuple(logits.shape)}, "
            f"got {tuple(labels.shape)}"
        )
    try:
        return F.cross_entropy(logits, labels, ignore_index=_NO_LABEL, **options)
    except IndexError as error:
        low, high = int(labels.min()), int(labels.max())
        raise ValueError(
            f"labels must be class numbers from 0 to {logits.shape[1] - 1}, "
            f"got {low if low < 0 else high}"
        ) from error


_NO_LABEL = torch.iinfo(torch.int64).min


@dataclass(frozen=True)
class SignedSteps:
    """An inner attack whose steps add ``step_size`` times the sign of the loss gradient.

    ``eps``: l-infinity radius, above 0. If ``clip`` is True, pixels lie in [0, 1], so the radius is
        at most 1. Otherwise pixels may have another range, for example grey levels in 0..255.
    ``steps``: the number of steps.
    ``step_size``: the size of one step.
    ``start``: the starting point: ``image`` (the image itself), ``uniform`` or ``gaussian``. A
        ``uniform`` start is drawn from the cube of half-width ``width * eps`` around the image. A
        ``gaussian`` start is the image plus normal noise of standard deviation 0.001, as in TRADES.
    ``width``: half the side of the cube from which a ``uniform`` start is drawn, divided by eps.
    ``project``: whether the starting point and the iterates are projected onto the l-infinity ball
        of radius eps around the image.
    ``clip``: whether iterates are clipped to [0, 1]. If True, the images must lie in [0, 1] too,
        which is checked on a CPU only.
    ``clip_start``: whether the starting point is also clipped to [0, 1]; ignored if ``clip`` is
        False.
    ``statistics``: what batch norm layers use during the attack: ``running`` or ``batch``
        statistics.
    ``loss``: the loss that the attack increases: ``cross_entropy``, which uses the labels, or
        ``divergence``, the Kullback-Leibler divergence from the clean image's probabilities, as in
        TRADES.

    Random starts come from torch's global generator, which `robustbook.training.fit` seeds by
    (seed, step). An attack of k steps costs k forward and k backward passes. The attack does not
    evaluate its last iterate, because it needs no gradient there. So of the attack's forward
    passes, the training loss can reuse only the one at the starting point (see
    `gradient_at_image`).
    """

    eps: float
    steps: int
    step_size: float
    start: str = "uniform"
    width: float = 1.0
    project: bool = True
    clip: bool = True
    clip_start: bool = True
    statistics: str = "running"
    loss: Literal["cross_entropy", "divergence"] = "cross_entropy"

    def __post_init__(self) -> None:
        for name in ("project", "clip", "clip_start"):
            check_choice(name, getattr(self, name), (True, False))
        check_positive("eps", self.eps)
        if self.clip:
            check_eps(self.eps, torch.empty(0))
        check_count("steps", self.steps)
        check_positive("step_size", self.step_size)
        check_positive("width", self.width)
        check_choice("start", self.start, get_args(Start))
        check_choice("statistics", self.statistics, get_args(Statistics))
        check_choice("loss", self.loss, ("cross_entropy", "divergence"))

    @property
    def function(self) -> Loss:
        """Return the loss function."""
        return divergence if self.loss == "divergence" else cross_entropy

    def __call__(
        self, net: Network, images: Tensor, labels: Tensor, gradient: Tensor | None = None
    ) -> Tensor:
        """Return the adversarial images. The argument ``gradient`` is the gradient of the loss at
        the starting point, if the caller has already computed it.
        """
        if self.clip and images.device.type == "cpu" and images.numel():
            low, high = images.aminmax()
            check_range(float(low), float(high), box=True)
        use = running_statistics if self.statistics == "running" else batch_statistics
        with use(net):
            return climb(
                net,
                images,
                labels,
                eps=self.eps if self.project else math.inf,
                steps=self.steps,
                step_size=self.step_size,
                start=self._started(images),
                loss=self.function,
                clip=self.clip,
                clip_start=self.clip_start,
                gradient=gradient,
            )

    def _started(self, images: Tensor) -> Tensor | None:
        if self.start == "image":
            return None
        if self.start == "gaussian":
            return images + 0.001 * torch.randn_like(images)
        return images + self.width * self.eps * (2 * torch.rand_like(images) - 1)


def inner_fgsm(eps: float, *, clip: bool = False) -> SignedSteps:
    """Return FGSM (Goodfellow et al. 2015) as an inner attack, which makes one step of size eps
    from the clean image. By default images are not clipped, because the paper does not mention
    clipping.
    """
    check_positive("eps", eps)
    check_eps(eps, torch.empty(0))
    return SignedSteps(eps, 1, eps, start="image", clip=clip)


def inner_pgd(
    eps: float,
    steps: int,
    step_size: float,
    *,
    start: str = "uniform",
    statistics: str = "running",
) -> SignedSteps:
    """Return PGD (Madry et al. 2018, arXiv 1706.06083) as an inner attack. By default, the starting
    point is drawn uniformly from the ball. Iterates are clipped to [0, 1].
    """
    return SignedSteps(eps, steps, step_size, start=start, statistics=statistics)


def inner_fgsm_rs(
    eps: float,
    step_size: float | None = None,
    *,
    clip_start: bool = True,
    statistics: str = "running",
) -> SignedSteps:
    """Return FGSM with a random start (Wong, Rice and Kolter 2020, arXiv 2001.03994) as an inner
    attack.

    ``step_size``: size of the step; None means 1.25 eps, as in the paper on MNIST and CIFAR-10.
    ``clip_start``: whether the starting point is clipped to [0, 1]. The released code clips the
        starting point on CIFAR-10, but not on MNIST.
    ``statistics``: what batch norm layers use during the attack: ``running`` or ``batch``
        statistics. The released code uses ``batch``, and also updates the running statistics during
        the attack, which this code never does.
    """
    length = 1.25 * eps if step_size is None else step_size
    return SignedSteps(eps, 1, length, clip_start=clip_start, statistics=statistics)


def inner_n_fgsm(
    eps: float,
    step_size: float | None = None,
    *,
    k: float = 2.0,
    statistics: str = "running",
) -> SignedSteps:
    """Return N-FGSM (de Jorge et al. 2022, arXiv 2202.01181) as an inner attack. N-FGSM adds
    uniform noise of half-width k eps to the image, and then makes one step of size ``step_size``
    (None means eps) without projection.

    The adversarial images may lie outside the ball of radius eps: their l-infinity distance from
    the clean images is at most k eps + step_size.
    """
    length = eps if step_size is None else step_size
    return SignedSteps(eps, 1, length, width=k, project=False, statistics=statistics)


def inner_trades(
    eps: float, steps: int, step_size: float, *, statistics: str = "running"
) -> SignedSteps:
    """Return the inner attack of TRADES (Zhang et al. 2019, arXiv 1901.08573), which `trades`
    needs. The attack starts at the image plus normal noise of standard deviation 0.001, and
    increases the Kullback-Leibler divergence from the clean image's probabilities.
    """
    return SignedSteps(
        eps,
        steps,
        step_size,
        start="gaussian",
        clip_start=False,
        statistics=statistics,
        loss="divergence",
    )


def divergence(logits: Tensor, log_probabilities: Tensor) -> Tensor:
    """Return for each image KL(p || q), where log p is given and q is the softmax of the logits."""
    log_q = logits.log_softmax(1)
    return F.kl_div(log_q, log_probabilities, reduction="none", log_target=True).sum(1)


def inner_attack(attack: Callable[..., Any], **options: Any) -> InnerAttack:
    """Return an attack of the package, such as `pgd` or `carlini_wagner`, as an inner attack.

    ``options``: keyword arguments of the attack. If ``generator`` is not given, torch's global
        generator draws a new seed for the attack in each training step.

    On a GPU, training with an attack whose operations depend on the data needs
    ``fit(static=False)``, because the attack cannot be recorded as a CUDA graph. If a minimal-norm
    attack fails on an image, the inner attack returns the clean image. Raises ValueError for
    ``targets``, because adversarial training needs untargeted attacks, which increase the loss of
    the true label.
    """
    if not callable(attack):
        raise ValueError(f"attack must be a function of robustbook.attacks, got {attack!r}")
    try:
        inspect.signature(attack).bind(None, None, None, **options)
    except TypeError as error:
        raise ValueError(f"options must be keyword arguments of the attack, got: {error}") from None
    given = {**(attack.keywords if isinstance(attack, functools.partial) else {}), **options}
    if given.get("targets") is not None:
        raise ValueError(
            "inner attack must be untargeted, because the training objective maximises the loss of "
            "the true label over the perturbation; got an attack with targets"
        )
    norm = given.get("norm", math.inf)
    check_choice("norm", norm, (2, math.inf))
    if "eps" in given:
        check_positive("eps", given["eps"])
        check_eps(given["eps"], torch.empty(0), float(norm))
    return functools.partial(_attacked, attack, options)


def _attacked(
    attack: Callable[..., Any],
    options: Mapping[str, Any],
    net: Network,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    options = dict(options)
    if "generator" not in options and "generator" in inspect.signature(attack).parameters:
        number = int(torch.randint(2**62, ()))
        options["generator"] = torch.Generator().manual_seed(number)
    with running_statistics(net):
        found = attack(net, images, labels, **options)
    if not isinstance(found, Adversarial):
        raise ValueError(
            "attack must return adversarial images, as the functions of robustbook.attacks do, "
            f"got {type(found).__name__}"
        )
    return found.images.detach()


def gradient_at_image(
    net: Network, images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Return the logits of the images, and the gradient of the loss with respect to the images,
    from one forward pass. Autograd can differentiate the logits with respect to the weights.
    """
    point = images.detach().clone().requires_grad_()
    logits = net(point.clone())
    (gradient,) = torch.autograd.grad(loss(logits, labels).sum(), point, retain_graph=True)
    return logits, gradient


def same_while_attacking(net: object) -> bool:
    """Return whether the network gives the same logits during the attack and in the training loss.

    The logits are the same if no batch norm layer and no dropout layer of the network is in
    training mode, and if no layer is random.
    """
    modules = net.modules() if isinstance(net, nn.Module) else ()
    return not any(
        (m.training and isinstance(m, _NormBase | _DropoutNd)) or varies(m, m.training)
        for m in modules
    )
