"""The lines of code that pages show for their idea do what the package does."""

from typing import Any

import pytest
import torch

from robustbook import notebooks
from robustbook.defenses import sigmoid_penalty


def idea(name: str) -> dict[str, Any]:
    """What the cell of a page with the tag `idea` defines, after running it."""
    cells = notebooks.stored(name, ".md").cells
    (cell,) = (cell for cell in cells if "idea" in cell.metadata.get("tags", []))
    space: dict[str, Any] = {}
    exec(cell.source, space)
    return space


def test_saturation(capsys: pytest.CaptureFixture[str]) -> None:
    shown = idea("saturating/table1")
    z = torch.linspace(-5, 5, 11, dtype=torch.float64)
    torch.testing.assert_close(
        torch.from_numpy(shown["phi_sigmoid"](z.numpy())), sigmoid_penalty(z)
    )
    before, after = map(float, capsys.readouterr().out.replace(" and, saturated,", "").split())
    assert 0 < after < before
