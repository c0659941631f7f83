"""The objectives of adversarial training against formulas written out in float64."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_coefficient import Zero
from torch import Tensor, nn

from robustbook.attacks import carlini_wagner, fgsm, lbfgs, pgd
from robustbook.defenses import (
    MOSBACH,
    Pooled,
    SignedSteps,
    Weights,
    adversarial_training,
    deep_defense,
    distillation,
    goodfellow,
    inner_attack,
    inner_fgsm,
    inner_fgsm_rs,
    inner_n_fgsm,
    inner_pgd,
    inner_trades,
    pool_training,
    relu_penalty,
    saturation,
    smoothed,
    soft_targets,
    trades,
    weighted_training,
)
from robustbook.defenses.inner_attacks import InnerAttack, divergence
from robustbook.randomness import generator
from robustbook.training import Recipe, fit

PGD = inner_pgd(0.1, 3, 0.05)


def network(*between: nn.Module) -> nn.Sequential:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *between, nn.Tanh(), nn.Linear(8, 4))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.randn(p.shape, generator=generator(i)))
    return net.double()


def normed() -> nn.Sequential:
    net = network(nn.BatchNorm1d(8))
    norm = net[2]
    assert isinstance(norm, nn.BatchNorm1d)
    norm.load_state_dict({**norm.state_dict(), "running_mean": torch.full((8,), 0.3)})
    return net


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    return images, torch.randint(4, (count,), generator=generator(2))


def stated(net: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """An inner attack that any test can repeat: a shift by 0.1."""
    return images + 0.1


def gradients(net: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(net.parameters())))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def log_softmax(z: Tensor) -> Tensor:
    return z - z.exp().sum(1, keepdim=True).log()


def entropy(z: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    goal = (1 - smoothing) * torch.nn.functional.one_hot(labels, 4) + smoothing / 4
    return -(goal * log_softmax(z)).sum(1).mean()


def by_hand(w: Weights, z: Tensor, moved: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """The formula of Mosbach et al., with sums in place of the package's functions."""
    n, k = z.shape
    h = n // 2
    pairs = sum((z[i] - moved[i]).pow(2).sum() for i in range(n)) / (n * k)
    halves = sum((z[i] - z[h + i]).pow(2).sum() for i in range(h)) / (h * k)
    squeezed = sum(z[i].pow(2).sum().sqrt() for i in range(n)) / n
    return (
        w.clean * entropy(z, labels, smoothing)
        + w.adversarial * entropy(moved, labels, smoothing)
        + w.pairing * pairs
        + w.clean_pairing * halves
        + w.squeezing * squeezed
    )


EVERY = {
    **MOSBACH,
    "goodfellow": goodfellow(0.3),
    "all": Weights(0.1, 0.2, 0.3, 0.4, 0.5),
}


@pytest.mark.parametrize("count", [6, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", EVERY)
def test_an_objective_is_its_formula(name: str, smoothing: float, count: int) -> None:
    """Value and gradient agree, for an odd batch too: clean pairing cuts its last image.

    The gradient of pairing flows through both logits, and none through the adversarial images.
    """
    net, (images, labels), weights = network(), batch(count), EVERY[name]
    terms = weighted_training(
        net, images, labels, weights=weights, attack=stated, smoothing=smoothing
    )
    expected = by_hand(weights, net(images), net(images + 0.1), labels, smoothing)
    loss = total(terms)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(net, loss), gradients(net, expected))
    assert all(value != 0 for value in terms.values())


def test_mosbachs_rows_are_those_printed() -> None:
    rows = [list(vars(weights).values()) for weights in MOSBACH.values()]
    assert rows == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0.5, 0],
        [1, 0, 0, 0, 0.5],
        [1, 0, 1, 0, 0],
        [0.5, 0.5, 0, 0, 0],
        [0.5, 0.5, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
    ]


