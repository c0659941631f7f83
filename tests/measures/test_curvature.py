"""Hutchinson's estimator on functions whose Hessian is known."""

import pytest
import torch
from torch import Tensor, nn

from robustbook.measures import curvature


def quadratic(h: Tensor, b: Tensor):  # type: ignore[no-untyped-def]
    return lambda x: 0.5 * ((x @ h) * x).sum(1) + x @ b


def symmetric(size: int) -> Tensor:
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (a + a.T) / 2


def test_a_diagonal_hessian_is_exact() -> None:
    """Every probe of signs gives the trace; the gradient is H x + b."""
    h = torch.diag(torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64))
    b = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    points = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    found = curvature(quadratic(h, b), points, probes=2)
    assert found.trace.tolist() == pytest.approx([2.5, 2.5])
    assert found.trace_error.tolist() == pytest.approx([0, 0], abs=1e-12)
    assert found.frobenius.tolist() == pytest.approx([10.25**0.5] * 2)
    torch.testing.assert_close(found.slope, (points @ h + b).norm(dim=1))


def test_a_full_hessian_within_the_known_error() -> None:
    """The variance of a probe is 2 (||H||_F^2 - sum of squares of the diagonal)."""
    h = symmetric(6)
    points = torch.zeros(4000, 6, dtype=torch.float64)  # as many estimates
    chance = torch.Generator().manual_seed(1)
    found = curvature(quadratic(h, torch.zeros(6).double()), points, probes=2, generator=chance)
    variance = 2 * (h.square().sum() - h.diagonal().square().sum()) / 2
    assert found.trace.mean().item() == pytest.approx(
        h.trace().item(), abs=4 * (variance / 4000).sqrt().item()
    )
    assert found.trace.var().item() == pytest.approx(variance.item(), rel=0.1)
    assert found.trace_error.square().mean().item() == pytest.approx(variance.item(), rel=0.1)
    assert found.frobenius.square().mean().item() == pytest.approx(h.square().sum().item(), rel=0.1)


def test_a_saddle_has_no_trace_and_a_linear_function_no_curvature() -> None:
    """xy: trace 0 but norm root 2. A linear function: slope without curvature."""
    chance = torch.Generator().manual_seed(0)
    saddle = curvature(
        lambda x: x[:, 0] * x[:, 1], torch.zeros(1, 2).double(), probes=1000, generator=chance
    )
    assert abs(saddle.trace.item()) < 4 * saddle.trace_error.item() < 1
    assert saddle.frobenius.item() == pytest.approx(2**0.5)
    line = curvature(lambda x: 3 * x[:, 0], torch.zeros(1, 2).double(), probes=2)
    assert (line.trace.item(), line.frobenius.item(), line.slope.item()) == (0, 0, 3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="probes must be a whole number, 2 or more, got 1"):
        curvature(lambda x: x.sum(1), torch.zeros(1, 2), probes=1)
    with pytest.raises(ValueError, match=r"one number per point, shape \(1,\), got \(\)"):
        curvature(lambda x: x.sum(), torch.zeros(1, 2))


def test_values_that_depend_on_weights_alone_are_refused() -> None:
    """They have a graph, but not one that leads to the points."""
    net = nn.Linear(3, 1)
    with pytest.raises(ValueError, match="function must be differentiable"):
        curvature(lambda x: net(x.detach())[:, 0], torch.ones(2, 3), probes=2)
