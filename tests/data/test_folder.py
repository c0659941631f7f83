"""Photographs on disk: the pixels agree with torchvision's preprocessing, and errors are clear."""

from pathlib import Path
from typing import Any

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
    """Make two classes with three and two photographs of different shapes, one of them gray."""
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
    """The reference networks were measured with it; classes are sorted by name, and labels
    agree.
    """
    photos = FolderSet(str(tree))
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
    """On a ramp of grey over a square photograph, every crop shows the middle 7/8."""
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
    """The error is one sentence with the path and what is accepted."""
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
    with pytest.raises(DataError, match=r"n03 is a class without images: a folder with one"):
        FolderSet(tree)
    with pytest.raises(ValueError, match="crop must be 1 or more, got 0"):
        FolderSet(tree, crop=0)


def test_hidden_folders_and_files_are_skipped(tree: Path) -> None:
    """An editor's backup folder would become a class and shift every label by one."""
    expected = FolderSet(tree)
    picture = (tree / "n01" / "0.jpg").read_bytes()
    for name in (".ipynb_checkpoints/0.jpg", "n01/.ipynb_checkpoints/0.jpg", "n01/._0.jpg", ".jpg"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(picture)
    (tree / "n02" / "notes.txt").write_text("no image by its name")
    found = FolderSet(tree)
    assert (found.classes, found.paths) == (expected.classes, expected.paths)
    assert torch.equal(found.labels, expected.labels)
    (tree / "n00" / ".trash").mkdir(parents=True)
    (tree / "n00" / ".trash" / "0.jpg").write_bytes(picture)
    with pytest.raises(DataError, match=r"n00 is a class without images"):
        FolderSet(tree)


def test_paths_are_in_torchvisions_order(tree: Path) -> None:
    """Folders inside a class belong to it; upper-case suffixes count too."""
    picture = (tree / "n01" / "0.jpg").read_bytes()
    for name in ("n01/b/1.jpg", "n01/a/2.jpg", "n01/z.JPEG", "n02/a/x.jpg"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(picture)
    assert FolderSet(tree).paths == [path for path, _ in ImageFolder(tree).samples]


def test_rows_may_be_a_mask_or_any_whole_numbers(tree: Path) -> None:
    """This is the same function as in `ImageSet.subset`."""
    photos = FolderSet(tree, 8)
    last = photos[torch.tensor([3, 4])]
    for rows in ([3, 4], np.array([3, 4], np.uint8), np.arange(5) > 2, torch.arange(5) > 2):
        assert torch.equal(photos[rows], last)
    for single in (3, np.int64(3), torch.tensor(3)):
        assert torch.equal(photos[single], last[:1])
    assert photos[[]].shape == (0, 3, 8, 8)
    for rows, expected in (
        ([0.0, 1.0], "rows must hold whole numbers or be a mask"),
        ([-1], r"rows must hold indices in 0\.\.4, got -1"),
        ([5], r"rows must hold indices in 0\.\.4, got 5"),
        ([True], "rows must be a mask of 5 images, got one of 1"),
    ):
        with pytest.raises(ValueError, match=expected):
            photos[rows]


def one(folder: Path, image: Image.Image, suffix: str = "png", **options: Any) -> Tensor:
    """Return the colour that a set gives for a single image of 8 x 8 equal pixels."""
    (folder / "n01").mkdir(exist_ok=True)
    path = folder / "n01" / f"0.{suffix}"
    image.resize((8, 8), Image.Resampling.NEAREST).save(path, **options)
    try:
        (pixels,) = FolderSet(folder, 7)[[0]]
    finally:
        path.unlink()
    assert bool((pixels == pixels[:, :1, :1]).all())
    return pixels[:, 0, 0]


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    """PIL clips at 255, so a photograph from a scanner would be white."""
    for suffix in ("png", "tiff"):
        for value in (0, 255, 256, 32768, 65535):
            grey = Image.fromarray(np.full((1, 1), value, np.uint16))
            assert one(tmp_path, grey, suffix).tolist() == [value // 256] * 3


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    """Their range may be 0 to 1, 0 to 255 or anything else."""
    with pytest.raises(DataError, match=r"0\.tiff cannot be read \(it has 32 bits a channel, wher"):
        one(tmp_path, Image.fromarray(np.ones((1, 1), dtype)), "tiff")


def test_every_mode_has_three_channels(tmp_path: Path) -> None:
    """As in torchvision, palettes are resolved and transparency is dropped, without a warning."""
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([9, 9, 9, 10, 20, 30])
    assert one(tmp_path, palette).tolist() == [10, 20, 30]
    assert one(tmp_path, palette, transparency=bytes([0, 99])).tolist() == [10, 20, 30]
    assert one(tmp_path, Image.new("RGBA", (1, 1), (1, 2, 3, 0))).tolist() == [1, 2, 3]
    assert one(tmp_path, Image.new("LA", (1, 1), (7, 0))).tolist() == [7, 7, 7]
    assert one(tmp_path, Image.new("1", (1, 1), 1)).tolist() == [255, 255, 255]
    cmyk = one(tmp_path, Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "jpg", quality=100)
    assert (cmyk.int() - torch.tensor([0, 255, 255])).abs().max() <= 2


def test_a_noted_orientation_is_not_applied(tmp_path: Path) -> None:
    """The reference networks were measured without it; PIL stores it separately from the pixels."""
    (tmp_path / "n01").mkdir()
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 255
    noted = Image.Exif()
    noted[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "n01" / "0.png", exif=noted)
    (shown,) = FolderSet(tmp_path, 7)[[0]]
    assert bool((shown[:, 0] > 200).all()) and bool((shown[:, -1] < 55).all())


def test_an_enormous_image_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL's own error names neither the file nor a solution."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"n01/0\.jpg cannot be read \(Image size"):
        FolderSet(tree)[[0]]
