"""Define the parameters of a study as typed fields, and check the values that a reader sets.

Each field has a description of its valid values, which the error for an invalid value quotes.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from robustbook.ledger import Record, Row

T = TypeVar("T", bound="Parameters")
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class BadParameter(ValueError):
    """The error for an unknown parameter or an invalid value, which is raised before any
    computation.
    """

    def _render_traceback_(self) -> list[str]:
        """Show only the error message in a notebook, because a traceback does not help to mend a
        wrong parameter.
        """
        return [f"{type(self).__name__}: {self}"]


def _as_tuple(values: Any) -> Any:
    """Convert a list of distinct values to a tuple, because notebooks and papermill pass lists."""
    if not isinstance(values, list | tuple):
        return values
    if any(value in values[:at] for at, value in enumerate(values)):
        raise ValueError(_REPEATED)
    return tuple(values)


AS_TUPLE = BeforeValidator(_as_tuple)
_REPEATED = "each value must be given once"


def _seeds(seeds: Any) -> Any:
    """Convert None to the empty tuple, and refuse an empty list."""
    if seeds == []:
        raise ValueError("empty")
    return () if seeds is None else seeds


# pydantic calls the last validator first.
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], AS_TUPLE, BeforeValidator(_seeds)]


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
    sizes: ClassVar[tuple[str, ...]] = ()
    """The names of the parameters that set a size which every row of a record states, such as the
    number of test images. A published record may have another size than its profile.
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

        If a parameter in `selects` may be None, which then stands for several parts, the study
        overrides this method.
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


def require(name: str, values: Iterable[str], there: Iterable[str], profile: str) -> None:
    """Raise BadParameter if one of the ``values`` of a parameter is not in ``there``, the values
    for which the profile has settings.
    """
    known = list(there)
    for value in values:
        if value not in known:
            *others, last = known
            words = f"{', '.join(others)} or {last}" if others else last
            raise BadParameter(f"{name} must be {words} for profile {profile}, got {value!r}")


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
        if _REPEATED in first["msg"]:
            text += f"; {_REPEATED}"
        names = re.findall("'([^']+)'", first.get("ctx", {}).get("expected", ""))
        if any(each not in known[name] for each in names):  # the description lists only some
            text += f"; the names are {', '.join(names)}"
        raise BadParameter(text) from None
