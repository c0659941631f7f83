"""The embedded colour images are the same bytes everywhere, and agree with their description."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robustbook.data import DataError, digits, load, scenes
from robustbook.randomness import generator

GOLDEN = {
    "train": (
        "08534ae44974594a581931a1d40dc70bdb388a2be60b3f502c46d3b6e73669be",
        "6c7e15c54ce074fdd8d1db76722793d406f711b789bd2038897ca68367d50f3a",
    ),
    "test": (
        "45520abbfe64666575d584fa1ca5dcacc1271246eacff9b9a212c0275a0c5b81",
        "f6500c729f80695cd6153c5e778eb77c1a0b9481bc16fe39e34a64b40da5f7ef",
    ),
}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_bytes_are_fixed(split: str) -> None:
    """Published `quick` numbers depend on every one of these bytes."""
    data = load("scenes", split)
    arrays = (data.images.numpy(), data.labels.numpy().astype("<i8"))
    assert tuple(hashlib.sha256(a.tobytes()).hexdigest() for a in arrays) == GOLDEN[split]


def test_the_labels_are_those_of_the_digits() -> None:
    """Each digit occurs twice in training, all of them once before any repeats; once in testing."""
    train, test = load("scenes", "train"), load("scenes", "test")
    assert train.images.shape == (2794, 3, 32, 32) and test.images.shape == (400, 3, 32, 32)
    assert torch.equal(train.labels, load("digits", "train").labels.repeat(2))
    assert torch.equal(test.labels, load("digits", "test").labels)
    assert torch.bincount(test.labels).tolist() == [40] * 10
    assert (test.name, test.split, test.classes) == ("scenes", "test", 10)


def test_no_pixel_of_a_photograph_is_in_both_splits() -> None:
    """Otherwise a network could learn the backgrounds of the test images."""
    columns = {split: set(range(320)[part]) for split, part in scenes._COLUMNS.items()}
    assert not columns["train"] & columns["test"]
    assert columns["train"] | columns["test"] == set(range(320))
    assert scenes._photographs().shape == (2, 213, 320, 3)


def test_no_two_images_are_the_same() -> None:
    both = torch.cat([load("scenes", split).images for split in ("train", "test")])
    assert len(both.flatten(1).unique(dim=0)) == len(both)


def test_an_image_is_a_stroke_on_a_crop() -> None:
    """Without ink it is a crop of the split's photograph; a full stroke covers seven eighths."""
    pieces = scenes._photographs()[:, :, scenes._COLUMNS["test"]]
    mask = np.zeros((28, 28), dtype=np.int64)
    bare, half, full = (scenes._image(mask + cover, pieces, "test 3") for cover in (0, 128, 255))
    windows = np.lib.stride_tricks.sliding_window_view(pieces, (32, 32), (1, 2))
    assert (windows == bare.transpose(2, 0, 1)).all((-3, -2, -1)).sum() == 1
    changed = np.argwhere((full != bare).any(-1))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert (bottom - top, right - left) == (27, 27) and {top, left} <= {1, 2, 3}
    box = slice(top, top + 28), slice(left, left + 28)
    inks = (8 * full[box].astype(int) - bare[box]) / 7
    assert np.ptp(inks, (0, 1)).max() <= 8 / 7  # from rounding
    mixed = bare[box] + 128 / 255 * (full[box].astype(float) - bare[box])
    assert np.abs(half[box] - mixed).max() <= 1


def test_the_photographs_are_means_brought_halfway_to_grey() -> None:
    """They agree with a computation in floats up to rounding, half a grey level."""
    path = digits.scikit_learn("scenes", "images") / "china.jpg"
    with Image.open(path) as image:
        halves = np.asarray(image.reduce(2), dtype=np.float64)[:213]
    assert np.abs(scenes._photographs()[0] - (halves + 128) / 2).max() <= 0.76


def test_pixels_alone_do_not_tell_the_classes() -> None:
    """The nearest training image is right for 39 % of the test images; for the digits alone, 98
    %.
    """
    train, test = load("scenes", "train"), load("scenes", "test")
    distances = torch.cdist(test.images.flatten(1).float(), train.images.flatten(1).float())
    right = train.labels[distances.argmin(1)] == test.labels
    assert 0.34 < right.float().mean() < 0.44


def test_the_set_suffices_for_batch_norm() -> None:
    """Batches of 100 resemble the set: they have every class and similar colour statistics.

    The means of 27 batches must lie within 0.05 of the set's, five times their deviation of 0.01.
    Then running statistics can be used for testing. No pixel is constant within a batch.
    """
    train = load("scenes", "train")
    images = train.images.double() / 255
    mean, deviation = images.mean((0, 2, 3)), images.std((0, 2, 3))
    assert bool((deviation > 0.15).all()) and bool((deviation < 0.19).all())
    order = torch.randperm(len(train), generator=generator(0))[:2700]
    labels, batches = train.labels[order].view(27, 100), images[order].view(27, 100, 3, 32, 32)
    assert all(len(batch.unique()) == 10 for batch in labels)
    assert (batches.mean((1, 3, 4)) - mean).abs().max() < 0.05
    ratios = batches.transpose(1, 2).flatten(2).std(2) / deviation
    assert 0.8 < ratios.min() and ratios.max() < 1.2
    assert batches.std(1).min() > 0.05
    test = load("scenes", "test").images.double() / 255
    assert (test.mean((0, 2, 3)) - mean).abs().max() < 0.1


def test_an_altered_photograph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "scikit_learn", lambda *_: tmp_path)
    with pytest.raises(DataError, match=r"china\.jpg .* it cannot be read .*reinstall"):
        scenes._reduced(scenes._PHOTOGRAPHS[0])


def test_another_decoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder with other rounding would give other images under the same name."""
    decoded = Image.open

    def brighter(*args: object, **options: object) -> Image.Image:
        return decoded(*args, **options).point(lambda v: min(v + 1, 255))  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", brighter)
    with pytest.raises(DataError, match=r"Pillow decodes china\.jpg to other pixels .* install"):
        scenes._reduced(scenes._PHOTOGRAPHS[0])
