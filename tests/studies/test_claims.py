"""The claims of the text: settings, ablations, and the counts over 90 pairs."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import ledger
from robustbook.ledger.build import entries
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.saturating import (
    ablations,
    claims,
    descents,
    printed_settings,
    settings,
    table_1,
)
from robustbook.studies.saturating.ablations import ALPHA, LAMBDA, PENALTY, READINGS
from robustbook.studies.saturating.networks import Anneal, Training, test_images, train
from robustbook.studies.saturating.settings import COMPARED
from robustbook.studies.saturating.targeted import RULES
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")
MAIN = settings.MAIN
PAIRS = [(source, target) for source in range(10) for target in range(10) if source != target]
test_images.__test__ = False  # type: ignore[attr-defined]  # not a test, for all its name


def descended(call: Call) -> dict[str, Any]:
    """Return ninety descents made by hand: all vanilla ones succeed after 4 steps, no saturated
    one.
    """
    source, target = zip(*PAIRS, strict=True)
    arrived = call.arguments["network"].arguments["training"].method == "vanilla"
    steps = [4 if arrived else call.arguments["steps"]] * 90
    moved = [0.03 if arrived else 0.1] * 90
    return {
        "source": list(source),
        "target": list(target),
        "found": [arrived] * 90,
        "steps": steps,
        "moved": moved,
    }


def done(call: Call) -> Done:
    """Return a result made by hand."""
    if call.step.endswith(":descents"):
        return Done(call, descended(call), {}, 2.0, {})
    if call.step.endswith(":apart"):
        return Done(call, {"moved": 0.15}, {}, 2.0, {})
    n = len(call.arguments["attacks"])
    draw = torch.rand(n, generator=generator(call.arguments["network"].arguments["seed"], call.key))
    accuracy = [10 + 89 * round(number, 4) for number in draw.tolist()]
    return Done(call, {"accuracy": accuracy, "unmoved": [1.5] * n}, {}, 2.0, {})


def results(p: claims.Parameters) -> dict[tuple[Any, ...], Done]:
    return {key: done(call) for key, call in claims.calls(p).items()}


# The item.


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_calls_are_made_without_data_and_share_the_networks(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text 1 needs no new results after Table 1; the vanilla networks are Table 1's too."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setattr("robustbook.studies.saturating.networks.load", refuse)
    p = claims.Parameters(profile=profile)
    calls = claims.calls(p)
    assert len({call.key for call in calls.values()}) == len(calls)
    table = set(table_1.calls(table_1.Parameters(profile=profile)).values())
    assert all(call in table for key, call in calls.items() if key[0] == "error")
    trained = {call.arguments["network"] for call in table}
    for key, call in calls.items():
        if key[0] in ("descents", "apart") or key[1:3] == (ALPHA["sigmoid-mlp"], "0.5"):
            assert call.arguments["network"] in trained


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_is_answered_in_its_unit(profile: str) -> None:
    """A target without a row would always be `not run`. (Text 8 belongs to figure 6.)"""
    p = claims.Parameters(profile=profile)
    record = claims.condense(p, results(p))
    items = set(claims.JUDGES) - {"text-8"}
    wanted = {t.id: t for t in TARGETS.values() if t.paper == "saturating" and t.item in items}
    answered = {row.target: row.unit for row in record.rows if row.target is not None}
    assert answered == {name: t.unit for name, t in wanted.items() if not t.context}
    judged = entries(TARGETS, [record], {}, chosen=[t for t in wanted.values() if not t.context])
    other = {entry.id for entry in judged if entry.verdict == "other setting"}
    # An example of the paper, which states nothing about other networks, has no verdict.
    example = {"saturating/text-7/adam/saturated-3-to-7"}
    assert {e.id for e in judged if e.verdict not in ledger.VERDICTS[:4]} == example
    failures = {"saturating/text-7/adam/saturated-failures"}  # too few steps of Adam
    assert other == (failures if profile == "paper" else {entry.id for entry in judged} - example)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    """Writing and reading gives the same record, and it is small enough to commit."""
    p = claims.Parameters(profile="paper")
    path = ledger.write_record(claims.condense(p, results(p)), tmp_path)
    assert path.stat().st_size < 600_000
    assert ledger.read_record(path).seeds == (0, 1, 2, 3, 4)


# Settings and the range of errors.


def test_the_settings_are_the_printed_ones() -> None:
    """Networks at profile paper are trained with exactly the numbers of Sections 2 and 4."""
    rows = {row.target: row.value for row in printed_settings.rows("paper")}
    assert rows.keys() == {name for name in TARGETS if "/text-4/settings/" in name}
    for name, value in rows.items():
        assert name is not None
        assert value == pytest.approx(TARGETS[name].printed, rel=1e-12), name


def test_a_setting_that_differs_between_networks_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If one network has another eps, no single number can be reported."""
    usual = settings.mlps("paper")
    key = ("relu-mlp", "adversarial")
    changed = {**usual, key: replace(usual[key], eps=0.3)}  # type: ignore[index]
    monkeypatch.setattr(printed_settings, "mlps", lambda profile: changed)
    with pytest.raises(ValueError, match="too many values to unpack"):
        list(printed_settings.rows("paper"))


