"""GPU tests: captured steps of a large network, waits of the host, and agreement with the CPU."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_coefficient import Zero
from torch import Tensor, nn

from robustbook.attacks.inner import climb
from robustbook.defenses import (
    adversarial_training,
    distillation,
    relu_penalty,
    saturation,
)
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator
from robustbook.training import Augmentation, Fitted, Objective, Recipe, fit, loop, steps
from robustbook.training.batches import Batches

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True"),
]

N, BATCH, STEPS = 96, 16, 9  # six batches per epoch; the last epoch is incomplete
FAST = Recipe(
    STEPS,
    BATCH,
    0.05,
    "sgd",
    "linear",
    weight_decay=5e-4,
    precision="bfloat16",
    channels_last=True,
    nesterov=True,
    warmup=0.2,
    decay="weights",
    augmentation=Augmentation(mirror=True, padding=2),
)
EXACT = replace(FAST, precision="float32", channels_last=False)
ADAM = replace(EXACT, optimizer="adam", nesterov=False, lr=0.01)


class Noise(nn.Module):
    """A layer that draws on the device, like those of randomised networks."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


def network(seed: int = 0, *, noise: bool = False) -> nn.Sequential:
    net = nn.Sequential(
        Noise() if noise else nn.Identity(),
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 3, padding=1),
        nn.BatchNorm2d(8, affine=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5) if noise else nn.Identity(),
        nn.Linear(8 * 16, 10),
    )
    draws = generator(seed, "weights")
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p.ndim == 1) + 0.2 * torch.randn(p.shape, generator=draws))
    return net


def data() -> tuple[Tensor, Tensor]:
    images = torch.randint(256, (N, 3, 8, 8), generator=generator(1), dtype=torch.uint8)
    return images, torch.randint(10, (N,), generator=generator(2))


def cross_entropy(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(x), y)}


