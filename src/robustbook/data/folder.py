"""Read photographs from a folder tree like ImageNet's, ``root/class/image.jpg``. Each photograph is
read only when it is needed.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from .images import Rows, indices
from .originals import DataError

ACCEPTED = "a folder with one subfolder of JPEG or PNG files per class is accepted"


class FolderSet:
    """A set of labelled images on disk; ``set[rows]`` reads the images with the indices ``rows``.

    Classes are the subfolders in alphabetical order (ImageNet's WordNet numbers). The images of a
    class are all image files in its subfolder and below, recognised by their suffixes, as in
    torchvision's `ImageFolder`. Files and folders whose names begin with a dot are skipped. The
    shorter side of an image is resized to 8/7 of ``crop`` pixels, with bilinear interpolation, and
    a square of ``crop`` pixels is cut from the centre. With ``crop`` 224 the shorter side has 256
    pixels, as in the standard evaluation of torchvision's networks.

    Every image is converted to three channels of 8 bits, as in torchvision. A grey image is
    repeated in three channels. An image with a palette or in CMYK is converted to RGB. Transparency
    and the camera's orientation (EXIF) are ignored. For images with 16 bits per channel, this class
    uses the upper 8 bits, whereas torchvision turns grey values above 255 into white. Images with
    32 bits per channel raise an error, because their range is unknown. Raises DataError for a
    folder, a class or an image that cannot be used.
    """

    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]

    def __init__(self, root: Path | str, crop: int = 224) -> None:
        if crop < 1:
            raise ValueError(f"crop must be 1 or more, got {crop}")
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"{root} is no folder: {ACCEPTED}")
        folders = sorted(
            path for path in root.iterdir() if path.is_dir() and not _hidden(path.name)
        )
        if not folders:
            raise DataError(f"{root} has no subfolders: {ACCEPTED}")
        self.paths: list[str] = []
        labels: list[int] = []
        for label, folder in enumerate(folders):
            found = list(_images(folder))
            if not found:
                raise DataError(f"{folder} is a class without images: {ACCEPTED}")
            self.paths += found
            labels += [label] * len(found)
        self.labels = torch.tensor(labels)
        self.classes = tuple(folder.name for folder in folders)
        self.crop = crop

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Rows) -> UInt8[Tensor, "m 3 side side"]:
        """Return the images that ``rows`` selects; ``rows`` contains indices, or one bool for each
        image. A single number selects one image.

        Decoding releases Python's global lock, so several threads decode in parallel.
        """
        chosen = indices(rows, len(self), "rows").tolist()
        if not chosen:
            return torch.empty(0, 3, self.crop, self.crop, dtype=torch.uint8)
        with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads:
            return torch.stack(list(threads.map(self._read, chosen)))

    def _read(self, row: int) -> UInt8[Tensor, "3 side side"]:
        from torchvision.transforms import functional as transform  # slow to import

        path = self.paths[row]
        try:
            with Image.open(path) as file:
                # This avoids PIL's warning about a palette's transparency.
                file.info.pop("transparency", None)
                image = _eight_bits(file).convert("RGB")
        # PIL raises all of these for damaged files, and the last one for very large files.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{path} cannot be read ({reason}): a whole JPEG or PNG file is accepted"
            ) from error
        image = transform.resize(image, [round(self.crop * 8 / 7)])
        pixels: Tensor = transform.pil_to_tensor(transform.center_crop(image, [self.crop]))
        return pixels


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _images(folder: Path) -> Iterator[str]:
    """Yield the paths of the image files in a folder and its subfolders, in the same order as
    torchvision.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    for parent, _, files in sorted(os.walk(folder, followlinks=True)):
        if not any(map(_hidden, Path(parent).relative_to(folder).parts)):
            for name in sorted(files):
                if name.lower().endswith(IMG_EXTENSIONS) and not _hidden(name):
                    yield os.path.join(parent, name)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel. If the image has 16 bits per channel, the upper 8
    bits are kept. PIL itself keeps the upper bits only for images with three channels.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits a channel, where 8 or 16 are accepted")
    return image
