"""Madry's Table 1: rows answer targets, networks are shared, and the attacks are the paper's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.attacks import pgd
from robustbook.data import as_float, load
from robustbook.ledger import read_record, read_targets
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.rows import percent
from robustbook.studies.survey import attack, madry
from robustbook.studies.survey.attack import attacked, worst
from robustbook.studies.survey.networks import (
    PLAIN,
    Model,
    _risen,
    built,
    objective,
    pgd_training,
    train,
)
from robustbook.training import Recipe

attack.test_images.__test__ = False  # type: ignore[attr-defined]
PROFILES = ("quick", "reduced", "paper")


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: half of the images are classified correctly, another half under each attack."""
    found = {}
    for i, (key, call) in enumerate(calls.items()):
        given = call.arguments
        if call.function == "losses":
            tensors = {"loss": torch.ones(given["images"], given["starts"])}
        else:
            tensors = {"right": (torch.arange(given["images"]) + i) % 2 == 0}
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_target_of_the_table_has_a_row(profile: str) -> None:
    """A row with a misspelt id would be lost."""
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(madry.Parameters, {"profile": profile, "seeds": [0]})
    record = madry.condense(p, answers(madry.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    wanted = {
        name
        for name, target in targets.items()
        if target.item in ("madry-table-1", "madry-mnist") and not target.context
    }
    assert judged == wanted
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)


def test_the_networks_of_the_table_and_the_sweeps_are_shared() -> None:
    """With the printed schedule, the capacity sweep's widest network is network A."""
    p = check(madry.Parameters, {"profile": "paper", "schedule": "printed", "seeds": [0]})
    found = madry.calls(p)
    a = found["white", "clean", 0].arguments["network"]
    assert found["capacity", 1, "pgd", "clean", 0].arguments["network"].key == a.key
    assert found["capacity", 1, "natural", "clean", 0].key == found["natural", "clean", 0].key
    copy = found["copy", "fgsm", 0].arguments["source"]
    assert copy.key != a.key and copy.kind == a.kind  # the same but for the seed


def test_the_printed_schedule() -> None:
    """Section 5 of the facts: Adam 1e-4, batches of 50, 100,000 steps, PGD of 40 steps of 0.01."""
    own = madry.PAPERS_OWN
    (schedule,) = own.schedules.values()
    assert schedule.recipe == Recipe(100_000, 50, 1e-4)
    assert (schedule.inner, schedule.step_size, own.eps) == (40, 0.01, 0.3)
    names = madry.attacks(own)
    assert names["pgd-40"].step_size == pytest.approx(0.01)
    assert (names["pgd-100-restarts"].steps, names["pgd-100-restarts"].restarts) == (100, 20)


def test_a_shorter_training_is_another_setting() -> None:
    """The made-up accuracies are far below the paper's. Then every row that is compared with the
    paper says so, but not with the printed schedule.
    """
    for schedule, shorter in (("short", True), ("printed", False)):
        p = check(madry.Parameters, {"profile": "paper", "schedule": schedule, "seeds": [0]})
        record = madry.condense(p, answers(madry.calls(p)))
        said = {row.target: row.differs for row in record.rows if row.target}
        assert all(bool(words) is shorter for words in said.values())
        assert not any(row.differs for row in record.rows if not row.target)
        if shorter:
            natural = said["survey/madry-mnist/naturally-trained/accuracy"]
            assert natural.startswith("our training on clean images has 2,000 steps")


def test_a_network_as_accurate_as_the_papers_is_judged() -> None:
    """The stored rows follow the rule for clean accuracy, seed by seed and network by network."""
    targets = read_targets(catalogue.BOOK / "targets")
    for start, (end, printed) in madry.CLEAN.items():
        assert targets[start + end].printed == printed
    stored = read_record(catalogue.BOOK / "records/survey/madry.paper.json")
    own = madry.SETTINGS["paper"]
    bare = [replace(row, differs="") for row in stored.rows]
    assert madry.shorter(own, bare) == list(stored.rows)
    (start, (end, printed)), *_ = madry.CLEAN.items()
    good = [
        replace(row, value=printed, outcomes="") if row.target == start + end else row
        for row in bare
    ]
    table = [row for row in madry.shorter(own, good) if (row.target or "").startswith(start)]
    judged = [row for row in table if row.setting["source"] == "white"]
    assert len(judged) > 5 and not any(row.differs for row in judged)
    others = [row for row in table if row not in judged]
    assert len(others) > 5 and all(
        row.differs.startswith("our training of A has 6,000 steps and that of") for row in others
    ), "A' and B have a shorter training, and their clean accuracy is not measured"


def test_the_sources_of_transfer_attacks_have_a_shorter_training() -> None:
    """At the paper's width A' and B have 3,000 steps; elsewhere they are trained like A."""
    for profile, steps in (("paper", 3000), ("reduced", 4000), ("quick", 80)):
        found = madry.calls(check(madry.Parameters, {"profile": profile, "seeds": [0]}))
        for source in ("copy", "other"):
            given = found[source, "fgsm", 0].arguments["source"].arguments
            assert given["recipe"].steps == steps


def test_the_printed_schedule_needs_the_papers_size() -> None:
    given = {"profile": "reduced", "schedule": "printed"}
    with pytest.raises(BadParameter, match="schedule must be short for profile reduced, got"):
        madry.calls(check(madry.Parameters, given))


def test_a_rising_radius() -> None:
    """On a linear network, PGD with steps of the whole diameter ends in the corner of the ball, so
    the loss is that of the image moved by the current share of the radius.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 6, generator=generator)
    x, y = 0.5 + 0.1 * torch.rand(4, 6, generator=generator), torch.tensor([0, 1, 0, 1])
    net = torch.nn.Linear(6, 2, bias=False)
    net.weight.data = weight
    loss = objective(pgd_training(0.2, 1, 0.4, rise=0.5))
    away = (weight[1] - weight[0]).sign() * (1 - 2 * y[:, None])
    for step in (0, 3, 4, 7):
        share = _risen(0.5 * 8, step)
        assert share == min(1, (step + 1) / 4)
        expected = torch.nn.functional.cross_entropy(net(x + share * 0.2 * away), y)
        (found,) = loss(net, x, y, torch.tensor(share)).values()
        assert torch.allclose(found, expected, atol=1e-6)
    assert _risen(0.0, 0) == 1


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A narrow network after a few steps on digits."""
    call = train(Model("digits", "madry", 16, 200), PLAIN, Recipe(8, 50, 5e-3), 0)
    context = Context(tmp_path_factory.mktemp("train"), "cpu", lambda done, total: None)
    result = train.function(**call.arguments, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    return Done(call, {}, tensors, 1.0, {})


def test_the_step_is_the_attack(network: Done, tmp_path: Path) -> None:
    """The stored result is that of the package's attack on the stored network."""
    context = Context(tmp_path, "cpu", lambda done, total: None)
    strike = madry.attacks(madry.SETTINGS["quick"])["pgd-40"]
    found = attacked.function(network, strike, 20, 0, context=context)["right"]
    net = built(Model("digits", "madry", 16, 200), 0)
    state = {k[6:]: v for k, v in network.tensors.items() if k.startswith("state/")}
    net.load_state_dict(state)
    data = load("digits", "test").subset(20)
    made = pgd(
        net,
        as_float(data.images),
        data.labels,
        eps=strike.eps,
        steps=40,
        step_size=strike.step_size,
        generator=generator(0, "pgd"),
    )
    assert torch.equal(made.found, ~found)


def test_worst_is_the_intersection() -> None:
    """An image counts as correct only if no attack succeeds."""
    call = train(Model("digits", "madry", 16), PLAIN, Recipe(8, 50, 5e-3), 0)
    rights = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.bool)
    found = worst([Done(call, {}, {"right": right}, 1.0, {}) for right in rights])
    assert found.tolist() == [True, False, False, False] and percent(found) == 25


def test_the_defense_trains_on_perturbed_images_only() -> None:
    """The objective of Madry et al. has one term, and its loss is at least the clean loss."""
    net = built(Model("digits", "madry", 16), 0).eval()
    data = load("digits", "train").subset(20)
    images, labels = as_float(data.images), data.labels
    terms = objective(pgd_training(0.3, 5, 0.1))(net, images, labels, torch.tensor(0.0))
    (clean,) = objective(PLAIN)(net, images, labels, torch.tensor(0.0)).values()
    assert list(terms) == ["adversarial"] and terms["adversarial"] > clean
