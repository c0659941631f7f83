"""The geometry along a path: closed forms of a linear softmax model, and finite differences."""

import math

import pytest
import torch
from torch import Tensor, nn

from robustbook.measures import (
    fisher_distance,
    jacobian,
    length_element,
    resolve,
    straight_path,
    walk,
)
from robustbook.networks import CNN, MLP, initialise
from robustbook.randomness import generator

SHAPE = (1, 4, 4)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def even(points: int) -> Tensor:
    return torch.linspace(0, 1, points, dtype=torch.float64)


@pytest.fixture(scope="module")
def net() -> MLP:
    net = MLP((16, 12, 9, 5), torch.sigmoid)
    initialise(net, "normal", generator(0, "test"))
    return net.double()


def fisher(p: Tensor) -> Tensor:
    """Return the Fisher metric of a softmax in its logits, diag(p) - p p^T (eq. 10)."""
    return torch.diag_embed(p) - p[..., :, None] * p[..., None, :]


class Plain(nn.Module):
    """A wrapper that hides that a network is an MLP."""

    def __init__(self, inner: nn.Module, shift: float = 0.0) -> None:
        super().__init__()
        self.inner, self.shift = inner, shift

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(images)
        return logits + self.shift


def test_the_linear_softmax_model_has_a_closed_form() -> None:
    """For z = W x + b, J is W everywhere, so its singular values are those of W.

    dl/dt is the standard deviation of W (x_T - x_S) under p.
    """
    layer = nn.Linear(16, 5).double()
    source, target = drawn(*SHAPE), drawn(*SHAPE, seed=1)
    found = walk(lambda x: layer(x.flatten(1)), source, target, even(7))
    x = straight_path(source, target, even(7)).flatten(1)
    p = layer(x).softmax(1)
    v = layer.weight @ (target - source).flatten()
    variance = (p * v**2).sum(1) - (p * v).sum(1) ** 2
    torch.testing.assert_close(found.probabilities, p)
    torch.testing.assert_close(found.length, variance.sqrt())
    torch.testing.assert_close(found.change, (p * (v - (p * v).sum(1, True))).abs().sum(1) / 2)
    values = torch.linalg.svdvals(layer.weight).expand(7, 5)
    torch.testing.assert_close(found.singular_values, values)


def test_the_walk_is_what_finite_differences_say(net: MLP) -> None:
    """The metric is the second derivative of twice the Kullback-Leibler divergence.

    The rate of change is that of the probabilities.
    """
    source, target, h = drawn(*SHAPE), drawn(*SHAPE, seed=1), 1e-5
    t = torch.tensor([0.1, 0.35, 0.8], dtype=torch.float64)
    found = walk(net, source, target, t)
    before, after = (net(straight_path(source, target, t + d)).softmax(1) for d in (-h, h))
    torch.testing.assert_close(
        found.change, (after - before).abs().sum(1) / (4 * h), rtol=1e-6, atol=0
    )
    divergence = (before * (before / after).log()).sum(1)
    torch.testing.assert_close(found.length, (2 * divergence).sqrt() / (2 * h), rtol=1e-4, atol=0)


def test_the_short_cut_of_an_mlp_is_the_general_way(net: MLP) -> None:
    """Skipping the first layer saves time only; an SVD gives the same values."""
    source, target = drawn(*SHAPE), drawn(*SHAPE, seed=1)
    short, long = (walk(n, source, target, even(9)) for n in (net, Plain(net)))
    for name, values in vars(short).items():
        torch.testing.assert_close(values, getattr(long, name), msg=name)
    x = straight_path(source, target, even(9)).flatten(1)
    _, j = jacobian(net, x)
    for row, image in zip(j, x, strict=True):
        loop = torch.autograd.functional.jacobian(lambda i: net(i[None])[0], image)
        torch.testing.assert_close(row, loop)
    torch.testing.assert_close(short.singular_values, torch.linalg.svdvals(j), atol=1e-7, rtol=1e-6)


