"""Define what all studies of the survey share: the survey's name, a training recipe for CIFAR-10,
and the parameter ``profile``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT
from robustbook.training import Augmentation, Recipe

PAPER = "survey"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters that a reader can set in a study that offers the profile ``reduced``."""

    own_seeds: ClassVar = {"quick": (0,), "reduced": (0,), "paper": (0, 1, 2)}
    profile: Annotated[
        Literal["published", "quick", "reduced", "paper"],
        Field(description="published (the record), quick (embedded), reduced (small) or paper"),
    ] = "published"  # type: ignore[assignment]


def cifar10_recipe(steps: int, batch: int) -> Recipe:
    """Return a training recipe for CIFAR-10, with SGD and Nesterov momentum.

    The learning rate rises to 0.1 over the first fifth of the steps and then falls to 0.
    """
    return Recipe(
        steps,
        batch,
        0.1,
        "sgd",
        schedule="linear",
        weight_decay=5e-4,
        channels_last=True,
        nesterov=True,
        warmup=0.2,
        augmentation=Augmentation(mirror=True, padding=4),
    )
