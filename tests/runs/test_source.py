"""The fingerprint changes exactly if the code that a step uses changes."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robustbook.runs import source

FILES = {
    "__init__.py": "",
    "study.py": '''"""Steps."""
import math
from . import tools
from .room import near
import sample_package.far as far

RATE = 0.5

def unused():
    return 1

def step_function(x: int, rate: float = RATE):
    """What it does."""
    from .late import later
    return near(x) + tools.sharp(x) + far.away(x) + later(x) + math.pi

def other_step(tools_by_name):
    return getattr(tools, tools_by_name)(1)
''',
    "room/__init__.py": "from .near import near\nfrom .beside import beside\n",
    "room/near.py": "from ..deep import deep\n\ndef near(x):\n    return deep(x)\n",
    "room/beside.py": "def beside(x):\n    return x\n",
    "deep.py": "class Base:\n    k = 1\n\nclass Deep(Base):\n    pass\n\ndef deep(x):\n"
    "    return Deep().k * x\n",
    "tools.py": "def sharp(x):\n    return x\n\ndef blunt(x):\n    return -x\n",
    "far.py": "if True:\n    def away(x):\n        return x\nelse:\n    away = None\n",
    "late.py": "def later(x):\n    return x\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "sample_package"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield root
    forget()


def forget() -> None:
    """Clear all caches, as in a new process."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "sample_package"]:
        del sys.modules[name]
    for cached in (source.fingerprint, source._bindings, source._file):
        cached.cache_clear()
    importlib.invalidate_caches()


def prints(function: str = "step_function") -> str:
    forget()
    return source.fingerprint("sample_package.study", function)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("study.py", "+ math.pi", "- math.pi"),
        ("study.py", "RATE = 0.5", "RATE = 0.25"),
        ("room/near.py", "return deep(x)", "return deep(x) + 1"),
        ("deep.py", "return Deep()", "return 2 * Deep()"),
        ("deep.py", "k = 1", "k = 2"),
        ("tools.py", "return x", "return 2 * x"),
        ("far.py", "return x", "return 2 * x"),
        ("late.py", "return x", "return 2 * x"),
        ("room/__init__.py", "from .near import near", "from .beside import beside as near"),
    ],
)
def test_what_is_reached_counts(package: Path, file: str, old: str, new: str) -> None:
    edit_and_compare(package / file, lambda text: text.replace(old, new), same=False)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("deep.py", "    k = 1", '    """Says."""\n    k = 1\n    """One."""'),
        ("deep.py", "    pass", '    """Nothing of its own."""'),
        ("study.py", "return 1", "return 2"),
        ("study.py", "What it does.", "What it does, in other words."),
        ("study.py", "RATE = 0.5", "# half\nRATE  =  0.5"),
        ("room/beside.py", "return x", "return 2 * x"),
        ("room/__init__.py", "from .beside import beside\n", ""),
        ("tools.py", "return -x", "return -2 * x"),
        ("tools.py", "def blunt", "def duller"),
    ],
)
def test_what_is_not_reached_does_not(package: Path, file: str, old: str, new: str) -> None:
    """Otherwise every edit would make every result stale, and the message would be ignored."""
    edit_and_compare(package / file, lambda text: text.replace(old, new), same=True)


def edit_and_compare(path: Path, edit: Callable[[str], str], *, same: bool) -> None:
    before = prints()
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    assert before and (prints() == before) is same


def test_a_module_used_as_a_value_counts_as_a_whole(package: Path) -> None:
    before = prints("other_step")
    (package / "tools.py").write_text(FILES["tools.py"].replace("-x", "-2 * x"))
    assert prints("other_step") != before


def test_no_source_no_fingerprint() -> None:
    assert source.fingerprint("no_such_module", "f") == ""
