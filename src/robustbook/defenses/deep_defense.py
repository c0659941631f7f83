r"""Compute the loss of Deep Defense; training with this loss makes DeepFool's perturbations larger.

Deep Defense is from Yan, Guo and Zhang 2018 (arXiv 1803.00404). Let r_k be DeepFool's perturbation
of the k-th image x_k after preprocessing, and :math:`\rho_k = \|1.02\,r_k\|_2 / \|x_k\|_2` the
relative norm of the perturbation. The loss of a batch of n images is the sum of three terms:

.. math:: \frac1n\sum_k L(y_k, f(x_k)) + \frac\lambda n\sum_{k\in T} e^{-c\rho_k}
          + \frac\lambda n\sum_{k\in F} e^{+d\rho_k}

This is the loss of the released code. A student report prints it as a sum over all images, and a
public review names equation 6 of the paper, which we could not read. The set T contains the images
that the network currently classifies correctly; DeepFool perturbs them until they are
misclassified. The set F contains the misclassified images; DeepFool perturbs them until they are
classified correctly. For an image in F, each step moves from the class that is predicted at the
current point towards the label. The number of steps, the overshoot and the offset of DeepFool are
as in the released code and in the preset "authors" of `deepfool`.

The gradient of the loss flows through the logits, the gradients of the logits, and the iterates of
DeepFool. Three things are treated as constants: the norm ||x||, the choice of the nearest class,
and the set of finished images. An image is finished once its perturbation has changed the predicted
class as intended. The authors' code builds a second network that computes the gradients of the
network, and differentiates this second network. This code instead differentiates the network twice,
which gives the same derivative for piecewise linear networks. An image with ||x|| = 0 has no rho
and is excluded from both DeepFool terms.

The loss can be computed in three forms, which give the same result up to rounding:

- The form "rows" is for a CPU. Finished images are removed from the batch, and gradients are
  computed only for classes whose boundary can be the nearest (see `_nearest`). On an H200 GPU, a
  training step in this form took as long as 40 to 92 training steps with the cross entropy alone.
  One reason is that the CPU waits for the GPU whenever images or classes are selected. Another
  reason is probably that cuDNN selects its algorithms again for each new batch size.

- The form "padded" is for a GPU. One batched backward pass gives the gradients of the logits of all
  classes. The batch shrinks as images are finished, but its size stays a multiple of an eighth of
  the full size, so that few sizes occur. Some finished images stay in the batch to fill it up, but
  are not changed. The CPU waits for the GPU once per DeepFool step, to read the number of
  unfinished images.

- The form "fixed" is for a training step that is recorded as a CUDA graph. The batch keeps its
  size, so no tensor shape depends on the data, and the CPU never waits for the GPU. But all five
  DeepFool steps are computed for every image, although few images need more than three. The form
  "padded" computes fewer steps.

In all forms, the cross entropy is computed from DeepFool's first forward pass. The gradients of all
classes decide which class is nearest, but only the gradient of the nearest class is differentiated
again.
"""

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robustbook.attacks.checks import (
    check_choice,
    check_count,
    check_integers,
    check_positive,
    check_tolerance,
)
from robustbook.attacks.goal import rivals as others_by_logit
from robustbook.attacks.losses import lead
from robustbook.attacks.norms import per_image
from robustbook.networks import Prepared
from robustbook.training import Diverged

from .freezing import Frozen
from .inner_attacks import entropy

FIRST = 5
"""In the form "rows", the number of classes whose gradients are computed first, at the clean image.
From these gradients, `_nearest` decides which of the other classes could have a nearer boundary. At
later iterates, only one gradient is computed first, and the limit for the other classes is twice
``slack``.
"""

PIECES = 8
"""In the form "padded", the batch size is a multiple of one eighth of the full batch."""

Form = Literal["auto", "rows", "padded", "fixed"]


