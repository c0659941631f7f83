"""Load Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): ten kinds of clothing, in
MNIST's format.

The four files of Fashion-MNIST have the same names and sizes as the files of MNIST. To avoid
reading MNIST by mistake, this module looks for the files only in the folders `FashionMNIST/raw`
(torchvision's) and `fashion-mnist` below the root folder.
"""

from collections.abc import Sequence
from pathlib import Path

from .images import ImageSet
from .mnist import CLASSES, read_pair
from .originals import Original

FOLDERS = ("FashionMNIST/raw", "fashion-mnist")
# Images and labels of each split. The hashes are from Debian's package dataset-fashion-mnist and
# from the crate dataset_ml, which unpacks the publisher's files; torchvision has MD5 sums only of
# the compressed files.
FILES = {
    "train": (
        Original(
            "train-images-idx3-ubyte",
            47_040_016,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        Original(
            "train-labels-idx1-ubyte",
            60_008,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    "test": (
        Original(
            "t10k-images-idx3-ubyte",
            7_840_016,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        Original(
            "t10k-labels-idx1-ubyte",
            10_008,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}


def fashion_mnist(split: str, root: Path, *, download: bool) -> ImageSet:
    """Return the 60,000 training images or the 10,000 test images, in their original order."""
    images, labels = read_pair(FILES[split], root, FOLDERS, _mirrors if download else None)
    return ImageSet("fashion-mnist", split, images, labels, CLASSES)


def _mirrors() -> Sequence[str]:
    """Return web addresses of folders that have the four compressed original files."""
    from torchvision.datasets import FashionMNIST

    mirrors: list[str] = FashionMNIST.mirrors
    return mirrors
