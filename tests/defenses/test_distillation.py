"""Soft targets: the gradient of the cross entropy is that of the divergence, computed by hand."""

import pytest
import torch
from torch import Tensor, nn

from robustbook.defenses import distillation, soft_targets
from robustbook.randomness import generator


def logits(seed: int) -> Tensor:
    return 3 * torch.randn(5, 4, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 20.0])
def test_its_gradient_is_that_of_the_divergence(temperature: float) -> None:
    """KL(p || q) with q = softmax(z/T) has the gradient (q - p)/(n T) in z, and so has the term.

    The two differ only by p's entropy.
    """
    z, p = logits(0).requires_grad_(), logits(1).softmax(1)
    (term,) = distillation(nn.Identity(), z, p, temperature=temperature).values()
    (ours,) = torch.autograd.grad(term, z)
    q = torch.exp(z.detach() / temperature)
    q = q / q.sum(1, keepdim=True)
    torch.testing.assert_close(ours, (q - p) / (5 * temperature))
    divergence = (p * (p.log() - q.log())).sum(1).mean()
    entropy = -(p * p.log()).sum(1).mean()
    torch.testing.assert_close(term.detach(), divergence + entropy)


def test_at_the_targets_own_temperature_there_is_nothing_to_learn() -> None:
    """A student that equals its teacher has gradient 0 at that temperature, and not at another."""
    z = logits(0)
    p = soft_targets(nn.Identity(), z, temperature=4.0)
    torch.testing.assert_close(p.sum(1), torch.ones(5, dtype=torch.float64))
    assert not p.requires_grad
    for temperature, still in ((4.0, True), (1.0, False)):
        student = z.clone().requires_grad_()
        term = distillation(nn.Identity(), student, p, temperature=temperature)
        (slope,) = torch.autograd.grad(term["cross_entropy"], student)
        assert (slope.abs().max().item() < 1e-15) is still


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_a_finite_number_above_0(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, got"):
        distillation(nn.Identity(), logits(0), logits(1).softmax(1), temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, got"):
        soft_targets(nn.Identity(), logits(0), temperature=temperature)
