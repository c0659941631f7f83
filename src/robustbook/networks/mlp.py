"""Define fully connected networks from images in [0, 1] to logits, with hidden layers of equal
width.

As in Nayebi & Ganguli 2017, Section 2, the pre-activations of layer l are h^l = W^l x^(l-1) + b^l,
and its output is x^l = phi(h^l) for l < D. The logits are h^D, and D is the number of weight
matrices. So the paper's "3 layer" networks have three weight matrices here. The paper varies
the hidden width between 200 and 2000, but does not state the width of each network.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """A fully connected network with layers of the given ``sizes``, from the inputs to the logits.

    ``activation`` is applied after every layer except the last one.
    """

    def __init__(self, sizes: tuple[int, ...], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must name at least two positive layer sizes, got {sizes}")
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, a, b)  # type: ignore[no-untyped-call]
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.activation = activation

    def preactivations(self, images: Float[Tensor, "n *shape"]) -> list[Float[Tensor, "n units"]]:
        """Return the pre-activations h^1 ... h^D, each of shape (n, units); h^D are the logits."""
        x = images.flatten(1)
        hs: list[Tensor] = []
        for layer in self.layers:
            hs.append(layer(self.activation(hs[-1]) if hs else x))
        return hs

    def forward(self, images: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        return self.preactivations(images)[-1]


def sigmoid_mlp(width: int) -> MLP:
    """Return a 784-width-width-10 network with sigmoid units."""
    return MLP((784, width, width, 10), torch.sigmoid)


def relu_mlp(width: int) -> MLP:
    """Return a 784-width-width-10 network with rectified linear units."""
    return MLP((784, width, width, 10), torch.relu)
