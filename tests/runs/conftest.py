"""The steps of these tests are in `sample_steps`, where worker processes can import them."""

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return a file to which each run of a sample step adds a line."""
    return str(tmp_path / "log.txt")


@pytest.fixture
def child() -> Callable[..., BaseProcess]:
    """Start a function in its own process quickly, because torch is imported once for all of
    them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["robustbook.runs", "pytest"])

    def start(function: Callable[..., None], *args: object) -> BaseProcess:
        process = context.Process(target=function, args=args)
        process.start()
        return process

    return start
