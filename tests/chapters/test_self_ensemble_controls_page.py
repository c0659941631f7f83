"""The page on other forms of the defenses, from made-up records."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from robustbook.chapters.published import entries, mean, record_of, version_of
from robustbook.chapters.self_ensemble import controls, overview
from robustbook.ledger import Record, Row
from robustbook.studies.rows import share_row
from robustbook.studies.self_ensemble import controls as study

from .reading import body, numbers

CS = (0.0, 0.03, 0.2)
CLEAN = {
    "rse": 70,
    "prototype": 75,
    "pgd": 60,
    "adv": 50,
    "adv twice": 55,
    "adv paper": 65,
    "distill": 30,
    "distill crops": 45,
    "distill 100": 46,
    "distill released": 20,
    "distill teacher 100": 80,
    "none": 85,
}


def test_the_page_states_the_draws_of_the_study() -> None:
    for profile, size in study.SIZES.items():
        shown = replace(made(), profile=profile)
        assert f"over {size.averaged} draws of the noise" in controls.averaged(shown)


def made(defenses: Sequence[str] = tuple(CLEAN), **clean: float) -> Record:
    """Return a record of 400 images. Under the attack 10 and 30 points are lost, under PGD 20 with
    the l2 norm and 40 with the l-infinity norm; no defense has 0 % under PGD.
    """
    rows = []
    for d in defenses:
        start = clean.get(d, CLEAN[d])
        of = {"network": "vgg16", "defense": d}
        for c, lost in zip(CS, (0, 10, 30), strict=True):
            value = max(start - lost, 0)
            labels = {**of, "c": c}
            rows.append(Row(value, "percent", None, "accuracy", 0, 400, setting=labels))
            if c:
                rows.append(Row(c, "l2", None, "distortion", 0, setting=labels))
        far = {**of, "distortion": 0.1}
        rows.append(Row(start - 20, "percent", None, controls.EQUAL, 0, setting=far))
        for attack, eps, lost in (("pgd-l2", 0.5, 20), ("pgd-linf", 8 / 255, 40)):
            value = 0 if d == "none" else max(start - lost, 0)
            labels = {**of, "attack": attack, "eps": eps}
            rows.append(Row(value, "percent", None, controls.PGD, 0, 400, setting=labels))
        if d in ("rse", "pgd"):
            ratio = {"rse": 1.4, "pgd": 8.0}[d]
            rows.append(Row(ratio, "ratio", None, controls.TIME, 0, setting=of))
    if {"rse", "pgd"} <= set(defenses):
        rows.append(Row(5.8, "ratio", controls.TRAINING_TIME, seed=0))
    if "prototype" in defenses:
        rows.append(Row(97.5, "percent", controls.NATTACK, seed=0, images=300))
    return Record("self_ensemble", "controls", "reduced", {}, (0,), tuple(rows))


def test_the_page_knows_the_networks_of_the_study() -> None:
    """The page has its own list, because the study's module imports torch."""
    assert set(controls.DEFENSES) == set(study.CONTROLS) == set(CLEAN)


def test_the_answer_compares_pgd_training_with_rse() -> None:
    """40 against 50 % on 400 images is a clear difference, 49 against 50 % is not."""
    told = controls.answer(made())
    clean, *under = told.split(". ")
    assert clean.startswith(
        "On a narrow VGG16 on CIFAR-10 (400 images, one seed), PGD training is "
    )
    assert clean.endswith("is clearly less accurate than RSE on clean images (60.0 and 70.0 %)")
    assert all("it is clearly less accurate (" in each for each in under)
    assert [numbers(each) for each in under] == [[0.5, 40, 50], [8, 255, 20, 30]]
    assert controls.answer(made(pgd=69)).count("not clearly more or less accurate") == 3
    assert controls.answer(made(pgd=90)).count("clearly more accurate") == 3
    few = controls.answer(made(("rse", "prototype", "none")))
    assert "the first prototype is" in few and numbers(few)[-7:-4] == [0.5, 55, 50]


@pytest.mark.parametrize("left_out", controls.DEFENSES)
def test_a_record_without_a_defense_has_its_other_sentences(left_out: str) -> None:
    """A reader can leave out any defense."""
    record = made([d for d in CLEAN if d != left_out])
    for sentence in (
        controls.answer,
        controls.pgd_training,
        controls.retraining,
        controls.distillation,
        controls.prototype,
    ):
        sentence(record)
    table = body(controls.measured(version_of(record)))
    assert len(table) == len(CLEAN) - 1 and all(len(row) == 1 + len(CS) + 3 for row in table)
    assert len(controls.accuracies(record).axes) == 2
    gone = {
        "rse": (controls.pgd_training, controls.prototype),
        "pgd": (controls.pgd_training,),
        "adv twice": (controls.retraining,),
        "distill crops": (controls.distillation,),
        "prototype": (controls.prototype,),
    }
    assert not any(sentence(record) for sentence in gone.get(left_out, ()))


