"""The pages on input transformations and on certified accuracy, from made-up records."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from robustbook import catalogue, notebooks
from robustbook.chapters.published import record_of, settings, version_of
from robustbook.chapters.survey import certified, transformations
from robustbook.ledger import Record, Row, read_targets
from robustbook.ledger.intervals import clearly_above
from robustbook.page import Page
from robustbook.studies.rows import share_row
from robustbook.studies.survey import certified as certified_study
from robustbook.studies.survey import transformations as transformations_study

from .reading import body, numbers


def rows_of_transformations(seeds: int = 2) -> Iterator[Row]:
    """Made up: a front adds 10 points for its place in the list, an attack takes 20 for its own."""
    for seed in range(seeds):
        for i, front in enumerate(transformations.FRONTS):
            for j, attack in enumerate(transformations.UNAWARE):
                labels = {"front": front, "attack": attack, "averaged": 1}
                labels |= {"eps": 8} if attack in ("fgsm", "pgd") else {}
                value = 60 + 10 * i - 20 * j + seed
                yield Row(value, "percent", None, "accuracy", seed, 200, setting=labels)
        for front, averaged, value in (("jpeg", 1, 2), ("resize-pad", 1, 4), ("resize-pad", 10, 1)):
            labels = {"front": front, "attack": "pgd aware", "averaged": averaged, "eps": 8}
            yield Row(value, "percent", None, "accuracy", seed, 200, setting=labels)
        yield Row(
            0.1 + 0.1 * seed, "l2", None, "median distance", seed, setting={"attack": "deepfool"}
        )


@pytest.fixture
def transformed() -> Record:
    rows = tuple(rows_of_transformations())
    return Record("survey", "transformations", "reduced", {}, (0, 1), rows)


def attacked(right: dict[tuple[str, int, str], set[int]], images: int = 200) -> tuple[Row, ...]:
    """Return rows for sets of correctly classified images; the random transformation has 10 draws
    in an attack that knows it.
    """
    return tuple(
        share_row(
            torch.tensor([i in chosen for i in range(images)]),
            None,
            "accuracy",
            0,
            setting={
                "front": front,
                "eps": eps,
                "attack": attack,
                "averaged": 10 if (front, attack) == ("resize-pad", "pgd aware") else 1,
            },
        )
        for (front, eps, attack), chosen in right.items()
    )


def of_images(first: int, last: int) -> set[int]:
    return set(range(first, last))


def test_two_attacks_are_compared_image_by_image(transformed: Record) -> None:
    """Of 200 images, 70 and 60 are left. As two independent samples the difference would not be
    clear. It is clear if the 60 are among the 70, and not if the sets overlap little.
    """
    right = {
        ("resize-pad", 2, "pgd"): of_images(0, 70),
        ("resize-pad", 2, "pgd aware"): of_images(0, 60),
        ("jpeg", 2, "pgd"): of_images(0, 70),
        ("jpeg", 2, "pgd aware"): of_images(40, 100),
        ("resize-pad", 8, "pgd"): set[int](),
        ("resize-pad", 8, "pgd aware"): set[int](),
        ("jpeg", 8, "pgd"): set[int](),
        ("jpeg", 8, "pgd aware"): set[int](),
    }
    record = replace(transformed, rows=attacked(right))
    assert not clearly_above(35, 30, 200)
    assert transformations.clearly_stronger(record) == {"resize-pad": [(2, 35, 30)]}
    told = transformations.radii_in_words(record)
    assert numbers(told) == [2, 255, 35, 30]
    assert "clearly stronger on random resizing at 2/255 (" in told
    lower = record.rows[:3] + attacked({("jpeg", 2, "pgd aware"): set()}) + record.rows[4:]
    told = transformations.radii_in_words(replace(record, rows=lower))
    assert told.endswith(", and on JPEG at 2/255 (35.0 against 0.0 %).")
    weak = replace(record, rows=attacked({key: set() for key in right}))
    assert transformations.radii_in_words(weak).endswith(
        "At no radius is PGD clearly stronger with knowledge of the transformation."
    )
    table = body(transformations.radii(version_of(record)))
    assert ["random resizing: PGD through", "30.0", "0.0"] in table and len(table) == 4


def test_a_transformation_protects_only_if_more_images_survive_than_without(
    transformed: Record,
) -> None:
    """At the main radius nothing survives, which hides any protection. At 2/255, 20 of 200 images
    survive without a transformation, the same and 20 more with JPEG, and the same and one more with
    random resizing.
    """
    right = {
        (front, 8, attack): set[int]()
        for front, attack in (
            ("none", "pgd"),
            ("resize-pad", "pgd"),
            ("jpeg", "pgd"),
            ("resize-pad", "pgd aware"),
            ("jpeg", "pgd aware"),
        )
    }
    right |= {
        ("none", 2, "pgd"): of_images(0, 20),
        ("jpeg", 2, "pgd aware"): of_images(0, 40),
        ("resize-pad", 2, "pgd aware"): of_images(0, 21),
    }
    record = replace(transformed, rows=attacked(right))
    assert transformations.protected(record) == {2: {"jpeg": 20}}
    told = transformations.protected_in_words(record)
    assert numbers(told) == [2, 255, 20, 10] and "too weak" in told
    assert told.endswith("could not prove that the transformations protect.")
    text = transformations.answer(record)
    assert text.startswith("Not at ") and numbers(text)[:2] == [0, 20] and "smaller one" in text
    right["jpeg", 2, "pgd aware"] = of_images(0, 21)
    record = replace(transformed, rows=attacked(right))
    assert transformations.protected(record) == {}
    assert transformations.protected_in_words(record).startswith("At no radius does PGD")
    assert "smaller" not in transformations.answer(record)


def test_names_are_those_of_the_studies() -> None:
    """A transformation or sigma without a name would be left out."""
    assert tuple(transformations.FRONTS) == transformations_study.FRONTS
    assert tuple(transformations.UNAWARE) == transformations_study.UNAWARE
    assert certified.RADII == certified_study.RADII
    assert certified.LAST == certified_study.PRINTED
    assert set(certified.LOOKS) == set(certified_study.SIGMAS)


def test_the_answer_on_transformations(transformed: Record) -> None:
    """The strongest PGD through each transformation; PGD on the network alone can decide too."""
    text = transformations.answer(transformed)
    assert text.startswith("Not at ") and numbers(text)[0] == 2 and "at most" in text

    def with_all(value: float) -> Record:
        rows = [
            Row(value, "percent", None, "accuracy", 0, 200, setting=row.setting)
            for row in transformed.rows
            if row.seed == 0 and row.name == "accuracy"
        ]
        return Record("survey", "transformations", "reduced", {}, (0,), tuple(rows))

    assert transformations.answer(with_all(50)).startswith("In part at ")
    assert transformations.answer(with_all(5)).startswith("Not at ")
    alone = [
        replace(row, value=50.0) if row.setting["attack"] == "pgd aware" else row
        for row in with_all(5).rows
    ]
    weaker = replace(transformed, rows=tuple(alone), seeds=(0,))
    assert transformations.answer(weaker).startswith("Not at ")
    assert "without knowing them" in transformations.pgd_in_words(with_all(5))
    assert "depends on whether" in transformations.pgd_in_words(transformed)


def test_pgd_on_the_network_alone_at_each_radius(transformed: Record) -> None:
    """Without a transformation 20 of 200 images are left at 2/255, and none at 8/255. Resizing
    clearly keeps more at 2/255. With JPEG one more image is left at 2/255, which is not clear.
    """
    right = {
        ("none", 2, "pgd"): of_images(0, 20),
        ("resize-pad", 2, "pgd"): of_images(0, 70),
        ("jpeg", 2, "pgd"): of_images(0, 21),
        ("none", 8, "pgd"): set[int](),
        ("resize-pad", 8, "pgd"): set[int](),
        ("jpeg", 8, "pgd"): of_images(0, 1),
    }
    text = transformations.alone_in_words(replace(transformed, rows=attacked(right), seeds=(0,)))
    assert text.endswith("is clearly raised by random resizing at 2/255.")
    same = {key: of_images(0, 20) for key in right}
    text = transformations.alone_in_words(replace(transformed, rows=attacked(same), seeds=(0,)))
    assert text.endswith("is clearly raised by neither transformation.")


def test_the_table_of_transformations(transformed: Record) -> None:
    rows = body(transformations.accuracies(version_of(transformed)))
    assert len(rows) == 4 + 2
    assert [numbers(cell)[0] for cell in rows[2][1:]] == [20.5, 30.5, 40.5, 50.5]
    assert rows[4][1:] == ["–", "–", "4.0", "2.0"] and rows[5][1:] == ["–", "–", "1.0", "–"]


def test_the_sentences_on_transformations(transformed: Record) -> None:
    text = transformations.rounding_in_words(transformed).replace("ell_2", "")
    assert numbers(text) == [60.5, 20.5, 0.15, 30.5, 8, 40.5, 50.5, 30.5]
    assert "no defense, already restores 30.5 %" in text and "misleads" not in text
    rows = [replace(row, value=5) for row in transformed.rows]
    low = transformations.rounding_in_words(replace(transformed, rows=tuple(rows)))
    assert "no defense" not in low  # the accuracy is not high
    text = transformations.pgd_in_words(transformed)
    text = text.replace("ResNet-18", "").replace("CIFAR-10", "")
    assert numbers(text) == [200, 2, 8, 255, 20.5, 30.5, 4, 1, 10, 2]


def test_the_cost_on_clean_images_is_compared_image_by_image(transformed: Record) -> None:
    """Made up: of 200 images, 140 are left, and then 20 fewer, or 10 fewer and 10 others."""
    text = transformations.cost_in_words(transformed)
    assert text.startswith("No: ") and numbers(text) == [200, 60.5, 80.5, 90.5]

    def made(resized: set[int]) -> str:
        rows = [
            share_row(
                torch.tensor([i in chosen for i in range(200)]),
                None,
                "accuracy",
                0,
                setting={"front": front, "attack": "clean", "averaged": 1},
            )
            for front, chosen in (
                ("none", of_images(0, 140)),
                ("resize-pad", resized),
                ("jpeg", of_images(0, 141)),
            )
        ]
        return transformations.cost_in_words(replace(transformed, rows=tuple(rows)))

    assert made(of_images(0, 120)).startswith("Yes: ")
    text = made(of_images(10, 150))
    assert text.startswith("Not clearly: ") and text.endswith("may be due to chance.")


def test_the_figure_of_transformations(transformed: Record) -> None:
    """A panel per transformation, on one scale, with all five rows."""
    axes = transformations.attackers(transformed).axes
    assert [axis.get_title() for axis in axes] == ["no transformation", "random resizing", "JPEG"]
    assert {axis.get_xlim() for axis in axes} == {(-3.0, 103.0)}
    dots = [[x for c in axis.collections for x, _ in c.get_offsets()] for axis in axes]
    assert [sorted(x) for x in dots] == [
        [0, 1, 20, 21, 40, 41, 60, 61],
        [1, 1, 20, 21, 40, 41, 60, 61, 80, 81],
        [2, 2, 30, 31, 50, 51, 70, 71, 90, 91],
    ]


def rows_of_certificates() -> Iterator[Row]:
    """Made up: the certified accuracy falls with the radius and ends earlier with a small sigma."""
    for draws in certified_study.CAPS:
        yield Row(1.5, "ratio", None, "cap", setting={"draws": draws})
    for sigma in (0.25, 1.0):
        for r in certified.RADII:
            value = max(0.8 - 0.3 * sigma - r * (0.25 / sigma), 0)
            setting = {"sigma": sigma, "radius": r}
            yield Row(value, "fraction", None, "certified accuracy", 0, 100, setting=setting)
        for name, unit in (
            ("abstained", "fraction"),
            ("mean radius", "l2"),
            ("accuracy of votes", "fraction"),
            ("all votes agree", "fraction"),
        ):
            yield Row(sigma / 4, unit, None, name, 0, setting={"sigma": sigma})
        yield Row(1000, "count", None, "draws", 0, setting={"sigma": sigma})


@pytest.fixture
def certificates() -> list[Record]:
    """A record of the closed forms alone, and a record of networks."""
    rows = tuple(rows_of_certificates())
    arrays = {"radii": [0, 1, 2], "sigma-0.25": [[0.7, 0, 0]], "sigma-1": [[0.5, 0.2, 0]]}
    return [
        Record("survey", "certified", "paper", {}, (0,), rows[:4]),
        Record("survey", "certified", "reduced", {}, (0,), rows, arrays),
    ]


def test_the_answer_on_certificates(certificates: list[Record]) -> None:
    """From the record that has networks; the printed numbers are beside ours."""
    text = certified.answer(certificates)
    assert numbers(text.replace("ell_2", ""))[:3] == [0.25, 48, 60]
    assert "our small network (under one epoch) has" in text
    large = replace(certificates[1], profile="paper")
    assert "our network has" in certified.answer([large])
    text = certified.compared(certificates)
    for plain in ("ResNet-18", "ResNet-110", "CIFAR-10", "ell_2"):
        text = text.replace(plain, "")
    assert numbers(text) == [0.25, 48, 60, 0.25, 23, 43, 0.5]


def test_rows_that_compare_code_with_a_formula_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number that needs a trained network was measured in the paper's setting. If one were, the
    page would show the reasons for the verdicts.
    """
    lines = certified.lines_of("survey/certified")
    caps = [line for line in lines if "/radius-cap/" in line.id]
    text = certified.what_is_reproduced()
    assert numbers(text) == [len(caps), len(lines) - len(caps)] == [4, 31]
    assert {line.verdict for line in lines if line not in caps} == {"other setting"}
    failed = replace(lines[0], judgement=replace(lines[0].judgement, verdict="not reproduced"))
    monkeypatch.setattr(certified, "lines_of", lambda item: [failed, *lines[1:]])
    assert certified.what_is_reproduced() == certified.reasons_of("survey/certified")


