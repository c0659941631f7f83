"""Attack any model in several ways, to get the measurements that `diagnose` needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import check_eps, check_positive
from robustbook.diagnosis import check_names

from .answers import (
    PIECE,
    Model,
    asked,
    check_classes,
    check_logits,
    check_set,
    gradients,
    rows_of,
)
from .robustness import Attack, check_attack, strike, survival


def battery(eps: float, queries: int = 1000) -> dict[str, Attack]:
    """Return a dictionary of the attacks that `evidence` runs at l-infinity radius ``eps``. The
    keys are the attacks' names in `robustbook.diagnosis.NAMES`.

    Each returned attack clips its adversarial images to [0, 1]. PGD takes 20 steps of eps / 4; the
    Square attack takes at most ``queries`` queries per image.
    """
    step = Attack("fgsm", eps, clip=True)
    climb = Attack("pgd", eps, clip=True, steps=20, step_size=eps / 4)
    return {
        "clean": Attack("none"),
        "one_step": step,
        "random_signs": Attack("random-signs", eps, clip=True),
        "many_steps": climb,
        "repaired": replace(climb, loss="margin", slope=10.0),
        "gradient_free": Attack("square", eps, clip=True, queries=queries),
        "float64": replace(step, precision="float64"),
        "rescaled": replace(step, rescale=True),
    }


def evidence(
    model: Model,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    eps: float,
    *,
    attacks: Mapping[str, Attack] | None = None,
    source: Model | None = None,
    sizes: Sequence[float] = (0.5, 1.0, 2.0),
    queries: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Attack a model in several ways, and return a dictionary with the names and values of the
    measurements that `diagnose` needs.

    ``model``: an `nn.Module` or any callable from images in [0, 1] to logits, on the device of the
        images. To find out whether predictions are random, a `Drawing` is evaluated with two noise
        draws, and any other model is evaluated twice.
    ``eps``: l-infinity radius, above 0 and at most 1.
    ``attacks``: a dictionary of the attacks to run; its keys are names in
        `robustbook.diagnosis.NAMES`. The default is `battery(eps, queries)` without the attacks
        that cannot be run on the model. The attack ``repaired`` changes the backward pass of
        sigmoids and ReLUs, so the model must have a sigmoid or ReLU. The attack ``float64`` needs a
        model that can be converted to float64, and images of lower precision than float64.
    ``source``: a second network for the measurement ``transfer``, the accuracy of ``model`` on the
        adversarial images that the attack ``one_step`` makes for ``source``, clipped to [0, 1].
    ``sizes``: the radii of the measurement ``curve``, as multiples of eps. The attack
        ``many_steps`` is run at each of these radii that is at most 1, and at the radius 1. The
        curve also includes the accuracy under ``many_steps`` at its own radius and, if the attack
        ``clean`` is run, the clean accuracy at the radius 0.
    ``seed``: seed of the random signs, of PGD's random starts and of Square's windows.

    The model is not changed. Raises the errors that `strike` raises.
    """
    check_set(images, labels)
    check_positive("eps", eps)  # one number for all images
    check_eps(eps, images)
    if attacks is None:
        attacks = _allowed(model, images, labels, battery(eps, queries))
    chosen = dict(attacks)
    check_names(chosen)
    for attack in chosen.values():
        check_attack(attack)
    first, second = _asked_twice(model, images)
    check_classes(labels, first)
    found: dict[str, Any] = {
        "chance": 100 / first.shape[1],
        "changed_answers": _percent(first.argmax(1) != second.argmax(1)),
        "repeats": [_percent(logits.argmax(1) == labels) for logits in (first, second)],
    }

    def accuracy(attack: Attack, source: Model | None = None) -> float:
        return survival(model, images, labels, attack, seed=seed, source=source).accuracy

    for name, attack in chosen.items():
        found[name] = accuracy(attack)
    if "one_step" in chosen:
        zero = (gradients(model, images, labels) == 0).flatten(1).all(1)
        found["zero_gradients"] = _percent(zero)
        if source is not None:
            found["transfer"] = accuracy(replace(chosen["one_step"], clip=True), source)
    if "many_steps" in chosen:
        climb = chosen["many_steps"]
        curve = {climb.eps: found["many_steps"]}
        if "clean" in chosen:
            curve[0.0] = found["clean"]
        for size in (*(times * eps for times in sizes if times * eps <= 1), 1.0):
            if size not in curve:
                step_size = climb.step_size * size / climb.eps
                curve[size] = accuracy(replace(climb, eps=size, step_size=step_size))
        found["unlimited"] = curve[1.0]
        if len(curve) > 1:
            found["curve"] = dict(sorted(curve.items()))
    return found


def _allowed(
    model: Model, images: Tensor, labels: Tensor, attacks: dict[str, Attack]
) -> dict[str, Attack]:
    """Return those ``attacks`` that can be run on the model and the images. For float64 images, the
    attacks compute their gradients in float64.
    """
    double = images.dtype == torch.float64
    left = {
        name: replace(attack, precision="float64") if double else attack
        for name, attack in attacks.items()
    }
    for name in ("repaired", "float64"):
        try:
            strike(replace(left[name], steps=1), model, images[:2], labels[:2])
        except ValueError:
            del left[name]
    if double:
        left.pop("float64", None)  # the same attack as one_step
    return left


@torch.no_grad()
def _asked_twice(model: Model, images: Tensor) -> list[Tensor]:
    """Return the logits of two evaluations of the model on the same images, with the first two
    noise draws if it is a `Drawing`.
    """
    found = []
    with unchanged(model):
        for draw in (0, 1):
            pieces = torch.split(rows_of(images), PIECE)
            found.append(torch.cat([asked(model, images[rows], rows, draw) for rows in pieces]))
    for logits in found:
        check_logits(logits)
    return found


def _percent(share: Tensor) -> float:
    return 100 * share.double().mean().item()