def test_the_range_of_errors_is_over_the_three_saturated_networks() -> None:
    """It uses the second attack of Table 1's main call, which is FGSM."""
    calls = printed_settings.calls("quick", (4,))
    fgsm = {"sigmoid-mlp": 94.5, "relu-mlp": 60.0, "cnn": 98.0}
    found = {
        key: Done(call, {"accuracy": [99.0, fgsm[key[1]]]}, {}, 1.0, {})
        for key, call in calls.items()
    }
    assert {call.arguments["attacks"][1].kind for call in calls.values()} == {"fgsm"}
    rows = {row.target: row.value for row in printed_settings.errors(found, "quick", (4,))}
    assert rows == {
        "saturating/text-1/error-range/low": 2.0,
        "saturating/text-1/error-range/high": 40.0,
    }


# Ablations.


def test_each_ablation_moves_one_thing() -> None:
    """If two settings changed at once, the difference would show the effect of neither."""
    variants = ablations.variants("paper", 10)
    base = variants[PENALTY, "all layers"]
    moved = {
        variant: {f.name for f in fields(base) if getattr(base, f.name) != getattr(t, f.name)}
        for variant, t in variants.items()
    }
    assert moved[PENALTY, "hidden layers only"] == {"layers"}
    assert moved[LAMBDA, "constant"] == moved[LAMBDA, "one jump"] == {"anneal"}
    for network, varied in ALPHA.items():
        usual = settings.mlps("paper")[network, "adversarial"]  # type: ignore[index]
        for alpha in ablations.ALPHAS:
            assert variants[varied, str(alpha)] == replace(usual, alpha=alpha)
        assert variants[varied, "0.5"] == usual


def test_lambda_is_constant_at_the_same_maximum_for_as_many_steps() -> None:
    """Otherwise the comparison would be between penalties of different strength or duration."""
    variants = ablations.variants("paper", 10)
    base = variants[PENALTY, "all layers"]
    assert isinstance(base.anneal, Anneal)
    last = base.recipe.steps - 1
    for how, plain in (("constant", 0), ("one jump", base.anneal.plain)):
        anneal = variants[LAMBDA, how].anneal
        assert isinstance(anneal, Anneal) and anneal.steps == base.recipe.steps
        assert anneal(plain) == anneal(last) == base.anneal(last) == pytest.approx(1.74)
        assert plain == 0 or anneal(plain - 1) == 0


def ablated(changes: dict[tuple[str, str], dict[str, float]]) -> dict[str | None, Any]:
    """Return the rows of the three claims if every accuracy is 50 except for the changes."""
    found = {}
    for key, call in ablations.calls("paper", (3,), 10).items():
        accuracy = {reading: 50.0 for reading in READINGS} | changes.get((key[1], key[2]), {})
        found[key] = Done(call, {"accuracy": list(accuracy.values())}, {}, 1.0, {})
    rows = ablations.rows(found, "paper", (3,), 10, points=1.0)
    return {row.target and row.target.rpartition("/")[2]: row for row in rows if row.target}


def test_annealing_is_essential_if_a_constant_lambda_costs_clean_or_fgsm_accuracy() -> None:
    """Either loss must exceed the given points; a gain in the other accuracy does not
    compensate.
    """
    for lost, name in ((48.0, "clean"), (48.0, MAIN)):
        row = ablated({(LAMBDA, "constant"): {"clean": 60.0, MAIN: 60.0, name: lost}})
        assert row["annealing-essential"].value == pytest.approx(2.0)
        assert row["annealing-essential"].holds is True
    assert ablated({})["annealing-essential"].holds is False
    clipped = ablated({(LAMBDA, "constant"): {f"{MAIN}, clipped": 0.0}})
    assert clipped["annealing-essential"].holds is False


