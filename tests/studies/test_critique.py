"""The page "Does it hold today?": its calls, its measurements and its record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustbook import ledger
from robustbook.measures import Attack, predict
from robustbook.runs import Call, Context, Done
from robustbook.studies.saturating import critique, settings, table_1
from robustbook.studies.saturating.attackers import bypass, minimal, search
from robustbook.studies.saturating.networks import Training, evaluate, train, trained
from robustbook.studies.saturating.networks import test_images as images_of
from robustbook.training import Recipe

TARGETS = {
    id_: target
    for id_, target in ledger.read_targets(
        Path(__file__).resolve().parents[2] / "book" / "targets"
    ).items()
    if target.item == "critique"
}


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_what_table_1_has_run_costs_nothing(profile: str) -> None:
    """The attack variants, transfers and networks are exactly the calls of Table 1."""
    ours = critique.calls(critique.Parameters(profile=profile))
    theirs = {c.key for c in table_1.calls(table_1.Parameters(profile=profile)).values()}
    shared = [call for key, call in ours.items() if key[3] in ("readings", "transfer")]
    assert shared and all(call.key in theirs for call in shared)
    networks = {call.arguments["network"].key for call in ours.values()}
    assert networks == {
        train(training, seed).key
        for training in {**settings.mlps(profile), **settings.cnns(profile)}.values()
        for seed in critique.Parameters.own_seeds[profile]
    }


def test_the_pieces_cover_every_image_once() -> None:
    """A missing image would be missing from the curve; one in two pieces would count twice."""
    ours = critique.calls(critique.Parameters(profile="paper", seeds=(0,), cnn_images=60))
    for network, n in (("sigmoid-mlp", 1000), ("cnn", 60)):
        for what in ("square", "minimal"):
            rows = [k[4:] for k in ours if k[:4] == (network, "saturated", 0, what)]
            covered = [i for first, last in rows for i in range(first, last)]
            assert covered == list(range(n))


def faked(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Return results made by hand: the attack at index i of a call leaves 90 - i percent."""
    found = {}
    for key, call in calls.items():
        values: dict[str, Any] = {}
        tensors: dict[str, torch.Tensor] = {}
        if "attacks" in call.arguments:
            values["accuracy"] = [90.0 - i for i in range(len(call.arguments["attacks"]))]
            values["unmoved"] = [float(i) for i in range(len(call.arguments["attacks"]))]
        elif key[3] == "square":
            first, last = key[4:]
            tensors["correctly"] = torch.arange(first, last) % 4 == 0
        else:
            first, last = key[4:]
            tensors["size/margin"] = torch.arange(first, last) / 1000  # 0 to 0.099 of 100 images
            tensors["size/square"] = torch.full((last - first,), 0.06)
            values["grey"] = 1
        found[key] = Done(call, values, tensors, 1.0, {})
    return found


