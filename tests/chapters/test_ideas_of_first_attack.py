"""The ideas of the pages on Szegedy et al. 2013 and on logit pairing do what the package does."""

from dataclasses import astuple

import pytest
import torch

from robustbook.attacks import penalised_lbfgs
from robustbook.defenses import MOSBACH, weighted_training
from robustbook.randomness import generator

from .test_ideas import idea


@pytest.mark.parametrize("c", [0.02, 0.2])
def test_the_penalised_attack(c: float) -> None:
    """The minimiser of the same convex function, also with pixels at 0 and 1."""
    shown = idea("survey/szegedy")
    draws = generator(0, "idea")
    W = torch.randn(10, 20, generator=draws).double()
    x = (1.2 * torch.rand(20, generator=draws).double() - 0.1).clamp(0, 1)
    order = (W @ x).argsort()
    label, target = order[-1:], order[-2:-1]
    ours = penalised_lbfgs(
        lambda images: images @ W.T,
        x[None],
        label,
        targets=target,
        c=c,
        searches=1,
        steps=1000,
        gtol=1e-10,
        ftol=0.0,
    )
    assert bool(ours.found) and bool(((ours.images == 0) | (ours.images == 1)).any())
    theirs = shown["perturb"](W, x, target.item(), c)
    torch.testing.assert_close(ours.images[0], theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", MOSBACH)
def test_the_loss_of_logit_pairing(name: str) -> None:
    """The sum of the package's terms, with the printed weights."""
    shown, weights = idea("survey/pairing"), MOSBACH[name]
    W = torch.randn(10, 20, generator=generator(1))
    x, other = torch.rand(2, 6, 20, generator=generator(2))
    y = torch.arange(6)
    terms = weighted_training(
        lambda images: images @ W.T, x, y, weights=weights, attack=lambda net, x, y: other
    )
    ours = sum(terms.values())
    theirs = shown["loss"](lambda images: images @ W.T, x, other, y, *astuple(weights))
    torch.testing.assert_close(ours, theirs)


def test_a_large_constant_keeps_the_class() -> None:
    """The page's example needs a c that fails, beside the three that succeed."""
    perturb = idea("survey/szegedy")["perturb"]
    draws = torch.Generator().manual_seed(0)
    W, x = torch.randn(10, 20, generator=draws).double(), torch.rand(20, generator=draws).double()
    t = (W @ x).argsort()[-2].item()
    found = {c: (W @ perturb(W, x, t, c)).argmax().item() == t for c in (100, 10, 1, 0.1)}
    assert found == {100: False, 10: True, 1: True, 0.1: True}
