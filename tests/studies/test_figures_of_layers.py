"""Figures 1, 2, 3 and 7 of Nayebi & Ganguli 2017: their calls, and when a claim holds."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from robustbook import ledger
from robustbook.data import load
from robustbook.ledger.build import entries
from robustbook.measures import class_means, dissimilarity, excess_kurtosis
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.saturating import (
    dissimilarity as shared,
)
from robustbook.studies.saturating import (
    figure_1,
    figure_2,
    figure_3,
    figure_7,
    settings,
    table_1_search,
)
from robustbook.studies.saturating.networks import Training, test_images, train, trained
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")
ITEMS: list[Any] = [figure_1, figure_2, figure_3, figure_7]
test_images.__test__ = False  # type: ignore[attr-defined]  # not a test, for all its name

Change = Callable[[Call, dict[str, Any]], None]


def done(call: Call, change: Change) -> Done:
    """Return a result in which every claim of the paper holds, before ``change``.

    The saturated networks have values ten times as large, and classes lie far apart.
    """
    method = call.arguments["network"].arguments["training"].method
    times = 10.0 if method == "saturated" else 1.0
    tensors: dict[str, torch.Tensor] = {}
    if call.step.endswith(":weights"):
        values: dict[str, Any] = {
            "kurtosis": [times, times, times],
            "lit": times,
            "min": [-2 * times] * 3,
            "max": [times] * 3,
            "sd": [times] * 3,
        }
        tensors["density"] = torch.full((3, call.arguments["bins"]), 1 / times)
    elif call.step.endswith(":activities"):
        values = {
            "median": [-times] * 3,
            "median_abs": [times] * 3,
            "beyond": [[0.5, 0.25, 0.125]] * 3,
            "active": [0.3 / times] * 3,
            "min": [-9 * times] * 3,
            "max": [9 * times] * 3,
        }
        tensors["density"] = torch.full((3, call.arguments["bins"]), 1 / times)
    else:
        between = [times, 2 * times, 4 * times, 8 * times]
        values = {"within": [b / 16 for b in between], "between": between}
        ramp = torch.arange(100.0)
        tensors["matrices"] = times * (ramp[:, None] - ramp).abs().repeat(4, 1, 1)
    change(call, values)
    return Done(call, values, tensors, 1.0, {})


def condensed(
    of: Any, *, change: Change = lambda call, values: None, **given: Any
) -> ledger.Record:
    p = of.Parameters(**given)
    record: ledger.Record = of.condense(p, {k: done(c, change) for k, c in of.calls(p).items()})
    return record


def holds(record: ledger.Record, target: str) -> bool | None:
    (row,) = [row for row in record.rows if row.target == f"saturating/{target}"]
    return row.holds


# What is run.


@pytest.mark.parametrize("of", ITEMS)
def test_networks_are_those_of_table_1_and_its_search(of: ModuleType) -> None:
    """Other networks would cost hours of training."""
    calls = of.calls(of.Parameters(profile="paper"))
    known = set(settings.mlps("paper").values())
    tried = set(table_1_search.variants("paper").values())
    for call in calls.values():
        training, seed = (call.arguments["network"].arguments[k] for k in ("training", "seed"))
        assert training in known or (training in tried and seed == 0)
    assert {call.arguments["network"].arguments["seed"] for call in calls.values()} == set(range(5))
    assert len({call.key for call in calls.values()}) == len(calls)


def test_the_controls_are_never_penalised_longer_or_penalised_more() -> None:
    """The controls agree with their names on the pages."""
    for profile in ("quick", "paper"):
        nets = settings.compared(profile, 0)
        assert len(nets) == 7 and len(settings.compared(profile, 1)) == 4
        for network in settings.MLPS:
            longer, vanilla = nets[network, "vanilla, longer"], nets[network, "vanilla"]
            assert longer.method == "vanilla" and longer.recipe.steps > vanilla.recipe.steps
        stronger, printed = (
            nets["relu-mlp", name].anneal for name in ("saturated, stronger", "saturated")
        )
        assert stronger is not None and printed is not None
        assert stronger.rise / printed.rise == pytest.approx(1e5)


@pytest.mark.parametrize(
    ("of", "given", "message"),
    [
        (figure_1, {"bins": 5}, "bins must be a number of bins, 10 to 200, got 5"),
        (figure_2, {"flat": 0.0}, "flat must be a size of pre-activation, above 0.*got 0.0"),
        (figure_3, {"per_class": 15}, "per_class must be images per class: 10, 20.*got 15"),
        (figure_7, {"near_zero": 2.0}, "near_zero must be a ratio .*got 2.0"),
        (figure_3, {"layer": 4}, "layer is no parameter of this item"),
    ],
)
def test_bad_parameters_are_refused(of: Any, given: dict[str, Any], message: str) -> None:
    """The error is one sentence, before any work."""
    with pytest.raises(BadParameter, match=message):
        check(of.Parameters, given)


# What it answers.


@pytest.mark.parametrize("of", ITEMS)
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_is_answered_once_a_seed_in_its_unit(
    of: Any, profile: str, tmp_path: Path
) -> None:
    """A target without a row would always be `not run`."""
    record = condensed(of, profile=profile, seeds=(0, 3))
    wanted = {t.id: t for t in TARGETS.values() if (t.paper, t.item) == (of.PAPER, of.ITEM)}
    for seed in (0, 3):
        answered = {row.target: row for row in record.rows if row.target and row.seed == seed}
        assert {k: row.unit for k, row in answered.items()} == {
            k: t.unit for k, t in wanted.items()
        }
        decided = {k for k, row in answered.items() if row.holds is not None}
        assert decided >= {
            k for k, t in wanted.items() if t.compare == "shape" and t.kind == "claim"
        }
    judged = entries(TARGETS, [record], {}, chosen=wanted.values())
    expected = {"reproduced"} if profile == "paper" else {"other setting"}
    if of is figure_7:  # the paper states nothing of it
        expected = set()
    assert {e.verdict for e in judged} - {"no printed number"} == expected
    path = ledger.write_record(record, tmp_path)
    assert path.stat().st_size < 600_000
    again = ledger.read_record(path)
    assert again.arrays.keys() == record.arrays.keys()


def alter(name: str, layer: int, method: str, value: Any) -> Change:
    def change(call: Call, values: dict[str, Any]) -> None:
        if call.arguments["network"].arguments["training"].method == method:
            values[name] = [*values[name][:layer], value, *values[name][layer + 1 :]]

    return change


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize(
    ("of", "target", "name", "value"),
    [
        (figure_1, "figure-1/sigmoid/two-sided-range", "max", 0.9),
        (figure_1, "figure-1/sigmoid/two-sided-range", "min", -1.9),
        (figure_1, "figure-1/relu/negative-extremes", "max", 20.1),
        (figure_1, "figure-1/relu/negative-extremes", "min", -1.9),
        (figure_2, "figure-2/sigmoid/extreme-preactivations", "median_abs", 0.9),
        (figure_2, "figure-2/relu/extreme-preactivations", "median", -0.9),
        (figure_2, "figure-2/relu/extreme-preactivations", "active", 0.31),
    ],
)
def test_one_layer_is_enough_to_break_a_claim(
    of: Any, target: str, name: str, value: float, layer: int
) -> None:
    """The paper says "each layer"; a mean over layers could hide an exception."""
    assert holds(condensed(of, profile="quick"), target) is True
    change = alter(name, layer, "saturated", value)
    assert holds(condensed(of, profile="quick", change=change), target) is False


@pytest.mark.parametrize("method", ["vanilla", "saturated"])
@pytest.mark.parametrize("layer", range(3))
def test_within_near_zero_asks_each_layer_of_both_networks(method: str, layer: int) -> None:
    """The reader chooses the threshold; two more are measured."""

    def change(call: Call, values: dict[str, Any]) -> None:
        alter("between", layer, method, 1e-3)(call, values)
        alter("within", layer, method, 0.3e-3)(call, values)

    target = "figure-3/within-near-zero"
    assert holds(condensed(figure_3, profile="quick"), target) is True
    record = condensed(figure_3, profile="quick", change=change)
    assert holds(record, target) is False
    assert (
        holds(condensed(figure_3, profile="quick", change=change, near_zero=0.31), target) is True
    )
    found = {
        row.setting["threshold"]: row.holds
        for row in record.rows
        if row.name == "within near zero" and row.setting["readout"] == "phi"
    }
    assert found == {0.1: False, 0.25: False, 0.5: True}


def test_growth_is_judged_on_phi_and_shown_on_the_softmax_too() -> None:
    """If layer 3 is below layer 2, the claim on phi fails; the softmax is independent of it."""
    change = alter("between", 2, "saturated", 0.1)
    record = condensed(figure_7, profile="quick", change=change)
    assert holds(record, "figure-7/grows-with-depth") is False
    found = {
        (row.setting["readout"], row.setting["method"]): row.holds
        for row in record.rows
        if row.name == "grows with depth" and row.setting["measure"] == "between"
    }
    assert found == {
        ("phi", "vanilla"): True,
        ("phi", "saturated"): False,
        ("softmax", "vanilla"): True,
        ("softmax", "saturated"): True,
    }


def test_a_read_out_that_is_silent_is_no_cluster() -> None:
    """If all ReLU logits are negative, all images have the same code, and the ratio is not 0 /
    0.
    """

    def change(call: Call, values: dict[str, Any]) -> None:
        values["within"][2] = values["between"][2] = 0.0

    record = condensed(figure_7, profile="quick", change=change)
    ratios = [
        row.value
        for row in record.rows
        if row.name == "within over between" and row.setting["layer"] == "3"
    ]
    assert set(ratios) == {1.0}
    assert holds(record, "figure-7/within-near-zero") is False
    assert holds(record, "figure-7/grows-with-depth") is False


# The steps themselves, on a network of 16 units for 60 steps.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Context]:
    training = Training("digits", "sigmoid-mlp", 16, "normal", "vanilla", Recipe(60, 20, 0.01))
    context = Context(tmp_path_factory.mktemp("scratch"), "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    values = {k: v for k, v in result.items() if k not in tensors}
    return Done(train(training, 3), values, tensors, 1.0, {}), context


def test_a_sample_is_sorted_drawn_by_the_seed_and_without_repeats() -> None:
    """Each class is a block of the matrix; both networks of a seed get the same images."""
    images, labels = shared.sample("digits", 30, 3)
    assert labels.tolist() == [k for k in range(10) for _ in range(30)]
    assert len(images.flatten(1).unique(dim=0)) == 300
    again, _ = shared.sample("digits", 30, 3)
    other, _ = shared.sample("digits", 30, 4)
    assert torch.equal(images, again) and not torch.equal(images, other)


def test_dissimilarities_are_equation_9_on_phi_and_on_the_softmax(
    small: tuple[Done, Context],
) -> None:
    """Layers are in order with the softmax last; means over blocks keep the overall mean."""
    result, context = small
    found: Any = shared.dissimilarities.function(result, 20, context=context)
    net: Any = trained(result, "cpu")
    images, labels = shared.sample("digits", 20, 3)
    with torch.no_grad():
        h1, h2, h3 = net.preactivations(images)
    seen = [torch.sigmoid(h1), torch.sigmoid(h2), torch.sigmoid(h3), h3.softmax(1)]
    for i, activations in enumerate(seen):
        matrix = dissimilarity(activations)
        within, between = class_means(matrix, labels)
        assert found["within"][i] == pytest.approx(within, rel=1e-4)
        assert found["between"][i] == pytest.approx(between, rel=1e-4)
        blocks = found["matrices"][i]
        assert blocks.shape == (100, 100)
        assert blocks.mean().item() == pytest.approx(matrix.mean().item(), rel=1e-4)
        assert blocks[0, 99].item() == pytest.approx(matrix[:2, -2:].mean().item(), rel=1e-4)


def test_weights_and_activities_are_of_the_trained_network(small: tuple[Done, Context]) -> None:
    """Layers are in order; one kurtosis excludes pixels that are 0 in all training images."""
    result, context = small
    net: Any = trained(result, "cpu")
    found: Any = figure_1.weights.function(result, 20, context=context)
    for i, layer in enumerate(net.layers):
        assert found["kurtosis"][i] == pytest.approx(excess_kurtosis(layer.weight.detach()))
        assert found["max"][i] == layer.weight.max().item()
    lit = (load("digits", "train").images > 0).flatten(1).any(0)
    assert 0 < lit.sum() < 784
    expected = excess_kurtosis(net.layers[0].weight.detach()[:, lit])
    assert found["lit"] == pytest.approx(expected) != found["kurtosis"][0]
    images, _ = test_images("digits", 50, "cpu")
    seen: Any = figure_2.activities.function(result, 50, (1.0, 5.0), 20, context=context)
    with torch.no_grad():
        h = net.preactivations(images)[1]
    assert seen["median_abs"][1] == pytest.approx(h.abs().median().item(), rel=1e-5)
    assert seen["active"][1] == pytest.approx((h > 0).double().mean().item())
    assert seen["density"].shape == (3, 20)
