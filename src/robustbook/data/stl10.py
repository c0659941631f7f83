"""Load the labelled images of STL-10, without its 100,000 images that have no label. STL-10 is from
Coates, Lee and Ng, "An analysis of single layer networks in unsupervised feature learning", AISTATS
2011.

A split (the training or the test images) can be in three places below the root folder. The first
one that has the whole split is used:

- the original binary files (`stl10_binary/train_X.bin` and `train_y.bin`);

- ZIP files with lossless WebP files (`stl10/train_1.zip` to `train_5.zip`, `test_first_1600.zip`),
  in the same format as for CIFAR-10. The files have only the first 1,600 of the 8,000 test images,
  on which Random Self-Ensemble is evaluated;

- the original archive (`stl10_binary.tar.gz`, 2.6 GB), whose first files are the labelled images.
  The archive is read only up to the last needed file: about 190 MB for the test images and 300 MB
  for the training images. If it is downloaded, only its labelled images are stored, as binary files
  (up to 360 MB).

Images and labels are always converted to the format of the original binary files, and their hash is
checked.
"""

import tarfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import torch
from filelock import FileLock

from robustbook.files import write_whole

from .cifar10 import sheets
from .download import DownloadError, Stream
from .images import ImageSet
from .originals import REPLACE, DataError, Original, check, read_checked, unfit

FOLDER, PACKS, ARCHIVE = "stl10_binary", "stl10", "stl10_binary.tar.gz"
CLASSES, SIDE = 10, 96
_IMAGE = 3 * SIDE * SIDE  # bytes
ABOUT = {"test": 190_000_000, "train": 300_000_000}  # approximate bytes to read from the archive
# Images and labels of each split, with the published MD5 sums.
FILES = {
    "train": (
        Original("train_X.bin", 5000 * _IMAGE, "918c2871b30a85fa023e0c44e0bee87f"),
        Original("train_y.bin", 5000, "5a34089d4802c674881badbb80307741"),
    ),
    "test": (
        Original("test_X.bin", 8000 * _IMAGE, "7f263ba9f9e0b06b93213547f721ac82"),
        Original("test_y.bin", 8000, "36f9794fa4beb8a2c72628de14fa638e"),
    ),
}
# Contents of all ZIP files of each split, in the format of the files above.
PACKED = {
    "train": (tuple(f"train_{i}.zip" for i in range(1, 6)), *FILES["train"]),
    "test": (
        ("test_first_1600.zip",),
        Original(
            "beginning of test_X.bin",
            1600 * _IMAGE,
            "eed26f6859f401cf5e3b0ff01c3486b079ecb957ab0c52c165d1dab573f15ee3",
        ),
        Original(
            "beginning of test_y.bin",
            1600,
            "f9c5a4ff3e6db669480af4453f9998976357dc04c0bf4e58640d780b4a0efb29",
        ),
    ),
}


def stl10(split: str, root: Path, *, download: bool, at_least: int = 1) -> ImageSet:
    """Return the 5,000 training images or the 8,000 test images, of shape 3 x 96 x 96, in their
    original order. If the binary files are missing and `at_least` is at most 1,600, the first 1,600
    test images are returned from the ZIP file.

    Labels 0 to 9 are airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck; the original
    files count classes from 1.
    """
    names, *packed = PACKED[split]
    packs = [root / PACKS / name for name in names]
    if not _missing(split, root):
        pair = _files(split, root)
    elif all(path.is_file() for path in packs) and packed[1].size >= at_least:
        pair = _unpacked(packs, *packed)
    else:
        _fetch(split, root, download)
        pair = _files(split, root)
    images, labels = (np.frombuffer(part, np.uint8) for part in pair)
    # The order of the axes in the original files is image, channel, column, row.
    pixels = images.reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2)
    return ImageSet(
        "stl10",
        split,
        torch.from_numpy(np.ascontiguousarray(pixels)),
        torch.from_numpy(labels.astype("i8") - 1),
        CLASSES,
    )


