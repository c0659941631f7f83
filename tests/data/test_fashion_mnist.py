"""Fashion-MNIST's files have MNIST's names and format, so the two must not be mixed up.

Damage and interrupted downloads are tested on MNIST, which uses the same reader.
"""

import gzip
import hashlib
import os
from pathlib import Path

import pytest
import torch

from robustbook.data import DataError, data_root, load

from .conftest import Site, idx, original
from .test_mnist import IMAGES, LABELS, lay


@pytest.fixture
def small_fashion(
    small_mnist: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Make a set like the small MNIST, with its own images and labels."""
    contents, table = {}, {}
    for split, prefix, n in (("train", "train", 3), ("test", "t10k", 2)):
        pair = {
            f"{prefix}-images-idx3-ubyte": idx((n, 2, 4), bytes(range(100, 100 + 8 * n))),
            f"{prefix}-labels-idx1-ubyte": idx((n,), bytes(range(n))),
        }
        contents.update(pair)
        table[split] = tuple(original(*item) for item in pair.items())
    assert contents.keys() == small_mnist.keys()
    monkeypatch.setattr("robustbook.data.fashion_mnist.FILES", table)
    return contents


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist"])
def test_each_set_is_read_from_its_own_folder(
    small_mnist: dict[str, bytes],
    small_fashion: dict[str, bytes],
    tmp_path: Path,
    folder: str,
    packed: bool,
) -> None:
    """Both are below one root, MNIST's directly in it; neither is confused with the other."""
    lay(small_mnist, tmp_path, packed=packed)
    lay(small_fashion, tmp_path / folder, packed=packed)
    train = load("fashion-mnist", "train", root=tmp_path, download=False)
    expected = torch.arange(100, 124, dtype=torch.uint8).view(3, 1, 2, 4)
    assert torch.equal(train.images, expected)
    assert train.labels.tolist() == [0, 1, 2] and train.labels.dtype == torch.int64
    assert (train.name, train.split, train.classes) == ("fashion-mnist", "train", 10)
    test = load("fashion-mnist", "test", root=tmp_path, download=False)
    assert torch.equal(test.images, expected[:2]) and test.labels.tolist() == [0, 1]
    assert load("mnist", "train", root=tmp_path, download=False).labels.tolist() == [9, 8, 7]


def test_mnists_files_in_the_folder_are_not_taken(
    small_mnist: dict[str, bytes], small_fashion: dict[str, bytes], tmp_path: Path
) -> None:
    """A file of the same name outside its folder is not reported as damaged.

    The message also does not suggest to put the files there.
    """
    lay(small_mnist, tmp_path, packed=True)
    with pytest.raises(DataError) as caught:
        load("fashion-mnist", "train", root=tmp_path, download=False)
    text = str(caught.value)
    assert text.startswith(f"{IMAGES} is not in {tmp_path}") and "\n" not in text
    assert "ROBUSTBOOK_DATA" in text
    assert text.endswith("(in its subfolder FashionMNIST/raw, fashion-mnist)")


def test_mnist_in_the_folder_is_refused_with_both_hashes(
    small_mnist: dict[str, bytes], small_fashion: dict[str, bytes], tmp_path: Path
) -> None:
    """Equal names make this mistake likely: one set's files in the other's folder."""
    lay(small_mnist, tmp_path / "fashion-mnist", packed=True)
    with pytest.raises(DataError, match="is not the published") as caught:
        load("fashion-mnist", "train", root=tmp_path, download=True)
    for contents in (small_mnist, small_fashion):
        assert hashlib.sha256(contents[IMAGES]).hexdigest() in str(caught.value)


def test_a_download_goes_to_torchvisions_place(
    small_fashion: dict[str, bytes], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files = {f"/{name}.gz": gzip.compress(c) for name, c in small_fashion.items()}
    monkeypatch.setattr("robustbook.data.fashion_mnist._mirrors", lambda: [site.url])
    assert load("fashion-mnist", "train", root=tmp_path).labels.tolist() == [0, 1, 2]
    assert sorted(path for path, _ in site.asked) == [f"/{IMAGES}.gz", f"/{LABELS}.gz"]
    assert (tmp_path / "FashionMNIST" / "raw" / f"{IMAGES}.gz").is_file()


@pytest.mark.slow
def test_the_mirrors_and_names_are_torchvisions() -> None:
    """A change in torchvision would otherwise show only on a machine without the files."""
    from torchvision.datasets import FashionMNIST

    from robustbook.data import fashion_mnist

    assert list(fashion_mnist._mirrors()) == FashionMNIST.mirrors
    names = {f"{each.name}.gz" for pair in fashion_mnist.FILES.values() for each in pair}
    assert names == {name for name, _ in FashionMNIST.resources}


def _there() -> bool:
    from robustbook.data.fashion_mnist import FOLDERS

    return "ROBUSTBOOK_DATA" in os.environ and any((data_root() / f).is_dir() for f in FOLDERS)


@pytest.mark.skipif(not _there(), reason="ROBUSTBOOK_DATA names no folder with Fashion-MNIST")
@pytest.mark.parametrize(
    ("split", "each", "digest"),
    [
        ("train", 6000, "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"),
        ("test", 1000, "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"),
    ],
)
def test_the_real_set(split: str, each: int, digest: str) -> None:
    """The table of hashes belongs to the real files, which have the same number of images per
    class.
    """
    data = load("fashion-mnist", split, download=False)
    assert data.images.shape == (10 * each, 1, 28, 28)
    assert torch.bincount(data.labels).tolist() == [each] * 10
    assert hashlib.sha256(data.images.numpy().tobytes()).hexdigest() == digest
