"""The ideas of the pages on Liu, Cheng, Zhang & Hsieh 2018 do what the package does."""

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

from robustbook.attacks import carlini_wagner
from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE
from robustbook.defenses import ensemble, noisy
from robustbook.defenses.self_ensemble import Noise
from robustbook.networks import vgg16
from robustbook.randomness import generator
from robustbook.studies.self_ensemble import figure_6, printed
from robustbook.studies.self_ensemble.attack import Swept

from .test_ideas import idea


def test_the_ensemble() -> None:
    """The mean answer over many draws is that of the package's network with the same weights."""
    shown = idea("self_ensemble/overview")
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 3, bias=False),
    )
    weights = {"0.weight": shown["w1"], "2.weight": shown["w2"], "5.weight": shown["w3"].T}
    net.load_state_dict(weights)
    ours = noisy(net, init=shown["init"], inner=shown["inner"])
    n, x = 4_000, shown["x"]
    answers = shown["f"](x.expand(n, -1, -1, -1))
    error = answers.std(0) / n**0.5
    mean = ensemble(ours, x, draws=n)[0]
    assert bool(((answers.mean(0) - mean).abs() < 6 * error).all())
    assert shown["n"] == 50
    shown["f"].__globals__.update(init=0.0, inner=0.0)  # without noise the answers are the same
    torch.testing.assert_close(shown["f"](x), net(x).softmax(1))


def test_the_place_of_the_initial_noise() -> None:
    """The package's two placements on VGG16, layer by layer."""
    shown = idea("self_ensemble/table1")
    for first, placement in ((0, "paper"), (1, "code")):
        net = noisy(
            vgg16(generator(0), 8), init=shown["init"], inner=shown["inner"], placement=placement
        )
        own = [layer.sigma for layer in net.modules() if isinstance(layer, Noise)]
        assert shown["sigmas"](first) == own


def test_the_attack() -> None:
    """The package's attack with the paper's preset; the page shows the last pass's images."""
    shown = idea("self_ensemble/table2")
    c, x0 = shown["c"], shown["x0"]
    found = carlini_wagner(
        lambda x: x @ shown["W"].T,
        x0.repeat(len(c), 1),
        torch.full((len(c),), shown["y"]),
        c=c,
        steps=299,
        preset=RANDOM_SELF_ENSEMBLE,
    )
    torch.testing.assert_close(found.images, shown["x"].detach(), rtol=0, atol=1e-6)
    assert shown["answers"].tolist() == [0, 0, 1]


def test_the_student_of_one_weight() -> None:
    """Its probability is where the derivative of the loss is 0; it is below the teacher's."""
    shown = idea("self_ensemble/controls")
    for p, T, a in ((1.0, 1, 1.0), (0.6, 40, 1.0), (0.55, 100, 0.1)):
        found = shown["minimum"](p, T, a)
        u = torch.logit(torch.tensor(found, dtype=torch.float64)).item()
        assert a * (p - found) / T == pytest.approx(5e-4 * T * u, rel=1e-6)
        assert 0.5 < found < p


def test_the_majority() -> None:
    """The binomial distribution's upper tail; above p if p is more than one half."""
    shown = idea("self_ensemble/figure4")
    for p in (0.9, 0.6, 0.5, 0.4, 0.1):
        for n in (1, 11, 51):
            assert shown["majority"](p, n) == pytest.approx(binom.sf(n // 2, n, p))
    assert shown["majority"](0.6, 51) > 0.6 and shown["majority"](0.4, 51) < 0.4


def test_the_distortion(capsys: pytest.CaptureFixture[str]) -> None:
    """The study's definition, and its accuracies on the lines between the points."""
    shown = idea("self_ensemble/figure6")
    moved = np.random.default_rng(0).random((5, 12))
    rows = torch.from_numpy(moved).norm(dim=1)
    nothing = torch.zeros(5)
    assert shown["distortion"](moved) == pytest.approx(Swept(nothing, nothing, rows).distortion)
    lines = capsys.readouterr().out.splitlines()
    for defense, line in zip(("none", "rse"), lines, strict=True):
        points = printed.points()["model-a", defense]
        curve = sorted((far, right) for right, far in points.values())
        expected = figure_6.interpolated(curve, 0.21)
        assert expected is not None
        words = line.split()
        assert words[0] == defense and float(words[1]) == points[0.1][0]
        assert float(words[-3]) == pytest.approx(expected, abs=0.05)
