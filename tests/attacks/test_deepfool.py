"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard 2016): closed forms, and its variants."""

import inspect
import math
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import deepfool
from robustbook.attacks.checks import prepare
from robustbook.attacks.deepfool import OURS, PRESETS
from robustbook.attacks.result import judged

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox imports git, which may be missing
with warnings.catch_warnings():
    # foolbox 3.3.4 imports a filter by a name that scipy is about to drop.
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox

Make = Callable[..., Any]
every_preset = pytest.mark.parametrize("preset", PRESETS)
both_norms = pytest.mark.parametrize("norm", [2, math.inf])


def inside(make_images: Make, n: int = 40) -> Tensor:
    """Return images with pixels so far from 0 and 1 that nothing is clipped."""
    images, _ = make_images(n)
    return 0.45 + 0.1 * images


def flatter(model: nn.Module, images: Tensor) -> nn.Module:
    """Return the linear model with biases such that all logits are similar on these images."""
    with torch.no_grad():
        model[1].bias -= model(images).mean(0)
    return model


@every_preset
@both_norms
def test_is_exact_on_a_linear_model(
    preset: str, norm: float, make_linear: Make, make_images: Make
) -> None:
    """One step goes to the nearest of four hyperplanes, plus the preset's overshoot.

    The distance to f_k = 0 is |f_k| / ||w_k||_q; the offsets of each preset are added.
    """
    images = inside(make_images)
    model = flatter(make_linear(), images)
    variant = PRESETS[preset]
    logits = model(images).detach()
    labels = logits.argmax(1)
    result = deepfool(model, images, labels, norm=norm, preset=preset)
    # Computed by hand, with loops over images and classes.
    for i in range(len(images)):
        best = math.inf
        for k in set(range(5)) - {int(labels[i])}:
            w = (model[1].weight[k] - model[1].weight[labels[i]]).detach()
            f = float(logits[i, labels[i]] - logits[i, k])
            within = w + variant.component_offset
            plain = float(within.norm() if norm == 2 else within.abs().sum())
            divisor = max(plain, variant.norm_floor) + variant.norm_offset
            distance = f / divisor
            if distance < best:
                best, length = distance, distance + variant.distance_offset
                if variant.square_offset is not None:
                    length, divisor = f * plain / (plain**2 + variant.square_offset), plain
                delta = length * (w / divisor if norm == 2 else w.sign())
        by_hand = images[i].flatten() + (1 + variant.overshoot) * delta
        # ART stops on the boundary itself, so rounding decides whether it makes a second tiny step.
        close = 1e-9 if preset == "art" else 1e-12
        torch.testing.assert_close(result.images[i].flatten(), by_hand, rtol=0, atol=close)
    if preset != "art":
        assert bool((result.steps == 1).all()) and bool(result.found.all())


@both_norms
def test_the_default_finds_the_nearest_image(
    norm: float, make_linear: Make, make_images: Make
) -> None:
    """Except for the overshoot of two per cent, no image of another class is nearer."""
    images = inside(make_images)
    model = flatter(make_linear(), images)
    logits, weight = model(images).detach(), model[1].weight.detach()
    labels = logits.argmax(1)
    w = weight[None] - weight[labels][:, None]
    sizes = torch.linalg.vector_norm(w, 2 if norm == 2 else 1, dim=2)
    distances = (logits.gather(1, labels[:, None]) - logits) / sizes
    nearest = distances.scatter(1, labels[:, None], math.inf).amin(1)
    result = deepfool(model, images, labels, norm=norm)
    torch.testing.assert_close(result.distance, 1.02 * (nearest + 1e-4), rtol=1e-9, atol=0)


@both_norms
@pytest.mark.parametrize("preset", ["foolbox", "ours"])
def test_agrees_with_foolbox(
    preset: str, norm: float, make_curved: Make, make_images: Make
) -> None:
    """The preset foolbox agrees up to rounding, with several steps and clipping.

    Our default agrees up to its offsets (1e-4 on every step).
    """
    images, labels = make_images(40)
    model = make_curved().eval()
    kind = foolbox.attacks.L2DeepFoolAttack if norm == 2 else foolbox.attacks.LinfDeepFoolAttack
    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, found = kind()(theirs, images, labels, epsilons=None)
    result = deepfool(model, images, labels, norm=norm, preset=preset)
    assert torch.equal(result.found, found)
    assert int(result.steps.max()) >= 2 and float(result.images.max()) == 1, "it shows too little"
    if preset == "foolbox":
        torch.testing.assert_close(result.images, expected, rtol=0, atol=1e-12)
    else:
        sizes = torch.linalg.vector_norm((expected - images).flatten(1), norm, dim=1)
        torch.testing.assert_close(result.distance, sizes, rtol=0.01, atol=3e-4)


