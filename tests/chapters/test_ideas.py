"""The code that pages show for their idea gives the same results as the package."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from robustbook import notebooks
from robustbook.attacks import adam, ddn, deepfool
from robustbook.attacks.goal import Goal
from robustbook.attacks.losses import cross_entropy
from robustbook.attacks.propagation import Propagation
from robustbook.attacks.zoo import differences
from robustbook.chapters.published import of_target, record_of
from robustbook.defenses import deep_defense, sigmoid_penalty
from robustbook.measures import (
    curvature,
    dissimilarity,
    eps_leaving,
    excess_kurtosis,
    gradient_signs,
)
from robustbook.networks import CNN
from robustbook.studies.deep_defense.methods import released


def idea(name: str) -> dict[str, Any]:
    """Run the cell with the tag `idea` of a page; return the names that it defines."""
    cells = notebooks.stored(name, ".ipynb").cells
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
    before, after = map(float, capsys.readouterr().out.split())
    assert 0 < after < before


def test_the_parameters_of_the_cnn() -> None:
    """Layer by layer those of the package's network; without padding those of the record."""
    shown = idea("saturating/table2")
    own = [sum(w.numel() for w in layer.parameters()) for layer in CNN().children()]
    assert shown["parameters"](2) == own
    stored = record_of("saturating/table-2")
    found = of_target(stored, "saturating/table-2/cnn/parameters-valid-padding")
    assert found == [sum(shown["parameters"](0))]


def test_the_excess_kurtosis() -> None:
    """The package's, of the same draws."""
    shown = idea("saturating/figure1")
    for w in shown["examples"].values():
        assert shown["kurtosis"](w) == pytest.approx(excess_kurtosis(torch.from_numpy(w)))


def test_the_slope_of_a_sigmoid() -> None:
    """The package's penalty; in float32 it is zero where the page says so."""
    shown = idea("saturating/figure2")
    h = torch.from_numpy(shown["h"])
    assert h.dtype == torch.float32
    torch.testing.assert_close(torch.from_numpy(shown["slope"](shown["h"])), sigmoid_penalty(h))
    assert (shown["slope"](shown["h"]) == 0).tolist() == (h >= 17).tolist()


def test_the_dissimilarity() -> None:
    """The package's, of two random codes and of two answers."""
    shown = idea("saturating/figure3")
    for a, b in (shown["random"], shown["sure"]):
        matrix = dissimilarity(torch.from_numpy(np.stack([a, b])))
        assert shown["d"](a, b) == pytest.approx(matrix[0, 1].item())


def test_a_gradient_that_rounds_to_zero() -> None:
    """The same as torch's gradient of the cross entropy, zero where that is zero."""
    shown = idea("saturating/overview")
    kinds = {torch.float32: np.float32, torch.float64: np.float64}
    for dtype, kind in kinds.items():
        for alpha in (1.0, 10.0, 100.0):
            x = torch.tensor([shown["x"]], dtype=dtype, requires_grad=True)
            logits = torch.stack([0 * x, alpha * x], 1)
            torch.nn.functional.cross_entropy(logits, torch.tensor([1])).backward()
            assert x.grad is not None
            found = shown["gradient"](shown["x"], alpha, kind)
            assert found == pytest.approx(x.grad.item(), rel=1e-3) and found.dtype == kind
    assert shown["gradient"](shown["x"], 100.0, np.float32) == 0


def test_adam() -> None:
    """The package's attack takes the same steps if the gradient of its loss is constant.

    The target class has the smaller logit throughout, so the attack takes all steps.
    """
    shown = idea("saturating/claims")
    x_S = torch.from_numpy(shown["x_S"])[None]
    for size in (1, 1e-6, 1e-8, 1e-10):
        g = torch.from_numpy(size * shown["w"])
        found = adam(
            lambda x, g=g: torch.stack([torch.full_like(x[:, 0], 100.0), x @ g], 1),
            x_S,
            torch.tensor([0]),
            targets=torch.tensor([1]),
            steps=10,
            loss=lambda logits, target: logits[:, 1],
            clip=False,
        )
        expected = shown["adam"](size * shown["w"], shown["x_S"], 10)
        assert not found.found.any() and found.images[0].numpy() == pytest.approx(expected)


def test_the_scale_of_a_relu_network() -> None:
    """The package's dissimilarity grows with the square of alpha; the ratio stays."""
    shown = idea("saturating/figure7")
    a, a2, b = (shown[name] for name in ("a", "a2", "b"))
    matrices = {}
    for alpha in (1.0, 10.0):
        units = np.stack([shown["layer"](x, alpha) for x in (a, a2, b)])
        matrices[alpha] = dissimilarity(torch.from_numpy(units))
    assert shown["between"] == pytest.approx(matrices[10.0][0, 2].item())
    assert shown["within"] == pytest.approx(matrices[10.0][0, 1].item())
    torch.testing.assert_close(matrices[10.0], 100 * matrices[1.0])


