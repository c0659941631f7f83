"""Measures refuse labels, shapes and numbers with which they would return a wrong number."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import fgsm
from robustbook.measures import (
    Attack,
    accuracy_along,
    curvature,
    eps_leaving,
    evidence,
    feature_noise,
    gradient_signs,
    gradient_sizes,
    histogram,
    logits_of,
    median_lead,
    predict,
    resolve,
    smallest,
    strike,
    survival,
    surviving,
)
from robustbook.measures.answers import gradients

NET = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
with torch.no_grad():
    for parameter in NET.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
X = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    Y = NET(X).argmax(1)
NONE, FGSM = Attack("none"), Attack("fgsm", 0.1)


def moved(x: Tensor, y: Tensor, keys: Tensor, eps: float) -> Tensor:
    return (x + eps).clamp(0, 1)


LABELLED: dict[str, Callable[[Tensor], Any]] = {
    "survival without an attack": lambda y: survival(NET, X, y, NONE),
    "survival": lambda y: survival(NET, X, y, FGSM),
    "strike": lambda y: strike(NONE, NET, X, y),
    "accuracy_along": lambda y: accuracy_along(NET, X, y, torch.ones_like(X), 0.1),
    "eps_leaving": lambda y: eps_leaving(NET, X, y, torch.ones_like(X)),
    "gradient_signs": lambda y: gradient_signs(NET, X, y),
    "gradient_sizes": lambda y: gradient_sizes(NET, X, y),
    "median_lead": lambda y: median_lead(NET, X, y),
    "smallest": lambda y: smallest(NET, X, y, moved, [0.1]),
    "evidence": lambda y: evidence(NET, X, y, 0.1, attacks={"clean": NONE}),
}


@pytest.mark.parametrize("label", [-100, -1, 3, 9])
@pytest.mark.parametrize("name", LABELLED)
def test_a_label_that_is_no_class_is_refused(name: str, label: int) -> None:
    """Such an image would count as misclassified."""
    wrong = Y.clone()
    wrong[2] = label
    with pytest.raises(ValueError, match=rf"labels.* must be .*got {label}"):
        LABELLED[name](wrong)


PASSED: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (survival, {"attack": "pgd"}, "attack must be an Attack, got str 'pgd'"),
    (survival, {"attack": NONE, "batch_size": 0}, "batch_size must be a whole number, 1 or more"),
    (survival, {"attack": NONE, "images": X * 255}, r"images must lie in \[0, 1\]"),
    (strike, {"attack": NONE, "images": (X * 255).byte()}, "images must be a float tensor"),
    (gradients, {"images": (X * 255).byte()}, "images must be a float tensor"),
    (strike, {"attack": NONE, "keys": torch.arange(3)}, "keys must be an int64 tensor of shape"),
    (evidence, {"eps": 0.1, "attacks": {"one_step": fgsm}}, "attack must be an Attack, got func"),
    (evidence, {"eps": torch.full((4,), 0.1)}, "eps must be a finite number above 0, got tensor"),
    (
        accuracy_along,
        {"directions": torch.ones(4, 1, 1, 1), "eps": 0.1},
        r"directions must have the shape of images, \(4, 3, 2, 2\), got \(4, 1, 1, 1\)",
    ),
    (eps_leaving, {"directions": -X, "accuracy": math.nan}, "accuracy must be a finite number"),
    (smallest, {"strike": moved, "grid": [math.nan]}, "grid must be finite sizes above 0"),
    (smallest, {"strike": moved, "grid": [0.1, math.nan]}, "grid must be finite sizes above 0"),
    (smallest, {"strike": moved, "grid": [0.1], "halvings": -1}, "halvings must be a whole number"),
    (smallest, {"strike": moved, "grid": [0.1], "labels": Y[:2]}, "labels must be an int64 tensor"),
    (
        smallest,
        {"strike": lambda x, y, keys, eps: fgsm(NET, x, y, eps=eps), "grid": [0.1]},
        r"strike must return perturbed images of shape \(4, 3, 2, 2\), got Adversarial",
    ),
]


@pytest.mark.parametrize("function, wrong, message", PASSED)
def test_is_refused(function: Callable[..., Any], wrong: dict[str, Any], message: str) -> None:
    model = "net" if function is survival else "model"
    given = {model: NET, "images": X, "labels": Y} | wrong
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(**given)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: predict(NET, X, 0), "batch_size must be a whole number, 1 or more, got 0"),
        (lambda: predict(NET, X, -1), "batch_size must be a whole number, 1 or more, got -1"),
        (
            lambda: inspect.unwrap(logits_of)(NET, X, keys=torch.arange(3)),
            "keys must be an int64 tensor of shape",
        ),
        (
            lambda: inspect.unwrap(feature_noise)(NET, X, X[:1], ["1"]),
            r"perturbed must have the shape of images, \(4, 3, 2, 2\), got \(1, 3, 2, 2\)",
        ),
        (lambda: surviving(torch.tensor([math.nan, 0.1]), torch.ones(1)), "sizes must be one or"),
        (lambda: surviving(torch.zeros(0), torch.ones(1)), "sizes must be one or more numbers"),
        (
            lambda: resolve(NET, X[0], X[1], torch.linspace(0, 1, 3), farthest=math.nan),
            "farthest must be a finite number, 0 or above, got nan",
        ),
        (
            lambda: resolve(NET, X[0], X[1], torch.linspace(0, 1, 3), halvings=-1),
            "halvings must be a whole number, 0 or more, got -1",
        ),
        (
            lambda: inspect.unwrap(curvature)(lambda x: x.flatten(1).sum(1), X, probes=2.5),
            "probes must be a whole number, 2 or more, got 2.5",
        ),
        (lambda: curvature(lambda x: torch.ones(4), X), "function must be differentiable"),
        (lambda: histogram(X, 0), "bins must be a whole number, 1 or more, got 0"),
        (lambda: histogram(X[:0], 3), "values must be one or more, got none"),
    ],
)
def test_wrong_numbers_and_shapes_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def masked(images: Tensor) -> Tensor:
    """Return logits of four classes, of which the second is masked."""
    logits: Tensor = NET(images)
    return torch.cat([logits[:, :1], torch.full_like(logits[:, :1], -math.inf), logits[:, 1:]], 1)


def test_a_masked_class_is_no_error() -> None:
    """Attacks accept it too."""
    classes = torch.tensor([0, 2, 3])
    labels = classes[Y]
    assert torch.equal(predict(masked, X), labels)
    for attack in (NONE, FGSM):
        expected, found = survival(NET, X, Y, attack), survival(masked, X, labels, attack)
        assert torch.equal(found.correct, expected.correct)
    found = smallest(masked, X, labels, moved, [0.1, 0.3])
    assert torch.equal(found, smallest(NET, X, Y, moved, [0.1, 0.3]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_name_no_class_are_refused(value: float) -> None:
    """Minus infinity in all classes masks every class."""
    with pytest.raises(ValueError, match="model must give finite logits, got NaN or infinity for"):
        predict(lambda x: NET(x) * 0 + value, X)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-15, 1e-17, 1e-300])
def test_a_small_tolerance_ends_the_bisection(tolerance: float) -> None:
    """Class 1 wins from eps 0.3 on."""
    x = torch.full((3, 2), 0.5, dtype=torch.float64)
    found = eps_leaving(
        lambda z: torch.stack([0 * z[:, 0] + 0.8, z[:, 0]], 1),
        x,
        torch.zeros(3, dtype=torch.int64),
        torch.ones_like(x),
        tolerance=tolerance,
    )
    assert found == pytest.approx(0.3, rel=max(tolerance, 1e-14))
