"""Deep Defense (Yan, Guo and Zhang 2018) against its formula, and its gradient against differences.

The formula is written out here without optimisation: all images in every iteration, all classes.
"""

import importlib
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from robustbook.attacks import deepfool
from robustbook.attacks.deepfool import AUTHORS
from robustbook.data import as_float, load
from robustbook.defenses import Frozen, deep_defense, noisy, smoothed
from robustbook.networks import (
    MLP,
    GreyLevels,
    Prepared,
    convnet,
    draw_normal,
    fc500_150_10,
    fc500_150_10_bn,
    lenet,
    mean_image,
    nin,
)
from robustbook.randomness import generator
from robustbook.training import Diverged

OFFSET = 5e-6
Slopes = Callable[[nn.Module, Tensor, Tensor], Tensor]


def small(shape: tuple[int, ...] = (1, 4, 4)) -> Prepared:
    """Return a 16-12-8-5 network with grey-level preprocessing, in float64, with logits some units
    apart.
    """
    body = MLP((math.prod(shape), 12, 8, 5), torch.relu).double()
    draw_normal(body, generator(0, "weights"), (0.01, 0.4, 0.5))
    for layer in body.layers:
        layer.bias.data.uniform_(-0.2, 0.2, generator=generator(1))
    mean = 255 * torch.rand(shape, generator=generator(2), dtype=torch.float64)
    return Prepared(GreyLevels(mean), body)


def batch(n: int = 12, shape: tuple[int, ...] = (1, 4, 4), classes: int = 5) -> tuple[Any, Any]:
    images = torch.rand(n, *shape, generator=generator(3), dtype=torch.float64)
    return images, torch.randint(classes, (n,), generator=generator(4))


def mixed(net: nn.Module, images: Tensor, wrong: int = 3) -> Tensor:
    """Return labels such that the network misclassifies the first few images and no others."""
    net.eval()
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 5
    return labels


def by_autograd(body: nn.Module, point: Tensor, logits: Tensor) -> Tensor:
    """Return the gradient of every logit at the input, differentiable: (n, k, d)."""
    rows = [
        torch.autograd.grad(logits[:, k].sum(), point, create_graph=True)[0].flatten(1)
        for k in range(logits.shape[1])
    ]
    return torch.stack(rows, 1)


def by_reverse_network(body: MLP, point: Tensor, logits: Tensor) -> Tensor:
    """Compute the same as the authors do.

    They use a second network with the transposed weights; its ReLUs are the masks of the forward
    pass.
    """
    (w1, w2, w3) = (layer.weight for layer in body.layers)
    h1, h2, _ = body.preactivations(point)
    one = torch.eye(logits.shape[1], dtype=point.dtype).expand(len(point), -1, -1)
    at_h2 = (one @ w3) * (h2 > 0)[:, None]
    at_h1 = (at_h2 @ w2) * (h1 > 0)[:, None]
    return at_h1 @ w1


def written_out(
    net: Prepared,
    images: Tensor,
    labels: Tensor,
    slopes: Slopes = by_autograd,
    lam: float = 15,
    c: float = 25,
    d: float = 5,
    steps: int = 5,
    held: str = "",
) -> dict[str, Tensor]:
    """Return the loss; ``held`` names quantities that are wrongly treated as constants."""
    x = net.preprocess(images).detach()
    logits = net.body(x)
    entropy = F.cross_entropy(logits, labels)
    source = logits.argmax(1)
    right = source == labels
    every, done, r = torch.arange(len(x)), torch.zeros_like(right), torch.zeros_like(x)
    for _ in range(steps):
        point = x + (r.detach() if held == "iterates" else r)
        if not point.requires_grad:
            point.requires_grad_()
        logits = net.body(point)
        source = torch.where(right, labels, logits.argmax(1))
        slope = slopes(net.body, point, logits)
        w = slope - slope[every, source][:, None]
        f = logits - logits[every, source][:, None]
        if held in ("slopes", "all"):
            w = w.detach()
        if held in ("logits", "all"):
            f = f.detach()
        sizes = (w + OFFSET).norm(dim=2)
        allowed = F.one_hot(source, f.shape[1]) == 0
        allowed[~right] = F.one_hot(labels[~right], f.shape[1]) == 1
        k = (f.abs() / sizes).masked_fill(~allowed, math.inf).argmin(1)
        move = f[every, k].abs() / sizes[every, k] ** 2 * ~done
        r = r + (move[:, None] * w[every, k]).view_as(r)
        answers = net.body(x + 1.02 * r).argmax(1)
        done = done | torch.where(right, answers != labels, answers == labels)
    rho = 1.02 * r.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    return {
        "cross_entropy": entropy,
        "correct": lam * torch.exp(-c * rho[right]).sum() / len(x),
        "wrong": lam * torch.exp(d * rho[~right]).sum() / len(x),
    }


