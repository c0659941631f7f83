"""Photographs on disk: the pixels of torchvision's own preprocessing, and clear refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.models import AlexNet_Weights

from robustbook.data import DataError, FolderSet
from robustbook.training.loop import Images


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes with three and two photographs of different shapes, one of them gray."""
    rng = np.random.default_rng(0)
    for name, shapes in {
        "n02": [(90, 80, 3), (300, 260, 3), (64, 90)],
        "n01": [(70, 70, 3), (81, 400, 3)],
    }.items():
        (tmp_path / name).mkdir()
        for i, shape in enumerate(shapes):
            pixels = rng.integers(256, size=shape, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.jpg")
    return tmp_path


def test_rows_are_torchvisions_preprocessing(tree: Path) -> None:
    """What the reference networks were measured on; classes by name, labels to match."""
    photos = FolderSet(tree)
    assert photos.classes == ("n01", "n02") and photos.labels.tolist() == [0, 0, 1, 1, 1]
    assert len(photos) == 5 and isinstance(photos, Images)
    weights = AlexNet_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(v)[:, None, None] for v in (weights.mean, weights.std))
    expected: list[Tensor] = [weights(image) * std + mean for image, _ in ImageFolder(tree)]
    rows = torch.tensor([4, 0, 2, 3, 1])
    found = photos[rows]
    assert found.dtype == torch.uint8 and found.shape == (5, 3, 224, 224)
    torch.testing.assert_close(found / 255, torch.stack([expected[i] for i in rows]))


@pytest.mark.parametrize("crop", [56, 224])
def test_every_crop_shows_the_same_part(tmp_path: Path, crop: int) -> None:
    """A ramp of grey over a square photograph: the middle 7/8 of it, whatever the size."""
    (tmp_path / "n01").mkdir()
    ramp = np.tile(np.linspace(0, 255, 512).astype(np.uint8), (512, 1))
    Image.fromarray(ramp).save(tmp_path / "n01" / "ramp.png")
    (shown,) = FolderSet(tmp_path, crop)[torch.tensor([0])]
    assert shown.shape == (3, crop, crop)
    ends = shown[0, 0, [0, -1]].double() / 255
    half = 0.5 * 7 / 8 / crop  # the middle of the first pixel
    expected = torch.tensor([1 / 16 + half, 15 / 16 - half], dtype=torch.float64)
    torch.testing.assert_close(ends, expected, rtol=0, atol=0.006)


def test_what_cannot_be_used_is_named(tree: Path) -> None:
    """One sentence with the path and what is accepted."""
    with pytest.raises(DataError, match=r"nowhere is no folder: a folder with one subfolder of"):
        FolderSet(tree / "nowhere")
    with pytest.raises(DataError, match=r"n01 has no subfolders: a folder with"):
        FolderSet(tree / "n01")
    (tree / "n02" / "1.jpg").write_bytes((tree / "n02" / "1.jpg").read_bytes()[:2000])
    (tree / "n01" / "0.jpg").write_text("no picture")
    photos = FolderSet(tree)
    for row, name in ((3, r"n02/1\.jpg"), (0, r"n01/0\.jpg")):
        with pytest.raises(DataError, match=rf"{name} cannot be read \([^\n]+\): a whole JPEG"):
            photos[torch.tensor([row])]
    (tree / "n03").mkdir()
    with pytest.raises(DataError, match=r"has a subfolder without images: a folder with one"):
        FolderSet(tree)
    with pytest.raises(ValueError, match="crop must be 1 or more, got 0"):
        FolderSet(tree, crop=0)
