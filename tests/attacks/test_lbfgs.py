"""Batched L-BFGS: known minima, dense BFGS matrices, scipy, and the reasons to stop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear, minimize
from torch import Tensor, nn

from robustbook.attacks import lbfgs, propagation
from robustbook.attacks.quasi_newton import InverseHessians

Make = Callable[..., Any]
D = 12


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def endless(model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the model with one more logit that is never the highest, so the target is never
    reached.
    """
    return lambda x: torch.cat([model(x), model(x).amin(1, keepdim=True).detach() - 1], 1)


def descend(
    loss: Callable[[Tensor], Tensor], images: Tensor, model: Any = lambda x: x, **given: Any
) -> Any:
    """Minimise a loss of the model's outputs."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    targets = torch.full_like(labels, model(images).shape[1])
    return lbfgs(
        endless(model),
        images,
        labels,
        targets=targets,
        loss=lambda logits, classes: loss(logits[:, :-1]),
        **given,
    )


@pytest.fixture
def bowls() -> tuple[Tensor, Tensor]:
    """Return the root of a matrix of condition number 100, and centres inside and outside [0,
    1].
    """
    draw = torch.randn(D, D, generator=seeded(1), dtype=torch.float64)
    scale = torch.logspace(0, -1, D, dtype=torch.float64)
    root = torch.linalg.qr(draw)[0] * scale
    return root, 2 * torch.rand(8, D, generator=seeded(2), dtype=torch.float64) - 0.5


@pytest.mark.parametrize("clip", [False, True])
def test_finds_the_bottom_of_a_bowl(clip: bool, bowls: tuple[Tensor, Tensor]) -> None:
    """Without clipping it is the centre; with clipping, scipy's bounded least squares finds the
    same.
    """
    root, centres = bowls
    start = torch.rand(8, D, generator=seeded(3), dtype=torch.float64)
    result = descend(
        lambda z: 0.5 * z.square().sum(1),
        torch.cat([start, (centres + 0.5) / 2], 1),  # each image contains its own centre
        lambda x: (x[:, :D] - (2 * x[:, D:] - 0.5).detach()) @ root,
        clip=clip,
        gtol=1e-12,
        ftol=0.0,
        history=D,
    )
    assert not result.found.any()
    assert 3 < int(result.steps.min()) and int(result.steps.max()) < 100
    bounds = (0, 1) if clip else (-np.inf, np.inf)
    for image, centre in zip(result.images, centres, strict=True):
        best = lsq_linear(root.T.numpy(), (centre @ root).numpy(), bounds, tol=1e-14).x
        torch.testing.assert_close(image[:D], torch.from_numpy(best), rtol=0, atol=1e-6)


def test_is_the_dense_bfgs_matrix_of_the_last_pairs() -> None:
    """H g agrees with the textbook's update of a dense matrix (Nocedal and Wright, eq. 6.17).

    Rows have different numbers of pairs, some overwritten and one emptied.
    """
    n, d, history, added = 4, 6, 3, 5
    memory = InverseHessians(history, torch.zeros(n, d, dtype=torch.float64))
    kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(n)]
    for k in range(added):
        s, y = torch.randn(2, n, d, generator=seeded(k), dtype=torch.float64)
        y = (s + 0.3 * y) * 10.0 ** (-20 * k)  # sizes from 1 to 1e-80
        which = (s * y).sum(1) > 0
        which &= torch.tensor([True, k % 2 == 0, k > 2, True])
        memory.remember(s, y, which)
        for i in range(n):
            if which[i]:
                kept[i].append((s[i], y[i]))
        if k == 3:
            memory.forget(torch.tensor([False, False, False, True]))
            kept[3] = []
    assert len(kept[0]) > history and len(kept[3]) <= 1
    g = torch.randn(n, d, generator=seeded(9), dtype=torch.float64)
    scale = torch.tensor([1.0, 1e-30, 1e-200, 2.0], dtype=torch.float64)
    product = memory.times(g, scale)
    eye = torch.eye(d, dtype=torch.float64)
    for i in range(n):
        pairs = kept[i][-history:]
        if not pairs:
            expected = g[i] / g[i].norm()
        else:
            s, y = pairs[-1]
            h = eye * (s @ y) / (y @ y)
            for s, y in pairs:
                v = eye - torch.outer(y, s) / (y @ s)
                h = v.T @ h @ v + torch.outer(s, s) / (y @ s)
            expected = h @ g[i] * scale[i]
        torch.testing.assert_close(product[i] / expected.norm(), expected / expected.norm())


def net(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return a small sigmoid network, far from saturated."""
    layers = nn.Sequential(nn.Linear(30, 16), nn.Sigmoid(), nn.Linear(16, 5)).to(torch.float64)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(7), dtype=torch.float64))
    return layers.to(dtype)


