"""A download that is whole or not there: resumed where it broke off, checked, then renamed."""

import os
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from tqdm import tqdm

CHUNK = 1 << 16  # bytes
TIMEOUT = 30  # seconds without a byte
RANGE_NOT_SATISFIABLE = 416  # the answer where the partial file is already as long as the whole


class DownloadError(OSError):
    """No address gave the file; the message says what each of them answered."""


def fetch(urls: Sequence[str], path: Path, *, check: Callable[[Path], object]) -> None:
    """Download the file at one of `urls` to `path`, unless it is there.

    The bytes go to `path` with `.part` appended, are given to `check` (which raises ValueError if
    they are wrong) and take the name `path` only then, so that a file of that name is whole at
    every instant. Each address is tried twice: the second try goes on from where the first broke
    off, or begins anew if the first brought wrong bytes. What an interrupted process leaves is
    taken up by the next one. Of two processes that want the same file one downloads and the other
    waits. Raises DownloadError.
    """
    part = path.with_name(path.name + ".part")
    reasons: dict[str, str] = {}  # of each address, the latest
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lock of the operating system: it dies with its holder.
        with FileLock(path.with_name(path.name + ".lock")):
            if path.exists():
                return
            for url in [url for url in urls for _ in range(2)]:
                try:
                    _append(url, part)
                    check(part)
                except (OSError, HTTPException) as error:
                    reasons[url] = f"{getattr(error, 'reason', '') or error}"
                except ValueError:
                    part.unlink()
                    reasons[url] = "the bytes it sends are not those of the published file"
                else:
                    os.replace(part, path)
                    return
    except OSError as error:  # of the folder, the lock or the renaming, not of the network
        raise DownloadError(
            f"{path.parent} cannot be written: {error.strerror or error}"
        ) from error
    raise DownloadError("; ".join(f"{url}: {reason}" for url, reason in reasons.items()))


def _append(url: str, part: Path) -> None:
    """Bring the bytes that `part` lacks, or all of them where the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if have and error.code == RANGE_NOT_SATISFIABLE:
                return
            raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        bar = tqdm(total=response.length, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if response.length:  # bytes announced and not sent
            raise OSError(f"the connection was closed {response.length} bytes before the end")
        file.flush()
        os.fsync(file.fileno())
