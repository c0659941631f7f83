"""Defenses: training objectives, Parseval's update of the weights, and noise layers with an
ensemble over noise draws. A training objective is a function from a network and a batch to named
loss terms.
"""

from .adversarial import adversarial_training
from .bounded import BoundedReLU, bounded
from .deep_defense import deep_defense
from .distillation import distillation, soft_targets
from .freezing import Frozen
from .inner_attacks import (
    SignedSteps,
    inner_attack,
    inner_fgsm,
    inner_fgsm_rs,
    inner_n_fgsm,
    inner_pgd,
    inner_trades,
)
from .objectives import MOSBACH, Weights, goodfellow, trades, weighted_training
from .parseval import parseval
from .pool import Pooled, pool_training
from .saturation import (
    Layered,
    Penalty,
    linear_penalty,
    relu_penalty,
    saturation,
    sigmoid_penalty,
)
from .self_ensemble import Noise, Noisy, ensemble, noisy, prototype

__all__ = [
    "MOSBACH",
    "BoundedReLU",
    "Frozen",
    "Layered",
    "Noise",
    "Noisy",
    "Penalty",
    "Pooled",
    "SignedSteps",
    "Weights",
    "adversarial_training",
    "bounded",
    "deep_defense",
    "distillation",
    "ensemble",
    "goodfellow",
    "inner_attack",
    "inner_fgsm",
    "inner_fgsm_rs",
    "inner_n_fgsm",
    "inner_pgd",
    "inner_trades",
    "linear_penalty",
    "noisy",
    "parseval",
    "pool_training",
    "prototype",
    "relu_penalty",
    "saturation",
    "sigmoid_penalty",
    "soft_targets",
    "trades",
    "weighted_training",
]