@pytest.mark.parametrize("clip", [False, True])
def test_ends_as_low_as_scipy(clip: bool) -> None:
    """Attack 12 images of a small sigmoid network, each towards another class.

    A quadratic term pulls them towards the start; without it the minimum is at infinity.
    """
    images = torch.rand(12, 30, generator=seeded(5), dtype=torch.float64)
    classes = (net()(images).argmax(1) + 1 + torch.arange(12) % 4) % 5

    def outputs(x: Tensor) -> Tensor:
        """Return logits, pull and class of an image that contains its start and class."""
        x, start, class_ = x[:, :30], x[:, 30:60].detach(), x[:, 60:].detach()
        return torch.cat([net()(x), (x - start).square().sum(1, keepdim=True), 4 * class_], 1)

    def loss(z: Tensor) -> Tensor:
        cross = torch.nn.functional.cross_entropy(
            z[:, :5], z[:, 6].round().long(), reduction="none"
        )
        return cross + 0.01 * z[:, 5]

    whole = torch.cat([images, images, classes[:, None] / 4], 1)
    given = {"gtol": 1e-9, "ftol": 1e-15}
    result = descend(loss, whole, outputs, clip=clip, **given)
    ours = loss(outputs(torch.cat([result.images[:, :30], whole[:, 30:]], 1))).tolist()
    higher = 0
    for row, low in zip(whole, ours, strict=True):

        def both(x: np.ndarray, row: Tensor = row) -> tuple[float, Any]:
            leaf = torch.from_numpy(x).requires_grad_()
            value = loss(outputs(torch.cat([leaf, row[30:]])[None]))[0]
            return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

        bounds = [(0, 1)] * 30 if clip else None
        start = row[:30].numpy()
        theirs = minimize(both, start, jac=True, method="L-BFGS-B", bounds=bounds, options=given)
        higher += low > theirs.fun + 1e-9
    assert higher <= 1, "the loss has several minima: a row may end in another one"


def test_one_batch_is_as_many_single_runs() -> None:
    """Rows finish at different times, and none influences another."""
    images = torch.rand(12, 30, generator=seeded(6), dtype=torch.float64)
    labels = net()(images).argmax(1)
    targets = (labels + 1 + torch.arange(12) % 4) % 5
    given = {"clip": True, "steps": 30, "history": 3}
    whole = lbfgs(net(), images, labels, targets=targets, **given)
    assert len(set(whole.steps.tolist())) > 2
    for row in range(12):
        at = slice(row, row + 1)
        alone = lbfgs(net(), images[at], labels[at], targets=targets[at], **given)
        torch.testing.assert_close(alone.images, whole.images[at], rtol=0, atol=1e-9)
        assert torch.equal(alone.steps, whole.steps[at])


