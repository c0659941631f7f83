"""Wrong arguments give an error before any work: one sentence with argument, value and what is
valid.
"""

import dataclasses
import inspect
import re
from typing import Any

import numpy as np
import pytest
import torch

from robustbook import attacks
from robustbook.attacks.carlini_wagner import CarliniWagner
from robustbook.attacks.deepfool import Variant

IMAGES = torch.full((3, 4), 0.5)
LABELS = torch.tensor([0, 1, 2])
WEIGHT = torch.eye(4)[:, :3]
GIVEN: dict[str, dict[str, Any]] = {
    "adam": {"steps": 2},
    "fgsm": {"eps": 0.1},
    "lbfgs": {"steps": 2},
    "pgd": {"eps": 0.1, "steps": 2, "step_size": 0.1},
    "random_signs": {"eps": 0.1},
}
INT64 = "must be an int64 tensor of shape (3,), one number per image, got"


def with_pixel(value: float) -> torch.Tensor:
    images = IMAGES.clone()
    images[1, 2] = value
    return images


EVERY = [
    ({"images": IMAGES.byte()}, "images must be a float tensor of shape (n, ...), got a tensor of"),
    ({"images": IMAGES[0]}, "of shape (n, ...), got a tensor of torch.float32 of shape (4,)"),
    ({"images": IMAGES.numpy()}, "images must be a float tensor of shape (n, ...), got ndarray"),
    ({"images": with_pixel(1.5)}, "images must lie in [0, 1], got values from 0.5 to 1.5"),
    ({"images": with_pixel(-1)}, "images must lie in [0, 1], got values from -1 to 0.5"),
    ({"images": with_pixel(torch.nan)}, "images must lie in [0, 1], got NaN"),
    (
        {"images": with_pixel(1.0000001)},
        "images must lie in [0, 1], got values from 0.5 to 1.0000001; images.clamp(0, 1) removes",
    ),
    (
        {"images": torch.full((3, 5), 0.5)},
        "images must have a shape that the model accepts, got (3, 5) (mat1 and mat2 shapes",
    ),
    ({"labels": LABELS[:2]}, f"labels {INT64} a tensor of torch.int64 of shape (2,)"),
    ({"labels": LABELS.float()}, f"labels {INT64} a tensor of torch.float32 of shape (3,)"),
    ({"labels": [0, 1, 2]}, f"labels {INT64} list [0, 1, 2]"),
    ({"labels": LABELS - 1}, "labels must be class numbers from 0 up, got -1"),
    ({"labels": LABELS.to("meta")}, "labels must be on the images' device, cpu, got meta"),
    ({"labels": LABELS + 1}, "labels and targets must be in 0..2, the classes of the model's logi"),
    ({"targets": LABELS[:, None]}, f"targets {INT64} a tensor of torch.int64 of shape (3, 1)"),
    ({"targets": torch.ones_like(LABELS)}, "targets must differ from labels, got the label itsel"),
    ({"targets": LABELS + 1}, "labels and targets must be in 0..2"),
    ({"model": "vgg"}, "model must be a callable from images to logits, got 'vgg'"),
    ({"model": lambda x: x.sum(1)}, "model must return logits of shape (3, classes) for 3 images"),
    ({"model": torch.nn.Linear(4, 3, device="meta")}, "images must be on the model's device, got"),
    ({"eps": 8}, "eps must be in (0, 1] (pixels are scaled to [0, 1]), got 8; for 8/255 pass 0.03"),
    ({"eps": 0.0}, "eps must be a finite number above 0, got 0.0"),
    ({"eps": -1}, "eps must be a finite number above 0, got -1"),
    ({"eps": torch.nan}, "eps must be a finite number above 0, got nan"),
    ({"eps": True}, "eps must be a finite number above 0, got True"),
    ({"eps": "0.1"}, "eps must be a finite number above 0, got '0.1'"),
]
CLIMBING = [
    (
        {"loss": "huber"},
        "loss must be one of cross_entropy, clipped_probabilities, squared_error, ",
    ),
    ({"loss": torch.nn.functional.cross_entropy}, "loss must return one number per image, shape"),
    ({"model": lambda x: (x @ WEIGHT).detach()}, "model must be differentiable with respect to th"),
    ({"model": lambda x: torch.ones(3, 3).requires_grad_()}, "model must be differentiable with "),
]
DRAWING = [
    ({"keys": LABELS[:2]}, f"keys {INT64} a tensor of torch.int64 of shape (2,)"),
    ({"generator": 0}, "generator must be a torch.Generator or None, got 0"),
]
PGD = [
    ({"norm": 1}, "norm must be one of 2, inf, got 1"),
    ({"norm": 2, "eps": torch.inf}, "eps must be a finite number above 0, got inf"),
    ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
    ({"steps": 2.0}, "steps must be a whole number, 1 or more, got 2.0"),
    ({"step_size": 0.0}, "step_size must be a finite number above 0, got 0.0"),
    ({"step_size": torch.inf}, "step_size must be a finite number above 0, got inf"),
    ({"restarts": 0}, "restarts must be a whole number, 1 or more, got 0"),
    ({"restarts": 2, "random_start": False}, "restarts must be 1 without random_start (every run"),
]
WITHOUT_EPS = [case for case in EVERY if "eps" not in case[0]]
ADAM = [
    ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
    ({"step_size": 0}, "step_size must be a finite number above 0, got 0"),
    ({"betas": (0.9, 1.0)}, "betas must be two numbers in [0, 1), got (0.9, 1.0)"),
    ({"betas": 0.9}, "betas must be two numbers in [0, 1), got 0.9"),
    ({"epsilon": 0.0}, "epsilon must be a finite number above 0, got 0.0"),
]
LBFGS = [
    ({"steps": 1.5}, "steps must be a whole number, 1 or more, got 1.5"),
    ({"history": 0}, "history must be a whole number, 1 or more, got 0"),
    ({"gtol": -1e-5}, "gtol must be a finite number, 0 or above, got -1e-05"),
    ({"ftol": torch.nan}, "ftol must be a finite number, 0 or above, got nan"),
]
CASES = {
    "adam": WITHOUT_EPS + CLIMBING + ADAM,
    "fgsm": EVERY + CLIMBING,
    "lbfgs": WITHOUT_EPS + CLIMBING + LBFGS,
    "pgd": EVERY + CLIMBING + DRAWING + PGD,
    "random_signs": EVERY + DRAWING,
}


