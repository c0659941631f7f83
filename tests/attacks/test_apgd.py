"""APGD compared with a plain loop for one image, its checkpoints, and the invariance of DLR."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook.attacks import apgd, cross_entropy, dlr, targeted_dlr
from robustbook.attacks.apgd import checkpoints
from robustbook.attacks.noise import in_ball

Make = Callable[..., Any]
Loss = Callable[[Tensor], Tensor]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (100, {22, 41, 57, 70, 80, 87, 93, 99}),  # the released code has the same for 100 steps
        (50, {11, 21, 29, 35, 40, 44, 47, 50}),
        (20, {5, 9, 12, 14, 16, 18, 19, 20}),
        (1, {1}),
    ],
)
def test_the_checkpoints_of_the_paper(steps: int, expected: set[int]) -> None:
    assert checkpoints(steps) == expected


def by_hand(
    loss: Loss,
    wrong: Callable[[Tensor], bool],
    image: Tensor,
    start: Tensor,
    eps: float,
    steps: int,
    norm: float,
) -> tuple[Tensor, int]:
    """Run algorithm 1 of the paper on one image; return the image and the number of gradients."""

    def into(x: Tensor) -> Tensor:
        delta = x - image
        if norm == math.inf:
            delta = delta.clamp(-eps, eps)
        elif float(delta.norm()) > eps:
            delta = delta * eps / delta.norm()
        return (image + delta).clamp(0, 1)

    def height(x: Tensor) -> float:
        return float(loss(x).detach())

    def slope(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        return gradient.sign() if norm == math.inf else gradient / gradient.norm()

    x, before, length = into(start), into(start), 2 * eps
    losses, best = [height(x)], into(start)
    last, halved, at_check = 0, True, height(x)
    rises = 0
    for step in range(1, steps + 1):
        if wrong(x):
            return x, step
        z = into(x + length * slope(x))
        a = 1.0 if step == 1 else 0.75
        before, x = x, into(x + a * (z - x) + (1 - a) * (x - before))
        losses.append(height(x))
        rises += losses[-1] > losses[-2]
        if losses[-1] > height(best):
            best = x
        if wrong(x):
            return x, min(step + 1, steps)
        if step in checkpoints(steps):
            slow = rises <= 0.75 * (step - last)
            stuck = not halved and height(best) <= at_check
            halved = slow or stuck
            if halved:
                length /= 2
                x = best
                losses.append(height(best))
            last, rises, at_check = step, 0, height(best)
    return best, steps


@pytest.mark.parametrize("norm", [math.inf, 2.0])
@pytest.mark.parametrize("name", ["cross_entropy", "dlr", "rank"])
def test_it_is_the_paper_s_algorithm(
    norm: float, name: str, make_curved: Make, make_images: Make
) -> None:
    """The radius is so small that some images are found after several halvings, and some never."""
    images, labels = make_images(16)
    model, eps, steps = make_curved(), 0.03 if norm == math.inf else 0.3, 20
    given: dict[str, Any] = {"rank": 2} if name == "rank" else {"loss": name}
    result = apgd(model, images, labels, eps=eps, steps=steps, norm=norm, **given)
    clean = model(images).detach()
    aims = clean.scatter(1, labels[:, None], -math.inf).topk(2).indices[:, 1]
    for i in range(16):
        label, aim = labels[i : i + 1], aims[i : i + 1]

        def loss(x: Tensor, label: Tensor = label, aim: Tensor = aim) -> Tensor:
            logits = model(x[None])
            if name == "rank":
                return targeted_dlr(logits, label, aim)[0]
            return {"cross_entropy": cross_entropy, "dlr": dlr}[name](logits, label)[0]

        def wrong(x: Tensor, label: Tensor = label) -> bool:
            return int(model(x[None]).argmax()) != int(label)

        offset = in_ball(0, torch.tensor([i]), 0, images[:1], norm)[0]
        size = offset.abs().max() if norm == math.inf else offset.norm()
        start = images[i] + eps * offset / size
        expected, gradients = by_hand(loss, wrong, images[i], start, eps, steps, norm)
        torch.testing.assert_close(result.images[i], expected, rtol=0, atol=1e-10)
        assert int(result.steps[i]) == gradients
    assert 0 < int(result.found.sum()) < 16


def test_dlr_attacks_a_confident_network_as_well(make_curved: Make, make_images: Make) -> None:
    """Logits that are a thousand times as large make the softmax saturate, so that the gradient of
    the cross entropy vanishes. The gradient of DLR keeps its direction.
    """
    images, labels = make_images(40, torch.float32)
    model = make_curved(torch.float32)
    labels = model(images).argmax(1)

    def confident(x: Tensor) -> Tensor:
        logits: Tensor = 1000 * model(x)
        return logits

    plain, scaled = (
        apgd(net, images, labels, eps=0.06, steps=20, loss="dlr") for net in (model, confident)
    )
    assert torch.equal(plain.found, scaled.found) and 5 < int(plain.found.sum()) < 40
    blind = apgd(confident, images, labels, eps=0.06, steps=20)
    assert int(blind.found.sum()) < int(scaled.found.sum())


def test_losses_of_the_paper_by_hand() -> None:
    logits = torch.tensor([[4.0, 3.0, 1.0, 0.0], [1.0, 2.0, 5.0, 3.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1])
    torch.testing.assert_close(
        dlr(logits, labels), torch.tensor([-1 / 3, 3 / 3], dtype=torch.float64)
    )
    targets = torch.tensor([2, 3])
    torch.testing.assert_close(
        targeted_dlr(logits, labels, targets),
        torch.tensor([-3 / 3.5, 1 / 3.5], dtype=torch.float64),
    )


def test_dlr_does_not_change_with_the_unit_of_the_logits() -> None:
    logits = torch.randn(200, 6, dtype=torch.float64)
    labels, targets = torch.arange(200) % 6, (torch.arange(200) + 1) % 6
    for loss in (lambda z: dlr(z, labels), lambda z: targeted_dlr(z, labels, targets)):
        torch.testing.assert_close(loss(7 * logits - 3), loss(logits), rtol=1e-9, atol=1e-9)
    value = dlr(logits, labels)
    assert torch.equal(value > 0, logits.argmax(1) != labels)
    assert float(value.min()) >= -1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "dlr", "classes": 2}, "logits of 3 classes or more for this loss, got 2"),
        ({"rank": 1, "classes": 3}, "logits of 4 classes or more for this loss, got 3"),
        ({"rank": 5}, "rank must be at most 4, the number of wrong classes, got 5"),
        ({"rank": 0}, "rank must be a whole number, 1 or more, got 0"),
        ({"rank": 1, "loss": "dlr"}, "rank must be None with loss 'dlr', got 1"),
        ({"rank": 1, "targets": torch.tensor([1, 2])}, "rank must be None with targets, got 1"),
        ({"rank": 1, "average": "probability"}, "average must be 'loss' with rank, got 'prob"),
        ({"rho": 1.5}, r"rho must be in \(0, 1\], got 1.5"),
        ({"norm": 1}, "norm must be one of 2, inf, got 1"),
    ],
)
def test_refuses(given: dict[str, Any], message: str, make_linear: Make) -> None:
    model = make_linear(classes=given.pop("classes", 5))
    images, labels = torch.full((2, 72), 0.5, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=message):
        apgd(model, images, labels, eps=0.1, **given)