def test_looking_less_often_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU finished rows stay in the batch for a while and must not move further."""
    images = torch.rand(12, 30, generator=seeded(6), dtype=torch.float64)
    labels = net()(images).argmax(1)
    often = lbfgs(net(), images, labels, steps=30)
    monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", 7)
    seldom = lbfgs(net(), images, labels, steps=30)
    torch.testing.assert_close(seldom.images, often.images, rtol=0, atol=1e-9)
    assert torch.equal(seldom.steps, often.steps) and torch.equal(seldom.found, often.found)


def test_finished_rows_of_a_randomised_model_do_no_harm(
    make_linear: Make, make_images: Make, noisy: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their steps must not shrink until they round to 0, which would give 0/0."""
    images, _ = make_images(40, torch.float32)
    images = 0.3 + 0.4 * images
    model = make_linear(dtype=torch.float32)
    labels = model(images).argmax(1)
    found = []
    for every in (1, 10):
        monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", every)
        found.append(lbfgs(noisy(model, 1.0), images, labels, targets=(labels + 1) % 5, clip=False))
    often, seldom = found
    torch.testing.assert_close(seldom.images, often.images)
    assert torch.equal(seldom.steps, often.steps) and torch.equal(seldom.found, often.found)


@pytest.mark.parametrize("size", [1e-30, 1e20])
def test_the_size_of_the_loss_does_not_matter(size: float, bowls: tuple[Tensor, Tensor]) -> None:
    """In float32 the squares of gradients of 1e-30 are 0, so a saturated network would seem
    flat.
    """
    root, centres = (given.float() for given in bowls)
    images = torch.rand(8, D, generator=seeded(3))

    def bottom(factor: float) -> Tensor:
        return descend(
            lambda x: factor * ((x - centres[0]) @ root).square().sum(1),
            images,
            clip=False,
            gtol=0.0,
            ftol=0.0,
            steps=12,
        ).images

    torch.testing.assert_close(bottom(size), bottom(1.0), rtol=0, atol=0.02)
    assert float((bottom(1.0) - images).norm()) > 1


def test_says_why_it_stopped() -> None:
    """The result tells success, a stalled search (fewer than `steps`) and the limit of steps apart.

    Without a gradient, or within gtol, no step is made.
    """
    images = torch.rand(6, 30, generator=seeded(6), dtype=torch.float64)
    labels = net()(images).argmax(1)
    targets = (labels + 1) % 5
    flat = lbfgs(lambda x: net()(x) + 0 * x[:, :5], images, labels, targets=targets, gtol=1e3)
    nothing = lbfgs(
        lambda x: net()(images)[: len(x)].detach() + 0 * x[:, :5],
        images,
        labels,
        targets=targets,
        gtol=0.0,
    )
    for stalled in (flat, nothing):
        assert stalled.steps.tolist() == [0] * 6 and not stalled.found.any()
        assert torch.equal(stalled.images, images) and stalled.distance.tolist() == [0] * 6

    free = lbfgs(net(), images, labels, targets=targets, clip=False)
    assert free.found.all() and torch.equal(net()(free.images).argmax(1), targets)
    hard = free.steps.argmax()
    at = slice(int(hard), int(hard) + 1)
    most = int(free.steps[hard])
    assert most > 1, "the example must need more than one step, or it shows nothing"
    limit = lbfgs(net(), images[at], labels[at], targets=targets[at], clip=False, steps=most - 1)
    assert not limit.found.any() and int(limit.steps) == most - 1
    assert float(limit.distance) == float((limit.images - images[at]).norm()) > 0

    bottom = descend(lambda x: x.square().sum(1), images, steps=50)
    assert not bottom.found.any() and int(bottom.steps.max()) < 50
    torch.testing.assert_close(bottom.images, torch.zeros_like(images), rtol=0, atol=1e-5)


def test_never_ends_higher_than_it_began(make_curved: Make, make_images: Make) -> None:
    """Accepted iterates only lower the loss, even if the loss has jumps and no useful gradient."""
    images, _ = make_images(12)
    model = make_curved()
    edges = descend(
        lambda z: (5 * z).round().square().sum(1) + 1e-3 * z.sum(1), images, model, steps=20
    )

    def loss(x: Tensor) -> Tensor:
        z = model(x)
        return (5 * z).round().square().sum(1) + 1e-3 * z.sum(1)

    assert bool((loss(edges.images) <= loss(images)).all())
    assert bool((loss(edges.images) < loss(images)).any())
