"""Survival compared with closed forms on linear models, where FGSM's result is known."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.attacks import FRESH, autoattack, fgsm, pgd, random_signs, square
from robustbook.measures import (
    Attack,
    accuracy_along,
    evidence,
    gradient_sizes,
    logits_of,
    median_lead,
    predict,
    rescaled,
    smallest,
    strike,
    survival,
)
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator

EPS = 0.25


class Linear(nn.Module):
    """A model of two classes with logits -s/2 and s/2, where s = w x + b."""

    def __init__(self, w: Tensor, b: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(w)
        self.b = b

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.w + self.b
        return torch.stack([-score / 2, score / 2], 1)


def images(n: int = 200) -> Tensor:
    return torch.rand(n, 1, 4, 4, generator=generator(0, "images"))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0, "weights"))


def mlp(seed: int = 0) -> MLP:
    net = MLP((16, 8, 3), torch.sigmoid)
    initialise(net, "normal", generator(seed, "weights"))
    return net


def test_fgsm_survives_where_the_margin_exceeds_eps_times_the_l1_norm() -> None:
    """Every pixel moves against the margin, which falls by exactly eps ||w||_1 (no clipping)."""
    x, w = images(), random(16)
    net = Linear(w, b=-float(w.sum()) / 2)  # the boundary goes through the middle of [0, 1]^d
    score = x.flatten(1) @ w + net.b
    labels = (score > 0).long()
    for eps in (0.01, 0.05, EPS):
        found = survival(net, x, labels, Attack("fgsm", eps))
        lasts = score.abs() > eps * w.abs().sum()
        close = (score.abs() - eps * w.abs().sum()).abs() < 1e-4
        assert torch.equal(found.correct[~close], lasts[~close])
        assert not found.still.any()
        assert found.accuracy == pytest.approx(100 * found.correct.double().mean().item())
    assert 0 < survival(net, x, labels, Attack("fgsm", 0.05)).accuracy < 100


def test_no_attack_is_plain_accuracy() -> None:
    """Images that are misclassified from the start do not count as surviving."""
    x, net = images(), mlp()
    answers = net(x).argmax(1)
    labels = torch.where(torch.arange(len(x)) < 50, (answers + 1) % 3, answers)
    clean = survival(net, x, labels, Attack("none"))
    assert torch.equal(clean.correct, torch.arange(len(x)) >= 50)
    assert clean.accuracy == 75 and clean.unmoved == 100
    assert torch.equal(predict(net, x, batch_size=7), answers)


def test_random_signs_hold_still_in_no_pixel_and_follow_their_seed() -> None:
    """Signs are drawn per image, so the batch size must not matter."""
    x, net = images(), mlp()
    labels = net(x).argmax(1)
    signs = Attack("random-signs", EPS)
    one, same, other = (
        survival(net, x, labels, signs, seed=seed, batch_size=size)
        for seed, size in ((0, 1000), (0, 7), (1, 1000))
    )
    assert torch.equal(one.correct, same.correct) and one.unmoved == 0
    assert not torch.equal(one.correct, other.correct)


def test_transfer_takes_the_gradient_of_the_source() -> None:
    """A source with the opposite gradient helps the network, so nothing is lost.

    The network itself is judged; with its own gradient this attack would leave nothing.
    """
    x, w = images(), random(16)
    net, opposite = Linear(w, b=-float(w.sum()) / 2), Linear(-w)
    labels = predict(net, x)
    own = survival(net, x, labels, Attack("fgsm", 1.0))
    assert own.accuracy == 0
    assert survival(net, x, labels, Attack("fgsm", 1.0), source=opposite).accuracy == 100
    assert survival(net, x, labels, Attack("fgsm", 1.0), source=net).accuracy == 0


@pytest.mark.parametrize("clip", [False, True])
def test_unmoved_counts_exactly_the_zero_gradients(clip: bool) -> None:
    """Images on the flat side of a ReLU do not move; all others do."""

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(16))

        def forward(self, x: Tensor) -> Tensor:
            score = torch.relu(x.flatten(1) @ self.w - 8)
            return torch.stack([torch.zeros_like(score), score], 1)

    x = images()
    flat = x.flatten(1).sum(1) <= 8
    found = survival(Flat(), x, torch.zeros(len(x), dtype=torch.int64), Attack("fgsm", clip=clip))
    assert torch.equal(found.still, flat)
    assert found.unmoved == pytest.approx(100 * flat.double().mean().item())
    assert 0 < found.unmoved < 100


def test_a_vanished_gradient_comes_back_in_float64_or_on_rescaled_logits() -> None:
    """In float32 a confident network's gradient vanishes.

    With clipped probabilities it vanishes in either precision.
    """
    x, w = images(), random(16)
    net = Linear(600 * w, b=-300 * float(w.sum()))
    score = 2 * net(x)[:, 1].detach()
    x = x[(score.abs() > 120) & (score.abs() < 600)]
    labels = predict(net, x)
    fgsm = Attack("fgsm", 0.9)
    assert survival(net, x, labels, fgsm).unmoved == 100
    assert survival(net, x, labels, Attack("fgsm", 0.9, precision="float64")).accuracy == 0
    assert survival(net, x, labels, Attack("fgsm", 0.9, rescale=True)).accuracy == 0
    clipped = Attack("fgsm", 0.9, precision="float64", loss="clipped_probabilities")
    assert survival(net, x, labels, clipped).unmoved == 100
    assert survival(net, x, labels, Attack("fgsm", 0.9, loss="margin")).accuracy == 0


def test_flushing_loses_what_only_denormal_numbers_hold() -> None:
    """The setting is off afterwards, even if the attack fails."""
    x = images()
    net = Linear(torch.full((16,), 11.5))
    lead = 2 * net(x)[:, 1].detach()
    x = x[(lead > 91) & (lead < 97)]  # the other class has probability 1e-42 to 3e-40
    labels = torch.ones(len(x), dtype=torch.int64)
    assert len(x) > 5
    assert survival(net, x, labels, Attack("fgsm", EPS)).unmoved == 0
    assert survival(net, x, labels, Attack("fgsm", EPS, flush=True)).unmoved == 100
    with pytest.raises(ValueError):
        survival(net, x, labels, Attack("fgsm", -1.0, flush=True))
    assert (torch.tensor([1e-40]) * 0.5).item() != 0


@pytest.mark.parametrize(
    "attack",
    [
        Attack("fgsm", precision="float64"),
        Attack("pgd", precision="float64", clip=True, steps=3, slope=10.0, rescale=True),
        Attack("pgd", clip=True, steps=3, slope=10.0),
        Attack("random-signs"),
    ],
)
def test_measuring_changes_nothing(attack: Attack) -> None:
    """Weights keep their bits and dtype, and .grad, images and the global stream are unchanged."""
    net, source, x = mlp(0), mlp(1), images(20)
    labels = predict(net, x)
    kept = [[p.detach().clone() for p in module.parameters()] for module in (net, source)]
    copy, state = x.clone(), torch.get_rng_state()
    for seen in (None, source):
        survival(net, x, labels, attack, source=seen)
    with pytest.raises(ValueError):
        survival(net, x - 1, labels, attack)
    for module, before in zip((net, source), kept, strict=True):
        for p, q in zip(module.parameters(), before, strict=True):
            assert p.dtype == torch.float32 and torch.equal(p, q)
            assert p.grad is None and p.requires_grad
    assert net.activation is torch.sigmoid
    assert torch.equal(x, copy) and torch.equal(state, torch.get_rng_state())


def test_pgd_leaves_no_more_than_one_clipped_step() -> None:
    """On a linear model the clipped step is optimal, and PGD ends in the same corner."""
    x, w = images(), random(16)
    net = Linear(w, b=-float(w.sum()) / 2)
    labels = predict(net, x)
    one = survival(net, x, labels, Attack("fgsm", 0.05, clip=True))
    many = survival(net, x, labels, Attack("pgd", 0.05, clip=True, steps=12, step_size=0.0125))
    assert torch.equal(one.correct, many.correct)


def test_the_median_lead() -> None:
    """It is the size of the label's logit minus the best other one.

    It is never below 1e-6, because logits are divided by it.
    """
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 5.0, 4.5], [2.0, 9.0, 0.0]])
    labels = torch.tensor([0, 1, 0])
    # leads: 2, 0.5, -7
    assert median_lead(lambda x: logits, torch.zeros(3, 1), labels) == pytest.approx(2)
    wrong = torch.tensor([2, 2, 2])  # leads: -3, -0.5, -9
    assert median_lead(lambda x: logits, torch.zeros(3, 1), wrong) == pytest.approx(3)
    assert median_lead(lambda x: 0 * logits, torch.zeros(3, 1), wrong) == 1e-6


def test_rescaling_helps_a_network_that_is_wrong_on_most_images_too() -> None:
    """The median of signed leads is negative there; dividing by it would saturate the softmax."""
    x, w = images(), random(16)
    net = Linear(w, b=-float(w.sum()) / 2)
    answers = predict(net, x)
    labels = torch.where(torch.arange(len(x)) < 120, 1 - answers, answers)
    assert survival(net, x, labels, Attack("none")).accuracy == 40
    plain, other = (
        survival(net, x, labels, Attack("fgsm", 0.05, rescale=r)) for r in (False, True)
    )
    assert other.unmoved == 0 and torch.equal(other.correct, plain.correct)


def test_gradient_sizes_on_a_linear_model() -> None:
    """The gradient of the cross entropy is (p - 1) w, so its largest component is known."""
    x, w = images(30), random(16)
    net = Linear(w)
    labels = torch.ones(30, dtype=torch.int64)
    p = torch.sigmoid(x.flatten(1) @ w)
    torch.testing.assert_close(gradient_sizes(net, x, labels), (1 - p) * w.abs().max())
    assert net.w.grad is None
    assert F.cross_entropy(net(x), labels).isfinite()


def test_strike_is_the_attack_that_it_names() -> None:
    """Each algorithm gets its options, keys and generator; splitting into batches changes no
    image.
    """
    net, x = mlp(), images(40)
    labels, keys = predict(net, x), torch.arange(40) + 7

    def chance() -> torch.Generator:
        return generator(3, "test")

    by_name = {
        Attack("fgsm", 0.1, "margin"): fgsm(net, x, labels, eps=0.1, loss="margin", clip=False),
        Attack("random-signs", 0.1, clip=True): random_signs(
            net, x, labels, eps=0.1, keys=keys, generator=chance()
        ),
        Attack("pgd", 0.1, steps=3, step_size=0.05, clip=True): pgd(
            net, x, labels, eps=0.1, steps=3, step_size=0.05, keys=keys, generator=chance()
        ),
        Attack("square", 0.1, queries=9): square(
            net, x, labels, eps=0.1, queries=9, keys=keys, generator=chance()
        ),
    }
    for attack, direct in by_name.items():
        for size in (40, 11):
            made = strike(attack, net, x, labels, keys=keys, generator=chance(), batch_size=size)
            assert torch.equal(made.images, direct.images) or size == 11
            torch.testing.assert_close(made.images, direct.images)
            assert torch.equal(made.found, direct.found)
            torch.testing.assert_close(made.distance, direct.distance)
            assert torch.equal(made.steps, direct.steps)
            assert made.backwards == direct.backwards
    left = strike(Attack("none"), net, x, labels)
    assert torch.equal(left.images, x) and not left.found.any() and left.forwards == 40
    assert left.backwards == 0 and not left.steps.any()


def test_one_generator_gives_each_attack_another_draw() -> None:
    """As in the attacks themselves, all batches of one attack share one draw."""
    net, x = mlp(), images(10)
    labels, chance = predict(net, x), generator(0, "one")
    signs = Attack("random-signs", 0.1)
    first, second = (
        strike(signs, net, x, labels, generator=chance, batch_size=3).images for _ in range(2)
    )
    again = strike(signs, net, x, labels, generator=generator(0, "one")).images
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_a_view_is_judged_by_the_network_itself() -> None:
    """An attack in float64 may end where float32 rounds to the other side of the boundary."""
    net, x = mlp(), images(60)
    labels = predict(net, x)
    for attack in (
        Attack("pgd", 0.05, precision="float64", steps=3),
        Attack("fgsm", 0.1, rescale=True),
    ):
        made = strike(attack, net, x, labels)
        assert made.images.dtype == torch.float32
        assert torch.equal(made.found, predict(net, made.images) != labels)
        correct = survival(net, x, labels, attack).correct
        assert torch.equal(
            correct, ~strike(attack, net, x, labels, generator=generator(0, attack.kind)).found
        )


def test_flushing_is_refused_where_it_does_nothing() -> None:
    """The error says why, for any device but the CPU."""
    x = torch.zeros(2, 1, 4, 4, device="meta")
    net = Linear(torch.ones(16, device="meta"))
    with pytest.raises(ValueError, match="flush must be False on a GPU, where .* does nothing"):
        survival(
            net, x, torch.zeros(2, dtype=torch.int64, device="meta"), Attack("fgsm", flush=True)
        )


def test_queries_are_no_part_of_older_keys() -> None:
    """Results were stored before attacks had this field."""
    from robustbook.runs.calls import _encoded

    (inside,) = _encoded(Attack("fgsm"), seeds=True).values()
    assert "queries" not in inside and len(inside) == 10
    (inside,) = _encoded(Attack("square", queries=7), seeds=True).values()
    assert inside["queries"] == 7


def test_the_defaults_of_an_attack_stand_in_keys() -> None:
    plain = Attack("pgd", 0.25, "cross_entropy", "float32", False, False, False, None, 20, 0.0625)
    assert Attack("pgd") == plain and plain.queries == 5000


class Drawn(nn.Module):
    """A network with noise by key and draw only; it rejects a plain call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, images: Tensor) -> Tensor:
        raise AssertionError("a randomised model is asked for a draw")

    def at(self, keys: Tensor, draw: int | Tensor) -> Callable[[Tensor], Tensor]:
        angle = keys[:, None] * 37.0 + torch.as_tensor(draw % 1009).reshape(-1, 1) * 11.0
        noise = 3 * torch.sin(angle + torch.arange(3))
        return lambda x: self.net(x) + noise.to(x.dtype)


