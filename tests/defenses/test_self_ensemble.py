"""Random Self-Ensemble: the place and size of the noise, what it depends on, and the ensemble."""

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks.noise import in_ball
from robustbook.defenses import (
    Noise,
    Noisy,
    adversarial_training,
    ensemble,
    inner_trades,
    noisy,
    prototype,
    smoothed,
    trades,
)
from robustbook.defenses.normals import streams
from robustbook.networks import model_a, resnext29, vgg16
from robustbook.randomness import generator


def plain() -> nn.Sequential:
    """Return a convolutional network for 12 x 12 images with a batch norm."""
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 6),
    )
    for p in body.parameters():
        p.data = torch.randn(p.shape, generator=generator(0, *p.shape)) * 0.3
    return body.eval()


def small(**options: Any) -> Noisy:
    return noisy(plain(), **options).eval()


def images(n: int) -> Tensor:
    return torch.rand(n, 3, 12, 12, generator=generator(n, "images"))


def seen(net: nn.Module, x: Tensor) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Return the input and output of each noise layer in one pass."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, given, gave, name=name: found.setdefault(name, []).append((given[0], gave))
        )
        for name, layer in net.named_modules()
        if isinstance(layer, Noise)
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(
    ("make", "side", "numbers"),
    [(vgg16, 32, 185_344), (resnext29, 32, 3_509_248), (model_a, 96, 165_376)],
)
def test_the_noise_is_in_front_of_every_convolution(
    make: Callable[..., nn.Module], side: int, numbers: int
) -> None:
    """The numbers of noise values per image are those of the released code's networks."""
    net = noisy(make(generator(0), 8)).eval()
    passed = seen(net, torch.rand(1, 3, side, side, generator=generator(1)))
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in net.modules())
    assert sum(len(calls) for calls in passed.values()) == convolutions
    image = 3 * side * side
    total = sum(x.numel() for calls in passed.values() for x, _ in calls)
    # Hidden layers have an eighth of the paper's width.
    assert image + (total - image) * 8 == numbers


@pytest.mark.parametrize(("placement", "where"), [("paper", 0), ("code", 1), ("2018", 0)])
def test_the_placements(placement: str, where: int) -> None:
    """The right layer has the initial noise, and its measured deviation is the one in its repr."""
    net = small(init=0.4, inner=0.1, placement=placement)
    for i, calls in enumerate(seen(net, images(200)).values()):
        ((given, gave),) = calls
        sigma = 0.4 if i == where else 0.1
        noise = (gave - given).double()
        # The sample variance of n normals is off by more than 5 sqrt(2 / n) once in a million.
        assert abs(noise.square().mean() / sigma**2 - 1) < 5 * (2 / noise.numel()) ** 0.5
        assert abs(noise.mean()) < 5 * sigma / noise.numel() ** 0.5
    shown = repr(net)
    assert shown.index("sigma=0.4, always") > 0 and shown.count("(noise): Noise(") == 2
    assert (shown.index("sigma=0.4") < shown.index("sigma=0.1")) == (where == 0)


def test_two_passes_differ_in_evaluation_too() -> None:
    """A widely copied prototype has noise only in training mode, and would be deterministic
    here.
    """
    x = images(3)
    for net, same in ((small(), False), (prototype(plain()), True)):
        net.eval()
        assert torch.equal(net(x), net(x)) is same
        net.train()
        assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize("when", ["always", "training", "test", "never"])
def test_when_the_noise_is_on(when: str) -> None:
    """The regimes of Section 3.2 are one network in several modes."""
    net, x = small(when=when), images(2)
    for training in (True, False):
        net.train(training)
        on = when == "always" or when == ("training" if training else "test")
        moved = [not torch.equal(a, b) for calls in seen(net, x).values() for a, b in calls]
        assert moved == [on] * 2
    net.when = "never"
    assert torch.equal(net.eval()(x), net.net(x)) and "never" in repr(net)


def test_the_network_given_stays_as_it_was() -> None:
    """Only a copy gets the noise. Names of weights are unchanged, so both can load each other's."""
    body = plain()
    before = repr(body)
    net = noisy(body)
    assert repr(body) == before and net.net is not body
    assert list(net.net.state_dict()) == list(body.state_dict())
    net.net.load_state_dict(body.state_dict())


