"""Randomised models: which noise an image gets, how it is averaged, and which draws decide."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import (
    FRESH,
    Adversarial,
    Drawing,
    adam,
    apgd,
    carlini_wagner,
    ddn,
    deepfool,
    fab,
    fgsm,
    lbfgs,
    pgd,
    propagation,
    random_signs,
    square,
    zoo,
)
from robustbook.attacks.carlini_wagner import RANDOM_SELF_ENSEMBLE
from robustbook.attacks.noise import normal
from robustbook.defenses import ensemble, smoothed
from robustbook.measures import predict, votes

Make = Callable[..., Any]
Attack = Callable[..., Adversarial]
WITH_LOSS: dict[str, Attack] = {
    "fgsm": partial(fgsm, eps=0.05),
    "pgd": partial(pgd, eps=0.05, steps=3, step_size=0.03),
    "pgd restarts": partial(pgd, eps=0.03, steps=2, step_size=0.03, restarts=3),
    "apgd": partial(apgd, eps=0.05, steps=4),
    "adam": partial(adam, steps=4, step_size=0.03),
    "ddn": partial(ddn, steps=6, scale=0.3),
    "lbfgs": partial(lbfgs, steps=2),
}
EVERY = WITH_LOSS | {
    "deepfool": partial(deepfool, steps=3),
    "fab": partial(fab, steps=2),
    "square": partial(square, eps=0.06, queries=15),
    "carlini-wagner": partial(carlini_wagner, c=20.0, steps=4, step_size=0.05),
    "carlini-wagner released": partial(
        carlini_wagner, c=20.0, steps=4, step_size=0.05, preset=RANDOM_SELF_ENSEMBLE
    ),
    "zoo": partial(zoo, c=20.0, steps=8, coordinates=1, step_size=0.3),
}
MINIMAL = ("ddn", "deepfool", "fab", "carlini-wagner", "zoo")
every_attack = pytest.mark.parametrize("name", EVERY)


class Always:
    """A Drawing whose draws are all the same."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model = model

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        return self.model


@pytest.fixture
def classified(make_curved: Make, make_images: Make) -> Make:
    """Return images; the labels are the answers of the network without noise."""

    def make(n: int) -> tuple[Tensor, Tensor]:
        images, _ = make_images(n)
        return images, make_curved()(images).argmax(1)

    return make


def same(one: Adversarial, other: Adversarial, rows: Tensor | slice = slice(None)) -> None:
    torch.testing.assert_close(one.images, other.images[rows], rtol=0, atol=1e-9)
    torch.testing.assert_close(one.distance, other.distance[rows], rtol=0, atol=1e-9)
    assert torch.equal(one.found, other.found[rows]) and torch.equal(one.steps, other.steps[rows])


@every_attack
@pytest.mark.parametrize("draws", [1, 3])
def test_noise_belongs_to_the_image(
    name: str, draws: int, make_curved: Make, classified: Make, noisy: type
) -> None:
    """The batch, single images, and the batch in another order give the same result."""
    images, labels = classified(10)
    keys = torch.arange(100, 110)
    model = noisy(make_curved())
    assert isinstance(model, Drawing)
    attack = partial(EVERY[name], model, draws=draws, judge=3)
    whole = attack(images, labels, keys=keys)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(6))
    for rows in [order, *torch.arange(10).split(1)[:4], torch.arange(5)]:
        same(attack(images[rows], labels[rows], keys=keys[rows]), whole, rows)
    moved = attack(images, labels, keys=keys + 1)
    assert not torch.equal(moved.images, whole.images)


@every_attack
def test_fresh_draws_are_new_to_an_attack_without_a_generator(
    name: str, make_curved: Make, classified: Make, noisy: type
) -> None:
    """The default draws of `predict` and `ensemble` are not."""
    images, labels = classified(4)
    model = noisy(make_curved())
    EVERY[name](model, images, labels, draws=2, judge=3)
    seen = {draw for _, draw in sum(model.asked, [])}
    assert seen & set(range(50))
    assert max(seen) < FRESH
    model.asked.clear()
    predict(model, images, draw=FRESH)
    votes(model, images, torch.arange(4), draws=5, start=FRESH)
    assert min(draw for _, draw in sum(model.asked, [])) == FRESH
    asked = [model.at(torch.arange(4), FRESH + j)(images).softmax(1) for j in range(5)]
    mean = ensemble(model, images, draws=5, start=FRESH)
    torch.testing.assert_close(mean, torch.stack(asked).mean(0))


