"""Agreement with foolbox (Rauber, Zimmermann, Bethge and Brendel 2020) at equal settings."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from robustbook.attacks import fgsm, pgd

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox imports git, which may be missing
with warnings.catch_warnings():
    # foolbox 3.3.4 imports a filter by a name that scipy is about to drop.
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox

Make = Callable[..., Any]


@pytest.fixture
def problem(make_curved: Make, make_images: Make) -> tuple[Any, torch.Tensor, torch.Tensor]:
    images, labels = make_images(40)
    return make_curved(), images, labels


def of_foolbox(attack: Any, problem: Any, eps: float, criterion: Any = None) -> torch.Tensor:
    model, images, labels = problem
    theirs = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    _, clipped, _ = attack(theirs, images, criterion or labels, epsilons=eps)
    return clipped


@pytest.mark.parametrize("eps", [0.01, 0.25])
def test_fgsm_agrees(problem: Any, eps: float) -> None:
    ours = fgsm(*problem, eps=eps).images
    theirs = of_foolbox(foolbox.attacks.FGSM(), problem, eps)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("norm", [2, torch.inf])
@pytest.mark.parametrize("targeted", [False, True])
def test_pgd_agrees(problem: Any, norm: float, targeted: bool) -> None:
    """foolbox returns the last iterate; if that is not the best one, our loss is higher.

    Both start at the image itself, because their random numbers differ.
    """
    model, images, labels = problem
    eps, steps = (0.3, 10) if norm == torch.inf else (1.0, 10)
    targets = (labels + 1) % 5 if targeted else None
    criterion = foolbox.criteria.TargetedMisclassification(targets) if targeted else None
    kind = foolbox.attacks.LinfPGD if norm == torch.inf else foolbox.attacks.L2PGD
    attack = kind(abs_stepsize=eps / 8, steps=steps, random_start=False)
    theirs = of_foolbox(attack, problem, eps, criterion)
    ours = pgd(
        model,
        images,
        labels,
        eps=eps,
        steps=steps,
        step_size=eps / 8,
        norm=norm,
        random_start=False,
        targets=targets,
    ).images

    def loss(at: torch.Tensor) -> torch.Tensor:
        if targets is None:
            return torch.nn.functional.cross_entropy(model(at), labels, reduction="none")
        return -torch.nn.functional.cross_entropy(model(at), targets, reduction="none")

    gain = (loss(ours) - loss(theirs)).detach()
    assert float(gain.min()) > -1e-9
    last_is_best = gain < 1e-9
    assert int(last_is_best.sum()) >= 20, "the example must have enough rows to compare"
    torch.testing.assert_close(ours[last_is_best], theirs[last_is_best], rtol=0, atol=1e-9)
