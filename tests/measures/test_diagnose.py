"""Each question is red only for the evidence that it is about."""

from typing import Any

import numpy as np
import pytest

from robustbook.diagnosis import NAMES
from robustbook.measures import diagnose

SOUND: dict[str, Any] = {
    "clean": 98.0,
    "one_step": 30.0,
    "one_step_clipped": 32.0,
    "zero_gradients": 0.0,
    "random_signs": 95.0,
    "many_steps": 5.0,
    "repaired": 5.0,
    "gradient_free": 12.0,
    "float64": 30.0,
    "rescaled": 31.0,
    "transfer": 60.0,
    "curve": {0.0: 98.0, 0.1: 40.0, 0.3: 5.0, 1.0: 0.0},
    "unlimited": 0.0,
    "chance": 10.0,
    "changed_answers": 0.0,
    "repeats": [30.0, 30.0],
}


def reds(evidence: dict[str, Any], **thresholds: float) -> list[str]:
    return [f.question for f in diagnose(evidence, **thresholds) if f.red]


def test_a_sound_evaluation_has_no_red() -> None:
    """A warning that always appears would be ignored."""
    assert SOUND.keys() == NAMES.keys()
    assert reds(SOUND) == [] and len(diagnose(SOUND)) == 12


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ({"zero_gradients": 1.5}, "zero"),
        ({"random_signs": 34.0}, "random signs"),
        ({"many_steps": 40.0, "repaired": 40.0, "gradient_free": 40.0}, "many steps"),
        ({"many_steps": 30.0, "gradient_free": 30.0}, "repairing"),
        ({"float64": 20.0}, "precision"),
        ({"float64": 40.0}, "precision"),
        ({"rescaled": 10.0}, "scale"),
        ({"many_steps": 20.0, "repaired": 20.0}, "without gradients"),
        ({"transfer": 20.0}, "another network"),
        ({"curve": {0.1: 40.0, 0.2: 10.0, 0.3: 11.5}}, "larger budget"),
        ({"curve": {0.1: 10.0, 0.2: 10.9, 0.3: 11.8}}, "larger budget"),  # together 1.8
        ({"unlimited": 15.5}, "chance"),
        ({"changed_answers": 1.5}, "random?"),
        ({"repeats": [30.0, 33.0, 31.0]}, "again"),
    ],
)
def test_each_question_turns_red_alone(change: dict[str, Any], question: str) -> None:
    """Each kind of uninformative gradient must be found by its own question."""
    (found,) = reds(SOUND | change)
    assert question in found.lower()


@pytest.mark.parametrize(
    ("change", "thresholds"),
    [
        ({"zero_gradients": 1.0}, {}),
        ({"zero_gradients": 1.5}, {"share": 1.5}),
        ({"random_signs": 35.0}, {}),
        ({"one_step": 0.0, "random_signs": 0.0, "float64": 0.0, "rescaled": 0.0}, {}),
        ({"many_steps": 37.0, "repaired": 37.0, "gradient_free": 37.0}, {}),
        ({"float64": 35.0, "rescaled": 25.0}, {}),
        ({"transfer": 27.0}, {}),
        ({"curve": {0.3: 5.0, 0.1: 40.0, 0.2: 4.0}}, {}),  # the order does not matter
        ({"curve": {0.1: 40.0, 0.2: 42.0}}, {"rise": 2.0}),
        ({"unlimited": 15.0}, {}),
        ({"changed_answers": 1.0, "repeats": [30.0, 31.0]}, {}),
    ],
)
def test_differences_up_to_the_threshold_count_as_none(
    change: dict[str, Any], thresholds: dict[str, float]
) -> None:
    assert reds(SOUND | change, **thresholds) == []


def test_only_what_the_evidence_can_answer_is_asked() -> None:
    """One accuracy alone answers nothing, and each question needs its own evidence."""
    assert diagnose({}) == [] and diagnose({"clean": 98.0, "chance": 10.0}) == []
    without = {name: value for name, value in SOUND.items() if name != "transfer"}
    assert len(diagnose(without)) == len(diagnose(SOUND)) - 1
    pairs = [("one_step", "random_signs"), ("many_steps", "repaired"), ("unlimited", "chance")]
    for pair in pairs:
        assert len(diagnose({name: SOUND[name] for name in pair})) == 1


def test_one_step_stands_for_the_clipped_one_where_that_is_left_out() -> None:
    """An evaluation that clips everything has one number for both."""
    evidence = {"one_step": 30.0, "many_steps": 40.0, "transfer": 20.0}
    assert len(reds(evidence)) == 2
    assert reds(evidence | {"one_step_clipped": 50.0}) == [diagnose(evidence)[1].question]


def test_the_sentences_hold_the_numbers() -> None:
    """The page prints them unchanged."""
    text = " ".join(f.sentence for f in diagnose(SOUND))
    for number in ("30.0", "95.0", "32.0", "60.0", "31.0", "12.0"):
        assert f"{number} %" in text
    (risen,) = diagnose({"curve": {0.1: 10.0, 0.2: 50.0, 0.4: 20.0}})
    assert "from 10.0 % at eps 0.1 to 50.0 % at eps 0.2" in risen.sentence
    assert diagnose({"zero_gradients": np.float32(3.0)})[0].red  # numbers of numpy are accepted


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"one_stop": 3.0}, r"no name 'one_stop'; did you mean 'one_step'\?"),
        ({"zero_gradient": 3.0}, r"did you mean 'zero_gradients'\?"),
        ({"x": 3.0}, "no name 'x'; it has clean, one_step"),
        ({"clean": 101.0}, r"clean must be a percentage in \[0, 100\], got 101.0"),
        ({"clean": float("nan")}, r"clean must be a percentage in \[0, 100\], got nan"),
        ({"clean": True}, "clean must be a percentage"),
        ({"clean": "98"}, "clean must be a percentage"),
        ({"curve": {0.1: 40.0}}, "curve must be a mapping from two or more sizes to percentages"),
        ({"curve": {"0.1": 40.0, "0.2": 30.0}}, "curve must be a mapping"),
        ({"curve": {0.1: 40.0, 0.2: -1.0}}, "curve must be a mapping"),
        ({"repeats": [30.0]}, "repeats must be a list of two or more percentages"),
    ],
)
def test_other_evidence_is_refused(evidence: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diagnose(evidence)


@pytest.mark.parametrize("name", ["points", "share", "rise"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, True])
def test_a_threshold_that_would_hide_every_red_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"{name} must be a percentage in \[0, 100\], got {wrong}"
    ):
        diagnose(SOUND, **{name: wrong})
