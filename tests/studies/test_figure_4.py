"""Figure 4: the end points of a path, the measurements along it, and the rows of the ledger."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook import ledger
from robustbook.data import as_float, load
from robustbook.ledger.build import entries
from robustbook.measures import walk
from robustbook.networks import build
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.saturating import figure_4, figure_4_relu
from robustbook.studies.saturating.networks import Training, train
from robustbook.studies.saturating.settings import mlps
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")


def bump(t: Tensor, at: float, width: float) -> Tensor:
    return torch.exp(-(((t - at) / width) ** 2))


def done(call: Call) -> Done:
    """Return a path made by hand.

    The saturated one has a narrow peak and one large singular value, the vanilla one a broad peak
    and three. At the peak one value of the saturated network grows, and three of the vanilla one.
    The resolved path has its peak elsewhere, and one more large value there.
    """
    saturated = call.arguments["network"].arguments["training"].method == "saturated"
    tensors = {}
    for i, _ in enumerate(call.arguments["pairs"]):
        for grid, at in (("even", 0.5), ("resolved", 0.7)):
            t = torch.linspace(0, 1, call.arguments["points"]).double()
            length = 100 * bump(t, at, 0.01 if saturated else 0.2)
            large = (1 if saturated else 3) + (grid == "resolved")
            values = torch.tensor([10.0] * large + [2.0] + [0.5] * (9 - large))
            grows = torch.arange(10) < large
            curves = torch.where(grows, 0.25 + bump(t, at, 0.1)[:, None], 1.25)
            found = {
                "t": t,
                "gaps": torch.full((len(t) - 1,), torch.pi / (len(t) - 1)),
                "length": length,
                "change": bump(t, at + 0.02, 0.1),
                "probabilities": torch.full((len(t), 10), 0.1),
                "singular_values": values * curves,
            }
            tensors |= {f"{i}/{grid}/{k}": v for k, v in found.items()}
    return Done(call, {"rows": [], "confidence": []}, tensors, 1.0, {})


def condensed(study: ModuleType = figure_4, **given: Any) -> ledger.Record:
    p = study.Parameters(**given)
    record: ledger.Record = study.condense(
        p, {key: done(call) for key, call in study.calls(p).items()}
    )
    return record


@pytest.mark.parametrize("study", [figure_4, figure_4_relu])
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_target_is_answered_in_its_unit(profile: str, study: ModuleType) -> None:
    """A target without a row would always be `not run`.

    A path as the paper describes it must be judged as reproduced.
    """
    record = condensed(study, profile=profile)
    relu = study is figure_4_relu
    wanted = {
        t.id: t
        for t in TARGETS.values()
        if (t.paper, t.item) == ("saturating", "figure-4") and ("/relu/" in t.id) == relu
    }
    answered = {row.target: row.unit for row in record.rows if row.target is not None}
    assert answered == {name: t.unit for name, t in wanted.items()}
    found = {e.id: e.verdict for e in entries(TARGETS, [record], {}, chosen=wanted.values())}
    shown = {name for name, verdict in found.items() if verdict == "no printed number"}
    assert shown == {name for name in wanted if "grown-" in name or "length-follows" in name}
    judged = {verdict for name, verdict in found.items() if name not in shown}
    assert judged == ({"reproduced"} if profile == "paper" else {"other setting"})


def test_grown_singular_values_are_averaged_over_the_papers_paths() -> None:
    """Taken literally, values that inflate are values that grow; other paths have no average."""
    rows = condensed(profile="quick").rows
    for method, grown in (("saturated", 1), ("vanilla", 3)):
        target = f"saturating/figure-4/grown-singular-values-{method}"
        assert [row.value for row in rows if row.target == target] == [grown]
    # With fewer paths each path still has its verdicts, but there is no average.
    fewer = condensed(profile="quick", pairs=[[1, 7]]).rows
    found = {row.target for row in fewer if row.target is not None}
    assert found and not any("grown" in target for target in found)


def test_the_book_has_the_average_of_its_own_rows() -> None:
    """The rows of the averages were added to the record after the run."""
    book = Path(__file__).parents[2] / "book" / "records"
    record = ledger.read_record(ledger.record_path(book, "saturating", "figure-4", "paper"))
    for row in record.rows:
        if "grown" in (row.target or ""):
            method = str(row.target).rsplit("-", 1)[1]
            own = [
                other.value
                for other in record.rows
                if (other.name, other.seed) == ("inflated singular values", row.seed)
                and other.setting["grid"] == "even"
                and other.setting["method"] == method
            ]
            assert len(own) == 4 and row.value == sum(own) / 4


def test_the_relu_networks_are_averaged_over_the_papers_paths() -> None:
    """With other paths there is no average to compare, but each path is still measured."""
    rows = {row.target: row.value for row in condensed(figure_4_relu, profile="quick").rows}
    each = {row.target: row.value for row in condensed(profile="quick").rows}
    for what in ("flat-share-saturated", "flat-share-vanilla", "singular-values-vanilla"):
        pairs = [each[f"saturating/figure-4/s{a}-t{b}/{what}"] for a, b in figure_4.PAIRS]
        assert rows[f"saturating/figure-4/relu/{what}"] == pytest.approx(sum(pairs) / 4)
    other = condensed(figure_4_relu, profile="quick", pairs=[[4, 9]])
    assert {row.target for row in other.rows} == {None}
    assert "peak" in {row.name for row in other.rows}


def test_the_readings_of_a_walk() -> None:
    """Counts are taken at the peak; verdicts use the even grid, and the other grid is reported
    too.
    """
    record = condensed(profile="quick", points=1001)
    of = {"start": 3, "end": 7}

    def value(name: str, **setting: Any) -> float:
        (found,) = [
            row.value
            for row in record.rows
            if row.name == name
            and row.target is None
            and all(row.setting.get(k) == v for k, v in {**of, **setting}.items())
        ]
        return found

    even = {"grid": "even", "method": "saturated"}
    assert value("large singular values", threshold=0.5, **even) == 1
    assert value("large singular values", threshold=0.1, **even) == 2
    assert value("inflated singular values", **even) == 1
    assert value("inflated singular values", grid="even", method="vanilla") == 3
    assert value("large singular values", threshold=0.5, grid="even", method="vanilla") == 3
    for threshold in figure_4.FLAT:  # further out than sqrt(log 1/threshold) widths
        width = 2 * 0.01 * torch.tensor(1 / threshold).log().sqrt().item()
        share = value("flat share", threshold=threshold, **even)
        assert share == pytest.approx(1 - width, abs=2e-3)
    assert value("apart", **even) == pytest.approx(0.02, abs=1e-6)
    assert value("crossings", **even) == pytest.approx(1)
    assert value("peak", **even) == pytest.approx(100)
    (row,) = [
        r for r in record.rows if (r.target or "").endswith("s3-t7/length-follows-transition")
    ]
    assert row.holds is None and row.value == pytest.approx(0.02, abs=1e-6)


def test_the_peak_of_the_length_element_agrees_with_the_change_by_construction() -> None:
    """Both are norms of dp/dt and differ by a bounded factor, so the row has no verdict.

    With p the probabilities, Cauchy-Schwarz gives twice the change at most the length element.
    """
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(784, 16), nn.Sigmoid(), nn.Linear(16, 10)
    net = nn.Sequential(*layers).double()
    found = walk(net, *torch.rand(2, 1, 28, 28).double(), torch.linspace(0, 1, 50).double())
    assert (2 * found.change <= found.length + 1e-12).all()
    assert (found.change > 0).all()


def test_no_peak_is_lost_from_the_figure() -> None:
    """Of 4000 points 400 are drawn, including the highest; a record stays small."""
    record = condensed(profile="quick", points=4000)
    lengths = record.arrays["saturated/length"]
    assert [len(curve) for curve in lengths] == [400] * 4
    assert max(lengths[0]) == pytest.approx(100, rel=1e-3)
    assert torch.tensor(record.arrays["vanilla/singular"]).shape == (4, 10, 400)
    assert torch.tensor(record.arrays["vanilla/probabilities"]).shape == (4, 10, 400)


def test_other_pairs_answer_no_target_and_bad_ones_are_refused() -> None:
    record = condensed(profile="quick", pairs=((2, 5),), points=50)
    assert record.rows and all(row.target is None for row in record.rows)
    assert check(figure_4.Parameters, {"pairs": [[2, 5]]}).pairs == ((2, 5),)
    for wrong in ([[3, 3]], [[1, 7], [1, 7]], [[1, 10]], [], [[1, 2, 3]]):
        with pytest.raises(BadParameter, match="pairs must be distinct"):
            check(figure_4.Parameters, {"pairs": wrong})
    with pytest.raises(BadParameter, match="points must be a number of points .*, got 1"):
        check(figure_4.Parameters, {"points": 1})


def test_the_networks_are_those_of_table_1() -> None:
    """So no network is trained for this figure."""
    calls = figure_4.calls(figure_4.Parameters(profile="paper"))
    assert len(calls) == 10
    for (method, seed), call in calls.items():
        assert call.arguments["network"] == train(mlps("paper")["sigmoid-mlp", method], seed)
        assert call.arguments["images"] == 10_000


class Table(nn.Module):
    """A model with given logits: image i holds the number i."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[images.flatten(1)[:, 0].long()]


