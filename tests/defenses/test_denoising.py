"""Feature denoising: the block's formula, its filters against definitions, and its surgery."""

import math
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.defenses import Denoising, denoised
from robustbook.defenses.denoising import Bilateral, Kind, Mean, Median, NonLocalDot
from robustbook.networks import preact18, resnet18
from robustbook.randomness import generator

KINDS = get_args(Kind)
every = pytest.mark.parametrize("kind", KINDS)


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def block(kind: str, channels: int = 4, **options: bool) -> Any:
    return Denoising(channels, kind, generator(0), **options).double()


def large_weights(layer: Any) -> None:
    """The first weights of theta and phi are so small that all softmax weights are nearly equal."""
    for conv in (layer.theta, layer.phi):
        conv.weight.data.normal_(generator=generator(5))


@every
@pytest.mark.parametrize("make", [resnet18, preact18])
def test_a_new_block_changes_no_logit(kind: str, make: Any) -> None:
    """The batch norm's scale is 0, so the sum adds zeros: logits are the same to the last bit."""
    net = make(generator(0), 8).eval()
    images = torch.rand(3, 3, 32, 32, generator=generator(1))
    copy = denoised(net, kind, generator(2))
    assert torch.equal(copy(images), net(images))
    assert [name for name, _ in net.named_modules()] == [  # the given network is unchanged
        name for name, _ in make(generator(0), 8).named_modules()
    ]


@every
def test_the_first_gradient_reaches_the_norm_alone(kind: str) -> None:
    """W and the embedding are behind a scale of 0, so their first gradient is 0."""
    layer = block(kind).train()
    layer(maps(2, 4, 5, 5)).pow(3).sum().backward()
    for name, values in layer.named_parameters():
        assert values.grad is not None
        assert bool(values.grad.any()) == name.startswith("norm."), name


def test_resnet18_gains_the_parameters_of_w_theta_phi_and_norm() -> None:
    """A value projection would add another 348,160."""

    def count(kind: str) -> int:
        return sum(p.numel() for p in denoised(net, kind, generator(0)).parameters())

    net = resnet18(generator(0))
    plain = sum(p.numel() for p in net.parameters())
    squares = 64**2 + 128**2 + 256**2 + 512**2
    assert squares == 348_160
    for kind in KINDS:
        embedded = squares if kind in ("gaussian", "bilateral") else 0
        assert count(kind) - plain == 348_160 + embedded + 1_920


def test_the_gaussian_is_its_formula() -> None:
    """Loops over positions: exp(theta . phi / sqrt(C / 2)) over its sum, times x itself."""
    layer = block("gaussian", 6).filter
    large_weights(layer)
    x = maps(2, 6, 2, 3)
    columns = x.flatten(2)
    found = torch.zeros_like(columns)
    for n in range(2):
        for i in range(6):
            theta = layer.theta.weight[:, :, 0, 0] @ columns[n, :, i]
            scores = [
                torch.exp(theta @ (layer.phi.weight[:, :, 0, 0] @ columns[n, :, j]) / math.sqrt(3))
                for j in range(6)
            ]
            mixed = sum(score * columns[n, :, j] for j, score in enumerate(scores))
            found[n, :, i] = mixed / sum(scores)
    torch.testing.assert_close(layer(x), found.view_as(x))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 30, 4, 5), (2, 20, 4, 5)])
def test_the_linear_order_equals_the_quadratic_order(shape: tuple[int, ...]) -> None:
    """Both give the sum over j of (x_i . x_j) x_j / N, with fewer and with more channels than
    positions.
    """
    x = maps(*shape)
    scores = torch.einsum("nci,ncj->nij", x.flatten(2), x.flatten(2))
    quadratic = torch.einsum("nij,ncj->nci", scores, x.flatten(2)) / 20
    torch.testing.assert_close(NonLocalDot()(x), quadratic.view_as(x), rtol=1e-12, atol=1e-12)


def test_the_dot_product_grows_with_the_cube() -> None:
    """Its weights do not sum to 1; hence the paper's batch norm of scale 0 at the start."""
    x = maps(1, 3, 4, 4)
    torch.testing.assert_close(NonLocalDot()(2 * x), 8 * NonLocalDot()(x))


@pytest.mark.parametrize("kind", ["gaussian", "dot"])
def test_non_local_means_know_no_positions(kind: str) -> None:
    """Exchanging positions of the input exchanges positions of the output alike."""
    layer = block(kind).filter
    if kind == "gaussian":
        large_weights(layer)
    x = maps(2, 4, 3, 4)
    order = torch.randperm(12, generator=generator(7))
    mixed = x.flatten(2)[:, :, order].view_as(x)
    expected = layer(x).flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(layer(mixed), expected)


