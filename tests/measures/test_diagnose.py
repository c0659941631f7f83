"""Each question turns red on the evidence it is about, and on nothing else."""

from dataclasses import replace

import pytest

from robustbook.measures import Evidence, diagnose

SOUND = Evidence(
    single=30.0,
    unmoved=0.0,
    signs=95.0,
    clipped=32.0,
    many=5.0,
    repaired=5.0,
    float64=30.0,
    rescaled=31.0,
    transfer=60.0,
)


def reds(evidence: Evidence, points: float = 5.0) -> list[str]:
    return [f.question for f in diagnose(evidence, points=points) if f.red]


def test_a_sound_evaluation_has_no_red() -> None:
    """A warning that is always there is read by nobody."""
    assert reds(SOUND) == []


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ({"unmoved": 1.5}, "zero"),
        ({"signs": 34.0}, "coin"),
        ({"many": 40.0, "repaired": 40.0}, "many steps"),
        ({"many": 30.0}, "repairing"),
        ({"float64": 20.0}, "precision"),
        ({"rescaled": 10.0}, "scale"),
        ({"transfer": 20.0}, "another network"),
    ],
)
def test_each_question_turns_red_alone(change: dict[str, float], question: str) -> None:
    """A masked gradient must be seen by the question that is meant for it."""
    (found,) = reds(replace(SOUND, **change))
    assert question in found.lower()


def test_without_a_transfer_that_question_is_not_asked() -> None:
    """The vanilla network has no other network to be attacked through."""
    assert len(diagnose(SOUND)) == len(diagnose(replace(SOUND, transfer=None))) + 1


def test_the_sentences_hold_the_numbers() -> None:
    """The page prints them as they are."""
    text = " ".join(f.sentence for f in diagnose(SOUND))
    for number in ("30.0", "95.0", "32.0", "60.0", "31.0"):
        assert f"{number} %" in text
