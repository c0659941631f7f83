"""Logit pairing: rows answer targets, the trainings are the paper's, surfaces and roughness."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.chapters.survey import pairing as page
from robustbook.data import as_float, load
from robustbook.defenses import Weights
from robustbook.ledger import read_targets
from robustbook.ledger.records import read_record, record_path
from robustbook.runs import Call, Context, Done
from robustbook.studies.items import WITHOUT_STUDY
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.survey import attack, pairing
from robustbook.studies.survey.networks import PLAIN, Model, train, trained
from robustbook.studies.survey.pairing import roughness, surfaces
from robustbook.training import Recipe

attack.test_images.__test__ = False  # type: ignore[attr-defined]
EVERY = [
    *pairing.METHODS,
    *(f"cifar10:{method}" for method in pairing.METHODS),
    pairing.INDEPENDENT,
]


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: attack i leaves the images whose number is no multiple of i + 2, and the surfaces of
    adversarial training are flat.
    """
    found = {}
    for i, (key, call) in enumerate(calls.items()):
        given = call.arguments
        if call.function == "surfaces":
            at = torch.linspace(-1, 1, given["side"])
            bend = 0.1 if key[1] == "at100" else 1.0
            surface = at[:, None] + bend * at[None].abs() + 1
            tensors = {"loss": surface.expand(given["images"], -1, -1)}
        elif call.function == "losses":
            tensors = {"loss": torch.linspace(2, 3, given["starts"]).expand(5, -1)}
        else:
            tensors = {"right": torch.arange(given["images"]) % (i % 7 + 2) != 0}
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize(
    ("profile", "networks"), [("quick", None), ("reduced", None), ("paper", EVERY)]
)
def test_every_target_has_a_row(profile: str, networks: list[str] | None) -> None:
    """A row with a misspelt id would be lost."""
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(pairing.Parameters, {"profile": profile, "seeds": [0], "networks": networks})
    record = pairing.condense(p, answers(pairing.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    assert judged <= targets.keys()
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)
    items = ("mosbach-mnist", "mosbach-cifar10", "engstrom", "independent-cifar10")
    wanted = {
        name
        for name, target in targets.items()
        if target.item in items and not target.context and not name.startswith(tuple(WITHOUT_STUDY))
    }
    if profile == "paper":
        assert judged == wanted
    if profile == "reduced":
        assert judged == {n for n in wanted if "cifar10" not in n}


def test_the_strongest_attack_is_the_worst_of_all() -> None:
    """An image counts only if no attack succeeds, the baseline attack included."""
    p = check(pairing.Parameters, {"profile": "reduced", "seeds": [0], "networks": ["clp"]})
    found = answers(pairing.calls(p))
    record = pairing.condense(p, found)
    few = pairing.SETTINGS["reduced"]["mnist"].few
    kinds = [k for k in found if k[0] == "attacked" and k[3] != "clean"]
    left = torch.stack([found[k].tensors["right"][:few] for k in kinds]).all(0)
    (row,) = (r for r in record.rows if r.setting.get("attack") == "strongest")
    assert row.value == pytest.approx(100 * left.double().mean().item())
    assert row.images == few and len(kinds) == 1 + 4 + 1


def test_a_claim_needs_all_its_networks() -> None:
    few = check(pairing.Parameters, {"profile": "reduced", "seeds": [0], "networks": ["clp"]})
    record = pairing.condense(few, answers(pairing.calls(few)))
    claims = {row.target for row in record.rows if "claim" in (row.target or "")}
    assert claims == {"survey/mosbach-mnist/claim/clp-falls"}
    whole = check(pairing.Parameters, {"profile": "reduced", "seeds": [0]})
    record = pairing.condense(whole, answers(pairing.calls(whole)))
    (row,) = (r for r in record.rows if r.target == "survey/engstrom/claim/bumpy-landscape")
    assert row.holds and row.value > 1


def test_the_trainings_are_those_of_the_paper() -> None:
    own = pairing.SETTINGS["paper"]["mnist"]
    plain, clp, alp = (own.defense(method) for method in ("plain", "clp", "plain-alp"))
    assert plain == PLAIN
    assert clp.noise == 0.5 and clp.attack is None
    assert clp.weights == Weights(clean=1.0, clean_pairing=0.5)
    assert alp.weights == Weights(clean=1.0, pairing=1.0) and alp.noise == 0
    assert alp.attack is not None
    assert (alp.attack.eps, alp.attack.steps, alp.attack.step_size) == (0.3, 40, 0.01)
    assert own.plain == Recipe(10 * 234, 256, 1e-3)
    cifar = pairing.SETTINGS["paper"]["cifar10"]
    attack_ = cifar.defense("at100").attack
    assert attack_ is not None and attack_.statistics == "batch"  # as in the released code
    assert cifar.eps == attack_.eps == pytest.approx(16 / 255)
    attacks = cifar.attacks()
    strong, _ = attacks["entropy 0.0157"]
    assert (strong.steps, strong.restarts) == (400, 100) and attacks["middle"][0].restarts == 1


def test_only_known_networks() -> None:
    with pytest.raises(BadParameter, match="networks must be a list of names"):
        check(pairing.Parameters, {"profile": "paper", "networks": ["other"]})
    p = check(pairing.Parameters, {"profile": "quick", "networks": ["cifar10:clp"]})
    with pytest.raises(BadParameter, match=r"or at100 for profile quick, got 'cifar10:clp'$"):
        p.chosen()


def test_the_page_knows_the_rules_of_the_study() -> None:
    assert (page.ROUGHER, page.GUESSING) == (pairing.ROUGHER, pairing.GUESSING)


def test_an_accuracy_halves_only_from_above_guessing() -> None:
    """20 of 100 images differ from guessing by more than the binomial error, and 15 do not. Of 20
    images, 10 are too few to be sure of a half, and none is enough. Images that only the baseline
    attack changes count against the fall.
    """
    images = torch.arange(100)
    for before, left, holds in (
        (images < 15, images < 0, []),
        (images < 20, images < 10, [False]),
        (images < 20, images < 0, [True]),
        (images < 20, images >= 80, [False]),
    ):
        rows = list(pairing._halved(before, left, "target", 0))
        assert [row.holds for row in rows] == holds
    assert rows[0].value == 0


def test_the_fall_leaves_out_the_baseline_attack() -> None:
    """Made up: it succeeds on 20 images, and all other attacks on 10 of them."""
    p = check(pairing.Parameters, {"profile": "reduced", "seeds": [0], "networks": ["clp"]})
    found = answers(pairing.calls(p))
    for key, done in found.items():
        if key[0] == "attacked":
            n = len(done.tensors["right"])
            wrong = torch.arange(n) < (20 if key[3] == "baseline" else 10)
            found[key] = Done(done.call, {}, {"right": ~wrong}, 1.0, {})
    record = pairing.condense(p, found)
    (row,) = (r for r in record.rows if r.target and "claim" in r.target)
    assert row.value == pytest.approx(-10.0) and row.holds is False


def test_roughness_by_hand() -> None:
    """A plane has none; a single spike of height 1 in a grid of 3 x 3 has 4 second differences."""
    at = torch.arange(3.0)
    assert roughness((at[:, None] + 2 * at[None])[None]) == 0
    spike = torch.zeros(3, 3)
    spike[1, 1] = 1
    assert roughness(spike[None]) == pytest.approx(2 / 3)
    assert roughness(10 * spike[None]) == pytest.approx(2 / 3)
    assert roughness(torch.ones(2, 3, 3)) == 0


def test_a_surface_of_a_trained_network(tmp_path: Path) -> None:
    """The middle is the loss of the image itself, and the loss rises along the gradient's sign."""
    call = train(Model("digits", "mosbach", 8, 200), PLAIN, Recipe(30, 50, 5e-3), 0)
    here = Context(tmp_path, "cpu", lambda done, of: None)
    made = train.function(**call.arguments, context=here)
    tensors = {k: v for k, v in made.items() if isinstance(v, torch.Tensor)}
    network = Done(call, {}, tensors, 1.0, {})
    loss = surfaces.function(network, 6, 0.02, 5, 0, context=here)["loss"]
    assert isinstance(loss, torch.Tensor) and loss.shape == (6, 5, 5)
    data = load("digits", "test").subset(6)
    x, net = as_float(data.images), trained(network, "cpu")
    own = torch.nn.functional.cross_entropy(net(x), data.labels, reduction="none")
    torch.testing.assert_close(loss[:, 2, 2], own.detach(), rtol=1e-4, atol=1e-5)
    assert loss[:, 4, 2].mean() > loss[:, 2, 2].mean() > loss[:, 0, 2].mean()


def test_a_short_training_has_10_epochs_and_is_not_compared_with_the_paper() -> None:
    own = pairing.SETTINGS["paper"]["mnist"]
    for method in ("clp", "lsq"):
        long, short = (own.training(f"{method}{end}", 0).arguments for end in ("", "-short"))
        assert long["recipe"].steps == 10 * short["recipe"].steps == 100 * (60_000 // 256)
        assert long["recipe"].epsilon == 1e-6  # as in the released code
        assert long["defense"] == short["defense"]
    names = ["clp", "clp-short"]
    p = check(pairing.Parameters, {"profile": "paper", "seeds": [0], "networks": names})
    record = pairing.condense(p, answers(pairing.calls(p)))
    compared = {row.setting["network"] for row in record.rows if row.target and row.setting}
    assert compared == {"clp"}
    heat = [row.setting["network"] for row in record.rows if row.name == "heat"]
    assert heat.count("clp") == heat.count("clp-short") > 0


def test_only_rows_of_another_training_differ_from_the_paper() -> None:
    """CLP and LSQ have the epochs and Adam's epsilon of the authors' script, and Plain has not."""
    names = ["plain", "clp", "lsq", "clp-short"]
    p = check(pairing.Parameters, {"profile": "paper", "seeds": [0], "networks": names})
    record = pairing.condense(p, answers(pairing.calls(p)))
    differ = {row.target for row in record.rows if row.differs}
    ends = ("accuracy", "baseline-attack-accuracy", "strongest-attack-accuracy")
    assert differ == {f"survey/mosbach-mnist/plain/{end}" for end in ends}
    own = pairing.SETTINGS["paper"]["mnist"]
    plain, clp = (own.training(method, 0).arguments["recipe"] for method in ("plain", "clp"))
    for recipe, told in ((plain, "10 epochs with Adam's epsilon 1e-8"), (clp, "100 and 1e-6")):
        assert told in pairing.TRAINED
        assert f"{recipe.steps // (60_000 // 256)}" in told and recipe.epsilon == float(told[-4:])


def test_the_published_rows_say_how_they_differ() -> None:
    """The published record agrees with the study."""
    record = read_record(record_path(catalogue.BOOK / "records", "survey", "pairing", "paper"))
    marked = {row.target: row.differs for row in record.rows if row.target}
    assert all((pairing.TRAINED if "/plain/" in t else "") == d for t, d in marked.items())
