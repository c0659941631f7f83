"""Certified accuracy: rows answer targets, closed forms, and votes of the stored network."""

from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.data import as_float, load
from robustbook.defenses import smoothed
from robustbook.ledger import read_targets
from robustbook.measures import votes
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.survey import certified as study
from robustbook.studies.survey.networks import Defense, Model, train, trained
from robustbook.training import Recipe

PROFILES = ("quick", "reduced", "paper")


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: of 4 images one is wrong, one has divided votes, and two have the full radius."""
    found = {}
    for key, call in calls.items():
        n, choice = call.arguments["trials"], call.arguments["choice"]
        counts = torch.tensor([[n, 0], [n, 0], [n // 2, n - n // 2], [0, n]])
        tensors = {
            "choice": torch.tensor([[choice, 0]] * 3 + [[0, choice]]),
            "counts": counts,
            "label": torch.tensor([0, 0, 0, 0]),
        }
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_target_has_a_row(profile: str) -> None:
    """By default profile paper has only the closed forms, and with sigmas all rows."""
    targets = read_targets(catalogue.BOOK / "targets")
    wanted = {n for n, t in targets.items() if t.item in ("cohen-cifar10", "cohen-theory")}
    for sigmas in (None, list(study.SIGMAS)):
        p = check(study.Parameters, {"profile": profile, "seeds": [0], "sigmas": sigmas})
        record = study.condense(p, answers(study.calls(p)))
        judged = {row.target for row in record.rows if row.target}
        small = profile == "paper" and sigmas is None
        assert judged == {n for n in wanted if not small or "cohen-theory" in n}
        assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)


def test_the_table_follows_from_the_votes() -> None:
    """Half of the images are right up to the largest radius, and a quarter abstains."""
    p = check(study.Parameters, {"profile": "reduced", "sigmas": [0.5]})
    record = study.condense(p, answers(study.calls(p)))
    largest = 0.5 * study.largest_radius(1000)
    for row in record.rows:
        if row.name == "certified accuracy":
            assert row.value == (0.5 if float(row.setting["radius"]) <= largest else 0)
        if row.name == "abstained":
            assert row.value == 0.25
        if row.name == "mean radius":
            assert row.value == pytest.approx(largest / 2)
    radii, (curve,) = record.arrays["radii"], record.arrays["sigma-0.5"]
    assert curve == [0.5 if r <= largest else 0 for r in radii]


def test_the_largest_radius_is_its_closed_form() -> None:
    for draws in study.CAPS:
        closed = NormalDist().inv_cdf(0.001 ** (1 / draws))
        assert study.largest_radius(draws) == pytest.approx(closed, rel=1e-9)
    targets = read_targets(catalogue.BOOK / "targets")
    assert study.largest_radius(1000) == pytest.approx(
        targets["survey/cohen-theory/radius-cap/n-1000"].printed, abs=0.001
    )


@pytest.mark.parametrize("sigmas", [[0.0], [-0.5], [0.25, 0.0], [float("inf")], []])
def test_noise_of_size_zero_is_refused_in_a_sentence(sigmas: list[float]) -> None:
    with pytest.raises(BadParameter, match="sigmas must be a list of standard deviations above 0"):
        check(study.Parameters, {"profile": "quick", "sigmas": sigmas})


def test_the_paper_s_setting() -> None:
    """Section 4.1 of Cohen et al. and the released code."""
    own = study.SIZES["paper"]
    assert (own.images, own.every, own.choice, own.trials) == (500, 20, 100, 100_000)
    assert own.model == Model("cifar10", "resnet110") and study.ALPHA == 0.001
    p = check(study.Parameters, {"profile": "paper", "sigmas": [0.25]})
    (call,) = study.calls(p).values()
    assert call.arguments["network"].arguments["defense"] == Defense(sigma=0.25)
    epoch = 50_000 // own.recipe.batch_size
    assert own.recipe.batch_size == 400 and own.recipe.steps == 90 * epoch
    assert own.recipe.schedule == ((30 * epoch, 0.1), (60 * epoch, 0.01))


def test_the_step_counts_votes_of_the_stored_network(tmp_path: Path) -> None:
    """Each third test image, with draws for the counts that the choice has not used."""
    context = Context(tmp_path, "cpu", lambda done, total: None)
    call = train(Model("digits", "wong", 4, 200), Defense(sigma=0.5), Recipe(8, 50, 5e-3), 3)
    result = train.function(**call.arguments, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    network = Done(call, {}, tensors, 1.0, {})
    found = study.counted.function(network, 0.5, 4, 3, 10, 25, context=context)
    data, keys = load("digits", "test").subset(torch.arange(4) * 3), torch.arange(4) * 3
    net = smoothed(trained(network, "cpu"), 0.5, seed=3)
    x = as_float(data.images)
    assert torch.equal(found["choice"], votes(net, x, keys, draws=10))
    assert torch.equal(found["counts"], votes(net, x, keys, draws=25, start=10))
    assert torch.equal(found["label"], data.labels)