def test_a_draw_belongs_to_its_image() -> None:
    """Batch, singles and another order have the same noise to the bit, and logits up to
    rounding.
    """
    net, x = small(seed=3), images(7)
    keys = torch.tensor([5, 0, 11, 2, 40, 3, 1])
    draws = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    with torch.no_grad():
        together = net.at(keys, draws)(x)
        assert torch.equal(net.at(keys, draws)(x), together)
        order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
        permuted = net.at(keys[order], draws[order])(x[order])
        torch.testing.assert_close(permuted, together[order], rtol=1e-5, atol=1e-5)
        for i in range(7):
            alone = net.at(keys[i : i + 1], int(draws[i]))(x[i : i + 1])
            torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(net.at(keys, draws + 1)(x), together, atol=1e-2)
        other = small(seed=4).at(keys, draws)(x)
        assert not torch.allclose(other, together, atol=1e-2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_of_the_images_is_none_of_the_noises(layout: torch.memory_format) -> None:
    """Number j of a row is added to the same pixel in either memory layout."""
    net, x = small(), images(4)
    with torch.no_grad():
        laid = net.at(torch.arange(4), 0)(x.contiguous(memory_format=layout))
        torch.testing.assert_close(laid, net.at(torch.arange(4), 0)(x), rtol=1e-5, atol=1e-5)


def test_gradients_pass_the_noise_unchanged() -> None:
    """Gradients are compared with finite differences, at one draw, in float64."""
    net, x = small().double(), images(2).double().requires_grad_()
    assert torch.autograd.gradcheck(net.at(torch.arange(2), 4), x, fast_mode=True)


def test_a_convolution_used_twice_draws_twice() -> None:
    """Noise is drawn for each place in the pass, not for each module."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x)).flatten(1)

    net = noisy(Twice(), init=1.0)
    passed: list[Tensor] = []
    net.net.conv.noise.register_forward_hook(lambda _, x, y: passed.append(y - x[0]))
    with torch.no_grad():
        net.at(torch.arange(2), 0)(images(2))
    first, second = passed
    assert float((first - second).abs().mean()) > 0.5


@pytest.mark.parametrize("memory", [2**30, 40_000, 1])
def test_the_ensemble_is_the_mean_over_its_draws(memory: int) -> None:
    """It equals the loop of Algorithm 1; a small memory budget only makes smaller pieces."""
    net, x, keys = small(seed=1), images(5), torch.tensor([9, 4, 0, 1, 2])
    with torch.no_grad():
        loop = sum(net.at(keys, draw)(x).softmax(1) for draw in range(3, 10)) / 7
    found = ensemble(net, x, keys, draws=7, start=3, memory=memory)
    torch.testing.assert_close(found, loop, rtol=1e-5, atol=1e-6)
    alone = ensemble(net, x[2:3], keys[2:3], draws=7, start=3, memory=memory)
    torch.testing.assert_close(alone, found[2:3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(5))
    assert ensemble(net, x[:0], draws=2).shape == (0, 6)


def test_an_ensemble_of_one_is_a_draw_and_more_draws_say_more() -> None:
    """The spread over disjoint ensembles falls as one over the root of their size."""
    net, x = small(), images(4)
    with torch.no_grad():
        torch.testing.assert_close(
            ensemble(net, x, draws=1, start=6), net.at(torch.arange(4), 6)(x).softmax(1)
        )

    def spread(draws: int) -> float:
        # Forty ensembles at once: the same images with other keys.
        found = ensemble(net, x.repeat(40, 1, 1, 1), draws=draws)
        return float(found.unflatten(0, (40, 4)).std(0).mean())

    assert 0.15 < spread(16) / spread(1) < 0.4  # 1/4, 40 repetitions each


@dataclass
class Small:
    """A memory that suffices for ``most`` rows of one forward pass of the network."""

    net: Noisy
    most: int
    passes: list[int] = field(default_factory=list)

    def at(self, keys: Tensor, draw: Tensor) -> Callable[[Tensor], Tensor]:
        self.passes.append(len(keys))
        if len(keys) > self.most:
            raise torch.cuda.OutOfMemoryError
        return self.net.at(keys, draw)


def test_passes_are_halved_until_they_fit_into_the_memory() -> None:
    net, x = small(), images(5)
    tight = Small(net, 20)
    found = ensemble(tight, x, draws=9)
    torch.testing.assert_close(found, ensemble(net, x, draws=9), rtol=1e-5, atol=1e-6)
    assert tight.passes == [1, 45, 32, 16, 16, 13]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        ensemble(Small(net, 0), x, draws=9)


def test_training_draws_from_torchs_own_generator() -> None:
    """`fit` seeds it for each step, so that a killed run continues to the same end."""
    net, x = small().train(), images(4)
    found = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found.append(copy.deepcopy(net)(x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_bfloat16_activations_get_bfloat16_noise() -> None:
    """Under autocast, noise in float32 would convert activations to float32, which costs time."""
    net = small()
    with torch.autocast("cpu", torch.bfloat16):
        passed = seen(net, images(2))
    (first,), (second,) = passed.values()
    assert first[1].dtype == torch.float32 and second[1].dtype == second[0].dtype == torch.bfloat16


def test_small_integers_and_numpys_number_a_draw_too() -> None:
    """The hash needs 64 bits."""
    net, x, keys = small(), images(3), torch.arange(3)
    expected = net.at(keys, 7)(x)
    for one in (keys.int(), keys.short()):
        for draw in (np.int64(7), torch.full((3,), 7, dtype=torch.int32)):
            assert torch.equal(net.at(one, draw)(x), expected)


def test_bad_input_is_refused_in_a_sentence() -> None:
    body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten())
    for name in ("init", "inner"):
        for value in (-0.1, float("nan"), float("inf"), "0.2"):
            with pytest.raises(
                ValueError, match=f"{name} must be a finite number, 0 or above, got"
            ):
                inspect.unwrap(noisy)(body, **{name: value})
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more, got 1.5"):
        inspect.unwrap(noisy)(body, seed=1.5)
    with pytest.raises(ValueError, match="net must be a torch module, got NoneType None"):
        inspect.unwrap(noisy)(None)
    with pytest.raises(ValueError, match="placement must be one of paper, code, 2018, got 'here'"):
        noisy(body, placement="here")
    with pytest.raises(ValueError, match="when must be one of always, training, test, never, got"):
        noisy(body, when="sometimes")
    with pytest.raises(ValueError, match="net must have convolutions, .* got Sequential without"):
        noisy(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="net must have 2 convolutions or more, .* with 1"):
        noisy(body, placement="code")
    with pytest.raises(ValueError, match="net must be a network without random layers"):
        noisy(noisy(body))
    with pytest.raises(ValueError, match="sigma must be a finite number, 0 or above"):
        prototype(body, sigma=-1.0)
    net, x = small(), images(3)
    with pytest.raises(ValueError, match="when must be one of"):
        net.when = "now"
    unchecked = inspect.unwrap(ensemble)  # past the type hook of the tests
    for name, least, value in (
        ("draws", 1, 0),
        ("draws", 1, 2.5),
        ("memory", 1, 0),
        ("start", 0, -1),
    ):
        whole = f"{name} must be a whole number, {least} or more, got {value}"
        with pytest.raises(ValueError, match=whole):
            unchecked(net, x, **{name: value})
    for keys in (torch.arange(2), torch.rand(3)):  # keys of floats would give equal noise
        with pytest.raises(ValueError, match=r"keys must be an int64 tensor of shape \(3,\)"):
            unchecked(net, x, keys)
    with pytest.raises(ValueError, match="net must be a randomised model .* got Sequential"):
        unchecked(plain(), x)
    with pytest.raises(ValueError, match="images must be a float tensor .* torch.uint8"):
        unchecked(net, x.byte())
    for wrong, message in (
        (255 * x, r"images must lie in \[0, 1\], got values from 0.* to 25"),
        (x - 0.1, r"images must lie in \[0, 1\], got values from -0.09"),
        (torch.where(x > 0.5, torch.nan, x), r"images must lie in \[0, 1\], got NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            ensemble(net, wrong, draws=2)
    assert bool(ensemble(net, x - 0.1, draws=2, box=False).isfinite().all())
    with pytest.raises(ValueError, match="images must be finite, got values from inf to inf"):
        ensemble(net, x / 0, draws=2, box=False)
    net.net[-1].bias.data[0] = torch.inf
    with pytest.raises(ValueError, match="net must give finite logits, got NaN or infinity"):
        ensemble(net, x, draws=2)
    with pytest.raises(ValueError, match="keys must have one key for each of the 3 .* got 2"):
        net.at(torch.arange(2), 0)(x)


@pytest.mark.parametrize("training", [True, False])
def test_noise_layers_are_in_the_mode_of_the_network(training: bool) -> None:
    """A layer in training mode in a network in evaluation mode would add noise at the wrong
    time.
    """
    x, net = images(3), plain().train(training)
    for made, draws in (
        (prototype(net), training),
        (noisy(net, when="training"), training),
        (noisy(net, when="test"), not training),
    ):
        assert {part.training for part in made.modules()} == {training}
        with torch.no_grad():
            assert torch.equal(made(x), made(x)) is not draws


def test_a_network_that_is_random_already_is_refused() -> None:
    for net in (smoothed(plain(), 0.1), nn.Sequential(smoothed(plain(), 0.1))):
        with pytest.raises(ValueError, match="without random layers"):
            noisy(net)


def test_an_ensemble_changes_nothing_of_the_network() -> None:
    net = noisy(plain().train())
    before = {name: value.clone() for name, value in net.named_buffers()}
    state = torch.get_rng_state()
    ensemble(net, images(4), draws=3)
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("make", [noisy, prototype])
@pytest.mark.parametrize("objective", [adversarial_training, trades])
def test_a_network_with_noise_layers_can_be_trained_adversarially(
    make: Any, objective: Any
) -> None:
    x, y = images(4), torch.arange(4)
    net = make(plain().train())
    given = (
        {"eps": 0.1}
        if objective is adversarial_training
        else {"attack": inner_trades(0.1, 2, 0.05), "beta": 1.0}
    )
    terms = objective(net, x, y, **given)
    sum(terms.values()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_the_default_noise_is_independent_of_a_random_start() -> None:
    """An attack without a generator draws its start from seed 0."""
    keys = torch.arange(100)
    start = in_ball(0, keys, 0, torch.zeros(100, 50), math.inf)
    for seed, same in ((0, True), (noisy(plain()).seed, False)):
        drawn = streams(seed, keys, 0).normal(200, torch.float32)[:, 3::4]
        together = torch.corrcoef(torch.stack([start.flatten(), drawn.flatten()]))[0, 1]
        assert bool(together.abs() > 0.9) is same and bool(together.abs() < 0.1) is not same
