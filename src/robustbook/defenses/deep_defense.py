r"""Deep Defense (Yan, Guo and Zhang 2018, arXiv 1803.00404): make DeepFool's perturbations larger.

With :math:`\rho_k = \|1.02\,r_k\|_2 / \|x_k\|_2` of DeepFool's perturbation of the k-th image, in
the numbers that the network's first layer sees, the loss of a batch of n is

.. math:: \frac1n\sum_k L(y_k, f(x_k)) + \frac\lambda n\sum_{k\in T} e^{-c\rho_k}
          + \frac\lambda n\sum_{k\in F} e^{+d\rho_k}

(eq. 6; the formula sums over the training set, the released code divides by the batch). T are the
images the network now names correctly: DeepFool moves them away from the answer. F are the others:
it moves them to their label, at each step from whatever the network answers at that point. Steps,
overshoot and offset are those of the released code, as in the preset "authors" of `deepfool`.

The gradient goes through everything differentiable: the logits and their gradients at each iterate,
and the iterates themselves. The choices (the nearest class, who is done) and ||x|| are constants.
The authors build a second network for the gradients and differentiate that; for piecewise linear
networks it is the same as differentiating twice, as here.

What makes it fast: images that are done leave the batch; the first forward pass is that of the
cross entropy; and of the classes only the nearest gets a gradient that is differentiated again. The
others' gradients only decide which is nearest, so they are kept no longer than that, and are taken
only for classes that can be it (see `_nearest`).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robustbook.attacks.deepfool import rivals
from robustbook.attacks.norms import per_image
from robustbook.networks import Prepared
from robustbook.training import Diverged

from .freezing import Frozen

FIRST = 4
"""How many classes get a gradient at the image before the others are asked whether they can be
nearer. Later, in front of a boundary, it is one, and ``slack`` counts twice."""


def deep_defense(
    net: nn.Module,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    lam: float = 15.0,
    c: float = 25.0,
    d: float = 5.0,
    steps: int = 5,
    overshoot: float = 0.02,
    offset: float = 5e-6,
    candidates: int | None = None,
    slack: float = 1.75,
    generator: torch.Generator | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The terms ``cross_entropy``, ``correct`` and ``wrong``, already weighted, whose sum is
    minimised.

    net: with a `Prepared` one, perturbations and norms are taken behind its preprocessing. Layers
        are frozen while the loss is computed: batch norms use their running statistics, and an
        image keeps its dropout masks through all iterations.
    images: in [0, 1]. labels: the true classes.
    lam, c, d: above 0; the weight of both terms (15, released code), the scale for correct images
        (25, released code, on MNIST) and for wrong ones (5, released code).
    steps: of DeepFool at most; 5, released code.
    overshoot: 0.02, released code.
    offset: added to each component of a gradient inside its norm: 5e-6 on MNIST, 1e-5 on CIFAR-10,
        released code.
    candidates: how many other classes are looked at, the highest logits at the image first; None:
        all, as the released code does with 10 classes. DeepFool's own default is 9.
    slack: a class that could be the nearest only with a gradient more than this many times the mean
        of the four most likely ones' is passed over. Ours; with math.inf none is. The default never
        changed the choice in 25,000 of MNIST's training images with the MLP and LeNet, before and
        after a hundred steps of this training.
    generator: draws the dropout masks of this step; needed if the network has dropout.

    Raises Diverged, naming the term and the batch's rho, where one is NaN or infinite.
    """
    for name, value in (("lam", lam), ("c", c), ("d", d), ("offset", offset), ("slack", slack)):
        if not value > 0 or (value == math.inf and name != "slack"):
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps!r}")
    prepare, body = (net.preprocess, net.body) if isinstance(net, Prepared) else (None, net)
    with Frozen(body, generator) as frozen:
        x = (images if prepare is None else prepare(images)).detach()
        rows = torch.arange(len(x), device=x.device)
        point = x.clone().requires_grad_()
        logits = frozen(point, rows)
        cross_entropy = F.cross_entropy(logits, labels)
        source = logits.argmax(1)
        right = source == labels
        classes = rivals(logits.detach(), source, candidates)
        r = torch.zeros_like(x)
        for step in range(1, steps + 1):
            target = labels[rows].clone()  # of the wrong ones
            away = right[rows].nonzero().squeeze(1)
            if len(away):
                first, most = (FIRST, slack) if step == 1 else (1, 2 * slack)
                target[away] = _nearest(
                    frozen, logits, point, source, classes[rows], rows, away, offset, first, most
                )
            margin = _margin(logits, source, target)
            (w,) = torch.autograd.grad(margin.sum(), point, create_graph=True)
            size = _norm(w, offset)
            r = r.index_add(0, rows, w * per_image(margin.abs() / size**2, w))
            if step == steps:
                break
            with torch.no_grad():
                answers = frozen((x + (1 + overshoot) * r)[rows], rows).argmax(1)
            rows = rows[torch.where(right[rows], answers == labels[rows], answers != labels[rows])]
            if not len(rows):
                break
            point = x[rows] + r[rows]
            logits = frozen(point, rows)
            source = torch.where(right[rows], labels[rows], logits.argmax(1))

    rho = (1 + overshoot) * _norm(r) / _norm(x)
    share = lam / len(x)
    terms = {
        "cross_entropy": cross_entropy,
        "correct": share * torch.exp(-c * rho[right]).sum(),
        "wrong": share * torch.exp(d * rho[~right]).sum(),
    }
    _refuse_nonfinite(terms, rho.detach(), right)
    return terms


