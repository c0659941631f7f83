"""Smallest perturbations compared with the closed form on linear models."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robustbook.attacks import fgsm, pgd
from robustbook.measures import smallest, surviving
from robustbook.randomness import generator


def linear(classes: int = 3) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return a model with logits w x for images of 16 pixels, and w."""
    w = torch.randn(classes, 16, generator=generator(0, "w"), dtype=torch.float64)
    return (lambda x: (x.flatten(1) - 0.5) @ w.T), w


def inner(n: int = 60) -> Tensor:
    """Return images whose pixels stay inside [0, 1] after a step of 0.2."""
    draw = torch.rand(n, 1, 4, 4, generator=generator(0, "x"), dtype=torch.float64)
    return 0.35 + 0.3 * draw


def needed(model: Callable[[Tensor], Tensor], w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return min over other classes t of (z_y - z_t) / ||w_y - w_t||_1, or 0 if misclassified."""
    z = model(x)
    gap = z.gather(1, y[:, None]) - z
    size = (w[y][:, None] - w[None]).abs().sum(2)
    return (gap / size).masked_fill(size == 0, torch.inf).amin(1).clamp(min=0)


def towards(model: Callable[[Tensor], Tensor], target: int) -> Callable[..., Tensor]:
    """Make one step that lowers z_y - z_target; images of the target class do not move."""

    def strike(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
        def gap(logits: Tensor, labels: Tensor) -> Tensor:
            return logits[:, target] - logits.gather(1, labels[:, None])[:, 0]

        return fgsm(model, x, y, eps=eps, loss=gap).images

    return strike


def test_is_the_margin_over_the_l1_norm_on_a_linear_model() -> None:
    """This holds for any grid, because a perturbation is shortened after it was found."""
    model, w = linear(classes=2)
    x = inner()
    y = torch.arange(len(x)) % 2  # some are misclassified from the start
    exact = needed(model, w, x, y)
    assert 0 < int((exact == 0).sum()) < len(x)

    def strike(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
        return fgsm(model, x, y, eps=eps, loss="margin").images

    for grid in ((0.2,), (0.05, 0.1, 0.2)):
        reach = exact <= 0.2
        found = smallest(model, x, y, strike, grid, halvings=40)
        torch.testing.assert_close(found[reach], exact[reach], rtol=1e-9, atol=1e-12)
        assert bool(found[~reach].isinf().all())


def test_the_least_of_several_attacks_is_exact_where_each_knows_one_way() -> None:
    """With three classes the nearest boundary is that of one of the two others."""
    model, w = linear(classes=3)
    x = inner()
    y = model(x).argmax(1)
    exact = needed(model, w, x, y)
    alone = [smallest(model, x, y, towards(model, t), (0.2,), halvings=40) for t in range(3)]
    reach = exact <= 0.2
    least = torch.stack(alone).amin(0)
    torch.testing.assert_close(least[reach], exact[reach], rtol=1e-9, atol=1e-12)
    assert all(bool((each >= exact - 1e-12).all()) for each in alone)
    assert int((alone[0] > exact + 0.01).sum()) > 5


def test_an_image_is_alone_in_the_world() -> None:
    """A set may be measured in pieces, because keys determine each image's random starts."""
    model, _ = linear()
    x = inner()
    y = model(x).argmax(1)

    def strike(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
        return pgd(model, x, y, eps=eps, steps=2, step_size=eps / 4, keys=keys).images

    keys = torch.arange(len(x))
    whole = smallest(model, x, y, strike, (0.05, 0.1, 0.2))
    parts = [
        smallest(model, x[rows], y[rows], strike, (0.05, 0.1, 0.2), keys=keys[rows])
        for rows in torch.arange(len(x)).split(17)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_model_judges_whatever_the_strike_looks_at() -> None:
    """Images made for another network count only if this network misclassifies them."""
    model, _ = linear()
    x = inner()
    y = model(x).argmax(1)
    nothing = smallest(model, x, y, lambda x, y, keys, eps: x, (0.1,))
    assert bool(nothing.isinf().all())
    away = smallest(model, x, y, lambda x, y, keys, eps: 1 - x, (0.1,))
    assert torch.equal(away.isfinite(), model(1 - x).argmax(1) != y)


def test_the_curve_is_the_share_of_larger_sizes() -> None:
    """At eps 0 it is the clean accuracy; images without a found perturbation survive at every
    eps.
    """
    sizes = torch.tensor([0.0, 0.1, 0.3, torch.inf])
    curve = surviving(sizes, torch.tensor([0.0, 0.1, 0.2, 0.3, 1.0]))
    assert curve.tolist() == [75, 50, 50, 25, 25]


@pytest.mark.parametrize("grid", [(), (0.2, 0.1), (0.0, 0.1), (0.1, 0.1), (0.1, float("inf"))])
def test_a_grid_that_is_none_is_refused(grid: tuple[float, ...]) -> None:
    model, _ = linear()
    with pytest.raises(ValueError, match="grid must be finite sizes above 0 in increasing order"):
        smallest(model, inner(2), torch.zeros(2, dtype=torch.int64), lambda x, *_: x, grid)


def test_a_perturbation_is_shortened_twelve_times() -> None:
    """One pixel at 0.5 is of class 0 up to 0.56.

    The step of 0.2 is bisected: 0.06 lies between 1228/4096 and 1229/4096 of it.
    """

    def model(x: Tensor) -> Tensor:
        return torch.cat([0.56 - x.flatten(1), torch.zeros(len(x), 1, dtype=x.dtype)], 1)

    x, y = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    asked = []

    def strike(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
        asked.append((keys.tolist(), eps))
        return x + eps

    size = smallest(model, x, y, strike, (0.05, 0.2, 0.4), keys=torch.tensor([7]))
    assert size.item() == pytest.approx(0.2 * 1229 / 4096, rel=1e-12)
    assert asked == [([7], 0.05), ([7], 0.2)]  # no larger size after a success
    assert smallest(model, x, y, strike, (0.2,), halvings=2).item() == pytest.approx(0.1)
    smallest(model, x, y, strike, (0.05,))
    assert asked[-1] == ([0], 0.05)  # by default keys are the row numbers
