"""The chapter's networks, methods and measurements, on small networks and known numbers."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook import catalogue
from robustbook.attacks.deepfool import AUTHORS, deepfool
from robustbook.chapters.deep_defense import names
from robustbook.data import load
from robustbook.ledger import read_targets
from robustbook.networks import Prepared
from robustbook.randomness import generator
from robustbook.runs import Done, Store, run
from robustbook.studies.deep_defense import (
    anchors,
    claims,
    convergence,
    hyper_parameters,
    layer_masking,
    methods,
    networks,
    presets,
    readings,
    sets,
    settings,
    table_1,
    today,
)
from robustbook.studies.deep_defense.methods import Method, confined
from robustbook.studies.deep_defense.networks import Model, fine_tune, reference
from robustbook.studies.deep_defense.sets import box, numbers, preprocess
from robustbook.training import Recipe

MLP = Model("digits", "mlp")
SHORT = Recipe(12, 20, 1e-3, "sgd")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def done(store: Store, *calls: Any) -> list[Any]:
    return run(list(calls), store=store, workers=0, progress=False)


def batch(model: Model, n: int = 30) -> tuple[nn.Module, Tensor, Tensor]:
    images, labels = numbers(model.data, "test", n)
    return networks.body(model, 0), images, labels


def test_the_numbers_are_the_preprocessed_pixels() -> None:
    """The body on preprocessed images equals the prepared network on pixels."""
    net, images, _ = batch(MLP)
    test = load("digits", "test")
    pixels = test.images[torch.arange(30) * len(test) // 30].float() / 255
    torch.testing.assert_close(Prepared(preprocess("digits"), net)(pixels), net(images))
    low, high = box("digits", "cpu") or (images, images)
    assert (images >= low).all() and (images <= high).all()
    torch.testing.assert_close(high - low, torch.full_like(low, 255.0))


@pytest.mark.parametrize("data", ["digits", "scenes"])
def test_a_moved_preprocessing_is_the_movers_own(data: str) -> None:
    """Moving, converting or editing a module changes it in place.

    A worker that measures first and loads later must find the shared constants unchanged.
    """
    images, before = load(data, "test").images[:2] / 255, preprocess(data).state_dict()
    expected = preprocess(data)(images)
    Prepared(preprocess(data), nn.Identity()).to("meta")
    Prepared(preprocess(data), nn.Identity()).double().train()
    for buffer in preprocess(data).buffers():
        buffer.zero_()
    again = preprocess(data)
    assert torch.equal(again(images), expected)
    for name, value in again.state_dict().items():
        assert torch.equal(value, before[name]) and value.device.type == "cpu"
    assert numbers(data, "test", 3)[0].device.type == "cpu"
    limits = box(data, "cpu")
    assert (limits is None) == (data == "scenes")


def test_what_a_step_measures_in_pixels_moves_nothing_shared(store: Store) -> None:
    (network,) = done(store, reference(MLP, SHORT, 0))
    net, images, _ = today.pixels(network, 3, "cpu")
    logits = net(images)
    net.to("meta")
    again, images, _ = today.pixels(network, 3, "cpu")
    assert torch.equal(again(images), logits)


def test_the_released_deepfool_is_the_preset_in_other_units() -> None:
    """It gives the same in grey levels after preprocessing as in pixels before it, with offsets."""
    net, images, labels = batch(MLP)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    pixels = (images + preprocess("digits").mean) / 255
    inside = deepfool(net, images, labels, preset=methods.released("digits"))
    outside = deepfool(Prepared(preprocess("digits"), net), pixels, labels, preset=AUTHORS)
    torch.testing.assert_close(inside.distance, 255 * outside.distance, rtol=1e-3, atol=1e-3)


def test_a_confined_loss_changes_one_layer_only() -> None:
    """For Figure 4, the value and the gradient of the chosen layer are unchanged."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3, generator=generator(0))
    value = net(x).square().mean()
    expected = torch.autograd.grad(value, list(net[0].parameters()), retain_graph=True)
    held = confined(value, list(net[0].parameters()))
    assert held.item() == value.item()
    found = torch.autograd.grad(held, list(net.parameters()), allow_unused=True)
    for ours, theirs in zip(found[:2], expected, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, theirs)
    assert found[2] is None and found[3] is None


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        (Method("clean"), {"cross_entropy"}),
        (Method("deep-defense"), {"cross_entropy", "correct", "wrong"}),
        (Method("deep-defense", terms="correct"), {"cross_entropy", "correct"}),
        (Method("deep-defense", layer="layers.1"), {"cross_entropy", "regulariser"}),
        (Method("deep-defense", eps=5.0), {"clean", "adversarial", "correct", "wrong"}),
        (Method("adv-training-ii", eps=5.0), {"clean", "adversarial"}),
    ],
)
def test_each_method_minimises_what_it_says(method: Method, terms: set[str]) -> None:
    net, images, labels = batch(MLP)
    found = methods.objective(method, "digits")(net, images, labels, torch.tensor(0.0))
    assert set(found) == terms
    assert all(value.requires_grad for value in found.values())


