"""The studies of Nayebi & Ganguli 2017: their calls, shared networks, and rows of the ledger.

Networks are trained for only a few steps here; records are made from results made by hand.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from robustbook import ledger
from robustbook.chapters.saturating import table1
from robustbook.data import as_float, load
from robustbook.defenses import linear_penalty, relu_penalty, saturation, sigmoid_penalty
from robustbook.ledger.build import entries
from robustbook.measures import Attack, diagnose
from robustbook.networks import initialise
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.saturating import settings, table_1, table_1_search, table_2
from robustbook.studies.saturating.networks import (
    Anneal,
    Training,
    evaluate,
    fresh,
    inspect,
    objective,
    test_images,
    train,
    trained,
)
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")
test_images.__test__ = False  # type: ignore[attr-defined]  # not a test, for all its name


def trainings(calls: Mapping[Any, Call]) -> dict[str, Call]:
    """Return every training among the calls, by key."""
    return {
        inner.key: inner
        for call in calls.values()
        for inner in call.dependencies
        if inner.step.endswith(":train")
    }


def done(call: Call, seed: int) -> Done:
    """Return a result made by hand: accuracies between 10 and 99, the same for the same call."""
    if call.step.endswith(":evaluate"):
        n = len(call.arguments["attacks"])
        draw = torch.rand(n, generator=generator(seed, call.kind)).tolist()
        accuracy = [10 + 89 * round(number, 4) for number in draw]
        return Done(call, {"accuracy": accuracy, "unmoved": [1.5] * n}, {}, 2.0, {})
    assert call.step.endswith(":inspect")
    return Done(call, {"gradient": 1e-9, "lead": 12.5, "certain": 40.0}, {}, 1.0, {})


def condensed(of: ModuleType, **given: Any) -> ledger.Record:
    p = of.Parameters(**given)
    calls = of.calls(p)
    record: ledger.Record = of.condense(
        p,
        {
            key: done(call, call.arguments["network"].arguments["seed"])
            for key, call in calls.items()
        },
    )
    return record


# What is run.


@pytest.mark.parametrize("of", [table_1, table_1_search, table_2])
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_calls_are_made_without_data(
    of: ModuleType, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`robustbook plan` must work before any data is there."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setattr("robustbook.studies.saturating.networks.load", refuse)
    calls = of.calls(of.Parameters(profile=profile))
    assert len({call.key for call in calls.values()}) == len(calls)


@pytest.mark.parametrize(("profile", "seeds"), [("quick", 1), ("paper", 5)])
def test_each_network_of_table_1_is_trained_once(profile: str, seeds: int) -> None:
    """There are nine networks per seed; the vanilla one is also the source of the transfers."""
    calls = table_1.calls(table_1.Parameters(profile=profile))
    nets = trainings(calls)
    assert len(nets) == 9 * seeds
    for (network, method, seed, what), call in calls.items():
        if what == "transfer":
            vanilla = calls[network, "vanilla", seed, "main"].arguments["network"]
            assert method != "vanilla" and call.arguments["source"] == vanilla
        assert call.arguments["network"].arguments["seed"] == seed
    assert {k for k in nets} == {
        call.arguments["network"].key for key, call in calls.items() if key[3] == "main"
    }


def test_the_search_shares_what_table_1_trained() -> None:
    """It starts from a network of Table 1 and changes one setting, so the random streams agree."""
    nets = trainings(table_1_search.calls(table_1_search.Parameters(profile="paper")))
    variants = table_1_search.variants("paper")
    distinct = set(variants.values())
    assert len(nets) == 3 * len(distinct)
    base = settings.mlps("paper")["sigmoid-mlp", "saturated"]
    assert base.anneal is not None
    for (varied, _), training in variants.items():
        if varied == "start":
            assert replace(training, start="normal") in distinct
    assert settings.saturated_sigmoid("paper", base.anneal.every) == base
    assert table_1_search.cnn("paper") == settings.cnns("paper")["cnn", "saturated"]


def test_another_eps_measures_anew_and_trains_nothing() -> None:
    """eps changes the attacks, not the networks."""
    one = table_1.calls(table_1.Parameters(profile="quick"))
    other = table_1.calls(table_1.Parameters(profile="quick", eps=0.1))
    assert trainings(one).keys() == trainings(other).keys()
    for key, call in one.items():
        assert (call == other[key]) is (key[3] == "inspect")


def test_the_paper_profile_is_the_papers() -> None:
    """Sections 2 and 4: three networks, eps 0.25, alpha 0.5, and the maximum of lambda."""
    networks = {**settings.mlps("paper"), **settings.cnns("paper")}
    assert len(networks) == 9
    assert {t.data for t in networks.values()} == {"mnist"}
    assert {(t.eps, t.alpha) for t in networks.values()} == {(0.25, 0.5)}
    last = {}
    for (network, method), t in networks.items():
        assert (t.network, t.method) == (network, method)
        assert (t.anneal is not None) is (method == "saturated")
        if t.anneal is not None:
            assert t.recipe.steps == t.anneal.steps
            last[network] = t.anneal(t.recipe.steps - 1)
    assert last == pytest.approx({"sigmoid-mlp": 1.74, "relu-mlp": 3.99e-8, "cnn": 1e-5})
    assert settings.TEST["paper"] == 10_000


def test_anneal_at_its_edges() -> None:
    """An error by one would skip lambda's first step or exceed its last."""
    anneal = Anneal(plain=10, rise=0.1, rises=3, every=4)
    expected = {0: 0, 9: 0, 10: 1, 13: 1, 14: 2, 17: 2, 18: 3, 21: 3, 22: 3, 1000: 3}
    assert {step: anneal(step) for step in expected} == pytest.approx(
        {step: 0.1 * times for step, times in expected.items()}
    )
    assert anneal.steps == 22
    assert Anneal(0, 0.1, 1, 1)(0) == 0.1