class GreyLevels(nn.Module):
    """A network that was trained on 255 x - mean."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.mean = body, torch.linspace(20, 120, 72).view(2, 6, 6).double()

    def before(self, images: Tensor) -> Tensor:
        return 255 * images - self.mean

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.before(images))
        return logits


@every_preset
def test_a_scale_inside_the_network_is_only_a_scale(
    preset: str, make_curved: Make, make_images: Make
) -> None:
    """The paper's numbers are in grey levels.

    An attack on images in [0, 1], before the network's own scaling, gives 1/255 of each number,
    including the offsets.
    """
    images, labels = make_images(30)
    body = make_curved()
    with torch.no_grad():
        body[0].weight /= 255
    model = GreyLevels(body)
    variant = replace(PRESETS[preset], clip=False)
    here = deepfool(model, images, labels, preset=variant)
    there = deepfool(body, model.before(images), labels, preset=variant.scaled(1 / 255))
    torch.testing.assert_close(255 * here.distance, there.distance, rtol=1e-8, atol=0)
    if preset != "art":  # it stops on the boundary itself, so rounding decides
        assert torch.equal(here.steps, there.steps)


def test_the_authors_offset_is_that_of_their_code() -> None:
    """5e-6 is added to each component, in grey levels."""
    assert PRESETS["authors"].scaled(1 / 255).component_offset == pytest.approx(5e-6, rel=1e-12)
    assert PRESETS["authors"].steps == 5 and not PRESETS["authors"].clip


def test_solved_images_leave_the_batch(
    make_curved: Make, make_images: Make, counting: type
) -> None:
    """An image costs its own number of steps, not that of the slowest in its batch.

    It may cost one gradient more if success is checked in the same pass as the next gradients.
    """
    images, labels = make_images(40)
    model = counting(make_curved())
    result = deepfool(model, images, labels, preset=replace(OURS, slack=math.inf))
    assert len(set(result.steps.tolist())) > 2, "the example must have early and late images"
    steps, attacked = int(result.steps.sum()), int((result.steps > 0).sum())
    assert 4 * steps <= model.backwards <= 4 * (steps + attacked)
    # The last evaluation is of all images.
    assert steps <= model.forwards - len(images) <= len(images) + 2 * steps
    assert 4 * attacked * int(result.steps.max()) > 1.2 * model.backwards


@both_norms
@pytest.mark.parametrize("preset", ["ours", "free"])
def test_gradients_that_are_not_taken_would_change_nothing(
    preset: str, norm: float, make_curved: Make, make_images: Make, counting: type
) -> None:
    """A class that was far away at the last step is skipped, unless it has come near."""
    images, _ = make_images(60)
    few, every = counting(make_curved()), counting(make_curved())
    labels = few.inner(images).argmax(1)
    some = deepfool(few, images, labels, norm=norm, preset=preset)
    whole = replace(PRESETS[preset], slack=math.inf)
    everything = deepfool(every, images, labels, norm=norm, preset=whole)
    torch.testing.assert_close(some.images, everything.images, rtol=0, atol=1e-12)
    assert few.backwards < 0.8 * every.backwards


def test_fewer_candidates_are_never_nearer_on_a_linear_model(
    make_linear: Make, make_images: Make, counting: type
) -> None:
    images = inside(make_images)
    model = flatter(make_linear(), images)
    labels = model(images).argmax(1)
    whole = deepfool(model, images, labels).distance
    for few in (1, 2, 3):
        counted = counting(model)
        some = deepfool(counted, images, labels, candidates=few)
        assert bool((some.distance > whole * (1 - 1e-12)).all()) and bool(some.found.all())
        assert counted.backwards == few * len(images)
    assert torch.equal(deepfool(model, images, labels, candidates=9).distance, whole)


@both_norms
def test_a_target_is_reached_and_no_other_class(
    norm: float, make_linear: Make, make_images: Make
) -> None:
    """On a linear model, a targeted attack moves to the target's boundary, whatever the answer
    there.
    """
    images = inside(make_images)
    model = flatter(make_linear(), images)
    labels = model(images).argmax(1)
    targets = (labels + 1) % 5
    result = deepfool(model, images, labels, norm=norm, targets=targets)
    assert bool(result.found.all())
    assert torch.equal(model(result.images).argmax(1), targets)
    nearest = deepfool(model, images, labels, norm=norm)
    assert bool((result.distance >= nearest.distance * (1 - 1e-12)).all())
    straight = result.steps == 1  # no third class lies between
    assert 5 < int(straight.sum()) < 40
    logits, weight = model(images).detach(), model[1].weight.detach()
    w = (weight[targets] - weight[labels])[straight]
    gap = (logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None]))[straight, 0]
    by_hand = 1.02 * (gap / torch.linalg.vector_norm(w, 2 if norm == 2 else 1, dim=1) + 1e-4)
    torch.testing.assert_close(result.distance[straight], by_hand, rtol=1e-9, atol=0)


@every_preset
def test_failures(preset: str, make_images: Make) -> None:
    """Where the gradient is zero, there is no NaN, no success and no small mean distance."""
    images, _ = make_images(6)
    labels = torch.zeros(6, dtype=torch.int64)

    def flat(x: Tensor) -> Tensor:
        return torch.stack([1 + 0 * x.sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1)

    result = deepfool(flat, images, labels, preset=preset)
    assert torch.equal(result.images, images) and not bool(result.found.any())
    expected = 0.0 if PRESETS[preset].keep_failures else math.inf
    assert result.distance.tolist() == [expected] * 6
    assert result.steps.tolist() == [PRESETS[preset].steps] * 6


@every_preset
def test_what_an_unfinished_image_keeps(preset: str, make_curved: Make, make_images: Make) -> None:
    """After one step the default returns the clean image; most other presets return the iterate."""
    images, labels = make_images(40)
    model = make_curved()
    labels = model(images).argmax(1)
    result = deepfool(model, images, labels, preset=preset, steps=1)
    unfinished = ~result.found
    assert 0 < int(unfinished.sum()) < 40
    moved = (result.images != images).flatten(1).any(1)
    assert bool(moved[~unfinished].all())
    assert bool((moved[unfinished] == PRESETS[preset].keep_failures).all())
    assert bool((result.distance[unfinished].isfinite() == PRESETS[preset].keep_failures).all())


@every_preset
def test_images_wrong_from_the_start(preset: str, make_curved: Make, make_images: Make) -> None:
    """They are left unchanged without cost, or moved away from the wrong answer, perhaps to the
    label.
    """
    images, _ = make_images(20)
    model = make_curved()
    answers = model(images).argmax(1)
    wrong = (answers + 1) % 5
    result = deepfool(model, images, wrong, preset=preset)
    there = model(result.images).argmax(1)
    assert torch.equal(result.found, there != wrong)
    if PRESETS[preset].attack_wrong:
        assert bool((result.distance > 0).all()) and bool((there != answers).all())
        right = deepfool(model, images, answers, preset=preset)
        assert torch.equal(result.images, right.images)  # the label does not matter
    else:
        assert torch.equal(result.images, images) and bool((result.distance == 0).all())
        assert (result.forwards, result.backwards) == (40, 0) and not bool(result.steps.any())


def test_rounding_does_not_decide_but_noise_does(make_images: Make) -> None:
    """At a boundary the last evaluation may differ from the attack's own by rounding: then the
    attack's decides. It does not if the model has answered something else.
    """
    images, labels = make_images(3, torch.float32)
    labels = torch.zeros_like(labels)
    known = torch.tensor([[1.0, 1 + 1e-6], [1.0, 1 + 1e-6], [1 + 1e-6, 1.0]])
    fresh = torch.tensor([[1 + 1e-6, 1.0], [2.0, 1.0], [1.0, 1 + 1e-6]])
    propagation, goal, images = prepare(lambda x: fresh, images, labels)
    result = judged(propagation, goal, images, images, 2.0, labels, known=known)
    assert result.found.tolist() == [True, False, False]
    assert judged(propagation, goal, images, images, 2.0, labels).found.tolist() == [
        False,
        False,
        True,
    ]


def test_free_pixels_alone_make_the_step(make_linear: Make, make_images: Make) -> None:
    """On a linear model, pixels at 0 or 1 that would be pushed out are left out of the closed form.

    All other pixels are far from 0 and 1, so one step is enough.
    """
    images, _ = make_images(40)
    images = torch.where(images > 0.9, 1.0, torch.where(images < 0.1, 0.0, 0.5)).double()
    model = flatter(make_linear(), images)
    logits, weight = model(images).detach(), model[1].weight.detach()
    labels = logits.argmax(1)
    x = images.flatten(1)[:, None]
    w = weight[None] - weight[labels][:, None]
    w = w.masked_fill(((x == 0) & (w < 0)) | ((x == 1) & (w > 0)), 0)
    distances = (logits.gather(1, labels[:, None]) - logits) / w.norm(dim=2)
    nearest = distances.scatter(1, labels[:, None], math.inf).amin(1)
    result = deepfool(model, images, labels, preset="free")
    inside = (result.images - 0.5).abs().amax((1, 2, 3)) <= 0.5
    once = result.steps == 1
    assert bool(inside.all()) and int(once.sum()) > 30
    torch.testing.assert_close(
        result.distance[once], 1.02 * (nearest[once] + 1e-4), rtol=1e-9, atol=0
    )
    assert int(deepfool(model, images, labels).steps.sum()) > 2 * int(result.steps.sum())


def test_gradients_whose_squares_vanish_are_followed(make_images: Make, make_linear: Make) -> None:
    """1e-25 squared is 0 in float32, but a saturated network still has boundaries."""
    images = inside(make_images).float()
    model = flatter(make_linear(dtype=torch.float32), images)
    labels = model(images).argmax(1)
    plain = deepfool(model, images, labels)
    tiny = deepfool(lambda x: 1e-25 * model(x), images, labels)
    torch.testing.assert_close(tiny.distance, plain.distance, rtol=1e-4, atol=0)


def test_a_compiled_model_is_attacked_like_any_other(
    make_curved: Make, make_images: Make, counting: type
) -> None:
    """Its graphs allow only one backward pass each, so there is one more forward pass per class."""
    images, labels = make_images(12)
    model = make_curved()
    plain = deepfool(model, images, labels, candidates=2, steps=3)
    torch.compiler.reset()
    counted = counting(torch.compile(model, backend="aot_eager"))
    compiled = deepfool(counted, images, labels, candidates=2, steps=3)
    torch.testing.assert_close(compiled.images, plain.images, rtol=0, atol=1e-12)
    assert torch.equal(compiled.found, plain.found)
    assert compiled.forwards == counted.forwards
    assert compiled.forwards == plain.forwards + plain.backwards


CASES = [
    ({"norm": 1}, "norm must be one of 2, inf, got 1"),
    ({"preset": "deepfool"}, "preset must be one of ours, free, authors, matlab, python, fool"),
    ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
    ({"candidates": -1}, "candidates must be a whole number, 1 or more, got -1"),
    ({"images": torch.full((3, 4), 1.5)}, "images must lie in [0, 1], got values from 1.5 to 1.5"),
    (
        {"images": torch.full((3, 4), torch.nan), "preset": "authors"},
        "images must be finite, got NaN",
    ),
    ({"labels": torch.tensor([0, 1, 3])}, "labels and targets must be in 0..2, the classes of the"),
    ({"targets": torch.tensor([0, 2, 1])}, "targets must differ from labels, got the label itself"),
    ({"model": lambda x: (x @ WEIGHT).detach()}, "model must be differentiable with respect to th"),
    ({"model": lambda x: torch.eye(3).requires_grad_()}, "model must be differentiable with respe"),
    (
        {"model": lambda x: x[:, :1], "labels": torch.zeros(3).long()},
        "model must return logits of two classes or more",
    ),
]
WEIGHT = torch.eye(4)[:, :3]


@pytest.mark.parametrize("wrong, message", CASES)
def test_is_refused(wrong: dict[str, Any], message: str) -> None:
    # The type checker of the tests would reject some of these first; users do not have it.
    given = {
        "model": lambda x: x @ WEIGHT,
        "images": torch.eye(4)[:3],
        "labels": torch.tensor([0, 1, 2]),
    }
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        inspect.unwrap(deepfool)(**(given | wrong))
    assert "\n" not in str(error.value)
