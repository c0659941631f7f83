"""How to train: as data, so that it can be part of a result's name."""

from dataclasses import dataclass
from typing import Literal

Stairs = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Recipe:
    """How to train. ``steps`` optimiser steps on batches of ``batch_size`` images; an incomplete
    last batch of an epoch is dropped. ``schedule`` is of the learning rate: constant, linear from
    ``lr`` to 0, or stairs: pairs of a step and what ``lr`` is multiplied by from there on (1 before
    the first)."""

    steps: int
    batch_size: int
    lr: float
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "linear"] | Stairs = "constant"
    momentum: float = 0.9  # of SGD; Adam keeps its betas of (0.9, 0.999) and eps of 1e-8
    weight_decay: float = 0.0

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

    def lr_at(self, step: int) -> float:
        """The learning rate of step number ``step``, counted from 0."""
        if isinstance(self.schedule, tuple):
            passed = [factor for first, factor in self.schedule if first <= step]
            return self.lr * (passed[-1] if passed else 1.0)
        return self.lr * (1 - step / self.steps if self.schedule == "linear" else 1.0)
