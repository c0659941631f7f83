"""Everything a run needs to go on, and its checkpoints."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .recipe import Recipe


class Diverged(ArithmeticError):
    """A loss term became NaN or infinite. The last good checkpoint is still there."""


@dataclass
class State:
    """Stacked weights, optimiser, step, sums over the epoch. ``rates``: see `fit`."""

    networks: Sequence[nn.Module]
    recipe: Recipe
    rates: Mapping[str, float]
    step: int = 0
    seconds: float = 0.0
    history: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = [dict(net.named_parameters()) for net in self.networks]
        _refuse_changing_buffers(self.networks)
        if unknown := [name for name in self.rates if name not in columns[0]]:
            raise ValueError(
                f"rates must name parameters ({', '.join(columns[0])}), got {unknown[0]!r}"
            )
        self.weights = {
            name: (torch.stack([c[name].detach() for c in columns]) if len(columns) > 1 else p)
            for name, p in columns[0].items()
        }
        for p in self.weights.values():
            p.requires_grad_(True)
        device = next(iter(self.weights.values())).device
        self.running = torch.zeros((), device=device)
        graph, decay = device.type == "cuda", self.recipe.weight_decay
        factors = [self.rates.get(name, 1.0) for name in self.weights]
        groups = [
            {
                "params": [
                    p for p, f in zip(self.weights.values(), factors, strict=True) if f == factor
                ],
                "factor": factor,
                # A tensor, so that a captured graph can read a changing rate.
                "lr": torch.tensor(0.0, device=device) if graph else 0.0,
            }
            for factor in dict.fromkeys(factors)
        ]
        if self.recipe.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                groups, weight_decay=decay, fused=True, capturable=graph
            )
        else:
            self.optimizer = torch.optim.SGD(
                groups, momentum=self.recipe.momentum, weight_decay=decay, fused=True
            )

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * group["factor"])
            else:
                group["lr"] = lr * group["factor"]

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
        recipe = json.loads(json.dumps(vars(self.recipe)))  # as a file gives it back
        if mine != theirs or json.loads(meta["recipe"]) != recipe:
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


def _refuse_changing_buffers(networks: Sequence[nn.Module]) -> None:
    """Buffers are constants here, the same in all networks: the batch axis shares the first's."""
    for module in (m for net in networks for m in net.modules()):
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            raise ValueError(
                "networks must have no layer that keeps running statistics in training "
                f"(torchvision's FrozenBatchNorm2d is accepted), got a {type(module).__name__}"
            )
    first = dict(networks[0].named_buffers())
    for net in networks[1:]:
        if any(not torch.equal(value, first[name]) for name, value in net.named_buffers()):
            raise ValueError("networks trained side by side must have the same buffers")
