"""Other forms of the defenses of Random Self-Ensemble: what each trains on, and where it starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook import catalogue
from robustbook.ledger import read_targets
from robustbook.runs import Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.self_ensemble import controls, settings, table_2, today
from robustbook.studies.self_ensemble.networks import (
    MADRY,
    Defense,
    _taught,
    built,
    distil,
    inside,
    model_of,
    objective,
    retrain,
    step_times,
    trained,
)
from robustbook.training import Recipe

OWN = settings.setting("vgg16", "quick")
TINY = Recipe(2, 8, 1e-12, "sgd", channels_last=True)
UNUSED = torch.zeros(())


def context(folder: Path) -> Context:
    return Context(folder, "cpu", lambda done, total: None)


def untrained(defense: Any) -> Done:
    """A narrow network with its first weights, as if training had left it behind."""
    call = OWN.network(defense, 0)
    given = call.arguments
    net = built(given["model"], given["defense"], given["noise"], 0)
    state = {f"state/{name}": value for name, value in inside(net).state_dict().items()}
    return Done(call, {}, state, 1.0, {})


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


def test_retraining_starts_from_the_given_network(tmp_path: Path) -> None:
    """With a vanishing learning rate the weights stay those of the start, not the first ones."""
    start = untrained("none")
    moved = {k: v + 0.25 if v.is_floating_point() else v for k, v in start.tensors.items()}
    start = replace(start, tensors=moved)
    found = retrain.function(start, Defense("retraining"), TINY, 7, context=context(tmp_path))
    weights = [k for k in moved if k.endswith("weight") and moved[k].dim() > 1]
    assert weights
    for k in weights:
        torch.testing.assert_close(found[k], moved[k], atol=1e-6, rtol=0)


def test_a_retrained_network_is_loaded_with_its_own_weights() -> None:
    """Its architecture is that of the network from which training started."""
    start = OWN.network("adv paper", 0)
    net = untrained("none")
    done = Done(start, {}, net.tensors, 1.0, {})
    assert model_of(done) == OWN.model
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(trained(done, "cpu")(x), trained(net, "cpu")(x))


def test_the_students_loss_is_multiplied() -> None:
    net, x, soft = Linear(), torch.rand(5, 12), torch.rand(5, 10).softmax(1)
    one, tenth = (
        objective(Defense("distill", temperature=100.0, factor=f))(net, x, soft, UNUSED)
        for f in (1.0, 0.1)
    )
    usual = F.cross_entropy(net(x) / 100, soft)
    torch.testing.assert_close(one["cross_entropy"], usual)
    torch.testing.assert_close(tenth["cross_entropy"], 0.1 * usual)


def test_released_distillation_has_its_temperature_and_factor() -> None:
    released, usual, paper = (
        OWN.network(name, 0) for name in ("distill released", "distill 100", "distill")
    )
    assert released.arguments["teacher"] == usual.arguments["teacher"]
    assert released.arguments["teacher"] == OWN.network("distill teacher 100", 0)
    assert (released.arguments["factor"], usual.arguments["factor"]) == (0.1, 1.0)
    crops, plain = OWN.network("distill crops", 0), paper
    assert crops.arguments["teacher"] == plain.arguments["teacher"]
    assert [c.arguments["augmented"] for c in (crops, released, plain)] == [True, True, False]
    assert crops.arguments["recipe"] == OWN.recipe
    assert plain.arguments["recipe"] == replace(OWN.recipe, augmentation=None)
    heat = [c.arguments["teacher"].arguments["defense"].temperature for c in (released, paper)]
    assert heat == [100.0, 40.0]


def test_a_student_can_learn_from_augmented_images() -> None:
    """Its targets are then the teacher's probabilities on the images of the batch."""
    net, teacher, x = Linear(), Linear(), torch.rand(5, 12)
    with torch.no_grad():
        teacher.layer.weight.mul_(3.0)
    goal = objective(Defense("distill", temperature=40.0))
    found = _taught(goal, teacher, 40.0, net, x, torch.zeros(5, dtype=torch.long), UNUSED)
    soft = (teacher(x) / 40).softmax(1).detach()
    torch.testing.assert_close(found["cross_entropy"], F.cross_entropy(net(x) / 40, soft))