@pytest.mark.parametrize(
    ("network", "hidden", "readout"),
    [
        ("sigmoid-mlp", sigmoid_penalty, sigmoid_penalty),
        ("relu-mlp", relu_penalty, relu_penalty),
        ("cnn", relu_penalty, linear_penalty),
    ],
)
def test_each_network_has_its_own_penalty(network: Any, hidden: Any, readout: Any) -> None:
    """Section 4: the slope for sigmoids, the distance for ReLUs, z itself at the CNN's read-out."""
    training = Training("digits", network, 32, "xavier", "saturated", Recipe(1, 1, 0.1))
    net = fresh(training, 0)
    images = torch.rand(2, 1, 28, 28, generator=generator(0))
    labels, lam = torch.tensor([1, 2]), torch.tensor(0.3)
    for layers in ("all", "hidden"):
        ours = objective(replace(training, layers=layers))(net, images, labels, lam)
        expected = saturation(
            net,  # type: ignore[arg-type]
            images,
            labels,
            lam,
            hidden=hidden,
            readout=readout,
            layers=layers,
        )
        assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in expected.items()}


# What it answers.


@pytest.mark.parametrize("of", [table_1, table_2])
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_of_the_item_is_answered_in_its_unit(of: ModuleType, profile: str) -> None:
    """A target without a row would always be `not run`."""
    record = condensed(of, profile=profile)
    wanted = {t.id: t for t in TARGETS.values() if (t.paper, t.item) == (of.PAPER, of.ITEM)}
    answered = {row.target: row.unit for row in record.rows if row.target is not None}
    assert answered == {name: t.unit for name, t in wanted.items() if not t.context}
    judged = entries(TARGETS, [record], {}, chosen=wanted.values())
    verdicts = {entry.verdict for entry in judged}
    assert verdicts <= (
        {"reproduced", "not reproduced", "inconclusive"}
        if profile == "paper"
        else {"other setting"}
    ) | ({"reproduced", "no printed number"} if of is table_2 else set())


def test_the_derived_rows_of_table_1() -> None:
    """The error is 100 minus accuracy; the loss of clean accuracy uses the vanilla network of the
    seed.
    """
    record = condensed(table_1, profile="quick", seeds=(2, 5))
    rows = {(row.target, row.seed): row.value for row in record.rows if row.target}
    for seed in (2, 5):
        for net in ("sigmoid", "relu", "cnn"):
            name = f"saturating/table-1/{net}-saturated"
            fgsm = rows[f"{name}/fgsm-accuracy", seed]
            assert rows[f"{name}/fgsm-error", seed] == pytest.approx(100 - fgsm)
            order = f"saturating/table-1/order/{net}-saturated-over-adversarial"
            assert rows[order, seed] == fgsm
            loss = (
                rows[f"saturating/table-1/{net}-vanilla/accuracy", seed]
                - rows[f"{name}/accuracy", seed]
            )
            assert rows[f"{name}/clean-loss", seed] == pytest.approx(loss)


def test_the_published_evidence_and_its_verdicts() -> None:
    """The page of Table 1 draws its findings on saturated networks from these rows."""
    folder = Path(__file__).resolve().parents[2] / "book" / "records"
    record = ledger.read_record(folder / "saturating" / "table-1.paper.json")
    reds = {
        network: [f.question for f in diagnose(table1.evidence(record, network)) if f.red]
        for network in table_1.NETWORKS
    }
    assert reds["cnn"] == [] and reds["sigmoid-mlp"] == reds["relu-mlp"]
    assert len(reds["relu-mlp"]) == 6
    sigmoid = table1.evidence(record, "sigmoid-mlp")
    shown = {name: round(value, 1) for name, value in sigmoid.items()}
    assert shown == {
        "one_step": 79.5,
        "random_signs": 50.8,
        "many_steps": 54.3,
        "repaired": 1.8,
        "float64": 48.4,
        "rescaled": 46.2,
        "transfer": 7.9,
        "zero_gradients": 66.1,
    }