def gradients(net: nn.Module, terms: Mapping[str, Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(sum(terms.values()), list(net.parameters())))


def test_the_loss_and_its_gradient_are_those_of_the_formula() -> None:
    """Finished images leave the batch and passes are shared, which must change nothing."""
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, 8)
    ours = deep_defense(net, images, labels, slack=math.inf)
    plain = written_out(net, images, labels)
    assert list(ours) == ["cross_entropy", "correct", "wrong"]
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-10, atol=0)
        assert float(value.detach()) > 0.01  # otherwise it is not tested
    for one, other in zip(gradients(net, ours), gradients(net, plain), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def close(one: list[Tensor], other: list[Tensor], rtol: float) -> None:
    """Check that all gradients, as one vector, are equal up to ``rtol`` of its length."""
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (one, other))
    assert bool(a.isfinite().all()) and float((a - b).norm()) <= rtol * float(b.norm())


@pytest.mark.parametrize("form", ["padded", "fixed"])
@pytest.mark.parametrize("candidates", [None, 2])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("wrong", [0, 8, 40])
def test_the_forms_are_the_same_loss(
    steps: int, wrong: int, candidates: int | None, form: Any
) -> None:
    """In float64, with no, some and only misclassified images."""
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, wrong)
    options: dict[str, Any] = {"steps": steps, "slack": math.inf, "candidates": candidates}
    rows = deep_defense(net, images, labels, form="rows", **options)
    other = deep_defense(net, images, labels, form=form, **options)
    for name, value in rows.items():
        torch.testing.assert_close(other[name], value, rtol=1e-10, atol=0)
    close(gradients(net, other), gradients(net, rows), 1e-10)


def test_padded_batches() -> None:
    """Their sizes are whole eighths: active images first, then as many finished ones as are
    missing.
    """
    padded = importlib.import_module("robustbook.defenses.deep_defense")._padded
    going = torch.zeros(100, dtype=torch.bool)
    assert len(padded(going)) == 0
    for places, size in (([99], 13), ([*range(50, 63)], 13), ([*range(0, 28, 2)], 26)):
        rows = padded(going.index_fill(0, torch.tensor(places), True))
        assert rows[: len(places)].tolist() == places and len(set(rows.tolist())) == size
    assert padded(~going).tolist() == [*range(100)]
    assert padded(torch.tensor([False, True, True])).tolist() == [1, 2]


PAPERS = [
    pytest.param(fc500_150_10, (), "digits", id="mlp"),
    pytest.param(fc500_150_10_bn, (), "digits", id="batch-norm"),
    pytest.param(lenet, (), "digits", id="lenet"),
    pytest.param(convnet, (4,), "scenes", id="convnet"),
    pytest.param(nin, (8,), "scenes", id="nin"),
]


def paper(make: Callable[..., Prepared], args: Any, data: str) -> tuple[Prepared, Tensor, Tensor]:
    """Return a network with its first weights, in training mode, and 240 images."""
    some = load(data, "train").subset(240)
    net = make(GreyLevels(mean_image(some.images)), generator(0), *args)
    return net.train(), as_float(some.images), some.labels


