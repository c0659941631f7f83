"""The image sets by name."""

from pathlib import Path

from .cifar10 import cifar10
from .digits import digits
from .fashion_mnist import fashion_mnist
from .images import ImageSet
from .mnist import mnist
from .originals import data_root
from .scenes import scenes

NAMES = ("digits", "scenes", "mnist", "fashion-mnist", "cifar10")
SPLITS = ("train", "test")


def load(
    name: str, split: str, *, root: str | Path | None = None, download: bool = True
) -> ImageSet:
    """The images and labels of one split of a data set.

    `name` is "digits" or "scenes" (both come with scikit-learn), "mnist", "fashion-mnist" or
    "cifar10"; `split` is "train" or "test". `root` is the folder with the original files, else
    `ROBUSTBOOK_DATA`, else the user's cache folder (see `data_root`); what is missing there is
    downloaded to it, unless `download` is False. Every file is checked by hash each time. Raises
    ValueError for another name or split, and DataError for a file that is missing, truncated or
    altered.
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if name in ("digits", "scenes"):
        return digits(split) if name == "digits" else scenes(split)
    read = {"mnist": mnist, "fashion-mnist": fashion_mnist, "cifar10": cifar10}[name]
    return read(split, data_root(root), download=download)
