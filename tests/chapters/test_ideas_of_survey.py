"""The ideas of the survey's pages do what the package does."""

import torch

from robustbook.defenses import inner_pgd
from robustbook.networks import madry_mnist
from robustbook.randomness import generator

from .test_ideas import idea


def test_pgd_is_the_inner_attack() -> None:
    """The page's code, from the same random start, gives the images that training uses."""
    shown = idea("survey/madry")
    net = madry_mnist(generator(0), 16).eval()
    x, y = torch.rand(4, 1, 28, 28, generator=generator(1)), torch.tensor([3, 1, 4, 1])
    torch.manual_seed(5)
    ours = inner_pgd(0.3, 4, 0.1)(net, x, y)
    torch.manual_seed(5)
    theirs = shown["pgd"](net, x, y, 0.3, 0.1, 4)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_rounding_is_passed_by_the_gradient_of_the_identity() -> None:
    """The values are those of the rounding, and the gradient is that of the network alone."""
    shown = idea("survey/overview")
    z = torch.rand(3, generator=generator(2)).requires_grad_()
    out = shown["t"](z, True)
    torch.testing.assert_close(out, shown["t"](z))
    (gradient,) = torch.autograd.grad(shown["w"] @ out, z)
    assert torch.equal(gradient, shown["w"])
    step = shown["eps"] * shown["w"].sign()
    assert (
        shown["w"] @ shown["t"](shown["x"])
        > shown["b"]
        > shown["w"] @ shown["t"](shown["x"] - step)
    )
