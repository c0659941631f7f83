"""Random Self-Ensemble's study: names of targets, shared calls, curves read at equal distortion."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE, carlini_wagner
from robustbook.ledger import read_targets
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.self_ensemble import figure_6, settings, table_2
from robustbook.studies.self_ensemble.attack import attacked, probabilities, test_images
from robustbook.studies.self_ensemble.networks import built, inside, trained
from robustbook.studies.self_ensemble.settings import CS, Setting

test_images.__test__ = False  # type: ignore[attr-defined]
ITEMS = {"table-2": table_2, "figure-6": figure_6}


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: an accuracy that falls with c, faster without noise; images moved by root c."""
    found = {}
    for key, call in calls.items():
        defense, c = key[1], key[3]
        n = call.arguments["images"]
        keep = n / (1 + c * (10 if defense.startswith("rse") else 100))
        right = torch.arange(n) < keep
        tensors = {"right": right if c else right[None]}
        if c:
            tensors |= {"single": right, "distance": torch.full((n,), c**0.5)}
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize(
    ("profile", "networks"), [("quick", None), ("reduced", None), ("paper", ["vgg16", "model-a"])]
)
def test_the_rows_answer_targets_that_there_are(
    item: str, profile: str, networks: list[str] | None
) -> None:
    """In their unit; a row with a misspelt id would be lost."""
    targets = read_targets(catalogue.BOOK / "targets")
    study = ITEMS[item]
    p = check(study.Parameters, {"profile": profile, "seeds": [0], "networks": networks})
    record = study.condense(p, answers(study.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    assert judged <= targets.keys()
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)
    wanted = {name for name in targets if name.startswith("self-ensemble/")}
    if profile == "paper" and item == "table-2":
        assert judged == {n for n in wanted if re.match(r"self-ensemble/(table-2|abstract)/", n)}
    if profile == "paper" and item == "figure-6":
        ours = re.compile(r"self-ensemble/(figure-6/(equal-distortion/)?|text-3/|text-4.3/)")
        left = {n for n in wanted if ours.match(n)} - judged
        # The whole curve is of all three networks.
        assert all("resnext" in n or n.endswith("whole-curve") for n in left)


def test_both_items_and_all_seeds_share_their_calls() -> None:
    """A network is trained once, and attacked once at each c."""
    p = check(table_2.Parameters, {"profile": "reduced", "networks": ["vgg16"]})
    table, figure = table_2.calls(p), figure_6.calls(p)
    assert {k: v.key for k, v in table.items() if k in figure} == {
        k: v.key for k, v in figure.items() if k in table
    }
    assert len(set(table) & set(figure)) == 5 * 3 * (1 + 5)  # defenses, seeds, clean and c
    parts = check(table_2.Parameters, {"profile": "reduced", "seeds": [1], "defenses": ["rse"]})
    assert {v.key for v in table_2.calls(parts).values()} < {v.key for v in table.values()}


def test_the_settings_are_the_papers() -> None:
    """17 values of c with 0, 300 steps, 50 draws, Table 1's levels of noise."""
    assert len(CS) == 16 and CS[0] == 0.01 and CS[-1] == 100
    levels = {"vgg16": (0.4, 0.1), "resnext": (0.1, 0.1), "model-a": (0.4, 0.1)}
    for network, level in levels.items():
        own = settings.setting(network, "paper")  # type: ignore[arg-type]
        noise = settings.noise_of(network)  # type: ignore[arg-type]
        assert (noise.init, noise.inner) == level and own.steps == 300
        assert own.model.narrow == 1 and own.model.images is None
        assert own.draws("rse") == 50 and own.draws("none") == 1
    assert settings.TEMPERATURE == 40


def every_setting() -> Iterator[Setting]:
    for profile in ("quick", "reduced", "paper"):
        for network in ("vgg16", "resnext", "model-a"):
            try:
                yield settings.setting(network, profile)  # type: ignore[arg-type]
            except KeyError:
                continue


def test_pieces_cover_the_images_once() -> None:
    for own in every_setting():
        rows = [i for first, count in own.pieces for i in range(first, first + count)]
        assert rows == list(range(own.images))


@pytest.mark.parametrize("defense", settings.DEFENSES)
def test_names_of_weights_are_those_of_the_plain_network(defense: str) -> None:
    """So the weights of one can be asked with the noise of another."""
    call = settings.setting("vgg16", "quick").network(defense, 0)  # type: ignore[arg-type]
    start = call.arguments["teacher"] if defense == "distill" else call
    arguments = start.arguments
    net = built(arguments["model"], arguments["defense"], arguments["noise"], 0)
    plain = built(arguments["model"], settings.Defense(), None, 0)
    assert list(inside(net).state_dict()) == list(plain.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(inside(net).state_dict().values(), plain.state_dict().values(), strict=True)
    )


def untrained(defense: str) -> Done:
    """A narrow network with its first weights, as if training had left it behind."""
    call = settings.setting("vgg16", "quick").network(defense, 0)  # type: ignore[arg-type]
    given = call.arguments
    net = built(given["model"], given["defense"], given["noise"], 0)
    state = {f"state/{name}": value for name, value in inside(net).state_dict().items()}
    return Done(call, {}, state, 1.0, {})


@pytest.mark.parametrize("defense", ["none", "rse"])
def test_the_attack_of_the_study_is_carlini_wagner_on_all_images(
    defense: str, tmp_path: Path
) -> None:
    """Also where images that a network without noise misclassifies are left out."""
    network, context = untrained(defense), Context(tmp_path, "cpu", lambda done, total: None)
    found = attacked.function(network, 5.0, 3, 12, 4, 3, context=context)
    net = trained(network, "cpu")
    x, y, keys = test_images(network, 3, 12, "cpu")
    moved = carlini_wagner(net, x, y, c=5.0, steps=4, preset=RANDOM_SELF_ENSEMBLE, keys=keys).images
    torch.testing.assert_close(found["distance"], (moved - x).flatten(1).norm(dim=1))
    right = probabilities(net, moved, keys, 3).argmax(1) == y
    assert torch.equal(found["right"], right)


def test_a_network_without_finite_answers_is_refused() -> None:
    network = untrained("none")
    net = trained(network, "cpu")
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="logits must be finite on test images, got NaN"):
        probabilities(net, torch.zeros(2, 3, 32, 32), torch.arange(2), 1)


