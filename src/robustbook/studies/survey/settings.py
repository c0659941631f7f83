"""The settings that all studies of the survey share: the name and the parameter ``profile``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

PAPER = "survey"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """The parameters of a study that has the profile ``reduced``."""

    own_seeds: ClassVar = {"quick": (0,), "reduced": (0,), "paper": (0, 1, 2)}
    profile: Annotated[
        Literal["published", "quick", "reduced", "paper"],
        Field(description="published (the record), quick (embedded), reduced (small) or paper"),
    ] = "published"  # type: ignore[assignment]
