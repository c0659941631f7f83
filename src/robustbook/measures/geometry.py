"""Measure how a network's probabilities change along a straight path between two images.

The measurements follow Section 6 of Nayebi & Ganguli 2017. The path is x(t) = (1 - t) x_S + t x_T
(equation 13 of the paper, which writes lambda for t). Let J be the Jacobian of the logits, and p
the softmax of the logits. The Fisher metric G^F on logits induces a metric G^in on images, and G^in
defines a length element dl (equations 10 to 12 of the paper):

    G^F = diag(p) - p p^T,    G^in = J^T G^F J,    dl^2 = dx^T G^in dx

The length l of the path measures how much the probabilities change along the path. On the path, dx
= (x_T - x_S) dt. So with v = J (x_T - x_S), the length element dl/dt is the standard deviation of v
under p: sqrt(sum_k p_k (v_k - sum_j p_j v_j)^2). The length element is 0 if all v_k are equal,
because adding the same number to all logits changes no probability.

The paper calls the multiplication of all logits by the same number "irrelevant". In fact it changes
the probabilities and the length of a path; adding the same number to all logits changes neither.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import check_count, check_tolerance
from robustbook.networks import MLP

from .answers import logits_of, refuse_not_finite


@dataclass(frozen=True)
class Walk:
    """Measurements at each of the points x(t) of one path.

    ``length``: the length element dl/dt.
    ``change``: the rate of change of the probabilities in total variation: half the sum over
        classes of |dp_k/dt|.
    ``singular_values``: singular values of the Jacobian of the logits, in decreasing order; their
        number ``m`` is the smaller of the Jacobian's two dimensions.
    """

    probabilities: Float[Tensor, "t k"]
    length: Float[Tensor, " t"]
    change: Float[Tensor, " t"]
    singular_values: Float[Tensor, "t m"]


@torch.no_grad()
def walk(
    net: Callable[[Tensor], Tensor],
    source: Float[Tensor, "*source"],
    target: Float[Tensor, "*target"],
    t: Float[Tensor, " t"],
) -> Walk:
    """Measure ``net`` at the points ``t`` in [0, 1] of the straight path between two images.

    ``net`` should compute in float64, because on flat parts of the path the probabilities change
    only in their last digits. Singular values are computed from J J^T, so a singular value below
    1e-8 times the largest singular value at the same point is a rounding error. Raises ValueError
    for images of different shapes, for fewer than 2 points, and for logits that are not finite.
    """
    x = straight_path(source, target, t)
    if isinstance(net, MLP):
        # The first layer is linear, so the path of its outputs h^1 is straight too. With A the
        # Jacobian of the other layers, J = A W and J J^T = A (W W^T) A^T. So J, which would be
        # expensive, is never computed.
        first = net.layers[0]
        assert isinstance(first, nn.Linear)
        ends = first(source.flatten()), first(target.flatten())
        logits, a = jacobian(lambda h: _behind_first(net, h), straight_path(*ends, t))
        v = a @ (ends[1] - ends[0])
        gram = a @ (first.weight @ first.weight.T) @ a.mT
    else:
        with unchanged(net):
            logits, j = jacobian(lambda x: net(x.reshape(-1, *source.shape)), x.flatten(1))
        v = j @ (target - source).flatten()
        gram = j @ j.mT
    refuse_not_finite("logits", logits)
    p = logits.softmax(1)
    change = (p * (v - (p * v).sum(1, keepdim=True))).abs().sum(1) / 2
    squares: Tensor = torch.linalg.eigvalsh(gram)
    values = squares.clamp(min=0).sqrt().flip(1)[:, : source.numel()]
    return Walk(p, length_element(p, v), change, values)


def straight_path(
    source: Float[Tensor, "*source"], target: Float[Tensor, "*target"], t: Float[Tensor, " t"]
) -> Float[Tensor, "t *source"]:
    """Return the images (1 - t) ``source`` + t ``target`` (equation 13 of the paper).

    Raises ValueError for images of different shapes, and for fewer than 2 points.
    """
    if source.shape != target.shape:
        raise ValueError(
            "target must be an image of the shape of source, "
            f"{tuple(source.shape)}, got {tuple(target.shape)}"
        )
    if len(t) < 2:
        raise ValueError(f"t must have 2 or more points, because a path has two ends, got {len(t)}")
    t = t.reshape(-1, *[1] * source.ndim)
    return (1 - t) * source + t * target


@torch.no_grad()
def resolve(
    net: Callable[[Tensor], Tensor],
    source: Float[Tensor, "*source"],
    target: Float[Tensor, "*target"],
    t: Float[Tensor, " t"],
    *,
    farthest: float = 0.1,
    halvings: int = 40,
) -> tuple[Float[Tensor, " u"], Float[Tensor, " v"]]:
    """Add points to ``t`` where probabilities change fast, and return all points and the Fisher
    distances between neighbouring points.

    An interval is halved, at most ``halvings`` times, until the Fisher distance between the
    probabilities at its two ends is at most ``farthest`` (no distance is above pi). The sum of the
    distances between neighbouring points approximates the length of the path.

    The probabilities of a saturated network can change within a millionth of the path, between two
    neighbouring points of an evenly spaced grid. `resolve` does not notice such a change if the
    probabilities are equal at both points.
    """
    check_tolerance("farthest", farthest)
    check_count("halvings", halvings, 0)

    def gaps(t: Tensor) -> Tensor:
        p = logits_of(net, straight_path(source, target, t), batch_size=len(t)).softmax(1)
        return fisher_distance(p[:-1], p[1:])

    for _ in range(halvings):
        wide = gaps(t) > farthest
        if not wide.any():
            break
        t = torch.cat([t, ((t[:-1] + t[1:]) / 2)[wide]]).sort().values
    return t, gaps(t)


def fisher_distance(p: Float[Tensor, "*n k"], q: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """Return the Fisher distance of two distributions, 2 arccos(sum_k sqrt(p_k q_k)).

    The Fisher distance is the length of the shortest path between the two distributions. It is pi
    if no class has a positive probability in both distributions. So if the network assigns two
    images to different classes with probabilities near 1, every path between the two images has a
    length of at least about pi.

    The distance is computed as 4 arcsin(||sqrt(p) - sqrt(q)|| / 2), which is the same number. The
    arccosine would lose half of the digits for two almost equal distributions.
    """
    chord: Tensor = torch.linalg.vector_norm(p.sqrt() - q.sqrt(), dim=-1)
    return 4 * (chord / 2).clamp(max=0.5**0.5).arcsin()


def jacobian(
    net: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k d"]]:
    """Return two results for each row of ``x``: the outputs of ``net``, and the Jacobian of these
    outputs with respect to the row.

    The Jacobian costs as many backward passes as there are outputs; each backward pass contains all
    rows.
    """
    with unchanged(net), torch.inference_mode(False), torch.enable_grad():
        point = x.detach().clone().requires_grad_()
        out = net(point.clone())  # a network may change its input in place
        basis = torch.eye(out.shape[1], dtype=out.dtype, device=out.device)
        each = basis[:, None].expand(-1, *out.shape)
        (rows,) = torch.autograd.grad(out, point, each, is_grads_batched=True)
    return out.detach(), rows.transpose(0, 1).contiguous()


def length_element(p: Float[Tensor, "*n k"], v: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """Return sqrt(v^T G^F v), the rate of change of the probabilities if the logits change at rate
    ``v``.

    The value equals equation 12 of the paper, but is computed as a sum of squares to avoid
    cancellation.
    """
    return (p * (v - (p * v).sum(-1, keepdim=True)) ** 2).sum(-1).sqrt()


def _behind_first(net: MLP, h: Float[Tensor, "n units"]) -> Float[Tensor, "n k"]:
    """Return the logits of an MLP, computed from the pre-activations ``h`` of its first layer."""
    for layer in net.layers[1:]:
        h = layer(net.activation(h))
    return h
