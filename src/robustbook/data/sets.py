"""Load image sets by name."""

from pathlib import Path

from .cifar10 import cifar10
from .digits import digits
from .fashion_mnist import fashion_mnist
from .images import ImageSet
from .mnist import mnist
from .originals import DataError, data_root
from .scenes import scenes
from .stl10 import stl10

NAMES = ("digits", "scenes", "mnist", "fashion-mnist", "cifar10", "stl10")
SPLITS = ("train", "test")


def load(
    name: str,
    split: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    at_least: int = 1,
) -> ImageSet:
    """Return the images and labels of one split of a data set.

    `name` is "digits" or "scenes" (both use scikit-learn's files), "mnist", "fashion-mnist",
    "cifar10" or "stl10"; `split` is "train" or "test". `root` is the folder with the original
    files; the default is the folder that `data_root` returns. If `download` is True, missing files
    are downloaded to this folder. Each call checks the hash of every file. `at_least` is the
    smallest number of images that the caller accepts. This argument matters for STL-10: in some
    folders, only the first 1,600 of its 8,000 test images are available (see `stl10`).

    Raises ValueError for an unknown name or split. Raises DataError for a missing, truncated or
    altered file, and for a set with fewer than `at_least` images.
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    folder = data_root(root)
    match name:
        case "digits":
            found = digits(split)
        case "scenes":
            found = scenes(split)
        case "stl10":
            found = stl10(split, folder, download=download, at_least=at_least)
        case _:
            read = {"mnist": mnist, "fashion-mnist": fashion_mnist, "cifar10": cifar10}[name]
            found = read(split, folder, download=download)
    if len(found) < at_least:
        raise DataError(
            f"{name} {split} must have at least {at_least} images here, it has {len(found)}"
        )
    return found
