"""Load the book's Sphinx extensions, which are no package."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def extension(root: Path) -> Callable[[str], ModuleType]:
    """Return a function that loads the extension with the given name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, root / f"book/_ext/{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
