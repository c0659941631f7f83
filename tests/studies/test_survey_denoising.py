"""Feature denoising and the post: rows answer targets, networks are paired, and noise is measured
where the record says.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbook import catalogue
from robustbook.ledger import Record, read_targets
from robustbook.ledger.intervals import clearly_above
from robustbook.measures import feature_maps, feature_noise, strike
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.survey import attack, denoising, post
from robustbook.studies.survey import denoising_networks as shared
from robustbook.studies.survey.attack import test_images
from robustbook.studies.survey.networks import (
    PLAIN,
    Blocks,
    L2Steps,
    Model,
    built,
    train,
    trained,
)

attack.test_images.__test__ = False  # type: ignore[attr-defined]
PROFILES = ("quick", "reduced", "paper")
STUDIES = {"denoising": denoising, "post": post}


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    """Made up. The Gaussian is right on two more images of ten than the baseline, and the null
    block on one more; the noise grows by 1 per stage, by less after adversarial training, and each
    block halves it.
    """
    found = {}
    for key, call in calls.items():
        given = call.arguments
        n = given["images"]
        plus = {"baseline": 0, "null": 1, "nonlocal-gaussian": 2}.get(str(key[1]), 1)
        tensors: dict[str, Tensor] = {"right": torch.arange(n) % 10 < 4 + plus}
        if key[0] == "standard" and key[1] in shared.STANDARD and key[2] != "clean":
            tensors = {"right": torch.zeros(n, dtype=torch.bool)}
        if key[:2] == ("l2", "l2"):
            tensors = {"right": torch.arange(n) % 10 < 7}
        if call.function == "noise":
            scale = 0.5 if key[0] == "adversarial" else 1.0
            level = {"images": 0.1} | {s: scale * (1 + i) for i, s in enumerate(shared.STAGES)}
            level |= {f"{stage}.layers": 2 * value for stage, value in level.items()}
            tensors = {f"noise/{name}": torch.full((n,), value) for name, value in level.items()}
        if call.function == "changes":
            names = [f"{part}/{stage}" for part in ("block", "filter") for stage in given["stages"]]
            tensors = {name: torch.full((n,), 0.1) for name in names}
        if call.function == "maps":
            tensors = {"clean": torch.rand(n, 3, 4, 4), "attacked": torch.rand(n, 3, 4, 4)}
            for layer in given["layers"]:
                for name in ("clean", "attacked"):
                    tensors[f"{name}/{layer}"] = torch.rand(n, 2, 2)
            tensors |= {"label": torch.arange(n), "predicted": torch.arange(n)}
        found[key] = Done(call, {}, tensors, 1.0, {})
    return found


def condensed(item: str, profile: str, seeds: int = 1) -> Record:
    study = STUDIES[item]
    p = check(study.Parameters, {"profile": profile, "seeds": list(range(seeds))})
    record: Record = study.condense(p, answers(study.calls(p)))
    return record


@pytest.mark.parametrize("item", STUDIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_target_has_a_row(item: str, profile: str) -> None:
    """In its unit; a row with a misspelt id would be lost. The quick run has few networks."""
    targets = read_targets(catalogue.BOOK / "targets")
    record = condensed(item, profile)
    judged = {row.target for row in record.rows if row.target}
    own = {"denoising": "denoise-cifar", "post": "blog"}[item]
    wanted = {n for n, target in targets.items() if target.item == own and not target.context}
    assert judged <= wanted if (item, profile) == ("denoising", "quick") else judged == wanted
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)


def test_autoattack_decides_on_training_without_an_attack() -> None:
    """The claim names AutoAttack. It is run on the two networks trained on clean images alone."""
    p = check(denoising.Parameters, {"profile": "reduced", "seeds": [0]})
    found = answers(denoising.calls(p))
    auto = [key for key in found if "autoattack" in key]
    assert auto == [("standard", name, "autoattack", 0) for name in shared.STANDARD]
    found["standard", "nonlocal-gaussian", "autoattack", 0].tensors["right"][:2] = True
    record = denoising.condense(p, found)
    target = "survey/denoise-cifar/claim/standard-training-no-robustness"
    (claim,) = (row for row in record.rows if row.target == target)
    label = {"training": "standard", "variant": "nonlocal-gaussian", "attack": "autoattack"}
    (own,) = (row.value for row in record.rows if row.setting == label)
    assert claim.value == own == 2 and claim.holds is False


def test_differences_are_over_the_same_images() -> None:
    """The Gaussian is right wherever the baseline is, and on two of ten images more."""
    record = condensed("denoising", "reduced", seeds=2)
    found = {
        (row.name, row.setting["variant"], row.setting["against"]): float(row.value)
        for row in record.rows
        if row.name in ("difference", "half width")
    }
    assert found["difference", "nonlocal-gaussian", "baseline"] == pytest.approx(20)
    assert found["difference", "nonlocal-gaussian", "null"] == pytest.approx(10)
    assert found["difference", "baseline", "null"] == pytest.approx(-10)
    half = 196 * (0.2 * 0.8 / (shared.SETTINGS["reduced"].images - 1)) ** 0.5
    assert found["half width", "nonlocal-gaussian", "baseline"] == pytest.approx(half, rel=1e-3)


def test_claims_hold_where_the_made_up_numbers_say_so() -> None:
    """The worst stage decides on the noise; the claims of the post hold."""
    rows = {
        row.target: row for item in STUDIES for row in condensed(item, "reduced").rows if row.target
    }
    claim = "survey/denoise-cifar/claim"
    assert rows[f"{claim}/block-lowers-feature-noise"].holds
    assert rows[f"{claim}/block-lowers-feature-noise"].value == pytest.approx(0.5)
    assert rows[f"{claim}/standard-training-no-robustness"].holds
    assert rows[f"{claim}/gaussian-close-to-dot"].value == pytest.approx(10)
    assert not rows[f"{claim}/gaussian-close-to-dot"].holds
    grown = rows["survey/blog/figure-1/noise-grows-with-depth"]
    assert grown.holds and grown.value == pytest.approx(40)
    less = rows["survey/blog/figure-1/noise-smaller-after-adversarial-training"]
    assert less.holds and less.value == pytest.approx(0.5)
    assert rows["survey/blog/claim/unseen-attacks"].holds
    # The paper's claims are about ImageNet, so no run on CIFAR-10 can reproduce them.
    assert all("ImageNet" in row.differs for t, row in rows.items() if "/denoise-cifar/" in t)


def test_the_clean_accuracy_falls_only_by_more_than_its_error() -> None:
    """The adversarially trained network is wrong on one image of 400 more, and then on 40. The
    standard ResNet-18 is not compared with the simple ResNet of Madry's Table 5.
    """
    p = check(post.Parameters, {"profile": "reduced", "seeds": [0]})
    found = answers(post.calls(p))
    before, after = (found[t, "clean", 0].tensors["right"] for t in ("standard", "adversarial"))
    before[:] = True
    for wrong, holds in ((1, False), (40, True)):
        after[:] = torch.arange(len(after)) >= wrong
        record = post.condense(p, found)
        drop = next(r for r in record.rows if r.target == "survey/blog/claim/clean-drop")
        assert (drop.value, drop.images) == (100 - wrong / 4, 400)
        assert drop.holds is holds
    assert not any("madry" in row.target for row in record.rows if row.target)


def test_an_unseen_attack_decides_only_by_more_than_its_error() -> None:
    """Of 100 images, 37 and 42 % do not differ clearly, but 37 and 60 % do."""
    p = check(post.Parameters, {"profile": "reduced", "seeds": [0]})
    found = answers(post.calls(p))
    unseen, seen = (found[t, "l2", 0].tensors["right"] for t in ("adversarial", "l2"))
    unseen[:] = torch.arange(100) < 37
    for right, holds in ((42, False), (60, True), (10, False)):
        seen[:] = torch.arange(100) < right
        record = post.condense(p, found)
        claim = next(r for r in record.rows if r.target == "survey/blog/claim/unseen-attacks")
        assert (claim.value, claim.holds) == (37, holds)
        assert claim.holds is clearly_above(float(right), 37.0, 100)


def test_noise_that_falls_at_a_stage_does_not_grow_with_depth() -> None:
    p = check(post.Parameters, {"profile": "reduced", "seeds": [0]})
    found = answers(post.calls(p))
    found["standard", "attack", 0].tensors["noise/stage3"][:] = 0.5
    record = post.condense(p, found)
    (row,) = (r for r in record.rows if r.target and r.target.endswith("noise-grows-with-depth"))
    assert row.value == pytest.approx(40) and not row.holds


def test_all_variants_have_the_same_first_weights() -> None:
    """And the Gaussian's blocks those of its ablations, so that differences are paired."""
    plain = built(Model("scenes", "resnet18", 8), 3).state_dict()
    states = {}
    for name, blocks in {**shared.VARIANTS, **shared.ABLATIONS}.items():
        net = built(Model("scenes", "resnet18", 8, blocks=blocks), 3)
        states[name] = {k.replace(".layers", ""): v for k, v in net.state_dict().items()}
        assert all(torch.equal(states[name][k], v) for k, v in plain.items()), name
    weight = "stage2.denoising.filter.theta.weight"
    assert torch.equal(states["no-residual"][weight], states["nonlocal-gaussian"][weight])
    assert "stage2.denoising.conv.weight" not in states["no-1x1"]