def linear(w: Sequence[float], b: float) -> torch.nn.Module:
    """Return a model of two classes with logits 0 and w x + b."""
    net = torch.nn.Linear(len(w), 2, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0] * len(w), list(w)], dtype=torch.float64))
        net.bias.copy_(torch.tensor([0.0, b]))
    return net


def test_rho_2_and_eps_ref() -> None:
    """On a linear network DeepFool's first step is the exact distance; it overshoots."""
    shown = idea("deep_defense/table1")
    net, x = linear(shown["w"], shown["b"]), torch.from_numpy(shown["x"])
    y = (torch.from_numpy(shown["y"]) > 0).long()
    found = deepfool(net, x, y, preset=released("mnist"))
    rho = (found.distance / x.norm(dim=1)).mean().item() / 1.02
    assert shown["rho_2"] == pytest.approx(rho, rel=1e-3)
    eps = eps_leaving(net, x, y, gradient_signs(net, x, y))
    assert shown["eps_ref"] == pytest.approx(eps, abs=0.002)


class Ellipse(torch.nn.Module):
    """A model of two classes with logits 0 and a x^2 - 1."""

    def __init__(self, a: torch.Tensor) -> None:
        super().__init__()
        self.a = a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = x**2 @ self.a - 1
        return torch.stack([torch.zeros_like(f), f], 1)


def test_ddn() -> None:
    """It finds the same distance as the package, nearer than DeepFool's."""
    shown = idea("deep_defense/today")
    net, x = Ellipse(torch.from_numpy(shown["a"])), torch.from_numpy(shown["x"])[None]
    found = ddn(net, x, torch.tensor([0]), clip=False)
    assert shown["nearest"] == pytest.approx(found.distance.item(), rel=1e-6)
    assert shown["nearest"] < 0.99 * float((shown["r"] ** 2).sum() ** 0.5)


def test_the_regulariser() -> None:
    """It gives the package's cross entropy and term for each image, correct or misclassified."""
    shown = idea("deep_defense/overview")
    net = linear(shown["w"], shown["b"])
    x, y = torch.from_numpy(shown["x"]), (torch.from_numpy(shown["y"]) > 0).long()
    for i in range(len(x)):
        one = deep_defense(net, x[i : i + 1], y[i : i + 1], offset=1e-9)
        cross_entropy = one.pop("cross_entropy").item()
        assert shown["L"][i] == pytest.approx(cross_entropy)
        assert shown["regulariser"][i] == pytest.approx(sum(t.item() for t in one.values()))


class TwoLayers(torch.nn.Module):
    """A model of two classes with logits 0 and u max(0, V x)."""

    def __init__(self, V: torch.Tensor, u: torch.Tensor) -> None:
        super().__init__()
        self.V, self.u = V, u

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = (x @ self.V.T).relu() @ self.u
        return torch.stack([torch.zeros_like(f), f], 1)


def test_the_distance_of_two_layers() -> None:
    """It is DeepFool's, on an image whose boundary lies in the same linear piece."""
    shown = idea("deep_defense/figure4")
    V, u, x = (torch.from_numpy(shown[name]) for name in ("V", "u", "x"))
    found = deepfool(TwoLayers(V, u), x[None], torch.tensor([1]), preset=released("mnist"))
    rho = found.distance.item() / x.norm().item() / 1.02
    assert shown["rho"](shown["V"], shown["u"], shown["x"]) == pytest.approx(rho, rel=1e-3)


def test_the_pull_of_the_regulariser() -> None:
    """It is minus the derivative of the package's term for correct images with respect to rho."""
    shown = idea("deep_defense/figure3")
    x, y = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([1])
    for c in (5.0, 45.0):
        for rho in (0.01, 0.2):
            net = linear([1.0, 0.0], rho / 1.02 - 1)  # its rho is 1.02 (1 + b)
            deep_defense(net, x, y, c=c, offset=1e-9)["correct"].backward()
            assert isinstance(net.bias, torch.Tensor) and net.bias.grad is not None
            slope = net.bias.grad[1].item() / 1.02
            assert shown["pull"](c, rho) == pytest.approx(-slope, rel=1e-4)


def test_deepfool() -> None:
    """It gives the image of the package's preset without clipping and offsets; clipped, it is too
    near.
    """
    shown = idea("deep_defense/deepfool")
    net = torch.nn.Linear(2, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(shown["W"]))
    x, y = torch.from_numpy(shown["x"])[None], torch.tensor([int(shown["s"])])
    found = deepfool(net, x, y, preset="matlab")
    torch.testing.assert_close(torch.from_numpy(shown["adversarial"])[None], found.images)
    assert (shown["W"] @ shown["image"]).argmax() == shown["s"]


