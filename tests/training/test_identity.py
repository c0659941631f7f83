"""A checkpoint continues only its own run; a flipped bit is detected."""

import copy
import dataclasses
import inspect
import json
import logging
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import pgd
from robustbook.defenses import (
    Weights,
    adversarial_training,
    distillation,
    inner_attack,
    inner_pgd,
    soft_targets,
)
from robustbook.randomness import generator
from robustbook.training import Recipe, fit, loop
from robustbook.training.identity import described, fingerprint
from robustbook.training.state import State

RECIPE = Recipe(4, 4, 0.1, "sgd")


def build(frozen: bool = False, scale: float = 1.0) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Linear(2, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(std=scale, generator=generator(0))
    net[1].requires_grad_(not frozen)
    return net


def data() -> tuple[Tensor, Tensor]:
    images = torch.randint(256, (9, 1, 2, 2), generator=generator(1), dtype=torch.uint8)
    return images, torch.randint(3, (9,), generator=generator(2))


def loss(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(x), y)}


def scaled(scale: float, net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": scale * F.cross_entropy(net(x), y)}


def enclosed(scale: float) -> Any:
    return lambda net, x, y, c: scaled(scale, net, x, y, c)


def run(file: Path, **change: Any) -> nn.Module:
    images, labels = data()
    given: dict[str, Any] = {
        "net": build(),
        "images": images,
        "labels": labels,
        "objective": loss,
        "recipe": RECIPE,
        "seed": 0,
        "checkpoint": file,
        **change,
    }
    fit(**given)
    net: nn.Module = given["net"]
    return net


IMAGES, LABELS = data()
FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "seed": ({}, {"seed": 1}, r"seeds \(\[0\] there, \[1\] here\)"),
    "rate": (
        {},
        {"recipe": dataclasses.replace(RECIPE, lr=0.2)},
        r"recipe lr \(0\.1 there, 0\.2 here\)",
    ),
    "precision": ({}, {"recipe": dataclasses.replace(RECIPE, precision="tf32")}, "precision"),
    "order": ({}, {"shuffle": False}, r"shuffle \(True there, False here\)"),
    "multiplier": ({}, {"rates": {"1.bias": 2.0}}, "rates"),
    "frozen": ({}, {"net": build(frozen=True)}, "network 1.weight .*fixed here"),
    "one pixel": ({}, {"images": IMAGES ^ torch.eye(2, dtype=torch.uint8)}, "data"),
    "labels": ({}, {"labels": LABELS.flip(0)}, "data"),
    "numbers": ({}, {"images": IMAGES / 255}, "data"),
    "objective": ({}, {"objective": partial(scaled, 1.0)}, "objective"),
    "argument": (
        {"objective": partial(scaled, 1.0)},
        {"objective": partial(scaled, 2.0)},
        "objective",
    ),
    "closure": ({"objective": enclosed(1.0)}, {"objective": enclosed(2.0)}, "objective"),
    "constant": (
        {"objective": lambda net, x, y, c: adversarial_training(net, x, y, eps=0.1)},
        {"objective": lambda net, x, y, c: adversarial_training(net, x, y, eps=0.2)},
        "objective",
    ),
    "coefficient": ({"coefficient": lambda s: 0.0}, {"coefficient": lambda s: 5.0}, "coefficient"),
    "retraction": ({}, {"retract": lambda weights: weights["3.bias"].zero_()}, "retract"),
    "first weights": ({}, {"net": build(scale=100.0)}, "initial weights"),
    "numpy scalar": (
        {"objective": partial(scaled, np.float32(0.25))},
        {"objective": partial(scaled, np.float32(0.5))},
        "objective",
    ),
    "name": ({"identity": "a"}, {"identity": "b"}, r"objective \(a there, b here\)"),
}


