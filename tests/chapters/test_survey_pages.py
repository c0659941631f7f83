"""The content of the survey's pages, from made-up records."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from robustbook import catalogue
from robustbook.chapters.published import entries, record_of, version_of
from robustbook.chapters.self_ensemble import overview as self_ensemble_overview
from robustbook.chapters.survey import madry, overview
from robustbook.figures import Table
from robustbook.ledger import Record, Row, read_targets
from robustbook.ledger.claims import read_claims
from robustbook.studies.rows import share_row
from robustbook.studies.survey import goodfellow as goodfellow_study
from robustbook.studies.survey import madry as study

from .reading import body, numbers
from .test_survey_first_attack_pages import record as of_pairing


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
    """PGD is the second attack on A, and the worst one is behind AutoAttack and eight others. The
    first schedule is that of A; a longer one of the same kind is in the answer.
    """
    assert numbers(madry.answer(record))[:2] == [88.5, 93.2]
    for kind, steps, told in (("short", 2000, "twice"), ("short", 3000, "3"), ("rising", 2000, "")):
        longer: dict[str, str | float | int | bool]
        longer = {"schedule": kind, "steps": steps, "attack": "pgd-40"}
        more = Row(91.0, "percent", None, "accuracy", 0, 400, setting=longer)
        text = madry.answer(replace(record, rows=(*record.rows, more)))
        assert (f"and 91.0 % after {told} " in text) == bool(told)
        assert text.startswith("Trained far more briefly than in the paper, a narrow version")
    told = [88.5, 400, 40, 400, 88.5, 40, 80.5, 10.5, 400, 40, 0.3]
    assert numbers(madry.defended(record)) == told
    printed = replace(record, parameters={"schedule": "printed"})
    assert madry.effort(printed) == 1 and numbers(madry.defended(printed)) == told[:-1]
    assert madry.answer(printed).startswith("With the paper's training, ")
    assert madry.later_standard(record) == "", "AutoAttack is among the made-up attacks"
    rows = tuple(row for row in record.rows if row.setting["attack"] != "autoattack")
    text = madry.later_standard(replace(record, rows=rows))
    fast = record_of("survey/fast")
    (value,) = (
        row.value
        for row in fast.rows
        if (row.setting.get("method"), row.setting.get("attack")) == ("pgd", "autoattack")
    )
    assert "was not run on this network" in text and numbers(text) == [2020, round(value, 1)]


def test_attacks_are_compared_on_the_images_of_the_strong_ones(record: Record) -> None:
    """Made up: of 40 images, PGD leaves the first 9 and 20 others. All strong attacks together are
    run on the first 10, and leave 8. So on the same images, PGD leaves 90 % and not 72.5 %.
    """
    of_pgd = torch.tensor([i < 9 or i >= 20 for i in range(40)])
    few = torch.tensor([i < 8 for i in range(10)])

    def row(each: torch.Tensor, source: str, attack: str) -> Row:
        setting = {"source": source, "attack": attack}
        return share_row(each, None, "accuracy", 0, setting=setting)

    rest = [
        each
        for each in record.rows
        if each.seed == 0
        and each.setting.get("source") not in ("natural",)
        and (each.setting.get("source"), each.setting.get("attack"))
        not in (("white", "pgd-40"), ("white", "worst"))
    ]
    rows = [
        row(of_pgd, "white", "pgd-40"),
        row(few, "white", "worst"),
        row(of_pgd, "natural", "pgd-40"),
    ]
    own = replace(record, rows=(*rows, *rest), seeds=(0,))
    text = madry.defended(own)
    assert numbers(text)[:6] == [72.5, 40, 40, 10, 90, 40] and numbers(text)[6] == 80
    assert "which are easier" in text
    assert numbers(overview._madry(own)) == [0.3, 80, 90, 10]
    table = body(madry.printed_beside(version_of(own)))
    assert numbers(table[2][-2].replace("**", "")) == [93.2, 72.5] and table[2][-1] == "90.0"
    assert table[1][-1] == "–", "the row does not say which images count"


def test_the_numbers_of_passes_are_those_of_the_study() -> None:
    """For network A, whose schedule is the first, and for the paper's training."""
    for profile, own in study.SETTINGS.items():
        schedule = next(iter(own.schedules.values()))
        assert madry.STEP[profile] == (schedule.recipe.batch_size, schedule.inner)
    paper = study.PRINTED
    images = paper.recipe.steps * paper.recipe.batch_size
    assert images * (paper.inner + 1) == madry.PRINTED_PASSES


