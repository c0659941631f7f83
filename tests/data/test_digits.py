"""The embedded digits are the same bytes everywhere, and resemble MNIST."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbook.data import DataError, as_float, digits, load

GOLDEN = {
    "train": (
        "5d770937c1efa5f5cdf353d092226a580b55fd86b9bc4f9ba68bcbae1e53e4d4",
        "e70bfe8f30cbd7bc2e7e3ea868afa279f93bfb16ca8827ee4c508c115285f1a3",
    ),
    "test": (
        "512a51d551380f8e7f40ad4d94645abaf8cb9bb9c669fcd388b5a85dd3c8b1f6",
        "f6500c729f80695cd6153c5e778eb77c1a0b9481bc16fe39e34a64b40da5f7ef",
    ),
}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_bytes_are_fixed(split: str) -> None:
    """Published `quick` numbers depend on every one of these bytes."""
    data = load("digits", split)
    arrays = (data.images.numpy(), data.labels.numpy().astype("<i8"))
    assert tuple(hashlib.sha256(a.tobytes()).hexdigest() for a in arrays) == GOLDEN[split]


def test_the_splits_are_disjoint_complete_and_stratified() -> None:
    """No test image is used for training."""
    _, labels = digits._originals()
    train, test = digits._split(labels)
    assert sorted([*train, *test]) == list(range(1797))
    assert np.bincount(labels[test]).tolist() == [40] * 10
    assert (len(load("digits", "train")), len(load("digits", "test"))) == (1397, 400)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_first_images_are_a_fair_sample(split: str) -> None:
    """Of 100 images about 10 are of each class; below 2 or above 22 is 4 standard deviations
    away.
    """
    counts = torch.bincount(load("digits", split).subset(100).labels, minlength=10)
    assert counts.min() >= 2 and counts.max() <= 22


@pytest.mark.slow
def test_images_and_labels_are_scikit_learns() -> None:
    """scikit-learn's own reader gives the same digits from this file."""
    from sklearn.datasets import load_digits

    expected = load_digits()
    counts, labels = digits._originals()
    np.testing.assert_array_equal(counts, expected.images)
    np.testing.assert_array_equal(labels, expected.target)


def test_the_integer_enlargement_is_the_bilinear_one() -> None:
    """It agrees with torch's interpolation in float64 up to rounding, half a grey level."""
    counts = digits._originals()[0][::10]
    box = torch.nn.functional.interpolate(
        torch.from_numpy(counts).double()[:, None], size=(20, 20), mode="bilinear"
    )
    expected = (255 * (2 * box / 16 - 0.5)).clamp(0, 255)[:, 0]
    images = torch.from_numpy(digits._mnist_format(counts)).double()
    for image, wanted in zip(images, expected, strict=True):
        found = min(
            float((image[top : top + 20, left : left + 20] - wanted).abs().max())
            for top in range(9)
            for left in range(9)
        )
        assert found <= 0.5 + 1e-9


def test_the_centre_of_mass_is_in_the_middle() -> None:
    """As in MNIST it is within half a pixel of 13.5, in rows and columns; no digit touches the
    edge.
    """
    images = as_float(load("digits", "train").images, torch.float64)[:, 0]
    place = torch.arange(28, dtype=torch.float64)
    mass = images.sum((1, 2))
    for axis in (1, 2):
        centre = (images.sum(3 - axis) * place).sum(1) / mass
        assert (centre - 13.5).abs().max() <= 0.5 + 1e-9


def test_greys_are_spread_as_in_mnist() -> None:
    """MNIST's training images have mean 0.131, deviation 0.308, and 7.4 % of pixels at 250 or
    more.
    """
    images = load("digits", "train").images
    scaled = as_float(images)
    assert abs(scaled.mean() - 0.131) < 0.03
    assert abs(scaled.std() - 0.308) < 0.03
    assert abs((images >= 250).float().mean() - 0.074) < 0.01


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Spec:
        origin = str(tmp_path / "sklearn" / "__init__.py")

    monkeypatch.setattr(digits, "find_spec", lambda name: Spec)
    monkeypatch.setattr(digits, "_originals", digits._originals.__wrapped__)
    with pytest.raises(DataError, match=r"digits\.csv\.gz is not .* it cannot be read .*reinstall"):
        load("digits", "test")
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs scikit-learn, which is not installed"):
        load("digits", "test")
