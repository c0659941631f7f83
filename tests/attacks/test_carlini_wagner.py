"""Carlini and Wagner's attack: compared with a closed form, a plain loop, and another library."""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox imports git, which may be missing
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox

from robustbook.attacks import carlini_wagner, propagation
from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE

Make = Callable[..., Any]


def naive(
    nets: Sequence[nn.Module], x0: Tensor, y: Tensor, c: float, steps: int, lr: float
) -> Tensor:
    """Compute the released code's steps: tanh, Adam, the clamped hinge, the last iterate. With
    several networks, the hinge is the mean of theirs.
    """
    w = torch.atanh(2 * x0 - 1).requires_grad_()
    adam = torch.optim.Adam([w], lr=lr)
    hot = nn.functional.one_hot(y, nets[0](x0).shape[1]).bool()
    for _ in range(steps):
        x = (torch.tanh(w) + 1) / 2
        loss = (x - x0).square().sum()
        for net in nets:
            logits = net(x)
            own = (logits * hot).amax(1)  # the zeros of other classes count in the maximum
            other = logits.masked_fill(hot, -math.inf).amax(1)
            loss = loss + c * (own - other).clamp(min=0).sum() / len(nets)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return ((torch.tanh(w) + 1) / 2).detach()


def linear(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model of two pixels and three classes; labels are the model's own answers."""
    net = nn.Linear(2, 3, dtype=dtype)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 1.0], [-1.0, 2.0], [-2.0, -3.0]]))
        net.bias.copy_(torch.tensor([-0.5, 0.2, 1.0]))
    x = torch.rand(20, 2, dtype=dtype, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    return net, x, net(x).argmax(1)


def test_the_preset_is_the_released_code() -> None:
    net, x, y = linear()
    for c in (0.05, 0.5):
        expected = naive([net], x, y, c, 40, 1e-2)
        found = carlini_wagner(
            net, x, y, c=c, steps=40, step_size=1e-2, preset=RANDOM_SELF_ENSEMBLE
        )
        torch.testing.assert_close(found.images, expected, rtol=1e-9, atol=1e-9)


def test_without_clipping_it_is_the_released_program_for_table_3() -> None:
    """Adam on the pixels themselves, which may leave [0, 1]; targeted, the last iterate."""
    net, x0, y = linear()
    goals = (y + 1) % 3
    x = x0.clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=1e-2)
    hot = nn.functional.one_hot(goals, 3).bool()
    for _ in range(60):
        logits = net(x)
        own = (logits * hot).amax(1)
        other = logits.masked_fill(hot, -math.inf).amax(1)
        loss = (x - x0).square().sum() + 100 * (other - own).clamp(min=0).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    found = carlini_wagner(
        net,
        x0,
        y,
        c=100.0,
        steps=60,
        step_size=1e-2,
        preset=RANDOM_SELF_ENSEMBLE,
        clip=False,
        targets=goals,
    )
    torch.testing.assert_close(found.images, x.detach(), rtol=1e-9, atol=1e-9)
    assert bool((found.images < 0).any())


def test_the_nearest_point_of_a_linear_model() -> None:
    """The nearest iterate lies at the nearest boundary, whose distance is known.

    For one image the nearest boundary point is outside [0, 1].
    """
    net, x, y = linear()
    w, b = net.weight.detach(), net.bias.detach()
    margins = (x @ w.T + b).gather(1, y[:, None]) - (x @ w.T + b)
    normals = (w[y][:, None] - w[None]).norm(dim=2)
    exact = (margins / normals).masked_fill(nn.functional.one_hot(y, 3).bool(), math.inf).amin(1)
    found = carlini_wagner(net, x, y, c=1.0, steps=400, step_size=1e-2)
    assert bool(found.found.all())
    ratio = found.distance / exact
    assert float(ratio.min()) >= 1 - 1e-9
    assert float(ratio.median()) < 1.001 and float(ratio.max()) < 1.05


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("searches", [1, 4])
def test_a_confidence_is_kept(searches: int, targeted: bool) -> None:
    """The nearest iterate is the nearest one whose margin is at least kappa, for each search."""
    net, x, y = linear()
    targets = (y + 1) % 3 if targeted else None
    given: dict[str, Any] = {"c": 10.0, "steps": 60, "step_size": 1e-2, "searches": searches}
    plain, sure = (
        carlini_wagner(net, x, y, targets=targets, kappa=kappa, **given) for kappa in (0.0, 0.2)
    )
    assert bool(sure.found.any()) and bool((sure.distance >= plain.distance).all())
    logits = net(sure.images[sure.found]).detach()
    hot = nn.functional.one_hot(y if targets is None else targets, 3).bool()[sure.found]
    own, others = (logits.masked_fill(mask, -math.inf).amax(1) for mask in (~hot, hot))
    margins = own - others if targeted else others - own
    assert 0.2 <= float(margins.min()) < 0.3