def test_a_stored_perturbation_has_no_gradient() -> None:
    """If rho is computed from the weights, the gradient is the package's."""
    shown = idea("deep_defense/replication")
    net = linear(shown["w"], -1.0)
    x = torch.from_numpy(shown["x"])[None]
    deep_defense(net, x, torch.tensor([1]), offset=1e-9)["correct"].backward()
    assert isinstance(net.weight.grad, torch.Tensor)
    found = shown["gradient"](shown["regulariser"])
    assert found == pytest.approx(net.weight.grad[1].tolist(), rel=1e-4)
    assert shown["gradient"](lambda w: shown["stored"]) == [0, 0]


def test_the_reverse_network() -> None:
    """It is the gradient of the difference of two logits, by automatic differentiation."""
    shown = idea("deep_defense/figure1")
    x = torch.from_numpy(shown["x"]).requires_grad_()
    a = x
    for W in ("W1", "W2"):
        a = (torch.from_numpy(shown[W]) @ a).relu()
    g = torch.from_numpy(shown["W3"]) @ a
    (w,) = torch.autograd.grad(g[shown["j"]] - g[shown["s"]], x)
    torch.testing.assert_close(torch.from_numpy(shown["w"]), w)
    assert 0 < (shown["h1"] > 0).sum() < len(shown["h1"])


class Drawn:
    """A randomised model: a function of images and of the numbers of their draws."""

    def __init__(self, logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.logits = logits

    def at(self, keys: torch.Tensor, draw: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        draws = torch.as_tensor(draw).expand(len(keys))
        return lambda images: self.logits(images, draws)


def test_the_gradient_averaged_over_draws() -> None:
    """It is the gradient of the package's attacks for the same draws, and more draws are nearer."""
    shown = idea("self_ensemble/today")

    def logits(x: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        e = shown["e"][draws]
        hidden = torch.relu((x + 0.4 * e[:, :20]) @ shown["W"].T) + 0.1 * e[:, 20:]
        f = hidden @ shown["V"]
        return torch.stack([torch.zeros_like(f), f], 1)

    goal = Goal(torch.tensor([1]), None, cross_entropy, torch.tensor([0]))
    for k in (1, 10, 50):
        found = Propagation(Drawn(logits), 1, draws=k)
        _, _, gradient = found.both(shown["x"][None], goal)
        torch.testing.assert_close(gradient[0], shown["g"][:k].mean(0))
    near = [torch.cosine_similarity(shown["g"][:k].mean(0), shown["g"].mean(0), 0) for k in (1, 50)]
    assert near[0] < near[1] < 1


def test_the_trace_of_a_saddle() -> None:
    """All signs give the trace exactly; the package's estimate and norm agree with it."""
    shown = idea("self_ensemble/theory")
    h = torch.from_numpy(shown["H"])
    chance = torch.Generator().manual_seed(0)
    found = curvature(
        lambda e: ((e @ h) * e).sum(1) / 2, torch.zeros(1, 2).double(), probes=400, generator=chance
    )
    assert shown["trace"] == pytest.approx(h.trace().item(), abs=1e-12)
    assert abs(found.trace.item() - shown["trace"]) < 4 * found.trace_error.item()
    assert found.frobenius.item() == pytest.approx(shown["norm"], rel=0.1)
    assert shown["gap"] == pytest.approx(0.005 * shown["trace"], abs=5e-4)
    assert abs(shown["gap"] - 0.005 * shown["norm"]) > 0.01


def test_the_difference_estimate() -> None:
    """For a pair of draws it is ZOO's difference along a pixel; in the mean it is 2 x."""
    shown = idea("self_ensemble/zoo")
    noise = torch.from_numpy(shown["noise"][:, 0])  # of the point below and the point above

    def logits(x: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        g = (x[:, 0] + shown["sigma"] * noise[draws]) ** 2
        return torch.stack([torch.zeros_like(g), g], 1)

    goal = Goal(torch.tensor([1]), None, lambda logits, _: logits[:, 1], torch.tensor([0]))
    x = torch.tensor([[shown["x"]]], dtype=torch.float64)
    for h in (0.01, 0.3):
        found = differences(Propagation(Drawn(logits), 1), goal, x, torch.tensor([[0]]), h)
        assert found.item() == pytest.approx(shown["estimate"](h)[0])
        exact = shown["variance"] / (2 * h**2) + 2 * shown["sigma"] ** 2  # of this g
        assert shown["estimate"](h).var() == pytest.approx(exact, rel=0.05)
    assert shown["estimate"](0.3).mean() == pytest.approx(2 * shown["x"], abs=0.01)
