"""The training loop compared with plain loops; interruptions, bad numbers and wrong checkpoints."""

import inspect
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustbook.defenses import adversarial_training
from robustbook.networks import MLP, initialise
from robustbook.randomness import generator
from robustbook.training import Diverged, Fitted, Objective, Recipe, fit, loop, state, steps

N, BATCH = 23, 4  # five batches per epoch; three images are left over
PER_EPOCH = N // BATCH
STEPS = 13  # the last epoch is incomplete


def network(seed: int = 0, hidden: int = 5) -> MLP:
    net = MLP((4, hidden, 3), torch.sigmoid)
    initialise(net, "normal", generator(seed, "weights"))
    return net


def normed(seed: int = 0) -> nn.Sequential:
    """Return a network with batch norms, whose running statistics are part of it."""
    first, last = network(seed).layers
    return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(5), nn.Sigmoid(), last)


def data() -> tuple[Tensor, Tensor]:
    images = torch.randint(256, (N, 1, 2, 2), generator=generator(1), dtype=torch.uint8)
    return images, torch.randint(3, (N,), generator=generator(2))


def plain(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return {"cross_entropy": F.cross_entropy(net(x), y)}


def penalised(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    logits = net(x)
    return {"cross_entropy": F.cross_entropy(logits, y), "penalty": c * logits.square().mean()}


def hardened(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return adversarial_training(net, x, y, eps=0.1)


def rising(step: int) -> float:
    return 0.01 * step


class Coefficient:
    """A function of the step. It is no attribute of the object, so a checkpoint does not name it,
    and a run that the function stops can resume with another function.
    """

    functions: ClassVar[dict[int, Callable[[int], float]]] = {}

    def __init__(self, function: Callable[[int], float] = rising) -> None:
        self.functions[id(self)] = function

    def __call__(self, step: int) -> float:
        return self.functions[id(self)](step)


class Shift(nn.Module):
    """A constant in a buffer, like a mean image."""

    by: Tensor

    def __init__(self, by: float) -> None:
        super().__init__()
        self.register_buffer("by", torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


def run(net: nn.Module, recipe: Recipe, objective: Objective = penalised, **options: Any) -> Fitted:
    options = {"coefficient": Coefficient(), "seed": 0, **options}
    return fit(net, *data(), objective, recipe, **options)


def weights(net: nn.Module) -> list[Tensor]:
    """Return weights and buffers."""
    return [p.detach().clone() for p in net.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


ADAM = Recipe(STEPS, BATCH, 0.05, schedule="linear", weight_decay=0.01)
SGD = Recipe(STEPS, BATCH, 0.2, "sgd", weight_decay=0.01)


def orders(seed: int) -> list[Tensor]:
    """Return the batches of the first epochs, by the rule in the docstring."""
    found: list[Tensor] = []
    for epoch in range(STEPS // PER_EPOCH + 1):
        order = torch.randperm(N, generator=generator(seed, "batches", epoch))
        found += [order[i * BATCH : (i + 1) * BATCH] for i in range(PER_EPOCH)]
    return found


# The mathematics.


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_is_its_recursion(momentum: float) -> None:
    """v = mu v + (g + wd w), w -= lr v.

    The model is linear least squares, with gradient 2 (w x + b - t) x / (3 n).
    """
    net = MLP((4, 3), torch.relu)
    initialise(net, "normal", generator(0))
    w, b = weights(net)
    images, labels = data()

    def squares(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {"squares": (net(x) - F.one_hot(y, 3)).square().mean()}

    recipe = Recipe(STEPS, BATCH, 0.2, "sgd", momentum=momentum, weight_decay=0.01)
    history = run(net, recipe, squares, seed=5).terms["squares"]

    vw, vb, losses = torch.zeros_like(w), torch.zeros_like(b), []
    for rows in orders(5)[:STEPS]:
        x, t = images[rows].flatten(1) / 255, F.one_hot(labels[rows], 3)
        error = x @ w.T + b - t
        losses.append(error.square().mean())
        vw = momentum * vw + 2 * error.T @ x / error.numel() + 0.01 * w
        vb = momentum * vb + 2 * error.sum(0) / error.numel() + 0.01 * b
        w, b = w - 0.2 * vw, b - 0.2 * vb
    torch.testing.assert_close(weights(net), [w, b], rtol=1e-5, atol=1e-6)
    epochs = [torch.stack(losses[i : i + PER_EPOCH]).mean() for i in range(0, STEPS, PER_EPOCH)]
    torch.testing.assert_close(history, torch.stack(epochs))


@pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
def test_the_loop_is_the_ten_line_loop(recipe: Recipe) -> None:
    """Batches, scaling, coefficient, schedule and optimiser agree bit by bit."""
    net, naive = network(), network()
    run(net, recipe, seed=5)

    images, labels = data()
    if recipe.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(
            naive.parameters(), weight_decay=0.01, fused=True
        )
    else:
        optimizer = torch.optim.SGD(naive.parameters(), momentum=0.9, weight_decay=0.01, fused=True)
    for step, rows in enumerate(orders(5)[:STEPS]):
        fraction = 1 - step / STEPS if recipe.schedule == "linear" else 1
        optimizer.param_groups[0]["lr"] = recipe.lr * fraction
        terms = penalised(naive, images[rows] / 255, labels[rows], torch.tensor(rising(step)))
        optimizer.zero_grad()
        sum(terms.values(), start=torch.zeros(())).backward()
        optimizer.step()
    assert same(weights(net), weights(naive))
    assert all(p.grad is None for p in net.parameters()) and not net.training


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_adam_is_its_recursion(epsilon: float) -> None:
    """Kingma & Ba 2015, Algorithm 1, with betas 0.9 and 0.999, in float64 by hand."""
    net, by_hand = network(), network().double()
    run(net, Recipe(STEPS, BATCH, 0.05, epsilon=epsilon), seed=5)
    images, labels = data()
    ws = list(by_hand.parameters())
    m, v = [torch.zeros_like(w) for w in ws], [torch.zeros_like(w) for w in ws]
    for step, rows in enumerate(orders(5)[:STEPS]):
        c = torch.tensor(rising(step))
        terms = penalised(by_hand, images[rows].double() / 255, labels[rows], c)
        gradients = torch.autograd.grad(terms["cross_entropy"] + terms["penalty"], ws)
        with torch.no_grad():
            for i, g in enumerate(gradients):
                m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
                first, second = m[i] / (1 - 0.9 ** (step + 1)), v[i] / (1 - 0.999 ** (step + 1))
                ws[i] -= 0.05 * first / (second.sqrt() + epsilon)
    for ours, w in zip(weights(net), ws, strict=True):
        torch.testing.assert_close(ours.double(), w.detach(), rtol=1e-3, atol=1e-4)


def test_each_epoch_is_a_permutation_of_its_own_or_the_set_as_it_lies() -> None:
    """No image occurs twice in an epoch, and the order differs between epochs and seeds.

    Without shuffling, the images keep their order.
    """
    seen: list[list[int]] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        seen.append((x.flatten(1)[:, 0] * 255).round().int().tolist())
        return plain(net, x, y, c)

    images = torch.arange(N, dtype=torch.uint8)[:, None, None, None].expand(N, 1, 2, 2)
    labels = torch.zeros(N, dtype=torch.int64)
    epochs = {}
    for seed in (0, 1):
        seen.clear()
        fit(network(), images, labels, note, Recipe(3 * PER_EPOCH, BATCH, 0.1), seed=seed)
        for e in range(3):
            batches = seen[e * PER_EPOCH : (e + 1) * PER_EPOCH]
            epochs[seed, e] = tuple(row for batch in batches for row in batch)
    assert all(len(set(rows)) == PER_EPOCH * BATCH for rows in epochs.values())
    assert len(set(epochs.values())) == 6
    seen.clear()
    recipe = Recipe(2 * PER_EPOCH, BATCH, 0.1)
    fit(network(), images, labels, note, recipe, seed=0, shuffle=False)
    whole = [list(range(i * BATCH, (i + 1) * BATCH)) for i in range(PER_EPOCH)]
    assert seen == 2 * whole


def test_the_linear_schedule_ends_at_zero() -> None:
    """The first step has the full rate; the step after the last would have rate 0."""
    recipe = Recipe(8, 1, 0.4, schedule="linear")
    assert [recipe.lr_at(step) for step in (0, 2, 4, 8)] == pytest.approx([0.4, 0.3, 0.2, 0.0])
    assert {Recipe(8, 1, 0.4).lr_at(step) for step in range(8)} == {0.4}


def test_the_coefficient_is_asked_once_before_each_step() -> None:
    """An annealed penalty may keep state, and step k must use the k-th value."""
    asked: list[int] = []
    met: list[float] = []

    def ask(step: int) -> float:
        asked.append(step)
        return rising(step)

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        met.append(c.item())
        return penalised(net, x, y, c)

    run(network(), ADAM, note, coefficient=ask)
    assert asked == list(range(STEPS))
    assert met == pytest.approx([rising(step) for step in range(STEPS)])


# Killed and resumed.


@pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
def test_a_run_stopped_at_any_step_ends_bit_the_same(recipe: Recipe, tmp_path: Path) -> None:
    """Weights and history agree after a stop in an epoch, at its end, before the first step, or
    twice.
    """
    expected = run(whole := network(), recipe).terms
    for n, stops in enumerate([(0,), (1,), (PER_EPOCH,), (7, 8), (STEPS - 1,)]):
        file = tmp_path / f"{n}.safetensors"
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                options: dict[str, Any] = {"checkpoint": file, "every": 0.0}
                run(network(), recipe, coefficient=interrupted(stop), **options)
            assert file.exists() is (stop > 0)
        terms = run(net := network(), recipe, checkpoint=file).terms
        assert same(weights(net), weights(whole))
        assert {k: v.tolist() for k, v in terms.items()} == {
            k: v.tolist() for k, v in expected.items()
        }


def interrupted(stop: int) -> Coefficient:
    def function(step: int) -> float:
        if step == stop:
            raise KeyboardInterrupt
        return rising(step)

    return Coefficient(function)


def test_a_finished_run_resumed_gives_the_same(tmp_path: Path) -> None:
    """A kill may happen between the last checkpoint and the storing of the result.

    Then no training is left, but weights and history must be restored.
    """
    file, first, again = tmp_path / "a.safetensors", network(), network()
    expected = run(first, ADAM, checkpoint=file).terms
    terms = run(again, ADAM, checkpoint=file).terms
    assert same(weights(first), weights(again))
    assert list(terms) == ["cross_entropy", "penalty"]
    assert all(torch.equal(values, expected[name]) for name, values in terms.items())


INSTANTS = ["in a step", "in a write", "before the flush", "before the rename", "after the rename"]


def killed(instant: str, at: int, file: Path) -> None:
    """Train in this process until the ``at``-th time at ``instant``, then kill it."""
    counts = iter(range(1, 1000))

    def perhaps(*args: Any, **kwargs: Any) -> None:
        if next(counts) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any], *, first: bool) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if first:
                perhaps()
            result = function(*args, **kwargs)
            if not first:
                perhaps()
            return result

        return wrapped

    def torn(path: Path, data: bytes) -> None:
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data[: len(data) // 2])
        perhaps()
        part.unlink()
        whole(path, data)

    whole = state.write_whole
    coefficient = Coefficient()
    if instant == "in a step":
        coefficient = Coefficient(around(rising, first=False))
    elif instant == "in a write":
        state.write_whole = torn
    elif instant == "before the flush":
        os.fsync = around(os.fsync, first=True)
    else:
        Path.replace = around(Path.replace, first=instant == "before the rename")  # type: ignore[method-assign]
    run(normed(), ADAM, coefficient=coefficient, checkpoint=file, every=0.0)


def killed_everywhere(folder: Path) -> None:
    """Kill forked copies at each instant, twice, in a process without threads."""
    torch.set_num_threads(1)
    torch.optim.Adam(network().parameters())  # imports a lot, so it runs once and not in each fork
    for instant in INSTANTS:
        for at in (3, 5):
            if (pid := os.fork()) == 0:
                killed(instant, at, folder / instant)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, instant


@pytest.mark.slow
def test_a_run_killed_at_any_instant_ends_bit_the_same(tmp_path: Path) -> None:
    """After a real SIGKILL, the disk has a complete checkpoint or none."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["robustbook.runs", "pytest"])
    process = context.Process(target=killed_everywhere, args=(tmp_path,))
    process.start()
    expected = run(whole := normed(), ADAM).terms
    process.join(120)
    assert process.exitcode == 0
    for instant in INSTANTS:
        terms = run(net := normed(), ADAM, checkpoint=tmp_path / instant).terms
        assert same(weights(net), weights(whole)), instant
        assert all(torch.equal(values, expected[name]) for name, values in terms.items()), instant


def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path) -> None:
    """A damaged file costs the training time so far, but must not stop the run.

    Otherwise a study could not continue until someone found the file.
    """
    file = tmp_path / "checkpoint.safetensors"
    whole, other = network(), network()
    run(whole, Recipe(steps=9, batch_size=4, lr=0.1), checkpoint=file)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.warns(UserWarning, match="damaged"):
        run(other, Recipe(steps=9, batch_size=4, lr=0.1), checkpoint=file)
    assert same(weights(whole), weights(other))
    assert (tmp_path / "checkpoint.safetensors.damaged-1").exists()


@pytest.mark.parametrize(
    ("hidden", "recipe"),
    [(6, ADAM), (5, SGD), (5, Recipe(STEPS + 1, BATCH, 0.05))],
    ids=["architecture", "optimizer", "steps"],
)
def test_a_foreign_checkpoint_is_refused(hidden: int, recipe: Recipe, tmp_path: Path) -> None:
    """Continuing from it would give a network that no recipe describes."""
    file = tmp_path / "a.safetensors"
    run(network(), ADAM, checkpoint=file)
    before = weights(net := network(hidden=hidden))
    with pytest.raises(ValueError, match=r"a\.safetensors is of another network or recipe"):
        run(net, recipe, checkpoint=file)
    assert same(weights(net), before)


# Bad numbers.


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_bad_number_stops_the_run_where_it_arose(value: float, tmp_path: Path) -> None:
    """The error has step, term and value; the last good checkpoint can be continued to the right
    end.
    """
    file, whole, net = tmp_path / "a.safetensors", network(), network()
    run(whole, ADAM)

    def bad(step: int) -> float:
        return value if step == 7 else rising(step)

    with pytest.raises(Diverged, match=rf"penalty became -?{abs(value)} at step 7; .*checkpoint"):
        run(network(), ADAM, coefficient=Coefficient(bad), checkpoint=file, every=0.0)
    run(net, ADAM, checkpoint=file)
    assert same(weights(net), weights(whole))


@pytest.mark.parametrize("every", [2, 50])
def test_a_bad_number_between_two_checks_stops_the_run(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gradient is finite, so no later term shows it; only the sum of the epoch does."""
    monkeypatch.setattr(loop, "_LOOK_EVERY", {"cpu": every})

    def endless(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {**plain(net, x, y, c), "constant": c + 0 * net(x).mean()}

    bad = Coefficient(lambda step: torch.inf if step == 6 else 0.0)
    with pytest.raises(Diverged, match="constant became inf at step (7|9)"):
        run(network(), ADAM, endless, coefficient=bad)


def test_a_bad_gradient_stops_the_run_although_the_loss_is_finite(tmp_path: Path) -> None:
    """sqrt has value 0 and an infinite slope at 0, so weights become invalid before any term does.

    Such weights must become neither the checkpoint nor the result.
    """

    def kinked(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {**plain(net, x, y, c), "kink": (c * net(x)).abs().sqrt().sum()}

    def zero_once(step: int) -> float:
        return 0.0 if step == 6 else 1.0

    def one(step: int) -> float:
        return 1.0

    file = tmp_path / "a.safetensors"
    with pytest.raises(Diverged, match=r"weight layers.* became NaN or infinite at step 6"):
        run(
            network(),
            ADAM,
            kinked,
            coefficient=Coefficient(zero_once),
            checkpoint=file,
            every=0.0,
        )
    run(net := network(), ADAM, kinked, coefficient=Coefficient(one), checkpoint=file)
    run(whole := network(), ADAM, kinked, coefficient=one)
    assert same(weights(net), weights(whole))
    with pytest.raises(Diverged, match="at step 0"):
        run(network(), Recipe(1, BATCH, 0.1), kinked, coefficient=lambda step: 0.0)


def test_large_but_finite_terms_are_no_divergence() -> None:
    """Their sum overflows, but each term is finite."""

    def large(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {name: 3e38 + 0 * net(x).mean() for name in ("one", "other")}

    terms = run(network(), Recipe(1, BATCH, 0.1), large).terms
    assert terms["one"].isfinite().all()


# Side effects.


def flushes() -> bool:
    return (torch.tensor([1e-40]) * 0.5).item() == 0


def test_denormal_numbers_are_flushed_in_training_and_not_after() -> None:
    """The setting belongs to the whole thread and would change every later measurement."""
    inside: list[bool] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        inside.append(flushes())
        return plain(net, x, y, c)

    assert not flushes()
    run(network(), ADAM, note)
    assert inside == [True] * STEPS and not flushes()
    with pytest.raises(KeyboardInterrupt):
        run(network(), ADAM, note, coefficient=interrupted(2))
    assert not flushes()


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    """The global stream, the data and the folder are unchanged, except for the checkpoint."""
    images, labels = data()
    state = torch.get_rng_state()
    fit(
        network(),
        images,
        labels,
        plain,
        ADAM,
        seed=0,
        checkpoint=tmp_path / "a.safetensors",
        every=0.0,
    )
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, data()[0]) and torch.equal(labels, data()[1])
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
        ({"steps": "4"}, "steps must be a whole number, 1 or more, got '4'"),
        ({"steps": True}, "steps must be a whole number, 1 or more, got True"),
        ({"batch_size": -1}, "batch_size must be a whole number, 1 or more, got -1"),
        ({"lr": float("nan")}, "lr must be a finite number above 0, got nan"),
        ({"lr": float("inf")}, "lr must be a finite number above 0, got inf"),
        ({"lr": "0.1"}, "lr must be a finite number above 0, got '0.1'"),
        ({"epsilon": 0.0}, "epsilon must be a finite number above 0, got 0.0"),
        ({"optimizer": "rmsprop"}, "optimizer must be adam or sgd, got 'rmsprop'"),
        ({"schedule": "cosine"}, "schedule must be constant, linear or pairs .*, got 'cosine'"),
    ],
)
def test_a_bad_recipe_is_refused(change: dict[str, Any], message: str) -> None:
    """One sentence has argument, value and what is valid; called past the type hook."""
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Recipe.__init__)(
            object.__new__(Recipe), **{"steps": 1, "batch_size": 1, "lr": 0.1, **change}
        )


def test_bad_arguments_are_refused_before_any_work() -> None:
    """Batches are larger than the set, rates name no parameter, or a dtype is wrong."""
    with pytest.raises(ValueError, match="batch_size must be at most 23 images, got 24"):
        run(network(), Recipe(1, N + 1, 0.1))
    with pytest.raises(ValueError, match=r"rates must name parameters .*, got 'bias'"):
        run(network(), ADAM, rates={"bias": 2.0})
    images, labels = data()
    bare = inspect.unwrap(fit)
    for net, given in (
        (network().double(), images),
        (network(), images / torch.tensor(255.0).double()),
    ):
        with pytest.raises(ValueError, match="net must have the dtype of the batches, torch.f"):
            bare(net, given, labels, plain, ADAM, seed=0)
    with pytest.raises(ValueError, match="labels must be int64 numbers or .*, got torch.int32"):
        bare(network(), images, labels.int(), plain, ADAM, seed=0)


def probabilities(*first: float) -> Tensor:
    """Return the probabilities of three classes for each image; the first row is given."""
    found = torch.full((N, 3), 1 / 3)
    found[0] = torch.tensor(first)
    return found


CLASSES = data()[1]
BAD_DATA: list[tuple[dict[str, Any], str]] = [
    ({"images": data()[0] > 9}, r"images must be uint8 or float, got torch\.bool"),
    ({"images": data()[0].long()}, r"images must be uint8 or float, got torch\.int64"),
    ({"images": data()[0].numpy()}, "images must be a tensor or a set .*, got ndarray"),
    ({"images": list(data()[0])}, "images must be a tensor or a set .*, got list"),
    ({"images": None}, "images must be a tensor or a set .*, got NoneType"),
    ({"labels": CLASSES.numpy()}, "labels must be a tensor, got ndarray"),
    ({"labels": CLASSES.tolist()}, "labels must be a tensor, got list"),
    ({"labels": CLASSES[:, None]}, r"labels must be int64 .*, got torch\.int64 of shape \(23, 1\)"),
    ({"labels": CLASSES / 9}, r"labels must be .*, got torch\.float32 of shape \(23,\)"),
    ({"labels": CLASSES - 100}, "labels must be class numbers from 0 up, got -100"),
    ({"labels": CLASSES + 9}, "labels must be class numbers below the number of logits.*, got"),
    ({"labels": probabilities(0.5, 0.5, 0.5)}, r"labels must be probabilities.* in row 0"),
    ({"labels": probabilities(1.5, -0.5, 0.0)}, r"labels must be probabilities.* in row 0"),
    ({"labels": probabilities(math.nan, 0.0, 1.0)}, r"labels must be probabilities.* in row 0"),
    ({"coefficient": 1.0}, "coefficient must be a function of the step, got 1.0"),
    ({"device": "foo"}, "device must be .*, got 'foo'"),
    ({"checkpoint": Path(__file__).parent}, "checkpoint must be a file, got the folder .*training"),
    ({"objective": lambda net, x, y, c: net(x).sum()}, "objective must return a dict.*got Tensor"),
    ({"objective": lambda net, x, y, c: None}, "objective must return a dict.*got NoneType"),
    ({"objective": lambda net, x, y, c: {}}, "objective must return a dict.*got an empty dict"),
    ({"objective": lambda net, x, y, c: {"a": 1.0}}, "objective must .* got a of type float"),
]


@pytest.mark.parametrize(("change", "message"), BAD_DATA)
def test_what_cannot_be_trained_is_refused(change: dict[str, Any], message: str) -> None:
    """Images that are neither bytes nor floats would be scaled wrongly, and a label of -100 would
    leave out its image without a word.
    """
    images, labels = data()
    given = {"images": images, "labels": labels, "objective": plain, "recipe": ADAM, **change}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(fit)(network(), seed=0, **given)


def test_rounded_probabilities_are_accepted() -> None:
    """A softmax in lower precision has sums that differ from 1."""
    images, labels = data()
    given = (10 * F.one_hot(labels, 3).float()).bfloat16().softmax(1).float()
    fit(network(), images, given, plain, ADAM, seed=0)


def stopped(error: type[BaseException]) -> Objective:
    """Return an objective that raises an error in the third step."""
    steps: list[int] = []

    def failing(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        steps.append(0)
        if len(steps) == 3:
            raise error
        return plain(net, x, y, c)

    return failing


STOPS: dict[str, dict[str, Any]] = {
    "another run's checkpoint": {"seed": 1},
    "rates": {"rates": {"bias": 2.0}},
    "labels": {"labels": CLASSES + 9},
    "divergence": {"coefficient": Coefficient(lambda step: math.nan), "objective": penalised},
    "error": {"objective": stopped(RuntimeError)},
    "Ctrl-C": {"objective": stopped(KeyboardInterrupt)},
}


@pytest.mark.parametrize("stop", STOPS)
def test_after_an_error_each_module_has_its_former_mode(stop: str, tmp_path: Path) -> None:
    """Otherwise a user who catches the error would attack a network with dropout."""
    images, labels = data()
    given = {"images": images, "labels": labels, "objective": plain, "recipe": ADAM, "seed": 0}
    given["checkpoint"] = tmp_path / "a"
    if "seed" in STOPS[stop]:
        fit(nn.Sequential(network(), nn.Dropout(0.1)), **given)
    net = nn.Sequential(network(), nn.Dropout(0.1)).eval()
    net[1].train()
    modes = [module.training for module in net.modules()]
    with pytest.raises((ValueError, Diverged, RuntimeError, KeyboardInterrupt)):
        fit(net, **{**given, **STOPS[stop]})
    assert [module.training for module in net.modules()] == modes
    assert all(p.grad is None for p in net.parameters())


def test_a_loss_of_each_image_is_refused() -> None:
    """Its sum would be minimised in place of its mean."""

    def each(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        return {"entropy": F.cross_entropy(net(x), y, reduction="none")}

    with pytest.raises(ValueError, match=r"objective must .* got entropy of shape \(4,\)"):
        run(network(), ADAM, inspect.unwrap(each))


def test_the_folder_of_a_checkpoint_is_made(tmp_path: Path) -> None:
    """A name may also be a string."""
    file = tmp_path / "new" / "folder" / "a.safetensors"
    run(network(), ADAM, checkpoint=str(file))
    assert file.exists()


# Options of a step.


def dropped(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
    return plain(net, F.dropout(x, 0.5), y, c)


def test_what_a_step_draws_is_drawn_anew_in_a_resumed_run(tmp_path: Path) -> None:
    """Dropout and mirroring are not stored, so they must follow from (seed, step).

    They must differ from step to step; otherwise half of each image would never be used.
    """
    whole = network()
    expected = run(whole, SGD, dropped, static=False).terms
    file = tmp_path / "a.safetensors"
    options: dict[str, Any] = {"static": False, "checkpoint": file, "every": 0.0}
    stream = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        run(network(), SGD, dropped, coefficient=interrupted(7), **options)
    resumed = network()
    terms = run(resumed, SGD, dropped, **options).terms
    assert torch.equal(stream, torch.get_rng_state())
    assert same(weights(resumed), weights(whole))
    assert torch.equal(terms["cross_entropy"], expected["cross_entropy"])

    masks: list[Tensor] = []

    def note(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        masks.append(torch.rand(8))
        return plain(net, x, y, c)

    run(network(), SGD, note, static=False)
    assert len(torch.stack(masks).unique(dim=0)) == STEPS


def test_rates_scale_the_steps_of_single_parameters() -> None:
    """Without momentum a step is lr times rate times the gradient, as MatConvNet's multipliers."""
    recipe = Recipe(1, BATCH, 0.1, "sgd", momentum=0.0)
    start, usual, scaled = network(), network(), network()
    run(usual, recipe)
    run(scaled, recipe, rates={"layers.0.weight": 0.0, "layers.1.bias": 2.0})
    for name, first in start.named_parameters():
        factor = {"layers.0.weight": 0.0, "layers.1.bias": 2.0}.get(name, 1.0)
        moved = usual.get_parameter(name) - first
        torch.testing.assert_close(scaled.get_parameter(name) - first, factor * moved)


def test_stairs_hold_from_their_step_on() -> None:
    """The released code of Deep Defense halves the rate before the last epoch."""
    recipe = Recipe(5, BATCH, 0.4, schedule=((2, 0.5), (4, 0.1)))
    assert [recipe.lr_at(step) for step in range(5)] == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.04])


def test_stairs_survive_a_checkpoint(tmp_path: Path) -> None:
    """JSON turns tuples into lists, but the run must recognise its own recipe."""
    recipe = Recipe(STEPS, BATCH, 0.4, "sgd", schedule=((5, 0.5),))
    file = tmp_path / "a.safetensors"
    terms = run(network(), recipe, checkpoint=file).terms
    again = run(network(), recipe, checkpoint=file).terms
    assert all(torch.equal(values, again[name]) for name, values in terms.items())


def test_numbers_are_taken_as_they_are_and_bytes_are_scaled() -> None:
    """Preprocessed images are not bytes; and a set may be read batch by batch."""

    class Read:
        def __len__(self) -> int:
            return N

        def __getitem__(self, rows: Tensor) -> Tensor:
            return images[rows]

    images, labels = data()
    nets = [network() for _ in range(3)]
    for net, given in zip(nets, (images, images.float() / 255, Read()), strict=True):
        fit(net, given, labels, plain, SGD, seed=0)
    assert same(weights(nets[0]), weights(nets[1])) and same(weights(nets[0]), weights(nets[2]))


def test_weights_are_retracted_after_every_step_and_seen_after_every_epoch() -> None:
    """A projection before the step, or not after the last one, would not hold at the end."""
    seen: dict[int, Tensor] = {}

    def clip(weights: Mapping[str, Tensor]) -> None:
        weights["layers.0.weight"].clamp_(-0.1, 0.1)

    def look(epoch: int, weights: Mapping[str, Tensor]) -> None:
        seen[epoch] = weights["layers.0.weight"].abs().max()

    net = network()
    recipe = Recipe(2 * PER_EPOCH, BATCH, 1.0, "sgd")
    run(net, recipe, retract=clip, each_epoch=look)
    assert net.layers[0].weight.abs().max().item() == pytest.approx(0.1)
    assert list(seen) == [1, 2] and all(size.item() == pytest.approx(0.1) for size in seen.values())


def test_a_loss_that_refuses_its_numbers_is_located() -> None:
    """The error has the step, which the loss itself does not know."""
    counts = iter(range(STEPS))

    def refusing(net: nn.Module, x: Tensor, y: Tensor, c: Tensor) -> Mapping[str, Tensor]:
        if next(counts) == 3:
            raise Diverged("wrong became nan")
        return plain(net, x, y, c)

    with pytest.raises(Diverged, match="at step 3, wrong became nan; the last good checkpoint"):
        run(network(), ADAM, refusing)


def test_constant_buffers_are_left_alone() -> None:
    """A mean image is not a weight, so the network trains as if the mean were outside."""
    images, labels = data()
    inside, outside = nn.Sequential(Shift(0.25), network()), network()
    fit(inside, images, labels, plain, SGD, seed=0)
    fit(outside, images.float() / 255 + 0.25, labels, plain, SGD, seed=0)
    assert same(weights(inside[1]), weights(outside))


# On a GPU.


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True")
@pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("objective", [penalised, hardened])
def test_the_graph_is_the_plain_step(
    objective: Objective,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Replaying a captured step trains like running it, with a rate and a coefficient that change.

    This also holds after a checkpoint.
    """
    graphed = network()
    terms = run(graphed, recipe, objective, device="cuda").terms
    file = tmp_path / "a.safetensors"
    for stop in (7, None):
        resumed = network()
        options: dict[str, Any] = {"device": "cuda", "checkpoint": file, "every": 0.0}
        if stop is None:
            run(resumed, recipe, objective, **options)
        else:
            with pytest.raises(KeyboardInterrupt):
                coefficient = interrupted(stop)
                run(resumed, recipe, objective, coefficient=coefficient, **options)
    monkeypatch.setattr(loop, "graphed", lambda goal, state, *_: steps.plain(goal, state))
    direct = network()
    expected = run(direct, recipe, objective, device="cuda").terms
    torch.testing.assert_close(weights(graphed), weights(direct), rtol=1e-4, atol=1e-5)
    assert same(weights(graphed), weights(resumed))
    for name, values in terms.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)