def test_the_post_uses_networks_of_the_item_on_denoising() -> None:
    """Only the network that is trained in the l2 norm is its own."""
    p = check(post.Parameters, {"profile": "reduced", "seeds": [0]})
    nets = {call.key for call in shared.networks(shared.SETTINGS["reduced"], 0).values()}
    own = {call.arguments["network"].key for call in post.calls(p).values()} - nets
    assert own == {post.l2_network(shared.SETTINGS["reduced"], 0).key}


def test_a_model_without_blocks_has_the_key_of_before() -> None:
    """Networks of other items that are stored already are still found."""
    recipe = shared.SETTINGS["quick"].recipe
    call = train(Model("scenes", "resnet18", 8), PLAIN, recipe, 0)
    (field,) = (field for field in fields(Model) if field.name == "blocks")
    assert field.metadata["later"] and field.default is None
    blocked = train(Model("scenes", "resnet18", 8, blocks=Blocks("null")), PLAIN, recipe, 0)
    assert blocked.key != call.key


def untrained(blocks: Blocks | None) -> Done:
    """A network as `train` returns it after no step."""
    model = Model("scenes", "resnet18", 8, blocks=blocks)
    call = train(model, PLAIN, shared.SETTINGS["quick"].recipe, 0)
    state = {f"state/{k}": v for k, v in built(model, 0).state_dict().items()}
    return Done(call, {}, state, 1.0, {})


