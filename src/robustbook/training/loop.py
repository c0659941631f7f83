"""The one training loop: networks and a recipe in, weights and each loss term's history out.

- An *objective* maps (network, images, labels, coefficient) to named loss terms; their sum is
  minimised.
- ``coefficient(step)`` is asked before every step: an annealed penalty weight is a function of the
  step.
- Batches are permutations of the training set, one per epoch, drawn from (seed, epoch) alone, or
  the set as it lies; what is drawn inside a step is drawn from (seed, step). So the state of a run
  is its weights, its optimiser and its step number: a run killed at any instant goes on from the
  last checkpoint to the bit-same end.
- Networks of one shape can be trained side by side as a batch axis (``torch.func``): the same
  result as one by one up to rounding, faster where small kernels leave a device idle. On a GPU the
  step is replayed as a CUDA graph.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from robustbook.randomness import generator

from .recipe import Recipe
from .state import Diverged, State
from .steps import Lift, Objective, Step, graphed, plain


@dataclass(frozen=True)
class Fitted:
    """``terms[name]`` is each loss term's mean over each epoch, one column per network; ``seconds``
    is the time spent, over all sessions of a resumed run."""

    terms: dict[str, Float[Tensor, "epochs networks"]]
    seconds: float


@runtime_checkable
class Images(Protocol):
    """A set too large to be held: batches are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Int[Tensor, "..."]) -> Tensor: ...


