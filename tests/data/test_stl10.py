"""STL-10: every file layout gives the same images, and no unlabelled image is downloaded."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbook.data import DataError, ImageSet, load, stl10

from .conftest import Batch, Site, archived, original, packed_sheets

REMEDY = "put the original file in its place, or delete it to have it downloaded"
SIDE = 8


@pytest.fixture
def small_stl(monkeypatch: pytest.MonkeyPatch) -> dict[str, Batch]:
    """Make 200 images of 8 x 8 pixels for each split; the packs of test images hold the first 100.

    Their hashes replace STL-10's.
    """
    draw = np.random.default_rng(0)
    sets = {
        split: (
            draw.integers(10, size=200, dtype=np.uint8),
            draw.integers(256, size=(200, 3, SIDE, SIDE), dtype=np.uint8),
        )
        for split in ("train", "test")
    }
    monkeypatch.setattr(stl10, "SIDE", SIDE)
    pairs = {split: tuple(original(*file) for file in binary(sets, split)) for split in sets}
    first = {"test": tuple(part[:100] for part in sets["test"])}
    halves = tuple(original(*file) for file in binary(first, "test"))
    monkeypatch.setattr(stl10, "FILES", pairs)
    packed = {"train": (("train_1.zip", "train_2.zip"), *pairs["train"])}
    monkeypatch.setattr(stl10, "PACKED", {**packed, "test": (("test_first.zip",), *halves)})
    return sets


def binary(sets: dict[str, Batch], split: str) -> list[tuple[str, bytes]]:
    """Write the published files pixel by pixel: channel, column, row; labels start at 1."""
    labels, images = sets[split]
    pixels = bytearray()
    for image in images:
        for plane in image:
            for column in range(SIDE):
                pixels += bytes(plane[:, column])
    return [(f"{split}_X.bin", bytes(pixels)), (f"{split}_y.bin", bytes(k + 1 for k in labels))]


def published(sets: dict[str, Batch]) -> bytes:
    """Return an archive in the published order; its unlabelled images are noise that must not be
    read.
    """
    files = dict(binary(sets, "test") + binary(sets, "train"))
    noise = np.random.default_rng(1).bytes(2_000_000)
    files |= {"unlabeled_X.bin": noise, "class_names.txt": b"airplane"}
    return archived(files, "stl10_binary")


def lay_files(sets: dict[str, Batch], root: Path) -> None:
    (root / "stl10_binary").mkdir()
    for split in sets:
        for name, contents in binary(sets, split):
            (root / "stl10_binary" / name).write_bytes(contents)


def lay_packs(sets: dict[str, Batch], root: Path) -> None:
    (root / "stl10").mkdir()
    (labels, images), (some, few) = sets["train"], sets["test"]
    for name, batch in {
        "train_1": (labels[:100], images[:100]),
        "train_2": (labels[100:], images[100:]),
        "test_first": (some[:100], few[:100]),
    }.items():
        (root / "stl10" / f"{name}.zip").write_bytes(packed_sheets(batch))


def lay_archive(sets: dict[str, Batch], root: Path) -> None:
    (root / "stl10_binary.tar.gz").write_bytes(published(sets))


LAYOUTS = {
    "files": (lay_files, "stl10_binary/train_X.bin"),
    "packs": (lay_packs, "stl10/train_2.zip"),
    "archive": (lay_archive, "stl10_binary.tar.gz"),
}
every_layout = pytest.mark.parametrize(("lay", "path"), LAYOUTS.values(), ids=LAYOUTS)
Lay = Callable[[dict[str, Batch], Path], None]


def message(root: Path, split: str = "train", *, download: bool = False, needed: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        load("stl10", split, root=root, download=download, at_least=needed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(data: ImageSet, batch: Batch) -> bool:
    labels, images = batch
    return bool((data.images.numpy() == images).all() and (data.labels.numpy() == labels).all())


@every_layout
def test_every_layout_gives_the_same_images(
    small_stl: dict[str, Batch], tmp_path: Path, lay: Lay, path: str
) -> None:
    """Rows are rows although the published files hold columns. Labels start at 0."""
    lay(small_stl, tmp_path)
    train = load("stl10", "train", root=tmp_path, download=False)
    assert same(train, small_stl["train"])
    assert (train.name, train.split, train.classes) == ("stl10", "train", 10)
    assert train.images.shape == (200, 3, SIDE, SIDE) and train.images.is_contiguous()
    assert train.labels.dtype == torch.int64
    test = load("stl10", "test", root=tmp_path, download=False)
    labels, images = small_stl["test"]
    n = 100 if lay is lay_packs else 200
    assert len(test) == n and same(test, (labels[:n], images[:n]))


def test_packs_have_the_first_test_images_and_say_so(
    small_stl: dict[str, Batch], tmp_path: Path
) -> None:
    """A study that needs more images must not silently use fewer."""
    lay_packs(small_stl, tmp_path)
    assert len(load("stl10", "test", root=tmp_path, download=False, at_least=100)) == 100
    text = message(tmp_path, "test", needed=101)
    assert text.startswith(
        f"test_X.bin is not in {tmp_path} (the packed files there have only the first 100 "
    )
    with pytest.raises(ValueError, match=r"which must be in 1\.\.100 \(stl10 test\), got 200"):
        load("stl10", "test", root=tmp_path, download=False).subset(200)
    lay_files(small_stl, tmp_path)
    assert len(load("stl10", "test", root=tmp_path, download=False, at_least=101)) == 200


@pytest.mark.parametrize("name", ["digits", "stl10"])
def test_more_images_than_a_set_has_are_refused(
    small_stl: dict[str, Batch], tmp_path: Path, name: str
) -> None:
    lay_files(small_stl, tmp_path)
    with pytest.raises(DataError, match=rf"{name} test must have at least 500 images here, it has"):
        load(name, "test", root=tmp_path, download=False, at_least=500)


@every_layout
@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "text"])
def test_a_damaged_file_is_refused(
    small_stl: dict[str, Batch], tmp_path: Path, lay: Lay, path: str, damage: str
) -> None:
    """The error is one sentence, and no file from another place or the network replaces it."""
    lay(small_stl, tmp_path)
    file = tmp_path / path
    data = file.read_bytes()
    place = len(data) // 2 if lay is not lay_archive else 10_000  # among the labelled images
    file.write_bytes(
        {
            "truncated": data[:place],
            "altered": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
            "empty": b"",
            "text": b"no such page",
        }[damage]
    )
    text = message(tmp_path, download=True)
    assert text.startswith(f"{tmp_path / path.split('/')[0]}") and text.endswith(REMEDY)
    assert " is not the published t" in text


def test_swapped_packs_are_refused(small_stl: dict[str, Batch], tmp_path: Path) -> None:
    lay_packs(small_stl, tmp_path)
    one, two = (tmp_path / "stl10" / f"train_{i}.zip" for i in (1, 2))
    one.rename(tmp_path / "other")
    two.rename(one)
    (tmp_path / "other").rename(two)
    assert "stl10 is not the published train_X.bin (" in message(tmp_path)


def test_labels_that_do_not_belong_are_refused(small_stl: dict[str, Batch], tmp_path: Path) -> None:
    lay_files(small_stl, tmp_path)
    folder = tmp_path / "stl10_binary"
    (folder / "train_y.bin").write_bytes((folder / "test_y.bin").read_bytes())
    assert "train_y.bin is not the published train_y.bin (" in message(tmp_path)


@pytest.fixture
def served(small_stl: dict[str, Batch], site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Serve the small archive instead of the publisher's."""
    monkeypatch.setattr(stl10, "_address", lambda: f"{site.url}archive")
    site.files["/archive"] = published(small_stl)
    return site


