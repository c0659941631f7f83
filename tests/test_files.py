"""A file is complete or missing, even if others write it at the same time."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from robustbook.files import write_whole


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    contents = [bytes([i]) * 100_000 for i in range(32)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda data: write_whole(path, data), contents))
    assert path.read_bytes() in contents
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space .*{path}"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
