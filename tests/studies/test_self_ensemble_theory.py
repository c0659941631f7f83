"""Theory and black-box attack of Random Self-Ensemble: mathematics of the measures, rows."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook import catalogue
from robustbook.attacks.goal import Goal
from robustbook.attacks.losses import margin
from robustbook.attacks.propagation import Propagation
from robustbook.attacks.zoo import differences
from robustbook.defenses import noisy
from robustbook.ledger import read_targets
from robustbook.randomness import generator
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import check
from robustbook.studies.self_ensemble import settings, theory, zoo
from robustbook.studies.self_ensemble.networks import built, inside

ITEMS = {"theory": (theory, r"claim-(jensen|taylor)"), "zoo": (zoo, r"text-3\.3/")}


def untrained() -> Done:
    """A narrow network with its first weights, as if training had left it behind."""
    call = settings.setting("vgg16", "quick").network("rse", 0)
    given = call.arguments
    net = built(given["model"], given["defense"], given["noise"], 0)
    state = {f"state/{name}": value for name, value in inside(net).state_dict().items()}
    return Done(call, {}, state, 1.0, {})


def made(call: Call) -> Done:
    """Made up: a result of each kind of step, with loss gaps equal to the traces' prediction."""
    n = call.arguments["images"]
    ones, right = torch.ones(n, dtype=torch.float64), torch.arange(n) % 3 > 0
    values: dict[str, Any] = {}
    match call.function:
        case "averaged":
            mean = torch.linspace(0.5, 2, n).expand(len(theory.COUNTS), n)
            tensors = {"mean": mean, "together": mean - 0.1, "confidence": mean - 0.2}
            tensors["right"] = right
        case "steep":
            tensors = {"trace": torch.rand(n), "slope": torch.rand(n), "right": right}
        case "estimated":
            chance = torch.Generator().manual_seed(0)
            size = (n, len(zoo.STEPS), call.arguments["pairs"])
            h = torch.tensor(zoo.STEPS)[:, None]
            noise = torch.randn(*size, generator=chance) / (2**0.5 * h)
            values = {"pixels": 48}
            slope, error = 3 * torch.ones(n), 0.01 * torch.ones(n)
            tensors = {"slope": slope, "slope_error": error, "differences": 3 + noise}
            tensors["variance"] = torch.ones(n)
        case "black_box":
            values = {"queries": 100.0}
            tensors = {"right": right.expand(3, n), "distance": torch.ones(n)}
        case "unattacked":
            tensors = {"right": right.expand(3, n)}
        case _:
            scales = theory.SMALL if call.function == "smooth" else theory.SCALES
            gap = ones[:, None] * torch.tensor(scales) ** 2
            tensors = {"gap": gap, "trace": 2 * ones, "frobenius": 3 * ones, "slope": ones}
    return Done(call, values, tensors, 1.0, {})


def answers(calls: Mapping[Any, Call]) -> dict[Any, Done]:
    return {key: made(call) for key, call in calls.items()}


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("profile", ["quick", "reduced", "paper"])
def test_the_rows_answer_every_target_of_the_item_once(item: str, profile: str) -> None:
    """With two networks too, and in the target's unit."""
    study, own = ITEMS[item]
    targets = read_targets(catalogue.BOOK / "targets")
    p = check(study.Parameters, {"profile": profile, "networks": ["vgg16", "resnext"]})
    record = study.condense(p, answers(study.calls(p)))
    judged = [row.target for row in record.rows if row.target]
    wanted = {name for name in targets if re.match(f"self-ensemble/{own}", name)}
    assert sorted(judged) == sorted(list(wanted) * len(record.seeds))
    assert all(row.unit == targets[row.target].unit for row in record.rows if row.target)


def test_a_gap_of_half_the_trace_has_ratio_one() -> None:
    p = check(theory.Parameters, {"profile": "quick"})
    record = theory.condense(p, answers(theory.calls(p)))
    ratios = [row.value for row in record.rows if row.name == "gap over trace"]
    assert ratios == pytest.approx([1.0] * len(ratios))
    norms = [row.value for row in record.rows if row.name == "gap over norm"]
    assert norms == pytest.approx([2 / 3] * len(norms)) and len(norms) == len(ratios)
    errors = [row.value for row in record.rows if row.name.startswith("error over")]
    assert errors == pytest.approx([0.0] * 2 * len(ratios), abs=1e-12)  # all images are alike


def test_the_error_of_a_ratio_is_that_of_the_mean_gap_if_all_predictions_are_equal() -> None:
    """The mean of 1 and 3 is 2, and its standard error is 1."""
    assert theory._ratio(torch.tensor([1.0, 3.0]), torch.ones(2)) == pytest.approx((2.0, 1.0))
    gap = torch.tensor([1.0, 3.0])
    assert theory._ratio(gap, gap / 2) == pytest.approx(
        (2.0, 0.0)
    )  # each gap is twice its prediction