def hardened(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return adversarial_training(net, x, y, eps=0.03, steps=2, step_size=0.02, clip=True)


def run(net: nn.Module, recipe: Recipe, objective: Objective, **options: Any) -> Fitted:
    given: dict[str, Any] = {"seed": 3, "device": "cuda", **options}
    return fit(net, *data(), objective, recipe, **given)


def states(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in net.state_dict().items()}


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def assert_close(one: nn.Module, other: nn.Module, size: float) -> None:
    theirs = states(other)
    for name, value in states(one).items():
        torch.testing.assert_close(value, theirs[name], rtol=size, atol=size)


CASES: dict[str, tuple[Recipe, Objective, bool]] = {
    "float32": (EXACT, cross_entropy, False),
    "adam": (ADAM, cross_entropy, False),
    "bfloat16": (FAST, cross_entropy, False),
    "noise": (FAST, cross_entropy, True),
    "adversarial": (EXACT, hardened, False),
    "adversarial bfloat16 noise": (FAST, hardened, True),
}
EACH = pytest.mark.parametrize(("recipe", "objective", "noise"), CASES.values(), ids=CASES)


@EACH
def test_a_captured_step_is_the_plain_step(
    recipe: Recipe, objective: Objective, noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and running statistics agree; noise and dropout draw the same numbers in both."""
    captured, direct = network(noise=noise), network(noise=noise)
    terms = run(captured, recipe, objective).terms
    monkeypatch.setattr(loop, "graphed", lambda goal, state, *_: steps.plain(goal, state))
    expected = run(direct, recipe, objective).terms
    lower = recipe.precision == "bfloat16"
    assert_close(captured, direct, 0.02 if lower else 1e-4)
    for name, values in terms.items():
        close = 0.02 if lower else 1e-4
        torch.testing.assert_close(values, expected[name], rtol=close, atol=close)
    assert captured[2].num_batches_tracked.item() == STEPS * (2 if objective is hardened else 1)


@EACH
def test_a_run_stopped_at_any_step_ends_bit_the_same(
    recipe: Recipe, objective: Objective, noise: bool, tmp_path: Path
) -> None:
    """The graph is captured again, and its warm-up must not change what the checkpoint restored."""
    whole = network(noise=noise)
    expected = run(whole, recipe, objective).terms
    file = tmp_path / "a.safetensors"
    options: dict[str, Any] = {"checkpoint": file, "every": 0.0}
    for stop in (2, 7):
        with pytest.raises(KeyboardInterrupt):
            run(network(noise=noise), recipe, objective, coefficient=Zero(stop), **options)
    resumed = network(noise=noise)
    terms = run(resumed, recipe, objective, coefficient=Zero(), **options).terms
    assert_same(states(resumed), states(whole))
    assert_same(terms, expected)


def test_a_step_draws_anew_and_leaves_the_streams_alone() -> None:
    """Without a seed per step, a replayed graph would always draw the same numbers."""
    seen: list[Tensor] = []

    def drawn(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {
            **cross_entropy(net, x, y, c),
            "draw": 0 * net(x).mean() + torch.rand((), device=x.device),
        }

    torch.cuda.manual_seed(5)
    state, host = torch.cuda.get_rng_state(), torch.get_rng_state()
    net, again = network(), network()
    recipe = replace(EXACT, batch_size=N)  # one step per epoch, so that the history has each draw
    seen = [run(n, recipe, drawn).terms["draw"] for n in (net, again)]
    assert len(seen[0].unique()) == STEPS and torch.equal(seen[0], seen[1])
    assert torch.equal(state, torch.cuda.get_rng_state())
    assert torch.equal(host, torch.get_rng_state())


def test_the_device_does_not_change_what_is_seen() -> None:
    """Batches, crops and mirroring are those of a CPU; only the division by 255 rounds differently.

    A network trained on both ends the same up to rounding.
    """
    images, labels = data()
    there = Batches(images.cuda(), labels.cuda(), EXACT, 3, True)
    here = Batches(images, labels, EXACT, 3, True)
    for step in (0, 5, 6, 8):
        for one, other in zip(there.at(step), here.at(step), strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-6, atol=0)
    nets = {device: network() for device in ("cpu", "cuda")}
    terms = {d: run(net, EXACT, cross_entropy, device=d).terms for d, net in nets.items()}
    torch.testing.assert_close(terms["cuda"], terms["cpu"], rtol=1e-3, atol=1e-4)
    assert_close(nets["cuda"], nets["cpu"], 1e-2)


# Waits.


@contextlib.contextmanager
def no_wait() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_loop_waits_for_nothing_between_its_looks() -> None:
    """It covers all work between two checks, over the end of an epoch.

    This is batches, augmentation, rate, coefficient, history and progress.
    """
    checking = contextlib.ExitStack()

    def ask(step: int) -> float:
        if step == 0:  # the capture of the graph may wait
            checking.enter_context(no_wait())
        if step == 45:
            checking.close()
        return float(step)

    recipe = replace(FAST, steps=48, augmentation=None)
    with checking:
        run(network(noise=True), recipe, cross_entropy, coefficient=ask)

    # Augmentation is drawn at the start of an epoch.
    def within(step: int) -> float:
        if step % 6 == 0:
            checking.enter_context(no_wait())
        if step % 6 == 5:
            checking.close()
        return 0.0

    with checking:
        run(network(), replace(FAST, steps=12), cross_entropy, coefficient=within)


def mlp() -> MLP:
    net = MLP((192, 32, 10), torch.relu)
    initialise(net, "xavier", generator(0))
    return net


OBJECTIVES: dict[str, tuple[Callable[[], nn.Module], Objective]] = {
    "cross entropy": (network, cross_entropy),
    "noise": (partial(network, noise=True), cross_entropy),
    "adversarial": (network, hardened),
    "saturation": (mlp, partial(saturation, hidden=relu_penalty, readout=relu_penalty)),
    "distillation": (
        network,
        lambda net, x, y, c: distillation(
            net, x, torch.eye(10, device=y.device)[y], temperature=5.0
        ),
    ),
    "inner attack": (
        network,
        lambda net, x, y, c: cross_entropy(
            net, climb(net.eval(), x, y, eps=0.1, steps=2, step_size=0.05, norm=2), y, c
        ),
    ),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("build", "objective"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_a_step_of_each_objective_waits_for_nothing(
    build: Callable[[], nn.Module], objective: Objective, precision: Any, monkeypatch: Any
) -> None:
    """Steps are plain here, so that the host launches every operation; a captured step cannot
    wait.
    """
    monkeypatch.setattr(loop, "graphed", lambda goal, state, *_: steps.plain(goal, state))
    count = itertools.count()
    checking = contextlib.ExitStack()

    def ask(step: int) -> float:
        # The first step creates the optimiser's state, and may load kernels.
        if next(count) == 1:
            checking.enter_context(no_wait())
        if step == 4:
            checking.close()
        return 0.01

    recipe = replace(EXACT, steps=5, precision=precision, augmentation=None)
    with checking:
        run(build(), recipe, objective, coefficient=ask)