def test_a_masked_regulariser_leaves_the_others_to_the_cross_entropy() -> None:
    """All layers but one get the same step as in fine-tuning on clean images."""
    net, images, labels = batch(MLP)
    masked = methods.objective(Method("deep-defense", layer="layers.1"), "digits")
    loss = sum(masked(net, images, labels, torch.tensor(0.0)).values())
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, list(net.parameters()))
    plain = torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()))
    for (name, _), ours, theirs in zip(net.named_parameters(), found, plain, strict=True):
        same = torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)
        assert same != name.startswith("layers.1."), name


def test_rates_are_matconvnets() -> None:
    """Weights have a tenth of the printed rate and biases twice it; the last layer less."""
    rates = networks.rates(Model("scenes", "convnet", 8))
    assert rates["conv1.weight"] == 0.1 and rates["conv4.bias"] == 2.0
    assert rates["conv5.weight"] == 0.01 and rates["conv5.bias"] == 0.2
    assert networks.rates(MLP) == {}


def test_fine_tuning_goes_on_from_the_reference_and_keeps_its_epochs(store: Store) -> None:
    """The last stored epoch is the end; one step of a tiny rate stays near the start."""
    start = reference(MLP, SHORT, 0)
    tiny = replace(SHORT, steps=138, lr=1e-9)
    first, tuned = done(store, start, fine_tune(start, Method("clean"), tiny, 0, 1))
    for name, value in first.tensors.items():
        if name.startswith("weight/"):
            torch.testing.assert_close(tuned.tensors[name], value, rtol=0, atol=1e-4)
            kept = tuned.tensors[f"epoch/2/{name.removeprefix('weight/')}"]
            assert torch.equal(kept, tuned.tensors[name])
    assert not any(name.startswith("epoch/3") for name in tuned.tensors)
    again = networks.trained(tuned, "cpu", epoch=1)
    assert not again.training


def test_adversarial_training_i_sees_only_fooled_images(store: Store) -> None:
    """They are made once, from the starting network, and lie across its boundary."""
    (start,) = done(store, reference(MLP, SHORT, 0))
    net = networks.trained(start, "cpu")
    images, labels = numbers("digits", "test", 50)
    made = methods.fooled(net, images, labels, "digits", "cpu", piece=20)
    assert (net(made).argmax(1) != net(images).argmax(1)).all()


def test_the_readings_are_their_definitions(store: Store) -> None:
    """rho_2 includes misclassified images; accuracy at the network's own eps_ref is one half."""
    start = reference(MLP, replace(SHORT, steps=300), 0)
    eps = readings.scale(start, 60)
    seen, size, fgs = done(store, readings.read(start, 60), eps, readings.under_fgs(start, eps, 60))
    net = networks.trained(done(store, start)[0], "cpu")
    images, labels = numbers("digits", "test", 60)
    found = deepfool(net, images, labels, preset=methods.released("digits"))
    ratio = (found.images - images).flatten(1).norm(dim=1) / images.flatten(1).norm(dim=1)
    assert seen.values["rho"] == pytest.approx(ratio.mean().item(), rel=1e-5)
    right = (net(images).argmax(1) == labels).double().mean().item()
    assert seen.values["accuracy"] == pytest.approx(100 * right)
    for reading in ("plain", "clipped"):
        assert 45 <= fgs.values[reading][-1] <= 50 < fgs.values[reading][0]
    assert size.values["clipped"] >= size.values["eps"]


