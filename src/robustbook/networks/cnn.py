"""Define the convolutional network of Table 2 in Nayebi & Ganguli 2017.

The CNN has two 5 x 5 convolutions of 32 and 64 filters, each followed by ReLU and 2 x 2 max
pooling. Then come a fully connected layer of 1024 ReLU units and a linear layer with 10 logits. The
paper does not state the padding and stride of its convolutions. We use stride 1 and padding 2
("same"), as in the TensorFlow tutorial of 2017, whose network has exactly these layers.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class CNN(nn.Module):
    """A network from 28 x 28 gray images to 10 logits, with 3,274,634 parameters.

    ``width`` is the number of units in the fully connected hidden layer. The paper's width is 1024,
    and any multiple of 32 is accepted. The numbers of filters are proportional to ``width``.
    """

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        if width < 32 or width % 32:
            raise ValueError(f"width must be a multiple of 32, got {width}")
        few, many = width // 32, width // 16
        self.conv1 = nn.utils.skip_init(nn.Conv2d, 1, few, 5, padding=2)  # type: ignore[no-untyped-call]
        self.conv2 = nn.utils.skip_init(nn.Conv2d, few, many, 5, padding=2)  # type: ignore[no-untyped-call]
        self.hidden = nn.utils.skip_init(nn.Linear, many * 7 * 7, width)  # type: ignore[no-untyped-call]
        self.readout = nn.utils.skip_init(nn.Linear, width, 10)  # type: ignore[no-untyped-call]
        self.activation = torch.relu

    def preactivations(self, images: Float[Tensor, "n 1 28 28"]) -> list[Float[Tensor, "n ..."]]:
        """Return the pre-activations h^1 ... h^4: the outputs of both convolutions before pooling,
        the inputs of the hidden units, and the logits.
        """
        h1 = self.conv1(images)
        h2 = self.conv2(self.activation(F.max_pool2d(h1, 2)))  # max and ReLU commute: pool first
        h3 = self.hidden(self.activation(F.max_pool2d(h2, 2)).flatten(1))
        return [h1, h2, h3, self.readout(self.activation(h3))]

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n k"]:
        return self.preactivations(images)[-1]
