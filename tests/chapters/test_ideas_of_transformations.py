"""The ideas of the pages on transformations and on certified accuracy do what the package does."""

import pytest
import torch
from torch import nn

from robustbook.defenses import compressed, jpeg, resized_padded
from robustbook.measures import certified
from robustbook.measures.certificate import ABSTAIN

from .test_ideas import idea


def test_resizing_and_the_straight_through_gradient() -> None:
    """The page's resize is the package's, and its BPDA gives the package's gradient."""
    shown = idea("survey/transformations")
    x = torch.rand(1, 3, 9, 9)
    for r, top, left in ((9, 0, 3), (11, 1, 0), (12, 0, 0), (7, 2, 4)):
        each = [torch.tensor([number]) for number in (r, top, left)]
        ours = resized_padded(x, *each, 12)
        assert torch.equal(shown["resize_and_pad"](x, r, top, left, 12), ours)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Softplus(), nn.Flatten(), nn.Linear(98, 2))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(jpeg(net, 30)(leaf)[0, 0], leaf)
    through = shown["bpda"](lambda z: compressed(z.detach(), 30), leaf)
    (found,) = torch.autograd.grad(net(through)[0, 0], leaf)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_rounding(capsys: pytest.CaptureFixture[str]) -> None:
    """Without BPDA it is 0; with BPDA it is the gradient at the rounded point."""
    idea("survey/transformations")
    *_, without, straight = capsys.readouterr().out.splitlines()
    assert without == "[[0.0, 0.0], [0.0, 0.0]]" and straight == "[[0.0, 0.0], [2.0, 2.0]]"


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
    radii = [float(line.split(", ")[-1].strip(")")) for line in lines]
    assert radii == sorted(radii) and radii[-1] < shown["distance"] < radii[-1] + 0.02
