"""The key of a call: it must never change, and it must differ where the result can differ."""

import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_steps as s

from robustbook.runs import Call, Done, Step, later, step


@dataclass
class Thawed:
    rate: float = 0.5


@dataclass(frozen=True)
class Holder:
    inside: object = None


@dataclass(frozen=True)
class Other:
    rate: float = 0.5
    widths: tuple[int, ...] = (4, 2)
    weight: float | None = None


@step(version=1)
def anything(value: Any) -> dict[str, object]:
    return {}


@step(version=1)
def mixed(
    a: float,
    b: float | None = None,
    c: int | float = 1,
    d: tuple[float, ...] = (),
    e: tuple[int, float] = (1, 2.0),
) -> dict[str, object]:
    return {}


def test_calling_a_step_runs_nothing_and_fills_in_defaults() -> None:
    call = s.leaf("log", seed=3)
    assert isinstance(call, Call) and isinstance(s.leaf, Step)
    assert call.step == "sample_steps:leaf"
    assert call.arguments == {"log": "log", "seed": 3, "wait": 0.0}
    assert s.leaf("log", 3, 0.0) == call and hash(s.leaf("log", 3, 0.0)) == hash(call)
    assert s.plain.function(s.Recipe())["rate"] == 0.5


def test_the_package_is_not_part_of_a_steps_name() -> None:
    """Otherwise renaming the package would lose all stored results."""
    assert Call("robustbook.studies.table1", "train", 1, {}).step == "studies.table1:train"


def test_golden_key() -> None:
    """If this key changes, no stored result can be found."""
    call = s.total("l", (s.leaf("l", 0), s.leaf("l", 1)), scale=2)
    assert call.key == "1b2b141fb7a552811ef57ecccb1563d2100d15fa2721b1a1c737edae98bdc66d"
    assert call.kind == "218e7e873c38a31b13a1b0106e27348e6afa1b4622de5fbcdd95a5b0f647f467"


def test_key_is_the_same_in_another_process(
    tmp_path: Path, child: Callable[..., BaseProcess]
) -> None:
    process = child(s.write_key, str(tmp_path / "key"))
    process.join(30)
    assert (tmp_path / "key").read_text() == s.plain(s.Recipe(rate=0.1), name="ä").key


def test_every_difference_makes_another_key() -> None:
    leaf = s.leaf("l", 0)
    calls = [
        leaf,
        s.leaf("l", 1),
        s.leaf("m", 0),
        s.leaf("l", 0, 0.5),
        dataclasses.replace(leaf, version=2),
        dataclasses.replace(leaf, function="leaves"),
        dataclasses.replace(leaf, module="other"),
        s.total("l", (leaf,)),
        s.total("l", (dataclasses.replace(leaf, version=2),)),
        s.total("l", (leaf, leaf)),
        s.plain(s.Recipe()),
        s.plain(s.Recipe(rate=0.25)),
        s.plain(s.Recipe(widths=(4,))),
        s.plain(Other()),
        *(anything(v) for v in [None, True, False, 0, 1, 1.0, -0.0, 0.1, "1", ""]),
        *(anything(v) for v in [(), (1,), ((1,),), (1, 2), (2, 1), "None", leaf, (leaf,)]),
    ]
    assert len({c.key for c in calls}) == len(calls)


def test_an_int_for_a_float_is_the_float() -> None:
    """1 and 1.0 are equal in Python, so they must give the same key and the same value."""
    assert mixed(1) == mixed(1.0)
    assert mixed(1, 2, 3, (4, 5), (6, 7)) == mixed(1.0, 2.0, 3, (4.0, 5.0), (6, 7.0))
    assert mixed(1, c=1) != mixed(1, c=1.0)
    assert s.plain(s.Recipe(rate=1, weight=2)) == s.plain(s.Recipe(rate=1.0, weight=2.0))
    recipe = s.plain(s.Recipe(rate=1)).arguments["recipe"]
    assert type(recipe.rate) is float
    assert mixed(np.float64(0.1)) == mixed(0.1)
    assert type(mixed(np.float64(0.1)).arguments["a"]) is float
    assert mixed(True) != mixed(1.0)


def test_kind_forgets_seeds_and_nothing_else() -> None:
    a = s.total("l", (s.leaf("l", 0),))
    b = s.total("l", (s.leaf("l", 1),))
    assert a.kind == b.kind and a.key != b.key
    assert a.kind != s.total("l", (s.leaf("l", 0, 1.0),)).kind
    assert a.kind != s.total("l", (s.leaf("l", 0),), 2.0).kind


@pytest.mark.parametrize(
    "value",
    [
        [1],
        {"a": 1},
        {1},
        float("nan"),
        float("inf"),
        np.int64(1),
        b"x",
        Thawed(),
        s.Recipe,
        Holder([1]),
        Holder(s.leaf("l", 0)),
        (1, [2]),
        s.leaf,
        1j,
    ],
    # A repr may contain an address, which xdist cannot handle.
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"^step anything: argument value\S* must be .*, got "):
        anything(value)


def test_wrong_arguments_are_refused_when_the_call_is_made() -> None:
    with pytest.raises(TypeError, match="leaf has no argument 'sed'; it takes .*mean 'seed'"):
        s.leaf("l", sed=1)
    with pytest.raises(TypeError, match="step leaf: missing a required argument: 'seed'"):
        s.leaf("l")
    with pytest.raises(TypeError, match="step count has no argument 'context'"):
        s.count("l", 1, 0.0, context=None)
    with pytest.raises(TypeError, match="step star must name its parameters, got .*rest"):

        @step(version=1)
        def star(**rest: object) -> dict[str, object]:
            return {}


def test_dependencies_are_found_inside_tuples_once_and_in_order() -> None:
    a, b = s.leaf("l", 0), s.leaf("l", 1)
    assert anything(((b, (a,)), b, 3)).dependencies == (b, a)


def test_a_call_travels() -> None:
    call = s.total("l", (s.leaf("l", 0),))
    assert pickle.loads(pickle.dumps(call)) == call


def test_a_step_can_name_a_result_that_stands_for_a_call() -> None:
    """Studies pass a `Call` for a parameter annotated as `Done`."""

    @step(version=1)
    def measure(network: Done) -> dict[str, object]:
        return {}

    assert measure(s.leaf("l", 0)).dependencies == (s.leaf("l", 0),)


@dataclass(frozen=True)
class Grown:
    rate: float = 0.5
    precision: str = later("float32")


def test_what_was_added_later_is_named_only_where_it_is_not_the_default() -> None:
    """Results stored before a field or parameter was added are still found."""

    def first(recipe: Grown, seed: int) -> dict[str, object]:
        return {}

    def second(recipe: Grown, seed: int, keys: tuple[float, ...] = (1.0,)) -> dict[str, object]:
        return {}

    old, new = Step(first, 1), Step(second, 1, later=("keys",))
    new.__name__ = old.__name__
    assert "precision" not in str(old(Grown(), 0).content)
    assert "precision" in str(old(Grown(precision="tf32"), 0).content)
    assert new(Grown(), 0) == old(Grown(), 0) and new(Grown(), 0).kind == old(Grown(), 0).kind
    assert new(Grown(), 0, (1,)) == old(Grown(), 0)  # an int becomes a float
    assert new(Grown(), 0, (2.0,)) != old(Grown(), 0)
    assert new(Grown(), 0).arguments["keys"] == (1.0,)