def descend(net: nn.Module, loss: Callable[[int], Tensor], steps: int) -> None:
    update = torch.optim.Adam(net.parameters(), 1e-3)
    for step in range(steps):
        update.zero_grad()
        loss(step).backward()
        update.step()


@pytest.mark.parametrize(("make", "args", "data"), PAPERS)
def test_the_forms_agree_on_the_papers_networks(make: Any, args: Any, data: str) -> None:
    """In float32: with the first weights, after some plain steps, and after some steps of this
    loss.
    """
    net, images, labels = paper(make, args, data)
    images[0] = 0

    def terms(form: Any, few: slice, own: Tensor = labels) -> dict[str, Tensor]:
        draws = generator(5, few.start)
        return deep_defense(net, images[few], own[few], c=5.0, form=form, generator=draws)

    def part(step: int, size: int) -> slice:
        return slice(size * (step % 10), size * (step % 10) + size)

    def compare(own: Tensor, forms: tuple[str, ...] = ("padded", "fixed")) -> None:
        few = part(0, 5)
        rows = terms("rows", few, own)
        expected = gradients(net, rows)
        for form in forms:
            found = terms(form, few, own)
            for name, value in rows.items():
                torch.testing.assert_close(found[name], value, rtol=1e-5, atol=0)
            close(gradients(net, found), expected, 1e-5)

    def plain(k: int) -> Tensor:
        return F.cross_entropy(net(images[part(k, 24)]), labels[part(k, 24)])

    compare(labels)
    descend(net, plain, 8)
    compare(labels)
    descend(net, lambda k: torch.stack(list(terms("rows", part(k, 5)).values())).sum(), 3)
    compare(labels)
    with torch.no_grad(), Frozen(net.body, generator(5, 0)) as frozen:
        answers = frozen(net.preprocess(images[part(0, 5)])).argmax(1)
    compare(answers, ("fixed",))
    compare((answers + 1) % 10, ("fixed",))


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ("fixed", ()),
        ("padded", DataDependentOutputException),
        ("rows", DynamicOutputShapeException),
    ],
)
@pytest.mark.parametrize(("make", "args", "data"), PAPERS[1:5:2])
def test_only_the_fixed_form_can_be_recorded(
    make: Any, args: Any, data: str, form: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors have no values here, so no value may be read and no shape may depend on one.

    The check that terms are finite is left out, as on a GPU.
    """
    module = importlib.import_module("robustbook.defenses.deep_defense")
    monkeypatch.setattr(module, "_refuse_nonfinite", lambda *_: None)
    net, images, labels = paper(make, args, data)
    mode = FakeTensorMode()
    for layer in net.modules():
        for name, value in [*layer._parameters.items()]:
            if value is not None:
                layer._parameters[name] = nn.Parameter(mode.from_tensor(value.detach()))
        for name, value in [*layer._buffers.items()]:
            layer._buffers[name] = mode.from_tensor(value)
    x, y = mode.from_tensor(images[:8]), mode.from_tensor(labels[:8])
    with mode:
        try:
            found = gradients(net, deep_defense(net, x, y, form=form, generator=generator(0)))
        except refused:
            return
    assert not refused and [g.shape for g in found] == [p.shape for p in net.parameters()]


class Operations(TorchDispatchMode):
    """Count the launched operations, except views."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if not function.is_view:
            self.seen[str(function)] += 1
        return function(*args, **(kwargs or {}))


def test_the_fixed_form_does_the_same_operations_whatever_the_batch() -> None:
    """So one recorded step serves all batches; it launches fewer operations than forty plain
    steps.
    """
    net, images, labels = paper(convnet, (8,), "scenes")
    seen = []
    answers = net.eval()(images).argmax(1)
    for own, few in ((labels, slice(0, 9)), (answers, slice(9, 18)), (answers + 1, slice(9, 18))):
        with Operations() as counted:
            gradients(net, deep_defense(net, images[few], own[few] % 10, form="fixed"))
        counted.seen.pop("aten._local_scalar_dense.default")  # the check for finite terms, on a CPU
        seen.append(counted.seen)
    assert seen[0] == seen[1] == seen[2]
    with Operations() as plain:
        gradients(net, {"cross_entropy": F.cross_entropy(net(images[:9]), labels[:9])})
    assert seen[0].total() < 40 * plain.seen.total()


@pytest.mark.parametrize("form", ["rows", "fixed"])
def test_an_image_of_zeros_has_no_rho(form: Any) -> None:
    """Whether it is classified correctly or not, terms and gradients are those of the other
    images.
    """
    net, (images, _) = small().body, batch(10)
    labels = mixed(net, images, 3)
    images[[0, 9]] = 0
    labels[9] = net(images[9:]).argmax()
    labels[0] = (labels[9] + 1) % 5
    terms = deep_defense(net, images, labels, form=form)
    others = deep_defense(net, images[1:9], labels[1:9], form=form)
    for name in ("correct", "wrong"):
        torch.testing.assert_close(terms[name] * 10, others[name] * 8)
    del terms["cross_entropy"], others["cross_entropy"]
    found, expected = gradients(net, terms), gradients(net, others)
    close([10 * g for g in found], [8 * g for g in expected], 1e-10)


@pytest.mark.parametrize("form", ["rows", "fixed"])
@pytest.mark.parametrize("offset", [5e-6, 1e-30])
def test_a_network_without_a_slope(form: Any, offset: float) -> None:
    """All units are inactive, so no image moves at any offset, and nothing is divided by 0."""
    net, (images, labels) = small().float(), batch(10)
    with torch.no_grad():
        net.body.layers[1].bias.fill_(-100.0)
    terms = deep_defense(net, images.float(), labels, form=form, offset=offset)
    assert terms["correct"].item() + terms["wrong"].item() == pytest.approx(15)  # exp(0) each
    assert all(bool(g.isfinite().all()) for g in gradients(net, terms))


def test_the_images_are_of_every_kind() -> None:
    """Otherwise the test above would not cover later iterations."""
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, 8)
    x = net.preprocess(images)
    variant = AUTHORS.scaled(1 / 255)
    steps = deepfool(net.body, x[8:], labels[8:], preset=variant).steps
    assert len(set(steps.tolist())) >= 2
    towards = deepfool(net.body, x[:8], (labels[:8] - 1) % 5, targets=labels[:8], preset=variant)
    assert int(towards.steps.max()) >= 2


