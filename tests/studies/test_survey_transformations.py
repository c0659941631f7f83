"""Input transformations: rows answer targets, and the steps are the package's attacks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.attacks import deepfool, fgsm
from robustbook.data import as_float, load
from robustbook.defenses import ensemble, jpeg, resize_and_pad
from robustbook.ledger import read_targets
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.survey import transformations as study
from robustbook.studies.survey.networks import PLAIN, Model, train, trained
from robustbook.training import Recipe

PROFILES = ("quick", "reduced", "paper")


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: half of the images are right under oblivious attacks, none under adaptive ones."""
    found = {}
    for key, call in calls.items():
        n = call.arguments["images"]
        if call.function == "aware":
            tensors = {"right": torch.zeros(n, dtype=torch.bool)}
        else:
            tensors = {f"right/{front}": torch.arange(n) % 2 == 0 for front in study.FRONTS}
            tensors["distance"] = torch.ones(n)
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_target_has_a_row(profile: str) -> None:
    """In its unit, once per seed; the pattern of DeepFool's row is judged."""
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(study.Parameters, {"profile": profile, "seeds": [0]})
    record = study.condense(p, answers(study.calls(p)))
    judged = {row.target: row for row in record.rows if row.target}
    assert judged.keys() == {n for n, t in targets.items() if t.item == "transform-cifar"}
    assert all(row.unit == targets[name].unit for name, row in judged.items())
    assert judged[f"{study.TARGETS}/jpeg/oblivious-deepfool-accuracy"].holds is True
    eot = judged[f"{study.TARGETS}/resize-pad/eot-accuracy"]
    assert eot.setting["averaged"] == max(study.SIZES[profile].averaged) and eot.value == 0


def test_each_attack_with_a_radius_has_a_row_for_each_radius() -> None:
    """The rows for the radius 8/255 are those that are judged."""
    p = check(study.Parameters, {"profile": "reduced", "seeds": [0]})
    calls = study.calls(p)
    record = study.condense(p, answers(calls))
    at = [row.setting for row in record.rows if row.name == "accuracy"]
    assert {s["attack"] for s in at if "eps" not in s} == {"clean", "deepfool"}
    oblivious = [(s["eps"], s["front"], s["attack"]) for s in at if s["attack"] in ("fgsm", "pgd")]
    assert len(oblivious) == len(set(oblivious)) == 3 * len(study.FRONTS) * 2
    most = {"jpeg": 1, "resize-pad": max(study.SIZES["reduced"].averaged)}
    aware = [
        (s["eps"], s["front"])
        for s in at
        if s["attack"] == "pgd aware" and s["averaged"] == most[str(s["front"])]
    ]
    assert sorted(aware) == sorted((eps, f) for eps in (2, 4, 8) for f in most)
    judged = [row for row in record.rows if row.target]
    assert all(calls[0, "", "fgsm", 1, eps].arguments["eps"] == eps for eps in study.RADII)
    assert len(judged) == len({row.target for row in judged})


def test_profile_paper_has_the_printed_attack() -> None:
    """The target asks for 100 steps, 30 draws a step and eps 8/255."""
    own = study.SIZES["paper"]
    assert (own.steps, own.averaged[-1], study.EPS) == (100, 30, 8 / 255)
    assert own.model == Model("cifar10", "resnet18") and study.QUALITY == 75


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A narrow network after a few steps."""
    call = train(Model("scenes", "resnet18", 8, 200), PLAIN, Recipe(12, 50, 5e-3), 0)
    context = Context(tmp_path_factory.mktemp("train"), "cpu", lambda done, total: None)
    result = train.function(**call.arguments, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    return Done(call, {}, tensors, 1.0, {})


def test_an_oblivious_attack_is_classified_behind_each_transformation(
    network: Done, tmp_path: Path
) -> None:
    """The stored results are those of the package's attack and transformations."""
    context = Context(tmp_path, "cpu", lambda done, total: None)
    data, net = load("scenes", "test").subset(12), trained(network, "cpu")
    x, y, keys = as_float(data.images), data.labels, torch.arange(12)
    made = {"fgsm": fgsm(net, x, y, eps=0.02).images, "deepfool": deepfool(net, x, y).images}
    for attack, moved in made.items():
        found = study.unaware.function(network, attack, 0.02, 2, 4, 12, context=context)
        behind = ensemble(resize_and_pad(net), moved, keys, draws=4, start=study.FRESH)
        expected = {
            "none": net(moved),
            "8 bits": net((moved * 255).round() / 255),
            "resize-pad": behind,
            "jpeg": jpeg(net, 75)(moved),
        }
        for front, logits in expected.items():
            assert torch.equal(found[f"right/{front}"], logits.argmax(1) == y), (attack, front)
        torch.testing.assert_close(found["distance"], (moved - x).flatten(1).norm(dim=1))
    clean = study.unaware.function(network, "clean", 0.02, 2, 4, 12, context=context)
    assert torch.equal(clean["right/none"], net(x).argmax(1) == y)
    assert float(clean["distance"].max()) == 0


def test_an_adaptive_attack_goes_through_the_transformation(network: Done, tmp_path: Path) -> None:
    """PGD behind JPEG leaves fewer images correct than PGD on the network alone; repeated it gives
    the same.
    """
    context = Context(tmp_path, "cpu", lambda done, total: None)
    given = (0.05, 4, 4, 12)
    alone = study.unaware.function(network, "pgd", *given, context=context)
    for front, averaged in (("jpeg", 1), ("resize-pad", 2)):
        found = study.aware.function(network, front, averaged, *given, context=context)["right"]
        again = study.aware.function(network, front, averaged, *given, context=context)["right"]
        assert torch.equal(found, again)
        assert int(found.sum()) <= int(alone[f"right/{front}"].sum())
