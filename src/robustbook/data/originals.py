"""Read original files of a data set from a local folder or a download, and check them by hash
before use.

The hash of a file covers its uncompressed contents, so a compressed file (`.gz`) has the same hash
as the unpacked file, however it was compressed. A file with a different hash is never used,
whatever its name or folder.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from .download import DownloadError, fetch

REPLACE = "put the original file in its place, or delete it to have it downloaded"


class DataError(ValueError):
    """The error for a data file that is missing or damaged, or that could not be downloaded."""

    explains_itself = True  # a failed run shows this message alone


@dataclass(frozen=True)
class Original:
    """A file as its authors publish it. The fields are its name without `.gz`, and the size and the
    hash of its uncompressed contents.
    """

    name: str
    size: int  # bytes
    digest: str  # SHA-256, or MD5 if its authors publish only that; hexadecimal

    @property
    def algorithm(self) -> str:
        """Return the name of the hash algorithm, which the length of `digest` shows."""
        return "SHA-256" if len(self.digest) == 64 else "MD5"


def data_root(root: str | Path | None = None) -> Path:
    """Return the absolute path of the folder for data files.

    The folder is `root` if given, else the value of the environment variable `ROBUSTBOOK_DATA`. If
    neither is given, the folder is `data` in the user's cache folder for `robustbook` (on Linux
    `~/.cache/robustbook/data`). All copies of the project on a machine share this folder. `~`
    stands for the home folder. The path is made absolute, so that it does not depend on the working
    directory. Raises DataError if `root` or `ROBUSTBOOK_DATA` names a folder that does not exist.
    """
    chosen = root or os.environ.get("ROBUSTBOOK_DATA")
    if not chosen:
        return user_cache_path("robustbook") / "data"
    path = Path(chosen).expanduser().absolute()
    if not path.is_dir():
        name = "root" if root else "ROBUSTBOOK_DATA"
        raise DataError(f"{name} must be a folder that exists, got {path}")
    return path


def read_original(
    original: Original,
    root: Path,
    subfolders: Sequence[str] = ("",),
    *,
    mirrors: Callable[[], Sequence[str]] | None = None,
) -> bytes:
    """Return the contents of `original`, from a local file or, if there is none, from the first
    mirror (download server) that works.

    The file, unpacked or compressed (`.gz`), is looked for in each of the `subfolders` of `root`,
    in order. If no local file is found, the function `mirrors` is called. It returns the web
    addresses (ending in `/`) of the folders from which to download, in the order in which they are
    tried. The downloaded file is stored compressed, in the first of the `subfolders`. If `mirrors`
    is None, nothing is downloaded. Raises DataError if the file cannot be read; the message names
    the file, what was expected and what to do.
    """
    for folder in subfolders:
        for name in (original.name, f"{original.name}.gz"):
            path = root / folder / name
            if path.is_file():
                return read_checked(path, original, remedy=REPLACE)
    where = ", ".join(folder for folder in subfolders if folder)
    also = "also " if "" in subfolders else ""
    advice = (
        f"with --data-root or ROBUSTBOOK_DATA name a folder that holds it, plain or as .gz"
        f"{f' ({also}in its subfolder {where})' if where else ''}"
    )
    if mirrors is None:
        raise DataError(f"{original.name} is not in {root} and downloads are off: {advice}")
    path = root / subfolders[0] / f"{original.name}.gz"
    try:
        fetch(
            [f"{mirror}{path.name}" for mirror in mirrors()],
            path,
            check=lambda part: read_checked(part, original, remedy=REPLACE),
        )
    except DownloadError as error:
        raise DataError(
            f"{original.name} is not in {root} and could not be downloaded ({error}): "
            f"try again, or {advice}"
        ) from error
    return read_checked(path, original, remedy=REPLACE)


def read_checked(path: Path, original: Original, *, remedy: str) -> bytes:
    """Return the uncompressed contents of the file at `path`.

    Raises DataError if the file cannot be read, or does not have the size and the hash of
    `original`. The error message ends with `remedy`, a text that says what to do.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"  # by content, because a partial download lacks .gz
        with gzip.open(path) if packed else path.open("rb") as file:
            contents = file.read(original.size + 1)  # one more byte, to detect a longer file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise unfit(path, original, f"it cannot be unpacked ({error})", remedy) from error
    except OSError as error:
        raise unfit(path, original, f"it cannot be read ({error.strerror})", remedy) from error
    check(path, original, contents, remedy)
    return contents


def check(path: Path, original: Original, contents: bytes, remedy: str) -> None:
    """Raise DataError if the bytes `contents` of the file at `path` differ from the published file
    `original`.
    """
    if len(contents) != original.size:
        found = f"{len(contents)} bytes" if len(contents) < original.size else "more bytes"
        raise unfit(path, original, f"it holds {found}", remedy)
    name = original.algorithm.replace("-", "").lower()
    digest = hashlib.new(name, contents, usedforsecurity=False).hexdigest()
    if digest != original.digest:
        raise unfit(path, original, f"its contents have {original.algorithm} {digest}", remedy)


def unfit(path: Path, original: Original, found: str, remedy: str) -> DataError:
    """Return the error for a wrong file. The error message says what was expected, what was found
    and what to do.
    """
    return DataError(
        f"{path} is not the published {original.name} ({original.size} bytes with "
        f"{original.algorithm} {original.digest} when unpacked): {found}; {remedy}"
    )
