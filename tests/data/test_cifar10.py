"""CIFAR-10: every file layout gives the same images, and only the published files are accepted."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbook.data import DataError, ImageSet, load

from .conftest import Batch, Site, archived, packed_sheets, pickled

REMEDY = "put the original file in its place, or delete it to have it downloaded"


def lay_folder(batches: dict[str, Batch], root: Path) -> None:
    (root / "cifar-10-batches-py").mkdir()
    for name, batch in batches.items():
        (root / "cifar-10-batches-py" / name).write_bytes(pickled(batch))


def lay_packs(batches: dict[str, Batch], root: Path) -> None:
    (root / "cifar10").mkdir()
    for name, batch in batches.items():
        (root / "cifar10" / f"{name}.zip").write_bytes(packed_sheets(batch))


def published(batches: dict[str, Batch]) -> bytes:
    """Return an archive like the published one, whose batches are unordered among other files."""
    files = {name: pickled(batches[name]) for name in sorted(batches, reverse=True)}
    return archived({"readme.html": b"text", **files, "batches.meta": b"names"})


def lay_archive(batches: dict[str, Batch], root: Path) -> None:
    (root / "cifar-10-python.tar.gz").write_bytes(published(batches))


LAYOUTS = {
    "folder": (lay_folder, "cifar-10-batches-py/data_batch_2"),
    "packs": (lay_packs, "cifar10/data_batch_2.zip"),
    "archive": (lay_archive, "cifar-10-python.tar.gz"),
}
every_layout = pytest.mark.parametrize(("lay", "path"), LAYOUTS.values(), ids=LAYOUTS)
Lay = Callable[[dict[str, Batch], Path], None]


def message(root: Path, *, download: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        load("cifar10", "train", root=root, download=download)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(data: ImageSet, *batches: Batch) -> bool:
    labels, images = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return bool((data.images.numpy() == images).all() and (data.labels.numpy() == labels).all())


def test_the_made_batches_are_pickles(small_cifar: dict[str, Batch]) -> None:
    """They are written by hand here as in Python 2, and a pickle reader must accept them."""
    labels, images = small_cifar["test_batch"]
    read = pickle.loads(pickled((labels, images)), encoding="bytes")
    assert read[b"labels"] == labels.tolist() and read[b"data"][-1] == images.tobytes()


@every_layout
def test_every_layout_gives_the_same_images(
    small_cifar: dict[str, Batch], tmp_path: Path, lay: Lay, path: str
) -> None:
    """Batches are in order, colour planes are red, green, blue, and the splits are not mixed up."""
    lay(small_cifar, tmp_path)
    train = load("cifar10", "train", root=tmp_path, download=False)
    assert same(train, small_cifar["data_batch_1"], small_cifar["data_batch_2"])
    assert (train.name, train.split, train.classes) == ("cifar10", "train", 10)
    assert train.images.shape == (200, 3, 32, 32) and train.images.is_contiguous()
    assert train.labels.dtype == torch.int64
    assert same(load("cifar10", "test", root=tmp_path, download=False), small_cifar["test_batch"])


def test_what_the_folder_lacks_comes_from_the_other_places(
    small_cifar: dict[str, Batch], tmp_path: Path
) -> None:
    for lay in (lay_folder, lay_packs, lay_archive):
        lay(small_cifar, tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").unlink()
    expected = small_cifar["data_batch_1"], small_cifar["data_batch_2"]
    assert same(load("cifar10", "train", root=tmp_path, download=False), *expected)
    (tmp_path / "cifar10" / "data_batch_2.zip").unlink()
    assert same(load("cifar10", "train", root=tmp_path, download=False), *expected)


@every_layout
@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "text"])
def test_a_damaged_file_is_refused(
    small_cifar: dict[str, Batch], tmp_path: Path, lay: Lay, path: str, damage: str
) -> None:
    """The error is one sentence, and no file from another place or the network replaces it."""
    lay(small_cifar, tmp_path)
    file = tmp_path / path
    data = file.read_bytes()
    middle = len(data) // 2
    file.write_bytes(
        {
            "truncated": data[: 2 * middle // 3],
            "altered": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "empty": b"",
            "text": b"no such page",
        }[damage]
    )
    text = message(tmp_path, download=True)
    assert text.startswith(f"{file} is not the published data_batch_") and text.endswith(REMEDY)


def test_no_single_altered_byte_passes_or_breaks_the_reader(
    small_cifar: dict[str, Batch], tmp_path: Path
) -> None:
    """A pack has headers, names, checksums and a coded picture; any damage gives one sentence.

    Bytes that no reader uses (times, attributes) may change.
    """
    lay_packs(small_cifar, tmp_path)
    file = tmp_path / "cifar10" / "test_batch.zip"
    data = bytearray(file.read_bytes())
    places = [
        *range(0, 180, 3),
        *range(200, len(data), 50_021),
        *range(len(data) - 250, len(data), 2),
    ]
    refused = 0
    for place in places:
        data[place] ^= 0x55
        file.write_bytes(data)
        data[place] ^= 0x55
        try:
            read = load("cifar10", "test", root=tmp_path, download=False)
        except DataError:
            refused += 1
        else:
            assert same(read, small_cifar["test_batch"])
    assert refused > len(places) // 3


def test_a_pickle_is_not_executed(small_cifar: dict[str, Batch], tmp_path: Path) -> None:
    """A file may contain malicious code, so it must be rejected before it can run."""
    lay_folder(small_cifar, tmp_path)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    file = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(pickle.dumps({"labels": [1] * 100, "data": "x" * 307_200, "more": Evil()}))
    assert "its contents have SHA-256" in message(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_swapped_batches_are_refused(small_cifar: dict[str, Batch], tmp_path: Path) -> None:
    """A test batch under a training batch's name would put test images into training."""
    swapped = {**small_cifar, "data_batch_1": small_cifar["test_batch"]}
    lay_archive(swapped, tmp_path)
    assert "is not the published data_batch_1 (" in message(tmp_path)


