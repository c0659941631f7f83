"""The table of the post's statements, from made-up records."""

from dataclasses import replace
from typing import Any

import pytest

from robustbook import notebooks
from robustbook.chapters.survey import post, post_statements
from robustbook.ledger import Record, Row

from .reading import body, numbers
from .test_survey_denoising_pages import record as of_denoising

Records = dict[str, Record]


def row(value: float, name: str = "accuracy", unit: str = "percent", **setting: Any) -> Row:
    return Row(value, unit, None, name, 0, 400 if unit == "percent" else None, setting=setting)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Return made-up records; the functions of the page read them instead of the book's."""
    rows = {
        "goodfellow": [
            row(value, "error", network=name, attack=attack)
            for name, attack, value in (
                ("maxout 1", "fgsm", 90.0),
                ("maxout 0.5", "fgsm", 20.0),
                ("maxout 0.5", "pgd-40", 80.0),
            )
        ],
        "pairing": [
            row(value, network=name, attack=attack)
            for name, attack, value in (
                ("at50", "clean", 95.0),
                ("at50", "strongest", 60.0),
                ("at50-alp", "clean", 90.0),
                ("at50-alp", "strongest", 50.0),
                ("at100", "clean", 96.0),
                ("at100", "strongest", 70.0),
                ("at100-alp", "clean", 80.0),
                ("at100-alp", "strongest", 40.0),
            )
        ],
        "transformations": [
            row(value, front=front, attack=attack, averaged=draws, eps=eps)
            for eps, front, attack, draws, value in (
                (8, "resize-pad", "pgd aware", 10, 2.0),
                (8, "jpeg", "pgd aware", 1, 1.0),
                (2, "resize-pad", "pgd aware", 10, 20.0),
                (2, "jpeg", "pgd aware", 1, 30.0),
                (2, "none", "pgd", 1, 10.0),
            )
        ],
    }
    found = {
        item: Record("survey", item, "paper", {}, (0,), tuple(each)) for item, each in rows.items()
    }
    found |= {item: of_denoising(item) for item in ("denoising", "post")}
    of = lambda item: found[item.removeprefix("survey/")]  # noqa: E731
    monkeypatch.setattr(post_statements, "record_of", of)
    monkeypatch.setattr(post_statements, "records_of", lambda item: [of(item)])
    return found


def changed(made: Records, item: str, value: float, **setting: Any) -> None:
    """Change the rows of a made-up record that have all the labels in ``setting``."""
    rows = [
        replace(each, value=value) if setting.items() <= each.setting.items() else each
        for each in made[item].rows
    ]
    made[item] = replace(made[item], rows=tuple(rows))


def test_every_statement_has_a_finding(made: Records) -> None:
    """Szegedy et al. come first, as in the post; the links lead to pages of this chapter."""
    table = body(post_statements.statements())
    assert table[0][0].endswith("Szegedy et al.") and len(table) == 10
    results = [line[1] for line in table]
    assert results == [
        "holds",
        "holds, for FGSM",
        "proposed, but no gain in our runs",
        "holds, but they fail at 8/255",
        "does not hold in our small network",
        "holds",
        "holds in part",
        "holds, with a detail missing",
        "holds for FGSM training; l2: holds",
        "holds",
    ]
    found = [numbers(line[2].replace("-101", "")) for line in table]
    assert found[0] == [2013, 2015]
    assert found[1:4] == [
        [90, 20, 80, 2015],
        [50, 50, 60, 90, 95, 100, 40, 70, 80, 96],
        [2, 1, 8, 255, 20, 30, 2, 255, 10],
    ]
    assert found[4:7] == [[4, 4], [0.5, 1], [22, 26, 20, 4, 5]]
    assert found[7:] == [[4, 50.6], [20, 80, 20, 30, 25, 15], [60, 40]]
    assert {line[3].rpartition("./")[2] for line in table} <= {
        f"{name.partition('/')[2]}.ipynb)" for name in notebooks.names() if "survey/" in name
    }


def test_results_follow_the_records(made: Records) -> None:
    """Of 400 images, 30 and 32 % cannot be told apart, and 20 and 80 % can."""
    changed(made, "goodfellow", 22.0, network="maxout 0.5", attack="pgd-40")
    assert post_statements.weighted_loss()[0] == "holds"
    for half, whole, result in (
        (80.0, 90.0, "with a gain in our runs"),
        (80.0, 71.0, "with a gain in part of our runs"),
        (61.0, 71.0, "but a gain is not decided"),
        (61.0, 42.0, "but no gain in our runs"),
        (80.0, 42.0, "with a gain and a loss in our runs"),
    ):
        changed(made, "pairing", half, network="at50-alp", attack="strongest")
        changed(made, "pairing", whole, network="at100-alp", attack="strongest")
        assert post_statements.logit_pairing()[0] == f"proposed, {result}"
    changed(made, "transformations", 40.0, front="jpeg")
    assert post_statements.transformed()[0] == "holds, and not all of them fail at 8/255"
    for i, layer in enumerate(post.LAYERS):
        noise = {"training": "standard", "layer": layer}
        changed(made, "post", 0.1 * (i + 1), perturbation="attack", **noise)
        changed(made, "post", 0.1, perturbation="random", **noise)
    assert post_statements.growing()[0] == "holds in our small network"
    changed(made, "post", 0.2, perturbation="random", training="standard", layer="stage4")
    assert post_statements.growing()[0].startswith("does not hold"), "5 / 2 is less than 4"
    for value, result in ((24.0, "not decided"), (25.0, "not tested")):
        changed(made, "post", value, training="adversarial", attack="l2")
        assert post_statements.other_attacks()[0] == f"not decided for FGSM training; l2: {result}"
    changed(made, "denoising", 1.2, variant="mean", stage="stage4")
    assert post_statements.less_noise()[0] == "not confirmed"
    for half, result in ((0.5, "holds"), (9.0, "not decided")):
        rows = made["denoising"].rows
        made["denoising"] = replace(
            made["denoising"],
            rows=tuple(replace(r, value=half) if r.name == "half width" else r for r in rows),
        )
        assert post_statements.more_accuracy()[0] == result
