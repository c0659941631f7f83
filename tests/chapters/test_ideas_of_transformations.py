"""The ideas of the pages on transformations and on certified accuracy do what the package does."""

import pytest
import torch
from torch import nn

from robustbook.defenses import compressed, jpeg, resized_padded
from robustbook.measures import certified
from robustbook.measures.certificate import ABSTAIN

from .test_ideas import idea


def test_the_resize() -> None:
    """The padded image is the package's, for the page's size and place."""
    shown = idea("survey/transformations")
    each = [torch.tensor([shown[name]]) for name in ("r", "above", "left")]
    ours = resized_padded(shown["x"].detach()[None, None], *each, shown["size"])
    assert torch.equal(shown["padded"].detach()[None, None], ours)


def test_the_straight_through_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    """Without BPDA the gradient is 0. With BPDA it is the gradient at the rounded point, as the
    package's codec has it at the compressed image.
    """
    shown = idea("survey/transformations")
    *_, without, straight = capsys.readouterr().out.splitlines()
    assert without == "[[0.0, 0.0], [0.0, 0.0]]" and straight == "[[0.0, 0.0], [2.0, 2.0]]"
    images = shown["x"].detach()[None, None].requires_grad_()
    behind = jpeg(nn.Flatten(), 30)
    (found,) = torch.autograd.grad(behind(images).square().sum(), images)
    assert torch.equal(found, 2 * compressed(images.detach(), 30))


def test_certify() -> None:
    """The package's class and radius, for sure, divided and wrong votes."""
    shown = idea("survey/certified")
    for choice, counts in (
        ([3, 7], [10, 90]),
        ([3, 7], [50, 50]),
        ([9, 1], [10, 990]),
        ([0, 5], [0, 40]),
    ):
        answer, radius = certified(torch.tensor([choice]), torch.tensor([counts]), sigma=0.7)
        found = shown["certify"](choice, counts, 0.7)
        expected = None if int(answer) == ABSTAIN else int(answer)
        assert found[0] == expected and found[1] == pytest.approx(float(radius))


def test_the_radius_grows_to_the_distance(capsys: pytest.CaptureFixture[str]) -> None:
    shown = idea("survey/certified")
    lines = capsys.readouterr().out.splitlines()
    radii = [float(line.split()[-1]) for line in lines]
    assert radii == sorted(radii) and radii[-1] < shown["distance"] < radii[-1] + 0.02
