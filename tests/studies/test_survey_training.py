"""Goodfellow's loss and fast training: rows answer targets, and steps do what they say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue
from robustbook.attacks import fgsm
from robustbook.data import as_float, load
from robustbook.defenses import Weights
from robustbook.ledger import read_targets
from robustbook.measures import Attack
from robustbook.runs import Call, Context, Done
from robustbook.studies.items import WITHOUT_STUDY
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.survey import fast, goodfellow
from robustbook.studies.survey.attack import fixed
from robustbook.studies.survey.networks import Defense, Model, built, trained
from robustbook.training import Recipe

PROFILES = ("quick", "reduced", "paper")


def wanted(*starts: str) -> set[str]:
    """Return the targets of an item that a study measures."""
    return {
        name
        for name, target in read_targets(catalogue.BOOK / "targets").items()
        if name.startswith(tuple(f"survey/{start}" for start in starts))
        and not target.context
        and not name.startswith(tuple(WITHOUT_STUDY))
    }


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up: half of the images are classified correctly, the other half under each attack."""
    found = {}
    for i, (key, call) in enumerate(calls.items()):
        given = call.arguments
        n = given.get("images") or 10
        right = (torch.arange(n) + i) % 2 == 0
        tensors = {
            "struck": {"right": right, "confidence": torch.full((n,), 0.9)},
            "attacked": {"right": right},
            "ensemble": {"all": right, "one": ~right},
            "binary": {"clean": right, "fgsm": ~right},
            "rubbish": {"probability": torch.linspace(0, 1, 11)},
            "followed": {"fgsm": torch.full((3,), 60.0), "pgd": torch.full((3,), 0.5)},
        }[call.function]
        found[key] = Done(call, {"seconds": 2.0 + i}, tensors, 1.0, {})
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_target_of_goodfellow_has_a_row(profile: str) -> None:
    """Two runs, with the small and with the large network, measure all targets together."""
    judged: set[str] = set()
    for networks in (["maxout"], ["maxout-large"]):
        values = {"profile": profile, "seeds": [0, 1], "networks": networks}
        p = check(goodfellow.Parameters, values)
        record = goodfellow.condense(p, answers(goodfellow.calls(p)))
        judged |= {row.target for row in record.rows if row.target}
    assert judged == wanted("goodfellow/")


@pytest.mark.parametrize("profile", ["reduced", "paper"])
def test_every_target_of_fast_training_has_a_row(profile: str) -> None:
    judged: set[str] = set()
    for sets in (["mnist"], ["cifar10"]):
        p = check(fast.Parameters, {"profile": profile, "seeds": [0, 1], "sets": sets})
        record = fast.condense(p, answers(fast.calls(p)))
        judged |= {row.target for row in record.rows if row.target}
    assert judged == wanted("wong/", "n-fgsm/", "fgsm-rs/")


@pytest.mark.parametrize("profile", ["quick", "reduced"])
def test_small_runs_answer_the_targets_of_mnist(profile: str) -> None:
    p = check(fast.Parameters, {"profile": profile})
    record = fast.condense(p, answers(fast.calls(p)))
    judged = {row.target for row in record.rows if row.target}
    assert judged == {
        f"survey/wong/mnist-fgsm-rs/{end}"
        for end in ("accuracy", "pgd-50-10-accuracy", "autoattack-accuracy")
    }


def test_a_method_of_another_image_set_alone_is_refused() -> None:
    """The published record was merged from parts, and some of them have no calls."""
    given = {"profile": "reduced", "sets": ["cifar10"], "methods": ["pgd-constant"]}
    p = check(fast.Parameters, given)
    assert fast.calls(p) == {}
    with pytest.raises(BadParameter, match="methods must have one that profile reduced runs on ci"):
        fast.condense(p, {})
    with pytest.raises(BadParameter, match="methods must be .* for profile paper"):
        fast.calls(check(fast.Parameters, {**given, "profile": "paper"}))


@pytest.mark.parametrize("method", [m for m in fast.METHODS if m not in fast.CONTROLS])
def test_one_method_alone_gives_its_own_rows(method: str) -> None:
    """With the same calls as all methods together, and without a comparison of two methods."""
    given = {"profile": "reduced", "seeds": [0], "sets": ["cifar10"]}
    every = check(fast.Parameters, given)
    one = check(fast.Parameters, {**given, "methods": [method]})
    calls = fast.calls(one)
    assert calls.items() == {k: c for k, c in fast.calls(every).items() if k[1] == method}.items()
    rows = fast.condense(one, answers(calls)).rows
    together = fast.condense(every, answers(fast.calls(every))).rows
    assert rows and {row.target for row in rows} <= {row.target for row in together}
    assert {row.setting["method"] for row in rows if "method" in row.setting} == {method}
    assert all(row.name != "time ratio" for row in rows)


