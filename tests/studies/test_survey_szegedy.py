"""Szegedy et al. 2013: rows answer targets, networks are as named, halves are disjoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustbook import catalogue
from robustbook.chapters.published import record_of
from robustbook.chapters.survey import szegedy as page
from robustbook.data import as_float, load
from robustbook.defenses import Pooled
from robustbook.ledger import read_targets
from robustbook.networks import MLP
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.survey import szegedy
from robustbook.studies.survey.szegedy_networks import (
    Classifier,
    Decayed,
    WithPool,
    attacked,
    fed,
    noisy,
    random_targets,
    scaled,
    train,
    train_on_features,
    trained,
    training_images,
)
from robustbook.training import Recipe

SMALL = Recipe(60, 50, 1e-2)


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: errors of 1 and 2 %, and a distortion of 0.05; every second image is classified
    correctly.
    """
    found = {}
    for key, call in calls.items():
        values, tensors = {}, {}
        if call.function.startswith("train"):
            values = {"train_error": 1.0, "error": 2.0}
        elif call.function == "attacked":
            n = call.arguments["images"]
            tensors = {
                "images": torch.zeros(n, 1, 28, 28),
                "found": torch.ones(n, dtype=torch.bool),
                "distortion": torch.full((n,), 0.05),
            }
        else:
            nets = len(call.arguments["networks"])
            tensors = {"right": torch.arange(20).expand(nets, 20) % 2 == 0}
        found[key] = Done(call, values, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_has_a_row(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with a misspelt id would be lost."""
    some = szegedy.some
    monkeypatch.setattr(szegedy, "some", lambda data, *rest: some("digits", *rest))
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(szegedy.Parameters, {"profile": profile, "seeds": [0]})
    record = szegedy.condense(p, answers(szegedy.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    items = ("szegedy", "szegedy-table-1", "szegedy-table-2", "szegedy-tables-3-4")
    assert judged == {name for name, target in targets.items() if target.item in items}
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)
    assert len(record.arrays["clean"]) == len(record.arrays["targets"]) == szegedy.SHOWN


def test_the_page_names_noise_on_training_images_as_the_study_does() -> None:
    assert page.TRAINING == szegedy.TRAINING


def test_a_shorter_training_with_the_pool_is_another_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the paper's profile it has half the epochs of its control; the stored result says so."""
    some = szegedy.some
    monkeypatch.setattr(szegedy, "some", lambda data, *rest: some("digits", *rest))
    target = "survey/szegedy/adversarial-pool/test-error"
    for profile, shorter in (("quick", False), ("paper", True)):
        p = check(szegedy.Parameters, {"profile": profile, "seeds": [0]})
        record = szegedy.condense(p, answers(szegedy.calls(p)))
        (text,) = {row.differs for row in record.rows if row.target == target}
        own = szegedy.SETTINGS[profile]
        assert bool(text) == shorter == (own.pooled.steps < own.deep.steps)
        others = [row for row in record.rows if row.target != target]
        assert {row.differs for row in others if row.setting.get("network") != "ae400-10"} == {""}
        of = {row.differs for row in others if row.setting.get("network") == "ae400-10"}
        assert of - {""} == {szegedy.unlike("ae400-10")} != {""}
    (line,) = (e for e in catalogue.whole_ledger(paper="survey").entries if e.id == target)
    assert line.verdict == "other setting"
    stored = {r.differs for r in record_of("survey/szegedy").rows if r.target == target}
    assert stored == {szegedy.shortened("paper")}


def test_the_layers_are_those_of_the_names() -> None:
    for name, (sizes, decay) in szegedy._OF_HALVES.items():
        words = [word for word in name.upper().removeprefix("FC").removeprefix("AE").split("-")]
        units = [word for word in words if word.isdigit()]
        if not name.startswith("fc10-"):
            assert list(map(int, units)) == list(sizes[1:])
        assert len(decay) == len(sizes) - 1
    decays = [szegedy.NETWORKS[f"fc10-{words}"][1] for words in ("1e-4", "1e-2", "1")]
    assert decays == [(1e-4,), (1e-2,), (1.0,)]


def test_the_halves_are_disjoint_and_depend_on_the_seed() -> None:
    def images(half: int | None, seed: int) -> set[bytes]:
        of = Classifier("digits", (784, 10), (0.0,), half)
        return {image.numpy().tobytes() for image in training_images(of, seed).images}

    first, second, every = images(0, 0), images(1, 0), images(None, 0)
    assert not first & second and first | second == every
    assert abs(len(first) - len(second)) <= 1 and images(0, 1) != first


def test_the_decay_is_half_the_squared_weights() -> None:
    net = MLP((784, 3, 10), torch.sigmoid)
    for i, layer in enumerate(net.layers):
        nn.init.constant_(layer.weight, i + 1)
        nn.init.constant_(layer.bias, 5)  # not part of the penalty
    penalty = Decayed((0.1, 0.2)).penalty(net)
    assert penalty.item() == pytest.approx(0.05 * 784 * 3 + 0.1 * 30 * 4)


def test_an_amplified_image_has_the_asked_distortion() -> None:
    images = torch.rand(4, 1, 28, 28, generator=generator(0))
    changed = images + torch.tensor([0.0, 0.1, 0.2, -0.3])[:, None, None, None]
    found = scaled(images, changed, 0.1) - images
    sizes = found.flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(sizes, torch.tensor([0.0, 0.1, 0.1, 0.1]))
    torch.testing.assert_close(found[3], -0.1 * torch.ones(1, 28, 28))


def test_random_targets_are_wrong_classes() -> None:
    labels = torch.arange(10).repeat(50)
    targets = random_targets(labels, 0)
    assert not (targets == labels).any() and len(set(targets.tolist())) == 10
    assert not torch.equal(targets, random_targets(labels, 1))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A linear network after a short training on digits."""
    return done(train(Classifier("digits", (784, 10), (1e-4,)), SMALL, 0), tmp_path_factory)


def done(call: Call, places: pytest.TempPathFactory, **results: Done) -> Done:
    """Return the result of a call that is run here; ``results``: those of the calls it needs."""
    steps = {"train": train, "attacked": attacked, "train_on_features": train_on_features}
    given = {**call.arguments, **results}
    made = steps[call.function].function(**given, context=context(places.mktemp("at")))
    tensors = {k: v for k, v in made.items() if isinstance(v, torch.Tensor)}
    values = {k: v for k, v in made.items() if not isinstance(v, torch.Tensor)}
    return Done(call, values, tensors, 1.0, {})


def context(path: Path) -> Context:
    return Context(path, "cpu", lambda done, of: None)


def test_the_attack_of_a_trained_network(
    network: Done, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Images of the target class, with their distortion; the nearer class needs less."""
    made = {
        choice: done(attacked(network.call, 12, choice, 6, 0), tmp_path_factory, network=network)
        for choice in ("random", "second")
    }
    test = load("digits", "test").subset(12)
    x, net = as_float(test.images), trained(network, "cpu")
    tensors = made["random"].tensors
    assert bool(tensors["found"].all())
    assert torch.equal(net(tensors["images"]).argmax(1), random_targets(test.labels, 0))
    sizes = (tensors["images"] - x).flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(tensors["distortion"], sizes)
    assert made["second"].tensors["distortion"].mean() < sizes.mean()
    here = context(tmp_path_factory.mktemp("at"))
    right = fed.function(made["random"], (network, network), None, context=here)["right"]
    assert right.shape == (2, 12) and not right.any()
    nothing = noisy.function((network,), "test", 12, 0.0, 0, context=here)["right"]
    assert torch.equal(nothing[0], net(x).argmax(1) == test.labels)


def test_the_softmax_is_on_the_units_of_the_autoencoder(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The network classifies the digits, and its first layer is not that of a classifier."""
    of = Classifier("digits", (784, 200, 10), (0.0, 0.0))
    encoding = Recipe(150, 50, 1e-2)
    call = train_on_features(of, encoding, Recipe(300, 50, 3e-2, schedule="linear"), 0)
    found = done(call, tmp_path_factory)
    assert found.values["error"] < 40
    longer = done(train_on_features(of, encoding, SMALL, 0), tmp_path_factory)
    name = "state/layers.0.weight"
    assert torch.equal(found.tensors[name], longer.tensors[name])
    assert not torch.equal(
        found.tensors["state/layers.1.weight"], longer.tensors["state/layers.1.weight"]
    )


def test_the_objective_with_a_pool_fills_the_pool() -> None:
    """Half of the loss is that of the pool, whose images are adversarial."""
    data = load("digits", "train").subset(60)
    net = MLP((784, 10), torch.sigmoid)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator(0))
    pooled = Pooled(net, 8, (1, 28, 28))
    x, y = as_float(data.images), data.labels
    terms = WithPool(Decayed((0.1,)), 4)(pooled, x, y, torch.tensor(0.0))
    assert terms.keys() == {"clean", "pool", "decay"} and int(pooled.stored) == 4
    assert bool((net(pooled.images[:4]).argmax(1) != pooled.labels[:4]).all())
    assert terms["clean"].item() == pytest.approx(
        0.5 * nn.functional.cross_entropy(net(x), y).item()
    )
