"""Hold the state of a training run, save it to a checkpoint, and load it from a checkpoint."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robustbook.files import set_aside, write_whole

from .identity import differences, digest
from .recipe import Recipe


class Diverged(ArithmeticError):
    """The error that is raised if a loss term, a weight or a buffer becomes NaN or infinite. The
    last checkpoint before the divergence is kept.
    """


@dataclass
class State:
    """The state of a training run: weights, optimiser, step number, and sums of the loss terms over
    the current epoch.

    ``rates``: a dictionary that maps parameter names to factors of the learning rate, as in `fit`.

    ``weights`` are the trained parameters, and ``fixed`` those with ``requires_grad`` False.
    ``identity`` is JSON that identifies the run, so that `load` detects a checkpoint of a different
    run.
    """

    net: nn.Module
    recipe: Recipe
    rates: Mapping[str, float]
    identity: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    names: list[str] = field(default_factory=list)  # names of the loss terms
    history: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        every = dict(self.net.named_parameters())
        self.weights: dict[str, Tensor] = {n: p for n, p in every.items() if p.requires_grad}
        self.fixed = {n: p for n, p in every.items() if not p.requires_grad}
        if not self.weights:
            raise ValueError("net must have a parameter that requires a gradient, got none")
        if unknown := [name for name in self.rates if name not in every]:
            raise ValueError(f"rates must name parameters ({', '.join(every)}), got {unknown[0]!r}")
        device = next(iter(self.weights.values())).device
        self.running = torch.zeros((), device=device)
        decay, everywhere = self.recipe.weight_decay, self.recipe.decay == "all"
        kinds = {
            name: (self.rates.get(name, 1.0), decay if everywhere or p.ndim > 1 else 0.0)
            for name, p in self.weights.items()
        }
        graph = device.type == "cuda"
        groups = [
            {
                "params": [p for name, p in self.weights.items() if kinds[name] == kind],
                "factor": kind[0],
                # A tensor, so that a captured graph can use a changing learning rate.
                "lr": torch.tensor(0.0, device=device) if graph else 0.0,
                "weight_decay": kind[1],
            }
            for kind in dict.fromkeys(kinds.values())
        ]
        if self.recipe.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                groups, eps=self.recipe.epsilon, fused=True, capturable=graph
            )
        else:
            self.optimizer = torch.optim.SGD(
                groups, momentum=self.recipe.momentum, nesterov=self.recipe.nesterov, fused=True
            )
        self._finite = {
            name
            for name, buffer in self.net.named_buffers()
            if buffer.is_floating_point() and bool(buffer.isfinite().all())
        }

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * group["factor"])
            else:
                group["lr"] = lr * group["factor"]

    def refuse_nonfinite(self) -> None:
        """Raise Diverged if a weight or buffer is not finite; the loss may still be finite."""
        buffers = dict(self.net.named_buffers())
        parts = [("weight", self.weights), ("buffer", {k: buffers[k] for k in self._finite})]
        for kind, tensors in parts:
            for name, p in tensors.items():
                if not bool(p.isfinite().all()):
                    raise Diverged(
                        f"{kind} {name} became NaN or infinite at step {self.step - 1}; "
                        "the last good checkpoint is kept"
                    )

    def save(self, path: Path, since: float) -> None:
        """Write the state of the run to a checkpoint file atomically."""
        tensors = {f"weight/{k}": p.detach() for k, p in {**self.weights, **self.fixed}.items()}
        tensors |= {f"buffer/{name}": p for name, p in self.net.named_buffers()}
        for name, p in self.weights.items():
            for key, value in self.optimizer.state[p].items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{key}/{name}"] = value
        tensors["running"] = self.running
        if self.history:
            tensors["history"] = torch.stack(self.history)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        run = {"step": self.step, "seconds": self.seconds + since, "names": self.names}
        meta = {"run": json.dumps(run), "identity": json.dumps(self._identity())}
        meta["sha256"] = digest(tensors, meta)
        write_whole(path, save(tensors, meta))

    def load(self, path: Path) -> None:
        """Load the state from a checkpoint, to resume the run.

        A damaged checkpoint is renamed, and a warning is given. Raises ValueError for a checkpoint
        of a different run.
        """
        try:
            with safe_open(path, "pt") as file:
                meta = dict(file.metadata())
                tensors = {key: file.get_tensor(key) for key in file.keys()}
            if meta.pop("sha256") != digest(tensors, meta):
                raise ValueError("its contents do not match their hash")
        # A corrupted header can lack the hash, have wrong names or be invalid text.
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            aside = set_aside(path)
            warnings.warn(
                f"{path} is damaged ({error}); set aside as {aside.name}, training begins anew",
                stacklevel=3,
            )
            return
        here = json.loads(json.dumps(self._identity()))  # as read from a file
        if found := differences(json.loads(meta["identity"]), here):
            raise ValueError(
                f"checkpoint {path} is of another network or recipe, other seeds, data or "
                f"objective: {', '.join(found[:3])}; move or delete the file"
            )
        self._restore(tensors)
        run = json.loads(meta["run"])
        self.step, self.seconds, self.names = run["step"], run["seconds"], run["names"]

    @torch.no_grad()
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        device = self.running.device
        for name, p in {**self.weights, **self.fixed}.items():
            p.copy_(tensors[f"weight/{name}"])
        for name, buffer in self.net.named_buffers():
            buffer.copy_(tensors[f"buffer/{name}"])
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, slot, name = key.split("/", 2)
                p = self.weights[name]
                if slot == "step":
                    place = value if device.type == "cpu" else value.to(device)
                else:
                    place = torch.empty_like(p).copy_(value)  # in the weight's memory format
                self.optimizer.state[p][slot] = place
        self.running = tensors["running"].to(device)
        self.history = list(tensors.get("history", torch.zeros(0)).to(device))

    def _identity(self) -> dict[str, Any]:
        shapes = {
            name: f"{tuple(p.shape)} {p.dtype}{'' if p.requires_grad else ' fixed'}"
            for name, p in [*self.net.named_parameters(), *self.net.named_buffers()]
        }
        return {"network": shapes, **self.identity}


@contextlib.contextmanager
def layout(net: nn.Module, channels_last: bool) -> Iterator[None]:
    """If ``channels_last`` is True, give convolution kernels the channels-last memory format until
    the context ends, and then their usual memory format again.

    Weights that are non-contiguous views are first replaced by contiguous copies, because
    optimisers cannot handle such views.
    """
    every = list(net.parameters())
    for p in every:
        # Optimisers cannot handle a weight that is a non-contiguous view.
        if torch.empty_like(p).stride() != p.stride():
            p.data = p.data.contiguous()
    usual = [p for p in every if channels_last and p.ndim == 4 and p.is_contiguous()]
    for p in usual:
        p.data = p.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for p in usual:
            p.data = p.data.contiguous()