@pytest.mark.parametrize(
    "study", [table_1, convergence, hyper_parameters, layer_masking, anchors, claims]
)
def test_every_answered_target_exists_and_all_of_them_are_answered(study: Any) -> None:
    """The results are made up. With a misspelt id, a target would always be `not run`."""

    seen = {"accuracy": 98.0, "rho": 0.1, "iterations": 1.5, "unfooled": 0.0}
    if study is claims:
        seen |= {"pgd": 0.9, "ratio": 9.0, "correct": 0.1, "wrong": 0.1, "error": 1e-6}
    fgs = {reading: [90.0, 70.0, 50.0] for reading in ("plain", "predicted", "clipped")}
    made: dict[Any, Any] = {"scale": {"eps": 20.0, "clipped": 30.0}, "fgs": fgs}
    every = (
        {"networks": tuple(settings.NAMES)}
        if issubclass(study.Parameters, settings.Parameters)
        else {}
    )
    parameters = study.Parameters(profile="quick", **every)
    results = {
        key: Done(call, made.get(key[-1], seen), {}, 1.0, {})
        for key, call in study.calls(parameters).items()
    }
    record = study.condense(parameters, results)
    answered = {row.target for row in record.rows if row.target}
    items = catalogue.judged(f"deep_defense/{study.ITEM}")
    targets = read_targets(catalogue.BOOK / "targets")
    asked = {
        id_
        for id_, target in targets.items()
        if target.paper == "deep_defense"
        and f"deep_defense/{target.item}" in items
        and not re.search("imagenet|ilsvrc|claim-1/", id_)
    }
    assert answered == asked


@pytest.mark.parametrize("profile", ["quick", "reduced", "paper"])
@pytest.mark.parametrize("network", settings.NAMES)
def test_epochs_are_those_of_the_training_set(network: Any, profile: str) -> None:
    """Marks count epochs, so a wrong length would store the wrong weights."""
    sizes = {"digits": 1397, "mnist": 60_000, "cifar10": 50_000}
    setting = settings.setting(network, profile)
    images = setting.model.images or sizes.get(setting.model.data)
    images = images or len(load(setting.model.data, "train"))
    assert setting.epoch == images // setting.tuning.batch_size
    assert setting.kept and setting.kept[-1] * setting.epoch == setting.tuning.steps


def test_a_killed_fine_tuning_ends_bit_the_same(store: Store, tmp_path: Path) -> None:
    """Stored epochs and the draws of each step must not depend on where it was interrupted."""
    start = reference(MLP, SHORT, 0)
    call = fine_tune(start, Method("par-networks", beta=0.01), replace(SHORT, steps=138), 0, 1)
    (whole,) = done(store, call)
    other = Store(tmp_path / "other")

    class Stop(Exception):
        pass

    keep = networks._Snapshots.keep

    def stopped(self: Any, epoch: int, weights: Any) -> None:
        keep(self, epoch, weights)
        if epoch == 1:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks._Snapshots, "keep", stopped)
        with pytest.raises(Exception, match="Stop"):
            done(other, call)
    (again,) = done(other, call)
    assert set(again.tensors) == set(whole.tensors)
    assert all(torch.equal(value, again.tensors[name]) for name, value in whole.tensors.items())


TRAINED = reference(MLP, replace(SHORT, steps=300), 0)


def test_the_sides_of_a_network_are_its_own_distances(store: Store) -> None:
    """The reference determines the images that decide claim 9.

    For the reference itself these are its own correct and misclassified images, and the distance to
    the label is never 0.
    """
    seen, split = done(store, readings.read(TRAINED, 80), claims.sides(TRAINED, TRAINED, 80))
    right = seen.tensors["right"]
    assert split.values["images"] == int((~right).sum()) > 0
    assert split.values["correct"] == pytest.approx(
        seen.tensors["ratio"][right].mean().item(), rel=1e-5
    )
    assert split.values["wrong"] > 0