def test_a_download_stops_before_the_unlabelled_images(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    """A reader that needs more than the first half would send another request. Existing files are
    kept.
    """
    served.cuts = [len(served.files["/archive"]) // 2]
    assert same(load("stl10", "train", root=tmp_path), small_stl["train"])
    assert {p.name for p in tmp_path.rglob("*.bin")} == {
        f"{split}_{part}.bin" for split in small_stl for part in "Xy"
    }
    assert not list(tmp_path.rglob("*.tar.gz")) and not list(tmp_path.rglob(".*"))
    assert same(load("stl10", "test", root=tmp_path), small_stl["test"])
    assert len(served.asked) == 1


def test_the_test_images_come_first(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    assert len(load("stl10", "test", root=tmp_path)) == 200
    assert {p.name for p in tmp_path.rglob("*.bin")} == {"test_X.bin", "test_y.bin"}
    assert same(load("stl10", "train", root=tmp_path), small_stl["train"])


def test_a_cut_connection_is_resumed(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    """It resumes several times, as long as each connection brings some bytes."""
    served.cuts = [5000, 10_000, 7, 20_000]
    assert same(load("stl10", "train", root=tmp_path), small_stl["train"])
    assert [asked for _, asked in served.asked] == [
        None,
        *(f"bytes={start}-" for start in (5000, 15_000, 15_007, 35_007)),
    ]


def test_a_server_that_cannot_resume_is_named(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    served.cuts, served.ranges = [5000], False
    text = message(tmp_path, download=True)
    assert "archive: the connection broke off, and the server cannot resume): try again" in text


def test_altered_bytes_are_refused_and_not_kept(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    served.files["/archive"] = published({**small_stl, "train": small_stl["test"]})
    text = message(tmp_path, download=True)
    assert "archive: the bytes it sends are not those of the published file): try again" in text
    assert {p.name for p in tmp_path.rglob("*.bin")} == {"test_X.bin", "test_y.bin"}


def test_two_at_once_download_once(
    small_stl: dict[str, Batch], served: Site, tmp_path: Path
) -> None:
    sets: list[ImageSet] = []
    threads = [
        threading.Thread(target=lambda: sets.append(load("stl10", "train", root=tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served.asked) == 1 and len(sets) == 2
    assert all(same(each, small_stl["train"]) for each in sets)


def test_a_missing_set_is_named_with_where_to_put_it(
    small_stl: dict[str, Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = message(tmp_path)
    assert text.startswith(f"train_X.bin is not in {tmp_path} and downloads are off: ")
    assert "ROBUSTBOOK_DATA" in text and "stl10_binary" in text
    monkeypatch.setattr(stl10, "_address", lambda: "http://127.0.0.1:9/c")
    text = message(tmp_path, download=True)
    assert f"train_X.bin is not in {tmp_path} and could not be downloaded (http://127" in text
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / stl10.FOLDER).touch()
    assert "other cannot be used: " in message(tmp_path / "other", download=True)


@pytest.mark.slow
def test_the_address_and_sums_are_torchvisions() -> None:
    from torchvision.datasets import STL10

    assert stl10._address() == STL10.url and STL10.filename == stl10.ARCHIVE
    assert STL10.base_folder == stl10.FOLDER
    ours = {(file.name, file.digest) for pair in stl10.FILES.values() for file in pair}
    assert ours < {tuple(pair) for pair in STL10.train_list + STL10.test_list}


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("split", "count", "digest"),
    [
        pytest.param(
            "train",
            5000,
            "a666e1feda7857161a51a31e407dfd2d7b7ec8761b2e95ba6c1c85b57e84c8bc",
            marks=pytest.mark.slow,
        ),
        ("test", 1600, "51d01250572649f93847770c36f5a339e06dcd6c7898575c64fecf920d6e0d7b"),
    ],
)
def test_the_real_set(split: str, count: int, digest: str) -> None:
    """The tables of hashes belong to the real files.

    The digests here use another order of the pixels: rows, columns, colours.
    """
    try:
        data = load("stl10", split, download=False)
    except DataError as error:
        if "downloads are off" not in str(error):
            raise
        pytest.skip("ROBUSTBOOK_DATA has MNIST but not STL-10")
    assert len(data) in (count, 8000)
    pixels = data.images[:count].permute(0, 2, 3, 1).contiguous().numpy()
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
    counts = torch.bincount(data.labels[:count]).tolist()
    assert counts in ([500] * 10, [157, 182, 152, 170, 153, 155, 156, 171, 150, 154])