@pytest.mark.parametrize(
    "name, wrong, message",
    [(name, wrong, message) for name, cases in CASES.items() for wrong, message in cases],
)
def test_is_refused(name: str, wrong: dict[str, Any], message: str) -> None:
    # The type checker of the tests would reject some of these first; users do not have it.
    attack = inspect.unwrap(getattr(attacks, name))
    given = {"model": lambda x: x @ WEIGHT, "images": IMAGES, "labels": LABELS} | GIVEN[name]
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        attack(**(given | wrong))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", CASES)
def test_what_is_right_is_not_refused(name: str) -> None:
    given = {"model": lambda x: x @ WEIGHT, "images": IMAGES, "labels": LABELS} | GIVEN[name]
    getattr(attacks, name)(**given)


@pytest.mark.parametrize("name", CASES)
def test_is_refused_before_the_model_is_asked(name: str) -> None:
    def model(images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the model was called")

    wrong = {"eps": 2.0} if "eps" in GIVEN[name] else {"steps": 0}
    with pytest.raises(ValueError, match="(eps|steps) must be"):
        getattr(attacks, name)(model, IMAGES, LABELS, **(GIVEN[name] | wrong))


CLIPPING = [
    name
    for name in attacks.__all__
    if callable(getattr(attacks, name))
    and {"images", "clip"} <= set(inspect.signature(getattr(attacks, name)).parameters)
]


@pytest.mark.parametrize("name", CLIPPING)
def test_clip_is_true_or_false(name: str) -> None:
    """A string such as "no" would clip."""
    attack = inspect.unwrap(getattr(attacks, name))
    needed = {"eps": 0.1, "steps": 2, "step_size": 0.1, "c": 1.0}
    given = {key: needed[key] for key in inspect.signature(attack).parameters if key in needed}
    with pytest.raises(ValueError, match="clip must be one of True, False, got 'no'"):
        attack(lambda x: x @ WEIGHT, IMAGES, LABELS, clip="no", **given)


def made(kind: Any, options: dict[str, Any]) -> None:
    """Make a dataclass without the type checks of the tests, which users do not have."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, options.get(field.name, field.default))
    made.__post_init__()


def test_an_l2_budget_may_exceed_the_width_of_a_pixel() -> None:
    result = attacks.pgd(
        lambda x: x @ WEIGHT, IMAGES, LABELS, eps=1.5, steps=1, step_size=1.0, norm=2
    )
    assert float(result.distance.max()) <= 1.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 2.5}, "steps must be a whole number, 1 or more, got 2.5"),
        ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
        ({"candidates": 0}, "candidates must be a whole number, 1 or more, got 0"),
        ({"slack": -1}, "slack must be a finite number above 0, got -1"),
        ({"slack": 0.5}, "slack must be 1 or more, got 0.5"),
        ({"slack": torch.nan}, "slack must be a finite number above 0, got nan"),
        ({"slack": "2"}, "slack must be a finite number above 0, got '2'"),
        ({"overshoot": -0.02}, "overshoot must be a finite number, 0 or above, got -0.02"),
        *(
            ({name: "no"}, f"{name} must be one of True, False, got 'no'")
            for name in (
                "each_step",
                "beyond",
                "ask_beyond",
                "clip",
                "forget",
                "free",
                "attack_wrong",
                "keep_failures",
            )
        ),
        *(
            ({name: -1e-4}, f"{name} must be a finite number, 0 or above, got -0.0001")
            for name in (
                "component_offset",
                "norm_offset",
                "norm_floor",
                "square_offset",
                "distance_offset",
            )
        ),
    ],
)
def test_a_wrong_variant_of_deepfool_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        made(Variant, options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hinge": "clampd"}, "hinge must be one of logits, clamped, got 'clampd'"),
        ({"keep": "Last"}, "keep must be one of nearest, last, got 'Last'"),
        ({"ends": "Fixed"}, "ends must be one of move, fixed, got 'Fixed'"),
        ({"ends": ["fixed"]}, "ends must be one of move, fixed, got ['fixed']"),
    ],
)
def test_a_misspelt_version_of_carlini_and_wagners_attack_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        made(CarliniWagner, options)


PGD_NEEDS = {"eps": 0.1, "steps": 2, "step_size": 0.1}


@pytest.mark.parametrize(
    "name, given, message",
    [
        ("pgd", PGD_NEEDS | {"random_start": "no"}, "random_start must be one of True, False, got"),
        ("pgd", PGD_NEEDS | {"random_start": None}, "random_start must be one of True, False, got"),
        ("pgd", PGD_NEEDS | {"loss": ["margin"]}, "loss must be one of cross_entropy, clipped_pro"),
        ("pgd", PGD_NEEDS | {"clip": torch.ones(2)}, "clip must be one of True, False, got tensor"),
        ("pgd", PGD_NEEDS | {"norm": torch.ones(2)}, "norm must be one of 2, inf, got tensor"),
        ("pgd", PGD_NEEDS | {"norm": np.ones(2)}, "norm must be one of 2, inf, got array"),
        ("pgd", PGD_NEEDS | {"average": ["loss"]}, "average must be one of loss, probability, got"),
        ("deepfool", {"preset": ["ours"]}, "preset must be one of ours, free, authors, matlab,"),
        ("deepfool", {"preset": None}, "preset must be one of ours, free, authors, matlab,"),
        ("carlini_wagner", {"c": 1.0, "abandon": "no"}, "abandon must be one of True, False, got"),
        ("carlini_wagner", {"c": 1.0, "preset": "last"}, "preset must be a CarliniWagner, got str"),
        ("carlini_wagner", {"c": 1.0, "preset": None}, "preset must be a CarliniWagner, got NoneT"),
    ],
)
def test_a_misspelt_option_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    """Any other value would run as one of the options, or end in an error of Python."""
    attack = inspect.unwrap(getattr(attacks, name))
    with pytest.raises(ValueError, match=re.escape(message)):
        attack(lambda x: x @ WEIGHT, IMAGES, LABELS, **given)