@pytest.mark.parametrize("kind", ["gaussian", "bilateral", "mean", "median"])
def test_averages_keep_a_constant_map(kind: str) -> None:
    """At the border too: no zeros from outside the feature map are averaged in."""
    layer = block(kind).filter
    x = maps(2, 4, 1, 1).expand(2, 4, 5, 3).contiguous()
    torch.testing.assert_close(layer(x), x)


def windows(x: Tensor, i: int, j: int) -> Tensor:
    """Return the values around position (i, j) that are inside the feature map."""
    return x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].flatten(2)


def test_the_mean_is_over_positions_inside() -> None:
    """Each position by hand, borders and corners too."""
    x = maps(2, 3, 4, 5)
    found = Mean()(x)
    for i in range(4):
        for j in range(5):
            torch.testing.assert_close(found[:, :, i, j], windows(x, i, j).mean(2))


def test_the_bilateral_filter_is_its_formula() -> None:
    """Each position by hand: the softmax is over the positions inside."""
    layer = Bilateral(4, generator(0)).double()
    large_weights(layer)
    x = maps(2, 4, 4, 5)
    theta, phi, found = layer.theta(x), layer.phi(x), layer(x)
    for i in range(4):
        for j in range(5):
            scores = (theta[:, :, i, j, None] * windows(phi, i, j)).sum(1) / math.sqrt(2)
            expected = (scores.softmax(1)[:, None] * windows(x, i, j)).sum(2)
            torch.testing.assert_close(found[:, :, i, j], expected)


@pytest.mark.parametrize("ties", [False, True])
def test_the_median_is_torchs(ties: bool) -> None:
    """Value and gradient; borders repeat the nearest pixel. With ties the gradient stays whole."""
    x = maps(2, 3, 5, 6)
    x = (x.round() if ties else x).requires_grad_()
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(4).values
    found = Median()(x)
    assert torch.equal(found, expected)
    weights = maps(2, 3, 5, 6, seed=9)
    ours, theirs = (
        torch.autograd.grad((y * weights).sum(), x, retain_graph=True)[0] for y in (found, expected)
    )
    if ties:
        torch.testing.assert_close(ours.sum(), weights.sum())
    else:
        torch.testing.assert_close(ours, theirs)


