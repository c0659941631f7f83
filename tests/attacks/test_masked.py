"""A model may mask a class by the logit minus infinity: attacks then do as if there were no such
class.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook.attacks import (
    Adversarial,
    adam,
    apgd,
    autoattack,
    carlini_wagner,
    ddn,
    deepfool,
    dlr,
    fab,
    fgsm,
    lbfgs,
    margin,
    penalised_lbfgs,
    pgd,
    square,
    targeted_dlr,
    zoo,
)
from robustbook.attacks.deepfool import PRESETS
from robustbook.attacks.goal import ranked, rivals

CLASSES, PIXELS = 5, 12
Logits = Callable[[Tensor], Tensor]


def drawn() -> tuple[Tensor, Tensor]:
    """Return the weights of a linear model with `CLASSES` classes, and 24 images."""
    chance = torch.Generator().manual_seed(0)
    w = torch.randn(CLASSES, PIXELS, generator=chance, dtype=torch.float64)
    x = 0.35 + 0.3 * torch.rand(24, PIXELS, generator=chance, dtype=torch.float64)
    return w, x


def added(w: Tensor, hidden: int) -> Logits:
    """Return the linear model with weights w, whose class `hidden` gets minus infinity added."""
    mask = torch.zeros(CLASSES, dtype=w.dtype)
    mask[hidden] = -math.inf
    return lambda x: (x - 0.5) @ w.T + mask


def filled(w: Tensor, hidden: int) -> Logits:
    """Return the same model, in which the masked logit has no gradient."""
    mask = torch.arange(CLASSES) == hidden
    return lambda x: ((x - 0.5) @ w.T).masked_fill(mask, -math.inf)


def both_ways(w: Tensor, hidden: int) -> tuple[Logits, Tensor]:
    """Return the model without the class `hidden`, and the class numbers of its logits."""
    kept = torch.tensor([k for k in range(CLASSES) if k != hidden])
    return (lambda x: (x - 0.5) @ w[kept].T), kept


ATTACKS: dict[str, Callable[..., Adversarial]] = {
    **{f"deepfool {preset}": partial(deepfool, preset=preset) for preset in PRESETS},
    "deepfool l-infinity": partial(deepfool, norm=math.inf),
    "fab": fab,
    "fab l2": partial(fab, norm=2),
    "fgsm": partial(fgsm, eps=0.05),
    "fgsm margin": partial(fgsm, eps=0.05, loss="margin"),
    "pgd": partial(pgd, eps=0.05, steps=4, step_size=0.02),
    "apgd": partial(apgd, eps=0.05, steps=8),
    "apgd dlr": partial(apgd, eps=0.05, steps=8, loss="dlr"),
    "square": partial(square, eps=0.05, queries=30),
    "ddn": partial(ddn, steps=20),
    "carlini wagner": partial(carlini_wagner, c=1.0, steps=30, step_size=0.05),
    "adam": partial(adam, steps=5),
    "lbfgs": partial(lbfgs, steps=3),
    "penalised lbfgs": partial(penalised_lbfgs, c=30.0, searches=2, steps=3),
    "zoo": partial(zoo, c=1.0, steps=10),
}


@pytest.mark.parametrize("masked", [added, filled])
@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_masked_class_counts_as_none(name: str, targeted: bool, masked: Any) -> None:
    """The masked class stands before and behind labels and targets."""
    w, x = drawn()
    shape = (-1, 1, 3, 4) if name == "square" else x.shape
    for hidden in range(CLASSES):
        model, (less, kept) = masked(w, hidden), both_ways(w, hidden)
        labels = less(x).argmax(1)
        targets = (labels + 1) % (CLASSES - 1)
        results = []
        for net, one, other in ((less, labels, targets), (model, kept[labels], kept[targets])):
            given = {"targets": other} if targeted else {}
            results.append(
                ATTACKS[name](lambda z, f=net: f(z.flatten(1)), x.view(shape), one, **given)
            )
        expected, found = results
        assert bool(expected.found.any())
        assert torch.equal(found.found, expected.found)
        torch.testing.assert_close(found.images, expected.images, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.distance, expected.distance, rtol=1e-6, atol=1e-6)


def distances(w: Tensor, x: Tensor, hidden: int, norm: float) -> tuple[Tensor, Tensor]:
    """Return the predicted classes, and the exact distances to the nearest class boundary."""
    logits = added(w, hidden)(x)
    labels = logits.argmax(1)
    gaps = logits.gather(1, labels[:, None]) - logits
    size = torch.linalg.vector_norm(w[labels][:, None] - w, 2 if norm == 2 else 1, dim=2)
    exact = (gaps / size).masked_fill(gaps == 0, math.inf).amin(1)
    assert bool((exact < 0.3).all())  # the box does not matter
    return labels, exact


@pytest.mark.parametrize("hidden", range(CLASSES))
@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize("masked", [added, filled])
def test_the_distance_is_exact_on_a_linear_model(masked: Any, norm: float, hidden: int) -> None:
    w, x = drawn()
    x = 0.5 + 0.3 * (x - 0.5)
    labels, exact = distances(w, x, hidden, norm)
    assert bool((labels < hidden).any()) or hidden == 0
    assert bool((labels > hidden).any()) or hidden == CLASSES - 1
    for preset in ("ours", "matlab", "adversarial_library"):
        found = deepfool(masked(w, hidden), x, labels, norm=norm, preset=preset)
        assert bool(found.found.all())
        assert bool((found.distance > exact).all())
        assert bool((found.distance < 1.021 * exact + 3e-4).all())  # two offsets of 1e-4
    found = fab(masked(w, hidden), x, labels, norm=norm)
    assert bool(found.found.all())
    assert bool((found.distance / exact < 1.02).all())


@pytest.mark.parametrize("hidden", range(CLASSES))
@pytest.mark.parametrize("masked", [added, filled])
def test_autoattack_succeeds_just_beyond_the_exact_distance(masked: Any, hidden: int) -> None:
    w, x = drawn()
    x = 0.5 + 0.3 * (x - 0.5)
    labels, exact = distances(w, x, hidden, math.inf)

    def model(z: Tensor) -> Tensor:
        logits: Tensor = masked(w, hidden)(z.flatten(1))
        return logits

    for factor in (1.01, 0.99):
        result = autoattack(
            model, x.view(-1, 1, 3, 4), labels, eps=factor * exact, steps=20, queries=20
        )
        assert bool((result.found == (factor > 1)).all())


@pytest.mark.parametrize("attack", [partial(apgd, eps=0.05, steps=8), fab])
@pytest.mark.parametrize("masked", [added, filled])
def test_ranks_leave_masked_classes_out(masked: Any, attack: Any) -> None:
    """A rank beyond the last unmasked class means that class."""
    w, x = drawn()
    for hidden in range(CLASSES):
        less, kept = both_ways(w, hidden)
        labels = less(x).argmax(1)
        for rank in (1, 2, 3, 4):
            expected = attack(less, x, labels, rank=min(rank, CLASSES - 2))
            found = attack(masked(w, hidden), x, kept[labels], rank=rank)
            assert torch.equal(found.found, expected.found)
            torch.testing.assert_close(found.images, expected.images, rtol=0, atol=1e-6)


def test_the_label_is_never_its_own_rival() -> None:
    gone = -math.inf
    logits = torch.tensor([[gone, 3.0, gone, 1.0], [2.0, gone, gone, gone], [4.0, 1.0, 2.0, gone]])
    labels = torch.tensor([1, 0, 3])
    for count in (1, 2, 3, None):
        assert not bool((rivals(logits, labels, count) == labels[:, None]).any())
    assert rivals(logits, labels, 1)[:, 0].tolist()[::2] == [3, 0]
    assert ranked(logits, labels, 3).tolist()[::2] == [3, 1]


@pytest.mark.parametrize("attack", ["deepfool", *(f"deepfool {p}" for p in PRESETS), "fab"])
def test_an_image_without_another_class_is_not_attacked(attack: str) -> None:
    """Where all classes but the label are masked, there is no class boundary."""
    w, x = drawn()
    labels = ((x - 0.5) @ w.T).argmax(1)

    def model(z: Tensor) -> Tensor:
        others = torch.arange(CLASSES) != labels[: len(z), None]
        return ((z - 0.5) @ w.T).masked_fill(others, -math.inf)

    result = (ATTACKS.get(attack) or deepfool)(model, x, labels)
    assert not bool(result.found.any()) and bool(result.images.isfinite().all())


@pytest.mark.parametrize("attack", [deepfool, fab])
def test_several_draws_keep_a_masked_class(attack: Any, noisy: Any) -> None:
    """The gradient of a mean probability of 0 is 0, not NaN."""
    w, x = drawn()
    less, kept = both_ways(w, 2)
    labels = less(x).argmax(1)
    expected = attack(noisy(less, 0.01), x, labels, draws=3, judge=3)
    result = attack(noisy(added(w, 2), 0.01), x, kept[labels], draws=3, judge=3)
    assert torch.equal(result.found, expected.found)
    torch.testing.assert_close(result.images, expected.images, rtol=0, atol=1e-6)


def test_dlr_is_the_margin_if_too_few_classes_are_left() -> None:
    gone = -math.inf
    logits = torch.tensor([[3.0, 1.0, gone, gone, gone], [3.0, gone, 2.0, 1.0, gone]])
    logits.requires_grad_()
    labels, targets = torch.tensor([0, 0]), torch.tensor([1, 2])
    losses = dlr(logits, labels)
    assert losses.tolist() == pytest.approx([-2.0, -0.5])
    assert torch.equal(losses[0], margin(logits, labels)[0])
    assert targeted_dlr(logits, labels, targets).tolist() == [-2.0, -1.0]
    (slope,) = torch.autograd.grad(
        losses.sum() + targeted_dlr(logits, labels, targets).sum(), logits
    )
    assert bool(slope.isfinite().all()) and bool((slope[:, 0] < 0).all())
    masked = torch.tensor([[1.0, 2.0, 3.0, gone]], requires_grad=True)
    lost = dlr(masked, torch.tensor([3]))  # the label itself is masked
    (slope,) = torch.autograd.grad(lost.sum(), masked)
    assert lost.tolist() == [math.inf] and bool(slope.isfinite().all())


def test_logits_that_mask_every_class_are_refused() -> None:
    x = torch.full((2, 3), 0.5)
    with pytest.raises(ValueError, match="model must give finite logits and gradients"):
        fgsm(lambda z: z - math.inf, x, torch.tensor([0, 0]), eps=0.1)