@pytest.mark.parametrize(
    ("profile", "data", "rising"),
    [
        ("quick", "mnist", set()),
        ("reduced", "mnist", {"pgd", "n-fgsm-rising"}),
        ("paper", "mnist", {"pgd", "n-fgsm-rising"}),
        ("reduced", "cifar10", set()),
        ("paper", "cifar10", set()),
    ],
)
def test_which_methods_have_a_rising_radius(profile: str, data: str, rising: set[str]) -> None:
    own = fast.setting(profile, data)
    rises = {m: fast.network(own, m, own.main, 0).arguments["defense"].rise for m in fast.METHODS}
    assert rises == {m: 0.4 if m in rising else 0.0 for m in fast.METHODS}


@pytest.mark.parametrize("method", fast.METHODS)
def test_every_attack_of_training_has_the_same_statistics(method: str) -> None:
    """On CIFAR-10 those of the batch, as in the released code."""
    for data, statistics in (("mnist", "running"), ("cifar10", "batch")):
        assert fast.inner(fast.setting("paper", data), method, 0.01).statistics == statistics


def test_the_radius_rises_in_training(tmp_path: Path) -> None:
    """With a radius that stays tiny during the whole training, the loss is that of clean images."""
    model, recipe = Model("digits", "wong", 2, 100), Recipe(4, 50, 1e-3)
    attack = fast.inner(fast.SETTINGS["quick", "mnist"], "pgd", 0.3)
    weights = Weights(adversarial=1.0)
    ends = {}
    for name, defense in {
        "constant": Defense(weights, attack),
        "rising": Defense(weights, attack, rise=1e9),
        "clean": Defense(Weights(clean=1.0)),
    }.items():
        call = fast.followed(model, defense, recipe, 0, 0.3, 10)
        ends[name] = run(fast.followed, call, tmp_path / name).tensors["state/fc2.weight"]
    torch.testing.assert_close(ends["rising"], ends["clean"], atol=1e-4, rtol=0)
    assert float((ends["constant"] - ends["clean"]).abs().max()) > 1e-3


def test_the_printed_settings() -> None:
    """The facts of Goodfellow et al., and of the released code of Wong et al."""
    own = fast.SETTINGS["paper", "mnist"]
    assert (own.recipe.steps, own.recipe.batch_size, own.recipe.lr) == (6000, 100, 5e-3)
    rates = [own.recipe.lr_at(step) for step in range(6000)]
    assert rates.index(max(rates)) == 2400 and rates[-1] < 1e-5
    attack = fast.inner(own, "fgsm-rs", 0.3)
    assert attack.step_size == pytest.approx(0.375) and not attack.clip_start
    assert fast.inner(own, "fgsm-rs-2", 0.3).step_size == pytest.approx(0.6)
    coloured = fast.SETTINGS["paper", "cifar10"]
    assert fast.inner(coloured, "fgsm-rs", 8 / 255).statistics == "batch"
    epochs = {
        (method, radius): fast.network(coloured, method, radius, 0).arguments["recipe"].steps / 390
        for method in ("fgsm", "fgsm-rs", "n-fgsm")
        for radius in (8.0, 16.0)
    }
    assert epochs.pop(("fgsm-rs", 8.0)) == 15 and set(epochs.values()) == {30}
    assert goodfellow.attacks(goodfellow.SETTINGS["paper"])["fgsm"] == Attack("fgsm", 0.25)


def test_a_network_is_trained_once() -> None:
    """The control, the sweep and the ensemble share the network trained on clean images."""
    p = check(goodfellow.Parameters, {"profile": "paper", "seeds": [0]})
    found = goodfellow.calls(p)
    plain = found["maxout 1", "fgsm", 0].arguments["network"]
    assert found["rubbish", "maxout-softmax", 0].arguments["network"].key == plain.key
    assert plain.key in {net.key for net in found["ensemble", "", 0].arguments["networks"]}


def test_every_seed_has_the_same_networks_and_attacks() -> None:
    """So that each mean in a table is over all seeds. There is only one ensemble."""
    p = check(goodfellow.Parameters, {"profile": "paper", "seeds": [0, 1]})
    one, other = ({key[:2] for key in goodfellow.calls(p) if key[2] == seed} for seed in (0, 1))
    assert one - {("ensemble", "")} == other and {
        f"maxout {alpha:g}" for alpha in goodfellow.ALPHAS
    } <= {label for label, attack in one if attack == goodfellow.STRONG[0]}


def test_other_names_are_refused() -> None:
    for parameters, name in ((goodfellow.Parameters, "networks"), (fast.Parameters, "sets")):
        with pytest.raises(BadParameter, match=f"{name} must be a list of"):
            check(parameters, {"profile": "quick", name: ["other"]})


