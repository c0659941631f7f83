"""A set stays bytes, and a batch of it is exactly what networks take."""

from dataclasses import FrozenInstanceError

import pytest
import torch
from jaxtyping import TypeCheckError

from robustbook.data import ImageSet, as_float


@pytest.fixture
def data() -> ImageSet:
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 2, 3)
    return ImageSet("made", "train", images, torch.tensor([4, 3, 2, 1, 0]), 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_become_the_nearest_fractions(dtype: torch.dtype) -> None:
    """0 and 255 are exactly the ends of the box, and every grey is the correctly rounded k/255."""
    grey = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    scaled = as_float(grey, dtype)
    assert scaled.dtype == dtype
    expected = torch.tensor([k / 255 for k in range(256)], dtype=torch.float64)
    assert torch.equal(scaled.flatten(), expected.to(dtype))
    assert scaled[0] == 0 and scaled[255] == 1


def test_floats_are_not_scaled_twice() -> None:
    with pytest.raises(TypeCheckError):
        as_float(torch.rand(1, 1, 2, 2))  # type: ignore[arg-type]


def test_a_subset_keeps_images_with_their_labels(data: ImageSet) -> None:
    first = data.subset(2)
    assert first.images[:, 0, 0, 0].tolist() == [0, 1] and first.labels.tolist() == [4, 3]
    chosen = data.subset([3, 0, 3])
    assert chosen.images[:, 0, 0, 0].tolist() == [3, 0, 3] and chosen.labels.tolist() == [1, 4, 1]
    assert (chosen.name, chosen.split, chosen.classes) == ("made", "train", 5)
    assert len(data.subset(torch.tensor([4]))) == 1


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (6, r"which must be in 1\.\.5 \(made train\), got 6"),
        (0, r"which must be in 1\.\.5 \(made train\), got 0"),
        ([1, 5], r"which must hold indices in 0\.\.4, got 5"),
        ([-1], r"which must hold indices in 0\.\.4, got -1"),
        ([], "which must name at least one image, got none"),
    ],
)
def test_a_subset_that_is_not_there_is_refused(
    data: ImageSet, which: int | list[int], expected: str
) -> None:
    """More images than there are would be fewer in silence; -1 would be another one."""
    with pytest.raises(ValueError, match=expected):
        data.subset(which)


def test_a_set_does_not_change(data: ImageSet) -> None:
    with pytest.raises(FrozenInstanceError):
        data.name = "other"  # type: ignore[misc]


def test_images_and_labels_must_agree() -> None:
    with pytest.raises(TypeCheckError):
        ImageSet(
            "made", "train", torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3).long(), 1
        )


def test_moving_keeps_bytes(data: ImageSet) -> None:
    moved = data.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.images.dtype == torch.uint8