def test_adding_a_number_to_all_logits_changes_nothing(net: MLP) -> None:
    """Probabilities depend only on differences of logits; a constant does not change J."""
    source, target = drawn(*SHAPE), drawn(*SHAPE, seed=1)
    here, there = (walk(Plain(net, shift), source, target, even(5)) for shift in (0.0, 100.0))
    for name, values in vars(here).items():
        torch.testing.assert_close(values, getattr(there, name), msg=name, rtol=1e-9, atol=1e-12)


def test_the_metric_of_the_input(net: MLP) -> None:
    """G^in = J^T G^F J is positive semidefinite, and of rank 4 at most for 5 classes.

    It gives dx the same length as the length element; G^F is the covariance of the score.
    """
    x, dx = drawn(3, 16), drawn(3, 16, seed=1) - 0.5
    logits, j = jacobian(net, x)
    p = logits.softmax(1)
    score = torch.eye(5, dtype=torch.float64) - p[:, None, :]  # [n, k, i]: d log p_k / d z_i
    torch.testing.assert_close(fisher(p), torch.einsum("nk,nki,nkj->nij", p, score, score))
    metric = j.mT @ fisher(p) @ j
    eigenvalues = torch.linalg.eigvalsh(metric)
    assert eigenvalues.min() > -1e-12 * eigenvalues.max()
    assert (eigenvalues > 1e-9 * eigenvalues.max()).sum(1).max() == 4
    squared = torch.einsum("ni,nij,nj->n", dx, metric, dx)
    v = (j @ dx[:, :, None])[:, :, 0]
    torch.testing.assert_close(length_element(p, v), squared.sqrt())


def test_length_does_not_drown_in_cancellation() -> None:
    """If p is nearly certain and v large, sum p v^2 - (sum p v)^2 would be only rounding errors."""
    p = torch.tensor([1.0, 1e-24], dtype=torch.float64)
    v = torch.tensor([1e3, 1e3 + 1], dtype=torch.float64)
    assert length_element(p, v).item() == pytest.approx(1e-12)


@pytest.mark.parametrize("sharpness", [3.0, 1e3, 1e7])
def test_a_crossing_between_two_classes_is_pi_long(sharpness: float) -> None:
    """With two classes, the path is as long as the distance of its ends.

    On the even grid a sharp transition has too low a peak; the resolved grid has the right one.
    """

    def net(x: Tensor) -> Tensor:
        z = sharpness * (x.flatten(1).sum(1) - 0.3777)
        return torch.stack([z, -z], 1)

    source, target = torch.zeros(1, 1, 1).double(), torch.ones(1, 1, 1).double()
    t, gaps = resolve(net, source, target, even(50))
    ends = net(torch.stack([source, target])).softmax(1)
    assert gaps.max() <= 0.1
    assert gaps.sum().item() == pytest.approx(fisher_distance(ends[0], ends[1]).item(), abs=1e-6)
    found = walk(net, source, target, t)
    if sharpness < 100:  # the trapezoid rule needs more points than the length
        assert torch.trapezoid(found.length, t).item() == pytest.approx(gaps.sum().item(), rel=1e-3)
    assert found.length.max().item() == pytest.approx(sharpness, rel=1e-2)  # 2s sqrt(1/4)
    assert {0.0, 1.0} <= set(t.tolist()) and bool((t[1:] > t[:-1]).all())
    if sharpness > 100:
        assert gaps.sum().item() == pytest.approx(math.pi)


def test_a_jump_stops_after_the_halvings_asked_for() -> None:
    """No refinement resolves a jump, but the search must end."""

    def net(x: Tensor) -> Tensor:
        z = torch.where(x.flatten(1).sum(1) > 0.3777, 50.0, -50.0)
        return torch.stack([z, -z], 1)

    source, target = torch.zeros(1).double(), torch.ones(1).double()
    t, gaps = resolve(net, source, target, even(5), halvings=6)
    assert len(t) == 11 and gaps.sum().item() == pytest.approx(math.pi)


