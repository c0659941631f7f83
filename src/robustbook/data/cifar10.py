"""Load CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).

A batch of 10,000 images can be in three places below the root folder; the first place that has the
batch is used:

- torchvision's folder (`cifar-10-batches-py/data_batch_1`);

- a ZIP file, such as `cifar10/data_batch_1.zip`, with the labels in `labels.u8` (one byte for each
  label) and the images in `00.webp` to `99.webp`. Each of these hundred WebP files is lossless and
  shows a hundred images in ten rows of ten;

- the original archive (`cifar-10-python.tar.gz`), which is read without unpacking it to disk.

If no place has the batch, the archive is downloaded.

Labels and pixels are always converted to the format of CIFAR-10's original binary version, and
their hash is checked.
"""

import io
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .download import DownloadError, fetch
from .images import ImageSet
from .originals import REPLACE, DataError, Original, check, unfit

FOLDER, PACKS, ARCHIVE = "cifar-10-batches-py", "cifar10", "cifar-10-python.tar.gz"
CLASSES = 10
# Size of a batch in the binary version: for each image a byte for its label, then the red, green
# and blue planes.
_SIZE = 10_000 * (1 + 3 * 32 * 32)
BATCHES = {
    "train": tuple(
        Original(f"data_batch_{i}", _SIZE, digest)
        for i, digest in enumerate(
            (
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            ),
            start=1,
        )
    ),
    "test": (
        Original(
            "test_batch",
            _SIZE,
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
    ),
}


def cifar10(split: str, root: Path, *, download: bool) -> ImageSet:
    """Return the 50,000 training or the 10,000 test images, of shape 3 x 32 x 32, in their original
    order.
    """
    wanted = BATCHES[split]
    read = {}
    for batch in wanted:
        for path, unpack in (
            (root / FOLDER / batch.name, _pickle),
            (root / PACKS / f"{batch.name}.zip", partial(sheets, side=32)),
        ):
            if batch not in read and path.is_file():
                read[batch] = _unpacked(path, batch, path.read_bytes, unpack)
    if missing := [batch for batch in wanted if batch not in read]:
        read |= _from_archive(_archive(missing[0], root, download), missing)
    rows = np.concatenate([np.frombuffer(read[batch], np.uint8) for batch in wanted])
    rows = rows.reshape(-1, 1 + 3 * 32 * 32)
    images = torch.from_numpy(rows[:, 1:].copy()).view(-1, 3, 32, 32)
    return ImageSet("cifar10", split, images, torch.from_numpy(rows[:, 0].astype("i8")), CLASSES)


def _archive(missing: Original, root: Path, download: bool) -> Path:
    """Return the path of the archive; download it if it is missing and `download` is true."""
    path = root / ARCHIVE
    if path.is_file():
        return path
    advice = (
        f"with --data-root or ROBUSTBOOK_DATA name a folder that holds {ARCHIVE} or what it "
        f"unpacks to, {FOLDER}"
    )
    if not download:
        raise DataError(f"{missing.name} is not in {root} and downloads are off: {advice}")
    everything = [batch for batches in BATCHES.values() for batch in batches]
    try:
        fetch(_addresses(), path, check=lambda part: _from_archive(part, everything))
    except DownloadError as error:
        raise DataError(
            f"{missing.name} is not in {root} and could not be downloaded ({error}): "
            f"try again, or {advice}"
        ) from error
    return path


def _addresses() -> Sequence[str]:
    """Return the web addresses of the archive."""
    from torchvision.datasets import CIFAR10

    return [CIFAR10.url]


def _from_archive(path: Path, wanted: Collection[Original]) -> dict[Original, bytes]:
    """Return the `wanted` batches of images from the archive. The archive is read once, up to the
    last wanted batch.
    """
    names = {batch.name: batch for batch in wanted}
    read: dict[Original, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            while len(read) < len(names) and (member := archive.next()):
                batch, file = names.get(Path(member.name).name), archive.extractfile(member)
                if batch and file:
                    read[batch] = _unpacked(path, batch, file.read, _pickle)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        batch = next(batch for batch in wanted if batch not in read)
        raise unfit(path, batch, f"it cannot be unpacked ({error})", REPLACE) from error
    for batch in names.values():
        if batch not in read:
            raise unfit(path, batch, "it holds no file of that name", REPLACE)
    return read


def _unpacked(
    path: Path,
    original: Original,
    read: Callable[[], bytes],
    unpack: Callable[[bytes], tuple[bytes, bytes]],
) -> bytes:
    """Return the unpacked bytes of a batch of images after checking their hash. The batch has one
    row for each image: the label, then the pixels.
    """
    try:
        labels, pixels = (np.frombuffer(part, np.uint8) for part in unpack(read()))
        rows = np.column_stack([labels, pixels.reshape(len(labels), -1)])
    except Exception as error:  # damaged bytes can cause any exception
        raise unfit(path, original, f"it cannot be unpacked ({error})", REPLACE) from error
    check(path, original, rows.tobytes(), REPLACE)
    return rows.tobytes()


def _pickle(contents: bytes) -> tuple[bytes, bytes]:
    """Return labels and pixels of a pickled batch: the small integers and the longest string in the
    pickle.

    The pickle's operations are parsed but not executed, because a pickle can run any code.
    """
    operations = [(operation.name, value) for operation, value, _ in pickletools.genops(contents)]
    pixels = max((v for _, v in operations if isinstance(v, str)), key=len).encode("latin-1")
    labels = [v for name, v in operations if name == "BININT1" and isinstance(v, int)]
    return bytes(labels[: len(pixels) // (3 * 32 * 32)]), pixels


def sheets(contents: bytes, side: int) -> tuple[bytes, bytes]:
    """Return labels and pixels from a ZIP file with images of `side` x `side` pixels. The axes of
    the pixels are image, colour, row and column.
    """
    with zipfile.ZipFile(io.BytesIO(contents)) as pack:
        labels = pack.read("labels.u8")
        planes = []
        for i in range(len(labels) // 100):
            with Image.open(io.BytesIO(pack.read(f"{i:02}.webp")), formats=["WEBP"]) as sheet:
                pixels = np.asarray(sheet.convert("RGB")).reshape(10, side, 10, side, 3)
            planes.append(pixels.transpose(0, 2, 4, 1, 3).tobytes())
    return labels, b"".join(planes)