@dataclass(frozen=True)
class _Search:
    """The parameters of DeepFool in the loss (see `deep_defense`)."""

    steps: int
    overshoot: float
    offset: float
    candidates: int | None
    slack: float


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
    form: Form = "auto",
) -> dict[str, Float[Tensor, ""]]:
    """Return three weighted loss terms, whose sum is to be minimised. The terms are the mean cross
    entropy (``cross_entropy``), the DeepFool term of the correctly classified images (``correct``),
    and the DeepFool term of the misclassified images (``wrong``).

    ``net``: the network. If it is a `Prepared` network, perturbations and norms are measured after
        its preprocessing. While the loss is computed, the network is a fixed function of each image
        (see `Frozen`). Batch norm layers use their running statistics, and an image keeps its
        dropout masks in all DeepFool steps. A network compiled by `torch.compile` runs uncompiled,
        because compiled code cannot be differentiated twice.
    ``images``: in [0, 1].
    ``labels``: the true classes.
    ``lam``, ``c``, ``d``: numbers above 0. The weight of both DeepFool terms is lam (released code:
        15). The factor of rho is c in the term for correctly classified images (released code: 25
        on MNIST), and d in the term for misclassified images (released code: 5).
    ``steps``: maximum number of DeepFool steps (released code: 5).
    ``overshoot``: relative overshoot of DeepFool (released code: 0.02).
    ``offset``: a number that is added to each component of a gradient before its norm is computed
        (released code: 5e-6 on MNIST, 1e-5 on CIFAR-10).
    ``candidates``: the number of classes that DeepFool compares besides the source class: those
        with the highest logits at the clean image (9 in the paper of DeepFool). None means all
        classes, as in the released code where there are 10 classes.
    ``slack``: a number above 0 that limits how many gradients the form "rows" computes; the
        released code has no such limit. The boundary of a class can be the nearest only if the
        gradient norm of this class is large enough. A class is skipped if this would require a
        gradient norm above a limit. At the clean image, the limit is ``slack`` times the mean
        gradient norm of the five classes whose logits are closest to the highest logit (see
        `_nearest`). With math.inf, and in the other forms, no class is skipped. We checked the
        default on 25,000 training images of MNIST, with an MLP and LeNet, before and after training
        with Deep Defense. The nearest class was always found, even with a slack of 1.65.
    ``generator``: the generator that draws the dropout masks of this training step; needed if the
        network has dropout. On a GPU, None means torch's default generator of the GPU, which a CUDA
        graph can record.
    ``form``: "rows", "padded", "fixed" or "auto"; the default "auto" means "padded" on a GPU and
        "rows" on a CPU.

    Raises Diverged, with the name of the loss term and the range of rho in the batch, if a term is
    NaN or infinite. The form "fixed" on a GPU does not raise Diverged, so the caller has to check
    the terms.
    """
    for name, value in (("lam", lam), ("c", c), ("d", d), ("offset", offset)):
        check_positive(name, value)
    if slack != math.inf:
        check_positive("slack", slack)
    check_count("steps", steps)
    check_tolerance("overshoot", overshoot)
    if candidates is not None:
        check_count("candidates", candidates)
    if not len(images):
        raise ValueError("images must hold one image or more, got none")
    check_integers("labels", labels, images)
    check_choice("form", form, get_args(Form))
    if form == "auto":
        form = "padded" if images.is_cuda else "rows"
    net = getattr(net, "_orig_mod", net)  # the original module of a compiled network
    prepare, body = (net.preprocess, net.body) if isinstance(net, Prepared) else (None, net)
    with _uncompiled(), Frozen(body, generator) as frozen:
        x = (images if prepare is None else prepare(images)).detach()
        search = _Search(steps, overshoot, offset, candidates, slack)
        if form == "rows":
            cross_entropy, right, r = _rows(frozen, x, labels, search)
        else:
            cross_entropy, right, r = _batched(frozen, x, labels, search, shrink=form == "padded")

    sizes = _norm(x)
    rho = (1 + overshoot) * _norm(r) / torch.where(sizes > 0, sizes, 1)
    total = _total if form == "rows" else _masked_total
    terms = {
        "cross_entropy": cross_entropy,
        "correct": lam / len(x) * total(-c * rho, right & (sizes > 0)),
        "wrong": lam / len(x) * total(d * rho, ~right & (sizes > 0)),
    }
    if not (form == "fixed" and images.is_cuda):
        _refuse_nonfinite(terms, rho.detach(), right)
    return terms


