"""PGD compared with closed forms and a plain loop, and its documented properties."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robustbook.attacks import fgsm, pgd

Make = Callable[..., Any]


@pytest.mark.parametrize("random_start", [False, True])
def test_reaches_the_best_corner_of_a_linear_model(make_linear: Make, random_start: bool) -> None:
    """The optimum in the ball is x + eps sign(w), whatever the start."""
    images = torch.full((10, 2, 6, 6), 0.5, dtype=torch.float64)
    model, labels = make_linear(classes=2), torch.arange(10) % 2
    way = (model[1].weight[1] - model[1].weight[0]).detach().view(2, 6, 6)
    towards = torch.where(labels == 0, 1.0, -1.0).double()[:, None, None, None] * way
    result = pgd(model, images, labels, eps=0.1, steps=8, step_size=0.03, random_start=random_start)
    torch.testing.assert_close(result.images, images + 0.1 * towards.sign(), rtol=0, atol=1e-15)


def test_reaches_the_best_point_of_the_l2_ball(make_linear: Make) -> None:
    """The optimum is x + eps w / |w|: reached in one step from the image, in the limit from
    elsewhere.
    """
    images = torch.full((10, 2, 6, 6), 0.5, dtype=torch.float64)
    model, labels = make_linear(classes=2), torch.arange(10) % 2
    way = (model[1].weight[1] - model[1].weight[0]).detach().view(2, 6, 6)
    towards = torch.where(labels == 0, 1.0, -1.0).double()[:, None, None, None] * way / way.norm()
    given = {"eps": 0.8, "norm": 2, "step_size": 0.9}
    direct = pgd(model, images, labels, steps=1, random_start=False, **given)
    torch.testing.assert_close(direct.images, images + 0.8 * towards, rtol=0, atol=1e-14)
    torch.testing.assert_close(direct.distance, torch.full((10,), 0.8, dtype=torch.float64))
    # Each step at least halves the angle (step_size > eps). Near the optimum the loss is flat to
    # second order, so iterates within the root of float64's rounding, 1.5e-8, have equal losses.
    drawn = pgd(model, images, labels, steps=50, **given)
    torch.testing.assert_close(drawn.images, images + 0.8 * towards, rtol=0, atol=1e-7)


def test_one_step_of_size_eps_from_the_image_is_fgsm(make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(30)
    model = make_curved()
    one = pgd(model, images, labels, eps=0.01, steps=1, step_size=0.01, random_start=False)
    torch.testing.assert_close(
        one.images, fgsm(model, images, labels, eps=0.01).images, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("targeted", [False, True])
def test_equals_a_plain_loop(targeted: bool, make_curved: Make, make_images: Make) -> None:
    """It attacks one image at a time and keeps the best of all iterates."""
    images, labels = make_images(8)
    targets = (labels + 2) % 5 if targeted else None
    model, eps, steps, step_size = make_curved(), 0.2, 6, 0.15
    result = pgd(
        model,
        images,
        labels,
        eps=eps,
        steps=steps,
        step_size=step_size,
        random_start=False,
        targets=targets,
    )
    not_last = 0
    for row in range(8):
        x, iterates, losses = images[row : row + 1], [], []
        adversarial = x
        for _ in range(steps + 1):
            leaf = adversarial.clone().requires_grad_()
            label = labels[row : row + 1] if targets is None else targets[row : row + 1]
            loss = torch.nn.functional.cross_entropy(model(leaf), label)
            loss = loss if targets is None else -loss
            loss.backward()
            iterates.append(adversarial)
            losses.append(loss.item())
            adversarial = adversarial + step_size * leaf.grad.sign()
            adversarial = torch.min(torch.max(adversarial, x - eps), x + eps).clamp(0, 1)
        best = max(range(steps + 1), key=losses.__getitem__)
        not_last += best != steps
        torch.testing.assert_close(result.images[row], iterates[best][0], rtol=0, atol=1e-9)
    assert not_last, "the example must have an image whose best iterate is not its last"


def test_found_is_about_the_image_returned_not_about_the_last_iterate() -> None:
    """The margin is positive only near 0.58: 0.5 moves to 0.6, a success, and back to 0.5."""

    def model(x: torch.Tensor) -> torch.Tensor:
        margin = 0.001 - (x - 0.58) ** 2
        return torch.cat([0 * margin, margin], 1)

    images, labels = torch.full((3, 1), 0.5), torch.zeros(3, dtype=torch.int64)
    result = pgd(model, images, labels, eps=0.2, steps=2, step_size=0.1, random_start=False)
    torch.testing.assert_close(result.images, torch.full((3, 1), 0.6))
    assert bool(result.found.all())
    assert result.forwards == 3 * 4  # two steps, the last iterate, and the one returned


@pytest.mark.parametrize("norm, eps", [(math.inf, 0.1), (2, 0.5)])
def test_restarts_go_to_unturned_images_only_and_never_lose(
    norm: float, eps: float, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(60)
    model = make_curved()
    given = {"eps": eps, "norm": norm, "steps": 3, "step_size": eps / 8}
    runs = [pgd(model, images, labels, restarts=n, **given) for n in (1, 2, 8)]
    one, two, eight = runs
    assert 60 * 4 <= one.forwards <= 60 * 5 and one.backwards == 60 * 3
    left = int((~one.found).sum())
    assert 0 < left < 60
    assert two.backwards - one.backwards == left * 3
    assert torch.equal(two.steps, torch.where(one.found, 3, 6))
    assert torch.equal(two.images[one.found], one.images[one.found])
    assert bool((one.found <= eight.found).all()) and bool((one.found < eight.found).any())
    loss = [
        torch.nn.functional.cross_entropy(model(run.images), labels, reduction="none")
        for run in runs
    ]
    never_turned = ~eight.found
    assert bool((loss[2] >= loss[0] - 1e-12)[never_turned].all())


def test_a_random_start_belongs_to_the_key(make_linear: Make) -> None:
    """Two keys give two starts for the same image, one key one start; a set may be split."""
    images = torch.full((4, 72), 0.5, dtype=torch.float64)
    labels = torch.zeros(4, dtype=torch.int64)

    def start(rows: slice, keys: list[int]) -> torch.Tensor:
        """Use such small steps that the returned image is the start."""
        return pgd(
            make_linear(),
            images[rows],
            labels[rows],
            eps=0.1,
            steps=1,
            step_size=1e-12,
            keys=torch.tensor(keys),
            generator=torch.Generator().manual_seed(0),
        ).images

    whole = start(slice(4), [7, 8, 7, -9])
    torch.testing.assert_close(whole[0], whole[2], rtol=0, atol=1e-11)
    assert float((whole[0] - whole[1]).abs().max()) > 0.05
    pieces = torch.cat([start(slice(2), [7, 8]), start(slice(2, 4), [7, -9])])
    torch.testing.assert_close(whole, pieces, rtol=0, atol=1e-11)


def test_tiny_gradients_have_a_direction(make_linear: Make) -> None:
    """The squares of float32 gradients of 1e-30 are 0, but the l2 step has its full size."""
    images = torch.full((3, 72), 0.5)
    labels = torch.zeros(3, dtype=torch.int64)
    weight = torch.randn(72, 2, generator=torch.Generator().manual_seed(1)) * 1e-30
    given = {"eps": 0.5, "norm": 2, "steps": 1, "step_size": 0.1, "random_start": False}
    result = pgd(lambda x: x @ weight, images, labels, loss="margin", **given)
    torch.testing.assert_close(result.distance, torch.full((3,), 0.1))


def test_a_loss_that_rounds_to_zero_does_not_stop_the_climb() -> None:
    """In float32, logits 30 apart give a loss of exactly 0 and a gradient of 1e-13, not 0."""
    images, labels = torch.full((3, 72), 0.5), torch.zeros(3, dtype=torch.int64)

    def model(x: torch.Tensor) -> torch.Tensor:
        rise = 0.1 * x.sum(1, keepdim=True)
        return torch.cat([30 + 0 * rise, rise - 3.6], 1)

    assert not bool(torch.nn.functional.cross_entropy(model(images), labels).any())
    result = pgd(model, images, labels, eps=0.1, steps=2, step_size=0.05, random_start=False)
    torch.testing.assert_close(result.images, images + 0.1)


def test_the_host_waits_at_the_end_of_a_run_only(make_curved: Make, make_images: Make) -> None:
    """On a GPU every wait inside the loop would cost more than a step of a small network."""

    class Waits(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = func.overloadpacket.__name__
            self.count += name in ("_local_scalar_dense", "nonzero", "item", "is_nonzero")
            return func(*args, **(kwargs or {}))

    images, labels = make_images(6)
    counts = []
    for steps in (2, 30):
        with Waits() as waits:
            pgd(make_curved(), images, labels, eps=0.05, steps=steps, step_size=0.01)
        counts.append(waits.count)
    assert 0 < counts[0] == counts[1]
