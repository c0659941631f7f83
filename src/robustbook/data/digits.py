"""Load the handwritten digits of scikit-learn in the format of MNIST, without a download.

The 1,797 digits are from Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI
Machine Learning Repository, 1998. They have 8 x 8 pixels with grey values in 0..16. The conversion
to MNIST's format follows MNIST's authors (LeCun, Bottou, Bengio, Haffner 1998, section III.A). Each
digit is enlarged to 20 x 20 pixels, and its centre of mass is moved to the middle of 28 x 28
pixels. The enlarged digits are blurred, while MNIST's digits are nearly black and white. So the
contrast of the enlarged digits is doubled: each grey value moves to twice its distance from the
middle grey. The converted digits have a mean pixel value of 0.154 (MNIST: 0.131), a standard
deviation of 0.323 (0.308), and a fraction of fully white pixels of 0.076 (0.074).

The conversion uses only integers, so that the images have the same bytes on every machine. The
split into training and test set is fixed, and the test set has 40 images of each class. Unlike in
MNIST, digits of one writer can be in both the training and the test set. So the test accuracy does
not show whether a network generalises to new writers.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .images import ImageSet
from .originals import DataError, Original, read_checked

# Read from scikit-learn's files, because importing its `load_digits` takes seconds in every worker
# process. A test checks that both give the same images.
_FILE = Original(
    "digits.csv",
    264_712,
    "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
)
_CLASSES = 10
_TEST_PER_CLASS = 40
_INK = 16  # the highest grey value of the original digits
_BOX = 20  # pixels, the side of the enlarged digit
_SIDE = 28
REINSTALL = "reinstall scikit-learn, which brings it"


def digits(split: str) -> ImageSet:
    """Return the 1,397 training or the 400 test images, of 28 x 28 pixels, in a fixed order."""
    counts, labels = _originals()
    train, test = _split(labels)
    chosen = test if split == "test" else train
    return ImageSet(
        "digits",
        split,
        torch.from_numpy(_mnist_format(counts[chosen]))[:, None],
        torch.from_numpy(labels[chosen]),
        _CLASSES,
    )


@cache
def _originals() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the original grey values (n, 8, 8) and the labels (n,), in the order of scikit-learn's
    file.
    """
    path = scikit_learn("digits", "data") / f"{_FILE.name}.gz"
    contents = read_checked(path, _FILE, remedy=REINSTALL)
    rows = np.loadtxt(contents.decode().splitlines(), delimiter=",").astype(np.int64)
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]


def scikit_learn(wanted_by: str, folder: str) -> Path:
    """Return the path of a folder of scikit-learn's data files, without importing scikit-learn."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError(f"{wanted_by} needs scikit-learn, which is not installed: install it")
    return Path(package.origin).parent / "datasets" / folder


def _split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training and test images. The indices are in random order, so that
    the first k images of a set are a random sample.
    """
    classes = [np.flatnonzero(labels == k) for k in range(_CLASSES)]
    test = np.concatenate([_shuffled(members, "split")[:_TEST_PER_CLASS] for members in classes])
    train = np.setdiff1d(np.arange(len(labels)), test)
    return _shuffled(train, "order"), _shuffled(test, "order")


def _shuffled(indices: NDArray[np.int64], purpose: str) -> NDArray[np.int64]:
    """Return the indices in a pseudorandom order, which does not depend on library versions: they
    are sorted by their hashes.
    """
    hashed = [hashlib.sha256(f"digits {purpose} {i}".encode()).digest() for i in indices]
    return indices[sorted(range(len(indices)), key=hashed.__getitem__)]


def _mnist_format(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Enlarge digits of shape (n, 8, 8) to 20 x 20 pixels, double their contrast, and centre each
    digit in 28 x 28 pixels.

    After this conversion the centre of mass of each digit is in the middle of the image, rounded to
    whole pixels.
    """
    weights = _bilinear(counts.shape[-1], _BOX)
    full = (2 * _BOX) ** 2 * _INK  # the sum for a fully inked pixel
    enlarged = weights @ counts @ weights.T
    # 255 * (1/2 + 2 * (enlarged / full - 1/2)), rounded half up
    grey = ((4 * enlarged - full) * 255 + full) // (2 * full)
    boxes = np.clip(grey, 0, 255)
    images = np.zeros((len(boxes), _SIDE, _SIDE), dtype=np.uint8)
    for image, box in zip(images, boxes, strict=True):
        top, left = (_start(box.sum(axis)) for axis in (1, 0))
        image[top : top + _BOX, left : left + _BOX] = box
    return images


def _bilinear(n: int, m: int) -> NDArray[np.int64]:
    """Return the matrix of shape (m, n) that enlarges n pixels to m pixels by linear interpolation,
    as whole numbers in units of 1/(2m). Applied to rows and to columns, it gives bilinear
    interpolation.

    The centre of output pixel i is at position (i + 1/2) n / m - 1/2 of the input. Beyond the edge,
    the value of the pixel at the edge is used.
    """
    weights = np.zeros((m, n), dtype=np.int64)
    for i in range(m):
        below, beyond = divmod((2 * i + 1) * n - m, 2 * m)
        weights[i, max(below, 0)] += 2 * m - beyond
        weights[i, min(below + 1, n - 1)] += beyond
    return weights


def _start(mass: NDArray[np.int64]) -> int:
    """Return the first row or column that a 20 x 20 digit covers in the image of 28 x 28 pixels.
    The digit's centre of mass is then in the middle of the image. The array ``mass`` contains the
    sum of the grey values in each row or column of the digit.

    The middle of 28 pixels, counted from 0, is at position 13.5. The position is rounded half up,
    and limited so that the digit is not cut off.
    """
    total, moment = int(mass.sum()), int(mass @ np.arange(len(mass)))
    start = (_SIDE * total - 2 * moment) // (2 * total)  # floor(13.5 - moment / total + 1/2)
    return min(max(start, 0), _SIDE - _BOX)
