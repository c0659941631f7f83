"""Properties of every attack. To test a new attack, add one line to ATTACKS."""

import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustbook.attacks import (
    Adversarial,
    adam,
    apgd,
    carlini_wagner,
    ddn,
    deepfool,
    fab,
    fgsm,
    lbfgs,
    penalised_lbfgs,
    pgd,
    propagation,
    random_signs,
    square,
    zoo,
)
from robustbook.attacks.deepfool import Variant

Make = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """An attack with its settings, and the common properties that it has."""

    attack: Callable[..., Adversarial]
    eps: float | None  # None: no budget, it may move any distance
    norm: float = math.inf
    clips: bool = True
    draws: bool = False  # has the arguments keys and generator
    climbs: bool = True  # uses a gradient
    minimal: bool = False  # looks for the nearest adversarial image instead of filling a budget
    gradients: int = 1  # number for each image and step
    per_row: str | None = None  # the argument, besides eps, that may have one number per image
    looks: bool = False  # checks from time to time which images have finished
    skips: bool = False  # gradients that are known to be 0


PGD = partial(pgd, steps=7, step_size=0.02)
PGD_2 = partial(pgd, steps=7, step_size=0.2, norm=2)
INF, FREELY = math.inf, Variant(clip=False)
ATTACKS = {
    "fgsm": Entry(fgsm, 0.05),
    "fgsm margin": Entry(partial(fgsm, loss="margin"), 0.05),
    "fgsm squared error": Entry(partial(fgsm, loss="squared_error"), 0.05),
    "fgsm clipped probabilities": Entry(partial(fgsm, loss="clipped_probabilities"), 0.05),
    "fgsm unclipped": Entry(partial(fgsm, clip=False), 0.05, clips=False),
    "pgd": Entry(PGD, 0.05, draws=True, per_row="step_size"),
    "pgd margin": Entry(partial(PGD, loss="margin"), 0.05, draws=True, per_row="step_size"),
    "pgd restarts": Entry(partial(PGD, restarts=3), 0.05, draws=True, per_row="step_size"),
    "pgd from the image": Entry(partial(PGD, random_start=False), 0.05, per_row="step_size"),
    "pgd unclipped": Entry(
        partial(PGD, clip=False), 0.05, clips=False, draws=True, per_row="step_size"
    ),
    "pgd l2": Entry(PGD_2, 0.5, norm=2, draws=True, per_row="step_size"),
    "pgd l2 restarts": Entry(
        partial(PGD_2, restarts=3), 0.5, norm=2, draws=True, per_row="step_size"
    ),
    "adam": Entry(partial(adam, steps=4, step_size=0.02), None, 2, per_row="step_size", looks=True),
    "adam unclipped": Entry(
        partial(adam, steps=4, step_size=0.02, clip=False),
        None,
        2,
        False,
        per_row="step_size",
        looks=True,
    ),
    "lbfgs": Entry(partial(lbfgs, steps=1), None, norm=2, looks=True),
    "lbfgs margin": Entry(partial(lbfgs, steps=1, loss="margin"), None, norm=2, looks=True),
    "lbfgs unclipped": Entry(partial(lbfgs, steps=1, clip=False), None, 2, False, looks=True),
    "penalised lbfgs": Entry(
        partial(penalised_lbfgs, c=30.0, searches=2, steps=3),
        None,
        2,
        minimal=True,
        per_row="c",
        looks=True,
    ),
    "penalised lbfgs unclipped": Entry(
        partial(penalised_lbfgs, c=30.0, searches=2, steps=3, clip=False),
        None,
        2,
        False,
        minimal=True,
        per_row="c",
        looks=True,
    ),
    "apgd": Entry(partial(apgd, steps=7), 0.05, draws=True, looks=True),
    "apgd dlr": Entry(partial(apgd, steps=7, loss="dlr"), 0.05, draws=True, looks=True),
    "apgd restarts": Entry(partial(apgd, steps=7, restarts=3), 0.05, draws=True, looks=True),
    "apgd l2": Entry(partial(apgd, steps=7, norm=2), 0.5, 2, draws=True, looks=True),
    "random signs": Entry(random_signs, 0.05, draws=True, climbs=False),
    "square": Entry(partial(square, queries=25), 0.05, draws=True, climbs=False, looks=True),
    "ddn": Entry(partial(ddn, steps=6, scale=0.2), None, 2, minimal=True, per_row="scale"),
    "ddn unclipped": Entry(
        partial(ddn, steps=6, scale=0.2, clip=False),
        None,
        2,
        False,
        minimal=True,
        per_row="scale",
    ),
    "carlini-wagner": Entry(
        partial(carlini_wagner, c=20.0, steps=4, step_size=0.05),
        None,
        2,
        minimal=True,
        per_row="c",
        skips=True,
    ),
    "carlini-wagner unclipped": Entry(
        partial(carlini_wagner, c=20.0, steps=4, step_size=0.02, clip=False),
        None,
        2,
        False,
        minimal=True,
        per_row="c",
        skips=True,
    ),
    "carlini-wagner search": Entry(
        partial(carlini_wagner, c=1.0, steps=20, step_size=0.01, searches=3, abandon=True),
        None,
        2,
        minimal=True,
        per_row="c",
        looks=True,
        skips=True,
    ),
    "zoo": Entry(
        partial(zoo, c=20.0, steps=3, coordinates=40, step_size=0.02),
        None,
        2,
        draws=True,
        climbs=False,
        minimal=True,
        per_row="c",
    ),
    "fab": Entry(partial(fab, steps=1), None, minimal=True, gradients=4),
    "fab l2": Entry(partial(fab, steps=1, norm=2), None, 2, minimal=True, gradients=4),
    "deepfool": Entry(partial(deepfool, steps=1), None, 2, minimal=True, gradients=4),
    "deepfool inf": Entry(partial(deepfool, steps=1, norm=INF), None, minimal=True, gradients=4),
    "deepfool unclipped": Entry(
        partial(deepfool, steps=1, preset=FREELY), None, 2, False, minimal=True, gradients=4
    ),
}
every_attack = pytest.mark.parametrize("entry", ATTACKS.values(), ids=ATTACKS)