def test_every_reading_is_in_the_record_once_for_each_network_and_seed() -> None:
    """The page's table of attack variants is made from these rows."""
    record = condensed(table_1, profile="quick", seeds=(2, 5))
    rows = [
        (row.setting["network"], row.setting["method"], row.setting["reading"], row.seed)
        for row in record.rows
        if row.name == "accuracy"
    ]
    readings = settings.readings(0.25)
    assert len(set(rows)) == len(rows) == 2 * (9 * len(readings) + 6)
    assert len(set(readings.values())) == len(readings)  # no two are the same attack
    assert all(attack.eps == 0.1 for attack in settings.readings(0.1).values())


@pytest.mark.parametrize("of", [table_1, table_1_search, table_2])
def test_a_record_survives_its_file(of: ModuleType, tmp_path: Path) -> None:
    """Writing and reading gives the same record."""
    record = condensed(of, profile="quick")
    again = ledger.read_record(ledger.write_record(record, tmp_path))
    assert (again.paper, again.item, again.seeds) == (of.PAPER, of.ITEM, record.seeds)
    assert [row.target for row in again.rows] == [row.target for row in record.rows]


def test_the_search_has_a_row_for_each_variant_and_reading() -> None:
    """The page's table of other settings is made from these rows."""
    record = condensed(table_1_search, profile="quick")
    variants = len(table_1_search.variants("quick"))
    names = [row.name for row in record.rows]
    readings = len(table_1_search.SHOWN)
    assert names.count("accuracy") == variants * (readings + 1)
    assert names.count("unmoved") == variants * readings
    assert names.count("certain") == variants
    assert all(row.target is None for row in record.rows)


# Table 2, end to end.


def test_table_2_reads_the_printed_numbers_from_the_module() -> None:
    """All are exact; without padding the hidden layer has 4 x 4 maps as inputs, so the count is
    smaller.
    """
    record = condensed(table_2, profile="paper")
    rows = {row.target: row.value for row in record.rows}
    for target in rows:
        assert target is not None
        if not target.endswith("valid-padding"):  # a network that is not trained
            assert rows[target] == TARGETS[target].printed, target
    start = "saturating/table-2/cnn/parameters"
    assert rows[f"{start}-valid-padding"] < rows[f"{start}-same-padding"]
    assert not table_2.calls(table_2.Parameters(profile="paper"))


# The steps themselves, on a network of 16 units for 30 steps.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Context]:
    training = Training("digits", "relu-mlp", 16, "xavier", "vanilla", Recipe(60, 20, 0.01))
    context = Context(tmp_path_factory.mktemp("scratch"), "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    values = {k: v for k, v in result.items() if k not in tensors}
    return Done(train(training, 3), values, tensors, 1.0, {}), context


def test_a_training_is_its_seed_alone_and_comes_back_from_its_result(
    small: tuple[Done, Context], tmp_path: Path
) -> None:
    """Later steps and pages use the weights, the history and the seconds."""
    result, context = small
    training = result.call.arguments["training"]
    net = trained(result, "cpu")
    assert not net.training
    assert {f"weight/{name}" for name, _ in net.named_parameters()} | {
        "history/cross_entropy"
    } == result.tensors.keys()
    assert result.tensors["history/cross_entropy"].shape == (1,)  # of one unfinished epoch
    again = train.function(training, 3, context=replace(context, scratch=tmp_path))
    assert all(torch.equal(again[name], tensor) for name, tensor in result.tensors.items())  # type: ignore[arg-type]
    first = fresh(training, 3)
    by_hand = fresh(training, 4)
    initialise(by_hand, "xavier", generator(3, "weights"))
    for p, q in zip(first.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(p, q)


def test_test_images_are_spread_evenly() -> None:
    """The first half of MNIST's test set is easier."""
    images, labels = test_images("digits", 10, "cpu")
    test = load("digits", "test")
    rows = [i * len(test.images) // 10 for i in range(10)]
    assert torch.equal(images, as_float(test.images[rows]))
    assert torch.equal(labels, test.labels[rows])
    everything, _ = test_images("digits", len(test.images), "cpu")
    assert torch.equal(everything, as_float(test.images))


def test_evaluate_and_inspect_measure_the_trained_network(small: tuple[Done, Context]) -> None:
    """Accuracies are in percent, in the order of the attacks, for the network of the result."""
    result, context = small
    net = trained(result, "cpu")
    x, y = test_images("digits", 100, "cpu")
    attacks = (Attack("none"), Attack("fgsm", 0.1), Attack("fgsm", 0.1, loss="margin"))
    found = evaluate.function(result, attacks, 100, context=context)
    clean = 100 * (net(x).argmax(1) == y).double().mean().item()
    accuracy: Any = found["accuracy"]
    assert accuracy[0] == pytest.approx(clean) and clean > 30
    assert max(accuracy[1:]) < clean
    own = evaluate.function(result, attacks, 100, source=result, context=context)
    assert own == found
    seen = inspect.function(result, 100, context=context)
    p = net(x).softmax(1).gather(1, y[:, None])
    assert seen["certain"] == pytest.approx(100 * (p == 1).double().mean().item())
    assert seen.keys() == {"gradient", "lead", "certain"}
