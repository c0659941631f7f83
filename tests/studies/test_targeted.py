"""Sources and pairs of section 7 of Nayebi & Ganguli 2017, and the searches of figures 5 and 8."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook import ledger
from robustbook.chapters.saturating.lbfgs_pairs import squares
from robustbook.runs import Call, Context, Done
from robustbook.studies.parameters import BadParameter, check
from robustbook.studies.saturating import figure_5, figure_8, lbfgs_pairs, settings
from robustbook.studies.saturating.lbfgs_pairs import READINGS, STRAIGHT, Search, attack
from robustbook.studies.saturating.networks import Training, test_images, train, trained
from robustbook.studies.saturating.targeted import check_sources, pairs, sources, straight
from robustbook.training import Recipe

TARGETS = ledger.read_targets(Path(__file__).parents[2] / "book" / "targets")
test_images.__test__ = False  # type: ignore[attr-defined]  # not a test, for all its name


class Given(nn.Module):
    """A model whose logits are the pixels of the image (one per class) times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images.flatten(1)


@pytest.fixture
def some() -> tuple[Tensor, Tensor]:
    images = torch.rand(400, 1, 2, 5, generator=torch.Generator().manual_seed(1))
    return images, images.flatten(1).argmax(1)


# Sources and pairs.


@pytest.mark.parametrize("rule", ["least", "most"])
def test_sources_have_the_extreme_probability_of_their_class(
    rule: Any, some: tuple[Tensor, Tensor]
) -> None:
    """Only correctly classified images count, so a tenth of the labels is made wrong first."""
    images, labels = some
    labels = torch.where(torch.arange(400) % 10 == 0, (labels + 1) % 10, labels)
    rows = sources(Given(), images, labels, rule)
    p = images.flatten(1).double().softmax(1).gather(1, labels[:, None]).squeeze(1)
    for c, row in enumerate(rows.tolist()):
        allowed = (labels == c) & (images.flatten(1).argmax(1) == c)
        assert allowed[row]
        assert p[row] == (p[allowed].min() if rule == "least" else p[allowed].max())


def test_a_tie_in_float32_is_none_for_sources(some: tuple[Tensor, Tensor]) -> None:
    """With the logits of a saturated network, nearly all images have probability exactly 1."""
    images, labels = some
    logits = 1000 * images.flatten(1)
    assert int((logits.softmax(1).amax(1) == 1).sum()) > 300
    rows = sources(Given(1000.0), images, labels, "most")
    top = logits.topk(2).values
    lead = top[:, 0] - top[:, 1]
    for c, row in enumerate(rows.tolist()):
        assert lead[row] == lead[labels == c].max()


def test_pairs_are_all_pairs_of_two_classes() -> None:
    rows = torch.arange(100, 110)
    at, source, target = pairs(rows)
    assert torch.equal(at, rows[source])
    assert len({*zip(source.tolist(), target.tolist(), strict=True)}) == 90
    assert not (source == target).any() and source.tolist() == sorted(source.tolist())


def test_a_source_that_is_none_is_refused(some: tuple[Tensor, Tensor]) -> None:
    """The search would start on the wrong side of the boundary, or there is no image to start
    from.
    """
    images, labels = some
    rows = sources(Given(), images, labels, "least")
    check_sources(Given(), images, labels, rows)
    wrong = rows.clone()
    wrong[3] = rows[4]
    with pytest.raises(ValueError, match=r"one image of each class .* of class 4 for class 3"):
        check_sources(Given(), images, labels, wrong)
    with pytest.raises(
        ValueError, match="sources must be below 400, the number of images, got 400"
    ):
        check_sources(Given(), images, labels, rows + 400 - rows.max())
    with pytest.raises(ValueError, match=r"source of class 0 must .* that it is correctly, got"):
        check_sources(Given(-1.0), images, labels, rows, "it is correctly, got")
    with pytest.raises(ValueError, match="class 1 must have a test image that net X classifies"):
        sources(Given(-1.0), images, torch.zeros_like(labels), "most", "net X")


def test_the_straight_line_ends_at_the_border() -> None:
    """Between two corners of the same length, the answer changes half way."""
    images = torch.eye(10).view(10, 1, 2, 5)
    at, source, target = pairs(torch.arange(10))
    away = straight(Given(), images[at], images, target)
    torch.testing.assert_close(away, torch.full((90,), 0.5**0.5), rtol=0, atol=1e-5)


# The study.


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Context]:
    training = Training("digits", "sigmoid-mlp", 30, "xavier", "vanilla", Recipe(200, 50, 0.01))
    context = Context(tmp_path_factory.mktemp("scratch"), "cpu", lambda done, total: None)
    result = train.function(training, 3, context=context)
    tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
    return Done(train(training, 3), {}, tensors, 1.0, {}), context


def test_attack_finds_what_the_network_calls_so(network: tuple[Done, Context]) -> None:
    """Successful images, stored in grey levels, are of the target class; failures have no image."""
    done, context = network
    searches = (Search(), Search("float64", tolerances=False), Search(clip=True))
    values: dict[str, Any] = attack.function(
        done, "least", None, searches, 30, 400, context=context
    )
    assert [sum(found) for found in values["found"]] == pytest.approx([90] * 3, abs=5)
    assert min(min(d) for d in values["distance"]) > 0
    grays = values["images"].float() / 255
    answers = trained(done, "cpu")(grays.flatten(0, 1)[:, None]).argmax(1).view(10, 10)
    assert torch.equal(answers.diag(), torch.arange(10))
    right = answers == torch.arange(10)
    assert int(right.sum()) > 60  # clipping and 256 grays take some back over the border
    assert (
        values["sources"] == [int(row) for row in values["sources"] if 0 <= row < 400]
        and len(values["straight"]) == 90
    )