def test_the_record_has_every_reading_and_answers_every_target() -> None:
    p = critique.Parameters(profile="paper", seeds=(2, 5), controls=100, cnn_images=100)
    record = critique.condense(p, faked(critique.calls(p)))
    rows = {(r.target, r.seed): r for r in record.rows if r.target}
    assert {id_ for id_, _ in rows} == set(TARGETS)
    order = list(settings.readings(0.25))
    at = {reading: 90.0 - i for i, reading in enumerate(order)}
    name = "saturating/critique/"
    for seed in (2, 5):
        assert rows[f"{name}zero-gradient-share", seed].value == order.index("float32")
        assert rows[f"{name}float64-fgsm", seed].value == at["float64"]
        assert rows[f"{name}surrogate-slope-pgd", seed].value == at["pgd softened"]
        assert rows[f"{name}transfer-fgsm", seed].value == 90
        assert rows[f"{name}clipped-fgsm", seed].value == at["float32, clipped"]
        together = [rows[f"{name}{n}-all-attacks", seed] for n in ("sigmoid", "relu", "cnn")]
        assert all(row.holds is (row.value <= 10) for row in together)
        control = rows[f"{name}random-sign-control", seed]
        assert control.value == at["signs"]
        assert control.holds is False  # FGSM leaves 90, more than the control's 83 and 2 points
    found = [
        (r.setting["network"], r.setting["method"], r.setting["reading"], r.seed)
        for r in record.rows
        if r.name == "accuracy"
    ]
    readings = len(critique.OWN) + 5 + 3 + 3 + 2  # clipped too, more, bypassed, square and worst
    assert len(set(found)) == len(found) == 2 * (9 * readings + 6 * 2)  # and two kinds of transfer

    def value(name: str, **setting: str) -> float:
        labels = {"network": "sigmoid-mlp", "method": "vanilla"} | setting
        (row,) = (r for r in record.rows if r.name == name and r.setting == labels and r.seed == 2)
        return row.value

    assert value("accuracy", reading="square") == 25
    assert value("accuracy", reading="worst") == 0
    assert value("median", attack="margin") == pytest.approx(0.049)
    assert value("median", attack="square") == pytest.approx(0.06)
    assert value("median", attack="all") == pytest.approx(0.049)
    assert value("grey") == 1 and value("images") == 100
    curve = record.arrays["sigmoid-mlp/vanilla"]
    assert len(curve) == 2 and curve[0][:2] == [99, 89] and curve[0][5:7] == [49, 0]
    assert len(curve[0]) == len(record.arrays["eps"]) == 51


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    """This also holds if no attack succeeds on most images and the median would be infinite."""
    p = critique.Parameters(profile="quick")
    results = faked(critique.calls(p))
    for key, done in results.items():
        if key[3] == "minimal":
            for sizes in done.tensors.values():
                sizes.fill_(torch.inf)
    record = critique.condense(p, results)
    again = ledger.read_record(ledger.write_record(record, tmp_path))
    assert {r.value for r in again.rows if r.name == "median"} == {0.5}


# The steps, on a network of 16 units for 60 steps.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Context, nn.Module]:
    training = Training("digits", "sigmoid-mlp", 16, "xavier", "vanilla", Recipe(60, 20, 0.01))
    context = Context(tmp_path_factory.mktemp("scratch"), "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    done = Done(train(training, 3), {}, tensors, 1.0, {})
    return done, context, trained(done, "cpu")


def test_square_in_pieces_is_square_in_one(small: tuple[Done, Context, nn.Module]) -> None:
    network, context, net = small
    whole = search.function(network, 0.1, 20, 30, (0, 30), context=context)
    parts = [
        search.function(network, 0.1, 20, 30, rows, context=context) for rows in ((0, 12), (12, 30))
    ]
    for name in ("correctly", "queries"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
    x, y = images_of("digits", 30, "cpu")
    clean = predict(net, x) == y
    assert bool((whole["correctly"] <= clean).all()) and bool((whole["correctly"] < clean).any())


def test_smallest_sizes_in_pieces_are_those_in_one(
    small: tuple[Done, Context, nn.Module],
) -> None:
    """At size 0.5 attacks succeed on all images except those with the label of the grey image."""
    network, context, net = small
    given = (network, network, (0.05, 0.2, 0.5), 20, 6)
    whole = minimal.function(*given, (0, 6), context=context)
    parts = [minimal.function(*given, rows, context=context) for rows in ((0, 2), (2, 6))]
    names = [name for name in whole if name.startswith("size/")]
    assert len(names) == 10
    for name in names:
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name])
        assert int(whole[name].isinf().sum()) <= whole["grey"] or name == "size/transfer"
    x, y = images_of("digits", 6, "cpu")
    assert torch.equal(whole["size/margin"] == 0, predict(net, x) != y)
    answer = predict(net, torch.full((1, 1, 28, 28), 0.5))
    assert whole["grey"] == sum(part["grey"] for part in parts) == int((y == answer).sum())


def test_bypass_judges_the_network_itself(small: tuple[Done, Context, nn.Module]) -> None:
    """Without an attack it gives the network's accuracy; with an attack, less."""
    network, context, _ = small
    attacks = (Attack("none"), Attack("pgd", 0.1, "margin", clip=True, steps=3))
    found = bypass.function(network, attacks, 50, context=context)
    plain = evaluate.function(network, attacks, 50, context=context)
    assert found["accuracy"][0] == plain["accuracy"][0] > found["accuracy"][1]
