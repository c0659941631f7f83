"""Figure 6 and Section 8: its curves and the rows of the ledger."""

from pathlib import Path
from typing import Any

import pytest
import torch

from robustbook import catalogue, ledger
from robustbook.ledger.build import entries
from robustbook.measures import expected_ratio
from robustbook.runs import Call, Done
from robustbook.studies.saturating import figure_6
from robustbook.studies.saturating.networks import Training, fresh, train
from robustbook.studies.saturating.settings import mlps
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")


def done(call: Call) -> Done:
    """Return the closed forms for the curve, and ratios of own weights.

    The ratios are 1 for vanilla, and 2, 1 and 0.5 for the others, whose cosine is 0.2.
    """
    tensors: dict[str, torch.Tensor]
    if call.step.endswith(":pearson"):
        tensors = {
            name: torch.tensor([[expected_ratio(k, name)] * 2 for k in figure_6.KURTOSES])
            for name in figure_6.INTENSITIES
        }
    else:
        saturated = call.arguments["network"].arguments["training"].method == "saturated"
        ratios = torch.tensor([2.0, 1.0, 0.5]) if saturated else torch.ones(3)
        tensors = {name: ratios[:, None].expand(3, 2) for name in ("mean", "median")}
        tensors["cosine"] = torch.full((3, 2), 0.2 if saturated else 0.0)
    return Done(call, {}, tensors, 1.0, {})


def condensed(**given: Any) -> ledger.Record:
    p = figure_6.Parameters(**given)
    return figure_6.condense(p, {key: done(call) for key, call in figure_6.calls(p).items()})


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_of_both_items_is_answered_in_its_unit(profile: str) -> None:
    record = condensed(profile=profile)
    wanted = {
        t.id: t
        for t in TARGETS.values()
        if f"{t.paper}/{t.item}" in catalogue.judged("saturating/figure-6")
    }
    answered = {row.target: row.unit for row in record.rows if row.target is not None}
    assert answered == {name: t.unit for name, t in wanted.items() if not t.context}
    if profile == "paper":
        judged = entries(TARGETS, [record], {}, chosen=wanted.values())
        failed = {e.id for e in judged if e.verdict not in ("reproduced", "no printed number")}
        start = "saturating/text-8"  # even in the limit of many components
        # The made-up weights of one layer have a gain of -50 %.
        assert failed == {f"{start}/pearson/gain", f"{start}/own-weights/gain"}


def test_the_gain_is_the_largest_over_layers_and_shapes() -> None:
    """It is the gain of saturated over vanilla in percent, with the mean scaling."""
    record = condensed(profile="quick", seeds=(2,))
    gains = {
        (row.setting["network"], row.setting["layer"]): row.value
        for row in record.rows
        if row.name == "gain" and row.setting["intensity"] == "mean"
    }
    assert gains == pytest.approx(
        {(n, i): g for n in ("sigmoid-mlp", "relu-mlp") for i, g in ((1, 100), (2, 0), (3, -50))}
    )
    (largest,), (smallest,) = (
        [r.value for r in record.rows if r.target == f"saturating/text-8/own-weights/{name}"]
        for name in ("gain", "every-layer")
    )
    assert (largest, smallest) == (pytest.approx(100), pytest.approx(100 * (0.5 * 0.8 - 1)))


def test_the_top_of_the_figure_is_the_largest_ratio_that_it_shows() -> None:
    """A ratio at a larger kurtosis does not count, and no verdict compares it with the caption."""
    for ends, top in ((figure_6.SHOWN, 1.36), (figure_6.LIMIT, 1.2)):
        curve = [1.36 if kurtosis >= ends else 1.2 for kurtosis in figure_6.KURTOSES]
        rows = figure_6._of_the_curve({"mean": curve, "median": curve}, seed=0)
        (row,) = (r for r in rows if str(r.target).endswith("y-example"))
        assert (row.value, row.holds) == (top, None)


def test_the_pattern_of_the_curve() -> None:
    """It rises from each kurtosis to the next; a single point that is too low or too high, or
    equal to the one before, is detected.
    """
    curve = {k: expected_ratio(k) for k in figure_6.KURTOSES}
    assert figure_6.rising(curve)
    assert not figure_6.rising({**curve, 10.0: 1.2})
    assert not figure_6.rising({**curve, 10.0: 1.35})
    assert not figure_6.rising({**curve, 10.0: curve[7.0]})


def test_draws_are_those_of_the_seed_and_come_near_the_closed_form() -> None:
    first, again, other = (
        figure_6.pearson.function((0.0, 1.0), 2000, 10, seed) for seed in (0, 0, 1)
    )
    for name in figure_6.INTENSITIES:
        a, b, c = (found[name] for found in (first, again, other))
        assert isinstance(a, torch.Tensor) and a.shape == (2, 10)
        assert torch.equal(a, b) and not torch.equal(a, c)  # type: ignore[arg-type]
        closed = [expected_ratio(k, name) for k in (0.0, 1.0)]
        assert a.mean(1).tolist() == pytest.approx(closed, abs=0.03)


def test_own_weights_are_drawn_layer_by_layer_without_biases() -> None:
    """A layer whose weights differ only in sign has the smallest ratio, 1.

    Biases, or another order of the layers in a file, would change it.
    """
    training = Training("digits", "relu-mlp", 16, "xavier", "vanilla", Recipe(1, 1, 0.1))
    tensors: dict[str, torch.Tensor] = {}
    for name, values in reversed(list(fresh(training, 0).named_parameters())):
        sign, layer = values.detach().sign(), int(name.split(".")[1])
        sizes = torch.ones_like(sign)
        if layer == 1:  # half of the weights are small, the others ten times as large
            sizes.flatten()[::2] = 0.1
        tensors[f"weight/{name}"] = torch.full_like(sign, 1e6) if "bias" in name else sign * sizes
    network = Done(train(training, 0), {}, tensors, 1.0, {})
    found: Any = figure_6.own_weights.function(network, 20_000, 4)
    assert found["mean"].shape == (3, 4)
    assert found["mean"][0].tolist() == pytest.approx([1] * 4, abs=0.03)
    assert (found["mean"][1] > 1.1).all()
    assert found["mean"][2].tolist() == pytest.approx([1] * 4, abs=0.03)
    assert found["cosine"][0].max() < 0.03


def test_the_networks_are_those_of_table_1() -> None:
    calls = figure_6.calls(figure_6.Parameters(profile="paper", seeds=(1,)))
    nets = {call.arguments["network"] for key, call in calls.items() if key[0] != "pearson"}
    assert nets == {train(training, 1) for training in mlps("paper").values()}
