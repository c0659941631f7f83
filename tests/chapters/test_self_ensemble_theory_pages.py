"""The pages on the theory, the black-box attack and the attacks of today, from their records."""

from itertools import pairwise

import pytest

from robustbook.chapters.published import (
    Version,
    array,
    mean,
    records_of,
    settings,
    values,
    version_of,
)
from robustbook.chapters.self_ensemble import theory, today, zoo
from robustbook.chapters.self_ensemble.names import networks
from robustbook.chapters.wording import minus
from robustbook.ledger import Record, Row
from robustbook.studies.self_ensemble import theory as theory_study
from robustbook.studies.self_ensemble import today as today_study
from robustbook.studies.self_ensemble import zoo as zoo_study

from .reading import body


def versions(item: str) -> list[Version]:
    return [version_of(record) for record in records_of(f"self_ensemble/{item}")]


@pytest.mark.parametrize("version", versions("today"), ids=lambda v: v.tag)
def test_today(version: Version) -> None:
    """Every attack of the record has its row, upper bounds fall with the radius, and the sentences
    have numbers of the record."""
    record = version.record
    measured = {row.setting["attack"] for row in record.rows if row.name == "accuracy"}
    assert measured == set(today.ATTACKS)
    first = networks(record)[0]
    rows = [row for row in body(today.attacks(version)) if row[3]]
    assert len(rows) == sum(row.name == "accuracy" for row in record.rows) / len(record.seeds)
    for network, of, curve in (
        name.split("/") for name in record.arrays if not name.startswith("radii")
    ):
        for each in array(record, f"{network}/{of}/{curve}"):
            assert all(a >= b for a, b in pairwise(each))
    r = today.middle(record, first)
    left = today.within(record, first, "rse", "all", r)
    assert f"{left:.0f}" in today.answer(record) and f"{r:g}" in today.answer(record)
    counts = {row.images for row in record.rows if row.name == "accuracy"}
    assert all(f"{count:,} images" in today.ran([record]) for count in counts)
    assert f"{min(counts):,} images" in today.answer(record)
    assert f"{min(counts):,} images" in today.finding(record)
    seen = mean(record, "accuracy as seen", network=first, defense="rse", attack="off")
    assert f"{seen:.1f}" in today.noise_in_words([record])
    assert len(today.curves([record]).axes) >= 1


@pytest.mark.parametrize("version", versions("theory"), ids=lambda v: v.tag)
def test_theory(version: Version) -> None:
    """No point of the first panel lies below the diagonal."""
    record = version.record
    figure = theory.steps(record)
    cloud = figure.axes[0].lines[0]
    assert all(y >= x - 1e-6 for x, y in zip(*cloud.get_data(), strict=True))
    text = theory.answer(record)
    assert "holds for every image" in text
    ratio = mean(record, "gap over norm", network="digits", scale=theory.SMALL)
    assert f" and {ratio:.2f} times that from the norm" in text
    for defense in theory.DEFENSES:
        found = mean(record, "rank correlation", network=networks(record)[0], defense=defense)
        assert f"{found:.2f}" in theory.correlations_in_words(record)
    bent = len(record.arrays[f"{networks(record)[0]}/rse/bent/trace"])
    assert f"{bent} images" in theory.ran(record)
    assert f"come from {bent} images" in theory.taylor_in_words(record)
    scales = settings(record, "gap over trace", "scale", network=networks(record)[0])
    found = [mean(record, "gap over trace", network=networks(record)[0], scale=s) for s in scales]
    for end in (min(found), max(found)):  # the range over all sizes of the noise
        assert minus(f"{end:.2f}") in theory.taylor_in_words(record) and minus(f"{end:.2f}") in text
    assert len(body(theory.slopes(version))) >= 2
    assert len(body(theory.bounds(version))) == 1 + len(theory_study.COUNTS)
    for row in body(theory.gaps(version)):
        assert row[1] or row[0].startswith("**")


@pytest.mark.parametrize("version", versions("zoo"), ids=lambda v: v.tag)
def test_zoo(version: Version) -> None:
    """The draws that a pixel needs exceed those along the gradient by the number of pixels."""
    record = version.record
    network = networks(record)[0]
    pixel, along = (
        mean(record, f"draws along {name}", network=network, h=zoo.MODERATE)
        for name in ("a pixel", "the gradient")
    )
    assert pixel / along == pytest.approx(3 * (96 if network == "model-a" else 32) ** 2, rel=1e-3)
    assert len(body(zoo.numbers(version))) == 1 + len(zoo_study.STEPS)
    assert len(zoo.estimates(record).axes) == 2
    table = body(zoo.attacks(version))
    assert [row[0] for row in table if row[3]]
    images = {row.images for row in record.rows if row.name == "success"}
    hits = max(zoo.success(record, network, "none").values()) * min(images) / 100
    text = zoo.answer(record)
    if len(record.seeds) == 1:
        assert f"{hits:.3g} of {min(images)} without a defense" in text
    moved = values(record, "distance", network=network, defense="rse")
    assert ("new noise alone" in text) == (not any(moved) and bool(moved))
    assert f"attacks {min(images)} images" in zoo.ran(record)
    wide = zoo.widest(record, network)
    assert wide in zoo_study.STEPS and wide >= zoo.MODERATE and f"h = {wide:g}" in text


def test_constants_are_those_of_the_studies() -> None:
    assert theory.SMALL == theory_study.AT and zoo.MODERATE == zoo_study.MODERATE
    assert set(today_study.OWN["vgg16"]) <= set(today.DEFENSES)


def test_the_wording_follows_the_numbers() -> None:
    """The answer claims a lower accuracy only if the number of images carries it."""

    def record(search: float, many: float) -> Record:
        found = {
            ("clean", 1): 90.0,
            ("paper", 1): 60.0,
            ("paper", 10): many,
            ("search", 10): search,
        }
        of = {"network": "vgg16", "defense": "rse"}
        rows = [
            Row(
                v,
                "percent",
                None,
                "accuracy",
                0,
                50,
                setting={**of, "attack": a, "averaged": k, "eps": 0},
            )
            for (a, k), v in found.items()
        ]
        for attack, value in (("paper", 60.0), ("all", search)):
            label = {**of, "attack": attack, "eps": 0.5}
            rows.append(Row(value, "percent", None, "accuracy within", 0, setting=label))
        label = {**of, "defense": "none", "attack": "all", "eps": 0.5}
        rows.append(Row(1.0, "percent", None, "accuracy within", 0, setting=label))
        rows.append(Row(2.0, "percent", None, "spread", 0, setting=of))
        return Record("self_ensemble", "today", "paper", {}, (0,), tuple(rows))

    weak, same = today.answer(record(10.0, 20.0)), today.answer(record(88.0, 58.0))
    assert weak.startswith("No: ") and "10 draws in the paper's attack lowers it (60" in weak
    assert same.startswith("This run cannot tell: ") and "attack does not clearly change" in same
    assert "Without a defense it is 1.0\N{NO-BREAK SPACE}% under all attacks together" in weak
    assert "50 images, one seed; new noise alone changes an accuracy by up to 2.0 points" in same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "1"),
        (12.4, "12"),
        (1127.7, "1,100"),
        (3.6e8, "360\N{NO-BREAK SPACE}million"),
        (1.66e9, "1.7\N{NO-BREAK SPACE}billion"),
    ],
)
def test_a_number_of_draws_has_two_digits(value: float, text: str) -> None:
    assert zoo._power(value) == text
