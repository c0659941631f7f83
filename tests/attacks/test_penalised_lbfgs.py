"""The penalised L-BFGS attack: closed form on a linear model, optimality, and the search for c."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustbook.attacks import penalised_lbfgs, propagation

Make = Callable[..., nn.Module]
MakeImages = Callable[..., tuple[Tensor, Tensor]]


def test_on_a_linear_model_of_two_classes_it_finds_the_nearest_image(
    make_linear: Make, make_images: MakeImages
) -> None:
    """Without clipping, the minimiser lies on the normal of the boundary, and the largest c that
    succeeds leaves it just behind the boundary.
    """
    images, _ = make_images(20)
    model = make_linear(classes=2)
    logits = model(images).detach()
    labels = logits.argmax(1)
    w = (model[1].weight[0] - model[1].weight[1]).detach()
    exact = (logits[:, 0] - logits[:, 1]).abs() / w.norm()
    result = penalised_lbfgs(model, images, labels, targets=1 - labels, searches=16, clip=False)
    assert bool(result.found.all())
    ratio = result.distance / exact
    assert 1 <= float(ratio.min()) and float(ratio.max()) < 1.01


def test_the_images_minimise_the_penalised_loss(make_curved: Make, make_images: MakeImages) -> None:
    """With one value of c, the gradient is zero at pixels between 0 and 1, and points outwards at
    the others.
    """
    images, _ = make_images(20)
    model, c = make_curved(), 0.05
    labels = model(images).argmax(1)
    targets = (labels + 1) % 5
    result = penalised_lbfgs(
        model, images, labels, targets=targets, c=c, searches=1, steps=1000, gtol=1e-9, ftol=0.0
    )
    rows = result.found
    assert int(rows.sum()) > 10
    x = result.images[rows].requires_grad_()
    loss = nn.functional.cross_entropy(model(x), targets[rows], reduction="sum")
    loss = loss + c * (x - images[rows]).square().sum()
    (gradient,) = torch.autograd.grad(loss, x)
    inner = (x > 0) & (x < 1)
    assert float(gradient[inner].abs().max()) < 1e-6
    assert float(gradient[x == 0].min()) > -1e-6 and float(gradient[x == 1].max()) < 1e-6


def test_more_searches_come_nearer(make_curved: Make, make_images: MakeImages) -> None:
    images, labels = make_images(10)
    model = make_curved()
    near = [
        penalised_lbfgs(model, images, labels, targets=(labels + 1) % 5, searches=n).distance
        for n in (4, 8)
    ]
    assert bool((near[1] <= near[0]).all())
    assert bool(near[-1].isfinite().all()) and float(near[-1].mean()) < float(near[0].mean())


def test_a_misclassified_image_stays(make_curved: Make, make_images: MakeImages) -> None:
    images, _ = make_images(6)
    model = make_curved()
    wrong = (model(images).argmax(1) + 1) % 5
    result = penalised_lbfgs(model, images, wrong)
    assert torch.equal(result.images, images) and float(result.distance.max()) == 0
    assert bool(result.found.all()) and int(result.steps.sum()) == result.backwards == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_looking_less_often_changes_nothing(
    dtype: torch.dtype, make_linear: Make, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU finished rows stay in the batch for a while. They must not move further, not even by
    steps that float32 rounds to 0, and their gradients are not counted.
    """
    images, _ = make_images(16, dtype)
    images = 0.3 + 0.4 * images
    model = nn.Sequential(make_linear(16, 72, dtype), nn.Sigmoid(), make_linear(5, 16, dtype))
    labels = model(images).argmax(1)
    found = []
    for every in (1, 10):
        monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", every)
        found.append(
            penalised_lbfgs(model, images, labels, targets=(labels + 1) % 5, searches=1, steps=20)
        )
    often, seldom = found
    torch.testing.assert_close(seldom.images, often.images, rtol=0, atol=1e-3)
    assert torch.equal(seldom.found, often.found)
    if dtype == torch.float64:  # in float32 the size of the batch may change the steps
        assert torch.equal(seldom.steps, often.steps)


@pytest.mark.parametrize("given", [{"c": 0}, {"searches": 0}, {"steps": 0}, {"gtol": -1}])
def test_bad_arguments_are_refused(
    given: dict[str, float], make_curved: Make, make_images: MakeImages
) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))} must"):
        penalised_lbfgs(make_curved(), *make_images(2), **given)