def test_the_tables_of_certificates(certificates: list[Record]) -> None:
    version = version_of(certificates[1])
    rows = body(certified.printed_beside(version))
    assert [float(row[0]) for row in rows] == list(certified.RADII)
    cells = [[numbers(cell.replace("**", "")) for cell in row[1:]] for row in rows]
    assert cells[1][0] == [60, 47.5] and cells[4][0] == [0] and cells[-1][1] == [10, 0]
    text = certified.printed_beside(version).markdown
    assert "Our accuracy is 0 at each radius above 2.46 sigma" in text
    rows = body(certified.votes(version))
    assert [float(row[-1]) for row in rows] == [
        pytest.approx(sigma * certified_study.largest_radius(1000), abs=6e-4) for sigma in (0.25, 1)
    ]
    versions = [version_of(record) for record in certificates]
    assert certified.with_networks(versions) == versions[1:]


def test_a_formula_compared_with_itself_is_no_measured_number() -> None:
    """The largest radius is computed by one formula, in our code and for the target number."""
    targets = read_targets(catalogue.BOOK / "targets").values()
    assert {t.tally for t in targets if t.item == "cohen-theory"} == {"setting"}


def test_the_page_shows_the_record_with_networks(certificates: list[Record]) -> None:
    """The line on the stored results would otherwise name a run without networks."""
    caps, networks = certificates
    here = Page("survey/certified", {}, caps, (networks,))
    here.published, here.others = certified.networks_first(here.published, here.others)
    assert here.shown is networks and here.others == (caps,)
    text = str(here.run().data)
    assert "profile `reduced`" in text
    assert text.endswith("Some are from another experiment: profile `paper`; seed 0.")
    assert certified.networks_first(None, ()) == (None, ())


