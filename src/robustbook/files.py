"""Write files atomically, so that no incomplete file can remain."""

import itertools
import os
import uuid
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically. A missing folder is created.

    The bytes are written to a hidden file in the same folder and flushed to the disk; then this
    file is renamed to ``path``. Each call uses its own hidden file. So if several threads or
    processes write to ``path`` at the same time, the file is complete: it has the data of the call
    that finishes last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # flushing the folder makes the rename durable
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def set_aside(path: Path) -> Path:
    """Rename a damaged file to the first of ``<path>.damaged-1``, ``<path>.damaged-2``, ... that
    does not exist, and return this path.
    """
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return path.rename(next(name for name in names if not name.exists()))
