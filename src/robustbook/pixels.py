"""Check the pixels of images."""

import torch
from torch import Tensor


def refuse_other_than_bytes(images: Tensor) -> None:
    """Raise ValueError for images that are not bytes; floats could be in [0, 1] or in 0..255."""
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be bytes (torch.uint8) in 0..255, got {images.dtype}")
