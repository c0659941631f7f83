"""MatConvNet's preprocessing of CIFAR-10 (v1.0-beta24), which Deep Defense and DeepFool follow.

In this order, on grey levels in 0..255:

1. the mean image of the training set is subtracted;
2. contrast: from each image its own mean is subtracted, and what is left is divided by its
   deviation, or by 40 if that is less, and multiplied by the mean deviation of the images;
3. whitening (ZCA): with V the eigenvectors and d the eigenvalues of the training images' second
   moments, each image is multiplied by V diag(s / max(sqrt(d), 10)) V', s^2 being the mean of d,
   which about keeps its norm.

MatConvNet takes the mean deviation over training and test set, 53.0990 for CIFAR-10; here it is the
training set's, 53.1056, so that nothing depends on the test set. It divides the second moments'
sum over the 50,000 training images by 60,000, which moves the floor of 10; here the sum over any
set is divided by 6/5 of its size.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from .prepared import mean_image, refuse_other_images, refuse_other_than_bytes

DEVIATION_FLOOR = 40.0  # grey levels; an image of less contrast stays below the others
SPECTRUM_FLOOR = 10.0  # of sqrt(d), in grey levels
ALL_BY_TRAIN = 6 / 5  # MatConvNet's number of images over that of training images
BATCH = 1000  # images at a time


class Whitened(nn.Module):
    """Grey levels less the mean image, of equal contrast, whitened; made by `whitening`.

    What comes out has no box; on CIFAR-10 its deviation is 35 and an image's norm 1,870. It is
    differentiable, so that an attack on the network behind it is one on the image. The buffers
    follow from the training images and, being 38 MB for 3 x 32 x 32 pixels, are not part of a
    network's state.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(
        self, mean: Float[Tensor, "c h w"], deviation: float, matrix: Float[Tensor, "d d"]
    ) -> None:
        """``mean``: of the training images, ``deviation``: what an image's is brought to, both in
        grey levels; ``matrix``: the symmetric one of the third step, of side c h w."""
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
    """The preprocessing that belongs to a set of training images, computed on their device.

    The products of pixels are in float32, their sums and the eigenvalues in float64: half a minute
    on a core for CIFAR-10. Where there are fewer images than pixels their inner products are taken
    instead of the second moments, which have the same eigenvalues besides zeros: 1,400 images take
    two seconds.
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
    above = spectrum > SPECTRUM_FLOOR**2  # the others are all divided by the floor
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
    """A whole set as a network's body takes it, once instead of in every epoch."""
    refuse_other_than_bytes(images)
    return torch.cat([preprocess(batch.float() / 255) for batch in torch.split(images, BATCH)])


def _centred(grey: Float[Tensor, "n c h w"], mean: Float[Tensor, "c h w"]) -> Float[Tensor, "n d"]:
    """Grey levels less the mean image and then less each image's own mean."""
    x = (grey - mean).flatten(1)
    return x - x.mean(1, keepdim=True)


def _equal_contrast(x: Float[Tensor, "n d"], deviation: float) -> Float[Tensor, "n d"]:
    """Centred images brought to ``deviation``. The floor is under the root: a flat image has a
    gradient too."""
    return x * (deviation / x.var(1, keepdim=True).clamp(min=DEVIATION_FLOOR**2).sqrt())
