"""Draw handwritten digits on crops of photographs, to get colour images of CIFAR-10's size without
a download.

The handwritten digits come from `digits` (1,397 for training, 400 for testing). The photographs are
the two in scikit-learn: china.jpg by danielbuechele and flower.jpg by vultilion (both CC BY 2.0).
Each photograph is reduced to half its size and half its contrast. Crops for training images come
from the left 70 % of a photograph, crops for test images from the right 30 %. A digit is drawn on a
crop of 32 x 32 pixels, at most one pixel off its centre, in a random colour with an opacity of 7/8.
The 2,794 training images contain each digit twice, on two crops and in two colours.

The images are not trivial to classify: a nearest-neighbour classifier on pixels is correct for 39 %
of the test images. But a small network learns the classes within seconds. We trained Deep Defense's
ConvNet with half as many filters on whitened images for seven seconds on a CPU core: 12 epochs of
Adam with batches of 100 images, and a learning rate that falls from 0.003 to 0. The trained ConvNet
classifies 83 to 86 % of the whitened test images correctly (three seeds).

Networks with batch norm can also be trained on these images, because the statistics of a shuffled
batch resemble those of the whole set. A shuffled batch of 100 images has every class. The mean of a
colour channel over such a batch differs by about 0.01 from the mean over the whole set. For
comparison, the standard deviation of a colour channel over images and pixels is 0.15 to 0.18. We
trained a network of three convolutions with batch norm and a linear layer like the ConvNet. It
classifies 87 to 91 % of the test images correctly (two seeds). If its batch norms use the
statistics of a batch of test images instead of running statistics, it classifies 88 to 92 %.

After the photographs are decoded, all images are computed with integers. Different JPEG decoders
give slightly different pixels, mostly because they enlarge reduced colour planes in different ways.
The colour planes of the two photographs have full size and need not be enlarged. The decoded pixels
are checked by hash, so that the images have the same bytes on every machine.
"""

import hashlib
import io
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .digits import REINSTALL, digits, scikit_learn
from .images import ImageSet
from .originals import DataError, Original, read_checked

_PHOTOGRAPHS = (
    Original(
        "china.jpg", 196_653, "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"
    ),
    Original(
        "flower.jpg", 142_987, "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"
    ),
)
_DECODED = {
    "china.jpg": "e701459344fd69797154c91add3bb5d70e5ed1a61d8bed889bab3a796104698d",
    "flower.jpg": "3202904ed246795bf616c66d7859cd7c6080eff736c6e38dc5cc62779742033f",
}
_COPIES = {"train": 2, "test": 1}  # copies of each digit
_COLUMNS = {"train": slice(0, 224), "test": slice(224, 320)}  # of the reduced photographs
_SIDE = 32


def scenes(split: str) -> ImageSet:
    """Return the 2,794 training images or the 400 test images, of shape 3 x 32 x 32, in the order
    of `digits`. The training set contains first one copy of every digit, and then the second copy
    of every digit.
    """
    strokes = digits(split)
    pieces = _photographs()[:, :, _COLUMNS[split]]
    labels = strokes.labels.repeat(_COPIES[split])
    masks = strokes.images[:, 0].numpy().astype(np.int64)
    images = [_image(masks[i % len(masks)], pieces, f"{split} {i}") for i in range(len(labels))]
    planes = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return ImageSet("scenes", split, planes, labels, strokes.classes)


def _image(mask: NDArray[np.int64], pieces: NDArray[np.int64], purpose: str) -> NDArray[np.uint8]:
    """Return an image of 32 x 32 pixels, with the digit ``mask`` (28 x 28, 0..255) on a random crop
    of one of the photographs ``pieces`` (number, height, width, 3).
    """
    # The numbers are drawn by hash, so that they do not depend on library versions.
    draws = np.frombuffer(hashlib.sha256(f"scenes {purpose}".encode()).digest(), ">u2")
    rows, columns = (side - _SIDE + 1 for side in pieces.shape[1:3])
    choices = np.array([len(pieces), rows, columns, 3, 3, 256, 256, 256])
    photograph, top, left, down, right, *ink = draws[: len(choices)] % choices
    below = pieces[photograph, top : top + _SIDE, left : left + _SIDE]
    cover = np.zeros((_SIDE, _SIDE, 1), dtype=np.int64)
    cover[1 + down : 29 + down, 1 + right : 29 + right, 0] = 7 * mask  # of 8 * 255
    return ((below * (2040 - cover) + np.array(ink) * cover + 1020) // 2040).astype(np.uint8)


@cache
def _photographs() -> NDArray[np.int64]:
    """Return both photographs as one array (2, 213, 320, 3). Each photograph is reduced to half its
    size, by means over 2 x 2 pixels, and to half its contrast.
    """
    return np.stack([_reduced(photograph) for photograph in _PHOTOGRAPHS])


def _reduced(photograph: Original) -> NDArray[np.int64]:
    path = scikit_learn("scenes", "images") / photograph.name
    contents = read_checked(path, photograph, remedy=REINSTALL)
    with Image.open(io.BytesIO(contents), formats=["JPEG"]) as image:
        pixels = np.asarray(image.convert("RGB"))
    if hashlib.sha256(pixels.tobytes()).hexdigest() != _DECODED[photograph.name]:
        raise DataError(
            f"scenes cannot be made here: Pillow decodes {photograph.name} to other pixels than "
            "its published wheels do; install Pillow from the package index"
        )
    rows, columns, _ = pixels.shape
    squares = pixels[: rows // 2 * 2].reshape(rows // 2, 2, columns // 2, 2, 3)
    totals: NDArray[np.int64] = squares.sum((1, 3), dtype=np.int64)
    return (totals + 4 * 128 + 4) // 8
