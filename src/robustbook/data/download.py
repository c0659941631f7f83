"""Download a file to disk, or read it as a stream. A download resumes after an interruption, and an
incomplete file never gets its final name.
"""

import os
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from tqdm import tqdm

CHUNK = 1 << 16  # bytes
TIMEOUT = 30  # seconds to wait for the next byte
TRIES = 3
PARTIAL_CONTENT = 206  # response of a server that can resume
RANGE_NOT_SATISFIABLE = 416  # response if the partial file already has the full length


class DownloadError(OSError):
    """The error that is raised if a file could not be downloaded from any of its web addresses. The
    message contains the error of each address.
    """


def fetch(urls: Sequence[str], path: Path, *, check: Callable[[Path], object]) -> None:
    """Download the file at one of the `urls` to `path`. If `path` exists already, do nothing.

    The bytes are first written to a file with the name of `path` and the suffix `.part`. The
    caller's function `check` gets the path of the downloaded file, and must raise ValueError if the
    bytes are wrong. After a successful check the file is renamed to `path`, so a file at `path` is
    always complete. Each address is tried twice. If the first attempt was interrupted, the second
    resumes it; if its bytes were wrong, the second starts again. If the process is interrupted, a
    later call resumes the download. If two processes need the same file, one downloads it and the
    other waits. Raises DownloadError if every address fails.
    """
    part = path.with_name(path.name + ".part")
    reasons: dict[str, str] = {}  # the latest error of each address
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lock of the operating system, which is released when its process dies.
        with FileLock(path.with_name(path.name + ".lock")):
            if path.exists():
                return
            for url in [url for url in urls for _ in range(2)]:
                try:
                    _append(url, part)
                    check(part)
                except (OSError, HTTPException) as error:
                    reasons[url] = _reason(error)
                except ValueError:
                    part.unlink()
                    reasons[url] = "the bytes it sends are not those of the published file"
                else:
                    os.replace(part, path)
                    return
    except OSError as error:  # from the folder, the lock or the renaming, not the network
        raise DownloadError(
            f"{path.parent} cannot be written: {error.strerror or error}"
        ) from error
    raise DownloadError("; ".join(f"{url}: {reason}" for url, reason in reasons.items()))


class Stream:
    """The bytes of a file on a web server, which are read in order and not stored on disk.

    If the connection breaks, the remaining bytes are requested again. After `TRIES` failures in a
    row, DownloadError is raised. The progress bar shows `about`, the approximate number of bytes
    that will be read.
    """

    def __init__(self, url: str, about: int) -> None:
        self.url = url
        self._at = 0
        self._response: HTTPResponse | None = None
        self._bar = tqdm(total=about, unit="B", unit_scale=True, desc=url, disable=None)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        self._bar.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size` of them. An empty result means that the stream has
        ended.
        """
        for attempt in range(1, TRIES + 1):
            try:
                self._response = self._response or self._rest()
                chunk = self._response.read(size)
                if not chunk and self._response.length:
                    raise _cut_off(self._response.length)
                self._at += len(chunk)
                self._bar.update(len(chunk))
                return chunk
            except (OSError, HTTPException) as error:
                self._close()
                if attempt == TRIES:
                    raise DownloadError(f"{self.url}: {_reason(error)}") from error
        raise AssertionError("the last try returns or raises")

    def _rest(self) -> HTTPResponse:
        response = _open(self.url, self._at)
        if self._at and response.status != PARTIAL_CONTENT:
            response.close()
            raise OSError("the connection broke off, and the server cannot resume")
        return response

    def _close(self) -> None:
        if self._response:
            self._response.close()
        self._response = None


def _open(url: str, start: int) -> HTTPResponse:
    """Request a file from byte `start` on, and return the server's response. A server that cannot
    resume sends the whole file.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    return response


def _append(url: str, part: Path) -> None:
    """Append the missing bytes to the incomplete file `part`. If the server cannot resume a
    download, download the whole file again.
    """
    have = part.stat().st_size if part.exists() else 0
    try:
        response = _open(url, have)
    except HTTPError as error:
        with error:
            if have and error.code == RANGE_NOT_SATISFIABLE:
                return
            raise
    mode = "ab" if response.status == PARTIAL_CONTENT else "wb"
    with response, part.open(mode) as file:
        bar = tqdm(total=response.length, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if response.length:
            raise _cut_off(response.length)
        file.flush()
        os.fsync(file.fileno())


def _cut_off(left: int) -> OSError:
    """Return the error for a response that ended before its announced length."""
    return OSError(f"the connection was closed {left} bytes before the end")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error)
