"""Adam on the image: compared with torch's own optimiser, and tests of where it stops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import adam, propagation

Make = Callable[..., Any]
NEVER = 5  # a class that a network of five classes never predicts


def with_never(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the model with a sixth logit that is never the highest."""
    return lambda x: torch.nn.functional.pad(model(x), (0, 1), value=-1e9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("given", [{}, {"step_size": 0.3, "betas": (0.5, 0.9), "epsilon": 1e-3}])
def test_equals_torch_adam(
    dtype: torch.dtype, clip: bool, given: dict[str, Any], make_curved: Make, make_images: Make
) -> None:
    """It makes the steps of `torch.optim.Adam` for each image; with clipping, iterates are
    clipped.
    """
    images, labels = make_images(6, dtype)
    model = with_never(make_curved(dtype))
    targets = torch.full_like(labels, NEVER)
    ours = adam(model, images, labels, targets=targets, steps=30, clip=clip, **given)
    theirs = images.clone().requires_grad_()
    optimiser = torch.optim.Adam(
        [theirs],
        lr=given.get("step_size", 0.01),
        betas=given.get("betas", (0.9, 0.999)),
        eps=given.get("epsilon", 1e-8),
    )
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(theirs), targets, reduction="sum")
        (theirs.grad,) = torch.autograd.grad(loss, theirs)
        optimiser.step()
        if clip:
            theirs.data.clamp_(0, 1)
    torch.testing.assert_close(
        ours.images, theirs.detach(), rtol=0, atol=1e-13 if dtype == torch.float64 else 2e-5
    )
    assert not ours.found.any() and ours.steps.tolist() == [30] * 6
    assert torch.equal(ours.distance, (ours.images - images).flatten(1).norm(dim=1))


def test_stops_at_the_first_image_that_reaches_the_goal(
    make_curved: Make, make_images: Make
) -> None:
    """One step fewer is not enough, more steps change nothing, and the cost is as documented."""
    images, labels = make_images(12)
    model = make_curved()
    labels = model(images).argmax(1)
    targets = (labels + 1) % 5
    long = adam(model, images, labels, targets=targets, steps=200)
    assert long.found.all() and int(long.steps.min()) < int(long.steps.max()) < 200
    for row, needed in enumerate(long.steps.tolist()):
        at = slice(row, row + 1)
        exact, short = (
            adam(model, images[at], labels[at], targets=targets[at], steps=n)
            for n in (needed, max(needed - 1, 1))
        )
        torch.testing.assert_close(exact.images, long.images[at], rtol=0, atol=1e-12)
        assert exact.found.all() and short.distance.isfinite().all()
        assert needed == 1 or not short.found.any()
    assert long.backwards == int(long.steps.sum()) + 12


def test_an_image_at_its_goal_from_the_start_stays(make_curved: Make, make_images: Make) -> None:
    images, _ = make_images(8)
    answers = make_curved()(images).argmax(1)
    result = adam(make_curved(), images, (answers + 1) % 5, targets=answers, steps=5)
    assert torch.equal(result.images, images) and result.found.all()
    assert result.steps.tolist() == [0] * 8


@pytest.mark.parametrize(("epsilon", "way"), [(1e-8, 1e-6), (1e-20, 0.01)])
def test_epsilon_holds_tiny_gradients_back(epsilon: float, way: float) -> None:
    """For gradients of 1e-12 the default moves a pixel by step_size * 1e-4; a tiny epsilon by
    step_size.
    """
    images = torch.full((1, 4), 0.5, dtype=torch.float64)
    result = adam(
        lambda x: torch.cat([x, -1 + 0 * x[:, :1]], 1),
        images,
        torch.tensor([0]),
        targets=torch.tensor([4]),
        steps=1,
        loss=lambda logits, classes: 1e-12 * logits[:, :4].sum(1),
        epsilon=epsilon,
    )
    torch.testing.assert_close(
        images - result.images, torch.full_like(images, way), rtol=2e-4, atol=0
    )


def test_looking_less_often_changes_nothing(
    make_curved: Make, make_images: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU finished rows stay in the batch for a while and must not move further."""
    images, labels = make_images(12)
    often = adam(make_curved(), images, labels, steps=40)
    monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", 7)
    seldom = adam(make_curved(), images, labels, steps=40)
    torch.testing.assert_close(seldom.images, often.images, rtol=0, atol=1e-12)
    assert torch.equal(seldom.steps, often.steps) and torch.equal(seldom.found, often.found)


def test_success_on_a_randomised_model_is_kept(
    make_linear: Make, make_images: Make, noisy: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that succeeded once stays where it is, also if new noise would say otherwise."""
    images, _ = make_images(12)
    model = make_linear()
    labels = model(images).argmax(1)
    found = []
    for every in (1, 10):
        monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", every)
        found.append(adam(noisy(model, 0.5), images, labels, steps=40, step_size=0.005))
    often, seldom = found
    torch.testing.assert_close(seldom.images, often.images, rtol=0, atol=1e-12)
    assert torch.equal(seldom.steps, often.steps) and torch.equal(seldom.found, often.found)