def test_given_sources_are_used_or_refused(network: tuple[Done, Context]) -> None:
    done, context = network
    x, y = test_images("digits", 400, "cpu")
    rows = tuple(sources(trained(done, "cpu"), x, y, "most").tolist())
    values: dict[str, Any] = attack.function(
        done, "least", rows, (Search(),), 1, 400, context=context
    )
    assert values["sources"] == list(rows)
    wrong = (*rows[:9], rows[0])
    with pytest.raises(ValueError, match="sources must be one image of each class"):
        attack.function(done, "least", wrong, (Search(),), 1, 400, context=context)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([*range(1, 10), 0], "sources must have the classes 0 to 9 in turn, got images of .*"),
        ([*range(9), 9000], "sources must be below 400, the number of test images, got .*, 9000.*"),
    ],
)
def test_wrong_sources_are_refused_before_any_training(given: list[int], sentence: str) -> None:
    p = check(figure_5.Parameters, {"profile": "quick", "sources": given})
    with pytest.raises(BadParameter, match=f"^{sentence}$"):
        figure_5.calls(p)


def by_hand(call: Call) -> Done:
    """Return a result: attacks always succeed on the vanilla network, in 20 (or 7) pairs
    otherwise.
    """
    vanilla = "vanilla" in str(call.arguments["network"].arguments["training"].method)
    found = 90 if vanilla else 20 if call.arguments["rule"] == "least" else 7
    n, most = len(call.arguments["searches"]), call.arguments["iterations"]
    ends = [2] * found + [most, 0, *[5] * (88 - found)][: 90 - found]
    images = torch.zeros(10, 10, 28, 28, dtype=torch.uint8)
    images[0, :, 3, 4] = 200
    values = {
        "found": [[i < found for i in range(90)]] * n,
        "iterations": [ends] * n,
        "distance": [[1.5] * 90] * n,
        "straight": [4.0] * 90,
        "sources": list(range(10)),
    }
    return Done(call, values, {"images": images}, 1.0, {})


@pytest.mark.parametrize("of", [figure_5, figure_8])
def test_every_target_is_answered_once_a_seed_in_its_unit(of: Any, tmp_path: Path) -> None:
    p = of.Parameters(profile="paper")
    record = of.condense(p, {k: by_hand(c) for k, c in of.calls(p).items()})
    asked = {t.id: t for t in TARGETS.values() if (t.paper, t.item) == ("saturating", of.ITEM)}
    answers = [row for row in record.rows if row.target]
    assert {row.target for row in answers} == set(asked)
    assert len(answers) == 5 * len(asked)
    assert all(row.unit == asked[str(row.target)].unit for row in answers)
    (successes,) = {r.value for r in answers if str(r.target).endswith("saturated/successes")}
    assert successes == (20 if of is figure_5 else 7)
    path = ledger.write_record(record, tmp_path)
    assert ledger.read_record(path).rows == record.rows


def test_the_ends_of_the_searches_are_counted() -> None:
    """Found, stalled and limit add up to 90; "stalled at once" is a part of "stalled"."""
    p = figure_5.Parameters(profile="quick")
    record = figure_5.condense(p, {k: by_hand(c) for k, c in figure_5.calls(p).items()})
    of = {"network": "sigmoid-mlp", "method": "saturated", "reading": "float32"}
    counts = {row.name: row.value for row in record.rows if row.setting == of}
    assert (counts["found"], counts["stalled"], counts["limit"]) == (20, 69, 1)
    assert counts["stalled at once"] == 1
    assert (counts["iterations, found"], counts["iterations, failed"]) == (2, 5)
    readings = {row.setting.get("reading") for row in record.rows if row.target is None}
    assert readings == {*READINGS, STRAIGHT}


def test_images_come_back_from_a_record() -> None:
    p = figure_5.Parameters(profile="quick")
    record = figure_5.condense(p, {k: by_hand(c) for k, c in figure_5.calls(p).items()})
    images, there = squares(record, "saturated")
    assert images.shape == (10, 10, 28, 28) and there[0].all() and not there[1:].any()
    assert images[0, 5, 3, 4] == 200 and int(images.sum()) == 2000


def test_networks_are_those_of_table_1() -> None:
    """Other networks would cost hours of training; the two figures differ only in the rule."""
    p = figure_5.Parameters(profile="paper")
    five, eight = figure_5.calls(p), figure_8.calls(p)
    known = set(settings.mlps("paper").values())
    assert all(c.arguments["network"].arguments["training"] in known for c in five.values())
    assert (
        list(five) == list(eight) and len({c.key for c in [*five.values(), *eight.values()]}) == 40
    )
    short = figure_5.calls(figure_5.Parameters(profile="quick"))
    assert {c.arguments["iterations"] for c in short.values()} == {100}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"iterations": 0},
            "iterations must be a number of iterations at most, 1 to 100000, got 0",
        ),
        ({"sources": [1, 2]}, r"sources must be ten numbers of test images.*got \[1, 2\]"),
        ({"sources": [10_000] * 10}, "sources must be ten numbers of test images"),
    ],
)
def test_bad_parameters_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        check(lbfgs_pairs.Parameters, given)