def _total(exponents: Float[Tensor, " n"], chosen: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return the sum of exp(exponent) over those images for which ``chosen`` is true."""
    return torch.exp(exponents[chosen]).sum()


def _masked_total(exponents: Float[Tensor, " n"], chosen: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return the same sum as `_total`, computed with tensor shapes that do not depend on the data.
    Exponents of unchosen images are set to -inf, because exp(-inf) and its derivative are 0.
    """
    return torch.exp(exponents.masked_fill(~chosen, -math.inf)).sum()


def _uncompiled() -> contextlib.AbstractContextManager[object]:
    """Disable `torch.compile`, because compiled code cannot be differentiated twice."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and the import is slow
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _rows(
    frozen: Frozen, x: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"], search: _Search
) -> tuple[Float[Tensor, ""], Bool[Tensor, " n"], Float[Tensor, "n *shape"]]:
    """Return three results: the cross entropy of the batch, whether each image is classified
    correctly, and DeepFool's perturbation of each image without overshoot. Images whose
    perturbation is finished are removed from the batch.
    """
    rows = torch.arange(len(x), device=x.device)
    point = x.clone().requires_grad_()
    logits = frozen(point, rows)
    cross_entropy = entropy(logits, labels)
    source = logits.argmax(1)
    right = source == labels
    classes = others_by_logit(logits.detach(), source, search.candidates)
    r = torch.zeros_like(x)
    for step in range(1, search.steps + 1):
        away = right[rows]
        f, others = _by_margin(logits, source, classes[rows])
        target = torch.where(away, others[:, 0], labels[rows])
        known = None if step == 1 else _slope(logits, source, target, point, create=True)
        found = _nearest(frozen, logits, point, source, f, others, rows, away, search, known)
        nearest = torch.where(away, found, target)
        if known is not None and torch.equal(nearest, target):
            w = known
        else:
            w = _slope(logits, source, nearest, point, create=True)
        r = r.index_add(0, rows, _move(lead(logits, source, nearest), w, search.offset))
        if step == search.steps:
            break
        with torch.no_grad():
            answers = frozen((x + (1 + search.overshoot) * r)[rows], rows).argmax(1)
        rows = rows[torch.where(right[rows], answers == labels[rows], answers != labels[rows])]
        if not len(rows):
            break
        point = x[rows] + r[rows]
        logits = frozen(point, rows)
        source = torch.where(right[rows], labels[rows], logits.argmax(1))
    return cross_entropy, right, r


def _batched(
    frozen: Frozen,
    x: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    search: _Search,
    *,
    shrink: bool,
) -> tuple[Float[Tensor, ""], Bool[Tensor, " n"], Float[Tensor, "n *shape"]]:
    """Return the same three results as `_rows`, computed with batched gradients. If ``shrink`` is
    true, most finished images are removed from the batch; otherwise all images stay.
    """
    rows = torch.arange(len(x), device=x.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    point, r = x, torch.zeros_like(x)
    for step in range(1, search.steps + 1):
        # This function maps gradients at the logits to gradients at the points.
        pull: Callable[[Tensor], tuple[Tensor]]
        logits, pull = torch.func.vjp(partial(frozen, rows=rows), point)  # type: ignore[misc]
        if step == 1:
            cross_entropy = entropy(logits, labels)
            source = logits.detach().argmax(1)
            right = source == labels
            classes = others_by_logit(logits.detach(), source, search.candidates)
        else:
            source = torch.where(right[rows], labels[rows], logits.detach().argmax(1))
        f, others = _by_margin(logits, source, classes[rows])
        with torch.no_grad():
            (slopes,) = torch.func.vmap(pull)(_one_hot(others.T, source, logits))
            lengths = _norm(slopes.flatten(0, 1), search.offset).view(len(slopes), -1).T
        found = others.gather(1, (f / lengths).argmin(1, keepdim=True)).squeeze(1)
        nearest = torch.where(right[rows], found, labels[rows])
        (w,) = pull(_one_hot(nearest, source, logits))
        move = _move(lead(logits, source, nearest), w, search.offset)
        r = r.index_add(0, rows, torch.where(per_image(going[rows], move), move, 0))
        if step == search.steps:
            break
        with torch.no_grad():
            beyond = (x + (1 + search.overshoot) * r).index_select(0, rows)
            answers = frozen(beyond, rows).argmax(1)
        stays = (answers == labels[rows]) == right[rows]
        going = going.scatter(0, rows, going[rows] & stays)
        if shrink:
            rows = _padded(going)
            if not len(rows):
                break
        point = x.index_select(0, rows) + r.index_select(0, rows)
    return cross_entropy, right, r


def _padded(going: Bool[Tensor, " n"]) -> Int[Tensor, " m"]:
    """Return the indices of the images in the smaller batch: all unfinished images, and some
    finished images that fill the batch. The number of images is a multiple of an eighth of the full
    batch size.
    """
    piece = math.ceil(len(going) / PIECES)
    count = piece * math.ceil(int(going.sum()) / piece)  # here the CPU waits for the GPU
    return going.int().argsort(descending=True, stable=True)[:count]


def _one_hot(
    target: Int[Tensor, "*m n"], source: Int[Tensor, " n"], logits: Float[Tensor, "n k"]
) -> Float[Tensor, "*m n k"]:
    """Return the gradient of each image's margin with respect to the logits: 1 for the target
    class, -1 for the source class.
    """
    classes = torch.arange(logits.shape[1], device=logits.device)
    return (target[..., None] == classes).to(logits) - (source[:, None] == classes).to(logits)


def _move(
    margin: Float[Tensor, " m"], w: Float[Tensor, "m *shape"], offset: float
) -> Float[Tensor, "m *shape"]:
    """Return DeepFool's step |f| w / ||w||^2, or 0 if the norm is 0. In the norm, ``offset`` is
    added to each component of w.
    """
    squares = _norm(w, offset) ** 2
    return w * per_image(margin.abs() / torch.where(squares > 0, squares, 1), w)


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
    search: _Search,
    known: Float[Tensor, "m *shape"] | None,
) -> Int[Tensor, " m"]:
    """Return for each image the class whose linearised boundary is nearest. Autograd treats the
    choice of this class as a constant.

    ``away``: for each image, whether the clean image is classified correctly, so that DeepFool
        moves the image away from its label. For misclassified images the result is not used,
        because DeepFool moves these images towards their label.
    ``known``: the gradient for the class with the smallest |f|, if it has been computed already.

    First, the gradients of the ``FIRST`` classes with the smallest |f| (difference of logits) are
    computed, through the existing autograd graph. If ``known`` is given, it replaces all of these
    gradients.

    The distance to the boundary of a class is |f| divided by the class's gradient norm. So another
    class can be nearest only if its gradient norm exceeds |f| divided by the smallest distance so
    far. If the norm that this requires is above a limit, the class is skipped. The limit is
    ``slack`` times the mean of the gradient norms so far. If ``known`` is given, the limit is twice
    ``slack`` times the norm of ``known``.

    The gradients of the classes that are not skipped are computed together, in a second batch.
    """
    offset, slack = search.offset, search.slack
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
    """Sort the ``classes`` of each image by |f|, the absolute difference between the logits of the
    class and of the source class. Return the sorted |f| and the sorted classes.
    """
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
    """Return for each image the gradient of its `lead` (target logit minus source logit) with
    respect to ``point``. With ``retain`` the autograd graph is kept, and with ``create`` the
    gradient itself can be differentiated.
    """
    total = lead(logits, source, target).sum()
    w: Tensor
    (w,) = torch.autograd.grad(total, point, retain_graph=retain or create, create_graph=create)
    return w


def _norm(vectors: Float[Tensor, "m *shape"], offset: float = 0.0) -> Float[Tensor, " m"]:
    """Return the l2 norm of each vector after adding ``offset`` to each component."""
    sizes: Tensor = torch.linalg.vector_norm(vectors.flatten(1) + offset, dim=1)
    return sizes


def _refuse_nonfinite(
    terms: dict[str, Tensor], rho: Float[Tensor, " n"], right: Bool[Tensor, " n"]
) -> None:
    """Raise Diverged, with the range of rho in the message, if a loss term is NaN or infinite."""
    for name, value in terms.items():
        if not bool(value.isfinite()):
            which = ~right if name == "wrong" else right
            mine = rho[which] if name != "cross_entropy" else rho
            raise Diverged(
                f"{name} became {value.item()}: rho of the batch's {len(mine)} images of this term "
                f"is from {mine.min().item():.3g} to {mine.max().item():.3g}"
            )