def test_madry_table(record: Record) -> None:
    """Every printed number of the table stands beside ours."""
    table = body(madry.printed_beside(version_of(record)))
    assert len(table) == 1 + 8 + 5 + 3 + 2
    assert [numbers(cell)[0] for *_, cell, _ in table][:3] == [98.8, 95.6, 93.2]
    assert all("**" in cell for *_, cell, _ in table)
    found = body(madry.natural(version_of(record)))
    assert [numbers(cell)[0] for _, cell in found[:2]] == [99.2, 6.4]


def test_madry_schedules_are_sorted_by_length(record: Record) -> None:
    table = body(madry.schedules(version_of(record)))
    assert [(kind, steps) for kind, steps, *_ in table] == [("short", "500"), ("short", "1,000")]
    assert numbers(table[0][2])[0] == 25.5


def test_a_caption_explains_only_what_its_table_has(record: Record) -> None:
    """The made-up schedule is *short*; a range needs two seeds."""
    caption = madry.schedules(version_of(record)).markdown
    assert "(range over the seeds). *Short*:" in caption
    assert "*Printed*:" not in caption and "*Rising radius*:" not in caption
    rows = [
        replace(row, setting=row.setting | {"schedule": kind})
        for row in record.rows
        for kind in ("printed", "rising")
        if row.setting.get("schedule") and row.seed == 0
    ]
    both = madry.schedules(version_of(replace(record, rows=tuple(rows), seeds=(0,)))).markdown
    assert "training. *Printed*:" in both and "*Short*:" in both and "*Rising radius*:" in both


def test_madry_sentences(record: Record) -> None:
    """The width of a range is the mean over images, and every width is told. Made up: small losses
    that vary little, compared with each other, but much, compared with themselves.
    """
    near = {**record.arrays, "losses/natural": [[20, 28], [41, 47]]}
    text = madry.concentration(replace(record, arrays=near))
    assert "So by both measures, the losses are more similar after training with PGD." in text
    assert numbers(text) == [0, 0.35, 0, 14, 33, 2]
    assert text.endswith("we draw no conclusion.")
    mixed = {**record.arrays, "losses/adversarial": [[1, 3], [5, 15]]}
    text = madry.concentration(replace(record, arrays=mixed))
    assert "by both measures, the losses are more similar after training on clean images." in text
    mixed = {**record.arrays, "losses/adversarial": [[1, 3], [20, 30]]}
    text = madry.concentration(replace(record, arrays=mixed))
    assert "disagree: by the first, the losses are more similar after training with PGD," in text
    assert "and by the second, after training on clean images. From" in text
    assert numbers(text) == [0.26, 0.5, 40, 100, 22, 40, 2]
    text = madry.fgsm_trained(record)
    assert numbers(text) == [64, 128, 31.5, 63.5, 30.5, 62.5, 32.5, 64.5]
    assert "label leaking" not in text and "higher accuracy" not in text
    text = madry.capacity_in_words(record)
    assert numbers(text) == [64, 128, 30.5, 62.5, 32.5, 64.5, 2]
    assert "rises with the width" in text and "only suggests" in text


def test_the_shortest_schedule_with_the_printed_accuracies(record: Record) -> None:
    """Made up: 500 steps give 25.5 and 23.5 %, and 1,000 steps 50.5 and 48.5 %."""
    text = madry.shortest(record)
    assert text.startswith("We did not find how many") and "(*short*, 1,000 training steps)" in text
    assert numbers(text) == [1000, 48.3, 44.7, 40]
    rows = [
        replace(row, value=100.0) if row.setting.get("steps") == 500 else row for row in record.rows
    ]
    text = madry.shortest(replace(record, rows=tuple(rows)))
    assert text.startswith("The shortest schedule") and numbers(text) == [500]