def test_alpha_half_is_best_up_to_the_points_on_the_sigmoid_network() -> None:
    """The result of the ReLU network is reported but decides nothing."""
    sigmoid, relu = ALPHA["sigmoid-mlp"], ALPHA["relu-mlp"]
    better = ablated({(sigmoid, "0.1"): {MAIN: 53.0}, (relu, "0.9"): {MAIN: 99.0}})
    assert better["alpha-half-best"].value == pytest.approx(3.0)
    assert better["alpha-half-best"].holds is False
    assert ablated({(relu, "0.9"): {MAIN: 99.0}})["alpha-half-best"].holds is True
    assert ablated({(sigmoid, "0.1"): {MAIN: 50.9}})["alpha-half-best"].holds is True
    assert ablated({(sigmoid, "0.5"): {MAIN: 70.0}})["alpha-half-best"].value == 0


def test_the_penalty_rows_are_the_fgsm_accuracies_of_the_two_networks() -> None:
    rows = ablated({(PENALTY, "hidden layers only"): {MAIN: 41.0}})
    assert (rows["readout-penalised"].value, rows["hidden-only"].value) == (50.0, 41.0)


# Descents.


def test_the_claims_on_adam_count_both_sources() -> None:
    """The saturated network resists 3 to 7 only if both sources fail.

    Of the two counts of failures the lower one is judged.
    """
    calls = descents.calls("paper", (1,), 0.01, 10_000)
    assert len(calls) == len(COMPARED) * len(RULES) * (4 + 1)
    found = {key: done(call) for key, call in calls.items()}

    def claimed() -> dict[str, float]:
        rows = descents.rows(found, (1,), 0.01)
        return {row.target.rpartition("/")[2]: row.value for row in rows if row.target}

    assert claimed() == {
        "vanilla-iterations": 4,
        "vanilla-success": 1,
        "saturated-3-to-7": 0,
        "saturated-failures": 90,
    }
    at = PAIRS.index((3, 7))
    other = found["descents", "saturated", "most", "float64", 0.01, 1].values
    other["found"][at] = True  # in another variant, which decides nothing
    assert claimed()["saturated-3-to-7"] == 0
    found["descents", "saturated", "most", "float32", 0.01, 1].values["found"][at] = True
    assert claimed()["saturated-3-to-7"] == 1 and claimed()["saturated-failures"] == 89
    found["descents", "vanilla", "least", "float32", 0.01, 1].values["found"][0] = False
    assert claimed()["vanilla-success"] == pytest.approx(179 / 180)
    # Only failures may become successes with more steps.
    differing = {row.target: row.differs for row in descents.rows(found, (1,), 0.01) if row.differs}
    assert differing == {
        "saturating/text-7/adam/saturated-failures": "at most 10,000 steps of Adam for each pair, "
        "the paper up to 30,000,000"
    }


def test_longer_steps_are_fewer() -> None:
    """All variants may move equally far, so that only the size of the step differs."""
    readings = descents.settings(0.01, 10_000)
    assert readings[0] == ("float32", 0.01, 10_000)
    assert {round(size * steps) for _, size, steps in readings} == {100}
    assert all(steps >= 1 for _, _, steps in descents.settings(0.3, 1))


def test_descents_go_from_each_source_to_each_other_class(tmp_path: Path) -> None:
    """On a network of 40 units, each reported success is an answer of the network."""
    training = Training("digits", "relu-mlp", 40, "xavier", "vanilla", Recipe(100, 50, 0.01))
    context = Context(tmp_path, "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    network = Done(train(training, 3), {}, tensors, 1.0, {})
    for precision in ("float32", "float64"):
        found: Any = descents.descents.function(
            network, "least", precision, 0.1, 50, 400, context=context
        )
        assert list(zip(found["source"], found["target"], strict=True)) == PAIRS
        assert sum(found["found"]) > 80
        assert all(0 < n < 50 for n, f in zip(found["steps"], found["found"], strict=True) if f)
        assert 0 < min(found["moved"]) and max(found["moved"]) < 1
    few: Any = descents.descents.function(network, "most", "float32", 1e-5, 1, 400, context=context)
    assert sum(few["found"]) == 0 and max(few["moved"]) <= 1.1e-5
    swapped: Any = descents.apart.function(network, "most", 400, context=context)
    assert 0.01 < swapped["moved"] < 1
