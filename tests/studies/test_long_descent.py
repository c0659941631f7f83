"""One image and many steps of Adam: the hand-written gradient, and the end of a descent."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robustbook import ledger
from robustbook.networks import sigmoid_mlp
from robustbook.networks.mlp import MLP
from robustbook.randomness import generator
from robustbook.runs import Done
from robustbook.studies.parameters import BadParameter
from robustbook.studies.saturating import long_descent
from robustbook.studies.saturating.long_descent import Descent, descend, grid

DTYPES = [torch.float32, torch.float64]


def network(dtype: torch.dtype, scale: float = 1.0) -> MLP:
    """Return a 784-30-30-10 network with N(0, scale) weights, almost saturated like the paper's."""
    net = sigmoid_mlp(30)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(std=scale, generator=generator(3, str(tuple(p.shape))))
    return net.to(dtype).eval()


def image(dtype: torch.dtype) -> Tensor:
    return torch.rand(1, 28, 28, generator=generator(4)).to(dtype)


def far(net: MLP, x: Tensor) -> int:
    """Return the class with the lowest probability."""
    with torch.no_grad():
        return int(net(x[None]).argmin())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_is_autograds(dtype: torch.dtype) -> None:
    """A wrong sign or a missing layer would still move the image, but the attack would fail."""
    net, x = network(dtype, 0.3), image(dtype)
    descent = Descent(net, x, 7, 0.01)
    descent.propagate()
    leaf = x.clone().requires_grad_()
    logits = net(leaf[None])
    F.cross_entropy(logits, torch.tensor([7])).backward()
    assert leaf.grad is not None
    size = leaf.grad.abs().max()
    rounding = 20 * torch.finfo(dtype).eps
    assert (descent.gradient.view_as(x) - leaf.grad).abs().max() < rounding * size
    assert (descent.logits - logits[0]).abs().max() < rounding * logits.abs().max()


def test_the_steps_are_those_of_torchs_adam() -> None:
    """They agree in moments, bias correction and epsilon, which decides how far tiny gradients
    move.
    """
    net, x = network(torch.float64), image(torch.float64)
    target = far(net, x)
    leaf = x.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.01, foreach=False)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(net(leaf[None]), torch.tensor([target])).backward()
        optimizer.step()
    descent = Descent(net, x, target, 0.01)
    assert not descent.advance(20)
    moved = (descent.image.view_as(x) - x).abs().max()
    assert moved > 0.05
    assert (descent.image.view_as(x) - leaf.detach()).abs().max() < 1e-9 * moved


def test_a_descent_ends_at_the_first_image_that_is_called_the_target() -> None:
    """It ends at exactly this step, not at the next point of the trace."""
    net, x = network(torch.float64, 0.3), image(torch.float64)
    target = int(net(x[None]).topk(2).indices[0, 1])
    descent = Descent(net, x, target, 0.001)
    ended, trace = descend(descent, 1000)
    assert ended == "reached" and 5 < descent.taken < 1000
    assert trace[-1][0] == descent.taken and trace[0][:2] == [0, 0]
    assert int(net(descent.image.view(1, 1, 28, 28)).argmax()) == target
    before = Descent(net, x, target, 0.001)
    assert not before.advance(descent.taken - 1)
    assert int(net(before.image.view(1, 1, 28, 28)).argmax()) != target
    assert trace[-1][1] == pytest.approx((descent.image - descent.start).abs().mean().item())


def test_an_image_that_is_the_target_from_the_start_takes_no_step() -> None:
    net, x = network(torch.float32), image(torch.float32)
    answer = int(net(x[None]).argmax())
    ended, trace = descend(Descent(net, x, answer, 0.01), 100)
    assert ended == "reached" and trace[-1][:2] == [0, 0]