def test_a_stopped_gradient_in_pairing_would_show() -> None:
    """The gradient through both logits differs from the gradient through one of them."""
    net, (images, labels) = network(), batch()
    terms = weighted_training(net, images, labels, weights=Weights(pairing=1.0), attack=stated)
    one = (net(images).detach() - net(images + 0.1)).square().mean()
    assert not torch.allclose(gradients(net, terms["pairing"])[0], gradients(net, one)[0])


@pytest.mark.parametrize("name", ["Plain", "CLP", "LSQ"])
def test_no_attack_is_run_where_only_clean_images_count(name: str) -> None:
    def forbidden(net: object, images: Tensor, labels: Tensor) -> Tensor:
        raise AssertionError

    net, (images, labels) = network(), batch()
    weighted_training(net, images, labels, weights=MOSBACH[name], attack=forbidden)
    with pytest.raises(ValueError, match="attack must be given"):
        weighted_training(net, images, labels, weights=MOSBACH["100% AT"])


def test_noise_is_on_the_clean_images_only_and_clipped() -> None:
    seen: list[Tensor] = []

    def noting(net: object, images: Tensor, labels: Tensor) -> Tensor:
        seen.append(images)
        return images

    net, (images, labels) = network(), batch()
    weights = Weights(clean=1.0, adversarial=1.0)
    torch.manual_seed(0)
    terms = weighted_training(net, images, labels, weights=weights, attack=noting, noise=0.5)
    torch.manual_seed(0)
    noisy = (images + 0.5 * torch.randn_like(images)).clamp(0, 1)
    torch.testing.assert_close(terms["clean"], entropy(net(noisy), labels))
    torch.testing.assert_close(terms["adversarial"], entropy(net(images), labels))
    assert torch.equal(seen[0], images)


