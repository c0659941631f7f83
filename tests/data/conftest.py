"""Small original files, and a server that serves, interrupts, stalls and resumes like real ones."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from robustbook.data.originals import Original


def idx(shape: tuple[int, ...], values: bytes) -> bytes:
    """Return a file in idx format, written from its description without the code that reads it."""
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


def original(name: str, contents: bytes) -> Original:
    return Original(name, len(contents), hashlib.sha256(contents).hexdigest())


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make a set of 3 training and 2 test images of 2 x 4 pixels, under MNIST's file names.

    Their hashes replace MNIST's.
    """
    contents, table = {}, {}
    for split, prefix, n in (("train", "train", 3), ("test", "t10k", 2)):
        pair = {
            f"{prefix}-images-idx3-ubyte": idx((n, 2, 4), bytes(range(7, 7 + 8 * n))),
            f"{prefix}-labels-idx1-ubyte": idx((n,), bytes(range(9, 9 - n, -1))),
        }
        contents.update(pair)
        table[split] = tuple(original(*item) for item in pair.items())
    monkeypatch.setattr("robustbook.data.mnist.FILES", table)
    return contents


Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # labels (n,), images (n, 3, 32, 32)


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> dict[str, Batch]:
    """Make two training batches and a test batch of 100 images each, under CIFAR-10's names.

    The hashes of their binary version replace CIFAR-10's.
    """
    draw = np.random.default_rng(0)
    batches: dict[str, Batch] = {}
    table: dict[str, tuple[Original, ...]] = {"train": (), "test": ()}
    for split, name in (
        ("train", "data_batch_1"),
        ("train", "data_batch_2"),
        ("test", "test_batch"),
    ):
        labels = draw.integers(10, size=100, dtype=np.uint8)
        images = draw.integers(256, size=(100, 3, 32, 32), dtype=np.uint8)
        batches[name] = labels, images
        records = [bytes([k]) + i.tobytes() for k, i in zip(labels, images, strict=True)]
        table[split] += (original(name, b"".join(records)),)
    monkeypatch.setattr("robustbook.data.cifar10.BATCHES", table)
    return batches


def pickled(batch: Batch) -> bytes:
    """Pickle a dictionary as Python 2 did: {"labels": [...], "data": string, "filenames": [...]}.

    In the originals the string is inside an array; this adds only small numbers after the labels.
    """
    labels, images = batch
    pixels = images.tobytes()
    return b"".join(
        [
            b"\x80\x02}(U\x06labels](",
            *(b"K" + bytes([k]) for k in labels),
            b"eU\x04data(K\x01M\x00\x0cT" + struct.pack("<I", len(pixels)) + pixels,
            b"tU\x09filenames](U\x05a.pngeu.",
        ]
    )


def packed_sheets(batch: Batch) -> bytes:
    """Return one sheet, composed of the images."""
    labels, images = batch
    side = images.shape[-1]
    sheet, pack, picture = Image.new("RGB", (10 * side, 10 * side)), io.BytesIO(), io.BytesIO()
    for i, image in enumerate(images):
        tile = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        sheet.paste(tile, (side * (i % 10), side * (i // 10)))
    sheet.save(picture, "WEBP", lossless=True)
    with zipfile.ZipFile(pack, "w") as file:
        file.writestr("labels.u8", labels.tobytes())
        file.writestr("00.webp", picture.getvalue())
    return pack.getvalue()


def archived(files: dict[str, bytes], folder: str = "cifar-10-batches-py") -> bytes:
    """Return a compressed archive of files in torchvision's folder."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return archive.getvalue()


@dataclass
class Site:
    """The files that the server serves, and the requests it received."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path
    cuts: list[int] = field(default_factory=list)  # of the next answers: bytes before it hangs up
    ranges: bool = True  # whether it can resume
    go_on: threading.Event = field(default_factory=threading.Event)  # unset: stalls halfway
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and range
    url: str = ""


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()
    state.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            state.asked.append((self.path, wanted))
            body = state.files.get(self.path)
            if body is None:
                return self.send_error(404)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            start = start if state.ranges else 0
            if start and start >= len(body):
                return self.send_error(416)
            body = body[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cuts:
                body = body[: state.cuts.pop(0)]
            try:
                self.wfile.write(body[: len(body) // 2])
                state.go_on.wait(20)
                self.wfile.write(body[len(body) // 2 :])
            except OSError:
                pass  # the client was killed: that is the test

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        state.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def served_mnist(
    small_mnist: dict[str, bytes], site: Site, monkeypatch: pytest.MonkeyPatch
) -> Site:
    """The small MNIST on a server that takes the place of torchvision's mirrors."""
    site.files = {f"/{name}.gz": gzip.compress(c) for name, c in small_mnist.items()}
    monkeypatch.setattr("robustbook.data.mnist._mirrors", lambda: [site.url])
    return site