def test_the_perturbations_are_those_of_the_attack() -> None:
    """The loss and the measurement implement DeepFool separately, and give the same rho."""
    net, (images, _) = small(), batch(30)
    labels = mixed(net, images, 5)
    x = net.preprocess(images)
    variant = AUTHORS.scaled(1 / 255)
    away = deepfool(net.body, x[5:], labels[5:], preset=variant).distance
    answers = net(images[:5]).argmax(1)
    towards = deepfool(net.body, x[:5], answers, targets=labels[:5], preset=variant).distance
    sizes = x.flatten(1).norm(dim=1)
    terms = deep_defense(net, images, labels)
    torch.testing.assert_close(
        terms["correct"].detach(), 15 * torch.exp(-25 * away / sizes[5:]).sum() / 30
    )
    torch.testing.assert_close(
        terms["wrong"].detach(), 15 * torch.exp(5 * towards / sizes[:5]).sum() / 30
    )


def test_double_backward_is_the_authors_reverse_network() -> None:
    """The authors differentiate a second network with shared weights; value and gradient agree."""
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, 8)
    ours = deep_defense(net, images, labels, slack=math.inf)
    theirs = written_out(net, images, labels, by_reverse_network)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-10, atol=0)
    for one, other in zip(gradients(net, ours), gradients(net, theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("held", ["slopes", "logits", "iterates"])
def test_nothing_differentiable_is_detached(held: str) -> None:
    """Each of the three paths contributes to the gradient."""
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, 8)
    ours = torch.cat([g.flatten() for g in gradients(net, deep_defense(net, images, labels))])
    terms = written_out(net, images, labels, held=held)
    less = torch.cat([g.flatten() for g in gradients(net, terms)])
    assert float((less - ours).norm() / ours.norm()) > 1e-3


def test_with_fixed_perturbations_the_regulariser_trains_nothing() -> None:
    """A well-known replication did this: no weight can change such a loss."""
    net, (images, _) = small(), batch()
    terms = written_out(net, images, mixed(net, images), held="all", steps=1)
    assert not terms["correct"].requires_grad and not terms["wrong"].requires_grad


def test_the_weights_of_the_terms() -> None:
    """lam scales both terms; c and d each scale one. Distance raises the loss of wrong images and
    lowers that of correct ones.
    """
    net, (images, _) = small(), batch(30)
    labels = mixed(net, images, 5)
    one = deep_defense(net, images, labels)
    two = deep_defense(net, images, labels, lam=30.0)
    assert torch.equal(two["cross_entropy"], one["cross_entropy"])
    torch.testing.assert_close(two["correct"], 2 * one["correct"])
    torch.testing.assert_close(two["wrong"], 2 * one["wrong"])
    more_c, more_d = (deep_defense(net, images, labels, **{name: 50.0}) for name in "cd")
    assert more_c["correct"] < one["correct"] and torch.equal(more_c["wrong"], one["wrong"])
    assert more_d["wrong"] > one["wrong"] and torch.equal(more_d["correct"], one["correct"])


def test_a_batch_is_its_images_one_by_one() -> None:
    net, (images, _) = small(), batch()
    labels = mixed(net, images)
    whole = deep_defense(net, images, labels)
    parts = [deep_defense(net, images[i : i + 1], labels[i : i + 1]) for i in range(12)]
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(part[name] for part in parts) / 12)