def test_an_archive_without_a_batch_is_named(small_cifar: dict[str, Batch], tmp_path: Path) -> None:
    del small_cifar["data_batch_2"]
    lay_archive(small_cifar, tmp_path)
    text = message(tmp_path)
    assert "is not the published data_batch_2 (" in text and "it holds no file of that name" in text


def test_a_missing_set_is_named_with_where_to_put_it(
    small_cifar: dict[str, Batch], tmp_path: Path
) -> None:
    text = message(tmp_path)
    assert text.startswith(f"data_batch_1 is not in {tmp_path} and downloads are off: ")
    assert "ROBUSTBOOK_DATA" in text and "cifar-10-python.tar.gz" in text


def test_the_archive_is_downloaded_once(
    small_cifar: dict[str, Batch], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked completely before it gets its name; then both splits come from it."""
    monkeypatch.setattr("robustbook.data.cifar10._addresses", lambda: [f"{site.url}archive"])
    site.files["/archive"] = published({**small_cifar, "test_batch": small_cifar["data_batch_1"]})
    assert "not those of the published file" in message(tmp_path, download=True)
    assert not list(tmp_path.glob("*.gz")) and not list(tmp_path.glob("*.part"))
    site.files["/archive"] = published(small_cifar)
    site.asked.clear()
    assert len(load("cifar10", "train", root=tmp_path)) == 200
    assert same(load("cifar10", "test", root=tmp_path), small_cifar["test_batch"])
    assert len(site.asked) == 1


def test_without_network_the_sentence_names_the_address(
    small_cifar: dict[str, Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustbook.data.cifar10._addresses", lambda: ["http://127.0.0.1:9/c"])
    text = message(tmp_path, download=True)
    assert f"data_batch_1 is not in {tmp_path} and could not be downloaded (http://127" in text


@pytest.mark.slow
def test_the_address_is_torchvisions() -> None:
    from torchvision.datasets import CIFAR10

    from robustbook.data import cifar10

    assert list(cifar10._addresses()) == [CIFAR10.url]
    assert CIFAR10.url.endswith(f"/{cifar10.ARCHIVE}") and CIFAR10.base_folder == cifar10.FOLDER
    names = [batch.name for batches in cifar10.BATCHES.values() for batch in batches]
    assert names == [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("split", "count", "digest"),
    [
        pytest.param(
            "train",
            5000,
            "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
            marks=pytest.mark.slow,
        ),
        ("test", 1000, "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"),
    ],
)
def test_the_real_set(split: str, count: int, digest: str) -> None:
    """The table of hashes belongs to the real files.

    The digests here use another order of the pixels (colours last), as published by others.
    """
    try:
        data = load("cifar10", split, download=False)
    except DataError as error:
        if "downloads are off" not in str(error):
            raise
        pytest.skip("ROBUSTBOOK_DATA has MNIST but not CIFAR-10")
    assert torch.bincount(data.labels).tolist() == [count] * 10
    pixels = data.images.permute(0, 2, 3, 1).contiguous().numpy()
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