class Counted(nn.Module):
    """A network that counts its forward passes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.passes = net, 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        logits: Tensor = self.net(images)
        return logits


SHARED = [
    # attack, network, noise, forward passes in a step
    (inner_fgsm(0.1), network(), 0.0, 2),
    (inner_pgd(0.1, 3, 0.05, start="image"), network(), 0.0, 4),
    (inner_fgsm(0.1), network(), 0.1, 3),
    (inner_fgsm(0.1), network(nn.Dropout(0.5)), 0.0, 3),
    (inner_fgsm(0.1), network(nn.RReLU()), 0.0, 3),
    (inner_fgsm(0.1), smoothed(network(), 0.1).eval(), 0.0, 3),
    (inner_fgsm(0.1), normed(), 0.0, 3),
    (inner_fgsm(0.1), normed().eval(), 0.0, 2),
    (PGD, network(), 0.0, 5),
]


@pytest.mark.parametrize(("attack", "net", "noise", "passes"), SHARED)
def test_the_pass_at_the_image_is_shared_where_it_can_be(
    attack: SignedSteps, net: nn.Module, noise: float, passes: int
) -> None:
    """A shared pass gives bitwise the terms and gradients of separate passes."""
    images, labels = batch()
    weights = Weights(clean=0.5, adversarial=0.5, pairing=1.0)
    values = []
    for own in (attack, partial(SignedSteps.__call__, attack)):
        torch.manual_seed(0)
        counted = Counted(copy.deepcopy(net))
        terms = weighted_training(counted, images, labels, weights=weights, attack=own, noise=noise)
        values.append([*terms.values(), *gradients(counted, total(terms))])
        assert counted.passes == (passes if own is attack else 2 + attack.steps)
    assert all(torch.equal(a, b) for a, b in zip(*values, strict=True))


ATTACKS: dict[str, InnerAttack] = {
    "fgsm": inner_fgsm(0.1),
    "pgd": PGD,
    "pgd, image": inner_pgd(0.1, 3, 0.05, start="image"),
    "pgd, gaussian": inner_pgd(0.1, 3, 0.05, start="gaussian"),
    "fgsm-rs": inner_fgsm_rs(0.1),
    "fgsm-rs, batch": inner_fgsm_rs(0.1, statistics="batch"),
    "n-fgsm": inner_n_fgsm(0.1),
    "package fgsm": inner_attack(fgsm, eps=0.1),
    "package pgd": inner_attack(pgd, eps=0.1, steps=2, step_size=0.1),
    "package cw": inner_attack(carlini_wagner, c=10.0, steps=30, step_size=0.1),
    "package lbfgs": inner_attack(lbfgs, steps=20),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_the_network_as_it_was(name: str) -> None:
    """Buffers, modes and gradients are unchanged, and the images are constants."""
    net, (images, labels) = normed(), batch()
    labels = net.eval()(images).argmax(1)  # the attacks of minimal norm leave errors alone
    net.train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    adversarial = ATTACKS[name](net, images, labels)
    assert not adversarial.requires_grad and adversarial.shape == images.shape
    assert not torch.equal(adversarial, images)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(module.training for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert net[2].track_running_stats


def test_batch_statistics_change_the_attack() -> None:
    """With batch statistics, the gradient is that of the network in training mode."""
    net, (images, labels) = normed(), batch()
    torch.manual_seed(0)
    found = inner_fgsm_rs(0.1, statistics="batch")(net, images, labels)
    torch.manual_seed(0)
    start = (images + 0.1 * (2 * torch.rand_like(images) - 1)).clamp(0, 1).requires_grad_()
    hidden = net[1](start.flatten(1))
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
    loss = entropy(net[3:](hidden * net[2].weight + net[2].bias), labels)
    (gradient,) = torch.autograd.grad(loss, start)
    delta = (start + 0.125 * gradient.sign() - images).clamp(-0.1, 0.1)
    torch.testing.assert_close(found, (images + delta).clamp(0, 1).detach())
    torch.manual_seed(0)
    running = inner_fgsm_rs(0.1)(net, images, labels)
    assert not torch.equal(found, running)


def test_fgsm_with_random_start_stays_in_the_ball_and_n_fgsm_does_not() -> None:
    net, (images, labels) = network(), batch()
    for _ in range(20):
        inside = inner_fgsm_rs(0.1)(net, images, labels) - images
        free = inner_n_fgsm(0.1)(net, images, labels)
        assert inside.abs().max() <= 0.1 + 1e-12
        assert 0 <= free.min() and free.max() <= 1
        assert 0.1 < (free - images).abs().max() <= 0.3 + 1e-12


def test_n_fgsm_is_its_formula() -> None:
    net, (images, labels) = network(), batch()
    torch.manual_seed(0)
    found = inner_n_fgsm(0.1)(net, images, labels)
    torch.manual_seed(0)
    start = (images + 0.2 * (2 * torch.rand_like(images) - 1)).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(entropy(net(start), labels), start)
    torch.testing.assert_close(found, (start + 0.1 * gradient.sign()).clamp(0, 1).detach())


def test_the_start_of_wongs_mnist_script_is_not_clipped() -> None:
    """Then a pixel at 0 is moved from the noise, which may be negative, not from 0."""
    net, (images, labels) = network(), batch()
    images = images.round()  # all pixels at the ends of the interval
    for clipped in (True, False):
        torch.manual_seed(0)
        found = inner_fgsm_rs(0.3, 0.1, clip_start=clipped)(net, images, labels)
        torch.manual_seed(0)
        start = images + 0.3 * (2 * torch.rand_like(images) - 1)
        start = (start.clamp(0, 1) if clipped else start).requires_grad_()
        (gradient,) = torch.autograd.grad(entropy(net(start), labels), start)
        delta = (start + 0.1 * gradient.sign() - images).clamp(-0.3, 0.3)
        torch.testing.assert_close(found, (images + delta).clamp(0, 1).detach())
    assert bool((start < 0).any())


@pytest.mark.parametrize("wrong", [0.0, -0.1, 8.0])
@pytest.mark.parametrize(
    "build",
    [
        inner_fgsm,
        inner_fgsm_rs,
        inner_n_fgsm,
        lambda eps: inner_pgd(eps, 1, 0.1),
        lambda eps: inner_trades(eps, 1, 0.1),
        lambda eps: inner_attack(pgd, eps=eps, steps=1, step_size=0.1),
    ],
)
def test_eps_outside_0_to_1_is_refused(build: Callable[[float], object], wrong: float) -> None:
    with pytest.raises(ValueError, match=r"eps must be"):
        build(wrong)


def test_targets_are_refused() -> None:
    targets = torch.zeros(6, dtype=torch.int64)
    for attack, options in ((pgd, {"targets": targets}), (partial(pgd, targets=targets), {})):
        with pytest.raises(ValueError, match="inner attack must be untargeted"):
            inner_attack(attack, eps=0.1, steps=1, step_size=0.1, **options)


def with_labels(labels: Tensor) -> object:
    usual = inspect.unwrap(weighted_training)  # past the type hook of the tests
    return usual(network(), batch()[0], labels, weights=MOSBACH["Plain"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Weights(), "at least one number above 0"),
        (lambda: Weights(clean=-1.0), "clean must be a finite number"),
        (lambda: goodfellow(1.5), r"alpha must be in \[0, 1\], got 1.5"),
        (lambda: goodfellow(-0.5), "alpha must be a finite number, 0 or above, got -0.5"),
        (lambda: weighted_training(network(), *batch(0), weights=MOSBACH["Plain"]), "one image or"),
        (
            lambda: with_labels(torch.zeros(6)),
            r"labels must be an int64 tensor of shape \(6,\), .*32",
        ),
        (lambda: with_labels(torch.zeros(5).long()), r"labels must be an int64 tensor of shape"),
        (lambda: inner_pgd(0.1, 0, 0.1), "steps must be a whole number"),
        (lambda: inner_pgd(0.1, 1, 0.0), "step_size must be"),
        (lambda: SignedSteps(0.1, 1, 0.1, start="zero"), "start must be one of"),
        (lambda: weighted_training(network(), *batch(), weights=MOSBACH["CLP"], noise=-1.0), "noi"),
        (lambda: weighted_training(network(), *batch(), weights=MOSBACH["CLP"], smoothing=1.0), ""),
        (lambda: weighted_training(network(), *batch(1), weights=MOSBACH["CLP"]), "at least 2"),
        (
            lambda: trades(network(), *batch(), attack=PGD),
            "attack must increase the divergence, as inner_trades does, got the loss 'cross_entr",
        ),
        (lambda: trades(network(), *batch(), attack=inner_trades(0.1, 1, 0.1), beta=0.0), "beta"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def bare(objective: Callable[..., Any], **options: Any) -> Any:
    """Compute the loss terms of a batch, past the type hook of the tests."""
    images, labels = batch()
    given = {"net": network(), "images": images, "labels": labels, **options}
    first = [given.pop(name) for name in ("net", "images", "labels")]
    return inspect.unwrap(objective)(*first, **given)


def made(kind: Any, *values: Any, **options: Any) -> Any:
    """Make an object, past the type hook of the tests."""
    return inspect.unwrap(kind.__init__)(object.__new__(kind), *values, **options)


def weighted(**options: Any) -> Any:
    return bare(weighted_training, **{"weights": Weights(1.0, 1.0), "attack": PGD, **options})


TRADES = inner_trades(0.1, 2, 0.05)
SOFT = torch.full((6, 4), 0.25, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted(attack=TRADES), "attack must increase the cross entropy, got .*'diverg"),
        (lambda: weighted(weights=(1, 0, 0, 0, 0)), r"weights must be a Weights, got \(1, 0"),
        (lambda: weighted(noise="1"), "noise must be a finite number, 0 or above, got '1'"),
        (lambda: weighted(smoothing="1"), "smoothing must be a finite number, 0 or above, got '1'"),
        (lambda: made(Weights, clean="1"), "clean must be a finite number, 0 or above, got '1'"),
        (lambda: bare(trades, attack=None), "attack must be a SignedSteps.*, got None"),
        (lambda: bare(trades, attack=inner_attack(fgsm, eps=0.1)), "attack must be a SignedSteps"),
        (lambda: bare(trades, attack=TRADES, beta="6"), "beta must be a finite number.*, got '6'"),
        (lambda: bare(deep_defense, lam="1"), "lam must be a finite number above 0, got '1'"),
        (lambda: bare(deep_defense, slack=-1), "slack must be a finite number above 0, got -1"),
        (
            lambda: bare(distillation),
            "targets must be floating-point probabilities, got torch",
        ),
        (lambda: bare(pool_training, attack=PGD), "net must be a Pooled network, got"),
        (lambda: pooled((1, 4, 5)), r"images must have the shape of the pool's, \(1, 4, 5\), got"),
        (lambda: pooled(labels=SOFT), "labels must be an int64 tensor of shape"),
        (
            lambda: made(SignedSteps, 0.1, 1, 0.1, project="no"),
            "project must be one of True, False",
        ),
        (lambda: made(SignedSteps, torch.ones(3), 1, 0.1), "eps must be a finite number.*got t"),
        (
            lambda: inspect.unwrap(inner_fgsm)(torch.ones(3)),
            "eps must be a finite number above 0.*got tensor",
        ),
    ],
)
def test_a_wrong_argument_of_an_objective_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def pooled(shape: tuple[int, ...] = (1, 4, 4), **options: Any) -> Any:
    net = Pooled(network(), 10, shape).double()
    return bare(pool_training, net=net, **{"attack": PGD, "replaced": 1, **options})


def test_options_of_an_inner_attack_are_checked_at_once() -> None:
    """Otherwise the first training step would raise the error."""
    usual = inspect.unwrap(inner_attack)
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: usual(pgd, eps=0.1, steps=1, step_size=0.1, stepz=2), "options must.*'stepz'"),
        (lambda: usual(pgd, eps=0.1), "options must be keyword arguments.*'steps'"),
        (lambda: usual(partial(pgd, steps=1), eps=0.1), "options must.*'step_size'"),
        (lambda: usual("pgd"), "attack must be a function of robustbook.attacks, got 'pgd'"),
        (
            lambda: usual(pgd, eps=torch.full((6,), 0.1), steps=1, step_size=0.1),
            "eps must be a finite number above 0, got tensor",
        ),
        (
            lambda: usual(pgd, eps=0.1, norm="l2", steps=1, step_size=0.1),
            "norm must be one of 2, inf, got 'l2'",
        ),
        (
            lambda: weighted(attack=usual(lambda net, x, y: x)),
            "attack must return adversarial images.*, got Tensor",
        ),
    ]
    for call, message in refused:
        with pytest.raises(ValueError, match=message):
            call()


LOSSES: dict[str, Callable[..., Any]] = {
    "clean": lambda **k: weighted(weights=Weights(1.0), **k),
    "weighted": weighted,
    "attack of the package": lambda **k: weighted(attack=inner_attack(fgsm, eps=0.1), **k),
    "adversarial": lambda **k: bare(adversarial_training, eps=0.1, **k),
    "trades": lambda **k: bare(trades, attack=TRADES, **k),
    "deep defense": lambda **k: bare(deep_defense, **k),
    "deep defense, padded": lambda **k: bare(deep_defense, form="padded", **k),
    "pool": pooled,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", [-100, -1, 9])
def test_a_label_that_is_no_class_is_named(name: str, wrong: int) -> None:
    """Torch leaves out images with the label -100, and calls class numbers targets."""
    labels = batch()[1].index_fill(0, torch.tensor([0]), wrong)
    with pytest.raises(ValueError, match=f"^labels .*must be .*got {wrong}"):
        LOSSES[name](labels=labels)


@pytest.mark.parametrize("name", ["clean", "trades"])
@pytest.mark.parametrize("wrong", [SOFT[:, :3], SOFT[:5], SOFT.long()])
def test_probabilities_of_another_shape_are_named(name: str, wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="labels must"):
        LOSSES[name](labels=wrong)


@pytest.mark.parametrize(
    "attack", [PGD, inner_fgsm(0.1, clip=True), inner_fgsm_rs(0.1), inner_n_fgsm(0.1), TRADES]
)
def test_an_attack_that_clips_refuses_pixels_outside_its_range(attack: SignedSteps) -> None:
    """For pixels from 0 to 255, clipping would change an image by far more than eps."""
    images, labels = batch()
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got values from"):
        attack(network(), 255 * images, labels)
    changed = replace(attack, clip=False, loss="cross_entropy")(network(), 255 * images, labels)
    assert (changed - 255 * images).abs().max() < 0.5


# TRADES.


def kl(z: Tensor, moved: Tensor) -> Tensor:
    p, q = log_softmax(z), log_softmax(moved)
    return (p.exp() * (p - q)).sum(1).mean()


@pytest.mark.parametrize("build", [network, normed])
def test_trades_is_its_formula(build: Callable[[], nn.Sequential]) -> None:
    """The inner attack compares with the clean logits under running statistics."""
    net, usual, (images, labels) = build(), build(), batch()
    torch.manual_seed(0)
    terms = trades(net, images, labels, attack=inner_trades(0.1, 3, 0.05), beta=2.0)
    torch.manual_seed(0)
    moved = images + 0.001 * torch.randn_like(images)
    usual.eval()
    for _ in range(3):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(kl(usual(images).detach(), usual(moved)), moved)
        delta = (moved + 0.05 * gradient.sign() - images).clamp(-0.1, 0.1)
        moved = (images + delta).clamp(0, 1).detach()
    usual.train()
    z, z_moved = usual(images), usual(moved)
    expected = entropy(z, labels) + 2 * kl(z, z_moved)
    loss = total(terms)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(net, loss), gradients(usual, expected))
    for key, value in usual.state_dict().items():
        assert torch.equal(value, net.state_dict()[key]), key


def test_the_gradient_of_trades_is_that_of_finite_differences() -> None:
    """With the adversarial images held fixed, along a random direction of the weights."""
    net, (images, labels) = network(), batch()
    torch.manual_seed(0)
    terms = trades(net, images, labels, attack=inner_trades(0.1, 3, 0.05), beta=2.0)
    found = gradients(net, total(terms))
    torch.manual_seed(0)
    adversarial = inner_trades(0.1, 3, 0.05)(net, images, log_softmax(net(images)).detach())
    along = [torch.randn(p.shape, generator=generator(5), dtype=p.dtype) for p in found]

    @torch.no_grad()
    def value(t: float) -> float:
        moved = {k: p + t * d for (k, p), d in zip(net.named_parameters(), along, strict=True)}
        z = torch.func.functional_call(net, moved, (images,))
        other = torch.func.functional_call(net, moved, (adversarial,))
        return float(entropy(z, labels) + 2 * kl(z, other))

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    assert slope == pytest.approx(
        float(sum((g * d).sum() for g, d in zip(found, along, strict=True))), rel=1e-6
    )


def test_divergence_is_0_only_for_equal_distributions() -> None:
    z = batch()[0].flatten(1)[:, :4]
    assert divergence(z + 5, z.log_softmax(1)).abs().max() < 1e-12
    assert divergence(z.flip(1), z.log_softmax(1)).min() > 0


# In training.

OBJECTIVES: dict[str, Callable[..., dict[str, Tensor]]] = {
    "goodfellow": partial(weighted_training, weights=goodfellow(), attack=inner_fgsm(0.1)),
    "alp": partial(weighted_training, weights=MOSBACH["50% AT + ALP"], attack=PGD),
    "clp": partial(weighted_training, weights=MOSBACH["CLP"], noise=0.5),
    "fgsm-rs": partial(weighted_training, weights=MOSBACH["100% AT"], attack=inner_fgsm_rs(0.1)),
    "package": partial(
        weighted_training,
        weights=MOSBACH["100% AT"],
        attack=inner_attack(pgd, eps=0.1, steps=2, step_size=0.05),
    ),
    "trades": partial(trades, attack=inner_trades(0.1, 2, 0.05)),
    "pool": partial(pool_training, attack=inner_attack(lbfgs, steps=5), replaced=3),
}


def trained(name: str, stop: int | None = None, checkpoint: Path | None = None) -> Tensor:
    """Train for 9 steps, or until the step ``stop``; return all weights and buffers in a row."""
    net: nn.Module = normed().float()
    net = Pooled(net, 8, (1, 4, 4)) if name == "pool" else net
    images, labels = batch(20)

    def objective(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> dict[str, Tensor]:
        return OBJECTIVES[name](net, x, y)

    recipe = Recipe(9, 5, 0.01)
    fit(
        net,
        images.float(),
        labels,
        objective,
        recipe,
        seed=0,
        coefficient=Zero(stop),
        checkpoint=checkpoint,
        every=0.0,
        static=name not in ("package", "pool"),
    )
    return torch.cat([value.flatten().double() for value in net.state_dict().values()])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_resumed_training_equals_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    """The pool of `pool_training` is part of the checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        trained(name, 6, tmp_path / "run.safetensors")
    assert torch.equal(trained(name, checkpoint=tmp_path / "run.safetensors"), trained(name))