def test_the_gradient_of_the_regulariser_is_exact(store: Store) -> None:
    """This tests claim 10 and the measurement's own error, with central differences in float64."""
    (found,) = done(store, claims.exactness(TRAINED, 12))
    assert found.values["error"] < 1e-5


def test_noise_does_less_harm_than_deepfool(store: Store) -> None:
    """Both perturbations have the same norm for each image."""
    (found,) = done(store, claims.noise(TRAINED, 80))
    values = found.values
    assert values["under deepfool"] < values["accuracy"] <= values["clean"] + 5
    assert values["ratio"] > 1


def test_the_nearest_image_is_the_nearest_of_all(store: Store) -> None:
    """Images that are misclassified from the start are at distance 0 for every attack."""
    seen, near = done(store, readings.read(TRAINED, 40), today.nearest(TRAINED, 40, 30))
    sizes = {name.removeprefix("distance/"): size for name, size in near.tensors.items()}
    assert torch.equal(sizes["best"], torch.minimum(sizes["deepfool"], sizes["ddn"]))
    for size in sizes.values():
        assert torch.equal(size == 0, ~seen.tensors["right"])


def test_methods_are_compared_on_the_images_that_all_name_correctly(store: Store) -> None:
    """A median over all images would depend on how many are misclassified."""
    (near,) = done(store, today.nearest(TRAINED, 40, 30))
    sizes = near.tensors["distance/best"]
    shared = sizes > sizes.median()  # as if the others misclassified half of them
    for images, expected in ((shared, [sizes[shared].median().item()]), (shared & ~shared, [])):
        rows = [row for row in today._medians(near, 0, {}, images) if "shared" in row.name]
        best = [r.value for r in rows if r.setting.get("attack") == "best"]
        assert best == expected


def test_images_that_all_methods_name_correctly_are_counted_once_per_network(store: Store) -> None:
    """The page states how many images it compares; misclassified by one method excludes an
    image.
    """
    (near,) = done(store, today.nearest(TRAINED, 40, 30))
    sizes = near.tensors["distance/best"]
    half = {"distance/best": torch.where(sizes > sizes.median(), sizes, 0.0)}
    results = {
        ("mlp", "reference", 0, "nearest"): near,
        ("mlp", "deep-defense", 0, "nearest"): replace(near, tensors=half),
    }
    record = today.condense(today.Parameters(profile="quick", seeds=(0,)), results)
    (shared,) = (row for row in record.rows if row.name == "shared images")
    assert shared.value == (sizes > sizes.median()).sum()
    assert shared.setting == {"network": "mlp"}


def test_the_worst_case_is_no_better_than_any_attack(store: Store) -> None:
    """It is taken per image, so it may be lower than the accuracy under the strongest attack."""
    (found,) = done(store, today.bounded(TRAINED, (0.05, 0.2), 40, 20))
    rows = list(today._accuracies(found, 0, {}))
    by = {(row.setting["attack"], row.setting["eps"]): row.value for row in rows}
    for eps in (0.05, 0.2):
        assert all(by["worst", eps] <= by[attack, eps] for attack in today.ATTACKS)
    assert by["worst", 0.2] < by["worst", 0.05]


def test_presets_are_counted_on_the_same_images(store: Store) -> None:
    """The size that a program reports includes misclassified images; the distance does not."""
    ours, free = done(
        store, *(presets.compare(TRAINED, preset, 40) for preset in ("ours", "authors"))
    )
    assert ours.values["fooled"] == free.values["fooled"] == 100
    assert free.values["distance"] < ours.values["distance"]
    (seen,) = done(store, readings.read(TRAINED, 40))
    share = seen.values["accuracy"] / 100
    assert ours.values["shown"] == pytest.approx(share * ours.values["distance"])


def test_every_network_and_method_has_a_name() -> None:
    """One without a name would be missing from the pages' tables, or stop them."""
    for profile, own in settings.OWN.items():
        for network in own:
            here = settings.setting(network, profile)
            assert here.networks(0).keys() == names.METHODS.keys()
            assert names.coloured(network) == (here.model.data in sets.COLOURED)
    assert names.TITLES.keys() == settings.NAMES.keys()
