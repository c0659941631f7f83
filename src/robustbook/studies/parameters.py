"""A study's parameters: typed fields that say what they accept, one sentence for a bad value."""

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

T = TypeVar("T", bound="Parameters")
STRICT = ConfigDict(extra="forbid", strict=True)


class BadParameter(ValueError):
    """A parameter that no study takes, or a value it does not accept; nothing has been computed."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone, as a reader's slip is no fault of the code."""
        return [f"{type(self).__name__}: {self}"]


AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""For a field that is a tuple: a notebook and papermill hand over a list."""


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("repeated")
    return seeds


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    Field(min_length=1),
    AS_TUPLE,
    AfterValidator(_distinct),
]


@dataclass(frozen=True, config=STRICT)
class Parameters:
    """What every study takes. A field's description is what an error says it accepts, and what the
    notebook's parameters cell says behind the default."""

    own_seeds: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    """The seeds of each profile that computes."""
    selects: ClassVar[tuple[str, ...]] = ()
    """The parameter, if any, that only chooses parts of the item: what is chosen is still computed
    at the paper's setting."""

    profile: Annotated[
        Literal["published", "quick", "paper"],
        Field(description="published (show the record), quick (embedded data) or paper (MNIST)"),
    ] = "published"
    seeds: Annotated[
        Seeds | None,
        Field(description="a list of distinct whole numbers from 0, or None for the profile's own"),
    ] = None

    def __post_init__(self) -> None:
        if self.seeds is None and self.profile in self.own_seeds:
            object.__setattr__(self, "seeds", self.own_seeds[self.profile])

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """What the parameters in `selects` choose. A study whose None stands for several parts
        names them here."""
        values = {name: getattr(self, name) for name in self.selects}
        return {name: v if isinstance(v, tuple) else (v,) for name, v in values.items()}

    def plain(self) -> dict[str, Any]:
        """As a dict, for a record."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def accepted(parameters: type[Parameters]) -> dict[str, str]:
    """What each parameter accepts, in words."""
    return {
        name: str(field.description)
        for name, field in parameters.__pydantic_fields__.items()  # type: ignore[attr-defined]
    }


def check(parameters: type[T], values: Mapping[str, Any]) -> T:
    """``parameters(**values)``, or ``BadParameter``: the name, the value, what is accepted."""
    known = accepted(parameters)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BadParameter(
                f"{name} is no parameter of this item; it takes {', '.join(known)}{hint}"
            )
    try:
        return parameters(**values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise BadParameter(f"{name} must be {known[name]}, got {values[name]!r}") from None
