"""Training of large networks: running statistics, frozen parts, layouts and number formats."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_coefficient import Zero
from torch import Tensor, nn

from robustbook.defenses import adversarial_training, distillation, soft_targets
from robustbook.randomness import generator
from robustbook.training import Augmentation, Diverged, Objective, Recipe, fit

N, STEPS = 24, 7
SGD = Recipe(STEPS, 6, 0.05, "sgd", weight_decay=0.01, augmentation=Augmentation(True, 1))
ADAM = replace(SGD, optimizer="adam", lr=0.01)


def network(seed: int = 0, *, norm: bool = True, dropout: bool = False) -> nn.Sequential:
    """Return convolutions with the layers that large networks have between them."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 1),
        nn.BatchNorm2d(6, affine=False) if norm else nn.Identity(),
        nn.Dropout(0.5) if dropout else nn.Identity(),
        nn.Flatten(),
        nn.Linear(6 * 16, 4),
    )
    draws = generator(seed, "weights")
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p.ndim == 1) + torch.randn(p.shape, generator=draws) * 0.3)
    return net


def data() -> tuple[Tensor, Tensor]:
    images = torch.randint(256, (N, 3, 8, 8), generator=generator(1), dtype=torch.uint8)
    return images, torch.randint(4, (N,), generator=generator(2))


def loss(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(x), y)}


