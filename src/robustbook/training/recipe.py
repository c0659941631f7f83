"""Store the hyperparameters of a training run as plain data.

The hyperparameters are a part of the key under which the result of a training run is stored.
"""

import itertools
import math
import numbers
from dataclasses import dataclass
from typing import Any, Literal, get_args

from robustbook.arithmetic import Precision
from robustbook.attacks.checks import check_count, check_positive, check_tolerance
from robustbook.runs import later

from .augmentation import Augmentation

Stairs = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Recipe:
    """Train for ``steps`` optimiser steps on batches of ``batch_size`` images. An incomplete batch
    at the end of an epoch is dropped.

    ``schedule``: the schedule of the learning rate: constant, linear from ``lr`` to 0, or piecewise
        constant. A piecewise constant schedule is given as pairs (step, factor). From this step on,
        the learning rate is ``lr`` times this factor. Before the step of the first pair, the
        learning rate is ``lr``.
    ``warmup``: the fraction of the steps, in [0, 1), in which the learning rate increases linearly
        up to the schedule's value. With r warm-up steps, the first step uses 1/(r + 1) of the
        schedule's value. A linear schedule decreases the learning rate over the steps after the
        warm-up.
    ``nesterov``: whether SGD uses Nesterov's momentum.
    ``decay``: the parameters to which ``weight_decay`` applies. With "all", it applies to all
        parameters. With "weights", it applies only to tensors with two or more axes, so not to
        biases and the scales of batch norm.
    ``precision``: the floating-point format of the computations, such as bfloat16; see
        `robustbook.arithmetic`. With bfloat16, weights, their gradients and the optimiser's state
        stay in float32.
    ``channels_last``: whether images and kernels use the channels-last memory format in training.
        The result is the same up to rounding. Training is faster on a CPU, and in bfloat16.
    ``augmentation``: the augmentation of the training images; with None, images are not augmented.
    ``epsilon``: the constant that Adam adds to the square root of the second moment.
    """

    steps: int
    batch_size: int
    lr: float
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "linear"] | Stairs = "constant"
    momentum: float = 0.9  # for SGD; Adam uses betas (0.9, 0.999)
    weight_decay: float = 0.0
    precision: Precision = later("float32")
    channels_last: bool = later(False)
    nesterov: bool = later(False)
    warmup: float = later(0.0)
    decay: Literal["all", "weights"] = later("all")
    augmentation: Augmentation | None = later(None)
    epsilon: float = later(1e-8)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            check_count(name, getattr(self, name))
        for name in ("lr", "epsilon"):
            check_positive(name, getattr(self, name))
        check_tolerance("weight_decay", self.weight_decay)
        if check_tolerance("momentum", self.momentum) >= 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be adam or sgd, got {self.optimizer!r}")
        if self.schedule not in ("constant", "linear") and not _stairs(self.schedule):
            raise ValueError(
                "schedule must be constant, linear or pairs of a step and a factor, with "
                f"increasing steps, got {self.schedule!r}"
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
                "nesterov must be False except for sgd with momentum above 0, "
                f"got {self.optimizer} with momentum {self.momentum}"
            )
        if check_tolerance("warmup", self.warmup) >= 1:
            raise ValueError(f"warmup must be a fraction of the steps in [0, 1), got {self.warmup}")
        if self.decay not in ("all", "weights"):
            raise ValueError(f"decay must be all or weights, got {self.decay!r}")
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise ValueError(
                f"augmentation must be an Augmentation or None, got {self.augmentation!r}"
            )

    def lr_at(self, step: int) -> float:
        """Return the learning rate of step number ``step``, counted from 0."""
        rising = round(self.warmup * self.steps)
        if isinstance(self.schedule, tuple):
            passed = [factor for first, factor in self.schedule if first <= step]
            lr = self.lr * (passed[-1] if passed else 1.0)
        elif self.schedule == "linear":
            lr = self.lr * (1 - max(0, step - rising) / max(1, self.steps - rising))
        else:
            lr = self.lr
        return lr * (step + 1) / (rising + 1) if step < rising else lr


def _stairs(schedule: Any) -> bool:
    """Return whether the schedule is a tuple of valid pairs (step, factor). Steps must be whole
    numbers, 0 or above, that increase from pair to pair. Factors must be finite and not negative.
    """
    if not isinstance(schedule, tuple) or not schedule:
        return False
    for pair in schedule:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            return False
        if not isinstance(pair[0], numbers.Integral) or not isinstance(pair[1], numbers.Real):
            return False
        if pair[0] < 0 or not 0 <= float(pair[1]) < math.inf:
            return False
    return all(one[0] < other[0] for one, other in itertools.pairwise(schedule))
