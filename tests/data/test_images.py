"""A set stays bytes, and a batch of it has exactly the numbers that networks expect."""

from dataclasses import FrozenInstanceError
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from robustbook.data import ImageSet, as_float
from robustbook.data.images import indices


@pytest.fixture
def data() -> ImageSet:
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 2, 3)
    return ImageSet("made", "train", images, torch.tensor([4, 3, 2, 1, 0]), 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_become_the_nearest_fractions(dtype: torch.dtype) -> None:
    """0 and 255 become exactly 0 and 1, and every grey level is the correctly rounded k/255."""
    grey = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    scaled = as_float(grey, dtype)
    assert scaled.dtype == dtype
    expected = torch.tensor([k / 255 for k in range(256)], dtype=torch.float64)
    assert torch.equal(scaled.flatten(), expected.to(dtype))
    assert scaled[0] == 0 and scaled[255] == 1


def test_floats_are_not_scaled_twice() -> None:
    """This holds with jaxtyping's hook, as here, and without it."""
    once = as_float(torch.full((1, 1, 2, 2), 200, dtype=torch.uint8))
    with pytest.raises(TypeCheckError):
        as_float(once)  # type: ignore[arg-type]
    for images in (once, once.double(), torch.ones(1, 1, 2, 2).long()):
        with pytest.raises(ValueError, match=r"images must be bytes \(torch.uint8\) in 0\.\.255"):
            unwrap(as_float)(images)


def test_a_subset_keeps_images_with_their_labels(data: ImageSet) -> None:
    first = data.subset(2)
    assert first.images[:, 0, 0, 0].tolist() == [0, 1] and first.labels.tolist() == [4, 3]
    chosen = data.subset([3, 0, 3])
    assert chosen.images[:, 0, 0, 0].tolist() == [3, 0, 3] and chosen.labels.tolist() == [1, 4, 1]
    assert (chosen.name, chosen.split, chosen.classes) == ("made", "train", 5)
    assert len(data.subset(torch.tensor([4]))) == 1
    assert data.subset(None) is data


def test_every_type_of_index_selects_the_same(data: ImageSet) -> None:
    """A mask that is cast to integers first would select the images 0 and 1 many times."""
    threes = data.labels >= 3  # images 0 and 1
    for which in (threes, threes.numpy(), threes.tolist(), tuple(threes.tolist())):
        assert data.subset(which).labels.tolist() == [4, 3]
    assert data.subset(data.labels == 1).labels.tolist() == [1]
    for which in (
        [3, 1],
        [np.int64(3), np.uint8(1)],
        [torch.tensor(3), torch.tensor(1)],
        np.array([3, 1], np.uint8),
        np.array([1, 3])[::-1],
        torch.tensor([3, 1], dtype=torch.uint8),  # torch itself would treat it as a mask
        torch.tensor([3, 1], dtype=torch.int16),
        range(3, 0, -2),
    ):
        assert data.subset(which).labels.tolist() == [1, 3], which
    for first in (2, np.int64(2), np.array(2), torch.tensor(2), torch.tensor(2, dtype=torch.uint8)):
        assert data.subset(first).labels.tolist() == [4, 3], first


def test_an_index_selects_one_image(data: ImageSet) -> None:
    """0 is an index and selects one image, not an empty set."""
    for single in (0, np.int8(0), torch.tensor(0), [0]):
        assert indices(single, 5).tolist() == [0]
    assert indices([], 5).tolist() == [] and indices([False] * 5, 5).dtype == torch.int64


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (6, r"which must be in 1\.\.5 \(made train\), got 6"),
        (0, r"which must be in 1\.\.5 \(made train\), got 0"),
        ([1, 5], r"which must hold indices in 0\.\.4, got 5"),
        ([-1], r"which must hold indices in 0\.\.4, got -1"),
        ([], "which must select at least one image, got none"),
        ([False] * 5, "which must select at least one image, got none"),
        (np.array([4, 5]), r"which must hold indices in 0\.\.4, got 5"),
        (torch.tensor([0, -2]), r"which must hold indices in 0\.\.4, got -2"),
        (np.uint64(6), r"which must be in 1\.\.5 \(made train\), got 6"),
        (torch.tensor(-1), r"which must be in 1\.\.5 \(made train\), got -1"),
        ([True, False], "which must be a mask of 5 images, got one of 2"),
        (torch.ones(6).bool(), "which must be a mask of 5 images, got one of 6"),
        (True, "which must be a mask of 5 images, got one of 1"),
        (torch.tensor(True), "which must be a mask of 5 images, got one of 1"),
        ([[1, 2]], r"which must have one axis, got shape \(1, 2\)"),
        ([1.0, 2.0], "which must hold whole numbers or be a mask"),
        (np.array([1.0, 2.0]), "which must hold whole numbers or be a mask"),
        (torch.tensor([1.0, 2.0]), "which must hold whole numbers or be a mask"),
        (torch.tensor(1.0), "which must hold whole numbers or be a mask"),
        (torch.tensor([1.0]).bfloat16(), "which must hold whole numbers or be a mask"),
        ([[1], [1, 2]], "which must hold whole numbers or be a mask"),
        ([10**30], "which must hold whole numbers or be a mask"),
        (["a"], "which must hold whole numbers or be a mask"),
    ],
)
def test_a_subset_that_is_not_there_is_refused(data: ImageSet, which: Any, expected: str) -> None:
    """Too many images would silently give fewer, and -1 would select another image."""
    with pytest.raises(ValueError, match=expected):
        data.subset(which)


def test_a_set_does_not_change(data: ImageSet) -> None:
    with pytest.raises(FrozenInstanceError):
        data.name = "other"  # type: ignore[misc]


def test_images_and_labels_must_agree() -> None:
    """Otherwise training fails on a GPU with an unclear message. Unwrapped: no hook."""
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    labels = torch.tensor([0, 1])
    with pytest.raises(TypeCheckError):
        ImageSet("made", "train", images, torch.zeros(3).long(), 2)
    for given, expected in (
        ((images, torch.tensor([0, 1, 1])), "labels must be one per image, got 3 for 2"),
        ((images, torch.tensor([1, 2])), r"labels must be in 0\.\.1, got 2"),
        ((images, torch.tensor([-1, 1])), r"labels must be in 0\.\.1, got -1"),
        ((images / 255, labels), "images must be bytes"),
    ):
        made = object.__new__(ImageSet)
        made.__dict__.update(zip(("images", "labels", "classes"), (*given, 2), strict=True))
        with pytest.raises(ValueError, match=expected):
            made.__post_init__()


def test_moving_keeps_bytes(data: ImageSet) -> None:
    moved = data.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.images.dtype == torch.uint8
