"""Define the parameters of a study as typed fields, and check the values that a reader sets.

Each field has a description of its valid values, which the error for an invalid value quotes.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row

T = TypeVar("T", bound="Parameters")
STRICT = ConfigDict(extra="forbid", strict=True)


class BadParameter(ValueError):
    """The error for an unknown parameter or an invalid value, which is raised before any
    computation.
    """

    def _render_traceback_(self) -> list[str]:
        """Show only the error message in a notebook, because a traceback does not help to mend a
        wrong parameter.
        """
        return [f"{type(self).__name__}: {self}"]


AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""A validator that converts lists to tuples, because notebooks and papermill pass lists."""


def _listed(seeds: Any) -> Any:
    """Convert a list of seeds to a tuple, and None to the empty tuple."""
    if seeds == []:
        raise ValueError("empty")
    return () if seeds is None else tuple(seeds) if isinstance(seeds, list) else seeds


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("repeated")
    return seeds


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_listed), AfterValidator(_distinct)
]


@dataclass(frozen=True, config=STRICT)
class Parameters:
    """The parameters that every study has.

    The description of each field says which values are valid. The error message for an invalid
    value quotes it, and the parameters cell of a notebook shows it after the default value.
    """

    own_seeds: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    """The default seeds of each profile; the profile ``published`` (the stored results of the book)
    has none.
    """
    selects: ClassVar[tuple[str, ...]] = ()
    """The names of the parameters that only choose which parts of the study are run, without
    changing the paper's settings.
    """

    profile: Annotated[
        Literal["published", "quick", "paper"],
        Field(description="published (show the record), quick (embedded data) or paper (MNIST)"),
    ] = "published"
    seeds: Annotated[
        Seeds,
        Field(description="a list of distinct whole numbers from 0, or None for the profile's own"),
    ] = ()

    def __post_init__(self) -> None:
        if not self.seeds:
            object.__setattr__(self, "seeds", self.own_seeds.get(self.profile, ()))

    def parts(self) -> dict[str, tuple[Any, ...]]:
        """Return the chosen parts of the study, such as networks: the values of the parameters in
        `selects`.

        If a parameter in `selects` can be None, which stands for several parts, the study overrides
        this method.
        """
        values = {name: getattr(self, name) for name in self.selects}
        return {name: v if isinstance(v, tuple) else (v,) for name, v in values.items()}

    def plain(self) -> dict[str, Any]:
        """Return the parameters as a dict that can be stored with the results."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def record(
        self,
        paper: str,
        item: str,
        rows: Iterable[Row],
        arrays: Mapping[str, Any] | None = None,
    ) -> Record:
        """Return the record of a run with these parameters and seeds."""
        arrays = dict(arrays or {})
        return Record(paper, item, self.profile, self.plain(), self.seeds, tuple(rows), arrays)


def accepted(parameters: type[Parameters]) -> dict[str, str]:
    """Return the description of valid values for each parameter."""
    return {
        name: str(field.description)
        for name, field in parameters.__pydantic_fields__.items()  # type: ignore[attr-defined]
    }


def check(parameters: type[T], values: Mapping[str, Any]) -> T:
    """Return ``parameters(**values)``; raise BadParameter for an unknown name or an
    invalid value.
    """
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
        first = error.errors()[0]
        name = str(first["loc"][0])
        text = f"{name} must be {known[name]}, got {values[name]!r}"
        names = re.findall("'([^']+)'", first.get("ctx", {}).get("expected", ""))
        if any(each not in known[name] for each in names):  # the description lists only some
            text += f"; the names are {', '.join(names)}"
        raise BadParameter(text) from None
