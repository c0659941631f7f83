"""The attack inside a loss: PGD's last iterate, for one network or several at once."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import pgd
from robustbook.attacks.inner import climb
from robustbook.attacks.noise import in_ball
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator


def network(seed: int = 0) -> MLP:
    net = MLP((16, 8, 4), torch.tanh).double()
    initialise(net, "xavier", generator(seed))
    return net


def linear() -> nn.Sequential:
    """Return a model of two classes, on which the loss rises at each step, so the last iterate is
    best.
    """
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    initialise(model[1], "normal", generator(0))
    return model


def batch() -> tuple[Tensor, Tensor]:
    images = torch.rand(6, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    return images, torch.randint(4, (6,), generator=generator(2))


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("norm", [math.inf, 2])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_is_the_last_iterate_of_pgd(steps: int, norm: float, clip: bool) -> None:
    model, (images, labels) = linear(), batch()
    options = {"eps": 0.3 if norm == 2 else 0.1, "steps": steps, "step_size": 0.04}
    theirs = pgd(model, images, labels % 2, random_start=False, norm=norm, clip=clip, **options)
    ours = climb(model, images, labels % 2, norm=norm, clip=clip, **options)
    torch.testing.assert_close(ours, theirs.images, rtol=0, atol=1e-14)
    assert not torch.equal(ours, images)


@pytest.mark.parametrize("norm", [math.inf, 2])
def test_it_is_pgd_from_its_random_start(norm: float) -> None:
    """The start is first projected onto the ball and onto [0, 1]."""
    model, (images, labels) = linear(), batch()
    start = images + 0.2 * in_ball(0, torch.arange(6), 0, images, float(norm))
    theirs = pgd(model, images, labels % 2, eps=0.2, steps=3, step_size=0.02, norm=norm)
    ours = climb(
        model, images, labels % 2, eps=0.2, steps=3, step_size=0.02, norm=norm, start=start
    )
    torch.testing.assert_close(ours, theirs.images, rtol=0, atol=1e-14)
    far = climb(
        model, images, labels % 2, eps=0.2, steps=0, step_size=0.1, norm=norm, start=1 + start
    )
    sizes = (far - images).flatten(1).norm(norm, dim=1)
    assert (sizes <= 0.2 + 1e-12).all() and 0 <= far.min() and far.max() <= 1


@pytest.mark.parametrize("norm", [math.inf, 2])
def test_a_budget_for_each_image(norm: float) -> None:
    """It equals a separate call per image, with its eps and step size; 0 leaves an image
    unchanged.
    """
    model, (images, labels) = network(), batch()
    eps = torch.tensor([0.0, 0.01, 0.05, 0.1, 0.3, 0.5], dtype=torch.float64)
    together = climb(model, images, labels, eps=eps, steps=4, step_size=eps / 2, norm=norm)
    assert torch.equal(together[0], images[0])
    for i, size in enumerate(eps.tolist()):
        one = slice(i, i + 1)
        alone = climb(
            model, images[one], labels[one], eps=size, steps=4, step_size=size / 2, norm=norm
        )
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-14)
        assert (alone - images[one]).flatten(1).norm(norm, dim=1).item() <= size + 1e-12


def test_an_image_does_not_depend_on_its_batch() -> None:
    model, (images, labels) = network(), batch()
    options = {"eps": 0.2, "steps": 4, "step_size": 0.06}
    together = climb(model, images, labels, **options)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moved = climb(model, images[order], labels[order], **options)
    torch.testing.assert_close(moved, together[order], rtol=0, atol=1e-14)


def test_nothing_outside_changes() -> None:
    """Images, gradients, flags and random streams are unchanged, though the first layer works in
    place.

    The result has no graph, whatever the caller's mode.
    """
    inner, (images, labels) = network(), batch()
    model = nn.Sequential(nn.Threshold(0.5, 0.5, inplace=True), inner)
    kept, stream = images.clone(), torch.get_rng_state()
    options = {"eps": 0.2, "steps": 2, "step_size": 0.1}
    first = climb(model, images, labels, **options)
    with torch.no_grad():
        second = climb(model, images, labels, **options)
    third = climb(model, images.clone().requires_grad_(), labels, **options)
    assert torch.equal(first, second) and torch.equal(first, third)
    assert not first.requires_grad and not third.requires_grad
    assert torch.equal(images, kept) and torch.equal(stream, torch.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_other_losses_and_targets_that_are_probabilities() -> None:
    """The loss is a name or a function; with the opposite sign it is a targeted attack."""
    model, (images, labels) = network(), batch()

    def soft(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="none")

    options = {"eps": 0.2, "steps": 3, "step_size": 0.1}
    hot = F.one_hot(labels, 4).double()
    usual = climb(model, images, labels, **options)
    torch.testing.assert_close(climb(model, images, hot, loss=soft, **options), usual)
    towards = climb(model, images, labels, loss=lambda z, y: -soft(z, y), **options)
    before, after = (soft(model(x), labels) for x in (images, towards))
    assert (after < before).all()
    with pytest.raises(ValueError, match="loss must be one of cross_entropy, .*, got 'huber'"):
        climb(model, images, labels, loss="huber", **options)