def run(
    entry: Entry, model: nn.Module, images: Tensor, labels: Tensor, **given: Any
) -> Adversarial:
    if entry.draws:
        given.setdefault("generator", torch.Generator().manual_seed(5))
    else:
        given.pop("keys", None)
    if entry.eps is not None:
        given.setdefault("eps", entry.eps)
    return entry.attack(model, images, labels, **given)


@every_attack
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stays_in_the_box_and_the_budget_and_keeps_dtype(
    entry: Entry, dtype: torch.dtype, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(30, dtype)
    result = run(entry, make_curved(dtype), images, labels)
    assert result.images.dtype == result.distance.dtype == dtype
    assert result.images.shape == images.shape and not result.images.requires_grad
    assert bool(result.images.isfinite().all())
    if entry.clips:
        assert 0 <= float(result.images.min()) and float(result.images.max()) <= 1
    else:
        assert float(result.images.min()) < 0 and float(result.images.max()) > 1
    # A pixel below 1 is rounded by at most eps / 2; l2 adds the errors of 72 pixels and its own.
    slack = (1 if entry.norm == math.inf else 10) * torch.finfo(dtype).eps
    change = (result.images - images).flatten(1)
    sizes = torch.linalg.vector_norm(change, entry.norm, dim=1)
    if entry.minimal:
        sizes[~result.found] = math.inf
    assert torch.equal(result.distance, sizes)
    if entry.eps is None:
        return
    assert float(sizes.max()) <= entry.eps + slack
    if not entry.minimal:
        assert float(sizes.min()) > entry.eps / 2  # misclassified images are perturbed as well


@every_attack
def test_changes_nothing_outside(entry: Entry, make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(6)
    images.requires_grad_()
    model = make_curved().train()
    model[0].weight.requires_grad_(False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    model[3].eval()
    before = [
        images.detach().clone(),
        labels.clone(),
        *(p.detach().clone() for p in model.parameters()),
    ]
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()

    run(entry, model, images, labels)

    after = [images.detach(), labels, *(p.detach() for p in model.parameters())]
    assert all(map(torch.equal, before, after))
    assert images.grad is None and images.requires_grad
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == states[1:]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert model[4].bias.grad is None
    assert [m.training for m in model] == [True, True, True, False, True]
    assert torch.is_grad_enabled()


@every_attack
def test_each_image_is_alone_in_the_world(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """The batch, single images, and the batch in another order give the same result."""
    images, labels = make_images(12)
    keys = torch.arange(100, 112)
    model = make_curved()
    whole = run(entry, model, images, labels, keys=keys)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(6))
    for rows in [order, *torch.arange(12).split(1), torch.arange(5)]:
        part = run(entry, model, images[rows], labels[rows], keys=keys[rows])
        # Another batch size may round sums differently; 1e-9 is far smaller than any step.
        torch.testing.assert_close(part.images, whole.images[rows], rtol=0, atol=1e-9)
        assert torch.equal(part.found, whole.found[rows])
        assert torch.equal(part.steps, whole.steps[rows])


@every_attack
def test_a_constant_added_to_the_logits_changes_nothing(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(12)
    model = make_curved()
    plain = run(entry, model, images, labels)
    for constant in (-50, 50):
        shifted = run(entry, lambda x, c=constant: model(x) + c, images, labels)
        torch.testing.assert_close(shifted.images, plain.images, rtol=0, atol=1e-9)
        assert torch.equal(shifted.found, plain.found)


@every_attack
def test_renaming_the_classes_changes_nothing(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(12)
    model = make_curved()
    order = torch.tensor([3, 0, 4, 1, 2])  # new class c is old class order[c]
    plain = run(entry, model, images, labels)
    renamed = run(entry, lambda x: model(x)[:, order], images, order.argsort()[labels])
    torch.testing.assert_close(renamed.images, plain.images, rtol=0, atol=1e-9)
    assert torch.equal(renamed.found, plain.found)


@every_attack
def test_is_deterministic(entry: Entry, make_curved: Make, make_images: Make) -> None:
    """The same generator state gives the same result, whatever the global state; another one
    differs.
    """
    images, labels = make_images(12)
    model = make_curved()
    first = run(entry, model, images, labels)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        second = run(entry, model, images, labels)
    assert torch.equal(first.images, second.images)
    if entry.draws:
        generator = torch.Generator().manual_seed(8)
        third = run(entry, model, images, labels, generator=generator)
        fourth = run(entry, model, images, labels, generator=generator)
        assert not torch.equal(first.images, third.images)
        assert not torch.equal(third.images, fourth.images)


@every_attack
@pytest.mark.parametrize("targeted", [False, True])
def test_found_is_what_the_model_says(
    entry: Entry, targeted: bool, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(60)
    targets = (labels + 1) % 5 if targeted else None
    model = make_curved()
    result = run(entry, model, images, labels, targets=targets)
    answer = model(result.images).argmax(1)
    assert torch.equal(result.found, answer != labels if targets is None else answer == targets)
    far = entry.eps is None and not targeted  # without a budget every attack succeeds
    both = 0 < int(result.found.sum()) < 60
    assert both or (far and not entry.minimal), "the example must have both, or it shows nothing"


@every_attack
def test_an_empty_batch_and_a_single_image(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    for n in (0, 1):
        images, labels = make_images(n)
        result = run(entry, make_curved(), images, labels)
        assert result.images.shape == (n, 2, 6, 6)
        assert result.found.shape == result.distance.shape == result.steps.shape == (n,)


@every_attack
def test_a_model_without_gradients_gives_no_nan_and_no_success(
    entry: Entry, make_images: Make
) -> None:
    images, labels = make_images(12)
    logits = torch.eye(5, dtype=torch.float64)[labels]
    result = run(entry, lambda x: logits.repeat(len(x) // 12, 1) + 0 * x.sum(), images, labels)
    assert bool(result.images.isfinite().all()) and not bool(result.found.any())
    assert bool((result.distance.isfinite() != entry.minimal).all())
    if not entry.draws:
        assert torch.equal(result.images, images)


@every_attack
def test_counts_what_the_model_counts(
    entry: Entry, make_curved: Make, make_images: Make, counting: type
) -> None:
    images, labels = make_images(12)
    model = counting(make_curved())
    result = run(entry, model, images, labels)
    assert (result.forwards, result.backwards) == (model.forwards, model.backwards)
    assert result.forwards > 0 and (result.backwards > 0) == entry.climbs
    # Other attacks evaluate images that they do not return.
    if entry.climbs and (entry.minimal or entry.eps):
        most = int(result.steps.sum()) * entry.gradients
        assert result.backwards < most if entry.skips else result.backwards == most


@every_attack
def test_works_where_gradients_are_switched_off(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(6)
    with torch.no_grad():
        inside = run(entry, make_curved(), images, labels)
    assert torch.equal(inside.images, run(entry, make_curved(), images, labels).images)


@pytest.mark.parametrize(
    "entry",  # not random signs, which may move an image back, and not a loss of three logits
    [
        pytest.param(entry, id=name)
        for name, entry in ATTACKS.items()
        if entry.climbs and entry.eps and name != "apgd dlr"
    ],
)
def test_more_budget_is_never_fewer_successes(
    entry: Entry, make_linear: Make, make_images: Make
) -> None:
    """On a linear model of two classes, every gradient attack reaches the nearest boundary
    first.
    """
    images, labels = make_images(60)
    model, labels = make_linear(classes=2), labels % 2
    found = [
        run(entry, model, images, labels, eps=scale * entry.eps).found
        for scale in (0.02, 0.1, 0.3, 1.0)
    ]
    for less, more in zip(found, found[1:], strict=False):
        assert bool((less <= more).all())
    assert int(found[0].sum()) < int(found[-1].sum())


@every_attack
def test_nothing_is_hidden_from_a_nan(entry: Entry, make_curved: Make, make_images: Make) -> None:
    """NaN has no sign and no order: the image would be unchanged, or counted as a success."""
    images, labels = make_images(6)
    model = make_curved()
    if entry.minimal:  # it computes no gradient of misclassified images
        labels = model(images).argmax(1)
    with pytest.raises(ValueError, match="model must give finite logits and gradients"):
        run(entry, lambda x: model(x) * torch.nan, images, labels)
    if entry.climbs:  # finite logits with gradient 0/0, from the square root of 0
        with pytest.raises(ValueError, match="model must give finite logits and gradients"):
            run(entry, lambda x: model(x) + (0 * x).sum((1, 2, 3)).sqrt()[:, None], images, labels)


@every_attack
def test_a_number_per_image_is_one_call_per_number(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """So a sweep over eps can be computed as a repeated batch."""
    images, labels = make_images(5)
    names = [*(["eps"] if entry.eps else []), *([entry.per_row] if entry.per_row else [])]
    keys, model = torch.arange(5), make_curved()
    for name in names:
        middle = entry.eps if name == "eps" else {"step_size": 0.02, "scale": 0.2, "c": 3.0}[name]
        values = [0.5 * middle, middle, 1.7 * middle]
        swept = run(
            entry,
            model,
            images.repeat(3, 1, 1, 1),
            labels.repeat(3),
            keys=keys.repeat(3),
            **{name: torch.tensor(values, dtype=torch.float64).repeat_interleave(5)},
        )
        for i, value in enumerate(values):
            rows = slice(5 * i, 5 * i + 5)
            alone = run(entry, model, images, labels, keys=keys, **{name: value})
            torch.testing.assert_close(swept.images[rows], alone.images, rtol=0, atol=1e-9)
            assert torch.equal(swept.found[rows], alone.found)
            assert torch.equal(swept.steps[rows], alone.steps)
        for wrong in (torch.full((5,), -0.1), torch.full((5,), torch.nan), torch.full((4,), 0.1)):
            with pytest.raises(ValueError, match=f"{name} must"):
                run(entry, model, images, labels, **{name: wrong})


@every_attack
def test_a_batch_norm_in_training_mode_keeps_its_running_statistics(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """It uses the statistics of the batch, as a batch norm without running statistics does."""
    images, labels = make_images(6)
    norm, other = (nn.BatchNorm2d(2, track_running_stats=t).double() for t in (True, False))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    result = run(entry, nn.Sequential(norm, make_curved()), images, labels)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert norm.training and norm.track_running_stats
    expected = run(entry, nn.Sequential(other, make_curved()), images, labels)
    assert torch.equal(result.images, expected.images)


class InPlace(nn.Module):
    """A first layer that overwrites its input, such as torchvision's Normalize(inplace=True)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images.sub_(0.3).mul_(2))
        return logits


@every_attack
def test_the_model_may_overwrite_its_input(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(12)
    before, model = images.clone(), make_curved()
    plain = run(entry, lambda x: model((x - 0.3) * 2), images, labels)
    result = run(entry, InPlace(model), images, labels)
    assert torch.equal(images, before)
    assert torch.equal(result.images, plain.images) and torch.equal(result.found, plain.found)


@every_attack
def test_the_models_output_is_not_overwritten(entry: Entry, make_images: Make) -> None:
    """A model may return a tensor that it keeps."""
    images, labels = make_images(6)
    table = torch.eye(5, dtype=torch.float64)[labels].repeat(100, 1).requires_grad_()
    before = table.detach().clone()

    def kept(x: Tensor) -> Tensor:
        return table[: len(x)] if not torch.is_grad_enabled() else table[: len(x)] + 0 * x.sum()

    run(entry, kept, images, labels)
    assert torch.equal(table, before)


@every_attack
def test_torchs_default_dtype_changes_nothing(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(6, torch.float32)
    model = make_curved(torch.float32)
    usual = run(entry, model, images, labels)
    torch.set_default_dtype(torch.float64)
    try:
        other = run(entry, model, images, labels)
    finally:
        torch.set_default_dtype(torch.float32)
    assert other.images.dtype == other.distance.dtype == torch.float32
    assert torch.equal(usual.images, other.images) and torch.equal(usual.distance, other.distance)


@every_attack
def test_numbers_may_be_numpys_and_tensors(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(4)
    model = make_curved()
    given = getattr(entry.attack, "keywords", {}) | ({"eps": 0.0625} if entry.eps else {})

    def as_numpy(value: Any) -> Any:
        kinds = {float: numpy.float32, int: numpy.int64}
        return kinds.get(type(value), lambda same: same)(value)

    def as_tensors(value: Any) -> Any:
        return torch.tensor(value) if type(value) in (float, int) else value

    for convert in (as_numpy, as_tensors):
        converted = {name: convert(value) for name, value in given.items() if name != "norm"}
        # Both values are float32 numbers, so that both dtypes get the same value.
        plain = {
            name: getattr(value, "item", lambda v=value: v)() for name, value in converted.items()
        }
        result = run(entry, model, images, labels, **converted)
        assert torch.equal(result.images, run(entry, model, images, labels, **plain).images)


@every_attack
def test_inference_mode_is_no_obstacle(entry: Entry, make_curved: Make, make_images: Make) -> None:
    """Images and labels may be made under it, and an attack may be called under it."""
    images, labels = make_images(6)
    model = make_curved()
    plain = run(entry, model, images, labels)
    with torch.inference_mode():
        made = [given.clone() for given in (images, labels)]
        inside = run(entry, model, *made)
    outside = run(entry, model, *made)
    for result in (inside, outside):
        assert torch.equal(result.images, plain.images) and not result.images.is_inference()


REFUSED: dict[str, tuple[Callable[[nn.Module], Any], torch.dtype, str]] = {
    "one logit": (lambda m: lambda x: m(x)[:, :1], torch.float64, "two classes or more, got 1"),
    "a tuple": (lambda m: lambda x: (m(x), x), torch.float64, "a tensor of logits, got tuple"),
    "a mapping": (lambda m: lambda x: {"logits": m(x)}, torch.float64, "of logits, got dict"),
    "classes": (lambda m: lambda x: m(x).long(), torch.float64, "float numbers, got torch.int64"),
    "float32 images": (lambda m: m, torch.float32, "dtype that the model computes in, got torch.f"),
    "in a function": (lambda m: lambda x: m(x), torch.float32, "dtype that the model computes in"),
    "half": (lambda m: m.half(), torch.float16, "must be float32 or float64, got torch.float16"),
    "bfloat16": (lambda m: m.bfloat16(), torch.bfloat16, "float32 or float64, got torch.bfloat16"),
}


@every_attack
@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_no_attack_can_use(
    entry: Entry, case: str, make_curved: Make, make_images: Make
) -> None:
    change, dtype, message = REFUSED[case]
    images, labels = make_images(3)
    with pytest.raises(ValueError, match=message) as error:
        run(entry, change(make_curved()), images.to(dtype), 0 * labels)
    assert "\n" not in str(error.value)


@every_attack
def test_a_model_in_half_precision_gets_float32_arithmetic(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """Distances are those of float32 images, and small steps do not round to 0."""
    images, labels = make_images(12, torch.float32)
    model = make_curved(torch.float32)
    labels = model(images).argmax(1)
    rounded = model.bfloat16()
    result = run(entry, lambda x: rounded(x.bfloat16()), images, labels)
    assert result.images.dtype == result.distance.dtype == torch.float32
    exact = run(entry, lambda x: rounded(x.bfloat16()).float(), images, labels)
    assert torch.equal(result.images, exact.images)


@every_attack
def test_autocast_is_for_the_model_alone(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """A model that autocast does not change gives the same result inside and outside."""
    images, labels = make_images(12, torch.float32)
    network = make_curved(torch.float32)

    def model(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            logits: Tensor = network(x)
            return logits

    plain = run(entry, model, images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        inside = run(entry, model, images, labels)
        cast = run(entry, network, images, labels)
    assert torch.equal(inside.images, plain.images) and cast.distance.dtype == torch.float32


class Waits(TorchDispatchMode):
    """Count the operations that would make the host wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select")
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self.count += any(t is not None and t.dtype == torch.bool for t in args[1])
        return func(*args, **(kwargs or {}))


LENGTH = {"pgd": "steps", "adam": "steps", "lbfgs": "steps", "square": "queries", "ddn": "steps"}
LENGTH |= {"apgd": "steps", "fab": "steps"}
LENGTH |= {"carlini_wagner": "steps", "zoo": "steps"}


def lengths(entry: Entry, low: int, high: int) -> list[dict[str, int]]:
    """Return the arguments that give an attack this many steps, if it has steps."""
    kind = entry.attack.func if isinstance(entry.attack, partial) else entry.attack
    name = LENGTH.get(kind.__name__)
    return [{name: steps} for steps in (low, high)] if name else [{}]


@pytest.mark.parametrize(
    "entry",  # not DeepFool, whose waits depend on the images, as documented
    [pytest.param(entry, id=name) for name, entry in ATTACKS.items() if "deepfool" not in name],
)
def test_the_host_waits_at_stated_places_only(
    entry: Entry, make_curved: Make, make_images: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU every wait would cost more than a step of a small network.

    A few waits at start and end are allowed, and one check every ten steps. A check may read three
    values: whether images have finished, how many, and which.
    """
    monkeypatch.setitem(propagation.LOOK_EVERY, "cpu", 10)
    images, labels = make_images(6)
    model = make_curved()
    options = getattr(entry.attack, "keywords", {})
    stated = 4 + 2 * options.get("restarts", 1) + 10 * options.get("searches", 0)
    for given in lengths(entry, 10, 50):
        with Waits() as waits:
            run(entry, model, images, labels, **given)
        looks = 1 + max(given.values(), default=0) // 10 if entry.looks else 0
        assert 1 <= waits.count <= stated + 3 * looks


@pytest.mark.gpu
@pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, id=name) for name, entry in ATTACKS.items() if "deepfool" not in name],
)
def test_a_gpu_waits_at_stated_places_only(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    """torch counts the same waits: apart from the checks, they do not depend on the steps."""
    images, labels = (given.cuda() for given in make_images(6))
    model = make_curved().cuda()
    options = getattr(entry.attack, "keywords", {})
    stated = 4 + 2 * options.get("restarts", 1) + 10 * options.get("searches", 0)
    run(entry, model, images, labels)  # the first call initialises libraries
    for given in lengths(entry, 10, 50):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                run(entry, model, images, labels, **given)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = sum("synchronizing" in str(warning.message) for warning in caught)
        looks = 1 + max(given.values(), default=0) // 10 if entry.looks else 0
        assert 2 <= waits <= stated + 4 * looks


@pytest.mark.gpu
@every_attack
def test_gives_the_same_on_a_gpu(entry: Entry, make_curved: Make, make_images: Make) -> None:
    images, labels = make_images(12)
    here = run(entry, make_curved(), images, labels)
    there = run(entry, make_curved().cuda(), images.cuda(), labels.cuda())
    assert there.images.device.type == there.found.device.type == "cuda"
    torch.testing.assert_close(there.images.cpu(), here.images, rtol=0, atol=1e-9)
    assert torch.equal(there.found.cpu(), here.found)


class Learning(nn.Module):
    """A first layer whose buffers change in a forward pass in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(2, track_running_stats=True).double()
        self.conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 1).double())
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1
        out: Tensor = self.conv(self.norm(images))
        return out


@every_attack
def test_no_buffer_of_a_model_in_training_mode_changes(
    entry: Entry, make_curved: Make, make_images: Make
) -> None:
    images, labels = make_images(6)
    first = Learning()
    before = {name: value.clone() for name, value in first.named_buffers()}
    run(entry, nn.Sequential(first, make_curved()), images, labels)
    assert all(torch.equal(value, before[name]) for name, value in first.named_buffers())
    assert all(layer.training for layer in first.modules())


@every_attack
def test_a_model_may_compute_in_float64(entry: Entry, make_curved: Make, make_images: Make) -> None:
    """The result has the dtype of the images."""
    images, labels = make_images(8, torch.float32)
    model = make_curved()
    result = run(entry, lambda x: model(x.double()), images, labels)
    assert result.images.dtype == torch.float32
    assert torch.equal(result.found, model(result.images.double()).argmax(1) != labels) or (
        entry.minimal
    )


@every_attack
def test_infinite_logits_are_refused(entry: Entry, make_curved: Make, make_images: Make) -> None:
    """They come from an overflow. Minus infinity, which masks a class, is accepted."""
    images, labels = make_images(6)
    model = make_curved()
    with pytest.raises(ValueError, match="finite"):
        run(entry, lambda x: model(x) * 1e200 * 1e200, images, labels)