def test_pgd_training_in_words() -> None:
    told = numbers(controls.pgd_training(made()))
    assert told[:9] == [60, 70, 0.5, 40, 50, 8, 255, 20, 30]
    assert told[9:] == [0.2, 30, 40, 0.2, 0.2, 0.1, 40, 50, 5.8, 8.0]
    text = controls.pgd_training(made())
    assert "On clean images, PGD training is clearly less accurate than RSE (60" in text
    assert "not a clear difference" not in text  # 10 points on 400 images
    near = controls.pgd_training(made(pgd=69))
    assert near.startswith("On clean images, PGD training is not clearly more or less accurate")
    assert near.count(", which is not a clear difference.") == 2
    (printed,) = (row.ours for row in entries("self_ensemble") if row.id == controls.TRAINING_TIME)
    text = controls.pgd_training(record_of("self_ensemble/controls"))
    assert f"takes {printed:.1f} times as long as a step of RSE" in text  # as in the table


def test_pgd_training_is_compared_with_rse_and_with_no_defense() -> None:
    """Differences of 10 points are clear on 400 images, one point is not."""
    above_none = (
        "clearly more accurate under l2 PGD and under l-infinity PGD; clearly less accurate"
    )
    assert controls.on_cifar(made()).endswith(
        f"a network without a defense, PGD training is {above_none} on clean images."
    )
    assert controls.on_cifar(made(["rse", "none"])) == ""


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.4, "Training is slower too: a training step with RSE takes 1.40 times as long"),
        (1.0, "Training is not slower: a training step with RSE takes 1.00 times as long"),
    ],
)
def test_the_cost_of_rse_in_training(ratio: float, words: str) -> None:
    rows = [replace(r, value=ratio) if r.name == controls.TIME else r for r in made().rows]
    assert controls.cost(replace(made(), rows=tuple(rows))).startswith(words)
    assert controls.cost(made(["prototype", "none"])) == ""


def test_retraining_is_compared_at_equal_length() -> None:
    told = controls.retraining(made())
    assert numbers(told) == [65, 55, 0.03, 55, 45, *CS[1:], 45, 2, 50, 40]
    clearly = (
        "is clearly more accurate on clean images. Under attack, it is clearly more accurate at $c$"
    )
    assert f"started from a trained one {clearly}" in told
    assert told.count("clearly less accurate") == 0 and "at most 45.0 % with either" in told
    less = controls.retraining(made(**{"adv paper": 30}))
    assert less.count("clearly less accurate") == 2
    same = controls.retraining(made(**{"adv paper": 55}))
    assert same.count("not clearly more or less accurate") == 2


def test_values_of_c_are_grouped_by_what_is_clear_there() -> None:
    """An advantage under weak attacks is no advantage under all."""
    told = controls._grouped({0.01: True, 0.03: True, 0.1: None, 0.2: False})
    assert "clearly more accurate at $c$ = 0.01 and 0.03" in told
    assert told.endswith("; not clearly more or less accurate at $c$ = 0.1")


def test_distillation_says_which_step_changes_the_accuracy() -> None:
    told = controls.distillation(made())
    assert numbers(told) == [40, 30, 45, 46, 100, 20, 100, 80]
    words = [part for part in ("a clear rise", "no clear change", "a clear fall") if part in told]
    assert len(words) == 3
    assert told.index("a clear rise") < told.index("no clear change") < told.index("a clear fall")


def test_students_are_compared_with_no_defense_under_the_attack() -> None:
    """In the made record all students are far below no defense. Table 2 prints more for
    distillation at the two smallest c.
    """
    told = controls.distillation_under_attack(made())
    assert told.startswith("At none of the 2 values of $c$ is one of the 4 students clearly more")
    assert "In 8 of 8 comparisons, the student is clearly less accurate." in told
    assert told.endswith("than without a defense at $c$ = 0.01 and 0.03.")
    told = controls.distillation_under_attack(made(distill=99, **{"distill crops": 86}))
    assert told.startswith(
        "These students are clearly more accurate than the network without a defense: "
        "Distillation, T = 40 at $c$ = 0.03 and 0.2. In 4 of 8 comparisons"
    )
    assert controls.distillation_under_attack(made(["distill", "none"])) == ""