def test_a_sweep_over_c_is_a_repeated_batch() -> None:
    net, x, y = linear()
    sizes = torch.tensor([0.01, 0.1, 1.0], dtype=x.dtype)
    both = carlini_wagner(
        net, x.repeat(3, 1), y.repeat(3), c=sizes.repeat_interleave(20), steps=50, step_size=1e-2
    )
    for i, c in enumerate(sizes.tolist()):
        alone = carlini_wagner(net, x, y, c=c, steps=50, step_size=1e-2)
        torch.testing.assert_close(both.images[20 * i : 20 * i + 20], alone.images)


def test_the_released_code_leaves_pixels_of_0_and_1_as_they_are() -> None:
    net, x, _ = linear()
    x[:, 0] = torch.tensor([0.0, 1.0], dtype=x.dtype).repeat(10)
    y = net(x).argmax(1)
    found = carlini_wagner(net, x, y, c=5.0, steps=30, step_size=1e-2, preset=RANDOM_SELF_ENSEMBLE)
    assert torch.equal(found.images[:, 0], x[:, 0])
    assert bool(found.images.isfinite().all()) and not torch.equal(found.images, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_of_0_and_1_move(dtype: torch.dtype) -> None:
    """A third pixel is 0 or 1, and only this pixel has an effect: the distance to the boundary is
    its margin divided by its weight. Pixels without effect keep their exact values.
    """
    x = torch.rand(20, 3, dtype=dtype, generator=torch.Generator().manual_seed(1)).round()
    w = torch.tensor([0.0, 0.0, 2.0], dtype=dtype)
    y = (x[:, 2] > 0.4).long()

    def net(x: Tensor) -> Tensor:
        return torch.stack([0.8 - x @ w, x @ w - 0.8], 1)

    found = carlini_wagner(net, x, y, c=1.0, steps=500, step_size=5e-2)
    assert bool(found.found.all()) and torch.equal(found.images[:, :2], x[:, :2])
    assert 0 <= float(found.images.min()) and float(found.images.max()) <= 1
    ratio = found.distance / torch.where(y == 1, 0.6, 0.4)
    assert 1 - 1e-6 < float(ratio.min()) and float(ratio.max()) < 1.02


def test_as_near_as_foolbox(make_curved: Make, make_images: Make) -> None:
    """Steps, rate and c are equal, without foolbox's search over c."""
    net, (images, labels) = make_curved(torch.float32), make_images(30, torch.float32)
    theirs = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=1, steps=200, stepsize=1e-2, confidence=0, initial_const=10.0,
        abort_early=False,
    )  # fmt: skip
    model = foolbox.PyTorchModel(net.eval(), bounds=(0, 1), device="cpu")
    _, near, fooled = theirs(model, images, labels, epsilons=None)
    assert bool(near.flatten(1).any(1).all())  # foolbox returns a black image where it fails
    ours = carlini_wagner(net, images, labels, c=10.0, steps=200, step_size=1e-2)
    assert int(ours.found.sum()) >= int(fooled.sum())
    both = ours.found & fooled
    distance = (near - images).flatten(1).norm(dim=1)
    assert float(ours.distance[both].mean()) <= 1.01 * float(distance[both].mean())


def test_inactive_hinges_get_no_backward_pass(
    make_curved: Make, make_images: Make, counting: type
) -> None:
    """The result equals that of the released code, which computes all backward passes."""
    net, (images, _) = make_curved(), make_images(30)
    labels = net(images).argmax(1)
    inner = images.clamp(0.01, 0.99)
    model = counting(net)
    found = carlini_wagner(
        model, inner, labels, c=30.0, steps=40, step_size=1e-2, preset=RANDOM_SELF_ENSEMBLE
    )
    expected = naive([net], inner, labels, 30.0, 40, 1e-2)
    torch.testing.assert_close(found.images, expected, rtol=1e-9, atol=1e-9)
    assert (found.forwards, found.backwards) == (model.forwards, model.backwards)
    assert found.backwards < 0.6 * 30 * 40 and found.forwards < 1.5 * 30 * 40


