"""The evidence for models with known weaknesses, and their diagnosis."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.measures import Attack, battery, diagnose, evidence, predict
from robustbook.randomness import generator

W = torch.randn(3, 16, generator=generator(0, "weights"))


def images(n: int = 60) -> Tensor:
    return torch.rand(n, 1, 4, 4, generator=generator(0, "images"))


def linear(scale: float = 1.0) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():  # all its weights are set, so the global generator has no effect
        net[1].weight.copy_(scale * W)
        net[1].bias.copy_(-scale * W.sum(1) / 2)
    return net


def reds(found: dict[str, Any]) -> list[str]:
    return [finding.question for finding in diagnose(found) if finding.red]


def test_a_linear_model_is_sound() -> None:
    """Every question that can be answered is answered with plain data.

    A module without a nonlinearity has no backward pass to repair.
    """
    net, x = linear(), images()
    found = evidence(net, x, predict(net, x), 0.1, source=linear(2.0), queries=300)
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert "repaired" not in found and found["clean"] == 100 and found["chance"] == 100 / 3
    assert list(found["curve"]) == [0.0, 0.05, 0.1, 0.2, 1.0]
    assert found["curve"][0.1] == found["many_steps"] and found["transfer"] < 100
    assert found["float64"] == found["rescaled"] == found["one_step"] < found["random_signs"]
    assert found["unlimited"] == 0 and found["zero_gradients"] == 0
    assert len(diagnose(found)) == 11 and reds(found) == []


def test_a_saturated_network_is_found_out() -> None:
    """Its softmax rounds to 1, so its float32 gradient is 0.

    Attacks succeed in float64, on rescaled logits, without gradients, and from another network.
    """
    net, x = linear(1000.0), images()
    found = evidence(net, x, predict(net, x), 0.1, source=linear(), queries=300)
    assert found["zero_gradients"] > 50
    for question in ("exactly zero", "precision", "scale", "without gradients", "another network"):
        assert any(question in red for red in reds(found)), question
    assert found["unlimited"] > found["chance"] and any("chance" in red for red in reds(found))


def test_a_backward_pass_that_vanishes_is_repaired() -> None:
    """A ReLU is inactive except at the boundary, so only its softened form has a gradient."""

    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.relu = nn.Linear(16, 1, bias=False), nn.ReLU()
            nn.init.ones_(self.first.weight)

        def forward(self, x: Tensor) -> Tensor:
            h = self.relu(self.first(x.flatten(1)) - 8.5)
            return torch.cat([0.05 - h, torch.zeros_like(h)], 1)

    x = images()
    total = x.flatten(1).sum(1)
    x = x[(total > 7.4) & (total < 8.2)]
    found = evidence(Dead(), x, torch.zeros(len(x), dtype=torch.int64), 0.1, queries=20)
    # PGD's random starts may cross the kink by chance, so some of its images move.
    assert found["zero_gradients"] == 100 and found["one_step"] == 100
    assert found["repaired"] == 0 and "Does repairing the gradient change anything?" in reds(found)


class Noisy(nn.Module):
    """A linear model whose logits have noise, from torch's generator or by key and draw."""

    def __init__(self, sigma: float = 1.0, keyed: bool = False) -> None:
        super().__init__()
        self.net, self.sigma = linear(), sigma
        self.asked: list[tuple[list[int], int]] = []
        if keyed:
            self.at = self._at

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits + self.sigma * torch.randn(logits.shape)

    def _at(self, keys: Tensor, draw: int) -> Callable[[Tensor], Tensor]:
        self.asked.append((keys.tolist(), draw))
        shift = torch.stack([(keys + draw) % 2, 0 * keys, 0 * keys], 1)
        return lambda x: self.net(x) + 100.0 * shift


def test_a_random_output_is_found() -> None:
    """The random state must be restored only after both calls."""
    x, net = images(), Noisy()
    labels = predict(net.net, x)
    few = {"clean": Attack("none")}
    state = torch.get_rng_state()
    found = evidence(net, x, labels, 0.1, attacks=few)
    assert torch.equal(state, torch.get_rng_state())
    assert found["changed_answers"] > 5 and len(set(found["repeats"])) == 2
    assert "Is the output random?" in reds(found)
    assert not reds(evidence(Noisy(0.0), x, labels, 0.1, attacks=few))


def test_a_model_with_draws_is_asked_for_two_of_them() -> None:
    """Noise is drawn by keys: one of the two draws gives class 0 to even keys, the other to odd
    ones.
    """
    x, net = images(6), Noisy(0.0, keyed=True)
    labels = predict(net.net, x)
    found = evidence(net, x, labels, 0.1, attacks={"clean": Attack("none")})
    assert net.asked[:2] == [([0, 1, 2, 3, 4, 5], 0), ([0, 1, 2, 3, 4, 5], 1)]
    assert found["changed_answers"] == pytest.approx(100 * (labels != 0).double().mean().item())


def test_a_plain_callable_gives_all_but_what_needs_a_module() -> None:
    net = linear()
    x = images()
    found = evidence(lambda x: net(x), x, predict(net, x), 0.1, queries=20)
    module = evidence(net, x, predict(net, x), 0.1, queries=20)
    assert module.pop("float64") == module["one_step"]
    assert found == module


def test_a_model_that_computes_in_float32_alone_is_not_asked_in_float64() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = linear()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(x.float())
            return logits

    x = images(10)
    found = evidence(Single(), x, predict(linear(), x), 0.1, queries=3)
    assert "float64" not in found and "rescaled" in found


def test_float64_images_are_attacked_in_float64() -> None:
    net, x = linear().double(), images().double()
    found = evidence(net, x, predict(net, x), 0.1, queries=20)
    assert "float64" not in found and found["one_step"] < 100


def test_the_attacks_are_the_callers_choice() -> None:
    """The caller may pass an attack under any name; the curve has multiples of eps up to 1."""
    net, x = linear(), images()
    y = predict(net, x)
    chosen = {name: battery(0.3)[name] for name in ("one_step", "many_steps")}
    found = evidence(net, x, y, 0.3, attacks=chosen, sizes=(1.0, 3.0, 4.0))
    assert list(found["curve"]) == [0.3, 3.0 * 0.3, 1.0] and "clean" not in found
    none = evidence(net, x, y, 0.3, attacks={})
    assert list(none) == ["chance", "changed_answers", "repeats"]
    weak = {"many_steps": replace(chosen["many_steps"], steps=1, step_size=1e-3)}
    assert evidence(net, x, y, 0.3, attacks=weak)["many_steps"] > found["many_steps"]
    with pytest.raises(ValueError, match="did you mean 'one_step'"):
        evidence(net, x, y, 0.3, attacks={"one_stop": Attack("fgsm")})
    for eps in (0.0, 8.0):
        with pytest.raises(ValueError, match="eps must be"):
            evidence(net, x, y, eps)


def test_the_battery_by_hand() -> None:
    assert battery(0.2, 7) == {
        "clean": Attack("none"),
        "one_step": Attack("fgsm", 0.2, clip=True),
        "random_signs": Attack("random-signs", 0.2, clip=True),
        "many_steps": Attack("pgd", 0.2, clip=True, steps=20, step_size=0.05),
        "repaired": Attack("pgd", 0.2, "margin", clip=True, slope=10.0, steps=20, step_size=0.05),
        "gradient_free": Attack("square", 0.2, clip=True, queries=7),
        "float64": Attack("fgsm", 0.2, precision="float64", clip=True),
        "rescaled": Attack("fgsm", 0.2, clip=True, rescale=True),
    }
    assert battery(0.2)["gradient_free"].queries == 1000