def test_networks_on_which_pgd_is_the_weaker_attack_are_named() -> None:
    """In the made record PGD leaves 10 points more than the attack at c = 0.2, except without a
    defense. Differences of 10 points are clear on 400 images.
    """
    told = controls.masking(made(("distill", "rse", "none")))
    assert told.splitlines()[2:] == [
        "- RSE: 50.0 and 40.0 %",
        "- Distillation, T = 40: 10.0 and 0.0 %",
    ]
    assert "No defense" not in told
    some = made(("distill", "rse", "none"))
    equal = [
        replace(row, value=60.0, outcomes="")
        if row.name.startswith("accuracy") and row.setting.get("defense") == "distill"
        else row
        for row in some.rows
    ]
    told = controls.masking(replace(some, rows=tuple(equal)))
    assert told.endswith("This is not so with Distillation, T = 40 (60.0 and 60.0 %).")
    assert controls.masking(made(("none",))) == ""


def test_the_prototype_is_compared_only_if_it_trained() -> None:
    told = controls.prototype(made())
    assert numbers(told)[-2:] == [97.5, 57.1]  # RSE keeps 30 of 70 points
    assert "PGD leaves RSE" not in told  # 50 and 30 % are less than 55 and 35 %
    assert "RSE is not clearly more or less accurate at $c$ = 0.03 and 0.2. Within the" in told
    both = controls.prototype(made(prototype=71, rse=85))
    assert "Both PGD attacks leave RSE clearly more accurate than the prototype." in both
    assert "RSE is clearly more accurate at $c$ = 0.03 and 0.2." in both
    rows = tuple(
        replace(r, value=30) if r.setting.get("attack") == "pgd-linf" else r
        for r in made(prototype=71, rse=85).rows
    )
    one = controls.prototype(replace(made(), rows=rows))
    assert "Of the two PGD attacks, only l2 PGD leaves RSE clearly more accurate" in one
    assert "was trained badly" in controls.prototype(made(prototype=40))


def test_accuracies_under_the_attack_are_compared_image_by_image() -> None:
    """RSE loses none of the 280 images of the prototype and gains 8: clear only in pairs."""
    right = {"rse": 288, "prototype": 280}
    rows = [
        share_row(torch.arange(400) < right[d], None, r.name, 0, setting=r.setting)
        if r.name == "accuracy" and (d := r.setting["defense"]) in right
        else r
        for r in made().rows
    ]
    told = controls.prototype(replace(made(), rows=tuple(rows)))
    assert "RSE is clearly more accurate at $c$ = 0.03 and 0.2." in told
    bare = tuple(replace(r, outcomes="") for r in rows)
    told = controls.prototype(replace(made(), rows=bare))
    assert "RSE is not clearly more or less accurate at $c$ = 0.03 and 0.2." in told


def test_the_accuracy_on_the_page_on_stronger_attacks_is_named() -> None:
    """It is the mean of two seeds, under PGD with the same radius and as many draws."""
    of = {"network": "vgg16", "defense": "rse", "attack": "pgd linf", "averaged": 10}
    found = mean(record_of("self_ensemble/today"), "accuracy", eps=round(8 / 255, 5), **of)
    told = controls.trained_elsewhere(made())
    assert f"leaves {found:.1f} % with RSE (200 images, 2 seeds)" in told
    assert controls.kept_elsewhere(made()) == found
    text = overview.against_pgd_training(made())
    assert text.startswith(controls.answer(made()))
    assert text.endswith(f"at the top, it keeps {found:.1f} % under the same l-infinity PGD.)")
    elsewhere = replace(made(), profile="paper")
    assert overview.against_pgd_training(elsewhere) == controls.answer(elsewhere)
    assert controls.trained_elsewhere(elsewhere) == ""
    assert controls.trained_elsewhere(made(["none", "pgd"])) == ""


def test_the_table_has_a_dash_where_the_attack_does_not_reach() -> None:
    record = made()
    rows = [r for r in record.rows if (r.name, r.setting.get("defense")) != (controls.EQUAL, "rse")]
    table = body(controls.measured(version_of(replace(record, rows=tuple(rows)))))
    assert table[0][-3:] == ["–", "50.0", "30.0"] and table[1][-3] == "55.0"
    far = body(controls.distortions(version_of(record)))
    assert far[0][1:] == ["0.030", "0.200"]
