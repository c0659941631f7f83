"""Load MNIST (LeCun, Bottou, Bengio, Haffner 1998) from the original files or torchvision's
mirrors.

The files, compressed (`.gz`) or not, may be in torchvision's folder (`MNIST/raw`), in `mnist`, or
directly in the root folder. The package torchvision is imported only for a download, because the
import takes seconds.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from .images import ImageSet
from .originals import Original, read_original

FOLDERS = ("MNIST/raw", "mnist", "")
CLASSES = 10
# Images and labels of each split. The contents match the MD5 sums in torchvision.
FILES = {
    "train": (
        Original(
            "train-images-idx3-ubyte",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        Original(
            "train-labels-idx1-ubyte",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        Original(
            "t10k-images-idx3-ubyte",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        Original(
            "t10k-labels-idx1-ubyte",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}


def mnist(split: str, root: Path, *, download: bool) -> ImageSet:
    """Return the 60,000 training images or the 10,000 test images, in their original order."""
    images, labels = read_pair(FILES[split], root, FOLDERS, _mirrors if download else None)
    return ImageSet("mnist", split, images, labels, CLASSES)


def read_pair(
    files: tuple[Original, Original],
    root: Path,
    folders: Sequence[str],
    mirrors: Callable[[], Sequence[str]] | None,
) -> tuple[UInt8[Tensor, "n 1 h w"], Int64[Tensor, " n"]]:
    """Return the images and the labels from two files in MNIST's format, which `read_original`
    finds and checks.
    """
    images, labels = (_idx(read_original(each, root, folders, mirrors=mirrors)) for each in files)
    return images[:, None], labels.long()


def _mirrors() -> Sequence[str]:
    """Return web addresses of folders that have the four compressed original files."""
    from torchvision.datasets import MNIST

    mirrors: list[str] = MNIST.mirrors
    return mirrors


def _idx(contents: bytes) -> UInt8[Tensor, "*shape"]:
    """Return the values of a file in MNIST's format (idx): two zero bytes, a type, the number of
    axes, the lengths of the axes, and then the values.

    The type (8 for unsigned bytes) is not checked here, because the hash of the contents has been
    checked.
    """
    axes = contents[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", contents[4:start])
    return torch.frombuffer(bytearray(contents), dtype=torch.uint8, offset=start).view(shape)