def _missing(split: str, root: Path) -> list[Original]:
    return [file for file in FILES[split] if not (root / FOLDER / file.name).is_file()]


def _files(split: str, root: Path) -> tuple[bytes, bytes]:
    """Return images and labels from the original binary files."""
    images, labels = (
        read_checked(root / FOLDER / file.name, file, remedy=REPLACE) for file in FILES[split]
    )
    return images, labels


def _unpacked(packs: list[Path], images: Original, labels: Original) -> tuple[bytes, bytes]:
    """Return images and labels from the ZIP files, converted to the format of the original binary
    files.
    """
    pixels, numbers = [], []
    for path in packs:
        try:
            read, planes = sheets(path.read_bytes(), SIDE)
            rows = np.frombuffer(planes, np.uint8).reshape(-1, 3, SIDE, SIDE)
        except Exception as error:  # damaged bytes can cause any exception
            raise unfit(path, images, f"it cannot be unpacked ({error})", REPLACE) from error
        pixels.append(rows.transpose(0, 1, 3, 2))
        numbers.append(np.frombuffer(read, np.uint8) + 1)
    pair = np.concatenate(pixels).tobytes(), np.concatenate(numbers).tobytes()
    for original, contents in zip((images, labels), pair, strict=True):
        check(packs[0].parent, original, contents, REPLACE)
    return pair


def _fetch(split: str, root: Path, download: bool) -> None:
    """Extract the missing files of a split from the archive in the root folder. If the archive is
    not there, extract the files from its download stream.

    If two processes need the same files, one extracts them and the other waits.
    """
    left = _missing(split, root)
    if not left:  # another process has just extracted them
        return
    path, missing = root / ARCHIVE, f"{left[0].name} is not in {root}"
    names, _, labels = PACKED[split]
    if all((root / PACKS / name).is_file() for name in names):
        missing += f" (the packed files there have only the first {labels.size} images)"
    advice = (
        f"with --data-root or ROBUSTBOOK_DATA name a folder that holds {ARCHIVE} or what it "
        f"unpacks to, {FOLDER}"
    )
    if not path.is_file() and not download:
        raise DataError(f"{missing} and downloads are off: {advice}")
    try:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{FOLDER}.lock"):
            if not _missing(split, root):
                return
            if path.is_file():
                with path.open("rb") as file:
                    _extract(file, path, split, root)
            else:
                _download(split, root)
    except DownloadError as error:
        raise DataError(
            f"{missing} and could not be downloaded ({error}): try again, or {advice}"
        ) from error
    except OSError as error:
        raise DataError(f"{root} cannot be used: {error.strerror or error}") from error


def _download(split: str, root: Path) -> None:
    url = _address()
    with Stream(url, ABOUT[split]) as stream:
        try:
            _extract(stream, root / ARCHIVE, split, root)
        except DataError as error:
            raise DownloadError(
                f"{url}: the bytes it sends are not those of the published file"
            ) from error


def _address() -> str:
    """Return the web address of the archive."""
    from torchvision.datasets import STL10

    return str(STL10.url)


def _extract(file: IO[bytes] | Stream, path: Path, split: str, root: Path) -> None:
    """Extract the files of labelled images from the archive, which is read up to the last file that
    `split` needs.
    """
    known = {original.name: original for pair in FILES.values() for original in pair}
    left = _missing(split, root)
    try:
        with tarfile.open(fileobj=file, mode="r|gz") as archive:  # type: ignore[call-overload]
            while (left := _missing(split, root)) and (member := archive.next()):
                original, packed = known.get(Path(member.name).name), archive.extractfile(member)
                if original and packed and not (root / FOLDER / original.name).is_file():
                    # Read one more byte, to detect a longer file.
                    contents = packed.read(original.size + 1)
                    check(path, original, contents, REPLACE)
                    write_whole(root / FOLDER / original.name, contents)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise unfit(path, left[0], f"it cannot be unpacked ({error})", REPLACE) from error
    if left:
        raise unfit(path, left[0], "it holds no file of that name", REPLACE)