def test_square_below_pgd_is_a_sign_of_gradient_masking(record: Record) -> None:
    """Of 400 images; a difference within the binomial error is too small. The attacks are rows of
    the table of their own.
    """
    pgd = madry.mean(record, "accuracy", source="white", attack="pgd-100-restarts")
    for square, words in (
        (pgd - 2, "too small to be a sign of"),
        (pgd - 20, "of 400 images, a sign of"),
        (pgd + 2, "gives no sign of"),
    ):
        more = [
            Row(value, "percent", None, "accuracy", 0, 400, setting=labels)
            for value, name in ((square, "square"), (pgd, "margin-100-restarts"))
            if (labels := {"source": "white", "attack": name})
        ]
        with_more = replace(record, rows=(*record.rows, *more))
        text = madry.masking(with_more)
        assert words in text and numbers(text)[:5] == [400, square, pgd, 100, pgd]
        assert numbers(text)[5:] == ([4 * (pgd - square), 400] if square < pgd else [])
    table = body(madry.printed_beside(version_of(with_more)))
    assert [row[1] for row in table[-4:-2]] == list(madry.OTHERS.values())


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
    assert text.startswith("With 64 and 128 hidden units, ")
    assert "With 64 units, training with FGSM gives a higher accuracy" in text
    assert "this is one network of each kind" in text
    lost = [
        replace(row, value=0.0)
        if tuple(row.setting.get(key) for key in keys) == (128, "fgsm", "pgd-40")
        else row
        for row in rows
    ]
    text_of_lost = madry.fgsm_trained(replace(other, rows=tuple(lost)))
    assert text_of_lost.startswith("Not with 128 units: there, the accuracy under PGD is 0.0 %.")
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
    assert [len(axis.collections) for axis in dots.axes] == [2, 2] and not dots.legends


def test_the_claims_name_items_of_the_survey() -> None:
    ids = [entry.id for entry in entries("survey")]
    assert all(any(map(claim.decides, ids)) for claim in overview.CLAIMS)
    assert all(sum(claim.decides(id_) for claim in overview.CLAIMS) <= 1 for id_ in ids)
    *table, rest = body(overview.claims())
    assert len(table) == len(overview.CLAIMS) and rest[0].startswith("Numbers that belong to no")
    assert all(0 < len(finding) < 160 and verdicts for _, _, finding, verdicts in table)


def test_what_refutes_a_claim_is_counted_apart() -> None:
    """The page on Goodfellow's loss has one statement for its claim and one against it, and all
    claims on logit pairing are against it.
    """
    found = {row[0].partition(" make")[0]: row[3] for row in body(overview.claims())}
    (mixed,) = (text for claim, text in found.items() if "Goodfellow" in claim)
    assert "claim tested by us: 1 reproduced" in mixed
    assert mixed.endswith("statement against the claim: 1 reproduced")
    assert "statement against the claim: 2 reproduced" in found["Pairing or squeezing logits"]
    ids = [entry.id for entry in entries("survey")]
    against = {id_ for id_ in ids for claim in overview.CLAIMS if claim.refuted_by(id_)}
    assert all(any(claim.decides(id_) for claim in overview.CLAIMS) for id_ in against)
    targets = read_targets(catalogue.BOOK / "targets")
    rows = read_claims(catalogue.BOOK / "claims.csv", targets)
    fails = [claim for claim in rows if claim.paper == "survey" and " fail" in claim.words]
    assert fails and {id_ for claim in fails for id_ in claim.supported_by} <= against


