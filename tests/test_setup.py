"""The packages that `make setup` installs, tested with replacements for the programs it calls."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
GPU, CPU = "downloads up to 2.9 GB and takes 5.5 GB", "downloads up to 0.4 GB and takes 1.5 GB"


@dataclass
class Machine:
    """A folder with the project's Makefile, and replacements for the programs of a machine."""

    folder: Path

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(
        self,
        *options: str,
        driver: bool = False,
        index: bool = True,
        free: float = 50.0,
        system: str = "Linux",
        **environment: str,
    ) -> tuple[int, str, list[str]]:
        """Return the exit status of `make setup`, its output, and the packages that uv should
        install.
        """
        asked = self.folder / "asked"
        asked.write_text("")
        self.program("tools/nvidia-smi", f"exit {int(not driver)}")
        self.program("tools/uname", f"echo {system}")
        kib = int(free * 1e9 / 1024)
        self.program("tools/df", f"echo Filesystem; echo disk 1 1 {kib} 1% /")
        self.program(".venv/bin/python", "exit 0")
        self.program(
            ".venv/bin/uv",
            f'case "$*" in *--dry-run*) exit {int(not index)};; esac; echo "$*" >> {asked}',
        )
        known = {k: v for k, v in os.environ.items() if not k.endswith("TORCH_BACKEND")}
        (self.folder / ".venv" / ".ok").unlink(missing_ok=True)
        done = subprocess.run(
            ["make", "setup", "PYTHON=true", *options],
            cwd=self.folder,
            env=known | {"PATH": f"{self.folder / 'tools'}:{os.environ['PATH']}"} | environment,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr, asked.read_text().splitlines()


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Machine:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    return Machine(tmp_path)


no_driver_here = pytest.mark.skipif(
    Path("/proc/driver/nvidia/version").exists(), reason="this machine has an NVIDIA driver"
)


@no_driver_here
def test_without_a_driver_the_cpu_build_is_taken(machine: Machine) -> None:
    """A machine with 4 GB of free disk can then build the book."""
    status, said, (asked,) = machine.setup(free=4.0)
    assert status == 0 and f"{CPU} of disk; 4.0 GB are free" in said
    assert "--torch-backend cpu -e .[book,test]" in asked


@no_driver_here
def test_where_pytorchs_index_does_not_answer_the_package_index_is_used(machine: Machine) -> None:
    status, said, (asked,) = machine.setup(index=False)
    assert status == 0 and GPU in said and "--torch-backend" not in asked


def test_with_a_driver_nothing_is_asked(machine: Machine) -> None:
    status, said, (asked,) = machine.setup(driver=True)
    assert status == 0 and GPU in said and "--torch-backend" not in asked


def test_another_system_has_no_cuda_build(machine: Machine) -> None:
    status, said, (asked,) = machine.setup(system="Darwin")
    assert status == 0 and CPU in said and "--torch-backend" not in asked


@pytest.mark.parametrize("driver", [False, True])
@pytest.mark.parametrize("index", [False, True])
def test_a_users_choice_wins(machine: Machine, driver: bool, index: bool) -> None:
    """It may be on the command line, in the environment or in uv's own variable, at any free
    disk.
    """
    for options, environment in (
        (("TORCH_BACKEND=cu130",), {}),
        ((), {"TORCH_BACKEND": "cu130"}),
        ((), {"UV_TORCH_BACKEND": "cu130"}),
        (("TORCH_BACKEND=cu130",), {"TORCH_BACKEND": "cpu"}),
    ):
        status, said, (asked,) = machine.setup(
            *options, driver=driver, index=index, free=1.0, **environment
        )
        assert status == 0 and f"{GPU} of disk; 1.0 GB are free" in said
        assert "--torch-backend cu130 -e" in asked


@pytest.mark.parametrize(("driver", "free"), [(True, 5.2), (True, 0.0), (False, 1.2)])
def test_too_little_disk_is_refused_in_a_sentence(
    machine: Machine, driver: bool, free: float
) -> None:
    """It stops before any download, but not if torch is installed and little is missing."""
    status, said, asked = machine.setup(driver=driver, free=free)
    assert status != 0 and not asked and not (machine.folder / ".venv" / ".ok").exists()
    assert f"setup: {5.5 if driver else 1.5} GB of disk must be free; TORCH_BACKEND=cpu" in said
    (machine.folder / ".venv/lib/python3.11/site-packages/torch").mkdir(parents=True)
    status, said, asked = machine.setup(driver=driver, free=free)
    assert status == 0 and len(asked) == 1


def test_a_second_setup_does_nothing(machine: Machine) -> None:
    machine.setup()
    done = subprocess.run(["make", "setup"], cwd=machine.folder, capture_output=True, text=True)
    assert done.returncode == 0 and "downloads" not in done.stdout
