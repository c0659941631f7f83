"""Compute and check a model's logits, predictions and gradients without changing the model.

A randomised model (a `Drawing`) is evaluated with one draw of its noise. By default, the draw
number is 0, and the key that identifies an image is its row number. Noise depends only on the
image's key and the draw number, so the logits for an image do not depend on the batch.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks.buffers import unchanged
from robustbook.attacks.checks import check_count, check_images, check_integers
from robustbook.attacks.drawing import Drawing

Model = Callable[[Tensor], Tensor] | Drawing
PIECE = 1000  # images per forward pass


def logits_of(
    model: Model,
    images: Float[Tensor, "n *shape"],
    batch_size: int = PIECE,
    *,
    keys: Int[Tensor, " n"] | None = None,
    draw: int = 0,
) -> Float[Tensor, "n k"]:
    """Return the logits of each image, without an autograd graph.

    ``keys``: for a randomised model, one number for each image, which determines the image's noise
        (see `Drawing`). By default, the key of an image is its row number.
    ``draw``: for a randomised model, the number that selects the noise draw. For adversarial
        images, use `robustbook.attacks.FRESH`. Attacks without a generator use the draws from 0 on,
        so with the default the attack would already have used this noise.

    Raises ValueError if the model does not return two or more finite logits per image. A class
    whose logit is minus infinity is masked: it is never predicted.
    """
    check_count("batch_size", batch_size)
    keys = rows_of(images) if keys is None else keys
    check_integers("keys", keys, images)
    with unchanged(model), torch.no_grad():
        pieces = zip(torch.split(images, batch_size), torch.split(keys, batch_size), strict=True)
        logits = torch.cat([asked(model, x, which, draw) for x, which in pieces])
    check_logits(logits)
    return logits


def predict(
    model: Model,
    images: Float[Tensor, "n *shape"],
    batch_size: int = PIECE,
    *,
    keys: Int[Tensor, " n"] | None = None,
    draw: int = 0,
) -> Int[Tensor, " n"]:
    """Return for each image the class with the highest logit. If several classes have the highest
    logit, return the first of them.

    ``keys``: for a randomised model, one number for each image, which determines the image's noise.
        By default, the key of an image is its row number.
    ``draw``: for a randomised model, the number that selects the noise draw. For adversarial
        images, use `robustbook.attacks.FRESH`. Attacks without a generator use the draws from 0 on,
        so with the default the attack would already have used this noise.

    Raises ValueError unless the model returns two or more finite logits per image. Without this
    check, argmax would return a class even for NaN. A class whose logit is minus infinity is
    masked: it is never predicted.
    """
    return logits_of(model, images, batch_size, keys=keys, draw=draw).argmax(1)


def gradients(
    model: Model, images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "n *shape"]:
    """Return the gradient of each image's cross entropy with respect to that image.

    The function also works inside `torch.no_grad` and `torch.inference_mode`. Raises ValueError if
    the model is not differentiable or a gradient is not finite.
    """
    check_set(images, labels)
    found: list[Tensor] = []
    with unchanged(model), torch.inference_mode(False), torch.enable_grad():
        for rows in torch.split(rows_of(images), PIECE):
            x, y = images[rows], labels[rows]
            # Use copies, because tensors made under inference_mode cannot be differentiated.
            point = x.detach().clone().requires_grad_()
            logits = asked(model, point, rows)
            if not found:
                check_classes(labels, logits)
            loss = F.cross_entropy(logits, y.clone(), reduction="sum")
            gradient = None
            if loss.requires_grad:
                (gradient,) = torch.autograd.grad(loss, point, allow_unused=True)
            if gradient is None:
                raise ValueError(
                    "model must be differentiable with respect to the images, got logits that do "
                    "not depend on them through autograd (detached, or computed outside torch?)"
                )
            found.append(gradient)
    together = torch.cat(found)
    refuse_not_finite("gradients", together)
    return together


def asked(
    model: Model,
    images: Float[Tensor, "n *shape"],
    keys: Int[Tensor, " n"] | None = None,
    draw: int = 0,
) -> Float[Tensor, "n k"]:
    """Return the model's logits for one batch, after checking their shape but not their values. The
    model gets a copy of the images, which it may change in place.
    """
    function: Any = model
    if isinstance(model, Drawing):
        function = model.at(rows_of(images) if keys is None else keys, draw)
    try:
        logits: Any = function(images.clone())
    except RuntimeError as error:
        parameters = model.parameters() if isinstance(model, nn.Module) else ()
        held = {(parameter.dtype, parameter.device) for parameter in parameters}
        if held and (images.dtype, images.device) not in held:
            kinds = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in held))
            raise ValueError(
                f"images must be of the dtype and on the device of the model's parameters "
                f"({kinds}), got {images.dtype} on {images.device}"
            ) from error
        raise
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[0] != len(images) or shape[1] < 2:
        raise ValueError(
            f"model must return logits of shape ({len(images)}, classes), two classes or more, "
            f"for {len(images)} images, got {shape}"
        )
    found: Tensor = logits
    return found


def rows_of(images: Float[Tensor, "n *shape"]) -> Int[Tensor, " n"]:
    """Return the images' row numbers, which are the default keys."""
    return torch.arange(len(images), device=images.device)


def check_set(images: Tensor, labels: Any) -> None:
    """Raise ValueError if the images are no floats, if there are none, or if the labels are not an
    int64 tensor with one number per image on the device of the images.
    """
    check_images(images)
    if not len(images):
        raise ValueError(
            "images must be one or more, got none: an accuracy needs at least one image"
        )
    check_integers("labels", labels, images)


def check_classes(labels: Int[Tensor, " n"], logits: Float[Tensor, "m k"]) -> None:
    """Raise ValueError for a label that is no class of the logits. The CPU waits for the GPU."""
    wrong = (labels < 0) | (labels >= logits.shape[1])
    if bool(wrong.any()):
        raise ValueError(
            f"labels must be in 0..{logits.shape[1] - 1}, the classes of the model's logits, "
            f"got {int(labels[wrong][0])}"
        )


def check_logits(logits: Float[Tensor, "n k"]) -> None:
    """Raise ValueError if a logit is NaN or infinite. A logit of minus infinity masks its class; it
    is valid unless it masks all classes of an image.
    """
    masked = logits.isneginf()
    masked &= ~masked.all(1, keepdim=True)
    refuse_not_finite("logits", logits.masked_fill(masked, 0))


def refuse_not_finite(what: str, values: Tensor) -> None:
    """Raise ValueError if a value is NaN or infinite; ``what`` names the values in the message."""
    rows = ~values.flatten(1).isfinite().all(1)
    if bool(rows.any()):
        raise ValueError(
            f"model must give finite {what}, got NaN or infinity for {int(rows.sum())} of "
            f"{len(values)} images"
        )
