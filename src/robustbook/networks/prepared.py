"""Define the preprocessing of a network as a module, so that the preprocessing can be a part of the
network.

In this book, images are always floats in [0, 1], but some papers train networks on other inputs,
for example on grey levels minus the mean image. So a network contains its preprocessing, and an
attack on the network changes the image itself. To measure distances after the preprocessing, call
the network's parts `preprocess` and `body` one after the other.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from robustbook.pixels import refuse_other_than_bytes


class GreyLevels(nn.Module):
    """Multiply images in [0, 1] by 255 and subtract the mean image, as MatConvNet does for MNIST.

    A distance after this preprocessing is 255 times the distance between the images in [0, 1]. By
    the chain rule, the gradient with respect to the preprocessed images is 1/255 of the gradient
    with respect to the images in [0, 1].
    """

    mean: Tensor

    def __init__(self, mean: Float[Tensor, "c h w"]) -> None:
        """``mean``: the mean of the training images, in grey levels; see `mean_image`."""
        super().__init__()
        self.register_buffer("mean", mean.clone())

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        refuse_other_images(images, self.mean)
        return 255 * images - self.mean

    def extra_repr(self) -> str:
        return "255 x - mean image"


class Prepared(nn.Module):
    """A network that first applies its preprocessing, and maps images in [0, 1] to logits."""

    def __init__(self, preprocess: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.preprocess, self.body = preprocess, body

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.body(self.preprocess(images))
        return logits


def refuse_other_images(images: Tensor, mean: Tensor) -> None:
    """Raise ValueError if the shape of the images differs from the shape of the mean image, or if
    the images are bytes.

    Without this check, torch would broadcast a mean image of another shape, and a byte times 255
    would overflow without an error.
    """
    if images.shape[1:] != mean.shape:
        expected = ", ".join(map(str, mean.shape))
        raise ValueError(f"images must be of shape (n, {expected}), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1], got {images.dtype}")


def mean_image(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "c h w"]:
    """Return the mean of each pixel over a set of images, in grey levels. The pixels are summed as
    whole numbers, so the sum has no rounding error.
    """
    refuse_other_than_bytes(images)
    if not len(images):
        raise ValueError("images must hold one image or more, got none")
    return (images.sum(0, dtype=torch.int64).double() / len(images)).float()


@torch.no_grad()
def draw_normal(net: nn.Module, generator: torch.Generator, deviations: Sequence[float]) -> None:
    """Draw the initial weights as MatConvNet does, in place.

    The weights of layer i are normal with mean 0 and standard deviation ``deviations[i]``; all
    biases are 0.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if len(layers) != len(deviations):
        raise ValueError(
            f"deviations must name one number per layer, got {len(deviations)} for {len(layers)}"
        )
    for layer, deviation in zip(layers, deviations, strict=True):
        layer.weight.normal_(0, deviation, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