def test_fewer_candidates_than_classes() -> None:
    """As for ImageNet: the perturbation to one class is no shorter than that to the nearest class.

    This holds for the first step; later steps differ.
    """
    net, (images, _) = small(), batch(40)
    labels = mixed(net, images, 0)
    every, one = (
        deep_defense(net, images, labels, steps=1, candidates=count)["correct"].item()
        for count in (None, 1)
    )
    assert one < every  # exp(-c rho) falls with rho
    assert deep_defense(net, images, labels, candidates=4)["correct"].item() == pytest.approx(
        deep_defense(net, images, labels)["correct"].item(), rel=1e-12
    )


def test_classes_passed_over_could_not_be_nearest() -> None:
    """With ten classes the default computes fewer gradients and chooses the same ones."""
    net = fc500_150_10(GreyLevels(torch.full((1, 28, 28), 30.0)), generator(0)).double()
    draw_normal(net.body, generator(1), (0.01, 0.06, 0.1))
    images, _ = batch(60, (1, 28, 28))
    labels = net(images).argmax(1)
    few, every = (deep_defense(net, images, labels, slack=slack) for slack in (1.7, math.inf))
    torch.testing.assert_close(few["correct"], every["correct"], rtol=1e-12, atol=0)


def check_difference(
    net: nn.Module, weights: list[nn.Parameter], loss: Callable[[], Tensor], step: float
) -> None:
    """Compare the slope along a random direction of the weights with a central difference.

    A kink (of a ReLU, a pooling, a choice of class) is met with a probability proportional to the
    step; the seeds here meet none.
    """
    directions = [
        torch.randn(p.shape, generator=generator(9, i), dtype=p.dtype) * p.detach().std()
        for i, p in enumerate(weights)
    ]
    value = loss()
    slopes = torch.autograd.grad(value, weights)
    slope = sum(float((g * v).sum()) for g, v in zip(slopes, directions, strict=True))
    ends = []
    for sign in (1, -2):
        with torch.no_grad():
            for p, v in zip(weights, directions, strict=True):
                p += sign * step * v
        ends.append(loss().item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-4)
    assert abs(slope) > 1e-4 * value.item()