def test_nothing_moves_without_a_gradient() -> None:
    """Weights are so large that every slope is exactly zero in float32; the result says so."""
    net, x = network(torch.float32, 1e4), image(torch.float32)
    descent = Descent(net, x, far(net, x), 0.01)
    ended, trace = descend(descent, 10_000)
    assert ended == "still" and len(trace) == 1
    assert torch.equal(descent.image, descent.start)
    # A remaining momentum still moves the image.
    descent.first.fill_(1e-3)
    assert not descent.still


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_killed_descent_goes_on_to_the_bit_same_end(dtype: torch.dtype, tmp_path: Path) -> None:
    """Otherwise the result of an hour would depend on interruptions."""
    net, x = network(dtype), image(dtype)
    target = far(net, x)
    whole = Descent(net, x, target, 1e-4)
    ended, trace = descend(whole, 400)
    assert ended == "steps" and whole.taken == 400

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done >= 112:
            raise Killed

    file = tmp_path / "checkpoint.safetensors"
    first = Descent(net, x, target, 1e-4)
    with pytest.raises(Killed):
        descend(first, 400, checkpoint=file, every=0.0, progress=kill)
    again = Descent(net, x, target, 1e-4)
    assert descend(again, 400, checkpoint=file, every=0.0) == ("steps", trace)
    for name in ("image", "first", "second"):
        assert torch.equal(getattr(again, name), getattr(whole, name)), name
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path) -> None:
    """It must neither stop the run nor be deleted."""
    net, x = network(torch.float32), image(torch.float32)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(b"nonsense")
    descent = Descent(net, x, far(net, x), 1e-4)
    with pytest.warns(
        UserWarning, match="damaged .* set aside as checkpoint.safetensors.damaged-1"
    ):
        descend(descent, 5, checkpoint=file)
    assert (
        descent.taken == 5 and file.with_name(f"{file.name}.damaged-1").read_bytes() == b"nonsense"
    )


def test_the_trace_is_kept_at_logarithmic_points() -> None:
    """30 million steps have a hundred and fifty points, including the first and the last."""
    points = grid(30_000_000)
    assert points[:4] == [0, 1, 2, 3] and points[-1] == 30_000_000
    assert points == sorted(set(points)) and len(points) < 160
    assert grid(1) == [0, 1]
    net, x = network(torch.float32), image(torch.float32)
    _, trace = descend(Descent(net, x, far(net, x), 1e-5), 30)
    assert [line[0] for line in trace] == grid(30)


# The item.


def test_the_item_asks_for_both_sources_and_precisions() -> None:
    """It uses the saturated network of Table 1, with 30 million steps at paper and few at quick."""
    p = long_descent.Parameters(profile="paper")
    calls = long_descent.calls(p)
    assert set(calls) == {
        (rule, precision, 0) for rule in ("least", "most") for precision in ("float32", "float64")
    }
    for (rule, precision, _), call in calls.items():
        given = call.arguments
        assert (given["rule"], given["precision"]) == (rule, precision)
        assert (given["source"], given["target"], given["steps"]) == (3, 7, 30_000_000)
        training = given["network"].arguments["training"]
        assert (training.network, training.method) == ("sigmoid-mlp", "saturated")
    quick = long_descent.calls(long_descent.Parameters(profile="quick"))
    assert {call.arguments["steps"] for call in quick.values()} == {5000}


def test_a_target_equal_to_the_source_is_refused_before_any_work() -> None:
    p = long_descent.Parameters(profile="quick", source=7)
    with pytest.raises(BadParameter, match="target must be another class than source, got 7 for"):
        long_descent.calls(p)


def test_the_record_holds_each_end_and_the_traces_of_one_seed(tmp_path: Path) -> None:
    """The figure needs these; the record is small enough to commit."""
    p = long_descent.Parameters(profile="paper")
    trace = [[float(n), n / 3e8, 100.0 / (n + 1), 1e-12] for n in grid(30_000_000)]
    tensors = {"from": image(torch.float64).flatten(), "to": image(torch.float64).flatten() - 0.1}
    results: dict[Any, Done] = {
        key: Done(call, {"ended": "steps", "trace": trace}, tensors, 60.0, {})
        for key, call in long_descent.calls(p).items()
    }
    path = ledger.write_record(long_descent.condense(p, results), tmp_path)
    again = ledger.read_record(path)
    assert path.stat().st_size < 200_000
    ends = [row for row in again.rows if row.name == "iterations"]
    assert [row.value for row in ends] == [30_000_000] * 4
    assert {row.setting["ended"] for row in ends} == {"steps"}
    assert all(row.target is None for row in again.rows)
    assert len(again.arrays["most float64 moved"]) == len(grid(30_000_000))
    assert torch.tensor(again.arrays["least start"]).shape == (28, 28)