def test_single_step_training_at_smaller_radii() -> None:
    """The radii and accuracies are those of the stored results."""
    text = overview.on_training()
    assert "of radius 0.25 or 0.3, 7 of them are below guessing" in text
    started = overview.single_step_accuracies()["FGSM with random start"]
    assert f", but not FGSM with random start ({started:.0f} %)." in text
    assert "exceptions are N-FGSM with a rising radius (43 %) and FGSM for 64 hidden units" in text
    found = [
        float(row.value)
        for row in record_of("survey/fast").rows
        if row.setting.get("method") in ("fgsm-rs", "n-fgsm")
        and row.setting.get("set") == "mnist"
        and row.setting.get("attack") == "pgd-50"
        and row.setting["eps"] in (0.1, 0.2)
    ]
    tail = text.partition(" At radius ")[2]
    assert numbers(tail)[:4] == [0.1, 0.2, round(min(found)), round(max(found))]
    assert "trained on FGSM with random start or on N-FGSM keep" in tail
    assert tail.endswith(" Training on FGSM keeps 83.8 % at radius 0.1 and 0.1 % at radius 0.2.")
    assert overview.EPS == goodfellow_study.EPS


@pytest.mark.parametrize(
    ("paper", "table"),
    [("survey", overview.claims), ("self_ensemble", self_ensemble_overview.claims)],
)
def test_the_table_of_claims_counts_as_many_verdicts_as_the_ledger(
    paper: str, table: Callable[[], Table]
) -> None:
    told: Counter[str] = Counter()
    for row in body(table()):
        for number, verdict in re.findall(r"(\d+) ([a-z ]+)", row[3]):
            told[verdict] += int(number)
    assert told == Counter(e.verdict for e in catalogue.whole_ledger(paper=paper).counted)


def test_overview_answer_and_figure() -> None:
    """The sentences have the numbers of two records; each defense has a row with two marks. One of
    200 images is not rounded to 0 %.
    """
    assert numbers(overview.others())[-5:][:2] == [
        round(end, 1) for end in (overview.kept()["jpeg"].weak, overview.kept()["jpeg"].strong)
    ]
    text = overview.answer(record_of("survey/madry"))
    assert len(numbers(text)) == 4 and len(text.split()) <= 32
    kept = overview.kept()
    assert numbers(text)[2:] == [round(kept["pairing"].weak, 1), round(kept["pairing"].strong, 1)]
    falls = [each.weak - each.strong for each in overview._adversarial()]
    assert numbers(text)[:2] == [round(min(falls)), round(max(falls))] and len(falls) == 4
    rest = overview.others().replace("\N{NO-BREAK SPACE}", " ")
    assert all(each.network in rest for each in kept.values())
    assert kept["pgd"].network == kept["pairing"].network == kept["squeezing"].network
    drawn = overview.accuracies()
    *training, changed = [axis for axis in drawn.axes if axis.axison]
    assert len(training) == 2 and all(len(axis.collections) >= 4 for axis in (*training, changed))
    rows = {each.get_text() for axis in training for each in axis.get_yticklabels()}
    dots = {round(c.get_offsets()[0][0], 1) for axis in training for c in axis.collections}
    assert {"CLP", "100 % AT"} <= rows and dots >= {*numbers(text)[2:]}


def test_a_shorter_training_is_named_in_the_overview(record: Record) -> None:
    """Made up: 1,000 steps of 100 images and 5 PGD steps are 0.3 % of the paper's passes."""
    text = overview._madry(record)
    assert text.startswith("With 0.3 % of the paper's training passes, a narrow")
    assert numbers(text) == [0.3, 80, 88, 400]
    same = replace(record, parameters={"schedule": "printed"})
    assert overview._madry(same).startswith("A narrow version of Madry's network")