@every
def test_every_filter_runs_inside_the_inner_attack(kind: str) -> None:
    """The inner attack of adversarial training uses torch.func.grad; both gradients are equal."""
    layer = block(kind).eval()
    layer.norm.weight.data.fill_(0.7)
    x = maps(2, 4, 4, 4)
    found = torch.func.grad(lambda z: layer(z).pow(2).sum())(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(layer(leaf).pow(2).sum(), leaf)
    torch.testing.assert_close(found, expected)
    assert found.any()


def test_nothing_follows_the_sum() -> None:
    """The output is x + BN(W D(x)), also where it is negative."""
    layer = block("mean").train()
    layer.norm.weight.data.fill_(1.5)
    layer.norm.bias.data.fill_(-0.5)
    x = maps(3, 4, 5, 5)
    moved = torch.einsum("oc,nchw->nohw", layer.conv.weight[:, :, 0, 0], Mean()(x))
    mean, var = moved.mean((0, 2, 3)), moved.var((0, 2, 3), unbiased=False)
    scaled = (moved - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    out = layer(x)
    torch.testing.assert_close(out, x + 1.5 * scaled - 0.5)
    assert (out < 0).any()


def test_the_ablations_leave_out_one_part_each() -> None:
    """Without the convolution the filter's output is normalised; without the sum x is gone."""
    x = maps(3, 4, 5, 5)
    bare = block("mean", convolution=False)
    assert [name for name, _ in bare.named_parameters()] == ["norm.weight", "norm.bias"]
    alone = block("mean", residual=False).train()
    assert (alone.norm.weight == 1).all()
    torch.testing.assert_close(alone(x).mean((0, 2, 3)), torch.zeros(4, dtype=torch.float64))
    assert "without the residual sum" in repr(alone) and "without" not in repr(block("mean"))


def test_first_weights_are_the_papers() -> None:
    """theta and phi N(0, 0.01^2), W with variance 2 / C; all from the generator alone."""
    before = torch.get_rng_state()
    layer: Any = Denoising(256, "gaussian", generator(0))
    same: Any = Denoising(256, "gaussian", generator(0))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(layer.conv.weight, same.conv.weight)
    with torch.no_grad():
        assert layer.filter.theta.weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert layer.filter.phi.weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert layer.conv.weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.03)
    assert not torch.equal(layer.filter.theta.weight, layer.filter.phi.weight)


def test_blocks_stand_where_they_are_asked_for() -> None:
    """By default after each stage; the block is visible, and the layers keep their weights."""
    net = resnet18(generator(0), 8)
    found: Any = denoised(net, "median", generator(1), after=("stage2", "stage4"))
    places = [name for name, m in found.named_modules() if isinstance(m, Denoising)]
    assert places == ["stage2.denoising", "stage4.denoising"]
    assert repr(found).count("Median()") == 2
    state = net.state_dict()
    assert torch.equal(found.stage2.layers[0].conv1.weight, state["stage2.0.conv1.weight"])
    everywhere = denoised(net, "dot", generator(1))
    assert sum(isinstance(m, Denoising) for m in everywhere.modules()) == 4
    inner = denoised(net, "dot", generator(1), after=("stage1.0",))
    assert isinstance(inner.get_submodule("stage1.0.denoising"), Denoising)
    assert inner(torch.rand(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("names", [("stage1", "stage1.1"), ("stage1.1", "stage1")])
def test_nested_submodules_get_one_block_each(names: tuple[str, ...]) -> None:
    """The outer block also fits if the inner block ends with a convolution to half the channels."""
    net = resnet18(generator(0), 8)
    found = denoised(net, "gaussian", generator(1), after=names, convolution=False)
    blocks = [name for name, m in found.named_modules() if isinstance(m, Denoising)]
    assert blocks == ["stage1.layers.1.denoising", "stage1.denoising"]
    calls: list[nn.Module] = []
    for name in blocks:
        found.get_submodule(name).register_forward_hook(lambda m, *rest: calls.append(m))
    found(torch.rand(1, 3, 32, 32))
    assert calls == [found.get_submodule(name) for name in blocks]


def test_the_block_has_the_dtype_of_its_layers() -> None:
    found = denoised(resnet18(generator(0), 8).double(), "dot", generator(1), after=("stage4",))
    assert found(torch.rand(1, 3, 32, 32).double()).dtype == torch.float64


@pytest.mark.parametrize("kind", ["mean", "median", "bilateral"])
def test_feature_maps_smaller_than_the_filter_are_an_error(kind: str) -> None:
    """Images of 16 x 16 leave 2 x 2 positions after the fourth stage."""
    net = denoised(resnet18(generator(0), 8), kind, generator(1)).eval()
    sentence = "feature maps must have 3 x 3 positions or more for a filter over 3 x 3, got 2 x 2"
    with pytest.raises(ValueError, match=sentence):
        net(torch.rand(1, 3, 16, 16))
    wide = denoised(resnet18(generator(0), 8), "dot", generator(1)).eval()
    assert wide(torch.rand(1, 3, 16, 16)).shape == (1, 10)


def test_bad_input_is_refused_in_a_sentence() -> None:
    """Kinds, places and channels."""
    net = resnet18(generator(0), 8)
    g = generator(1)
    known = "gaussian, dot, bilateral, mean, median, null"
    with pytest.raises(ValueError, match=f"kind must be one of {known}, got 'max'"):
        denoised(net, "max", g)
    for name in ("stage9", ""):
        with pytest.raises(ValueError, match=f"after must name submodules of the .* got '{name}'"):
            denoised(net, "mean", g, after=(name,))
    with pytest.raises(ValueError, match="after must name submodules with convolutions, got 'rel"):
        denoised(net, "mean", g, after=("relu",))
    with pytest.raises(ValueError, match="after must name each submodule once, got stage1, stage1"):
        denoised(net, "mean", g, after=("stage1", "stage1"))
    with pytest.raises(ValueError, match="after must name submodules of Linear, got None"):
        denoised(nn.Linear(2, 2), "mean", g)
    with pytest.raises(ValueError, match="channels must be even, .* got 3"):
        Denoising(3, "gaussian", g)
    with pytest.raises(ValueError, match="feature maps must have 4 channels, got 3 in a denoising"):
        Denoising(4, "mean", g)(torch.zeros(1, 3, 4, 4))


def test_the_median_of_nan_is_nan() -> None:
    x = torch.full((1, 2, 4, 4), torch.nan)
    assert bool(Median()(x).isnan().all())
