"""Apply MatConvNet's preprocessing of CIFAR-10 (v1.0-beta24), which Deep Defense and DeepFool use.

The preprocessing of grey levels in 0..255 has three steps.

First, the mean image of the training set is subtracted from each image.

Second, the contrast of each image is equalised. The mean of the image's own pixels is subtracted
from them. Then the image is divided by its standard deviation, or by 40 if 40 is larger, and
multiplied by the mean of the standard deviations of all images.

Third, images are whitened (ZCA). Let d be the eigenvalues and V the eigenvectors of the matrix of
second moments of the training images, and s^2 the mean of d. Each image is multiplied by the matrix
V diag(s / max(sqrt(d), 10)) V', which roughly keeps its norm (V' is the transpose of V).

MatConvNet computes the mean standard deviation over training and test set, which is 53.0990 for
CIFAR-10. This code uses the mean over the training set, 53.1056, so that nothing depends on the
test set. To get the second moments, MatConvNet sums over the 50,000 training images but divides by
60,000, the number of all images. This makes the eigenvalues d smaller, so that more values of
sqrt(d) are below 10 and are replaced by 10. To get the same result, this code divides the sum over
the training images by 6/5 times their number.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from robustbook.pixels import refuse_other_than_bytes

from .prepared import mean_image, refuse_other_images

DEVIATION_FLOOR = 40.0  # grey levels, the smallest divisor of an image
SPECTRUM_FLOOR = 10.0  # the smallest sqrt(d), in grey levels
ALL_BY_TRAIN = 6 / 5  # CIFAR-10: number of all images / number of training images
BATCH = 1000  # images at a time


class Whitened(nn.Module):
    """Apply MatConvNet's preprocessing: subtract the mean image, equalise the contrast, and whiten.

    The output has no fixed range: for CIFAR-10 its values have standard deviation 35, and the l2
    norm of a preprocessed image is about 1,870. The module is differentiable, so an attack can
    follow gradients through it to the image. The buffers of the module are computed from the
    training images. For 3 x 32 x 32 pixels they take 38 MB, so they are not saved in a network's
    ``state_dict``.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(
        self, mean: Float[Tensor, "c h w"], deviation: float, matrix: Float[Tensor, "d d"]
    ) -> None:
        """Store the constants of the preprocessing.

        ``mean``: the mean of the training images, in grey levels.
        ``deviation``: the standard deviation to which each image is scaled, in grey levels.
        ``matrix``: the symmetric whitening matrix, with c h w rows and columns for images of shape
            (c, h, w).
        """
        super().__init__()
        if matrix.shape != (mean.numel(), mean.numel()):
            raise ValueError(
                f"matrix must be of shape ({mean.numel()}, {mean.numel()}) for a mean image of "
                f"shape {tuple(mean.shape)}, got {tuple(matrix.shape)}"
            )
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.register_buffer("matrix", matrix.clone(), persistent=False)
        self.deviation = deviation

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        refuse_other_images(images, self.mean)
        equal = _equal_contrast(_centred(255 * images, self.mean), self.deviation)
        return (equal @ self.matrix).view_as(images)

    def extra_repr(self) -> str:
        return f"255 x - mean image, deviation to {self.deviation:.4g}, ZCA"


@torch.no_grad()
def whitening(images: UInt8[Tensor, "n c h w"]) -> Whitened:
    """Return the preprocessing for a set of training images, computed on the device of the images.

    The second moments of each batch of images are computed in float32, their sum and the
    eigenvalues in float64. For CIFAR-10 this takes half a minute on one core. If there are fewer
    images than values in an image, the eigenvalues are computed from the matrix of the images'
    inner products. This matrix is smaller and has the same nonzero eigenvalues as the matrix of
    second moments. With 1,400 images, this takes two seconds.
    """
    n, d = len(images), images[0].numel() if len(images) else 0
    if n < 2:
        raise ValueError(f"images must be at least 2, got {n}")
    mean = mean_image(images)

    def centred() -> Iterator[Tensor]:
        return (_centred(batch.float(), mean) for batch in torch.split(images, BATCH))

    deviation = torch.cat([x.std(1) for x in centred()]).double().mean().item()
    equal = (_equal_contrast(x, deviation) for x in centred())
    if n < d:
        rows = torch.cat(list(equal))
        moments = (rows @ rows.T).double()
    else:
        moments = torch.zeros(d, d, dtype=torch.float64, device=images.device)
        for x in equal:
            moments += x.T @ x
    moments /= ALL_BY_TRAIN * n
    spectrum, vectors = torch.linalg.eigh(moments)
    above = spectrum > SPECTRUM_FLOOR**2  # all other eigenvalues are below the floor
    spectrum, vectors = spectrum[above], vectors[:, above]
    if n < d:
        vectors = rows.double().T @ (vectors / (ALL_BY_TRAIN * n * spectrum).sqrt())
    matrix = (vectors * (spectrum.rsqrt() - 1 / SPECTRUM_FLOOR)) @ vectors.T
    matrix.diagonal().add_(1 / SPECTRUM_FLOOR)
    scale = (moments.trace() / d).sqrt()
    return Whitened(mean, deviation, (scale * matrix).float())


@torch.no_grad()
def preprocessed(
    preprocess: nn.Module, images: UInt8[Tensor, "n c h w"]
) -> Float[Tensor, "n c h w"]:
    """Return all images of a set after preprocessing, so that training need not preprocess them
    again in every epoch.
    """
    refuse_other_than_bytes(images)
    return torch.cat([preprocess(batch.float() / 255) for batch in torch.split(images, BATCH)])


def _centred(grey: Float[Tensor, "n c h w"], mean: Float[Tensor, "c h w"]) -> Float[Tensor, "n d"]:
    """Subtract the mean image, then subtract each image's own mean, and return flattened images."""
    x = (grey - mean).flatten(1)
    return x - x.mean(1, keepdim=True)


def _equal_contrast(x: Float[Tensor, "n d"], deviation: float) -> Float[Tensor, "n d"]:
    """Scale each centred image so that its standard deviation becomes ``deviation``.

    A variance below the minimum is replaced by the minimum before the square root is taken. So the
    gradient exists even for an image with only one grey level.
    """
    return x * (deviation / x.var(1, keepdim=True).clamp(min=DEVIATION_FLOOR**2).sqrt())