def wide(make: Callable[..., Prepared], *args: Any, side: int, channels: int) -> Prepared:
    """Return a network of the paper with first weights so large that images lie between classes."""
    net = make(GreyLevels(torch.full((channels, side, side), 100.0)), generator(0), *args).double()
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    draw_normal(net, generator(1), [1.4 / math.sqrt(m.weight[0].numel()) for m in layers])
    with torch.no_grad():
        layers[0].weight /= 100
    return net


@pytest.mark.parametrize(
    ("make", "args", "side", "channels"),
    [
        pytest.param(fc500_150_10, (), 28, 1, id="mlp"),
        pytest.param(lenet, (), 28, 1, id="lenet"),
        pytest.param(convnet, (4,), 32, 3, id="convnet"),
        pytest.param(nin, (8,), 32, 3, id="nin"),
    ],
)
def test_the_gradient_against_finite_differences(
    make: Any, args: tuple[int, ...], side: int, channels: int
) -> None:
    """The papers' networks have correct and misclassified images in one batch.

    NIN has its dropout on. Its masks stay the same over the iterations; otherwise this would not be
    the slope of one function.
    """
    net = wide(make, *args, side=side, channels=channels)
    images, _ = batch(4, (channels, side, side))
    labels = mixed(net, images, 1)
    net.train()

    def loss() -> Tensor:
        terms = deep_defense(net, images, labels, generator=generator(5), c=5.0)
        return terms["correct"] + terms["wrong"]

    check_difference(net, list(net.parameters()), loss, 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("alexnet", 64), ("resnet18", 32)])
def test_torchvisions_networks(name: str, side: int) -> None:
    """In training mode AlexNet's dropouts keep their masks, and ResNet's batch norms do not
    change.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = getattr(torchvision.models, name)(weights=None).double()
    if name == "resnet18":
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_var.uniform_(0.5, 2, generator=generator(6))
                layer.running_mean.normal_(generator=generator(7))
    images, _ = batch(2, (3, side, side))
    net.eval()
    labels = net(images).argmax(1)
    labels[0] = 7
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()

    def loss() -> Tensor:
        terms = deep_defense(
            net, images, labels, steps=2, candidates=4, generator=generator(5), c=5.0
        )
        return terms["correct"] + terms["wrong"]

    loss()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    some = [p for p in net.parameters() if p.ndim == 4][:4]
    check_difference(net, some, loss, 1e-7)


class Noisy(nn.Module):
    """A network with two dropouts, one per channel, around a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.5), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 3))
        draw_normal(self, generator(0), (0.5, 0.5))
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(images))
        return logits


def test_an_image_keeps_its_masks() -> None:
    """It has the same masks in any later pass, order and batch size; other draws give other
    masks.
    """
    net, (images, _) = Noisy(), batch(6)
    with Frozen(net, generator(0)) as frozen:
        whole = frozen(images, torch.arange(6))
        order = torch.tensor([4, 0, 0, 3])
        torch.testing.assert_close(frozen(images[order], order), whole[order])
        assert not torch.equal(frozen(images[:1], torch.tensor([1])), whole[:1])
    with Frozen(net, generator(0)) as frozen:
        assert torch.equal(frozen(images, torch.arange(6)), whole)
    with Frozen(net, generator(1)) as frozen:
        assert not torch.equal(frozen(images, torch.arange(6)), whole)
    with Frozen(net.eval()) as frozen:
        assert torch.equal(frozen(images, torch.arange(6)), net(images))