@every_attack
@pytest.mark.parametrize("draws", [1, 4])
def test_the_judge_has_draws_that_no_step_has_used(
    name: str, draws: int, make_curved: Make, classified: Make, noisy: type
) -> None:
    """`found` is decided by the class of highest mean probability over exactly these draws."""
    images, labels = classified(30)
    model = noisy(make_curved())
    generator = torch.Generator().manual_seed(3)
    result = EVERY[name](model, images, labels, draws=draws, judge=5, generator=generator)
    by_judge, steps = [], list(model.asked)
    while len({draw for _, draw in sum(by_judge, [])}) < 5:  # the last passes, perhaps split
        by_judge.insert(0, steps.pop())
    asked = sum(by_judge, [])
    assert sorted(key for key, _ in asked) == sorted(5 * list(range(30)))
    assert not set(asked) & set(sum(steps, []))
    numbers = sorted({draw for _, draw in asked})
    probabilities = sum(
        model.at(torch.arange(30), number)(result.images).softmax(1) for number in numbers
    )
    wrong = probabilities.argmax(1) != labels
    assert bool(wrong[result.found].all()) and 0 < int(result.found.sum()) < 30
    if name in MINIMAL:
        assert torch.equal(result.images[~result.found], images[~result.found])
    else:
        assert torch.equal(wrong, result.found)


@every_attack
def test_each_step_has_new_draws(
    name: str, make_curved: Make, classified: Make, noisy: type
) -> None:
    """L-BFGS is the exception: it compares losses of different images, so it has one set of
    draws.
    """
    images, labels = classified(12)
    model = noisy(make_curved())
    EVERY[name](model, images, labels, draws=2, judge=1)
    asked = sum(model.asked, [])
    by_image = [[draw for key, draw in asked if key == image] for image in range(12)]
    for draws in by_image:
        assert 0 <= min(draws) and len(set(draws)) >= 3
        if name == "lbfgs":
            assert len(set(draws)) == 3  # two, and that of the final evaluation
        elif name != "deepfool":  # there the check after a step is part of the next step
            assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("name", WITH_LOSS)
@pytest.mark.parametrize("average", ["loss", "probability"])
@pytest.mark.parametrize("targeted", [False, True])
def test_two_draws_of_a_coin_are_the_mean_of_its_sides(
    name: str, average: str, targeted: bool, make_parity: Make, make_images: Make
) -> None:
    """Even draws are one network, odd ones another.

    So an attack with two draws per step must equal the attack on a deterministic model with the
    mean loss, or the mean probability.
    """
    images, labels = make_images(12)
    targets = (labels + 1) % 5 if targeted else None
    coin = make_parity()
    given = {"targets": targets}
    drawn = WITH_LOSS[name](coin, images, labels, draws=2, judge=2, average=average, **given)
    loss = coin.mean_loss if average == "loss" else "cross_entropy"
    mean = coin.mean if average == "loss" else lambda x: coin.mean(x)[:, :5]
    exact = WITH_LOSS[name](
        Always(mean),  # a Drawing, because APGD stops early on a deterministic model
        images,
        labels,
        loss=loss,
        **given,
    )
    same(drawn, exact)


@pytest.mark.parametrize("name", ["deepfool", "square", "fab", "zoo"])
def test_attacks_without_a_loss_follow_the_mean_probability(
    name: str, make_parity: Make, make_images: Make
) -> None:
    images, labels = make_images(12)
    coin = make_parity()
    drawn = EVERY[name](coin, images, labels, draws=2, judge=2)
    same(drawn, EVERY[name](lambda x: coin.mean(x)[:, :5], images, labels))