class Shifted(nn.Module):
    """A network that first subtracts 1/2, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.net, self.in_place = network(), in_place

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x.sub_(0.5) if self.in_place else x - 0.5)
        return logits

    def preactivations(self, x: Tensor) -> list[Tensor]:
        return [self(x)]


@pytest.mark.parametrize(
    "objective",
    [
        OBJECTIVES["goodfellow"],
        OBJECTIVES["alp"],
        OBJECTIVES["trades"],
        OBJECTIVES["pool"],
        partial(deep_defense, form="rows"),
        partial(deep_defense, form="fixed"),
        partial(saturation, lam=1.0, hidden=relu_penalty, readout=relu_penalty),
        lambda net, x, y: distillation(net, x, soft_targets(net, x)),
    ],
)
def test_a_network_may_change_its_input_in_place(objective: Callable[..., Any]) -> None:
    """The batch stays, and the terms are those of the same network without that."""
    terms = []
    for in_place in (True, False):
        images, labels = batch()
        net: nn.Module = Shifted(in_place)
        torch.manual_seed(0)
        if objective is OBJECTIVES["pool"]:
            net = Pooled(net, 8, (1, 4, 4)).double()
        terms.append(objective(net, images, labels))
        assert torch.equal(images, batch()[0])
    torch.testing.assert_close(*terms)


# The pool.


def test_the_pool_replaces_its_oldest_images() -> None:
    net = Pooled(network(), 3, (1, 4, 4)).double()
    images, labels = batch(5)
    net.store(images[:2], labels[:2])
    drawn, classes = net.draw(50)
    assert {int(c) for c in classes} <= set(labels[:2].tolist())
    assert bool((drawn.flatten(1).sum(1) > 0).all())  # nothing of the empty place
    net.store(images[2:], labels[2:])
    assert torch.equal(net.images, images[[3, 4, 2]])
    assert torch.equal(net.labels, labels[[3, 4, 2]])
    assert int(net.stored) == 5


def test_pool_training_mixes_clean_and_stored_images() -> None:
    alone, (images, labels) = network(), batch()
    net = Pooled(alone, 1, (1, 4, 4)).double()
    terms = pool_training(net, images, labels, attack=stated, replaced=1, share=0.3)
    torch.testing.assert_close(terms["clean"], 0.7 * entropy(alone(images), labels))
    only = entropy(alone(images[:1] + 0.1), labels[:1])
    torch.testing.assert_close(terms["pool"], 0.3 * only)
    for options in ({"replaced": 2}, {"replaced": 0}, {"replaced": 1, "share": 1.0}):
        with pytest.raises(ValueError, match="must be"):
            pool_training(net, images, labels, attack=stated, **options)


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_an_inner_attack_leaves_the_buffers_of_every_layer(statistics: str) -> None:
    """In training mode, each forward pass of a spectral norm updates its vectors."""
    layer = torch.nn.utils.spectral_norm(nn.Linear(16, 3))
    net = nn.Sequential(nn.Flatten(), layer).train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    assert before
    images = torch.rand(4, 1, 4, 4, generator=generator(0))
    inner_pgd(0.1, 3, 0.05, statistics=statistics)(net, images, torch.arange(4) % 3)
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