def test_the_sentences_on_certificates(certificates: list[Record]) -> None:
    # 100 images: 72.5 and 50 % differ, 47.5 and 43.75 % do not, 22.5 and 37.5 % do.
    text = certified.best_in_words(certificates)
    assert "At radius 0, the certified accuracy is clearly the highest with sigma 0.25." in text
    assert "At radius 0.25, no sigma is clearly the best on 100 images." in text
    assert (
        "At radii 0.5 to 1.75, the certified accuracy is clearly the highest with sigma 1." in text
    )
    assert text.endswith(
        "sigma 0.12 at radius 0, sigma 0.25 at radii 0.25 to 0.5, sigma 0.5 at radii 0.75 to 1 "
        "and sigma 1 at radii 1.25 to 2."
    )
    text = certified.origin(certificates)
    assert "profile `reduced`" in text and "100 test images, and one network for each sigma" in text
    found = numbers(certified.limit_in_words(certificates))
    assert found == [1000, 2.46, 100_000, 3.81, 6, 0.25, 25, 1]


def test_the_figure_of_certificates(certificates: list[Record]) -> None:
    """Two curves of ours and two printed ones; digits are not drawn beside CIFAR-10."""
    (axis,) = certified.curves(certificates).axes
    assert len(axis.lines) == 4
    quick = Record(
        "survey", "certified", "quick", {}, (0,), certificates[1].rows, certificates[1].arrays
    )
    (axis,) = certified.curves([quick]).axes
    assert len(axis.lines) == 2


@pytest.mark.parametrize("item", ["transformations", "certified"])
def test_the_published_record_has_what_the_page_shows(item: str) -> None:
    """Every sentence and table can be made from it."""
    record = record_of(f"survey/{item}")
    if item == "certified":
        assert record.profile == "paper" and {row.name for row in record.rows} >= {"cap"}
    else:
        assert len(body(transformations.accuracies(version_of(record)))) >= 6
        assert transformations.answer(record).startswith("Not at ")
        (cell,) = (
            cell.source
            for cell in notebooks.stored("survey/transformations", ".md").cells
            if cell.source.startswith("**Question.**")
        )
        radii = settings(record, "accuracy", "eps")
        assert numbers(cell) == [max(radii), 255, min(radii), 255], "the answer names neither"
