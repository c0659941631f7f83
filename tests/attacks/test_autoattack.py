"""AutoAttack: it misses nothing that one of its attacks finds, and is exact on a linear model."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook.attacks import apgd, autoattack, fab, square

Make = Callable[..., Any]


@pytest.fixture
def problem(make_curved: Make, make_images: Make) -> tuple[Any, Tensor, Tensor]:
    """Return a network, images, and labels of which the network misclassifies three."""
    images, _ = make_images(40)
    model = make_curved()
    labels = model(images).argmax(1)
    labels[:3] = (labels[:3] + 1) % 5
    return model, images, labels


def test_it_finds_what_any_of_its_attacks_finds(problem: Any) -> None:
    model, images, labels = problem
    eps, steps = 0.05, 20
    whole = autoattack(model, images, labels, eps=eps, steps=steps, queries=200)
    alone = [
        apgd(model, images, labels, eps=eps, steps=steps),
        *(apgd(model, images, labels, eps=eps, steps=steps, rank=r) for r in range(1, 5)),
        square(model, images, labels, eps=eps, queries=200),
    ]
    found = torch.stack([each.found for each in alone]).any(0)
    near = torch.stack(
        [fab(model, images, labels, steps=steps, rank=r).distance <= eps for r in range(1, 5)]
    ).any(0)
    # Random numbers differ between the calls, so few images may differ.
    assert int(((found | near) & ~whole.found).sum()) <= 1
    assert 5 < int(whole.found.sum()) < 40
    assert float(whole.distance.max()) <= eps * (1 + 1e-6)


def test_wrong_images_and_failures_come_back_unchanged(problem: Any) -> None:
    model, images, labels = problem
    result = autoattack(model, images, labels, eps=0.03, steps=5, queries=20)
    assert torch.equal(result.images[:3], images[:3]) and bool(result.found[:3].all())
    assert not result.steps[:3].any()
    left = ~result.found
    assert bool(left.any()) and torch.equal(result.images[left], images[left])
    # 5 steps of APGD for the cross entropy and 4 classes, 5 of FAB for 4 classes, 20 queries
    assert set(result.steps[left].tolist()) == {5 * 5 + 5 * 4 + 20}


def test_it_is_exact_on_a_linear_model(make_linear: Make) -> None:
    """An image is robust exactly if no logit difference can change sign within the radius."""
    model = make_linear()
    generator = torch.Generator().manual_seed(5)
    images = 0.5 + 0.02 * torch.randn(60, 2, 6, 6, generator=generator, dtype=torch.float64)
    logits, weight = model(images).detach(), model[1].weight.detach()
    labels = logits.argmax(1)
    gaps = logits.gather(1, labels[:, None]) - logits
    exact = (gaps / (weight[labels][:, None] - weight).abs().sum(2)).masked_fill(gaps == 0, 9)
    eps = float(exact.amin(1).median())
    result = autoattack(model, images, labels, eps=eps, steps=20, queries=20)
    clear = (exact.amin(1) / eps - 1).abs() > 0.01
    assert torch.equal(result.found[clear], (exact.amin(1) < eps)[clear])


def test_the_batch_its_order_and_the_generator(problem: Any) -> None:
    """The random numbers of an image belong to its key and to the state of the generator."""
    model, images, labels = problem
    keys = torch.arange(100, 140)

    def run(rows: Tensor, seed: int = 1) -> Any:
        return autoattack(
            model,
            images[rows],
            labels[rows],
            eps=0.04,
            steps=10,
            queries=30,
            keys=keys[rows],
            generator=torch.Generator().manual_seed(seed),
        )

    whole = run(torch.arange(40))
    for rows in (torch.arange(40).flip(0), torch.arange(7), torch.tensor([11])):
        part = run(rows)
        torch.testing.assert_close(part.images, whole.images[rows], rtol=0, atol=1e-9)
        assert torch.equal(part.found, whole.found[rows])
        assert torch.equal(part.steps, whole.steps[rows])
    assert not torch.equal(run(torch.arange(40), 2).images, whole.images)


def test_targets(problem: Any) -> None:
    """With targets, every success is the target."""
    model, images, labels = problem
    targets = (labels + 1) % 5
    result = autoattack(model, images, labels, eps=0.1, steps=10, queries=30, targets=targets)
    assert torch.equal(result.found, model(result.images).argmax(1) == targets)
    assert 0 < int(result.found.sum()) < 40


def test_counts_what_the_model_counts(problem: Any, counting: type) -> None:
    model, images, labels = problem
    counted = counting(model)
    result = autoattack(counted, images, labels, eps=0.03, steps=5, queries=20)
    assert (result.forwards, result.backwards) == (counted.forwards, counted.backwards)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eps": 8.0}, r"eps must be in \(0, 1\]"),
        ({"eps": 0.1, "steps": 0}, "steps must be a whole number, 1 or more, got 0"),
        ({"eps": 0.1, "queries": 0}, "queries must be a whole number, 1 or more, got 0"),
    ],
)
def test_refuses(given: dict[str, Any], message: str, problem: Any) -> None:
    with pytest.raises(ValueError, match=message):
        autoattack(*problem, **given)


def test_refuses_images_without_rows_and_columns(make_linear: Make) -> None:
    images, labels = torch.full((2, 72), 0.5, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"images must have shape \(n, c, h, w\), got \(2, 72\)"):
        # The tests' type checker would reject this call first.
        inspect.unwrap(autoattack)(make_linear(), images, labels, eps=0.1)
    with pytest.raises(ValueError, match="logits of 4 classes or more, got 3"):
        autoattack(
            make_linear(classes=3), images.view(2, 2, 6, 6), labels, eps=0.01, steps=2, queries=2
        )


@pytest.mark.gpu
def test_gives_the_same_on_a_gpu(problem: Any) -> None:
    model, images, labels = problem
    given = {"eps": 0.05, "steps": 10, "queries": 50}
    here = autoattack(model, images, labels, **given)
    there = autoattack(model.cuda(), images.cuda(), labels.cuda(), **given)
    torch.testing.assert_close(there.images.cpu(), here.images, rtol=0, atol=1e-9)
    assert torch.equal(there.found.cpu(), here.found)


def test_a_small_radius_loses_no_success_to_rounding() -> None:
    """In float32, x + eps - x differs from eps by up to 6e-8, which is 1e-5 of 1/255. The gradients
    are 0, so only Square can succeed; where it can, it succeeds on nearly all images.
    """
    torch.manual_seed(0)
    weight = torch.randn(4, 3).repeat_interleave(16, 1)

    def model(x: Tensor) -> Tensor:
        return ((x * 2040).round() / 2040).sub(0.6).flatten(1) @ weight.T

    images = torch.rand(200, 3, 4, 4) * 0.4 + 0.4
    logits = model(images)
    labels = logits.argmax(1)
    margin = logits.gather(1, labels[:, None]) - logits
    reach = (weight[None] - weight[labels][:, None]).abs().sum(2)
    for eps in (4 / 255, 2 / 255):
        possible = int((margin + (labels[:, None] == torch.arange(4)) < eps * reach).any(1).sum())
        found = autoattack(model, images, labels, eps=eps, steps=5, queries=300).found.sum()
        assert 0.95 * possible <= int(found) <= possible + 2


def test_few_classes_are_refused_before_any_attack() -> None:
    calls = []

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.flatten(1)[:, :3]

    images = torch.rand(6, 1, 4, 4)
    for eps in (0.5, 1e-4):
        calls.clear()
        with pytest.raises(ValueError, match="4 classes or more, got 3"):
            autoattack(model, images, model(images).argmax(1), eps=eps)
        assert len(calls) <= 2  # the labels, and the clean logits


def test_a_success_at_the_boundary_does_not_depend_on_the_batch() -> None:
    """The model rounds differently for one image than for two. The second image is attacked alone,
    and the final evaluation sees both.
    """

    def model(x: Tensor) -> Tensor:
        rounding = 1e-9 if len(x) == 1 else -1e-9
        lead = (x.flatten(1).mean(1) - 0.5).clamp(max=rounding)
        return torch.stack([1 + 0 * lead, 1 + lead, lead - 5, lead - 6], 1)

    images = torch.full((2, 1, 2, 2), 0.48, dtype=torch.float64)
    labels = torch.tensor([1, 0])  # the first image is misclassified without an attack
    result = autoattack(model, images, labels, eps=0.1, steps=5, queries=5)
    assert result.found.all() and result.distance[1] > 0