@torch.enable_grad()
def _nearest(
    model: Callable[[Tensor, Tensor], Tensor],
    logits: Float[Tensor, "m k"],
    point: Float[Tensor, "m *shape"],
    source: Int[Tensor, " m"],
    classes: Int[Tensor, "m others"],
    rows: Int[Tensor, " m"],
    away: Int[Tensor, " a"],
    offset: float,
    first: int,
    slack: float,
) -> Int[Tensor, " a"]:
    """For each image in ``away`` the class whose linearised boundary is nearest: a constant.

    The classes with the smallest |f| get gradients through the graph that is there. Another can be
    nearest only if its gradient is longer than |f| over the least distance so far; where that is
    more than ``slack`` times the mean of the gradients so far it is passed over. The few left are
    rows, each a pair of image and class, of a batch of their own.
    """
    f = (logits.gather(1, classes) - logits.gather(1, source[:, None])).detach().abs()
    f, order = f.sort(1)
    classes = classes.gather(1, order)
    first = classes.shape[1] if slack == math.inf else min(first, classes.shape[1])
    sizes = torch.stack(
        [
            _norm(
                torch.autograd.grad(
                    _margin(logits, source, classes[:, j]).sum(), point, retain_graph=True
                )[0],
                offset,
            )
            for j in range(first)
        ],
        1,
    )
    distances = torch.full_like(f, math.inf)
    distances[:, :first] = f[:, :first] / sizes
    longest = slack * sizes.mean(1, keepdim=True)
    can = (f < distances.amin(1, keepdim=True) * longest) & distances.isinf()
    image, place = (can & _marked(away, can)).nonzero(as_tuple=True)
    if len(image):
        there = point[image].detach().requires_grad_()
        margin = _margin(model(there, rows[image]), source[image], classes[image, place])
        (gradient,) = torch.autograd.grad(margin.sum(), there)
        distances[image, place] = f[image, place] / _norm(gradient, offset)
    return classes.gather(1, distances.argmin(1, keepdim=True))[away, 0]


def _margin(
    logits: Float[Tensor, "m k"], source: Int[Tensor, " m"], target: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """How far the target's logit is above the source's: f of DeepFool."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, source[:, None])).squeeze(1)


def _norm(vectors: Float[Tensor, "m *shape"], offset: float = 0.0) -> Float[Tensor, " m"]:
    """The l2 norm of each, the offset added to each component."""
    sizes: Tensor = torch.linalg.vector_norm(vectors.flatten(1) + offset, dim=1)
    return sizes


def _marked(index: Int[Tensor, " a"], like: Bool[Tensor, "m others"]) -> Bool[Tensor, "m 1"]:
    """True in the rows that the index names."""
    return torch.zeros_like(like[:, :1]).index_fill(0, index, True)


def _refuse_nonfinite(
    terms: dict[str, Tensor], rho: Float[Tensor, " n"], right: Bool[Tensor, " n"]
) -> None:
    """Stop where a term is NaN or infinite, saying what the perturbations were."""
    for name, value in terms.items():
        if not bool(value.isfinite()):
            which = ~right if name == "wrong" else right
            mine = rho[which] if name != "cross_entropy" else rho
            raise Diverged(
                f"{name} became {value.item()}: rho of the batch's {len(mine)} images of this term "
                f"is from {mine.min().item():.3g} to {mine.max().item():.3g}"
            )
