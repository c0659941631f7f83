"""A file is complete or missing, whatever happens to the network and the process."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from robustbook.data import download
from robustbook.data.download import CHUNK, DownloadError, fetch

from .conftest import Site

BODY = random.Random(0).randbytes(6 * CHUNK + 17)


def check(part: Path) -> None:
    if part.read_bytes() != BODY:
        raise ValueError("not the body")


# The module is run by its path, because importing the package would import torch for seconds.
CHILD = """
import runpy, sys
from pathlib import Path
module, url, path = sys.argv[1:]
runpy.run_path(module)["fetch"]([url], Path(path), check=lambda part: None)
"""


def start_child(url: str, path: Path) -> subprocess.Popen[bytes]:
    assert download.__file__ is not None
    return subprocess.Popen([sys.executable, "-c", CHILD, download.__file__, url, str(path)])


def wait_for(condition: object, *, seconds: float = 20) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_download_is_whole_and_leaves_no_partial_file(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    path = tmp_path / "new" / "folder" / "f"
    fetch([site.url + "f"], path, check=check)
    assert path.read_bytes() == BODY
    assert not path.with_name("f.part").exists()


def test_a_file_that_is_there_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"anything")
    fetch([site.url + "f"], tmp_path / "f", check=check)
    assert site.asked == []


def test_a_cut_connection_is_resumed_where_it_broke_off(site: Site, tmp_path: Path) -> None:
    """A body shorter than announced must be neither accepted nor thrown away."""
    site.files["/f"] = BODY
    site.cuts = [3 * CHUNK]
    fetch([site.url + "f"], tmp_path / "f", check=check)
    assert (tmp_path / "f").read_bytes() == BODY
    assert site.asked == [("/f", None), ("/f", f"bytes={3 * CHUNK}-")]


def test_a_server_that_cannot_resume_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    """Appending a complete body to a partial file would always give a wrong file."""
    site.files["/f"] = BODY
    site.cuts, site.ranges = [2 * CHUNK], False
    fetch([site.url + "f"], tmp_path / "f", check=check)
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("left", [BODY, BODY + b"more"], ids=["whole", "too long"])
def test_a_partial_file_as_long_as_the_whole(site: Site, tmp_path: Path, left: bytes) -> None:
    """A process that died before renaming leaves it; the server then has no more bytes to send."""
    site.files["/f"] = BODY
    (tmp_path / "f.part").write_bytes(left)
    fetch([site.url + "f"], tmp_path / "f", check=check)
    assert (tmp_path / "f").read_bytes() == BODY


def test_altered_bytes_are_refused_and_the_next_mirror_is_asked(site: Site, tmp_path: Path) -> None:
    site.files = {"/bad/f": BODY[:-1] + b"?", "/good/f": BODY}
    fetch([site.url + "bad/f", site.url + "good/f"], tmp_path / "f", check=check)
    assert (tmp_path / "f").read_bytes() == BODY
    assert site.asked[-1] == ("/good/f", None)  # from the start, without the altered file


def test_altered_bytes_from_every_mirror_leave_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY[:-1] + b"?"
    with pytest.raises(DownloadError, match="not those of the published file"):
        fetch([site.url + "f"], tmp_path / "f", check=check)
    assert not (tmp_path / "f").exists() and not (tmp_path / "f.part").exists()


def test_the_error_names_every_address_and_its_answer(site: Site, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/f"
    with pytest.raises(DownloadError) as caught:
        fetch([site.url + "f", closed], tmp_path / "f", check=check)
    assert f"{site.url}f: Not Found; {closed}: " in str(caught.value)
    assert "refused" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"file/folder cannot be written: "):
        fetch([site.url + "f"], tmp_path / "file" / "folder" / "f", check=check)


def test_a_killed_download_is_not_taken_for_whole_and_is_resumed(
    site: Site, tmp_path: Path
) -> None:
    """After a kill half way there is no file of that name and no lock, and no byte is fetched
    twice.
    """
    site.files["/f"] = BODY
    site.go_on.clear()
    path, part = tmp_path / "f", tmp_path / "f.part"
    child = start_child(site.url + "f", path)
    wait_for(lambda: part.exists() and part.stat().st_size >= 2 * CHUNK)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not path.exists()
    have = part.stat().st_size
    site.go_on.set()
    fetch([site.url + "f"], path, check=check)
    assert path.read_bytes() == BODY
    assert site.asked[-1] == ("/f", f"bytes={have}-")


def test_two_processes_at_once_download_once(site: Site, tmp_path: Path) -> None:
    """Two writers would corrupt the partial file; the second waits and then finds it complete."""
    site.files["/f"] = BODY
    site.go_on.clear()
    child = start_child(site.url + "f", tmp_path / "f")
    wait_for(lambda: site.asked)
    threading.Timer(0.3, site.go_on.set).start()
    fetch([site.url + "f"], tmp_path / "f", check=check)
    assert (tmp_path / "f").read_bytes() == BODY
    assert child.wait() == 0
    assert len(site.asked) == 1