def run(step: Any, call: Call, folder: Path, dependencies: Mapping[str, Any] | None = None) -> Done:
    """Run the call here."""
    folder.mkdir(exist_ok=True)
    context = Context(folder, "cpu", lambda done, total: None)
    result = step.function(**{**call.arguments, **(dependencies or {})}, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    values = {k: v for k, v in result.items() if k not in tensors}
    return Done(call, values, tensors, 1.0, {})


def test_the_curve_is_that_of_the_networks_after_each_epoch(tmp_path: Path) -> None:
    """The last point is the accuracy of the returned network, and a rerun finds the files."""
    own = fast.SETTINGS["quick", "mnist"]
    defense = Defense(fast.Weights(adversarial=1.0), fast.inner(own, "fgsm-rs", 0.1))
    model = Model("digits", "wong", 4, 200)
    call = fast.followed(model, defense, Recipe(8, 50, 5e-3), 0, 0.1, 40)
    done = run(fast.followed, call, tmp_path)
    assert [len(done.tensors[kind]) for kind in ("fgsm", "pgd")] == [2, 2]
    net = trained(done, "cpu")
    data = load("digits", "test").subset(40)
    made = fgsm(net, as_float(data.images), data.labels, eps=0.1, clip=True)
    assert float(done.tensors["fgsm"][-1]) == pytest.approx(100 * (~made.found).float().mean())
    again = run(fast.followed, call, tmp_path)
    assert torch.equal(again.tensors["pgd"], done.tensors["pgd"])


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Done:
    call = goodfellow.learn(
        Model("digits", "softmax", 1, 300), goodfellow.Training(), Recipe(40, 50, 1e-2), 0
    )
    return run(goodfellow.learn, call, tmp_path_factory.mktemp("learn"))


def test_the_attacked_images_are_those_of_fgsm(linear: Done, tmp_path: Path) -> None:
    """Of the source, if there is one; the confidence is that of the judged network."""
    call = goodfellow.struck(linear.call, Attack("fgsm", 0.25), 30, 0)
    found = run(goodfellow.struck, call, tmp_path, {"network": linear})
    net = fixed(trained(linear, "cpu"))
    data = load("digits", "test").subset(30)
    x = as_float(data.images)
    moved = fgsm(net, x, data.labels, eps=0.25, clip=False).images
    assert torch.equal(found.tensors["right"], net(moved).argmax(1) == data.labels)
    torch.testing.assert_close(found.tensors["confidence"], net(moved).softmax(1).amax(1))
    other = built(linear.call.arguments["model"], 7)  # another network, with its first weights
    state = {f"state/{k}": v for k, v in other.state_dict().items()}
    source = Done(linear.call, {}, state, 1.0, {})
    call = goodfellow.struck(linear.call, Attack("fgsm", 0.25), 30, 0, linear.call)
    given = {"network": linear, "source": source}
    crossed = run(goodfellow.struck, call, tmp_path, given)
    moved = fgsm(other, x, data.labels, eps=0.25, clip=False).images
    assert torch.equal(crossed.tensors["right"], net(moved).argmax(1) == data.labels)


def test_noise_images_and_two_classes(linear: Done, tmp_path: Path) -> None:
    call = goodfellow.rubbish(linear.call, False, 50)
    found = run(goodfellow.rubbish, call, tmp_path, {"network": linear}).tensors["probability"]
    assert found.shape == (50,) and bool(((0.1 <= found) & (found <= 1)).all())
    call = goodfellow.binary(Model("digits", "softmax"), Recipe(60, 50, 1e-2), 0)
    both = run(goodfellow.binary, call, tmp_path / "two").tensors
    assert len(both["clean"]) == 80  # 40 test images of each class
    assert both["clean"].float().mean() > 0.9 > both["fgsm"].float().mean()


def test_the_ensemble_averages_probabilities(linear: Done, tmp_path: Path) -> None:
    """An ensemble of equal networks is the network itself."""
    call = goodfellow.ensemble((linear.call, linear.call), 30)
    found = run(goodfellow.ensemble, call, tmp_path, {"networks": (linear, linear)}).tensors
    alone = goodfellow.struck(linear.call, Attack("fgsm", 0.25), 30, 0)
    right = run(goodfellow.struck, alone, tmp_path, {"network": linear}).tensors["right"]
    assert torch.equal(found["all"], right) and torch.equal(found["one"], right)


def test_random_noise_is_a_control() -> None:
    x = torch.zeros(1000)
    signs = goodfellow._noise("sign", x)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    uniform = goodfellow._noise("uniform", x)
    assert -1 <= uniform.min() < -0.9 and 0.9 < uniform.max() <= 1
    assert not goodfellow._noise("none", x).any()
