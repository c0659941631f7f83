"""What a network does to a straight path between two images, as information geometry.

Nayebi & Ganguli 2017, Section 6. The path is x(t) = (1 - t) x_S + t x_T (equation 13; the paper's
lambda is t here). With J the Jacobian of the logits and p their softmax, the Fisher metric

    G^F = diag(p) - p p^T (eq. 10),    G^in = J^T G^F J (eq. 11),    dl^2 = dx^T G^in dx (eq. 12)

measures how far the probabilities move. Along the path dx = (x_T - x_S) dt, so with
v = J (x_T - x_S) the length element is dl/dt = sqrt(sum_k p_k (v_k - sum_j p_j v_j)^2), the
standard deviation of v under p. It is 0 for equal v: adding one number to all logits changes
nothing. (The paper calls their scale irrelevant; it is the shift that is.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp, vmap

from robustbook.networks import MLP


@dataclass(frozen=True)
class Walk:
    """Along one path, at ``t`` points.

    ``length``: dl/dt. ``change``: half the sum of |dp_k/dt|, the speed of the probabilities in
    total variation. ``singular_values`` of the Jacobian of the logits, largest first, ``m`` of
    them, the smaller of its sides.
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
    """The geometry of ``net`` at the places ``t`` in [0, 1] on the way from one image to another.

    Use float64: flat parts are flat to many digits. Singular values below 1e-8 of a point's largest
    one are rounding, as they come from J J^T. Raises ValueError for images of different shapes and
    for fewer than 2 points.
    """
    x = straight_path(source, target, t)
    if isinstance(net, MLP):
        # The first layer keeps a straight path straight, so the geometry is that of the other
        # layers from h^1 on: J = A W for their Jacobian A, and J J^T = A (W W^T) A^T. J itself,
        # which is most of the work, is never formed.
        first = net.layers[0]
        assert isinstance(first, nn.Linear)
        ends = first(source.flatten()), first(target.flatten())
        logits, a = jacobian(lambda h: _behind_first(net, h), straight_path(*ends, t))
        v = a @ (ends[1] - ends[0])
        gram = a @ (first.weight @ first.weight.T) @ a.mT
    else:
        logits, j = jacobian(lambda x: net(x.reshape(-1, *source.shape)), x.flatten(1))
        v = j @ (target - source).flatten()
        gram = j @ j.mT
    p = logits.softmax(1)
    change = (p * (v - (p * v).sum(1, keepdim=True))).abs().sum(1) / 2
    squares: Tensor = torch.linalg.eigvalsh(gram)
    values = squares.clamp(min=0).sqrt().flip(1)[:, : source.numel()]
    return Walk(p, length_element(p, v), change, values)


def straight_path(
    source: Float[Tensor, "*source"], target: Float[Tensor, "*target"], t: Float[Tensor, " t"]
) -> Float[Tensor, "t *source"]:
    """The images (1 - t) ``source`` + t ``target``, eq. 13."""
    if source.shape != target.shape:
        raise ValueError(
            "target must be an image of the shape of source, "
            f"{tuple(source.shape)}, got {tuple(target.shape)}"
        )
    if len(t) < 2:
        raise ValueError(f"t must have 2 or more points, as a path has two ends, got {len(t)}")
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
    """``t`` with points added until the probabilities of neighbours are at most ``farthest`` apart
    (of pi at most), or an interval was halved ``halvings`` times; and these distances, whose sum is
    the length of the path.

    A saturated network may go from one class to another within a millionth of the path, between two
    points of any even grid. What happens and is undone between two points of ``t`` stays unseen.
    """

    def gaps(t: Tensor) -> Tensor:
        p = net(straight_path(source, target, t)).softmax(1)
        return fisher_distance(p[:-1], p[1:])

    for _ in range(halvings):
        wide = gaps(t) > farthest
        if not wide.any():
            break
        t = torch.cat([t, ((t[:-1] + t[1:]) / 2)[wide]]).sort().values
    return t, gaps(t)


def fisher_distance(p: Float[Tensor, "*n k"], q: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """The length of the shortest way between probabilities, 2 arccos(sum sqrt(p q)); pi between two
    that exclude each other, so no path between two classes is shorter than about pi."""
    return 2 * (p.sqrt() * q.sqrt()).sum(-1).clamp(max=1).arccos()


def jacobian(
    net: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k d"]]:
    """Outputs, and their Jacobian at each row by itself: one backward pass for each of k outputs,
    all rows together."""
    out: Tensor
    out, pull = vjp(net, x)  # type: ignore[misc]  # three values only with has_aux
    basis = torch.eye(out.shape[1], dtype=out.dtype, device=out.device)
    (rows,) = vmap(pull)(basis[:, None].expand(-1, *out.shape))
    return out, rows.transpose(0, 1).contiguous()


def fisher(p: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k k"]:
    """The Fisher metric of a softmax in the coordinates of its logits, eq. 10."""
    return torch.diag_embed(p) - p[..., :, None] * p[..., None, :]


def pull_back(
    metric: Float[Tensor, "*n k k"], jacobian: Float[Tensor, "*n k d"]
) -> Float[Tensor, "*n d d"]:
    """A metric on outputs, seen from the inputs, eq. 11."""
    return jacobian.mT @ metric @ jacobian


def length_element(p: Float[Tensor, "*n k"], v: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """sqrt(v^T G^F v) for logits that move at ``v``, eq. 12; nothing is lost to cancellation."""
    return (p * (v - (p * v).sum(-1, keepdim=True)) ** 2).sum(-1).sqrt()


def _behind_first(net: MLP, h: Float[Tensor, "n units"]) -> Float[Tensor, "n k"]:
    """The logits from the pre-activations of the first layer."""
    for layer in net.layers[1:]:
        h = layer(net.activation(h))
    return h