@dataclass
class Always:
    """A randomised model whose noise is 0, so that no image leaves the batch."""

    net: nn.Module

    def at(self, keys: Tensor, draw: int | Tensor) -> nn.Module:
        return self.net


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"preset": RANDOM_SELF_ENSEMBLE},
        {"preset": RANDOM_SELF_ENSEMBLE, "clip": False},
        {"searches": 3, "kappa": 0.5},
        {"searches": 3, "abandon": True},
    ],
)
def test_images_that_never_move_leave_after_one_step(
    given: dict[str, Any],
    every: int,
    make_curved: Make,
    make_images: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images, distances and successes are those of the attack on all images, on a CPU and with the
    GPU's order of passes.
    """
    monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", every)
    net, (images, labels) = make_curved(), make_images(30)
    given = {"c": 20.0, "steps": 30, "step_size": 1e-2, **given}
    whole = carlini_wagner(Always(net), images, labels, **given)
    found = carlini_wagner(net, images, labels, **given)
    torch.testing.assert_close(found.images, whole.images, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.distance, whole.distance, rtol=0, atol=1e-12)
    assert torch.equal(found.found, whole.found)
    still = whole.distance == 0
    assert torch.equal(found.steps[~still], whole.steps[~still])
    assert bool((found.steps[still] == given.get("searches", 1)).all()) and 10 < still.sum() < 30
    left = whole.steps.sum() - found.steps.sum()
    assert left > 0 and found.forwards <= whole.forwards - left
    assert found.backwards <= whole.backwards


def test_draws_average_the_hinge(make_parity: Make, make_images: Make) -> None:
    """Even draws are one network, odd ones another. Two draws per step have the mean hinge."""
    coin, (images, _) = make_parity(), make_images(12)
    inner, labels = images.clamp(0.01, 0.99), coin.even(images).argmax(1)
    given = {"steps": 40, "step_size": 1e-2, "preset": RANDOM_SELF_ENSEMBLE}
    found = carlini_wagner(coin, inner, labels, c=3.0, draws=2, **given)
    expected = naive([coin.even, coin.odd], inner, labels, 3.0, 40, 1e-2)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-9)


def test_the_search_finds_the_smallest_c_that_succeeds() -> None:
    """On a linear model with one other class the best c is known.

    The minimum of ||d||^2 + c (m - g d) is at d = c g / 2. It reaches the boundary at c = 2 m /
    ||g||^2, at the exact distance m / ||g||.
    """
    net, x, _ = linear()
    net.weight.data, net.bias.data = net.weight.data[:2], net.bias.data[:2]
    y = net(x).argmax(1)
    g = (net.weight[0] - net.weight[1]).detach().norm()
    margin = (net(x) @ torch.tensor([1.0, -1.0], dtype=x.dtype)).abs().detach()
    inside = ((x + (margin / g**2)[:, None] * (net.weight[0] - net.weight[1])).detach() - 0.5).abs()
    exact = (margin / g)[inside.amax(1) < 0.4]
    x, y = x[inside.amax(1) < 0.4], y[inside.amax(1) < 0.4]
    one = carlini_wagner(net, x, y, c=1e-3, steps=80, step_size=1e-2)
    many = carlini_wagner(net, x, y, c=1e-3, steps=80, step_size=1e-2, searches=8)
    assert not bool(one.found.all()) and bool(many.found.all())
    assert float((many.distance / exact).max()) < 1.02
    assert torch.equal(many.steps, torch.full_like(y, 640))


def test_many_searches_do_not_overflow() -> None:
    """A target that cannot be reached multiplies c by 10 in every search."""
    x, y = torch.full((1, 2), 0.5), torch.zeros(1, dtype=torch.int64)

    def net(x: Tensor) -> Tensor:
        return torch.stack([9 + x[:, 0], x[:, 1]], 1)

    result = carlini_wagner(net, x, y, c=1.0, steps=3, searches=45)
    assert not bool(result.found) and bool(result.images.isfinite().all())


def test_abandoned_searches_lose_little(make_curved: Make, make_images: Make) -> None:
    net, (images, labels) = make_curved(), make_images(30)
    given = {"c": 1e-2, "steps": 100, "step_size": 1e-2, "searches": 4}
    whole = carlini_wagner(net, images, labels, **given)
    short = carlini_wagner(net, images, labels, abandon=True, **given)
    assert int(short.steps.sum()) < int(whole.steps.sum())
    assert int(short.found.sum()) >= int(whole.found.sum()) - 1
    both = whole.found & short.found
    assert float(short.distance[both].mean()) < 1.05 * float(whole.distance[both].mean())


def test_the_benchmark_counts_a_black_image_as_a_failure(
    root: Path, make_curved: Make, make_images: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network misclassifies black images, which foolbox returns where its attack fails."""
    monkeypatch.syspath_prepend(root)
    from benchmarks import carlini_wagner_contest

    net, (images, _) = make_curved(), make_images(4)
    labels = net(0 * images).argmin(1)
    jobs = {"robustbook": carlini_wagner_contest.ours, "black": lambda net, **_: lambda x, y: 0 * x}
    monkeypatch.setattr(carlini_wagner_contest, "JOBS", jobs)
    ours, black = carlini_wagner_contest.contest(
        net, images, labels, [0.01], c=20.0, searches=1, steps=20, rounds=1
    )
    assert ours["fooled"] == 100 and black["fooled"] == 0
    assert ours["step_size"] == 0.01


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"c": 0.0}, "c must be a finite number above 0, got 0.0"),
        ({"c": torch.tensor([1.0, -1.0])}, "c must be a number or a float tensor of shape"),
        ({"c": 1.0, "kappa": -1}, "kappa must be a finite number, 0 or above, got -1"),
        ({"c": 1.0, "searches": 0}, "searches must be a whole number, 1 or more, got 0"),
        ({"c": 1.0, "steps": 0}, "steps must be a whole number, 1 or more, got 0"),
    ],
)
def test_refusals(given: dict[str, Any], sentence: str) -> None:
    net, x, y = linear()
    with pytest.raises(ValueError, match=sentence):
        carlini_wagner(net, x, y, **given)
