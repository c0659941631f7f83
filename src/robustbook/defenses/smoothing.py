"""Add normal noise to the image in front of any network, for randomized smoothing.

The method is from Cohen, Rosenfeld and Kolter 2019, "Certified adversarial robustness via
randomized smoothing" (arXiv 1902.02918). `smoothed` returns a randomised model,
`robustbook.measures.votes` counts how often this model predicts each class, and
`robustbook.measures.certified` computes certified l2 radii from these counts.
"""

from collections.abc import Callable
from typing import SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks.checks import check_count, check_network, check_positive
from robustbook.attacks.drawing import check_draws, check_keys, nested, with_draw
from robustbook.attacks.noise import normal, seed_from
from robustbook.randomness import generator


class Smoothed(nn.Module):
    """A network with normal noise on the image, as returned by `smoothed`: a randomised model.

    Each call draws new noise from torch's global generator, in training and in evaluation mode. So
    training the whole model trains the network on noisy images.
    """

    def __init__(self, net: nn.Module, sigma: float, seed: int) -> None:
        super().__init__()
        self.net, self.sigma, self.seed = net, sigma, seed
        # This seed differs from an attack's seed, so the noise does not depend on random starts.
        self._seed = seed_from(generator(seed, "smoothing", *nested(Smoothed, net)))

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}"

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(images + self.sigma * torch.randn_like(images))
        return logits

    def at(
        self, keys: Int[Tensor, " n"], draw: SupportsIndex | Int[Tensor, " n"]
    ) -> Callable[[Float[Tensor, "n *shape"]], Float[Tensor, "n k"]]:
        """Return the network with fixed noise, as a function from n images to logits; ``keys`` and
        ``draw`` determine the noise.

        ``keys``: a number that identifies each image, such as its index in the data set.
        ``draw``: the number that selects the noise draw: one number for all images, or one for each
            image. Attacks without a generator never use numbers from `robustbook.attacks.FRESH` on.

        The noise of an image depends only on the ``seed``, the image's key, the draw number, and
        the number of smoothed networks inside this one. Because of this number, nested smoothed
        networks draw independent noise.
        """

        net = with_draw(self.net, keys, draw)

        def logits(images: Tensor) -> Tensor:
            check_keys(keys, images)
            noise = normal(self._seed, keys, draw, tuple(images.shape[1:]), images.dtype)
            return net(images + self.sigma * noise)

        return logits


def smoothed(net: nn.Module, sigma: float, *, seed: int = 0) -> Smoothed:
    """Return ``net`` with normal noise on the image.

    ``sigma``: standard deviation of the noise, above 0, for images in [0, 1]. Noisy images are not
        clipped, because the certificate needs normal noise.
    ``seed``: seed of the noise that `Smoothed.at` draws.
    """
    check_network(net)
    check_draws(net)
    return Smoothed(net, float(check_positive("sigma", sigma)), check_count("seed", seed, 0))
