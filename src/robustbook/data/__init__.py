"""Load image sets as tensors, from installed packages, local files or downloads."""

from .folder import FolderSet
from .images import ImageSet, as_float
from .originals import DataError, data_root
from .sets import NAMES, SPLITS, load

__all__ = ["NAMES", "SPLITS", "DataError", "FolderSet", "ImageSet", "as_float", "data_root", "load"]
