"""Define the defenses: training objectives, changes to a network (such as noise layers), Parseval's
update of the weights, and transformations of the image. A training objective is a function that
gets a network and a batch, and returns named loss terms.
"""

from .adversarial import adversarial_training
from .bounded import BoundedReLU, bounded
from .deep_defense import deep_defense
from .denoising import Denoising, denoised
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
from .smoothing import Smoothed, smoothed
from .transformations import (
    Compressed,
    ResizedPadded,
    compressed,
    jpeg,
    resize_and_pad,
    resized_padded,
)

__all__ = [
    "MOSBACH",
    "BoundedReLU",
    "Compressed",
    "Denoising",
    "Frozen",
    "Layered",
    "Noise",
    "Noisy",
    "Penalty",
    "ResizedPadded",
    "Smoothed",
    "Pooled",
    "SignedSteps",
    "Weights",
    "adversarial_training",
    "bounded",
    "compressed",
    "deep_defense",
    "denoised",
    "distillation",
    "ensemble",
    "jpeg",
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
    "resize_and_pad",
    "resized_padded",
    "saturation",
    "sigmoid_penalty",
    "smoothed",
    "soft_targets",
    "trades",
    "weighted_training",
]
