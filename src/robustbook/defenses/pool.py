"""Train with a pool of adversarial images, as sketched by Szegedy et al. 2013 (arXiv 1312.6199,
Section 4.2).

The paper keeps a pool of adversarial examples for each layer, continually replaces a part of each
pool, and mixes the pools into the training set. It reports that only this gave an improvement. This
code has a single pool, for the images. The paper does not state the size of the pools, how many
examples are replaced, or the share of the pools in the training set.

In this code, buffers of the network store the pool, so checkpoints contain it, and an interrupted
training run continues with the same pool.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustbook.attacks.checks import check_count, check_integers

from .inner_attacks import InnerAttack, entropy


class Pooled(nn.Module):
    """A network together with a pool of adversarial images, which is empty at first.

    ``net``: the network that is trained.
    ``size``: number of images in the full pool. Once the pool is full, a new image replaces the
        oldest image.
    ``shape``: the shape of an image.
    """

    images: Tensor
    labels: Tensor
    stored: Tensor

    def __init__(self, net: nn.Module, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("images", torch.zeros(check_count("size", size), *shape))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.net(images)
        return logits

    @torch.no_grad()
    def store(self, images: Float[Tensor, "n *shape"], labels: Int[Tensor, " n"]) -> None:
        """Put images into the pool. The buffer ``stored`` counts all images that were ever put into
        the pool.
        """
        new = torch.arange(len(images), device=self.stored.device)
        at = (self.stored + new) % len(self.images)
        self.images[at] = images.to(self.images.dtype)
        self.labels[at] = labels
        self.stored += len(images)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` images, drawn from the pool with replacement, and their labels."""
        filled = self.stored.clamp(max=len(self.images))
        at = (torch.rand(count, device=filled.device) * filled).long().clamp(max=filled - 1)
        return self.images[at], self.labels[at]


def pool_training(
    net: Pooled,
    images: Float[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    attack: InnerAttack,
    replaced: int = 10,
    share: float = 0.5,
) -> dict[str, Float[Tensor, ""]]:
    """Return two weighted loss terms, ``clean`` and ``pool``, whose sum is to be minimised.
    ``clean`` is the cross entropy on the batch. ``pool`` is the cross entropy on images drawn from
    the pool.

    ``attack``: the inner attack that makes the images for the pool; L-BFGS in the paper.
    ``replaced``: number of images of the batch that each step attacks; the adversarial images are
        put into the pool.
    ``share``: weight of the cross entropy on images of the pool, in (0, 1). Each step draws as many
        images from the pool as the batch contains.

    The paper does not state the values of ``replaced`` and ``share``; the default values are our
    choice.
    """
    if not isinstance(net, Pooled):
        raise ValueError(f"net must be a Pooled network, got {type(net).__name__}")
    if images.shape[1:] != net.images.shape[1:]:
        raise ValueError(
            f"images must have the shape of the pool's, {tuple(net.images.shape[1:])}, "
            f"got {tuple(images.shape[1:])}"
        )
    check_integers("labels", labels, images)
    if not 1 <= replaced <= min(len(images), len(net.images)):
        raise ValueError(
            f"replaced must be from 1 to the batch size {len(images)} and the pool's size "
            f"{len(net.images)}, got {replaced}"
        )
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share}")
    net.store(attack(net.net, images[:replaced], labels[:replaced]), labels[:replaced])
    drawn, classes = net.draw(len(images))
    return {
        "clean": (1 - share) * entropy(net(images.clone()), labels),
        "pool": share * entropy(net(drawn), classes),
    }