def test_distillation_trains_on_both_kinds_of_images(tmp_path: Path) -> None:
    """With the same start, the two students differ; neither changes the teacher."""
    teacher = untrained("distill teacher 100")
    before = {k: v.clone() for k, v in teacher.tensors.items()}
    recipe = replace(OWN.recipe, steps=2)
    plain = replace(recipe, augmentation=None)
    ends = [
        distil.function(teacher, own, 0, 0.1, augmented, context=context(tmp_path / str(augmented)))
        for own, augmented in ((plain, False), (recipe, True))
    ]
    name = next(k for k in ends[0] if k.endswith("weight"))
    assert not torch.equal(ends[0][name], ends[1][name])
    assert all(torch.equal(v, teacher.tensors[k]) for k, v in before.items())


def test_pgd_training_uses_images_within_its_radius() -> None:
    """Its loss is the cross entropy of the images that its inner attack returns."""
    net, x = Linear(), torch.rand(6, 12)
    y = torch.arange(6)
    torch.manual_seed(0)
    found = objective(Defense("pgd"))(net, x, y, UNUSED)
    torch.manual_seed(0)
    moved = MADRY(net, x, y)
    assert 0 < float((moved - x).abs().max()) <= 8 / 256 + 1e-6
    (loss,) = found.values()
    torch.testing.assert_close(loss, F.cross_entropy(net(moved), y))
    assert bool(loss > F.cross_entropy(net(x), y))


def test_the_prototype_has_noise_only_in_training() -> None:
    given = OWN.network("prototype", 0).arguments
    net = built(given["model"], given["defense"], given["noise"], 0)
    plain = built(given["model"], Defense(), None, 0).eval()
    x = torch.rand(2, 3, 32, 32)
    net.eval()
    assert torch.equal(net(x), plain(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_times_have_a_row_per_round_and_a_column_per_defense(tmp_path: Path) -> None:
    kinds = tuple(controls.timed(OWN).values())
    found = step_times.function(OWN.model, kinds, OWN.recipe, 1, 2, context=context(tmp_path))
    seconds = found["seconds"]
    assert seconds.shape == (2, len(kinds)) and bool((seconds > 0).all())
    rounds = {("vgg16", "all", 0, "times", 0): Done(None, {}, {"seconds": seconds}, 1.0, {})}
    p = check(controls.Parameters, {"profile": "quick", "seeds": [0]})
    (_, _, judged) = controls.condense(p, rounds).rows
    target = read_targets(catalogue.BOOK / "targets")[judged.target]
    assert (judged.unit, target.unit) == ("ratio", "ratio")
    expected = (seconds[:, 2] / seconds[:, 1]).double().median().item()
    assert judged.value == pytest.approx(expected)


def test_networks_of_table_2_and_of_today_are_not_attacked_twice() -> None:
    """The same calls have the same stored results."""
    given = {"profile": "reduced", "seeds": [0]}
    mine = controls.calls(check(controls.Parameters, given))
    table = table_2.calls(check(table_2.Parameters, given))
    shared = {key for key in table if key[1] in controls.CONTROLS}
    assert shared and all(mine[key] == table[key] for key in shared)
    struck = today.calls(check(today.Parameters, {**given, "networks": ["vgg16"]})).values()
    for defense in ("none", "rse"):
        for attack in ("pgd-linf", "pgd-l2"):
            assert mine["vgg16", defense, 0, attack, 0] in struck


def test_more_images_add_jobs_and_change_none() -> None:
    few, many = (
        controls.calls(check(controls.Parameters, {"profile": "paper", "seeds": [0], "images": n}))
        for n in (400, 800)
    )
    assert few.items() < many.items()
    with pytest.raises(BadParameter, match="images must be a number of test images, 1 to 1600"):
        check(controls.Parameters, {"profile": "paper", "images": 0})
