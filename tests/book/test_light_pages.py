"""The settings of the pages, as Sphinx gets them from ``_config.yml``."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import yaml
from jupyter_book.config import get_final_config


def options(
    root: Path, tmp_path: Path, extension: Callable[[str], ModuleType], url: str
) -> dict[str, Any]:
    """Return the options of the theme for one address of the repository."""
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["repository"]["url"] = url
    path = tmp_path / "_config.yml"
    path.write_text(yaml.safe_dump(config))
    final, _ = get_final_config(
        user_yaml=path, sourcedir=tmp_path, cli_config={"latex_individualpages": False}
    )
    light = extension("light_pages")
    light.no_buttons_without_address(SimpleNamespace(), SimpleNamespace(**final))
    found: dict[str, Any] = final["html_theme_options"]
    return found


def test_one_address_gives_the_buttons_for_binder_and_colab(
    root: Path, tmp_path: Path, extension: Callable[[str], ModuleType]
) -> None:
    """The other options stay as they are set."""
    found = options(root, tmp_path, extension, "https://github.com/OWNER/robustbook")
    assert found["repository_url"] == "https://github.com/OWNER/robustbook"
    assert found["launch_buttons"]["binderhub_url"] and found["launch_buttons"]["colab_url"]
    assert found["pygments_dark_style"] == "github-dark"


def test_no_address_gives_no_buttons(
    root: Path, tmp_path: Path, extension: Callable[[str], ModuleType]
) -> None:
    """Otherwise they would open the repository of Jupyter Book."""
    found = options(root, tmp_path, extension, "")
    assert not found["launch_buttons"] and not found["repository_url"]
