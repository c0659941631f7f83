"""Bounded ReLU as a replacement for every ReLU."""

import pytest
import torch
from torch import nn

from robustbook.defenses import BoundedReLU, bounded
from robustbook.networks import resnext29, vgg16
from robustbook.randomness import generator


@pytest.mark.parametrize("bound", [1.0, 0.3])
def test_it_is_clipped_from_both_sides(bound: float) -> None:
    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    out = BoundedReLU(bound)(x)
    assert torch.equal(out, x.clamp(min=0).clamp(max=bound))
    (slope,) = torch.autograd.grad(out.sum(), x)
    inside = (x > 0) & (x < bound)
    assert bool((slope[inside] == 1).all()) and bool((slope[(x < 0) | (x > bound)] == 0).all())


@pytest.mark.parametrize(("make", "layers"), [(vgg16, 13), (resnext29, 28)])
def test_every_relu_is_replaced_in_a_copy(make: object, layers: int) -> None:
    """A functional ReLU inside a block would not be found, and would stay unbounded."""
    plain = make(generator(0), 8)  # type: ignore[operator]
    net = bounded(plain)
    assert sum(isinstance(layer, BoundedReLU) for layer in net.modules()) == layers
    assert not any(isinstance(layer, nn.ReLU) for layer in net.modules())
    assert sum(isinstance(layer, nn.ReLU) for layer in plain.modules()) == layers
    assert list(net.state_dict()) == list(plain.state_dict())


def test_a_relu_with_two_names_is_bounded_at_both() -> None:
    relu = nn.ReLU()
    net = bounded(nn.Sequential(relu, nn.Flatten(0), relu))
    assert [type(layer) for layer in net] == [BoundedReLU, nn.Flatten, BoundedReLU]  # type: ignore[attr-defined]


def test_bad_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="bound must be a finite number above 0, got 0.0"):
        bounded(nn.ReLU(), bound=0.0)
    with pytest.raises(ValueError, match="net must have ReLU layers, got Linear without one"):
        bounded(nn.Linear(2, 2))