def test_overview_conclusions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words follow the comparison of the page on logit pairing, and PGD's accuracy."""
    made = {"alpha 0": 0.0, "one": 7.5, "two": 60.0}
    monkeypatch.setattr(overview.pairing, "inconclusive", lambda *_: True)
    monkeypatch.setattr(overview.pairing, "is_robust", lambda record, method: method == "at50")
    monkeypatch.setattr(overview, "single_step_accuracies", lambda: dict(made))
    assert numbers(overview.on_training())[:11] == [1, 4, 3, 1, 2, 0.25, 0.3, 2, 0, 7.5, 60]
    assert ", but not two (60 %). In smaller experiments" in overview.on_training()
    monkeypatch.setattr(overview.pairing, "inconclusive", lambda *_: False)
    assert "Plain, CLP, LSQ and Plain + ALP are not. The pages" in overview.on_training()
    monkeypatch.setattr(overview.pairing, "is_robust", lambda record, method: "alp" in method)
    text = overview.on_training()
    assert "So is Plain + ALP" in text and "Plain, CLP and LSQ are not. The pages" in text
    monkeypatch.setattr(overview, "single_step_accuracies", lambda: {"two": 60.0})
    assert "0 of them are below guessing, but not two" in overview.on_training()
    for left, words in ((1.0, "PGD needs no knowledge"), (40.0, "PGD needs knowledge")):
        monkeypatch.setattr(overview.transformations, "accuracy", lambda *_, left=left: left)
        assert words in overview.on_transformations()
        told = overview.on_transformations()
        assert "Knowledge helps at 2/255 (37.0 against 29.5 %) and 4/255 (" in told
    monkeypatch.setattr(overview.transformations, "clearly_stronger", lambda _: {})
    assert "Knowledge" not in overview.on_transformations()


def test_overview_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time is the ratio times the number of plain steps; a dash stands for a missing one. In the
    committed results, a step with k attack steps costs at most 1.1 (k + 1) plain steps.
    """
    found = {name: [float(cell) for cell in cells] for name, *cells in body(overview.costs())}
    for k in (1, 7, 10):
        assert all(1 <= cost <= 1.1 * (k + 1) for cost in found[f"PGD-{k}"])
    made = (("Goodfellow", "lenet", 3, 0.5), ("PGD-7", "lenet", 8, 0.75))
    made += (("PGD-7", "vgg16, 1/8", 8, 0.875),)
    rows = [
        {"objective": objective, "network": network, "plain_steps": steps, "ratio": ratio}
        for objective, network, steps, ratio in made
    ]
    made_up = {"processor": "P", "rows": rows}
    for module in (overview, overview.fast):
        monkeypatch.setattr(module, "benchmark", lambda name: made_up)
    assert body(overview.costs()) == [["Goodfellow", "1.5", "–"], ["PGD-7", "6.0", "7.0"]]
    assert numbers(overview.on_costs()) == [1.5, 7, 6, 7]


def test_the_overview_has_the_numbers_of_the_page_on_logit_pairing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both attacks are on the images of the strongest one. All three methods of the answer are from
    the experiment with most methods, and the largest one is told beside it.
    """
    records = [of_pairing("paper", ["clp", "lsq"]), of_pairing("reduced", ["at100", "clp", "lsq"])]
    assert numbers(overview._pairing(records)) == [10.5, 11.5, 10]
    both = [records[0], of_pairing("reduced", ["at100", "at50-alp", "clp", "lsq"])]
    assert overview._pairing(both).endswith("narrow networks: 12 % with ALP and 10 % with AT alone")
    rows = [
        replace(row, value=70, images=1000) if row.setting.get("attack") == "baseline" else row
        for row in records[1].rows
    ]
    records[1] = replace(records[1], rows=tuple(rows))
    monkeypatch.setattr(overview, "records_of", lambda _: records)
    found = overview.kept()
    assert (found["pgd"].weak, found["pgd"].strong) == (80.5, 10.5)
    assert (found["pairing"].weak, found["pairing"].strong) == (79.5, 11.5)
    assert numbers(found["pairing"].network) == [400]
    text = overview.others()
    assert "With logit squeezing, it changes from 78.5 to 12.5 %." in text
    assert (
        "For the paper's network on MNIST (400 test images), the accuracy falls from 80.5" in text
    )
    assert "After one kind of adversarial training, the accuracy is 80 % under PGD and 10 %" in text


def test_training_with_one_step_is_not_always_robust() -> None:
    """In the stored results, every network of Goodfellow's loss is below guessing under all attacks
    together, and FGSM with a random start is not.
    """
    found = [*overview.single_step_accuracies().values()]
    assert len(found) == 4 + len(overview.SINGLE_STEP)
    assert max(found[:4]) < 10 and max(found[4:]) > 60
    assert min(found) == 0
