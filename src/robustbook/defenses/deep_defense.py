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
only for classes that can be it (see `_nearest`). In front of a boundary that is nearly always the
likeliest class, and the gradient that tells is then the one that is differentiated.
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

FIRST = 5
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
    slack: float = 1.7,
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
        of the five most likely ones' is passed over. Ours; with math.inf none is. The default never
        changed the choice in 25,000 of MNIST's training images with the MLP and LeNet, before and
        after this training, where the most that was needed is 1.65.
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
            away = right[rows]
            f, others = _by_margin(logits, source, classes[rows])
            target = torch.where(away, others[:, 0], labels[rows])
            known = None if step == 1 else _slope(logits, source, target, point, create=True)
            found = _nearest(
                frozen, logits, point, source, f, others, rows, away, offset, slack, known
            )
            nearest = torch.where(away, found, target)
            if known is not None and torch.equal(nearest, target):
                w = known
            else:
                w = _slope(logits, source, nearest, point, create=True)
            margin = _margin(logits, source, nearest)
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
    f: Float[Tensor, "m others"],
    others: Int[Tensor, "m others"],
    rows: Int[Tensor, " m"],
    away: Bool[Tensor, " m"],
    offset: float,
    slack: float,
    known: Float[Tensor, "m *shape"] | None,
) -> Int[Tensor, " m"]:
    """For each image that goes ``away`` the class whose linearised boundary is nearest: a constant.

    The classes with the smallest |f| get gradients through the graph that is there: ``FIRST``, or
    where the likeliest one's is ``known`` that one alone. Another can be nearest only if its
    gradient is longer than |f| over the least distance so far; where that is more than ``slack``
    times (twice that, with one gradient) the mean of the gradients so far it is passed over. The
    few left are rows, each a pair of image and class, of a batch of their own.
    """
    sizes = [] if known is None else [_norm(known.detach(), offset)]
    first, most = (FIRST, slack) if known is None else (1, 2 * slack)
    first = others.shape[1] if slack == math.inf else min(first, others.shape[1])
    for j in range(len(sizes), first):
        gradient = _slope(logits, source, others[:, j], point, retain=True)
        sizes.append(_norm(gradient, offset))
    lengths = torch.stack(sizes, 1)
    distances = torch.full_like(f, math.inf)
    distances[:, :first] = f[:, :first] / lengths
    longest = most * lengths.mean(1, keepdim=True)
    can = (f < distances.amin(1, keepdim=True) * longest) & distances.isinf() & away[:, None]
    image, place = can.nonzero(as_tuple=True)
    if len(image):
        there = point[image].detach().requires_grad_()
        chosen = others[image, place]
        gradient = _slope(model(there, rows[image]), source[image], chosen, there)
        distances[image, place] = f[image, place] / _norm(gradient, offset)
    return others.gather(1, distances.argmin(1, keepdim=True)).squeeze(1)


def _by_margin(
    logits: Float[Tensor, "m k"], source: Int[Tensor, " m"], classes: Int[Tensor, "m others"]
) -> tuple[Float[Tensor, "m others"], Int[Tensor, "m others"]]:
    """|f| of the other classes, the smallest first, and these classes."""
    f = (logits.gather(1, classes) - logits.gather(1, source[:, None])).detach().abs()
    f, order = f.sort(1)
    return f, classes.gather(1, order)


def _slope(
    logits: Float[Tensor, "m k"],
    source: Int[Tensor, " m"],
    target: Int[Tensor, " m"],
    point: Float[Tensor, "m *shape"],
    *,
    retain: bool = False,
    create: bool = False,
) -> Float[Tensor, "m *shape"]:
    """The gradient of each image's margin; ``retain`` the graph, or ``create`` the gradient's."""
    margin = _margin(logits, source, target).sum()
    w: Tensor
    (w,) = torch.autograd.grad(margin, point, retain_graph=retain or create, create_graph=create)
    return w


def _margin(
    logits: Float[Tensor, "m k"], source: Int[Tensor, " m"], target: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """How far the target's logit is above the source's: f of DeepFool."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, source[:, None])).squeeze(1)


def _norm(vectors: Float[Tensor, "m *shape"], offset: float = 0.0) -> Float[Tensor, " m"]:
    """The l2 norm of each, the offset added to each component."""
    sizes: Tensor = torch.linalg.vector_norm(vectors.flatten(1) + offset, dim=1)
    return sizes


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