@every_attack
@pytest.mark.parametrize("average", ["loss", "probability"])
def test_tiles_change_nothing(
    name: str,
    average: str,
    make_curved: Make,
    classified: Make,
    noisy: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five draws in one pass, in three passes, or one by one give the same result."""
    images, labels = classified(4)
    given = {"average": average} if name in WITH_LOSS else {}
    results, passes = [], []
    for rows in (20, 8, 1):
        monkeypatch.setitem(propagation.AT_ONCE, "cpu", rows)
        model = noisy(make_curved())
        results.append(EVERY[name](model, images, labels, draws=5, judge=5, **given))
        passes.append(max(map(len, model.asked)))
    # ZOO computes both images of each difference in one pass.
    assert passes == [20, 8, 8 if name == "zoo" else 4]
    same(results[1], results[0])
    same(results[2], results[0])
    assert results[0].forwards == results[1].forwards == results[2].forwards


def test_many_draws_approach_the_mean_gradient(make_linear: Make, make_images: Make) -> None:
    """With more draws, more pixels have the sign of the gradient of the mean loss.

    The noise is 3 sigma; with many draws almost all pixels have the right sign.
    """
    images, labels = make_images(4)
    model = make_linear(classes=2)
    labels = labels % 2

    class Multiplied:
        """A model whose weight of each pixel is multiplied by 1 + 3 z; z does not change the mean
        gradient.
        """

        def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
            factor = 1 + 3 * normal(0, keys, draw, (2, 6, 6), torch.float64)
            return lambda x: model(x * factor)

    exact = fgsm(model, images, labels, eps=0.1, loss="margin", clip=False).images
    agreement = []
    for draws in (1, 16, 4000):
        drawn = fgsm(Multiplied(), images, labels, eps=0.1, loss="margin", draws=draws, clip=False)
        agreement.append(float(((drawn.images - exact).abs() < 1e-9).double().mean()))
    # One draw has the right sign with probability P(z > -1/3) = 0.63; over 288 pixels its deviation
    # is 0.028. The mean of m draws has it with probability P(z > -sqrt(m) / 3): 0.91 (sd 0.017) for
    # 16, then 1.
    assert abs(agreement[0] - 0.63) < 0.11 and abs(agreement[1] - 0.909) < 0.07
    assert agreement[2] == 1


@pytest.mark.parametrize("name", ["fgsm", "pgd", "square"])
def test_a_model_that_draws_by_itself_is_called_again(
    name: str, make_parity: Make, make_images: Make
) -> None:
    images, labels = make_images(12)
    coin = make_parity()
    by_itself = EVERY[name](coin.by_turns, images, labels, draws=2, judge=2)
    same(by_itself, EVERY[name](coin, images, labels, draws=2, judge=2))
    assert coin.calls == by_itself.forwards / 12 or name == "square"


@pytest.mark.parametrize("attack", [*map(EVERY.get, MINIMAL), partial(deepfool, preset="free")])
def test_what_a_fresh_look_does_not_find_has_no_distance(
    attack: Attack, make_linear: Make, make_images: Make
) -> None:
    """The model's own noise near a boundary makes some successes fail in the final evaluation."""
    images, _ = make_images(60)
    model = make_linear()
    labels = model(images).argmax(1)
    generator = torch.Generator().manual_seed(0)

    def noisy(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return model(x + 0.3 * noise)

    result = attack(noisy, images, labels)
    assert 0 < int(result.found.sum()) < 60
    assert torch.equal(result.distance == math.inf, ~result.found)
    assert torch.equal(result.images[~result.found], images[~result.found])


def test_random_signs_are_judged_like_the_others(make_parity: Make, make_images: Make) -> None:
    images, labels = make_images(40)
    coin = make_parity()
    drawn = random_signs(coin, images, labels, eps=0.1, judge=2)
    same(drawn, random_signs(lambda x: coin.mean(x)[:, :5], images, labels, eps=0.1))


def test_the_generator_gives_other_noise(make_curved: Make, classified: Make, noisy: type) -> None:
    images, labels = classified(6)
    generator = torch.Generator().manual_seed(1)
    attack = partial(adam, noisy(make_curved()), images, labels, steps=2)
    first, second = attack(generator=generator), attack(generator=generator)
    again = attack(generator=torch.Generator().manual_seed(1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, second.images)


def test_the_probability_is_that_of_the_cross_entropy(make_curved: Make, classified: Make) -> None:
    images, labels = classified(2)
    with pytest.raises(ValueError, match="average must be 'loss' with a loss other than cross"):
        fgsm(make_curved(), images, labels, eps=0.1, loss="margin", average="probability")


@pytest.mark.parametrize("attack", [partial(deepfool), partial(fab, steps=10)])
def test_only_new_draws_count_as_success(attack: Any) -> None:
    """A constant added to all logits changes no probability, and so no success."""
    found = []
    for offset in (0.0, 1e4):
        net = nn.Sequential(nn.Flatten(), nn.Linear(48, 4)).requires_grad_(False)
        net[1].weight.normal_(generator=torch.Generator().manual_seed(2))
        net[1].bias.fill_(offset)
        images = torch.rand(60, 3, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.25
        labels = (net(images) - offset).argmax(1)
        found.append(attack(smoothed(net, 0.1), images, labels).found)
    assert 0.1 < float(found[0].double().mean()) < 0.9
    assert float((found[0] == found[1]).double().mean()) > 0.9  # but for float32 rounding
