"""The student replication on small networks and known numbers, and its constant regulariser."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook import catalogue
from robustbook.attacks import deepfool
from robustbook.ledger import read_targets
from robustbook.measures import accuracy_along, gradient_signs
from robustbook.randomness import generator
from robustbook.runs import Call, Done, Store, run
from robustbook.studies.deep_defense import fashion, replication
from robustbook.studies.deep_defense.fashion import SIX_STEPS, Tuning, fine_tune, read, vanilla

START = vanilla("digits", 3, 1, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def done(store: Store, *calls: Call) -> list[Done]:
    return run(list(calls), store=store, workers=0, progress=False)


def after(result: Done, epoch: int) -> list[Tensor]:
    found = {k: v for k, v in result.tensors.items() if k.startswith(f"epoch/{epoch}/")}
    assert found
    return [found[name] for name in sorted(found)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


def test_first_weights_are_of_a_cut_normal() -> None:
    """This includes biases. Truncation at two standard deviations leaves 0.8796 of the
    deviation.
    """
    net = fashion.body(generator(3))
    assert [p.shape for p in net.parameters()] == [(100, 784), (100,), (10, 100), (10,)]
    left = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
    for values in net.parameters():
        assert values.abs().max() <= 0.02 and values.std() > 0
    weights = net.layers[0].weight.detach()
    assert weights.std().item() == pytest.approx(0.01 * left, rel=0.02)  # 8 standard errors
    assert same(list(net.parameters()), list(fashion.body(generator(3)).parameters()))


def test_its_deepfool_on_a_linear_model_is_one_formula() -> None:
    """The step is the distance to the nearest boundary plus 1e-4, times 1.02.

    It is not clipped. Misclassified images move too, away from the network's answer.
    """
    net = nn.Linear(6, 4)
    draws = generator(1)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(generator=draws)
    x = torch.rand(20, 6, generator=draws)
    made = fashion.fooled(net, x, torch.zeros(20, dtype=torch.int64))
    for image, found in zip(x, made, strict=True):
        f = net(image).detach()
        own = int(f.argmax())
        ways = []
        for k in range(4):
            if k != own:
                w = (net.weight[k] - net.weight[own]).detach()
                size = w.norm()
                length = (f[own] - f[k]) / size
                ways.append((length.item(), 1.02 * (length + 1e-4) * w / size))
        torch.testing.assert_close(found - image, min(ways, key=lambda way: way[0])[1])
    assert bool((net(made).argmax(1) != net(x).argmax(1)).all())
    assert bool(((made < 0) | (made > 1)).any())


def test_its_deepfool_takes_six_steps_at_most() -> None:
    """On a wave, linear steps never reach the boundary."""

    def waves(x: Tensor) -> Tensor:
        f = 1.01 + torch.sin(40 * x).sum(1)
        return torch.stack((f, torch.zeros_like(f)), 1)

    x = torch.full((1, 1), 0.3)
    found = deepfool(waves, x, torch.tensor([0]), preset=SIX_STEPS)
    assert found.steps.item() == 6 and not found.found.item()


def test_the_constant_is_its_formula_and_has_no_gradient() -> None:
    net = fashion.body(generator(0))
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(30)
    images = torch.rand(9, 1, 28, 28, generator=generator(1))
    moved = 0.1 * torch.rand(9, 1, 28, 28, generator=generator(2))
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[:4] = (labels[:4] + 1) % 10
    tuning = Tuning("deepfool", 9, 1, "constant", lam=3.0, c=7.0, d=2.0)
    pairs = torch.cat((images, moved), 1)
    terms = fashion.objective(tuning)(net, pairs, labels, torch.tensor(0.0))
    rho = [m.norm().item() / x.norm().item() for m, x in zip(moved, images, strict=True)]
    wrong = sum(1 + math.exp(2 * r) for r in rho[:4])
    right = sum(math.exp(-7 * r) + 1 for r in rho[4:])
    assert terms["regulariser"].item() == pytest.approx(3 * (wrong + right), rel=1e-5)
    assert not terms["regulariser"].requires_grad
    summed = F.cross_entropy(net(images), labels, reduction="sum")
    torch.testing.assert_close(terms["cross_entropy"], summed)


def test_training_with_the_constant_is_training_without(store: Store) -> None:
    """The weights are equal bit by bit, because the constant has no gradient.

    Adam is almost independent of the scale of the loss, so a sum gives nearly the same as a mean.
    """
    constant, without, mean = done(
        store,
        *(
            fine_tune(START, 3, Tuning("deepfool", 100, 1, loss, shuffle=False), 1, 0)
            for loss in ("constant", "sum", "mean")
        ),
    )
    assert same(after(constant, 1), after(without, 1))
    for one, other in zip(after(without, 1), after(mean, 1), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)  # the size of two steps of Adam


def test_the_genuine_regulariser_moves_the_boundary(store: Store) -> None:
    """With the gradient, rho_2 is larger than after the same 78 steps without it."""
    tunings = [Tuning("clean", 100, 6), Tuning("clean", 100, 6, "deep-defense")]
    plain, genuine = done(store, *(read(fine_tune(START, 3, t, 6, 0), (6,)) for t in tunings))
    assert genuine.values["rho"][-1] > 1.05 * plain.values["rho"][-1]


def test_vanilla_goes_on_with_the_same_optimiser(store: Store) -> None:
    """An epoch that is stored on the way equals the end of a shorter run."""
    long, short = done(store, START, vanilla("digits", 2, 1, 0))
    assert same(after(long, 2), after(short, 2))
    assert not same(after(long, 2), after(long, 3))
    assert long.values["steps"] == 1397 // 64
    every = done(store, vanilla("digits", 2, 2, 0))[0]
    assert not any(name.startswith("epoch/1/") for name in every.tensors)


def test_a_reading_is_its_definitions(store: Store) -> None:
    """At eps 0 the curve is the accuracy; the printed sizes are shares of the printed eps_ref."""
    start, seen = done(store, START, read(START, (2, 3)))
    net, (x, y) = fashion.trained(start, 3, "cpu"), fashion.pixels("digits", "test")
    assert 0 <= x.min() and x.max() <= 1 and seen.values["images"] == len(x) == 400
    right = 100 * (net(x).argmax(1) == y).double().mean().item()
    made = deepfool(net, x, y, preset=SIX_STEPS)
    rho = (made.distance / x.flatten(1).norm(dim=1)).mean().item()
    assert seen.values["accuracy"][-1] == pytest.approx(right)
    assert seen.values["along"][0] == pytest.approx(right)
    assert seen.values["rho"][-1] == pytest.approx(rho, rel=1e-4)
    assert seen.values["rho"][0] != seen.values["rho"][1]
    signs = gradient_signs(net, x, y)
    at = [accuracy_along(net, x, y, signs, eps) for eps in (0.0056, 0.014, 0.028)]
    assert seen.values["printed"] == pytest.approx(at)
    assert seen.values["along"][14] == pytest.approx(at[1])
    (own,) = done(store, fashion.under_fgs(START, 3, read(START, (2, 3))))
    assert own.values["own"][-1] == seen.values["along"][round(1000 * fashion.eps_ref(seen))]


def test_eps_ref_is_the_first_of_the_nearest() -> None:
    along = [90.0] * 20 + [51.0, 49.0] + [10.0] * 28
    assert fashion.eps_ref(Done(START, {"along": along}, {}, 1.0, {})) == 0.020


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_answered_target_exists_and_all_of_them_are_answered(profile: Any) -> None:
    """The results are made up. With a misspelt id, a target would always be `not run`."""
    fgs = [80.0, 60.0, 40.0]
    read = {"accuracy": [88.0], "rho": [0.05], "unfooled": 0.0, "printed": fgs, "images": 100}
    read["along"] = [50.0] * 50
    made: dict[str, dict[str, Any]] = {"network": {"steps": 5}, "read": read, "fgs": {"own": fgs}}
    tensors = {"network": {"epoch/1/layers.0.weight": torch.ones(2)}}
    parameters = replication.Parameters(profile=profile)
    results = {
        key: Done(call, made[key[-1]], tensors.get(key[-1], {}), 1.0, {})
        for key, call in replication.calls(parameters).items()
    }
    record = replication.condense(parameters, results)
    answered = [row.target for row in record.rows if row.target]
    asked = {
        id_
        for id_, target in read_targets(catalogue.BOOK / "targets").items()
        if target.item == replication.ITEM
    }
    assert set(answered) == asked and len(asked) == 15
    assert len(answered) == 15 * len(record.seeds)
    assert catalogue.judged(f"deep_defense/{replication.ITEM}") == (
        f"deep_defense/{replication.ITEM}",
    )


@pytest.mark.parametrize("setting", replication.SETTINGS.values(), ids=replication.SETTINGS)
def test_every_epoch_that_is_read_is_kept(setting: replication.Setting) -> None:
    """A missing epoch would stop a run at its end."""
    for network, epochs in setting.networks(0).values():
        given = network.arguments
        last = given["epochs"] if "epochs" in given else given["tuning"].epochs
        assert all(e % setting.marks == 0 and 0 < e <= last for e in epochs)
    assert setting.first % setting.marks == 0
