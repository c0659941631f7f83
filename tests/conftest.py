"""Fixtures for all tests: each test has its own store, and a skipped test says what is missing.

The package is not imported here, because jaxtyping's hook must see the first import of each module.
"""

import os
import signal
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
# Shells start background jobs with Ctrl-C ignored, which processes inherit. Some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# `fit` computes with one thread, and some tests compare it bit by bit with a loop written out.
torch.set_num_threads(1)


@pytest.fixture
def root() -> Path:
    """Return the root folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own store, so that none reads or writes the user's results."""
    monkeypatch.setenv("ROBUSTBOOK_STORE", str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Seed torch's generator, so that the result of a test depends on no earlier test."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {}
    if not torch.cuda.is_available():
        missing["gpu"] = "needs a CUDA device"
    if not os.environ.get("ROBUSTBOOK_DATA"):
        missing["mnist"] = "needs ROBUSTBOOK_DATA, the folder of the real MNIST"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
