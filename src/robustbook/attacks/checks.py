"""What an attack refuses, before any work, in one sentence: argument, value, what is accepted.

The arguments are typed Any where they are whatever the caller really passed.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .propagation import Propagation


def prepare(
    model: Any,
    images: Any,
    labels: Any,
    targets: Any = None,
    keys: Any = None,
    box: bool = True,
) -> Propagation:
    """Check what every attack is given, and wrap the model for it.

    With `box` false images may be of any size, for an attack that does not clip.
    """
    if not callable(model):
        raise ValueError(f"model must be a callable from images to logits, got {model!r}")
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim < 2:
        raise ValueError(
            f"images must be a float tensor of shape (n, ...), got {_describe(images)}"
        )
    if images.numel():
        low, high = (float(value) for value in images.detach().aminmax())
        if not (low >= 0 and high <= 1) if box else not math.isfinite(high - low):  # NaN as well
            where = "lie in [0, 1]" if box else "be finite"
            raise ValueError(f"images must {where}, got values from {low:g} to {high:g}")
    for name, given in (("labels", labels), ("targets", targets), ("keys", keys)):
        if given is not None:
            _check_integers(name, given, images, negative=name == "keys")
    if targets is not None and bool((same := targets == labels).any()):
        raise ValueError(
            f"targets must differ from labels, got the label itself in {int(same.sum())} "
            f"of {len(images)} rows"
        )
    if isinstance(model, torch.nn.Module):
        places = {parameter.device for parameter in model.parameters()}
        if places and images.device not in places:
            raise ValueError(
                f"images must be on the model's device, got {images.device} "
                f"for a model on {', '.join(map(str, places))}"
            )
    classes = [given.max() for given in (labels, targets) if given is not None and len(given)]
    return Propagation(model, max(map(int, classes), default=-1))


def check_eps(eps: Any, norm: float = math.inf) -> None:
    """eps: finite and positive; in l-infinity at most 1, the width of the box."""
    check_positive("eps", eps)
    if norm == math.inf and eps > 1:
        hint = f"; for {eps:g}/255 pass {eps / 255:.4f}" if eps <= 255 else ""
        raise ValueError(f"eps must be in (0, 1] (pixels are scaled to [0, 1]), got {eps:g}{hint}")


def check_positive(name: str, value: Any) -> None:
    """A finite number above zero."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def check_tolerance(name: str, value: Any) -> None:
    """A finite number, zero or above."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number, 0 or above, got {value!r}")


def check_momentum(name: str, value: Any) -> None:
    """Two numbers, each in [0, 1)."""
    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not all(isinstance(beta, int | float) and 0 <= beta < 1 for beta in value):
        raise ValueError(f"{name} must be two numbers in [0, 1), got {value!r}")


def check_count(name: str, value: Any) -> None:
    """A whole number, 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}")


def check_choice(name: str, value: Any, accepted: Sequence[Any]) -> None:
    """One of the values accepted."""
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(map(str, accepted))}, got {value!r}")


def check_generator(generator: Any) -> None:
    """A torch.Generator, or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator or None, got {generator!r}")


def _check_integers(name: str, given: Any, images: Tensor, negative: bool) -> None:
    """int64, one per image, on the images' device; zero or above unless negative is true."""
    shape = (len(images),)
    if not isinstance(given, Tensor) or given.dtype != torch.int64 or given.shape != shape:
        raise ValueError(
            f"{name} must be an int64 tensor of shape {shape}, one number per image, "
            f"got {_describe(given)}"
        )
    if given.device != images.device:
        raise ValueError(
            f"{name} must be on the images' device, {images.device}, got {given.device}"
        )
    if not negative and len(given) and int(given.min()) < 0:
        raise ValueError(f"{name} must be class numbers from 0 up, got {int(given.min())}")


def _describe(given: Any) -> str:
    if isinstance(given, Tensor):
        return f"a tensor of {given.dtype} of shape {tuple(given.shape)}"
    return f"{type(given).__name__} {' '.join(repr(given).split()):.60}"