class Twice(nn.Module):
    """One dropout at two places, with different shapes and with the same shape."""

    def __init__(self, dropout: nn.Module, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList([nn.Linear(*widths[:2]), nn.Linear(*widths[1:])]).double()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.layers[0](self.dropout(images.flatten(1)))
        return self.layers[1](self.dropout(torch.relu(hidden)))


@pytest.mark.parametrize("widths", [(16, 16, 3), (16, 8, 3)])
def test_a_dropout_that_is_called_twice_has_a_mask_at_each_place(
    widths: tuple[int, int, int],
) -> None:
    net, (images, labels) = Twice(nn.Dropout(0.5), widths).train(), batch(6, classes=3)
    apart = Twice(nn.Dropout(0.5), widths).train()
    apart.load_state_dict(net.state_dict())
    shared = []
    net.dropout.register_forward_hook(lambda layer, inputs, output: shared.append(output))
    with Frozen(net, generator(0)) as frozen:
        whole = frozen(torch.ones_like(images), torch.arange(6))
        order = torch.tensor([5, 1])
        torch.testing.assert_close(frozen(torch.ones_like(images)[order], order), whole[order])
    masks = list(frozen._masks.values())
    assert [mask.shape for mask in masks] == [(6, widths[0]), (6, widths[1])]
    assert widths[0] != widths[1] or not torch.equal(*masks)
    rows, fixed = (
        deep_defense(net, images, labels, generator=generator(0), form=form)
        for form in ("rows", "fixed")
    )
    close(gradients(net, fixed), gradients(net, rows), 1e-10)


def test_masks_are_dropouts() -> None:
    """They drop whole channels or single units, as often as p says, and keep the mean."""
    for layer, place in ((nn.Dropout2d(0.25), (0, 1)), (nn.Dropout(0.25), (0, 1, 2, 3))):
        ones = torch.ones(50, 20, 4, 4)
        with Frozen(layer, generator(0)) as frozen:
            out = frozen(ones, torch.arange(50))
        torch.testing.assert_close(out.unique(), torch.tensor([0, 1 / 0.75]))
        draws = out.amax([axis for axis in range(4) if axis not in place])
        # The mean of n draws exceeds four standard deviations by chance once in 16,000.
        deviation = math.sqrt(0.25 / 0.75 / draws.numel())
        assert abs(float(draws.mean()) - 1) < 4 * deviation
        if layer.__class__ is nn.Dropout2d:
            assert torch.equal(out, out[:, :, :1, :1].expand_as(out))


def test_a_dropout_of_all_units_gives_zeros() -> None:
    with Frozen(nn.Dropout(1.0), generator(0)) as frozen:
        assert torch.equal(frozen(torch.ones(2, 3)), torch.zeros(2, 3))


def test_a_subclass_of_dropout_drops_single_units() -> None:
    class Own(nn.Dropout):
        pass

    ones = torch.ones(4, 3, 5, 5)
    with Frozen(nn.Dropout(0.5), generator(0)) as usual, Frozen(Own(0.5), generator(0)) as own:
        assert torch.equal(own(ones), usual(ones))


def test_the_network_is_afterwards_as_it_was() -> None:
    """Modes, statistics, hooks and the global random numbers are restored, even if the loss
    fails.
    """
    net, (images, labels) = Noisy().train(), batch(6, classes=3)
    net.layers[1].eval()
    modes = [module.training for module in net.modules()]
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.get_rng_state()
    deep_defense(net, images, labels, generator=generator(0))
    with pytest.raises(RuntimeError, match="shape|size"):
        deep_defense(net, images[..., :3], labels, generator=generator(0))
    assert torch.equal(state, torch.get_rng_state())
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(kept[key], value) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["lam", "c", "d", "offset"])
def test_what_is_not_positive_is_refused(name: str, value: float) -> None:
    net, (images, labels) = small(), batch()
    message = f"{name} must be a finite number above 0, got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        deep_defense(net, images, labels, **{name: value})


