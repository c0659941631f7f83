"""Define FGSM and l-infinity PGD for each library, with the attacks that the library offers.

Every job takes images in [0, 1] and labels. It returns the adversarial images, and for each of them
whether the model misclassifies it, because a user needs both for an accuracy under attack. If a
library returns only the images, the forward pass that classifies them is part of its job.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Job = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Settings:
    """The settings of one attack: FGSM if `steps` is 1, otherwise PGD with steps of `step_size`."""

    name: str
    eps: float
    steps: int
    step_size: float
    random_start: bool


def ours(model: nn.Module, given: Settings) -> Job:
    from robustbook.attacks import fgsm, pgd

    def job(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if given.steps == 1:
            result = fgsm(model, images, labels, eps=given.eps)
        else:
            result = pgd(
                model,
                images,
                labels,
                eps=given.eps,
                steps=given.steps,
                step_size=given.step_size,
                random_start=given.random_start,
            )
        return result.images, result.found

    return job


def of_foolbox(model: nn.Module, given: Settings) -> Job:
    import foolbox

    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device=_device(model))
    attack = (
        foolbox.attacks.FGSM()
        if given.steps == 1
        else foolbox.attacks.LinfPGD(
            abs_stepsize=given.step_size, steps=given.steps, random_start=given.random_start
        )
    )

    def job(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        _, adversarial, found = attack(theirs, images, labels, epsilons=given.eps)
        return adversarial, found

    return job


def of_torchattacks(model: nn.Module, given: Settings) -> Job:
    import torchattacks

    attack: Any = (
        torchattacks.FGSM(model, eps=given.eps)
        if given.steps == 1
        else torchattacks.PGD(
            model, given.eps, given.step_size, given.steps, random_start=given.random_start
        )
    )
    return _and_ask(model, attack)


def of_adv_lib(model: nn.Module, given: Settings) -> Job:
    from adv_lib.attacks import pgd_linf

    if given.steps == 1:
        raise NotImplementedError("has no FGSM")
    return _and_ask(
        model,
        lambda images, labels: pgd_linf(
            model,
            images,
            labels,
            given.eps,
            steps=given.steps,
            random_init=given.random_start,
            absolute_step_size=given.step_size,
        ),
    )


def classifier_of_art(model: nn.Module) -> Any:
    """Wrap the network for attacks of the Adversarial Robustness Toolbox."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="gpu" if _device(model).type == "cuda" else "cpu",
    )


def of_art(model: nn.Module, given: Settings) -> Job:
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

    theirs = classifier_of_art(model)

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        kind: Any = FastGradientMethod if given.steps == 1 else ProjectedGradientDescent
        more = (
            {}
            if given.steps == 1
            else {
                "eps_step": given.step_size,
                "max_iter": given.steps,
                "num_random_init": int(given.random_start),
                "verbose": False,
            }
        )
        made = kind(theirs, eps=given.eps, batch_size=len(images), **more)
        adversarial = made.generate(images.cpu().numpy(), labels.cpu().numpy())
        return torch.from_numpy(adversarial).to(images.device)

    return _and_ask(model, attack)


LIBRARIES: dict[str, Callable[[nn.Module, Settings], Job]] = {
    "robustbook": ours,
    "foolbox": of_foolbox,
    "torchattacks": of_torchattacks,
    "adv-lib": of_adv_lib,
    "adversarial-robustness-toolbox": of_art,
}


def _and_ask(model: nn.Module, attack: Callable[[Tensor, Tensor], Tensor]) -> Job:
    def job(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        adversarial = attack(images, labels)
        with torch.no_grad():
            return adversarial, model(adversarial).argmax(1) != labels

    return job


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
