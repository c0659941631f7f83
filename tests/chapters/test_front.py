"""The sentences and the picture of the landing page."""

import re

import numpy as np
import pytest

from robustbook.chapters import front
from robustbook.chapters.published import record_of, values


def test_findings_are_sentences_with_numbers() -> None:
    for paper, finding in front.FINDINGS.items():
        text = finding()
        assert text.endswith(".") and re.search(r"\d", text), paper
        assert all(len(sentence.split()) < 50 for sentence in text.split(". ")), paper


def test_the_finding_on_noise_names_what_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    text = front.self_ensemble()
    record = record_of("self_ensemble/figure-6")
    d, rse, none = front.figure6.at_equal_distance(record, "model-a") or (0.0, 0.0, 0.0)
    assert f"distance {d:g}), Model A on STL-10 has an accuracy of {rse:.1f} %" in text
    assert f"{none:.1f} % without noise: not distinguishable (200 images, one seed)" in text
    (wide,) = (r for r in front.records_of("self_ensemble/table-2") if r.profile == "paper")
    rse, none = (front.names.at(wide, "vgg16", d, 0.06) for d in ("rse", "none"))
    assert f"VGG16 on CIFAR-10 has an accuracy of {rse:.1f} % with RSE and {none:.1f} % w" in text
    assert text.endswith("ResNeXt on CIFAR-10 was not yet attacked at full width.")
    monkeypatch.setattr(front, "records_of", lambda item: [])
    text = front.self_ensemble()
    assert text.endswith("VGG16 and ResNeXt on CIFAR-10 were not yet attacked at full width.")
    monkeypatch.setattr(front.self_ensemble_overview, "under_pgd", lambda record: "it falls")
    monkeypatch.setattr(front.names, "NETWORKS", {"model-a": "Model A"})
    assert "CIFAR-10" not in front.self_ensemble()


@pytest.mark.parametrize(("left", "words"), [(2.0, "But after"), (80.0, " After an")])
def test_the_words_follow_the_numbers(
    left: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "cnn": {"saturated": {"pgd softened": [left - 1]}},
        "relu-mlp": {"saturated": {"pgd softened": [left]}},
    }
    monkeypatch.setattr(front, "accuracies", lambda record: made)
    whole = {"cnn": [90.0, 80.0], "relu": [50.0, 60.0]}  # under FGSM, on all test images
    monkeypatch.setattr(front, "of_target", lambda record, id_: whole[id_[19:].split("-")[0]])
    text = front.saturating()
    assert "of 2 kinds of network, the CNN, still classifies 80 to 90 %" in text and words in text
    assert "(range over 2 seeds)" in text and text.endswith(f"{left:.0f} %.")
    assert "accurate kind, the ReLU MLP, classifies" in text
    assert ("are not robust" in text) == (left < 42.5)


def test_a_rival_that_does_less_is_not_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = {"deep-defense": 2.0, front.RIVAL: 1.5}
    monkeypatch.setattr(
        front, "nearest_gain", lambda record, network, method="deep-defense": gains[method]
    )
    text = front.deep_defense()
    assert "that DeepFool or DDN finds by 2.00 (MLP, 1,000 test images)" in text
    assert ". Adversarial training with FGSM" in text and "on 0 of 2 networks" in text


def test_the_finding_of_the_survey_names_networks_and_images() -> None:
    """Accuracies without the data and the attack say little."""
    text = front.survey()
    assert "widths on MNIST (100 test images) with PGD: its accuracy is 74.0 % under PGD" in text
    assert "narrow ResNet-18 on CIFAR-10 (200 test images), PGD at radius 4/255 leaves" in text


def test_the_example_is_the_published_pair_that_changes_least() -> None:
    shown = front.example()
    assert shown.label != shown.answer and 0 < shown.size < 0.25
    record = record_of("survey/szegedy")
    assert set(values(record, "found", network=front.SHOWN, target="random")) == {100}
    change = np.abs(shown.adversarial.astype(int) - shown.image.astype(int))
    assert change.max() / 255 == pytest.approx(shown.size)
    flat = shown.perturbation[change == 0]
    assert (flat == 128).all() and shown.perturbation.dtype == np.uint8
