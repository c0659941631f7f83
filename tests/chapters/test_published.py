"""Reading published results: selecting numbers by label, and writing them as text."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robustbook import catalogue
from robustbook.chapters.published import (
    Version,
    accuracies,
    entries,
    first,
    mean,
    of_target,
    printed,
    settings,
    values,
    version_of,
    without_quick,
)
from robustbook.chapters.wording import (
    bullets,
    minus,
    page_link,
    page_name,
    power,
    spread,
    spread_or,
)
from robustbook.ledger import Record, Row, read_record

TOGETHER = ("worst", "strongest", "all")
"""The labels of rows for several attacks together."""
LOWER_BOUND = "certified"
"""The label of an accuracy that is proved and not measured under an attack."""


def parts(record: Record, row: Row) -> list[Row]:
    """Return the rows for single attacks on the network and the images of ``row``."""

    def rest(each: Row) -> dict[str, Any]:
        return {k: v for k, v in each.setting.items() if k not in ("attack", "reading")}

    def attack(each: Row) -> Any:
        return each.setting.get("attack", each.setting.get("reading"))

    same = [
        each
        for each in record.rows
        if (each.name, each.seed, each.images) == (row.name, row.seed, row.images)
        and rest(each) == rest(row)
    ]
    return [each for each in same if attack(each) not in (None, *TOGETHER, LOWER_BOUND)]


def test_no_network_is_better_under_all_attacks_than_under_one() -> None:
    """An image counts under several attacks together only if it counts under each of them. So the
    accuracy is at most that under one attack on the same images, and the error is at least as high.
    """
    compared = 0
    for path in sorted((catalogue.BOOK / "records").glob("*/*.json")):
        record = read_record(path)
        for row in record.rows:
            if not {row.setting.get("attack"), row.setting.get("reading")} & {*TOGETHER}:
                continue
            for part in parts(record, row):
                more = float(row.value) - float(part.value)
                where = (path.name, row.setting, row.seed, part.setting)
                assert (-more if row.name == "error" else more) <= 1e-9, where
                if row.name == "accuracy" and row.outcomes and part.outcomes:
                    assert not (row.each & ~part.each).any(), where
                compared += 1
    assert compared > 3000


def test_values_are_those_of_one_name_and_setting() -> None:
    """A page selects numbers by label; a control must not be mixed with the main rows."""
    rows = (
        Row(1.0, "percent", None, "accuracy", 0, setting={"network": "cnn", "reading": "a"}),
        Row(2.0, "percent", None, "accuracy", 0, setting={"network": "cnn", "reading": "b"}),
        Row(3.0, "percent", None, "unmoved", 0, setting={"network": "cnn", "reading": "a"}),
        Row(4.0, "percent", "saturating/table-1/cnn-vanilla/accuracy", "accuracy", seed=0),
    )
    one = Record("saturating", "table-1", "quick", {}, (0,), rows)
    assert values(one, "accuracy", network="cnn") == [1.0, 2.0]
    assert values(one, "accuracy", network="cnn", reading="b") == [2.0]
    assert of_target(one, "saturating/table-1/cnn-vanilla/accuracy") == [4.0]
    assert values(one, "accuracy", network="mlp") == []
    assert printed("saturating/table-1/cnn-vanilla/accuracy") == 99.35


def test_a_record_is_chosen_by_what_it_contains() -> None:
    """A short run on small images counts only if there is no other run."""
    rows = (Row(1.0, "percent", None, "accuracy", 0, setting={"network": "cnn"}),)
    quick = Record("saturating", "table-1", "quick", {}, (0,), rows)
    empty = Record("saturating", "table-1", "paper", {}, (0,), ())
    assert without_quick([empty, quick]) == [empty] and without_quick([quick]) == [quick]
    assert first([empty, quick], "accuracy", network="cnn") == quick
    assert first([empty, quick], "accuracy", network="mlp") is None


def test_the_ledger_is_built_again_after_an_edit(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reasons and the targets are edited by hand, while a page is open."""
    shutil.copytree(root / "book" / "targets", tmp_path / "targets")
    monkeypatch.setattr(catalogue, "BOOK", tmp_path)
    target = "saturating/table-1/cnn-vanilla/accuracy"
    for reason in ("", "another network"):
        if reason:
            (tmp_path / "reasons.csv").write_text(f"ids,reason\n{target},{reason}\n")
        (entry,) = (each for each in entries("saturating", "table-1") if each.id == target)
        assert entry.reason == reason


