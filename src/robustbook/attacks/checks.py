"""Validate the arguments of attacks.

Each error message states the argument, its valid values, and the value that was passed. The
arguments have the type Any, because callers may pass values of any type.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from .drawing import Drawing
from .goal import Goal, named_loss
from .losses import cross_entropy, hinge
from .propagation import Propagation

Number = SupportsFloat
"""A number of Python or numpy, or a tensor with zero dimensions."""
Count = SupportsIndex
"""A whole number of Python or numpy, or a tensor with zero dimensions."""
PerImage = SupportsFloat | Float[Tensor, " n"]
"""One number for all images, or a float tensor with one number for each image."""


def prepare(
    model: Any,
    images: Any,
    labels: Any,
    targets: Any = None,
    keys: Any = None,
    *,
    loss: Any = cross_entropy,
    clip: Any = True,
    box: Any = True,
    draws: Any = 1,
    average: Any = "loss",
    judge: Any = 1,
    generator: Any = None,
) -> tuple[Propagation, Goal, Tensor]:
    """Check the arguments that all attacks share. Return three results: a `Propagation` that counts
    the model's passes, the `Goal` of the attack (labels, targets and loss), and the images.

    If `box` is False, pixels may have any finite value. The returned images are detached from the
    autograd graph. Without `keys`, the key of an image is its row number.
    """
    if not callable(model) and not isinstance(model, Drawing):
        raise ValueError(f"model must be a callable from images to logits, got {model!r}")
    check_images(images)
    if images.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"images must be float32 or float64, got {images.dtype}: small steps round to 0; for "
            "a model in half precision pass a function, such as lambda x: model(x.half())"
        )
    for name, given in (("labels", labels), ("targets", targets), ("keys", keys)):
        if given is not None:
            check_integers(name, given, images)
    if isinstance(model, torch.nn.Module):
        places = {parameter.device for parameter in model.parameters()}
        if places and images.device not in places:
            raise ValueError(
                f"images must be on the model's device, got {images.device} "
                f"for a model on {', '.join(map(str, places))}"
            )
    check_choice("clip", clip, (True, False))
    check_choice("average", average, ("loss", "probability"))
    chosen = named_loss(loss)
    if average == "probability" and chosen is not cross_entropy:
        raise ValueError(
            "average must be 'loss' with a loss other than cross_entropy, got 'probability', "
            "which is minus the logarithm of the mean probability"
        )
    if targets is not None and chosen is hinge:
        raise ValueError(
            "loss must not be 'hinge' with targets, because its gradient is 0 until the attack "
            "succeeds; use 'margin'"
        )
    draws, judge = check_count("draws", draws), check_count("judge", judge)
    check_generator(generator)
    highest = _check_values(images, labels, targets, box)
    images, labels, targets = _usable(images), _usable(labels), _usable(targets)
    keys = torch.arange(len(images), device=images.device) if keys is None else _usable(keys)
    propagation = Propagation(model, highest, draws, average, judge, generator)
    return propagation, Goal(labels, targets, chosen, keys), images


def _usable(given: Tensor | None) -> Any:
    """Return a detached copy that autograd accepts, even if the tensor was made under
    torch.inference_mode.
    """
    if given is None:
        return None
    return given.clone() if given.is_inference() else given.detach()


def _check_values(images: Tensor, labels: Tensor, targets: Tensor | None, box: bool) -> int:
    """Raise ValueError for pixels, labels or targets outside their range; return the highest class
    number. If the images are on a GPU, the CPU waits for the GPU once.
    """
    if not images.numel():
        return -1
    given = [labels] if targets is None else [labels, targets]
    facts = [*images.detach().aminmax(), *(bound for t in given for bound in t.aminmax())]
    if targets is not None:
        facts.append((targets == labels).sum())
    low, high, *classes = torch.stack([fact.double() for fact in facts]).tolist()
    check_range(low, high, box)
    for name, lowest in zip(("labels", "targets"), classes[0:4:2], strict=False):
        if lowest < 0:
            raise ValueError(f"{name} must be class numbers from 0 up, got {lowest:.0f}")
    if targets is not None and classes[4]:
        raise ValueError(
            f"targets must differ from labels, got the label itself in {classes[4]:.0f} "
            f"of {len(images)} rows"
        )
    return int(max(classes[1:4:2]))


def check_range(low: float, high: float, box: bool) -> None:
    """Raise ValueError unless pixel values from ``low`` to ``high`` lie in [0, 1] or, if ``box`` is
    False, are finite.
    """
    if not (low >= 0 and high <= 1) if box else not math.isfinite(high - low):  # true for NaN too
        where = "lie in [0, 1]" if box else "be finite"
        found = "NaN" if math.isnan(low) else f"values from {low:.8g} to {high:.8g}"
        rounded = box and low > -1e-4 and high < 1 + 1e-4
        hint = "; images.clamp(0, 1) removes errors of rounding" if rounded else ""
        raise ValueError(f"images must {where}, got {found}{hint}")


def check_eps(eps: Any, images: Tensor, norm: float = math.inf) -> Any:
    """Return eps if it is valid; raise ValueError otherwise. A valid eps is a finite number above
    0, or a tensor with one such number for each image. For l-infinity, the numbers must be at most
    1.
    """
    eps = check_positive("eps", eps, images)
    if norm == math.inf:
        most = max(eps.tolist(), default=0) if isinstance(eps, Tensor) else eps
        if most > 1:
            hint = f"; for {most:g}/255 pass {most / 255:.4f}" if most <= 255 else ""
            raise ValueError(
                f"eps must be in (0, 1] (pixels are scaled to [0, 1]), got {most:g}{hint}"
            )
    return eps


def check_positive(name: str, value: Any, images: Tensor | None = None) -> Any:
    """Return ``value`` after checking that it is finite and above 0. If images are given, the value
    may be a tensor with one number for each image.
    """
    if isinstance(value, Tensor) and value.ndim and images is not None:
        return _per_row(name, value, images)
    number = _number(value)
    if number is None or not 0 < number < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return number


def pick(value: float | Tensor, rows: Tensor) -> Any:
    """Return a single number unchanged. From a tensor with one number per image, return the entries
    of the images with the indices ``rows``.
    """
    return value[rows] if isinstance(value, Tensor) else value


def _per_row(name: str, value: Tensor, images: Tensor) -> Tensor:
    if not value.is_floating_point() or value.shape != (len(images),):
        raise ValueError(
            f"{name} must be a number or a float tensor of shape ({len(images)},), one number per "
            f"image, got {described(value)}"
        )
    if value.device != images.device:
        raise ValueError(
            f"{name} must be on the images' device, {images.device}, got {value.device}"
        )
    value = _usable(value).to(images.dtype)
    wrong = ~((value > 0) & value.isfinite())
    if bool(wrong.any()):
        row = int(wrong.int().argmax())
        raise ValueError(
            f"{name} must hold finite numbers above 0, got {float(value[row]):g} in row {row}"
        )
    return value


def _number(value: Any) -> Any:
    """Return the value as a Python number, or None if it is not a number."""
    if isinstance(value, Tensor) and not value.ndim and value.dtype is not torch.bool:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return value if isinstance(value, int | float) else float(value)


def check_tolerance(name: str, value: Any) -> Any:
    """Return the value if it is a finite number, 0 or above; raise ValueError otherwise."""
    number = _number(value)
    if number is None or not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number, 0 or above, got {value!r}")
    return number


def check_share(name: str, value: Any) -> Any:
    """Return the value if it is a number in (0, 1]; raise ValueError otherwise."""
    number = check_positive(name, value)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1], got {value!r}")
    return number


def check_momentum(name: str, value: Any) -> tuple[float, float]:
    """Return the value if it consists of two numbers, each in [0, 1); raise ValueError
    otherwise.
    """
    pair = value if isinstance(value, tuple | list) and len(value) == 2 else (None, None)
    first, second = (_number(beta) for beta in pair)
    if first is None or second is None or not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError(f"{name} must be two numbers in [0, 1), got {value!r}")
    return first, second


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return the value as an int if it is a whole number, ``least`` or more; raise ValueError
    otherwise.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if isinstance(value, Tensor) and not value.ndim:
        whole = value.dtype in (torch.int64, torch.int32, torch.int16, torch.uint8)
    if not whole or int(value) < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")
    return int(value)


def check_choice(name: str, value: Any, accepted: Sequence[Any]) -> None:
    """Raise ValueError unless the value is one of the accepted values."""
    if getattr(value, "ndim", 0) or value not in accepted:  # == of arrays gives no single answer
        raise ValueError(f"{name} must be one of {', '.join(map(str, accepted))}, got {value!r}")


def check_generator(generator: Any) -> None:
    """Raise ValueError unless the value is a torch.Generator or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator or None, got {generator!r}")


def check_network(net: Any) -> None:
    """Raise ValueError unless the value is a torch module."""
    if not isinstance(net, torch.nn.Module):
        raise ValueError(f"net must be a torch module, got {described(net)}")


def check_images(images: Any) -> None:
    """Raise ValueError unless the value is a float tensor of shape (n, ...)."""
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim < 2:
        raise ValueError(
            f"images must be a float tensor of shape (n, ...), got {described(images)}"
        )


def check_integers(name: str, given: Any, images: Tensor) -> None:
    """Raise ValueError unless the argument is an int64 tensor with one entry per image, on the
    device of the images.
    """
    shape = (len(images),)
    if not isinstance(given, Tensor) or given.dtype != torch.int64 or given.shape != shape:
        raise ValueError(
            f"{name} must be an int64 tensor of shape {shape}, one number per image, "
            f"got {described(given)}"
        )
    if given.device != images.device:
        raise ValueError(
            f"{name} must be on the images' device, {images.device}, got {given.device}"
        )


def described(given: Any) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(given, Tensor):
        return f"a tensor of {given.dtype} of shape {tuple(given.shape)}"
    return f"{type(given).__name__} {' '.join(repr(given).split()):.60}"