def test_any_network_walks() -> None:
    """The CNN has no linear first layer to skip; float32 input gives float32 output."""
    net = CNN()
    initialise(net, "truncated", generator(0, "test"))
    found = walk(net, torch.zeros(1, 28, 28), torch.ones(1, 28, 28), torch.linspace(0, 1, 3))
    assert found.singular_values.shape == (3, 10)
    assert found.length.dtype == torch.float32 and bool(found.length.isfinite().all())


def test_paths_that_are_none_are_refused() -> None:
    image, t = drawn(*SHAPE), even(3)
    with pytest.raises(ValueError, match=r"target must be .* \(1, 4, 4\), got \(1, 4, 5\)"):
        walk(lambda x: x, image, drawn(1, 4, 5), t)
    with pytest.raises(ValueError, match=r"t must have 2 or more points.*got 1"):
        walk(lambda x: x, image, image, t[:1])
    ends = straight_path(image, drawn(*SHAPE, seed=1), t)
    assert torch.equal(ends[0], image) and torch.equal(ends[2], drawn(*SHAPE, seed=1))


def test_two_points_are_a_path() -> None:
    """The path consists of its ends, and of the middle at t = 1/2."""
    source, target = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.5])
    ends = straight_path(source, target, torch.tensor([0.0, 1.0]))
    assert torch.equal(ends, torch.stack([source, target]))
    middle = straight_path(source, target, torch.tensor([0.5, 0.25]))
    assert middle.tolist() == [[0.5, 0.75], [0.25, 0.875]]
    layer = nn.Linear(2, 3)
    assert walk(layer, source, target, torch.tensor([0.0, 1.0])).length.shape == (2,)


def test_the_defaults_of_resolve() -> None:
    """A jump halves one interval 40 times, so 2 points become 42.

    A smooth path of length 0.19 is halved once, because neighbours may be 0.1 apart.
    """

    def jump(x: Tensor) -> Tensor:
        z = torch.where(x.flatten(1).sum(1) > 0.3777, 50.0, -50.0)
        return torch.stack([z, -z], 1)

    ends = torch.zeros(1).double(), torch.ones(1).double()
    t, _ = resolve(jump, *ends, even(2))
    assert len(t) == 42 and (t[1:] - t[:-1]).min().item() == 2.0**-40

    def slow(x: Tensor) -> Tensor:  # dl/dt = 0.19 where both classes are equally likely
        z = 0.19 * (x.flatten(1).sum(1) - 0.5)
        return torch.stack([z, -z], 1)

    t, gaps = resolve(slow, *ends, even(2))
    assert t.tolist() == [0.0, 0.5, 1.0] and gaps.sum().item() == pytest.approx(0.19, rel=0.01)


def test_distances_of_probabilities_by_hand() -> None:
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]], dtype=torch.float64)
    q = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.2, 0.8]], dtype=torch.float64)
    assert fisher_distance(p, q).tolist() == pytest.approx([math.pi, math.pi / 2, 0.0], abs=1e-7)
    assert length_element(p[1], torch.tensor([3.0, 1.0]).double()).item() == 1.0


def test_small_distances_keep_their_digits() -> None:
    """The arccosine near 1 would give 5e-4 for a distance of 0 in float32."""
    p = (3 * torch.randn(500, 10, generator=generator(0, "test"))).softmax(1)
    assert not fisher_distance(p, p).any()
    image = torch.ones(1)
    layer = nn.Linear(1, 10)
    assert not resolve(layer, image, image, torch.linspace(0, 1, 2001))[1].any()
    angle = torch.tensor([1e-3, 0.1, 2.0, 3.1])  # of (1, 0) and (cos^2, sin^2) of half of it
    q = torch.stack([(angle / 2).cos().square(), (angle / 2).sin().square()], 1)
    torch.testing.assert_close(fisher_distance(torch.tensor([1.0, 0.0]).expand(4, 2), q), angle)


def test_singular_values_are_as_many_as_the_smaller_side() -> None:
    """With two pixels and three logits there are two values, those of the matrix."""
    layer = nn.Linear(2, 3).double()
    found = walk(layer, torch.zeros(2).double(), torch.ones(2).double(), even(2))
    expected = torch.linalg.svdvals(layer.weight).expand(2, 2)
    torch.testing.assert_close(found.singular_values, expected)