def test_noise_is_that_of_the_attack_on_the_network_itself(tmp_path: Path) -> None:
    """In pieces it is the same, and a new block changes nothing."""
    network = untrained(Blocks("mean", ("stage3", "stage4")))
    context = Context(tmp_path, "cpu", lambda done, total: None)
    how = shared.SETTINGS["quick"].pgd
    layers = ("stage4.layers", "stage4")
    found = shared.noise.function(network, layers, how, 4, 0, context=context)
    net = trained(network, "cpu")
    x, y = test_images(network, 4, "cpu")
    made = strike(how, net, x, y, generator=generator(0, "pgd")).images
    expected = feature_noise(net, x, made, layers)
    for name in ("images", *layers):
        torch.testing.assert_close(found[f"noise/{name}"], expected[name])
    assert torch.equal(found["noise/stage4"], found["noise/stage4.layers"])
    assert 0 < found["noise/images"].max() < 0.2


def test_the_change_by_a_block_and_by_its_filter(tmp_path: Path) -> None:
    """Relative to the block's input. A new block changes nothing. With scale 0, a block only adds
    its bias, without any effect of its filter. A null block has no filter.
    """
    context = Context(tmp_path, "cpu", lambda done, total: None)
    for kind in ("mean", "null"):
        network = untrained(Blocks(kind, ("stage3", "stage4")))
        network.tensors["state/stage4.denoising.norm.bias"][:] = 0.5
        found: Any = denoising.changes.function(network, ("stage3", "stage4"), 4, context=context)
        net, (x, _) = trained(network, "cpu"), test_images(network, 4, "cpu")
        before = feature_maps(net, x, ["stage4.layers"])["stage4.layers"]
        size = before.flatten(1).norm(dim=1)
        added = 0.5 * before[0].numel() ** 0.5
        torch.testing.assert_close(found["block/stage4"], added / size)
        assert not found["block/stage3"].any() and not found["filter/stage4"].any()

        network.tensors["state/stage4.denoising.norm.weight"][:] = 2.0
        found = denoising.changes.function(network, ("stage4",), 4, context=context)
        block: Any = trained(network, "cpu").get_submodule("stage4.denoising")
        scale = 2 / (block.norm.running_var + block.norm.eps).sqrt()
        moved = block.conv(block.filter(before) - before) * scale[:, None, None]
        torch.testing.assert_close(found["filter/stage4"], moved.flatten(1).norm(dim=1) / size)
        assert found["filter/stage4"].any() == (kind == "mean")


def test_the_map_is_that_of_the_channel_which_the_attack_changes_most(tmp_path: Path) -> None:
    """The same channel before and after a block."""
    network = untrained(Blocks("mean", ("stage3", "stage4")))
    context = Context(tmp_path, "cpu", lambda done, total: None)
    how = shared.SETTINGS["quick"].pgd
    layers = ("stage3.layers", "stage3")
    found: Any = post.maps.function(network, layers, how, 2, 0, context=context)
    assert found["clean/stage3"].shape == (2, 8, 8)
    assert torch.equal(found["attacked/stage3"], found["attacked/stage3.layers"])
    net = trained(network, "cpu")
    features: list[Tensor] = []
    net.get_submodule("stage3").register_forward_hook(lambda _, __, y: features.append(y))
    net(found["clean"]), net(found["attacked"])
    change = (features[1] - features[0]).flatten(2).norm(dim=2)
    own = (found["attacked/stage3"] - found["clean/stage3"]).flatten(1).norm(dim=1)
    torch.testing.assert_close(own, change.amax(1))


@pytest.mark.parametrize("given", [(0.0, 1, 0.1), (0.5, 0, 0.1), (0.5, 1, -1.0)])
def test_an_l2_attack_that_cannot_move_is_refused(given: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        L2Steps(*given)


def test_the_l2_attack_stays_in_its_ball_and_raises_the_loss() -> None:
    """Inside [0, 1] too; batch norm keeps its statistics."""
    net = built(Model("scenes", "resnet18", 8), 0).train()
    x = torch.rand(6, 3, 32, 32, generator=generator(1))
    y = torch.arange(6)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.manual_seed(0)
    made = L2Steps(0.5, 5, 0.2)(net, x, y)
    assert (made - x).flatten(1).norm(dim=1).max() <= 0.5 + 1e-5
    assert 0 <= made.min() and made.max() <= 1
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    net.eval()
    clean, moved = (torch.nn.functional.cross_entropy(net(z), y) for z in (x, made))
    assert moved > clean