def test_a_single_draw_does_not_judge_jensens_bound() -> None:
    """Its first inequality is an equality, so the smallest difference would always be 0."""
    p = check(theory.Parameters, {"profile": "quick"})
    results = answers(theory.calls(p))
    for done in results.values():
        if "together" in done.tensors:
            done.tensors["together"] = done.tensors["together"].clone()
            done.tensors["together"][0] = done.tensors["mean"][0]
    record = theory.condense(p, results)
    (least,) = (row.value for row in record.rows if row.target == "self-ensemble/claim-jensen")
    assert least == pytest.approx(0.1)
    means = [row for row in record.rows if row.name == "mean claim-jensen"]
    assert [row.setting["draws"] for row in means] == list(theory.COUNTS[1:])


def test_the_loss_under_given_noise_is_the_networks_loss() -> None:
    """Two layers: the numbers of the image come first, those of the second convolution follow."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 2, 2), nn.Conv2d(2, 3, 2)
    net = noisy(nn.Sequential(first, nn.Tanh(), second, nn.Flatten()), init=0.5, inner=0.25)
    x, y = torch.rand(4, 1, 3, 3), torch.tensor([0, 1, 2, 1])
    assert theory.noise_count(net, x) == 9 + 8
    z = torch.randn(4, 17)
    image = x + 0.5 * z[:, :9].view_as(x)
    with torch.no_grad():
        inner = first(image).tanh()
        logits = second(inner + 0.25 * z[:, 9:].view_as(inner)).flatten(1)
        found = theory.loss_under(net, x, y)(z)
    torch.testing.assert_close(found, F.cross_entropy(logits, y, reduction="none"))
    assert net.when == "always"


def test_the_gap_of_a_quadratic_is_half_its_trace() -> None:
    """Exactly s^2/2 tr(H) in the mean; a linear term cancels in each draw."""
    h = torch.tensor([4.0, -1.0, 2.0], dtype=torch.float64)
    zero = torch.zeros(3000, 3, dtype=torch.float64)

    def loss(z: Tensor) -> Tensor:
        return 7 + 100 * z[:, 0] + (z.square() * h).sum(1) / 2

    found = theory.gap(loss, zero, 0.1, 2, generator(0, "gap"))
    expected, error = 0.1**2 / 2 * h.sum(), 0.1**2 * (h.square().sum() / 2 / 6000).sqrt()
    assert found.mean().item() == pytest.approx(expected.item(), abs=4 * error.item())


def test_jensen_holds_for_each_image_and_number_of_draws(tmp_path: Path) -> None:
    context = Context(tmp_path, "cpu", lambda done, total: None)
    found = theory.averaged.function(untrained(), 5, context=context)
    assert bool((found["mean"] - found["together"] > -1e-12).all())
    assert bool((found["together"] >= found["confidence"] - 1e-12).all())
    torch.testing.assert_close(found["mean"][0], found["together"][0])  # one draw: equal


def test_averaging_divides_the_variance() -> None:
    """Of means of n differences; too few pairs give no variance."""
    chance = torch.Generator().manual_seed(0)
    pairs = torch.randn(2, 3, 5000, generator=chance)
    found = zoo.grouped(pairs)
    for n, variance in found.items():
        assert (n * variance).mean().item() == pytest.approx(1, rel=0.25)
    assert list(zoo.grouped(pairs[:, :, :60])) == [1, 10]


def test_the_rows_of_made_differences_agree_with_the_theory() -> None:
    p = check(zoo.Parameters, {"profile": "reduced", "seeds": [0], "networks": ["vgg16"]})
    record = zoo.condense(p, answers(zoo.calls(p)))
    held = {row.target: row.holds for row in record.rows if row.target}
    assert set(held.values()) == {True}
    for row in record.rows:
        if row.name == "variance over prediction":
            assert row.value == pytest.approx(1, abs=0.5)
        if row.name == "draws along the gradient":
            assert row.value == pytest.approx(1 / (2 * float(row.setting["h"]) ** 2 * 9))


def test_the_margins_are_those_whose_difference_zoo_takes() -> None:
    """The same draws at the same two points give ZOO's own difference along a pixel."""
    net: Any = built(settings.setting("vgg16", "quick").model, settings.Defense(), None, 0).eval()
    net = noisy(net, init=0.3, inner=0.1).eval()
    chance = torch.Generator().manual_seed(0)
    image = torch.rand(3, 32, 32, generator=chance) * 0.5 + 0.25
    label, h, i = torch.tensor([3]), 0.1, 500
    goal = Goal(label, None, margin, torch.tensor([0]))
    whole = differences(Propagation(net, 9), goal, image[None], torch.tensor([[i]]), h, 7)
    e = torch.zeros(3 * 32 * 32)
    e[i] = h
    low, high = (
        zoo._margins(net, image + s * e.view_as(image), 3, 0, 1, d) for s, d in ((-1, 7), (1, 8))
    )
    assert whole.item() == pytest.approx(((high - low) / (2 * h)).item(), rel=1e-3)