ATTACKS = [
    Attack("none"),
    Attack("fgsm", 0.1),
    Attack("pgd", 0.1, steps=3, step_size=0.05, clip=True),
    Attack("square", 0.1, queries=5),
    Attack("random-signs", 0.1),
    Attack("fgsm", 0.1, rescale=True, precision="float64"),
    Attack("fgsm", 0.1, slope=10.0),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.kind} {a.precision} {a.slope}")
def test_noise_belongs_to_the_image_and_not_to_its_batch(attack: Attack) -> None:
    """Every attack on a randomised model gives the same for a batch, pieces, singles and another
    order.
    """
    net, x, keys = Drawn(), images(12), torch.arange(12) + 5
    y = predict(net, x, keys=keys)

    def struck(rows: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
        if attack.rescale:  # the median lead needs all images together
            found = strike(attack, net, x, y, keys=keys, batch_size=batch_size)
            return found.images[rows], found.found[rows]
        found = strike(attack, net, x[rows], y[rows], keys=keys[rows], batch_size=batch_size)
        return found.images, found.found

    whole, found = struck(torch.arange(12))
    assert attack.kind == "none" or 0 < int(found.sum())
    for rows in (torch.randperm(12, generator=generator(0)), torch.tensor([3])):
        for size in (1000, 1, 5):
            made, verdict = struck(rows, size)
            torch.testing.assert_close(made, whole[rows])
            assert torch.equal(verdict, found[rows])


def test_measures_of_a_randomised_model_take_pieces_and_keys() -> None:
    """By default the row is the key, also for images in the second piece of a measure."""
    net, x = Drawn(), images(12)
    answers = predict(net, x)
    assert torch.equal(predict(net, x, 5), answers)
    assert torch.equal(predict(net, x[5:], keys=torch.arange(5, 12)), answers[5:])
    assert not torch.equal(predict(net, x, draw=1), answers)
    assert torch.equal(predict(net, x, draw=0), answers)
    drawn = net.at(torch.arange(12), 0)(x)
    assert torch.equal(logits_of(net, x), drawn)
    torch.testing.assert_close(logits_of(rescaled(net, 4.0), x), drawn / 4)
    fresh = predict(net, x, draw=FRESH)
    assert accuracy_along(net, x, fresh, torch.zeros_like(x), 1.0) == 100
    sizes = smallest(net, x, fresh, lambda x, y, keys, eps: x + 0, (0.1,), keys=torch.arange(12))
    assert sizes.isinf().all()
    assert gradient_sizes(net, x, answers).isfinite().all()
    assert evidence(net, x, answers, 0.1, queries=3)["changed_answers"] > 0


def test_autoattack_is_the_attack_of_that_name() -> None:
    net, x = MLP((16, 12, 5), torch.sigmoid), images(40)
    initialise(net, "normal", generator(0, "weights"))
    y = predict(net, x)
    attack = Attack("autoattack", 0.1, steps=5, queries=10)
    found = survival(net, x, y, attack, seed=3, batch_size=7)
    made = autoattack(net, x, y, eps=0.1, steps=5, queries=10, generator=generator(3, "autoattack"))
    assert torch.equal(~found.correct, made.found) and 0 < int(made.found.sum()) < 40
