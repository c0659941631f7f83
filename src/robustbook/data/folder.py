"""Photographs in a folder tree as ImageNet comes, ``root/class/image.jpg``, read when asked for."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from .originals import DataError

ACCEPTED = "a folder with one subfolder of JPEG or PNG files per class is accepted"


class FolderSet:
    """A labelled set that stays on disk: ``set[rows]`` reads and decodes those images.

    The tree is torchvision's `ImageFolder`: classes are the names of the subfolders in alphabetical
    order (ImageNet's WordNet numbers), images the files in them. An image's shorter side is brought
    to 8/7 of ``crop`` pixels (bilinear) and the square in the middle is cut out: 256 and 224, with
    which torchvision's networks were measured. Raises DataError for a folder, a class or an image
    that cannot be used.
    """

    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]

    def __init__(self, root: Path, crop: int = 224) -> None:
        from torchvision.datasets import ImageFolder  # slow to import, and of use here alone

        if crop < 1:
            raise ValueError(f"crop must be 1 or more, got {crop}")
        if not root.is_dir():
            raise DataError(f"{root} is no folder: {ACCEPTED}")
        try:
            found = ImageFolder(root)
        except FileNotFoundError as error:  # its message is several lines
            what = "no subfolders" if "class folder" in str(error) else "a subfolder without images"
            raise DataError(f"{root} has {what}: {ACCEPTED}") from error
        self.paths = [path for path, _ in found.samples]
        self.labels = torch.tensor(found.targets)
        self.classes = tuple(found.classes)
        self.crop = crop

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Int[Tensor, " m"]) -> UInt8[Tensor, "m 3 side side"]:
        """The images of these rows. Decoding does not hold Python's lock: threads share it."""
        with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads:
            return torch.stack(list(threads.map(self._read, rows.tolist())))

    def _read(self, row: int) -> UInt8[Tensor, "3 side side"]:
        from torchvision.datasets.folder import pil_loader
        from torchvision.transforms import functional as transform

        path = self.paths[row]
        try:
            image = pil_loader(path)  # whatever it was, with three channels
        except (OSError, ValueError, SyntaxError) as error:  # PIL has all three for damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{path} cannot be read ({reason}): a whole JPEG or PNG file is accepted"
            ) from error
        image = transform.resize(image, [round(self.crop * 8 / 7)])
        pixels: Tensor = transform.pil_to_tensor(transform.center_crop(image, [self.crop]))
        return pixels
