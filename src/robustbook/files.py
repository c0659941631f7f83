"""Files that are whole or not there."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whose folder is made if it is missing; all of it or nothing.

    The bytes go to a hidden file beside it and to the disk, and take the name only then. The hidden
    file's name is this call's own, so that of several writers at once, in threads or processes,
    each one's file is whole, and the last one's stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
