"""MNIST's files: they are found in all usual places, and only the published ones are accepted."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest
import torch

from robustbook.data import DataError, data_root, load

from .conftest import Site

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def lay(contents: dict[str, bytes], folder: Path, *, packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


def message(root: Path, *, download: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        load("mnist", "train", root=root, download=download)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist", ""])
def test_every_place_and_form_gives_the_same_images(
    small_mnist: dict[str, bytes], tmp_path: Path, folder: str, packed: bool
) -> None:
    """Rows, columns, images and labels have the file's order, and the splits are not mixed up."""
    lay(small_mnist, tmp_path / folder, packed=packed)
    train = load("mnist", "train", root=tmp_path, download=False)
    expected = torch.arange(7, 31, dtype=torch.uint8).view(3, 1, 2, 4)
    assert torch.equal(train.images, expected)
    assert train.labels.tolist() == [9, 8, 7] and train.labels.dtype == torch.int64
    assert (train.name, train.split, train.classes) == ("mnist", "train", 10)
    test = load("mnist", "test", root=tmp_path, download=False)
    assert torch.equal(test.images, expected[:2])
    assert test.labels.tolist() == [9, 8]


def test_the_folder_is_the_argument_then_the_variable_then_the_cache(
    small_mnist: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(small_mnist, tmp_path / "named", packed=True)
    monkeypatch.setenv("ROBUSTBOOK_DATA", str(tmp_path / "named"))
    assert len(load("mnist", "train", download=False)) == 3
    monkeypatch.chdir(tmp_path)
    assert data_root("named") == tmp_path / "named"
    with pytest.raises(DataError, match=f"^root must be a folder that exists, got {tmp_path}/else"):
        data_root("elsewhere")
    monkeypatch.setenv("ROBUSTBOOK_DATA", "elsewhere")
    with pytest.raises(DataError, match="^ROBUSTBOOK_DATA must be a folder that exists, got .*/el"):
        load("mnist", "train")
    assert not Path("elsewhere").exists()
    monkeypatch.setenv("ROBUSTBOOK_DATA", "")
    assert data_root().parts[-2:] == ("robustbook", "data")


def test_a_missing_file_is_named_with_where_to_put_it(
    small_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    del small_mnist[LABELS]
    lay(small_mnist, tmp_path, packed=True)
    text = message(tmp_path)
    assert text.startswith(f"{LABELS} is not in {tmp_path}")
    assert "ROBUSTBOOK_DATA" in text and "MNIST/raw" in text


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "longer", "empty"])
def test_a_damaged_file_is_refused(
    small_mnist: dict[str, bytes], tmp_path: Path, damage: str, packed: bool
) -> None:
    """One flipped bit or one lost byte must never reach a network."""
    lay(small_mnist, tmp_path, packed=packed)
    path = tmp_path / (f"{IMAGES}.gz" if packed else IMAGES)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "truncated": data[:-1],
            "altered": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "longer": data + (gzip.compress(b"x") if packed else b"x"),
            "empty": b"",
        }[damage]
    )
    text = message(tmp_path, download=True)  # a damaged local file is not silently replaced
    assert text.startswith(f"{path} is not the published {IMAGES} (")
    assert hashlib.sha256(small_mnist[IMAGES]).hexdigest() in text
    if damage == "truncated" and not packed:
        assert f": it holds {len(data) - 1} bytes; " in text
    assert text.endswith("put the original file in its place, or delete it to have it downloaded")


def test_a_download_is_kept_and_checked_and_needed_once(served_mnist: Site, tmp_path: Path) -> None:
    assert load("mnist", "train", root=tmp_path).labels.tolist() == [9, 8, 7]
    assert sorted(path for path, _ in served_mnist.asked) == [f"/{IMAGES}.gz", f"/{LABELS}.gz"]
    assert (tmp_path / "MNIST" / "raw" / f"{IMAGES}.gz").is_file()  # torchvision's place
    assert load("mnist", "train", root=tmp_path, download=False).labels.tolist() == [9, 8, 7]


def test_an_altered_download_is_refused(
    served_mnist: Site, small_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    """A mirror may serve another file that is well packed and has the same length."""
    served_mnist.files[f"/{IMAGES}.gz"] = gzip.compress(small_mnist[IMAGES][:-1] + b"?")
    assert "not those of the published file" in message(tmp_path, download=True)
    assert not list(tmp_path.rglob("*.gz")) and not list(tmp_path.rglob("*.part"))


def test_without_network_the_sentence_names_the_mirror_and_the_way_out(
    small_mnist: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustbook.data.mnist._mirrors", lambda: ["http://127.0.0.1:9/"])
    text = message(tmp_path, download=True)
    assert f"{IMAGES} is not in {tmp_path} and could not be downloaded" in text
    assert f"http://127.0.0.1:9/{IMAGES}.gz: " in text and "ROBUSTBOOK_DATA" in text


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        (
            "mnits",
            "train",
            "name must be one of digits, scenes, mnist, fashion-mnist, cifar10, stl10, got 'mnits'",
        ),
        ("digits", "valid", "split must be one of train, test, got 'valid'"),
    ],
)
def test_an_unknown_name_or_split_is_refused(name: str, split: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        load(name, split)


@pytest.mark.slow
def test_the_mirrors_and_names_are_torchvisions() -> None:
    """A change in torchvision would otherwise show only on a machine without the files."""
    from torchvision.datasets import MNIST

    from robustbook.data import mnist

    assert list(mnist._mirrors()) == MNIST.mirrors
    names = {f"{original.name}.gz" for pair in mnist.FILES.values() for original in pair}
    assert names == {name for name, _ in MNIST.resources}


@pytest.mark.mnist
@pytest.mark.skipif("ROBUSTBOOK_DATA" not in os.environ, reason="ROBUSTBOOK_DATA is not set")
@pytest.mark.parametrize(
    ("split", "counts", "digest"),
    [
        (
            "train",
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        ),
        (
            "test",
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        ),
    ],
)
def test_the_real_set(split: str, counts: list[int], digest: str) -> None:
    """The table of hashes belongs to the real files."""
    data = load("mnist", split, download=False)
    assert data.images.shape == (sum(counts), 1, 28, 28)
    assert torch.bincount(data.labels).tolist() == counts
    assert hashlib.sha256(data.images.numpy().tobytes()).hexdigest() == digest