@pytest.mark.parametrize(
    "layer",
    [
        nn.RReLU(),
        nn.AlphaDropout(),
        nn.FractionalMaxPool2d(2, 2),
        nn.LSTM(4, 4, 2, dropout=0.5),
        nn.MultiheadAttention(4, 2, dropout=0.1),
        nn.BatchNorm2d(3, track_running_stats=False).eval(),
        smoothed(nn.Flatten(), 0.5),
        noisy(nn.Conv2d(1, 1, 1)),
        noisy(nn.Conv2d(1, 1, 1)).net.noise,
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_cannot_be_frozen_is_refused(layer: nn.Module) -> None:
    """It would be another function at every iteration, so the gradient would be wrong."""
    images, labels = batch()
    name = type(layer).__name__
    with pytest.raises(
        ValueError, match=f"net must have layers that can be frozen .* got a {name}"
    ):
        deep_defense(nn.Sequential(nn.Flatten(), layer), images, labels)


def test_an_lstm_without_dropout_can_be_frozen() -> None:
    Frozen(nn.LSTM(4, 4))
    Frozen(nn.Sequential(nn.RReLU()).eval())


def test_dropout_needs_a_generator() -> None:
    images, labels = batch(6, classes=3)
    with pytest.raises(ValueError, match="generator must be a torch.Generator for a network with"):
        deep_defense(Noisy(), images, labels)


def test_empty_batches_and_no_candidates_are_refused() -> None:
    net, (images, labels) = small(), batch()
    with pytest.raises(ValueError, match="images must hold one image or more, got none"):
        deep_defense(net, images[:0], labels[:0])
    with pytest.raises(ValueError, match="candidates must be a whole number, 1 or more, got 0"):
        deep_defense(net, images, labels, candidates=0)


def test_a_negative_overshoot_and_labels_of_floats_are_refused() -> None:
    net, (images, labels) = small(), batch()
    with pytest.raises(ValueError, match="overshoot must be a finite number, 0 or above, got -1"):
        deep_defense(net, images, labels, overshoot=-1.0)
    with pytest.raises(ValueError, match="labels must be an int64 tensor of shape"):
        inspect.unwrap(deep_defense)(net, images, labels.float())


def test_divergence_names_the_term_and_the_batchs_rho() -> None:
    """exp(d rho) overflows if one wrong image is very far from its class."""
    net, (images, _) = small(), batch()
    labels = mixed(net, images)
    with pytest.raises(Diverged, match=r"wrong became inf: rho of the batch's 3 .* from .* to "):
        deep_defense(net, images, labels, d=1e6)
    with torch.no_grad():
        net.body.layers[0].weight[0, 0] = math.nan
    with pytest.raises(Diverged, match="cross_entropy became nan: rho of the batch's 12 images"):
        deep_defense(net, images, labels)


def test_another_form_is_refused() -> None:
    net, (images, labels) = small(), batch()
    known = "auto, rows, padded, fixed"
    with pytest.raises(ValueError, match=f"form must be one of {known}, got 'columns'"):
        inspect.unwrap(deep_defense)(net, images, labels, form="columns")


@pytest.mark.filterwarnings("ignore")  # torch's own, of its compiler
@pytest.mark.parametrize("form", ["rows", "fixed"])
def test_a_compiled_network(form: Any) -> None:
    """Compiled as a whole, in part or in place, it has the loss and gradients of the plain
    network.
    """
    net, (images, _) = small(), batch()
    labels = mixed(net, images)
    expected = gradients(net, deep_defense(net, images, labels, form=form))
    part = Prepared(net.preprocess, torch.compile(net.body, backend="aot_eager"))
    for compiled in (torch.compile(net, backend="aot_eager"), part):
        close(gradients(net, deep_defense(compiled, images, labels, form=form)), expected, 1e-12)
    net.body.compile(backend="aot_eager")
    close(gradients(net, deep_defense(net, images, labels, form=form)), expected, 1e-12)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_stays_compiled() -> None:
    """Modules that run uncompiled inside the loss are compiled again afterwards."""
    net, (images, labels) = nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).double(), batch()
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    deep_defense(compiled, images, labels)
    assert not graphs
    torch.testing.assert_close(compiled(images), net(images))
    assert len(graphs) == 1


def test_no_step_is_refused() -> None:
    net, (images, labels) = small(), batch()
    with pytest.raises(ValueError, match="steps must be a whole number, 1 or more, got 0"):
        inspect.unwrap(deep_defense)(net, images, labels, steps=0)