@pytest.mark.parametrize(("there", "here", "message"), FOREIGN.values(), ids=FOREIGN)
def test_another_runs_checkpoint_is_refused(
    there: dict[str, Any], here: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The error says what differs; the file stays and can continue its own run."""
    file = tmp_path / "a.safetensors"
    run(file, **there)
    kept = file.read_bytes()
    with pytest.raises(
        ValueError, match=rf"a\.safetensors is of another .*{message}.*move or delete the file"
    ):
        run(file, **here)
    assert file.read_bytes() == kept
    run(file, **there)


def test_the_same_run_is_known_again(tmp_path: Path) -> None:
    """Objectives and data are made again; a name makes two objectives the same."""
    for name, make in {
        "partial": lambda: partial(scaled, 2.0),
        "closure": lambda: enclosed(2.0),
        "nested": lambda: enclosed(partial(scaled, 2.0)),  # type: ignore[arg-type]
    }.items():
        assert described(make()) == described(make()), name
    file = tmp_path / "a.safetensors"
    run(file, objective=enclosed(1.0))
    run(file, objective=enclosed(1.0), images=data()[0].clone())
    file = tmp_path / "b.safetensors"
    run(file, objective=loss, identity="cross entropy")
    run(file, objective=partial(scaled, 1.0), identity="cross entropy")


def test_a_function_that_refers_to_itself_is_described() -> None:
    def again(count: int) -> Any:
        return again(count - 1) if count else None

    described(again)


def test_values_and_code_are_described_by_their_contents() -> None:
    """Objects of one type, and functions with the same constants, are told apart."""
    pairs: list[tuple[object, object]] = [
        (np.float32(0.25), np.float32(0.5)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (np.zeros(2), np.ones(2)),
        ({1, 2}, {1, 3}),
        (1j, 2j),
        (b"a", b"b"),
    ]
    for one, other in pairs:
        assert described(one) == described(copy.deepcopy(one)) != described(other), one
    assert described(np.float64(0.5)) == described(0.5)
    plus, minus = described(lambda a, b: a + b), described(lambda a, b: a - b)
    assert plus[1:] != minus[1:]


def test_a_docstring_is_no_part_of_a_description() -> None:
    """A clearer docstring must not make an unfinished training start anew; a changed constant
    must.
    """

    def make(body: str) -> Any:
        found: dict[str, Any] = {}
        exec(f"def objective(x):\n    {body}", found)
        return described(found["objective"])

    plain = make("return x + 1.5")
    assert make("'What it does.'; return x + 1.5") == make("'Better.'; return x + 1.5") == plain
    assert make("'What it does.'; return x + 2.5") != plain
    assert make("return x + len('What it does.')") != make("return x + len('Better.')")


def test_each_bit_of_a_set_counts() -> None:
    """Images, labels, their order, shape and dtype all count."""
    images, labels = data()
    usual = fingerprint(images, labels)
    order = torch.randperm(9, generator=generator(0))
    others = [
        (images[order], labels),
        (images[order], labels[order]),
        (images.flatten(2).unflatten(2, (4, 1)), labels),
        (images.view(torch.int8), labels),
        (images, F.one_hot(labels, 3).float()),
    ]
    found = {fingerprint(*other) for other in others}
    assert len(found) == 5 and usual not in found
    assert fingerprint(images.clone(), labels.clone()) == usual


def test_a_set_that_is_read_is_known_by_its_labels_and_some_images() -> None:
    class Read:
        def __init__(self, shift: int) -> None:
            self.shift = shift

        def __len__(self) -> int:
            return 9

        def __getitem__(self, rows: Tensor) -> Tensor:
            return data()[0][rows] + self.shift

    labels = data()[1]
    assert fingerprint(Read(0), labels) == fingerprint(Read(0), labels)
    assert fingerprint(Read(0), labels) != fingerprint(Read(1), labels)
    assert fingerprint(Read(0), labels) != fingerprint(Read(0), labels.flip(0))


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """It may be in the header's length, in names, shapes and texts, or in the numbers."""
    file = tmp_path / "a.safetensors"
    run(file)
    good = file.read_bytes()
    images, labels = data()
    identity = {
        "recipe": dataclasses.asdict(RECIPE),
        "seeds": [0],
        "shuffle": True,
        "rates": {},
        "objective": described(loss),
        "coefficient": described(inspect.signature(fit).parameters["coefficient"].default),
        "retract": None,
        "data": fingerprint(images, labels),
        "initial weights": [loop._weights(build())],
    }
    fresh = State(build(), RECIPE, {}, identity)
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        file.write_bytes(bad)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            fresh.load(file)
        assert fresh.step == 0 and "is damaged" in str(told[0].message), place
        aside = tmp_path / f"{file.name}.damaged-1"
        assert aside.read_bytes() == bad
        aside.unlink()
    file.write_bytes(good)
    fresh.load(file)
    assert fresh.step == RECIPE.steps


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_training_begins_anew_after_damage(keep: int, tmp_path: Path) -> None:
    """The end is the same as without damage."""
    file = tmp_path / "a.safetensors"
    whole = run(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.warns(UserWarning, match="damaged"):
        again = run(file)
    for p, q in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(p, q)


def teacher_of(seed: int) -> Any:
    torch.manual_seed(seed)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return lambda net, x, y, c: distillation(net, x, soft_targets(teacher, x))


class Scaled:
    """An objective with an attribute."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return scaled(self.scale, net, x, y, c)

    def method(self, net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return scaled(self.scale, net, x, y, c)


FACTOR = 1.0


def with_global(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return scaled(FACTOR, net, x, y, c)


def smoothing(amount: float) -> Any:
    loss_of = nn.CrossEntropyLoss(label_smoothing=amount)
    return lambda net, x, y, c: {"cross_entropy": loss_of(net(x), y)}


@pytest.mark.parametrize(
    "make",
    [teacher_of, Scaled, lambda k: Scaled(k).method, smoothing],
    ids=["teacher", "attribute", "method", "module"],
)
def test_another_object_inside_an_objective_is_another_run(make: Any, tmp_path: Path) -> None:
    """A second training would otherwise return the first network without any training."""
    file = tmp_path / "a.safetensors"
    run(file, objective=make(0))
    run(file, objective=make(0))
    with pytest.raises(ValueError, match="of another network or recipe"):
        run(file, objective=make(1))


def test_another_value_of_a_global_variable_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.safetensors"
    run(file, objective=with_global)
    run(file, objective=with_global)
    monkeypatch.setitem(with_global.__globals__, "FACTOR", 2.0)
    with pytest.raises(ValueError, match="of another network or recipe"):
        run(file, objective=with_global)


ANY: Any = None


def with_any(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    """Use a global variable, whatever it is."""
    return scaled(1.0 if ANY is None else 2.0, net, x, y, c)


def with_import(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return adversarial_training(net, x, y, eps=0.1)


def configuration(scale: float) -> Any:
    class Configuration:
        SCALE = scale

        @staticmethod
        def plain() -> float:
            return scale

    return Configuration


def with_method(sign: int) -> Any:
    """Return two classes whose methods have equal constants."""

    class Plus:
        def of(self, x: float) -> float:
            return x + 1

    class Minus(Plus):
        def of(self, x: float) -> float:
            return x - 1

    Plus.__qualname__ = Minus.__qualname__
    return Plus if sign > 0 else Minus


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(2, 2)


VALUES: dict[str, Any] = {
    "inner attack": lambda k: inner_pgd(0.1 * (k + 1), 2, 0.05),
    "attack of the package": lambda k: inner_attack(pgd, eps=0.1, steps=k + 1, step_size=0.05),
    "method of another object": lambda k: inner_pgd(0.1 * (k + 1), 2, 0.05).__call__,
    "weights": lambda k: Weights(clean=1.0, squeezing=float(k)),
    "tensor": lambda k: torch.tensor(float(k)),
    "array": lambda k: np.full(2, k),
    "network": linear,
    "list": lambda k: [Weights(clean=1.0, squeezing=float(k))],
    "name space": lambda k: SimpleNamespace(weights=Weights(clean=1.0, squeezing=float(k))),
    "function of another module": lambda k: (F.cross_entropy, F.mse_loss)[k],
    "function of another language": lambda k: (torch.relu, torch.tanh)[k],
    "class of another module": lambda k: (nn.ReLU, nn.Tanh)[k],
    "dtype": lambda k: (torch.float32, torch.float64)[k],
    "path": lambda k: Path("ab"[k]),
    "class": lambda k: configuration(float(k)),
    "object of a class": lambda k: configuration(float(k))(),
    "method of a class": lambda k: with_method(k),
    "object with a method": lambda k: with_method(k)(),
}


@pytest.mark.parametrize("kind", VALUES)
def test_another_object_in_a_global_variable_is_another_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that resumed would return weights that neither objective gives."""
    make = VALUES[kind]
    names = with_any.__globals__
    file = tmp_path / "a.safetensors"
    for value in (make(0), make(0)):
        monkeypatch.setitem(names, "ANY", value)
        run(file, objective=with_any)
    monkeypatch.setitem(names, "ANY", make(1))
    with pytest.raises(
        ValueError, match=r"of another .* objective: objective; move or delete the file"
    ):
        run(file, objective=with_any)


@pytest.mark.parametrize("kind", VALUES)
def test_another_object_in_a_closure_is_another_run(kind: str) -> None:
    def using(value: object) -> Any:
        return lambda net, x, y, c: value

    one, same, other = (described(using(VALUES[kind](k))) for k in (0, 0, 1))
    assert one == same != other


def test_a_class_whose_methods_use_it_is_described() -> None:
    """Each method is described once, not once per path to it."""

    class Many:
        pass

    for i in range(12):
        setattr(Many, f"m{i}", lambda self: Many)
    described(lambda: Many)


def test_imported_functions_and_loggers_leave_a_description_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loggers change while they are used, and an import says nothing that the code does not."""
    assert "robustbook.defenses" not in json.dumps(described(with_import))
    usual = described(with_any)
    monkeypatch.setitem(with_any.__globals__, "ANY", logging.getLogger("robustbook.any"))
    told = described(with_any)
    logging.getLogger("robustbook.any").addHandler(logging.NullHandler())
    assert described(with_any) == told != usual


def test_numpy_numbers_are_described_as_plain_numbers() -> None:
    """JSON cannot store numpy's."""
    found = described({"steps": np.int64(4), "lr": np.float32(0.5), "schedule": ((np.int8(2), 1),)})
    assert json.loads(json.dumps(found)) == {"steps": 4, "lr": 0.5, "schedule": [[2, 1]]}


def test_each_damaged_file_keeps_a_name_of_its_own(tmp_path: Path) -> None:
    for name in ("net.0", "net.1", "net.1"):
        (tmp_path / name).write_bytes(name.encode())
        with pytest.warns(UserWarning, match="is damaged"):
            run(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("net.0", "net.0.damaged-1", "net.1", "net.1.damaged-1", "net.1.damaged-2")
    }
