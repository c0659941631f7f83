"""The one training loop: networks and a recipe in, weights and each loss term's history out.

- An *objective* maps (network, images, labels, coefficient) to named loss terms; their sum is
  minimised.
- ``coefficient(step)`` is asked before every step: an annealed penalty weight is a function of the
  step.
- Batches are permutations of the training set, one per epoch, drawn from (seed, epoch) alone. So
  the state of a run is its weights, its optimiser and its step number: a run killed at any instant
  goes on from the last checkpoint to the bit-same end.
- Networks of one shape can be trained side by side as a batch axis (``torch.func``): the same
  result as one by one up to rounding, faster where small kernels leave a device idle. On a GPU the
  step is replayed as a CUDA graph.
"""

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from robustbook.randomness import generator

Objective = Callable[[nn.Module, Tensor, Tensor, Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """How to train. ``steps`` optimiser steps on batches of ``batch_size`` images; an incomplete
    last batch of an epoch is dropped. ``schedule`` is of the learning rate: constant, or linear
    from ``lr`` to 0."""

    steps: int
    batch_size: int
    lr: float
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "linear"] = "constant"
    momentum: float = 0.9  # of SGD; Adam keeps its betas of (0.9, 0.999) and eps of 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be adam or sgd, got {self.optimizer!r}")
        if self.schedule not in ("constant", "linear"):
            raise ValueError(f"schedule must be constant or linear, got {self.schedule!r}")

    def lr_at(self, step: int) -> float:
        """The learning rate of step number ``step``, counted from 0."""
        return self.lr * (1 - step / self.steps if self.schedule == "linear" else 1.0)


@dataclass(frozen=True)
class Fitted:
    """``terms[name]`` is each loss term's mean over each epoch, one column per network; ``seconds``
    is the time spent, over all sessions of a resumed run."""

    terms: dict[str, Float[Tensor, "epochs networks"]]
    seconds: float


class Diverged(ArithmeticError):
    """A loss term became NaN or infinite. The last good checkpoint is still there."""


def fit(
    networks: Sequence[nn.Module],
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    objective: Objective,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    coefficient: Callable[[int], float] = lambda step: 0.0,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    every: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train ``networks`` in place, the i-th on batches in the order of ``seeds[i]``.

    ``images`` are uint8 and become [0, 1] batch by batch on ``device``. ``checkpoint`` is a file
    written about every ``every`` seconds; where it exists the run goes on from it. ``progress(done,
    steps)`` is called about once a second. Raises ``Diverged`` with the step, the term and its
    value.

    Numbers below 1.2e-38 are flushed to zero while training on a CPU: saturated networks have such
    gradients, and arithmetic with them is up to four times slower. The setting is off again when
    this returns.
    """
    if len(networks) != len(seeds) or not networks:
        raise ValueError(
            f"seeds must name one seed per network, got {len(seeds)} for {len(networks)}"
        )
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most {len(images)} images, got {recipe.batch_size}"
        )
    for net in networks:
        net.to(device).train()
    images, labels = images.to(device), labels.to(device)
    lift = _Lift(networks[0], objective)
    state = _State(networks, recipe)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint)
    batches = _Batches(len(images), recipe.batch_size, seeds, images.device)
    compute = _step(lift, state, len(networks))
    cuda = torch.device(device).type == "cuda"
    if state.step == recipe.steps:  # nothing left to do, but the terms' names are to be known
        lift(images[:1].float() / 255, labels[:1], torch.tensor(0.0))
    elif cuda:
        compute = _graphed(compute, state, images, labels, batches)
    look = 50 if cuda else 1  # looking at a number on the host makes a GPU wait
    began = saved = told = time.monotonic()
    per_epoch = len(images) // recipe.batch_size
    with _flushed_denormals():
        while state.step < recipe.steps:
            rows = batches.rows(state.step)
            values = compute(
                images[rows].float() / 255,
                labels[rows],
                coefficient(state.step),
                recipe.lr_at(state.step),
            )
            state.running = state.running + values
            state.step += 1
            if state.step % look == 0 or state.step == recipe.steps:
                _refuse_nonfinite(state, values, lift.names)
            if state.step % per_epoch == 0 or state.step == recipe.steps:
                state.history.append(state.running / ((state.step - 1) % per_epoch + 1))
                state.running = torch.zeros_like(state.running)
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


class _Lift(nn.Module):
    """A network and an objective as one module, for ``functional_call``: batch to stacked terms."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net, self.objective = net, objective
        self.names: list[str] = []

    def forward(self, images: Tensor, labels: Tensor, coefficient: Tensor) -> Tensor:
        terms = self.objective(self.net, images, labels, coefficient)
        self.names = list(terms)
        return torch.stack(list(terms.values()))


@dataclass
class _State:
    """Everything a run needs to go on: stacked weights, optimiser, step, sums over the epoch."""

    networks: Sequence[nn.Module]
    recipe: Recipe
    step: int = 0
    seconds: float = 0.0
    history: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = [dict(net.named_parameters()) for net in self.networks]
        if any(True for net in self.networks for _ in net.buffers()):
            raise ValueError("networks must have no buffers (no BatchNorm) to be trained by fit")
        self.weights = {
            name: (torch.stack([c[name].detach() for c in columns]) if len(columns) > 1 else p)
            for name, p in columns[0].items()
        }
        for p in self.weights.values():
            p.requires_grad_(True)
        device = next(iter(self.weights.values())).device
        self.running = torch.zeros((), device=device)
        lr: float | Tensor = self.recipe.lr
        if device.type == "cuda":
            lr = torch.tensor(
                lr, device=device
            )  # so that a captured graph can read a changing rate
        values = list(self.weights.values())
        decay, graph = self.recipe.weight_decay, device.type == "cuda"
        if self.recipe.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                values, lr, weight_decay=decay, fused=True, capturable=graph
            )
        else:
            self.optimizer = torch.optim.SGD(
                values, lr, momentum=self.recipe.momentum, weight_decay=decay, fused=True
            )

    def set_lr(self, lr: float) -> None:
        group = self.optimizer.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr

    def unstack(self, networks: Sequence[nn.Module]) -> None:
        if len(networks) > 1:
            with torch.no_grad():
                for i, net in enumerate(networks):
                    for name, own in net.named_parameters():
                        own.copy_(self.weights[name][i])
        for p in self.weights.values():
            p.grad = None

    def refuse_nonfinite(self) -> None:
        """A finite loss may still have had a gradient that was not."""
        for name, p in self.weights.items():
            if not bool(p.isfinite().all()):
                raise Diverged(
                    f"weight {name} became NaN or infinite at step {self.step - 1}; "
                    "the last good checkpoint is kept"
                )

    def save(self, path: Path, since: float) -> None:
        """Write a checkpoint: whole or not at all."""
        tensors = {f"weight/{name}": p.detach() for name, p in self.weights.items()}
        for name, p in self.weights.items():
            for key, value in self.optimizer.state[p].items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{key}/{name}"] = value
        tensors["running"] = self.running
        if self.history:
            tensors["history"] = torch.stack(self.history)
        meta = {"step": str(self.step), "seconds": str(self.seconds + since)}
        meta["recipe"] = json.dumps(vars(self.recipe))
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, meta)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        part.replace(path)

    def load(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as file:
                meta = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except SafetensorError as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            warnings.warn(
                f"{path} is damaged ({error}); set aside as {aside.name}, training begins anew",
                stacklevel=3,
            )
            return
        mine = {f"weight/{n}": tuple(p.shape) for n, p in self.weights.items()}
        theirs = {k: tuple(v.shape) for k, v in tensors.items() if k.startswith("weight/")}
        if mine != theirs or json.loads(meta["recipe"]) != vars(self.recipe):
            raise ValueError(f"checkpoint {path} is of another network or recipe; move it away")
        device = self.running.device
        with torch.no_grad():
            for name, p in self.weights.items():
                p.copy_(tensors[f"weight/{name}"])
                for key, value in tensors.items():
                    if key.startswith("optimizer/") and key.split("/", 2)[2] == name:
                        slot = key.split("/", 2)[1]
                        place = (
                            value if slot == "step" and device.type == "cpu" else value.to(device)
                        )
                        self.optimizer.state[p][slot] = place
        self.running = tensors["running"].to(device)
        self.history = list(tensors["history"].to(device)) if "history" in tensors else []
        self.step, self.seconds = int(meta["step"]), float(meta["seconds"])


@dataclass
class _Batches:
    """Which images each network sees at a step; a pure function of (seed, step)."""

    images: int
    batch_size: int
    seeds: Sequence[int]
    device: torch.device
    epoch: int = -1

    def rows(self, step: int) -> Int[Tensor, "..."]:
        per_epoch = self.images // self.batch_size
        epoch, batch = divmod(step, per_epoch)
        if epoch != self.epoch:
            self.epoch = epoch
            self.orders = torch.stack(
                [
                    torch.randperm(self.images, generator=generator(seed, "batches", epoch))
                    for seed in self.seeds
                ]
            ).to(self.device)
        rows = self.orders[:, batch * self.batch_size : (batch + 1) * self.batch_size]
        return rows[0] if len(self.seeds) == 1 else rows


def _step(
    lift: _Lift, state: _State, count: int
) -> Callable[[Tensor, Tensor, float | Tensor, float | None], Tensor]:
    """One optimiser step, from a batch to the terms' values: (terms, networks)."""

    def terms(images: Tensor, labels: Tensor, coefficient: Tensor) -> Tensor:
        if count == 1:
            alone: Tensor = lift(images, labels, coefficient)
            return alone.unsqueeze(1)

        def one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            named = {f"net.{name}": p for name, p in weights.items()}
            out: Tensor = torch.func.functional_call(lift, named, (x, y, coefficient))
            return out

        out: Tensor = torch.func.vmap(one)(state.weights, images, labels)
        return out.T

    parameters = list(state.weights.values())

    def compute(
        images: Tensor, labels: Tensor, coefficient: float | Tensor, lr: float | None
    ) -> Tensor:
        if not isinstance(coefficient, Tensor):
            coefficient = torch.tensor(coefficient)
        values = terms(images, labels, coefficient)
        # Summed over networks: each one's weights meet only its own terms, so gradients stay apart.
        for p, g in zip(parameters, torch.autograd.grad(values.sum(), parameters), strict=True):
            p.grad = g.contiguous()  # fused Adam reads memory in order, whatever the strides
        if lr is not None:
            state.set_lr(lr)
        state.optimizer.step()
        return values.detach()

    return compute


def _graphed(
    compute: Callable[..., Tensor],
    state: _State,
    images: Tensor,
    labels: Tensor,
    batches: _Batches,
) -> Callable[..., Tensor]:
    """The same step captured once and replayed: small networks wait for nothing but launches.

    Warming up runs real steps on the weights, so weights and optimiser are put back afterwards.
    """
    rows = batches.rows(state.step)
    x, y = images[rows].float() / 255, labels[rows]
    c = torch.zeros((), device=images.device)
    keep = [p.detach().clone() for p in state.weights.values()]
    slots = [
        {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.optimizer.state[p].items()}
        for p in state.weights.values()
    ]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(images.device), warnings.catch_warnings():
        # Warming up is what Adam warns of: a capturable optimiser that steps outside a graph.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                compute(x, y, c, None)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            values = compute(x, y, c, None)
    with torch.no_grad():
        for p, kept, slot in zip(state.weights.values(), keep, slots, strict=True):
            p.copy_(kept)
            for name, value in state.optimizer.state[p].items():
                if isinstance(value, Tensor):
                    value.copy_(slot[name]) if name in slot else value.zero_()

    def replay(images: Tensor, labels: Tensor, coefficient: float, lr: float) -> Tensor:
        x.copy_(images)
        y.copy_(labels)
        c.fill_(coefficient)
        state.set_lr(lr)
        graph.replay()
        return values.clone()

    return replay


def _refuse_nonfinite(state: _State, values: Tensor, names: Sequence[str]) -> None:
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