def test_the_most_confident_image_is_correct_and_ties_go_to_the_larger_lead() -> None:
    """A misclassified image is never a source; two images whose probability rounds to 1 are
    ordered.
    """
    logits = torch.tensor(
        [[9.0, 0, 0], [99, 0, 0], [200, 100, 0], [0, 5, 90], [-9, 3, 2], [0, 1.5, 0], [0, 9, 9]],
        dtype=torch.float64,
    )
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    images = torch.arange(7, dtype=torch.float64).reshape(7, 1, 1, 1)
    rows, confidence = figure_4.most_confident(Table(logits), images, labels)
    # Leads of 99 and 100 both give probability 1; class 2 has no image.
    assert rows.tolist() == [2, 4, -1]
    p = logits[4].softmax(0)[1].item()
    assert confidence.tolist() == pytest.approx([1.0, p, 0.0])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Context]:
    training = Training("digits", "sigmoid-mlp", 16, "xavier", "vanilla", Recipe(150, 20, 0.02))
    context = Context(tmp_path_factory.mktemp("scratch"), "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, Tensor)}
    return Done(train(training, 3), {}, tensors, 1.0, {}), context


def test_a_path_runs_from_class_to_class(small: tuple[Done, Context]) -> None:
    """It runs in float64 between correctly classified images and starts in the source's class."""
    network, context = small
    found: Any = figure_4.geometry.function(network, ((0, 6),), 30, 100, context=context)
    p = found["0/even/probabilities"]
    assert p.dtype == torch.float64 and p.shape == (30, 10)
    assert p[0].argmax() == 0 and p[-1].argmax() == 6
    assert found["confidence"] == [pytest.approx([p[0, 0].item(), p[-1, 6].item()])]
    assert found["0/resolved/gaps"].max() <= 0.1
    test = load("digits", "test")
    spread = torch.arange(100) * len(test.images) // 100
    assert test.labels[spread][found["rows"][0]].tolist() == [0, 6]
    source = as_float(test.images[spread][found["rows"][0][:1]])
    net = build("sigmoid-mlp", 16)
    net.load_state_dict(
        {k.removeprefix("weight/"): v for k, v in network.tensors.items() if "weight/" in k}
    )
    torch.testing.assert_close(net(source).softmax(1)[0].double(), p[0], rtol=1e-4, atol=1e-7)


def test_a_class_without_a_correct_image_is_named(small: tuple[Done, Context]) -> None:
    """If a network never answers 6, there is no path to a 6."""
    network, context = small
    deaf = {k: v.clone() for k, v in network.tensors.items()}
    deaf["weight/layers.2.bias"][6] = -1e3
    with pytest.raises(ValueError, match="pairs must have .* got 6, of which none of"):
        figure_4.geometry.function(
            replace(network, tensors=deaf), ((0, 6),), 5, 100, context=context
        )
