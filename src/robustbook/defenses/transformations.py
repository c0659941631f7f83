"""Transform the image in front of any network: by random resizing and padding, or by JPEG
compression.

Both defenses change the image, not the weights. Random resizing and padding is from Xie, Wang,
Zhang, Ren and Yuille 2018, "Mitigating adversarial effects through randomization" (arXiv
1711.01991). JPEG compression as a defense is from Das, Shanbhogue, Chen, Hohman, Chen, Kounavis and
Chau 2017, "Keeping the bad guys out" (arXiv 1705.02900).

An oblivious attack attacks the network without its transformation (`ResizedPadded.net` or
`Compressed.net`), and an adaptive attack attacks both together. Against random resizing, an
adaptive attack averages the gradient over random sizes and positions (the argument ``draws`` of the
attacks). The JPEG codec is not differentiable, so the backward pass of `Compressed` treats it as
the identity (BPDA of Athalye, Carlini and Wagner 2018, arXiv 1802.00420).
"""

import io
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from robustbook.attacks.checks import check_choice, check_count, check_images, check_network
from robustbook.attacks.drawing import Drawing, check_draws, check_keys, nested, with_draw
from robustbook.attacks.noise import seed_from, uniform
from robustbook.randomness import generator

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]


class ResizedPadded(nn.Module):
    """A randomised model: a network with random resizing and padding of its input, as returned by
    `resize_and_pad`.

    Calling the network draws new sizes and positions from torch's global generator. The method
    `ResizedPadded.at` returns the network with one fixed draw of sizes and positions, as a function
    from images to logits.
    """

    def __init__(self, net: nn.Module, low: int, high: int, size: int, seed: int) -> None:
        super().__init__()
        self.net, self.low, self.high, self.size, self.seed = net, low, high, size, seed
        # This seed differs from an attack's seed, so the draws do not depend on random starts.
        self._seed = seed_from(generator(seed, "resize and pad", *nested(ResizedPadded, net)))

    def extra_repr(self) -> str:
        return f"resized to {self.low}..{self.high}, padded to {self.size}"

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        return self._answer(self.net, images, torch.rand(len(images), 3, dtype=torch.float64))

    def at(
        self, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]
    ) -> Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n k"]]:
        """Return the network with fixed sizes and positions of the images, as a function from n
        images to logits. ``keys`` and ``draw`` determine the sizes and positions.

        ``keys``: a number that identifies each image, such as its index in the data set.
        ``draw``: the number that selects the random draw: one number for all images, or one for
            each image. Attacks without a generator never use numbers from
            `robustbook.attacks.FRESH` on.

        The size and the position of an image depend only on the ``seed``, the image's key, the draw
        number, and the number of networks with random resizing inside this one. Because of this
        number, nested networks draw independent sizes and positions.
        """
        net, numbers = with_draw(self.net, keys, draw), self._numbers(keys, draw)

        def logits(images: Tensor) -> Tensor:
            check_keys(keys, images)
            return self._answer(net, images, numbers)

        return logits

    def layout(
        self, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Return three numbers for each image: its size, the number of zero rows above it, and the
        number of zero columns left of it.
        """
        return self._layout(self._numbers(keys, draw))

    def transformed(
        self, images: Float[Tensor, "n c h w"], keys: Int[Tensor, " n"], draw: SupportsIndex = 0
    ) -> Float[Tensor, "n c size size"]:
        """Return the resized and padded images, as the network receives them."""
        return resized_padded(images, *self.layout(keys, draw), self.size)

    def _numbers(self, keys: Tensor, draw: SupportsIndex | Tensor) -> Tensor:
        return uniform(self._seed, keys, draw, 3, torch.float64)

    def _layout(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        side = self.low + (numbers[:, 0] * (self.high - self.low + 1)).long()
        top, left = (numbers[:, 1:] * (self.size - side + 1)[:, None]).long().unbind(1)
        return side, top, left

    def _answer(self, net: Callable[[Tensor], Tensor], images: Tensor, numbers: Tensor) -> Tensor:
        layout = self._layout(numbers.to(images.device))
        changed = resized_padded(images, *layout, self.size)
        try:
            return net(changed)
        except RuntimeError as error:
            if "shapes cannot be multiplied" not in str(error):
                raise
            raise ValueError(
                f"net must accept images of {self.size} x {self.size} pixels, for example a "
                f"convolutional network with global pooling, got {type(self.net).__name__} "
                f"({str(error).splitlines()[0]})"
            ) from error


def resize_and_pad(
    net: nn.Module, *, low: int = 32, high: int = 36, size: int = 37, seed: int = 0
) -> ResizedPadded:
    """Return ``net`` with random resizing and padding of its input.

    ``low``, ``high``: each image is resized to r x r pixels, where r is a random whole number from
        ``low`` to ``high``.
    ``size``: the resized image is placed uniformly at random on a square of zeros with ``size``
        pixels per side.
    ``seed``: seed of the random sizes and positions that `ResizedPadded.at` draws.

    The defaults are for CIFAR-10. For ImageNet images of 299 x 299 pixels, the code of Xie et al.
    uses low 310, high 330 and size 331. Images are resized by nearest neighbour, and the network is
    not retrained, as in Xie et al. 2018. The network must accept images of ``size`` pixels; most
    networks with global pooling do. Raises ValueError unless 1 <= low <= high <= size.
    """
    check_network(net)
    for name, value in (("low", low), ("high", high), ("size", size), ("seed", seed)):
        check_count(name, value, 0)
    if not 1 <= low <= high <= size:
        raise ValueError(
            "low, high and size must be whole numbers of pixels with 1 <= low <= high <= size, "
            f"got {low}, {high} and {size}"
        )
    check_draws(net)
    return ResizedPadded(net, low, high, size, seed)


def resized_padded(
    images: Float[Tensor, "n c h w"],
    side: Int[Tensor, " n"],
    top: Int[Tensor, " n"],
    left: Int[Tensor, " n"],
    size: int,
) -> Float[Tensor, "n c size size"]:
    """Return each image resized to side x side pixels and placed on a square of zeros.

    ``side``: the number of pixels per side of each resized image.
    ``top``: the number of zero rows above each image.
    ``left``: the number of zero columns left of each image.
    ``size``: the number of pixels per side of the square on which the image is placed.

    Resizing from h to ``side`` pixels copies pixel floor(i h / side) of the original row to pixel i
    of the resized row. The result equals that of `torch.nn.functional.interpolate` with mode
    nearest, except for sizes whose ratio torch rounds.
    """
    channels, height, width = images.shape[1:]
    place = torch.arange(size, device=images.device)
    rows, inside_rows = _sources(place, side, top, height)
    columns, inside_columns = _sources(place, side, left, width)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    tall = images.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width))
    whole = tall.gather(3, columns[:, None, None, :].expand(-1, channels, size, -1))
    return whole * inside


def _sources(place: Tensor, side: Tensor, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return for each row of the padded image which original row is copied there, and whether the
    row lies inside the resized image. For columns, the function is called in the same way.
    """
    i = place - first[:, None]
    inside = (i >= 0) & (i < side[:, None])
    return (i * count // side[:, None]).clamp(0, count - 1), inside


class Compressed(nn.Module):
    """A network with JPEG compression of its input, as returned by `jpeg`.

    The forward pass applies the codec. The backward pass treats the codec as the identity, so an
    attack gets the gradient of the network at the compressed image.
    """

    def __init__(self, net: nn.Module, quality: int, subsampling: str) -> None:
        super().__init__()
        self.net, self.quality, self.subsampling = net, quality, subsampling

    def extra_repr(self) -> str:
        return f"JPEG quality {self.quality}, chroma {self.subsampling}"

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(self.transformed(images))
        return logits

    def transformed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the compressed images, which the network receives. The backward pass treats the
        compression as the identity.
        """
        found: Tensor = _StraightThrough.apply(images, self.quality, self.subsampling)  # type: ignore[no-untyped-call]
        return found


class RandomCompressed(Compressed):
    """A randomised model with JPEG compression of its input, as returned by `jpeg`."""

    def at(
        self, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]
    ) -> Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n k"]]:
        """Return the model with fixed noise, as a function from n images to logits (see
        `Drawing`).
        """
        net = with_draw(self.net, keys, draw)
        return lambda images: net(self.transformed(images))


def jpeg(net: nn.Module, quality: SupportsIndex = 75, *, subsampling: str = "4:2:0") -> Compressed:
    """Return ``net`` with JPEG compression of its input.

    ``quality``: the quality on the scale of libjpeg, 1 to 100.
    ``subsampling``: the resolution at which JPEG stores the chroma channels. ``4:2:0``, the
        default of libjpeg, means half the resolution in both directions. ``4:2:2`` means half the
        horizontal resolution, and ``4:4:4`` means full resolution. For gray images ``subsampling``
        has no effect.

    We do not know which subsampling and which JPEG library Das et al. use. Raises ValueError for a
    quality outside 1..100 or an unknown subsampling.
    """
    check_network(net)
    _check_codec(quality, subsampling)
    check_draws(net)
    kind = RandomCompressed if isinstance(net, Drawing) else Compressed
    return kind(net, operator.index(quality), subsampling)


@torch.no_grad()
def compressed(
    images: Float[Tensor, "n c h w"], quality: SupportsIndex = 75, *, subsampling: str = "4:2:0"
) -> Float[Tensor, "n c h w"]:
    """Return the images after rounding to 8 bits, compression to JPEG and decompression.

    ``images``: gray or RGB images in [0, 1]; values outside [0, 1] are clipped.
    ``quality``: the JPEG quality on the scale of libjpeg, from 1 to 100.
    ``subsampling``: the resolution of the chroma channels: 4:2:0, 4:2:2 or 4:4:4 (see `jpeg`).

    The codec is libjpeg in Pillow. Images on a GPU are copied to the CPU and back.
    """
    _check_codec(quality, subsampling)
    quality = operator.index(quality)
    check_images(images)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be gray or RGB for JPEG, so with 1 or 3 channels, got {images.shape[1]}"
        )
    if bool(images.isnan().any()):
        raise ValueError("images must not contain NaN, because JPEG stores whole numbers")
    whole = images.clamp(0, 1).mul(255).round().byte().movedim(1, -1).cpu().numpy()
    if not len(whole):
        return images.clone()
    decoded = np.stack([_through(image, quality, subsampling) for image in whole])
    found = torch.from_numpy(decoded).view(whole.shape).movedim(-1, 1).contiguous()
    return found.to(images.device).to(images.dtype) / 255


def _through(image: Any, quality: int, subsampling: str) -> Any:
    """Return one image of 8-bit values after compression and decompression."""
    gray = image.shape[-1] == 1
    picture = Image.fromarray(image[..., 0] if gray else image)
    file = io.BytesIO()
    options: dict[str, Any] = {} if gray else {"subsampling": subsampling}
    picture.save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file))


class _StraightThrough(torch.autograd.Function):
    """JPEG compression as an autograd function; its backward pass returns gradients unchanged."""

    @staticmethod
    def forward(images: Tensor, quality: int, subsampling: str) -> Tensor:
        return compressed(images, quality, subsampling=subsampling)

    @staticmethod
    def setup_context(context: Any, inputs: Sequence[Any], output: Tensor) -> None:
        """Save no tensors, because the gradient of the identity does not depend on the input."""

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


def _check_codec(quality: Any, subsampling: str) -> None:
    whole = isinstance(quality, SupportsIndex) and not isinstance(quality, bool)
    if not (whole and 1 <= operator.index(quality) <= 100):
        raise ValueError(f"quality must be a whole number from 1 to 100, got {quality!r}")
    check_choice("subsampling", subsampling, get_args(Subsampling))