def fit(
    networks: Sequence[nn.Module],
    images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"] | Images,
    labels: Int[Tensor, " n"],
    objective: Objective,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    coefficient: Callable[[int], float] = lambda step: 0.0,
    rates: Mapping[str, float] | None = None,
    retract: Callable[[Mapping[str, Tensor]], None] | None = None,
    each_epoch: Callable[[int, Mapping[str, Tensor]], None] | None = None,
    shuffle: bool = True,
    static: bool = True,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    every: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train ``networks`` in place, the i-th on batches in the order of ``seeds[i]``.

    images: bytes, which become [0, 1] batch by batch on ``device``, or numbers, taken as they are.
    rates: what the learning rate of a parameter of this name is multiplied by; 1 for the others.
    retract: changes the weights of this name in place after each step, to bring them back to a set
        or nearer to it.
    each_epoch: given the number of epochs done and the weights after each whole epoch, again for
        one that a resumed run repeats.
    shuffle: whether each epoch has an order of its own. False: batches are the images as they lie.
    static: whether a step does the same operations whatever the batch, and draws nothing. False for
        objectives with dropout, flips or a search in them, and for a ``retract`` that draws: then
        torch's own generator is seeded by (seed, step) for each step and put back at the end, only
        one network is accepted, and a GPU runs the step as it comes.
    checkpoint: a file written about every ``every`` seconds; where it exists the run goes on from
        it.
    progress: called with (steps done, steps) about once a second.

    Raises ``Diverged`` with the step, the term and its value.

    Numbers below 1.2e-38 are flushed to zero while training on a CPU: saturated networks have such
    gradients, and arithmetic with them is up to four times slower. The setting is off again when
    this returns.
    """
    if len(networks) != len(seeds) or not networks:
        raise ValueError(
            f"seeds must name one seed per network, got {len(seeds)} for {len(networks)}"
        )
    if len(networks) > 1 and not static:
        raise ValueError(f"networks must be one where static is False, got {len(networks)}")
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most {len(images)} images, got {recipe.batch_size}"
        )
    for net in networks:
        net.to(device).train()
    if isinstance(images, Tensor):
        images = images.to(device)
    labels = labels.to(device)
    lift = Lift(networks[0], objective)
    state = State(networks, recipe, rates or {})
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint)
    batches = _Batches(images, labels, recipe.batch_size, seeds, shuffle)
    graph = static and torch.device(device).type == "cuda"
    if state.step == recipe.steps:  # nothing left to do, but the terms' names are to be known
        with _seeded(seeds[0], state.step, static, device):
            lift(*batches.at(0, few=1), torch.tensor(0.0))
    elif graph:
        compute = graphed(lift, state, len(networks), *batches.at(state.step))
    else:
        compute = plain(lift, state, len(networks))
    look = 50 if graph else 1  # looking at a number on the host makes a GPU wait
    began = saved = told = time.monotonic()
    with _flushed_denormals():
        while state.step < recipe.steps:
            with _seeded(seeds[0], state.step, static, device):
                values = _located(
                    state.step,
                    compute,
                    *batches.at(state.step),
                    coefficient(state.step),
                    recipe.lr_at(state.step),
                )
                if retract is not None:
                    with torch.no_grad():
                        retract(state.weights)
            state.running = state.running + values
            state.step += 1
            if state.step % look == 0 or state.step == recipe.steps:
                _refuse_nonfinite(state, values, lift.names)
            if state.step % batches.per_epoch == 0 or state.step == recipe.steps:
                state.history.append(state.running / ((state.step - 1) % batches.per_epoch + 1))
                state.running = torch.zeros_like(state.running)
            if each_epoch is not None and state.step % batches.per_epoch == 0:
                _refuse_nonfinite(state, values, lift.names)
                each_epoch(
                    state.step // batches.per_epoch,
                    {name: p.detach() for name, p in state.weights.items()},
                )
            now = time.monotonic()
            if progress is not None and now - told > 1:
                told = now
                progress(state.step, recipe.steps)
            if checkpoint is not None and now - saved > every:
                _refuse_nonfinite(state, values, lift.names)
                state.refuse_nonfinite()
                state.save(checkpoint, now - began)
                saved = now
    seconds = state.seconds + time.monotonic() - began
    state.refuse_nonfinite()
    if checkpoint is not None:
        state.save(checkpoint, time.monotonic() - began)
    state.unstack(networks)
    for net in networks:
        net.eval()
    history = torch.stack(state.history).cpu()  # (epochs, terms, networks)
    return Fitted({name: history[:, i] for i, name in enumerate(lift.names)}, seconds)


@dataclass
class _Batches:
    """What each network sees at a step; a pure function of (seed, step)."""

    images: Tensor | Images
    labels: Tensor
    batch_size: int
    seeds: Sequence[int]
    shuffle: bool
    epoch: int = -1

    @property
    def per_epoch(self) -> int:
        return len(self.labels) // self.batch_size

    def at(self, step: int, few: int | None = None) -> tuple[Tensor, Tensor]:
        """Images and labels; with ``few`` only so many, of the first network."""
        rows = self._rows(step)
        rows = rows if few is None else rows.reshape(-1)[:few]
        batch = self.images[rows].to(self.labels.device)
        return batch if batch.is_floating_point() else batch.float() / 255, self.labels[rows]

    def _rows(self, step: int) -> Int[Tensor, "..."]:
        epoch, batch = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch = epoch
            orders = [self._order(seed, epoch) for seed in self.seeds]
            self.orders = torch.stack(orders).to(self.labels.device)
        rows = self.orders[:, batch * self.batch_size : (batch + 1) * self.batch_size]
        return rows[0] if len(self.seeds) == 1 else rows

    def _order(self, seed: int, epoch: int) -> Int[Tensor, " n"]:
        if not self.shuffle:
            return torch.arange(len(self.labels))
        return torch.randperm(len(self.labels), generator=generator(seed, "batches", epoch))


@contextlib.contextmanager
def _seeded(seed: int, step: int, static: bool, device: str | torch.device) -> Iterator[None]:
    """For one step torch's own generator is that of (seed, step), unless nothing is drawn."""
    if static:
        yield
        return
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(generator(seed, "step", step).initial_seed())
        yield


def _located(step: int, compute: Step, *arguments: Any) -> Tensor:
    """The step's values; a loss that refuses its own numbers does not know which step it is."""
    try:
        return compute(*arguments)
    except Diverged as error:
        raise Diverged(f"at step {step}, {error}; the last good checkpoint is kept") from None


def _refuse_nonfinite(state: State, values: Tensor, names: Sequence[str]) -> None:
    if not bool(values.isfinite().all()):
        term, network = (~values.isfinite()).nonzero()[0].tolist()
        raise Diverged(
            f"{names[term]} became {values[term, network].item()} at step {state.step - 1} "
            f"(network {network} of {values.shape[1]}); the last good checkpoint is kept"
        )


@contextlib.contextmanager
def _flushed_denormals() -> Iterator[None]:
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
