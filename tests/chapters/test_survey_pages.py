"""The content of the survey's pages, from made-up records."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from robustbook import catalogue
from robustbook.chapters.published import record_of, version_of
from robustbook.chapters.survey import madry, overview
from robustbook.ledger import Record, Row, read_targets

from .reading import body, numbers


def rows_of_madry(seeds: int = 2) -> Iterator[Row]:
    """Made up: each attack leaves 90 %, less a point for each attack before it."""
    for seed in range(seeds):

        def row(value: float, seed: int = seed, **labels: str | float) -> Row:
            return Row(value + seed, "percent", None, "accuracy", seed, 400, setting=dict(labels))

        for source, (_, ids) in madry.SOURCES.items():
            for i, attack in enumerate(("clean", *ids, "autoattack", "worst")):
                yield row(90 - i, source=source, attack=attack)
        for i, attack in enumerate(madry.TESTS):
            yield row(90 - 40 * i, source="natural", attack=attack)
            for units in (64, 128):
                for training in madry.TRAININGS:
                    yield row(units / 2 - i, units=units, training=training, attack=attack)
            for steps in (1000, 500):
                yield row(steps / 20 - i, schedule="short", steps=steps, attack=attack)


@pytest.fixture
def record() -> Record:
    arrays = {"losses/natural": [[20, 30], [40, 50]], "losses/adversarial": [[1, 1], [2, 2]]}
    return Record("survey", "madry", "reduced", {}, (0, 1), tuple(rows_of_madry()), arrays)


def test_madry_answer(record: Record) -> None:
    """PGD is the second attack on A, and the worst one is behind AutoAttack and eight others."""
    assert numbers(madry.answer(record)) == [88.5, 400, 40, 93.2, 400, 80.5, 10.5, 400, 40]


def test_madry_table(record: Record) -> None:
    """Every printed number of the table stands beside ours."""
    table = body(madry.printed_beside(version_of(record)))
    assert len(table) == 1 + 8 + 5 + 3 + 2
    assert [numbers(cell)[0] for *_, cell in table][:3] == [98.8, 95.6, 93.2]
    assert all("**" in cell for *_, cell in table)
    found = body(madry.natural(version_of(record)))
    assert [numbers(cell)[0] for _, cell in found[:2]] == [99.2, 6.4]


def test_madry_schedules_are_sorted_by_length(record: Record) -> None:
    table = body(madry.schedules(version_of(record)))
    assert [(kind, steps) for kind, steps, *_ in table] == [("short", "500"), ("short", "1,000")]
    assert numbers(table[0][2])[0] == 25.5


def test_madry_sentences(record: Record) -> None:
    """The width of a range is the mean over images, and every width is told."""
    text = madry.concentration(record)
    assert text.startswith("Yes") and numbers(text) == [0, 1, 2, 10, 25, 45]
    wide = {**record.arrays, "losses/natural": [[20, 60], [40, 50]]}
    assert madry.concentration(replace(record, arrays=wide)).startswith("Only on the network train")
    wide["losses/adversarial"] = [[0, 2], [1, 3]]
    assert madry.concentration(replace(record, arrays=wide)).startswith("No")
    text = madry.fgsm_trained(record)
    assert numbers(text) == [64, 128, 31.5, 63.5, 30.5, 62.5, 32.5, 64.5]
    assert "label leaking" not in text and "higher accuracy" not in text
    text = madry.capacity_in_words(record)
    assert numbers(text) == [64, 128, 30.5, 62.5, 32.5, 64.5, 2]
    assert "rises with the width" in text and "only suggests" in text


def test_madry_sentences_on_a_leak(record: Record) -> None:
    """At one width FGSM's training is better under PGD; at the other its label leaks."""
    keys = "units", "training", "attack"
    changed = {(64, "fgsm", "pgd-40"): 80.0, (128, "fgsm", "fgsm"): 95.0}
    rows = [
        replace(row, value=changed.get(tuple(row.setting.get(key) for key in keys), row.value))
        for row in record.rows
        if row.seed == 0
    ]
    other = replace(record, rows=tuple(rows), seeds=(0,))
    text = madry.fgsm_trained(other)
    assert "With 64 units, training on FGSM's images gives a higher accuracy" in text
    assert "With 128 units, the accuracy under FGSM is higher" in text
    wide = {("pgd", "pgd-40"): 1.0}
    rows = [
        replace(row, value=wide.get(tuple(row.setting.get(key) for key in keys[1:]), row.value))
        for row in rows
    ]
    text = madry.capacity_in_words(replace(other, rows=tuple(rows)))
    assert "does not rise" in text and "only one network of each width" in text


def test_madry_figures(record: Record) -> None:
    """A panel per training, with a curve per test; a panel per network, with a row per image."""
    left, right = madry.attacks(record).axes
    assert len(left.get_yticklabels()) == 1 + 8 + 2 and len(right.get_yticklabels()) == 3
    swept = madry.capacity(record)
    assert [len(axis.lines) for axis in swept.axes] == [3, 3, 3]
    dots = madry.starts(record)
    assert [len(axis.collections) for axis in dots.axes] == [2, 2]


def test_every_target_of_the_survey_has_a_page_or_a_reason() -> None:
    """An item that no claim of the overview names would be counted nowhere."""
    told = {item for claim in overview.CLAIMS for item in claim.items}
    of = {t.item for t in read_targets(catalogue.BOOK / "targets").values() if t.paper == "survey"}
    assert told <= of
    table = body(overview.claims())
    assert len(table) == len(overview.CLAIMS)
    assert all(0 < len(finding) < 130 and verdicts for _, _, finding, verdicts in table)


def test_overview_answer_and_figure() -> None:
    """The sentences have the numbers of two records; each defense has a row with two marks."""
    text = overview.answer(record_of("survey/madry"))
    found = numbers(text.replace("ResNet-18", "").replace("CIFAR-10", ""))
    assert len(found) >= 6 and all(0 <= number <= 100 for number in found)
    kept = overview.kept()
    assert len({kept[name].network for name in ("pgd", "pairing", "squeezing")}) == 1
    drawn = overview.accuracies()
    assert len(drawn.axes) == 2
    assert all(len(axis.collections) >= 4 for axis in drawn.axes)


def test_overview_conclusions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words follow the comparison of the page on logit pairing, and PGD's accuracy."""
    monkeypatch.setattr(overview.pairing, "inconclusive", lambda *_: True)
    monkeypatch.setattr(overview.pairing, "is_robust", lambda record, method: method == "at50")
    assert numbers(overview.on_training()) == [1, 4]
    monkeypatch.setattr(overview.pairing, "inconclusive", lambda *_: False)
    assert "only those that were trained" in overview.on_training()
    for left, words in ((1.0, "PGD needs no knowledge"), (40.0, "PGD needs knowledge")):
        monkeypatch.setattr(overview.transformations, "accuracy", lambda *_, left=left: left)
        assert words in overview.on_transformations()


def test_overview_costs() -> None:
    """A step with k attack steps costs at most 1.1 (k + 1) plain steps."""
    found = {name: [float(cell) for cell in cells] for name, *cells in body(overview.costs())}
    for k in (1, 7, 10):
        assert all(1 <= cost <= 1.1 * (k + 1) for cost in found[f"PGD-{k}"])
