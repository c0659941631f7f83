"""Describe function calls that are run later. A step is a function, and a call is a step with its
arguments.

A *step* is a pure function of plain arguments. Calling it only builds a `Call`, which is run later.
A call may be an argument of another call, so calls form a graph. The `key` of a call is a hash of
the step's name, version and arguments. The result of the call is stored in a file with the key as
its name.
"""

import difflib
import hashlib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_ACCEPTED = (
    "None, a bool, an int, a finite float, a str, a tuple of these, a frozen dataclass of these, "
    "or another step's call"
)


@dataclass(frozen=True, eq=False)
class Call:
    """A function (step) with its arguments, to be run later. Calling a step creates a `Call`.

    Two calls are equal if their keys are equal. `arguments` contains all arguments, including
    defaults. `unnamed` contains the names of the arguments that are not part of the key (see
    `later` in `step`).
    """

    module: str
    function: str
    version: int
    arguments: dict[str, Any]
    unnamed: frozenset[str] = frozenset()

    @property
    def step(self) -> str:
        """Return the name of the step as "module:function", without the name of this package."""
        return f"{self.module.removeprefix(_PACKAGE + '.')}:{self.function}"

    @cached_property
    def content(self) -> dict[str, Any]:
        """Return the call as JSON: the step, its version and its arguments, which may be calls
        themselves.
        """
        return _encoded_call(self, seeds=True)

    @cached_property
    def key(self) -> str:
        """Return the SHA-256 of the call's content as canonical JSON, in hexadecimal."""
        return digest(self.content)

    @cached_property
    def kind(self) -> str:
        """Return a hash like `key`, but without the arguments named `seed`, also in calls among the
        arguments.

        Calls of the same kind differ only in their seeds, so they take about the same time.
        """
        return digest(_encoded_call(self, seeds=False))

    @property
    def dependencies(self) -> tuple["Call", ...]:
        """Return the calls among the arguments of this call, in the order of the arguments and
        without repetitions.
        """
        found: dict[str, Call] = {}
        pending: list[Any] = list(self.arguments.values())
        while pending:
            value = pending.pop(0)
            if isinstance(value, Call):
                found.setdefault(value.key, value)
            elif isinstance(value, tuple):
                pending[:0] = value
        return tuple(found.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{self.step}({', '.join(f'{k}={v!r}' for k, v in self.arguments.items())})"


class Step:
    """A function decorated by `step`. Calling a `Step` builds a `Call`; nothing is run yet.

    `function` is the undecorated function.
    """

    def __init__(
        self,
        function: Callable[..., Mapping[str, object]],
        version: int,
        later: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.version = version
        self.later = later
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(
                    f"step {function.__name__} must name its parameters, got {parameter}; "
                    "*args and **kwargs are not accepted"
                )
        self.wants_context = "context" in signature.parameters
        self._signature = signature.replace(
            parameters=[p for p in signature.parameters.values() if p.name != "context"]
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Call:
        """Return a `Call` of this step with the given arguments.

        Raises TypeError if an argument is missing, unknown, or of a type that cannot be hashed for
        the key.
        """
        known = list(self._signature.parameters)
        takes = f"it takes {', '.join(known) or 'nothing'}"
        for name in kwargs.keys() - known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"step {self.__name__} has no argument {name!r}; {takes}{hint}")
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"step {self.__name__}: {error}; {takes}") from None
        bound.apply_defaults()
        # Annotations are resolved here and not at import, because they may refer to names that are
        # defined later in the module.
        hints = typing.get_type_hints(self.function)
        arguments = {
            name: _accepted(value, hints.get(name, Any), f"step {self.__name__}: argument {name}")
            for name, value in bound.arguments.items()
        }
        unnamed = frozenset(
            name
            for name in self.later
            if _encoded(arguments[name], seeds=True)
            == _encoded(self._signature.parameters[name].default, seeds=True)
        )
        return Call(self.__module__, self.__name__, self.version, arguments, unnamed)


def step(
    *, version: int, later: tuple[str, ...] = ()
) -> Callable[[Callable[..., Mapping[str, object]]], Step]:
    """Turn a pure function at the top level of a module into a step, whose results are stored.

    Arguments are plain values (None, bool, int, finite float, str, tuples, frozen dataclasses) or
    calls of other steps. Before the function runs, each call among its arguments is replaced by its
    result (`Done`). The function returns a dict whose values are tensors or JSON values. If the
    function has a parameter `context`, the engine passes a `Context` to it.

    ``version``: a number that is part of the key. Increase the version when a change of the code
        changes the results.
    ``later``: the names of parameters that were added to the function when results of it were
        already stored. Such a parameter is part of the key only if its value is not the default, so
        that the older results are still found.
    """
    return lambda function: Step(function, version, later)


def later(default: Any) -> Any:
    """Return a dataclass field with a default value. Use it for a field that is added to a
    dataclass when results of calls with this dataclass are already stored.

    The field is part of a call's key only if its value is not the default, so that the older
    results are still found.
    """
    return field(default=default, metadata={"later": True})


def graph(calls: Sequence[Call]) -> dict[str, Call]:
    """Return the function calls and all calls on which they depend, as a dict from keys to calls.
    In the dict, each call comes after the calls on which it depends.
    """
    found: dict[str, Call] = {}

    def visit(call: Call) -> None:
        if call.key not in found:
            for dependency in call.dependencies:
                visit(dependency)
            found[call.key] = call

    for call in calls:
        visit(call)
    return found


def canonical(content: object) -> str:
    """Return JSON text in one fixed form: with sorted keys, no blanks, and floats as Python prints
    them.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def digest(content: object) -> str:
    """Return the SHA-256 of the JSON text of `canonical`, in hexadecimal."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _accepted(value: Any, annotation: Any, name: str, *, calls: bool = True) -> Any:
    """Return an argument of a call, converted to the form that is used for the call's key. An int
    is converted to a float if the annotation of its parameter is float. A value of a type that is
    not accepted raises TypeError.
    """
    options = _options(annotation)
    if type(value) is int and float in options and int not in options:
        return float(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)  # numpy's float64 is also a float
    if isinstance(value, Call) and calls:
        return value
    if isinstance(value, tuple) and type(value) is tuple:
        elements = zip(value, _elements(options, len(value)), strict=True)
        return tuple(
            _accepted(v, a, f"{name}[{i}]", calls=calls) for i, (v, a) in enumerate(elements)
        )
    if is_dataclass(value) and not isinstance(value, type) and _frozen(value):
        hints = typing.get_type_hints(type(value))
        changed = {}
        for field in fields(value):
            old = getattr(value, field.name)
            # Calls inside a dataclass are not allowed, because they would not be replaced by
            # results.
            new = _accepted(old, hints[field.name], f"{name}.{field.name}", calls=False)
            if new is not old and field.init:
                changed[field.name] = new
        return replace(value, **changed) if changed else value
    inside = "" if calls else " (no call inside a dataclass)"
    raise TypeError(f"{name} must be {_ACCEPTED}{inside}, got {type(value).__name__} {value!r:.80}")


def _frozen(value: Any) -> bool:
    return bool(type(value).__dataclass_params__.frozen)


def _options(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a type annotation if it is a union, otherwise the annotation itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _elements(options: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """Return a type annotation for each element of a tuple of length ``length``. The annotations
    are Any if no tuple type in ``options`` has this length.
    """
    for option in options:
        arguments = typing.get_args(option)
        if typing.get_origin(option) is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return (arguments[0],) * length
            if len(arguments) == length:
                return arguments
    return (Any,) * length


def _encoded_call(call: Call, *, seeds: bool) -> dict[str, Any]:
    arguments = {
        name: _encoded(value, seeds=seeds)
        for name, value in call.arguments.items()
        if (seeds or name != "seed") and name not in call.unnamed
    }
    return {"step": call.step, "version": call.version, "arguments": arguments}


def _encoded(value: Any, *, seeds: bool) -> Any:
    if isinstance(value, Call):
        return _encoded_call(value, seeds=seeds)
    if isinstance(value, tuple):
        return [_encoded(v, seeds=seeds) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        inside = {
            f.name: _encoded(getattr(value, f.name), seeds=seeds)
            for f in fields(value)
            if not (f.metadata.get("later") and getattr(value, f.name) == f.default)
        }
        return {type(value).__qualname__: inside}
    return value