def hardened(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return adversarial_training(net, x, y, eps=0.05, steps=2, step_size=0.03, clip=True)


def run(net: nn.Module, recipe: Recipe, objective: Objective = loss, **options: Any) -> Any:
    return fit(net, *data(), objective, recipe, **{"seed": 0, **options})


def states(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


# Batch norm.


def test_running_statistics_are_those_of_the_loop_written_out() -> None:
    """They are equal bit by bit when `fit` returns, and in evaluation mode."""
    net, naive = network(), network().train()
    run(net, replace(SGD, augmentation=None))
    images, labels = data()
    optimizer = torch.optim.SGD(
        naive.parameters(), 0.05, momentum=0.9, weight_decay=0.01, fused=True
    )
    orders = [torch.randperm(N, generator=generator(0, "batches", epoch)) for epoch in range(2)]
    for rows in torch.cat(orders).split(6)[:STEPS]:
        optimizer.zero_grad()
        F.cross_entropy(naive(images[rows] / 255), labels[rows]).backward()
        optimizer.step()
    assert_same(states(net), states(naive))
    assert net[1].num_batches_tracked.item() == STEPS and not net.training


CASES: dict[str, tuple[Recipe, Objective, bool]] = {
    "sgd": (SGD, loss, False),
    "adam": (ADAM, loss, False),
    "draws": (SGD, loss, True),
    "adversarial": (SGD, hardened, False),
    "bfloat16": (replace(ADAM, precision="bfloat16", channels_last=True), loss, False),
}


@pytest.mark.parametrize(("recipe", "objective", "dropout"), CASES.values(), ids=CASES)
def test_a_network_stopped_at_any_step_ends_bit_the_same(
    recipe: Recipe, objective: Objective, dropout: bool, tmp_path: Path
) -> None:
    """This covers weights, running statistics, history, dropout's draws and augmentation."""
    whole = network(dropout=dropout)
    expected = run(whole, recipe, objective).terms
    file = tmp_path / "a.safetensors"
    for stop in (1, 4, 5):
        with pytest.raises(KeyboardInterrupt):
            net = network(dropout=dropout)
            run(net, recipe, objective, coefficient=Zero(stop), checkpoint=file, every=0.0)
    resumed = network(dropout=dropout)
    terms = run(resumed, recipe, objective, coefficient=Zero(), checkpoint=file).terms
    assert_same(states(resumed), states(whole))
    assert_same(terms, expected)
    again = network(dropout=dropout)  # no steps are left
    terms = run(again, recipe, objective, coefficient=Zero(), checkpoint=file).terms
    assert_same(terms, expected)
    assert_same(states(again), states(whole))


def test_each_epoch_is_given_what_a_network_is_stored_as() -> None:
    """These are weights and buffers."""
    kept: list[dict[str, Tensor]] = []

    def keep(epoch: int, state: Mapping[str, Tensor]) -> None:
        kept.append({name: value.clone() for name, value in state.items()})

    net = network()
    run(net, replace(SGD, steps=8), each_epoch=keep)
    assert len(kept) == 2
    assert_same(kept[1], states(net))
    assert not torch.equal(kept[0]["1.running_mean"], kept[1]["1.running_mean"])
    fresh = network(1)
    fresh.load_state_dict(kept[1])


def test_a_running_statistic_that_is_infinite_stops_the_run() -> None:
    """The loss does not show it, because training divides by the batch's variance, and 1/inf is
    0.
    """
    net = network()
    with torch.no_grad():
        net[0].weight.mul_(1e25)
    with pytest.raises(Diverged, match=r"buffer 1\.running_var became NaN or infinite"):
        run(net, replace(SGD, steps=1, lr=1e-30))


# Frozen parameters.


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("frozen", [("0.weight",), ("4.bias", "8.weight"), ("8.weight", "8.bias")])
def test_frozen_parameters_stay(frozen: tuple[str, ...], recipe: Recipe, tmp_path: Path) -> None:
    """Values, flags and gradients stay; weight decay, momentum and neighbours do not change them.

    The other parameters train as if the frozen ones had a rate of 0.
    """
    net, still = network(norm=False), network(norm=False)
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    before, flags = states(net), [p.requires_grad for p in net.parameters()]
    seen: list[str] = []
    run(net, recipe, retract=lambda w: seen.extend(w), checkpoint=tmp_path / "a.safetensors")
    assert not set(seen) & set(frozen)
    run(still, replace(recipe, weight_decay=0.01), rates=dict.fromkeys(frozen, 0.0))
    assert [p.requires_grad for p in net.parameters()] == flags
    for name, value in states(net).items():
        if name in frozen:
            assert torch.equal(value, before[name]) and net.get_parameter(name).grad is None
        else:
            assert not torch.equal(value, before[name]), name
            torch.testing.assert_close(value, still.state_dict()[name])


def test_frozen_parameters_have_no_part_in_the_optimiser(tmp_path: Path) -> None:
    """The checkpoint contains them, because it has the whole network."""
    from safetensors.torch import load_file

    net, file = network(), tmp_path / "a.safetensors"
    net[0].requires_grad_(False)
    run(net, ADAM, checkpoint=file)
    names = load_file(file).keys()
    assert "weight/0.weight" in names and "buffer/1.running_var" in names
    assert not [name for name in names if name.startswith("optimizer/") and "/0.weight" in name]
    other = network()
    other[0].requires_grad_(False)
    run(other, ADAM, checkpoint=file)
    assert_same(states(other), states(net))


def test_a_network_without_a_parameter_to_train_is_refused() -> None:
    with pytest.raises(
        ValueError, match="must have a parameter that requires a gradient, got none"
    ):
        run(network().requires_grad_(False), SGD)


def test_a_parameter_without_use_stays_and_a_loss_without_a_network_is_refused() -> None:
    net = network()
    net.register_module("unused", nn.Linear(2, 2))
    del net._modules["unused"]
    holder = nn.ModuleDict({"used": net, "unused": nn.Linear(2, 2)})
    before = states(holder["unused"])
    run(holder, SGD, lambda n, x, y, c: loss(n.used, x, y, c))
    assert_same(states(holder["unused"]), before)
    with pytest.raises(ValueError, match="must return terms that depend on .*, got nothing, which"):
        run(network(), SGD, lambda n, x, y, c: {"nothing": x.mean()})


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_training_does_not_depend_on_its_callers_grad_mode(context: Any) -> None:
    net, usual = network(), network()
    run(usual, SGD)
    with context():
        run(net, SGD)
    assert_same(states(net), states(usual))


# Layouts.


def strided(net: nn.Sequential, how: str) -> nn.Sequential:
    with torch.no_grad():
        for p in net.parameters():
            if how == "channels last" and p.ndim == 4:
                p.data = p.data.contiguous(memory_format=torch.channels_last)
            elif how == "transposed" and p.ndim == 2:
                p.data = p.data.T.contiguous().T
            elif how == "with gaps":
                p.data = torch.stack([p.data, p.data], -1)[..., 0]
    return net


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("how", ["channels last", "transposed", "with gaps"])
def test_training_does_not_depend_on_how_weights_lie(how: str, recipe: Recipe) -> None:
    """Fused optimisers use the order in memory.

    If gradients had another memory layout than their weights, results would differ by 0.2.
    """
    usual, other = network(), strided(network(), how)
    run(usual, replace(recipe, steps=20))
    run(other, replace(recipe, steps=20))
    for name, value in states(usual).items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
def test_channels_last_is_the_same_up_to_rounding(recipe: Recipe, tmp_path: Path) -> None:
    """Images, kernels, weights and optimiser use this layout inside, also after a checkpoint.

    The network is returned in its old layout.
    """
    inside: list[bool] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        kernel = next(net.parameters())
        last = {"memory_format": torch.channels_last}
        inside.append(x.is_contiguous(**last) and kernel.is_contiguous(**last))
        return loss(net, x, y, c)

    usual, other = network(), network()
    run(usual, recipe, loss)
    run(other, replace(recipe, channels_last=True), note)
    assert inside == [True] * STEPS
    assert all(p.is_contiguous() and p.grad is None for p in other.parameters())
    for name, value in states(usual).items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-4)

    def fail(step: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(other, replace(recipe, channels_last=True), coefficient=fail)
    assert all(p.is_contiguous() for p in other.parameters())


# Number formats.


def test_bfloat16_is_autocast_around_the_forward_pass() -> None:
    """It equals the loop by hand bit by bit; weights, optimiser and losses are in float32."""
    net, naive = network(), network().train()
    recipe = replace(SGD, precision="bfloat16", augmentation=None)
    history = run(net, recipe).terms["cross_entropy"]
    images, labels = data()
    optimizer = torch.optim.SGD(
        naive.parameters(), 0.05, momentum=0.9, weight_decay=0.01, fused=True
    )
    orders = [torch.randperm(N, generator=generator(0, "batches", epoch)) for epoch in range(2)]
    for rows in torch.cat(orders).split(6)[:STEPS]:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = F.cross_entropy(naive(images[rows] / 255), labels[rows])
        value.backward()
        optimizer.step()
    assert_same(states(net), states(naive))
    assert history.dtype == torch.float32
    exact = network()
    losses = run(exact, replace(recipe, precision="float32")).terms["cross_entropy"]
    assert not torch.equal(exact[0].weight, net[0].weight)
    torch.testing.assert_close(history, losses, rtol=0.1, atol=0.0)


def test_tf32_is_float32_on_a_cpu_and_no_setting_stays() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    inside: list[tuple[bool, bool]] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        inside.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return loss(net, x, y, c)

    nets = {precision: network() for precision in ("float32", "tf32", "bfloat16")}
    for precision, net in nets.items():
        run(net, replace(SGD, precision=precision), note)
    assert inside == STEPS * [(False, False)] + STEPS * [(True, True)] + STEPS * [(False, False)]
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert_same(states(nets["float32"]), states(nets["tf32"]))


def test_adversarial_training_in_bfloat16_trains_every_weight() -> None:
    """Autocast's cache could give the loss a copy of a weight from the attack, without a
    gradient.
    """
    net, before = network(), states(network())
    run(net, replace(SGD, precision="bfloat16", weight_decay=0.0), hardened)
    for name, _ in net.named_parameters():
        assert not torch.equal(net.state_dict()[name], before[name]), name


# Objectives.


def test_soft_labels_are_data() -> None:
    """Probabilities stay with their images; one-hot ones train like classes.

    Softer ones train as the distillation loss by hand.
    """
    images, labels = data()
    recipe = replace(SGD, augmentation=None)
    classes, hard = network(norm=False), network(norm=False)
    run(classes, recipe)
    fit(hard, images, F.one_hot(labels, 4).float(), loss, recipe, seed=0)
    for name, value in states(hard).items():
        torch.testing.assert_close(value, classes.state_dict()[name])
    soft = soft_targets(network(5, norm=False), images / 255, temperature=20.0)
    seen: list[Tensor] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        seen.append(y)
        return distillation(net, x, y, temperature=20.0)

    fit(hard, images, soft, note, recipe, seed=0)
    order = torch.randperm(N, generator=generator(0, "batches", 0))
    assert torch.equal(torch.cat(seen[:4]), soft[order])


def test_as_many_labels_as_images() -> None:
    with pytest.raises(ValueError, match="labels must be one per image, got 23 for 24"):
        # Call past the type hook, which would raise first.
        inspect.unwrap(fit)(network(), data()[0], data()[1][:-1], loss, SGD, seed=0)


def test_what_a_step_draws_needs_no_telling() -> None:
    """Dropout is drawn from (seed, step), whatever was drawn before, and the stream is restored."""
    nets = [network(dropout=True) for _ in range(2)]
    torch.rand(3)
    stream = torch.get_rng_state()
    run(nets[0], SGD)
    assert torch.equal(stream, torch.get_rng_state())
    torch.rand(3)
    run(nets[1], SGD, partial(loss))
    assert_same(states(nets[0]), states(nets[1]))
