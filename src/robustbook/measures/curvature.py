"""Estimate traces and norms of Hessians from products with random vectors.

The method is from Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix for
Laplacian smoothing splines". The trace of a Hessian H is an expected value over random vectors v
whose entries are independent with mean 0 and variance 1:

    E[v' H v] = tr(H).

If the entries of v are random signs, the variance of v' H v is 2 (||H||_F^2 - sum_i H_ii^2). So the
estimated trace of a diagonal H is exact. The products H v also give an estimate of the Frobenius
norm of H, because E ||H v||^2 = ||H||_F^2. A product with a Hessian costs two backward passes; the
Hessian itself is never computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from robustbook.attacks.checks import check_count


@dataclass(frozen=True)
class Curvature:
    """Measurements at each of n points: estimates of the Hessian's trace and norm, and the
    gradient's norm.

    ``trace``: the estimated trace of the Hessian.
    ``trace_error``: the standard error of the estimated trace.
    ``frobenius``: the estimated Frobenius norm of the Hessian, the root of the mean of ||H v||^2.
    ``slope``: the l2 norm of the gradient.
    """

    trace: Float[Tensor, " n"]
    trace_error: Float[Tensor, " n"]
    frobenius: Float[Tensor, " n"]
    slope: Float[Tensor, " n"]


def curvature(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n *shape"],
    *,
    probes: int = 100,
    generator: torch.Generator | None = None,
) -> Curvature:
    """Estimate the trace and the Frobenius norm of the Hessian of ``function`` at each point.

    ``function``: a function from n points to n numbers; the i-th number depends only on the i-th
        point. Autograd differentiates the function twice, so the second derivative of a piecewise
        linear layer counts as 0.
    ``probes``: the number of random sign vectors v for each point, 2 or more.
    ``generator``: the generator that draws the random signs, on the CPU or on the points' device;
        None means torch's global generator.

    Raises ValueError for fewer than 2 probes, or for a function that does not return one number per
    point or cannot be differentiated.
    """
    probes = check_count("probes", probes, 2)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = points.detach().clone().requires_grad_()
        values = function(leaf.clone())  # it may change its input in place
        if values.shape != points.shape[:1]:
            raise ValueError(
                f"function must return one number per point, shape ({len(points)},), got "
                f"{tuple(values.shape)}"
            )
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(
                values.sum(), leaf, create_graph=True, allow_unused=True
            )
        if gradient is None:
            raise ValueError("function must be differentiable, got values that depend on no point")
    where = points.device if generator is None else generator.device
    forms, squares = [], []
    for _ in range(probes):
        draw = torch.randint(0, 2, points.shape, generator=generator, device=where)
        v = (2 * draw - 1).to(points)
        product = _product(gradient, leaf, v)
        forms.append((product * v).flatten(1).sum(1))
        squares.append(product.square().flatten(1).sum(1))
    found = torch.stack(forms)
    return Curvature(
        trace=found.mean(0),
        trace_error=found.std(0) / probes**0.5,
        frobenius=torch.stack(squares).mean(0).sqrt(),
        slope=gradient.detach().flatten(1).norm(dim=1),
    )


def _product(gradient: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
    """Return the Hessian times v. For a linear function the gradient is constant, so the Hessian
    times v is 0.
    """
    if not gradient.requires_grad:
        return torch.zeros_like(v)
    (product,) = torch.autograd.grad(
        gradient, leaf, v, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return product