def test_accuracy_at_a_distortion_is_on_the_line_between_two_points() -> None:
    curve = [(0.0, 90.0), (0.2, 50.0), (0.2, 40.0), (0.4, 0.0)]
    assert figure_6.interpolated(curve, 0.0) == 90.0
    assert figure_6.interpolated(curve, 0.05) == pytest.approx(80.0)
    assert figure_6.interpolated(curve, 0.3) == pytest.approx(20.0)
    assert figure_6.interpolated(curve, 0.5) is None
    other = [(0.0, 60.0), (0.4, 60.0)]
    assert figure_6.crossover(curve, other) == pytest.approx(0.15, abs=1e-3)
    assert figure_6.crossover(other, [(0.0, 10.0), (0.4, 20.0)]) is None


def test_the_papers_crossover_from_its_own_points(root: Path) -> None:
    """The authors' data: on STL-10 no defense is above RSE below 0.36."""
    import csv

    with (root / "book/targets/random-self-ensemble-figure6.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["network"] == "Model A"]
    curves = {
        name: sorted(
            (float(r["rms_l2_distortion"]), 100 * float(r["accuracy"]))
            for r in rows
            if r["defense"] == name
        )
        for name in ("plain", "rse")
    }
    assert figure_6.crossover(curves["plain"], curves["rse"]) == pytest.approx(0.36, abs=0.01)
    assert figure_6.interpolated(curves["rse"], 0.21) == pytest.approx(64.7, abs=0.1)
