"""The project as a whole: versions, layers, documentation, and commands that exist."""

import ast
import importlib.metadata
import inspect
import re
import shlex
import sys
import tomllib
from pathlib import Path

import jaxtyping
import pytest
import torch
import torchvision
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

FLOORS = [
    {
        "arithmetic",
        "counting",
        "diagnosis",
        "durations",
        "files",
        "pearson",
        "pixels",
        "randomness",
    },
    {"data", "networks", "attacks", "runs", "figures", "ledger"},
    {"training", "defenses", "measures"},
    {"studies"},
    {"catalogue"},
    {"publishing"},
    {"chapters"},
    {"page"},
    {"notebooks"},
    {"book"},
    {"cli"},
    {"__main__"},
]
"""The layers of the package, lowest first. No module may import from a higher layer.

Modules of the second layer may not import each other either.
"""


def pins(root: Path) -> dict[str, Requirement]:
    lines = (root / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {pin.name.lower(): pin for pin in found}


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def requirements(root: Path) -> list[Requirement]:
    extras = project(root)["optional-dependencies"].values()
    lines = project(root)["dependencies"] + [line for extra in extras for line in extra]
    return [Requirement(line) for line in lines]


def sources(root: Path) -> list[Path]:
    return sorted((root / "src" / "robustbook").rglob("*.py"))


def imports(path: Path, root: Path) -> set[str]:
    """Return the modules that a file imports, absolute: ``torch.nn``, ``robustbook.runs.store``."""
    package = list(path.relative_to(root / "src").with_suffix("").parts)[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{name.name}" for name in node.names}
    return found


def test_each_requirement_admits_its_pin(root: Path) -> None:
    """Otherwise a fresh environment could not be resolved."""
    fixed = pins(root)
    for need in requirements(root):
        (version,) = fixed[need.name.lower()].specifier
        assert version.operator == "=="
        assert need.specifier.contains(version.version), f"{need} does not admit {version}"


def test_the_environment_meets_the_ranges(root: Path) -> None:
    """This also holds if torch was installed before and the constraints were not used."""
    for need in requirements(root):
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # the extra `cluster` is not part of `make setup`
        assert need.specifier.contains(version), f"{need} is installed as {version}"


def test_constraints_name_versions_only(root: Path) -> None:
    """An index address would bind everyone to it; CUDA packages would fail on other platforms."""
    text = (root / "constraints.txt").read_text()
    assert "://" not in text and "\n-" not in text
    assert not [name for name in pins(root) if re.match("nvidia|cuda|triton", name)]


def test_conda_and_make_install_the_same(root: Path) -> None:
    """environment.yml, Makefile and pyproject.toml describe the same environment."""
    conda = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    python = next(line.split("=")[1] for line in conda if str(line).startswith("python="))
    assert SpecifierSet(project(root)["requires-python"]).contains(python)
    extras = re.search(r"^EXTRAS := (\S+)$", (root / "Makefile").read_text(), re.M)
    assert extras is not None
    assert conda[-1] == {"pip": ["-c constraints.txt", f"-e .[{extras[1]}]"]}
    assert set(extras[1].split(",")) <= set(project(root)["optional-dependencies"])


def test_torch_and_torchvision_are_a_pair() -> None:
    """Incompatible builds fail at the first operator, not at installation."""
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1]


def test_shapes_are_checked(root: Path) -> None:
    """Without jaxtyping's hook the shapes in annotations would not be checked. All folders of the
    package that state shapes have the hook.
    """
    from robustbook.attacks import cross_entropy

    with pytest.raises(jaxtyping.TypeCheckError):
        cross_entropy(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    (packages,) = re.findall(r"jaxtyping-packages=(\S+)", (root / "pyproject.toml").read_text())
    hooked = set(re.findall(r"robustbook\.(\w+)", packages))
    package = root / "src" / "robustbook"
    shaped = [path for path in package.rglob("*.py") if "jaxtyping" in path.read_text()]
    assert {path.relative_to(package).parts[0] for path in shaped} <= hooked


def test_imports_never_go_up(root: Path) -> None:
    """Imports go only to lower layers, and not between modules of the second layer."""
    height = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in sources(root):
        room = path.relative_to(root / "src" / "robustbook").parts[0].removesuffix(".py")
        if room == "__init__":
            assert not imports(path, root), "the package's own __init__ must stay empty"
            continue
        assert room in height, f"{room} has no floor: add it to FLOORS where it belongs"
        for name in imports(path, root):
            other = name.split(".")[1] if name.startswith("robustbook.") else room
            ground = height[room] == height[other] == 1
            if height[other] > height[room] or (ground and other != room):
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_attacks_know_torch_and_themselves(root: Path) -> None:
    """The attacks can be used without the rest of the package."""
    for path in sources(root):
        if path.parent.name == "attacks":
            tops = {tuple(name.split(".")[:2]) for name in imports(path, root)}
            for top, *below in tops:
                known = {"torch", "jaxtyping"} | sys.stdlib_module_names
                assert top in known or [top, *below] == ["robustbook", "attacks"], f"{path}: {top}"


def test_the_global_generators_are_left_alone(root: Path) -> None:
    """A draw from a global generator depends on everything that ran before.

    The training loop is the only exception. Dropout can draw only from the global generator, so the
    loop seeds it for each step under `fork_rng`; another test checks that its state is restored.
    Objectives of Deep Defense draw their masks there too.
    """
    seeding = re.compile(
        r"torch\.manual_seed|np\.random\.(seed|rand)|random\.seed|cuda\.manual_seed"
        r"|default_generator"
    )
    lent = {
        "training/loop.py",
        *(f"studies/deep_defense/{m}.py" for m in ("methods", "photographs")),
    }
    for path in sources(root):
        name = path.relative_to(root / "src" / "robustbook").as_posix()
        assert name in lent or not seeding.search(path.read_text()), path
    loop = (root / "src" / "robustbook" / "training" / "loop.py").read_text()
    assert loop.index("fork_rng(") < loop.index("manual_seed(")


def test_no_module_for_leftovers(root: Path) -> None:
    """A module is named after its purpose."""
    names = {path.stem for path in sources(root)}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_public_names_are_documented() -> None:
    """Each has a docstring, which the book's page of the package shows."""
    from robustbook.book import parts

    bare = []
    for module in parts():
        for name in module.__all__:
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and not inspect.getdoc(thing):
                bare.append(f"{module.__name__}.{name}")
    assert not bare


def test_files_name_no_machine(root: Path) -> None:
    """Committed files contain no folder of one machine and no package index, so they run
    anywhere.
    """
    place = re.compile(r"(?<![\w.~-])/(home|root|work|Users|mnt)/\w|pypi\.org/simple|pythonhosted")
    folders = ["book", "notebooks", "src", "tests", "benchmarks", ".github", ".ci"]
    files = [path for folder in folders for path in (root / folder).rglob("*")]
    others = {Path(__file__), root / ".git"}  # .git is a file in a second working tree
    for path in [*files, *root.iterdir()]:
        if path.is_file() and path.suffix not in {".pyc", ".png"} and path not in others:
            found = place.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{path.relative_to(root)} names {found and found[0]}"


def commands(root: Path, program: str) -> list[list[str]]:
    """Return the lines of README and run.md that call a program, as lists of arguments."""
    text = (root / "README.md").read_text() + (root / "book" / "run.md").read_text()
    lines = re.findall(rf"^{program} .*$", text.replace("\\\n", " "), re.M)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_documented_make_targets_exist(root: Path) -> None:
    """Commands in the README exist, and `make help` lists them."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text(), re.M))
    asked = commands(root, "make")
    assert asked
    for line in asked:
        assert line[0] in targets, line


def test_documented_robustbook_commands_exist(root: Path) -> None:
    """Every documented robustbook command and option exists."""
    from robustbook.cli import main

    asked = commands(root, "robustbook")
    assert asked
    for name, *rest in asked:
        command = main.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, (name, rest)


def test_the_examples_of_the_readme_and_the_package_page_run(root: Path) -> None:
    """They need no name that they do not define. The first is the same on both."""
    (example,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.S)
    first, *more = re.findall(r"```python\n(.*?)```", (root / "book" / "api.md").read_text(), re.S)
    assert first == example
    names: dict = {}
    exec(example, names)
    for each in more:
        exec(each, dict(names))
    assert names["result"].images.shape == (400, 1, 28, 28)
    assert 0 < int(names["result"].found.sum()) < 400


ITEMS_THAT_MEASURE_ON_ANOTHER = {
    ("saturating.figure_4_relu", "saturating.figure_4"),
    ("saturating.printed_settings", "saturating.table_1"),
}
"""Section 1's range of errors uses Table 1's own evaluations. The ReLU networks of Figure 4 are
measured on the same paths, by the same stored function, as the sigmoid networks.
"""


def test_no_item_imports_another(root: Path) -> None:
    """Code that two items share is in its own module, so that an item can be read alone."""
    from robustbook.studies.items import ITEMS

    prefix = "robustbook.studies."
    items = {item.module.removeprefix(prefix) for item in ITEMS.values()}
    found = set()
    for path in (root / "src" / "robustbook" / "studies").glob("*/*.py"):
        module = f"{path.parent.name}.{path.stem}"
        for name in imports(path, root):
            other = ".".join(name.removeprefix(prefix).split(".")[:2])
            if other in items and other != module:
                found.add((module, other))
    assert found == ITEMS_THAT_MEASURE_ON_ANOTHER
