"""How to train: as data, so that it can be part of a result's name."""

from dataclasses import dataclass
from typing import Literal, get_args

from robustbook.arithmetic import Precision
from robustbook.runs import later

from .augmentation import Augmentation

Stairs = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Recipe:
    """How to train. ``steps`` optimiser steps on batches of ``batch_size`` images; an incomplete
    last batch of an epoch is dropped.

    schedule: of the learning rate: constant, linear from ``lr`` to 0, or stairs: pairs of a step
        and what ``lr`` is multiplied by from there on (1 before the first).
    warmup: in [0, 1): over this share of the steps the rate rises linearly to what the schedule
        says. The first of r such steps has 1/(r + 1) of it. A linear schedule falls over the rest.
    nesterov: of SGD: Nesterov's momentum.
    decay: what ``weight_decay`` is applied to: all parameters, or "weights": those of two axes or
        more, so neither biases nor the scales of batch norms.
    precision: see `robustbook.arithmetic`. The forward pass in bfloat16; weights, their gradients
        and the optimiser's numbers stay in float32.
    channels_last: whether images and kernels are laid out with a pixel's channels side by side
        while training: the same up to rounding, and faster on a CPU and in bfloat16.
    augmentation: what is done to the images of a batch; None: nothing.
    """

    steps: int
    batch_size: int
    lr: float
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "linear"] | Stairs = "constant"
    momentum: float = 0.9  # of SGD; Adam keeps its betas of (0.9, 0.999) and eps of 1e-8
    weight_decay: float = 0.0
    precision: Precision = later("float32")
    channels_last: bool = later(False)
    nesterov: bool = later(False)
    warmup: float = later(0.0)
    decay: Literal["all", "weights"] = later("all")
    augmentation: Augmentation | None = later(None)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be adam or sgd, got {self.optimizer!r}")
        if not isinstance(self.schedule, tuple) and self.schedule not in ("constant", "linear"):
            raise ValueError(
                "schedule must be constant, linear or pairs of a step and a factor, "
                f"got {self.schedule!r}"
            )
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be {', '.join(get_args(Precision))}, got {self.precision!r}"
            )
        for name in ("channels_last", "nesterov"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum > 0):
            raise ValueError(
                "nesterov must be False but for sgd with a momentum above 0, "
                f"got {self.optimizer} with momentum {self.momentum}"
            )
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be a share of the steps in [0, 1), got {self.warmup}")
        if self.decay not in ("all", "weights"):
            raise ValueError(f"decay must be all or weights, got {self.decay!r}")
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise ValueError(
                f"augmentation must be an Augmentation or None, got {self.augmentation!r}"
            )

    def lr_at(self, step: int) -> float:
        """The learning rate of step number ``step``, counted from 0."""
        rising = round(self.warmup * self.steps)
        if isinstance(self.schedule, tuple):
            passed = [factor for first, factor in self.schedule if first <= step]
            lr = self.lr * (passed[-1] if passed else 1.0)
        elif self.schedule == "linear":
            lr = self.lr * (1 - max(0, step - rising) / (self.steps - rising))
        else:
            lr = self.lr
        return lr * (step + 1) / (rising + 1) if step < rising else lr