def test_a_spread_is_given_only_where_there_is_one() -> None:
    """It is omitted for one seed, or if the seeds agree in all shown digits."""
    assert spread([1.0, 2.0, 6.0]) == "3.0 (1.0\u2013\u20606.0)"
    assert spread([-1.0, 2.0]) == "0.5 (-1.0 to 2.0)"
    assert spread([1.01, 1.02]) == spread([1.0]) == "1.0"


def test_the_mean_needs_one_row_for_each_seed() -> None:
    """A name without rows, or a missing label, is an error and must not give a number."""
    rows = (Row(1.0, "percent", None, "accuracy", 0), Row(4.0, "percent", None, "accuracy", 1))
    one = Record("saturating", "table-1", "quick", {}, (0, 1), rows)
    assert mean(one, "accuracy") == 2.5
    with pytest.raises(ValueError, match="table-1 has 0 rows acuracy"):
        mean(one, "acuracy")
    strong = [replace(row, setting={"attack": "pgd"}) for row in rows]
    both = replace(one, rows=(*rows, *strong))
    assert mean(both, "accuracy", attack="pgd") == 2.5
    with pytest.raises(ValueError, match="has 4 rows accuracy with {}, and 2 seeds"):
        mean(both, "accuracy")


def test_settings_are_distinct_and_in_the_order_of_the_rows() -> None:
    """A figure takes its values of c from the record."""
    rows = tuple(
        Row(1.0, "ratio", None, name, seed, setting={"c": c, "d": d})
        for seed in (0, 1)
        for name, c, d in (("rho2", 5.0, 1), ("rho2", 1.0, 2), ("accuracy", 9.0, 1))
    )
    one = Record("deep_defense", "figure-3", "quick", {}, (0, 1), rows)
    assert settings(one, "rho2", "c") == [5.0, 1.0]
    assert settings(one, "rho2", "c", d=2) == [1.0]
    assert settings(one, "rho2", "lam") == []


def test_accuracies_are_of_rows_that_name_network_training_and_reading() -> None:
    """Seeds are grouped; a row without an attack variant is left out."""
    of = {"network": "cnn", "method": "vanilla", "reading": "pgd"}
    rows = (
        *(Row(float(s), "percent", None, "accuracy", s, setting=of) for s in (0, 1)),
        Row(5.0, "percent", None, "accuracy", 0, setting={"network": "cnn"}),
    )
    one = Record("saturating", "table-1", "quick", {}, (0, 1), rows)
    assert accuracies(one) == {"cnn": {"vanilla": {"pgd": [0.0, 1.0]}}}


def test_no_two_versions_of_a_page_share_a_label() -> None:
    """A repeated label breaks the references of the book."""
    records = [Record("saturating", "table-1", p, {}, (), ()) for p in ("paper", "quick")]
    versions = [*map(version_of, records), Version(records[0], "This run", fresh=True)]
    tables = [version.table(": words.", "table-1", ["Head"], [["cell"]]) for version in versions]
    heads = [table.markdown.splitlines()[:2] for table in tables]
    assert heads[0] == [
        ":::{table} Stored results (profile paper): words.",
        ":name: tab-table-1-paper",
    ]
    assert [name for _, name in heads[1:]] == [
        ":name: tab-table-1-quick",
        ":name: tab-table-1-paper-run",
    ]


def test_one_text_is_no_list() -> None:
    assert bullets(["a"]) == "a" and bullets(["a", "b"]) == "- a\n- b"


def test_words_around_numbers() -> None:
    """It tests text without line breaks, and links by a page's short name."""
    assert minus("-0.10") == "\u22120.10"
    assert power(2.9e-5) == "3·10⁻⁵"
    assert spread_or([], missing="none") == "none" and spread_or([1.0]) == "1.0"
    assert page_link("table1") == "[Table\N{NO-BREAK SPACE}1](./table1.ipynb)"
    assert page_link("today") == "[Stronger attacks](./today.ipynb)"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("table1", "Table 1"),
        ("figure10", "Figure 10"),
        ("today", "Stronger attacks"),
        ("claims", "Claims"),
        ("deepfool", "DeepFool"),
    ],
)
def test_pages_have_short_names(page: str, expected: str) -> None:
    assert page_name(page) == expected
