"""Attacks of today on Random Self-Ensemble: rows, targets, selection without bias, certificates."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE
from robustbook.defenses import ensemble
from robustbook.ledger import read_targets
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.self_ensemble import adaptive, settings, today
from robustbook.studies.self_ensemble.adaptive import FROZEN, Strike
from robustbook.studies.self_ensemble.attack import test_images
from robustbook.studies.self_ensemble.networks import Noise, built, inside, trained
from robustbook.studies.self_ensemble.today import Outcome

test_images.__test__ = False  # type: ignore[attr-defined]


def made(call: Call) -> Done:
    """Made up: a result of each kind of step."""
    n = call.arguments["images"]
    keep = torch.arange(n) < n // 2
    match call.function:
        case "counted":
            votes = torch.zeros(n, 10, dtype=torch.long)
            votes[:, 3] = torch.where(keep, call.arguments["trials"], 0)
            votes[:, 4] = call.arguments["trials"] - votes[:, 3]
            tensors = {"choice": votes, "counts": votes, "label": torch.full((n,), 3)}
        case "one_draw":
            tensors = {"clean": torch.ones(n, dtype=torch.bool), "right": keep}
        case "attacked":
            tensors = {"right": keep, "single": keep, "distance": torch.ones(n)}
        case _:
            strike = call.arguments["strike"]
            right = keep if strike.kind != "none" else torch.ones(n, dtype=torch.bool)
            right = right.expand(call.arguments["repeats"], n)
            tensors = {"right": right, "distance": torch.full((n,), float(strike.kind != "none"))}
            if strike.noise != "fresh":
                tensors["seen"] = keep
    return Done(call, {}, tensors, 1.0, {})


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    return {key: made(call) for key, call in calls.items()}


@pytest.mark.parametrize(
    ("profile", "networks"), [("quick", None), ("reduced", None), ("paper", ["vgg16", "model-a"])]
)
def test_the_rows_answer_targets_that_there_are(profile: str, networks: list[str] | None) -> None:
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(today.Parameters, {"profile": profile, "seeds": [0], "networks": networks})
    record = today.condense(p, answers(today.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    assert judged <= targets.keys()
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)
    measured = re.compile(r"self-ensemble/later/(pgd10|single-draw|one-draw|eot)")
    if profile == "paper":
        assert judged == {name for name in targets if measured.match(name)}
    for name, curve in record.arrays.items():
        if not name.startswith("radii"):
            (values,) = curve
            assert len(values) == len(record.arrays[f"radii/{name.split('/')[0]}"])
            assert all(a >= b for a, b in zip(values, values[1:], strict=False))


@pytest.mark.parametrize(("profile", "predicted"), [("reduced", False), ("paper", True)])
def test_rows_say_if_the_attack_has_another_label_than_that_of_the_logs(
    profile: str, predicted: bool
) -> None:
    """The published runs attack the true class, so these calls must keep their keys."""
    p = check(today.Parameters, {"profile": profile, "seeds": [0], "networks": ["vgg16"]})
    results = answers(today.calls(p))
    of = [done.call for key, done in results.items() if key[3] == "one draw"]
    assert len(of) == 2 and all(call.arguments["predicted"] is predicted for call in of)
    assert all(("predicted" in call.content["arguments"]) is predicted for call in of)
    record = today.condense(p, results)
    rows = [row for row in record.rows if row.target and "/pgd10-" in row.target]
    assert [bool(row.differs) for row in rows] == [not predicted] * 2


@pytest.mark.parametrize("predicted", [False, True])
def test_the_attack_of_the_logs_leaves_the_predicted_class(
    predicted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[torch.Tensor] = []

    def pgd(net: Any, images: torch.Tensor, labels: torch.Tensor, **rest: Any) -> Any:
        given.append(labels)
        return SimpleNamespace(images=images)

    monkeypatch.setattr(adaptive, "pgd", pgd)
    network, context = untrained(), Context(tmp_path, "cpu", lambda done, total: None)
    found = adaptive.one_draw.function(
        network, 0, 8, 0.05, 1, 0.007, predicted=predicted, context=context
    )
    _, y, _ = test_images(network, 0, 8, "cpu")
    assert torch.equal(given[0], y) is not predicted
    assert torch.equal(found["clean"], found["right"])  # nothing was changed


def test_more_images_add_calls_and_change_none() -> None:
    """So a run can be continued with more images."""
    few, more = (
        today.calls(check(today.Parameters, {"profile": "paper", "seeds": [0], "images": images}))
        for images in (20, 30)
    )
    assert {k: few[k].key for k in few} == {k: more[k].key for k in few} and len(more) > len(few)


def test_a_network_without_noise_is_attacked_without_averages() -> None:
    own, size = settings.setting("vgg16", "paper"), today.SIZES["paper"]["vgg16"]
    plain, noisy = (today.strikes(own, size, defense) for defense in ("none", "rse"))
    assert all(s.averaged == 1 and s.noise == "fresh" for s in plain.values())
    assert {s.averaged for s in noisy.values()} == {1, 10, 50}
    assert {s.noise for s in noisy.values()} == {"fresh", "frozen", "off"}
    paper = noisy["paper", 1, 0.0]
    assert (paper.steps, paper.step_size, paper.preset) == (300, 1e-3, RANDOM_SELF_ENSEMBLE)
    others = [s.preset for (name, *_), s in noisy.items() if name != "paper"]
    assert all((one.hinge, one.ends) == ("logits", "move") for one in others)


def outcome(right: list[list[int]], distance: list[float]) -> Outcome:
    return Outcome(torch.tensor(right).bool(), torch.tensor(distance))


def test_an_attack_counts_within_its_radius() -> None:
    clean = outcome([[1, 1, 0]], [0, 0, 0])
    one = outcome([[0, 0, 1]], [1.0, 2.0, 0.5])
    assert today.within(clean, one, 0.4).tolist() == [[True, True, False]]
    assert today.within(clean, one, 1.0).tolist() == [[False, True, True]]


@pytest.mark.parametrize("radius", [0.25, 0.5, 1.0])
def test_pgd_counts_at_its_own_radius_in_spite_of_rounding(radius: float) -> None:
    """The norm of a perturbation that was scaled to the radius is often larger by rounding."""
    moves = torch.randn(500, 3, 32, 32).renorm(2, 0, radius)
    distance = moves.flatten(1).norm(dim=1)
    assert (distance > radius).any()
    clean, one = (Outcome(torch.full((2, 500), right), distance) for right in (True, False))
    assert not today.within(clean, one, radius).any()
    assert not today.together(clean, [one], radius).any()
    assert today.together(clean, [one], 0.999 * radius).all()


def test_an_evaluation_does_not_choose_its_own_attack() -> None:
    """A coin as judge: twenty attacks that do nothing would seem to succeed on every image."""
    chance = torch.Generator().manual_seed(0)
    n = 2000
    coins = [torch.rand(3, n, generator=chance) < 0.9 for _ in range(21)]
    clean, *others = (Outcome(coin, torch.zeros(n)) for coin in coins)
    left = today.together(clean, others, 1.0).double().mean().item()
    assert left == pytest.approx(0.9, abs=0.02)
    assert torch.stack(coins)[:, 0].all(0).double().mean().item() < 0.2


def test_all_attacks_together_are_at_least_as_strong_as_each() -> None:
    clean = outcome([[1, 1], [1, 1]], [0, 0])
    first, second = outcome([[0, 1], [0, 1]], [1, 1]), outcome([[1, 0], [1, 0]], [1, 2])
    assert today.together(clean, [first, second], 1.0).tolist() == 2 * [[False, True]]
    assert today.together(clean, [first, second], 2.0).tolist() == 2 * [[False, False]]
    for radius in (0.5, 0.0):
        assert today.together(clean, [first, second], radius).tolist() == 2 * [[True, True]]


def test_an_attack_that_succeeds_by_chance_hides_none_that_always_succeeds() -> None:
    """Images on the boundary are misclassified half of the time, images behind it always."""
    n = 2000
    chance = torch.Generator().manual_seed(0)
    clean = Outcome(torch.ones(3, n, dtype=torch.bool), torch.zeros(n))
    boundary = Outcome(torch.rand(3, n, generator=chance) < 0.5, torch.full((n,), 0.5))
    behind = Outcome(torch.zeros(3, n, dtype=torch.bool), torch.ones(n))
    for others in ([boundary, behind], [behind, boundary]):
        assert not today.together(clean, others, 1.0).any()
        left = today.together(clean, others, 0.7).double().mean().item()
        assert left == pytest.approx(0.5, abs=0.03)


def test_the_certificate_is_of_the_noise_on_the_image() -> None:
    """In the released placement this is the inner noise."""
    own = settings.setting("vgg16", "paper")
    found = {
        defense: today.deviation(made(adaptive.counted(own.network(defense, 0), 0, 4, 1, 9)))  # type: ignore[arg-type]
        for defense in ("rse", "rse paper 0.4")
    }
    assert found == {"rse": 0.1, "rse paper 0.4": 0.4}


def untrained() -> Done:
    """A narrow network with its first weights, as if training had left it behind."""
    call = settings.setting("vgg16", "quick").network("rse", 0)
    given = call.arguments
    net = built(given["model"], given["defense"], given["noise"], 0)
    state = {f"state/{name}": value for name, value in inside(net).state_dict().items()}
    return Done(call, {}, state, 1.0, {})


@pytest.mark.parametrize(
    ("kind", "noise"), [("search", "fresh"), ("pgd-l2", "frozen"), ("square", "off")]
)
def test_images_stay_within_what_the_attack_may_do(kind: str, noise: str, tmp_path: Path) -> None:
    """And those that the network misclassifies from the start stay as they are."""
    network, context = untrained(), Context(tmp_path, "cpu", lambda done, total: None)
    strike = Strike(kind, 2, 0.2, 2, noise, eps=0.5, c=1.0, searches=2)  # type: ignore[arg-type]
    found = adaptive.struck.function(network, strike, 0, 4, 2, 2, context=context)
    assert found["right"].shape == (2, 4) and ("seen" in found) == (noise != "fresh")
    assert kind != "pgd-l2" or bool((found["distance"] <= 0.5 + 1e-5).all())
    if noise == "fresh":
        x, y, keys = test_images(network, 0, 4, "cpu")
        start = ensemble(trained(network, "cpu"), x, keys, draws=2, start=adaptive.SELECT)  # type: ignore[arg-type]
        assert bool((found["distance"][start.argmax(1) != y] == 0).all())


def test_a_frozen_network_answers_by_one_draw() -> None:
    net: Any = trained(untrained(), "cpu", Noise(0.3, 0.3))
    x, keys = torch.rand(2, 3, 32, 32), torch.tensor([4, 7])
    frozen = adaptive.Frozen(net)
    with torch.no_grad():
        one, two = frozen.at(keys, 0)(x), frozen.at(keys, 1)(x)
        assert torch.equal(one, two) and torch.equal(one, net.at(keys, FROZEN)(x))
        assert not torch.equal(one, net.at(keys, 0)(x))
